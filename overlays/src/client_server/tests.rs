//! The rules of one node, input by input, and what hostile peers can do to it.

use std::collections::BTreeSet;

use bytes::Bytes;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::message::{CLIENTS_PER_MESSAGE_MAX, SERVERS_MAX};
use super::{ClientServer, Config, Message, PeriodOver, Relayed, Role};
use crate::event::PAYLOAD_BYTES_MAX;
use crate::event::{Command, Event, Input, Output, Overlay, Protocol, WhyDown};
use crate::message::{Message as _, encode};
use crate::time::Time;

const ME: u32 = 100;

type Outputs = Vec<Output<u32, Message<u32>, PeriodOver>>;

struct Bench {
    node: ClientServer<u32>,
    random: SmallRng,
}

impl Bench {
    fn new(config: Config<u32>) -> Self {
        Self {
            node: ClientServer::new(ME, config),
            random: SmallRng::seed_from_u64(3),
        }
    }

    fn give(&mut self, input: Input<u32, Message<u32>, PeriodOver>) -> Outputs {
        let mut out = Vec::new();
        self.node
            .handle(Time::ZERO, input, &mut self.random, &mut out);
        out
    }

    fn receive(&mut self, from: u32, message: Message<u32>) -> Outputs {
        self.give(Input::Received { from, message })
    }
}

fn sent(out: &Outputs) -> Vec<(u32, Message<u32>)> {
    let sent = out.iter().filter_map(|output| match output {
        Output::Send { to, message } => Some((*to, message.clone())),
        _ => None,
    });
    sent.collect()
}

fn dialed(out: &Outputs) -> BTreeSet<u32> {
    let dialed = out.iter().filter_map(|output| match output {
        Output::Connect(peer) => Some(*peer),
        _ => None,
    });
    dialed.collect()
}

/// A client that is connected to servers 1 and 2 and knows 3.
fn client() -> Bench {
    let mut bench = Bench::new(Config::client(vec![1, 2]));
    bench.give(Input::Start);
    for server in [1, 2] {
        bench.give(Input::PeerUp(server));
        bench.receive(server, Message::Welcome(vec![1, 2, 3]));
    }
    bench
}

/// A server with the servers 1 and 2 and the clients 10 and 11.
fn server() -> Bench {
    let mut bench = Bench::new(Config::server(vec![1, 2]));
    bench.give(Input::Start);
    for server in [1, 2] {
        bench.give(Input::PeerUp(server));
        bench.receive(server, Message::Hello(Role::Server));
    }
    for client in [10, 11] {
        bench.give(Input::PeerUp(client));
        bench.receive(client, Message::Hello(Role::Client));
    }
    bench
}

fn relayed(from: u32, to: u32, hops_left: u8) -> Message<u32> {
    Message::Relayed(Relayed {
        from,
        to,
        hops_left,
        payload: Bytes::from_static(b"x"),
    })
}

#[test]
fn a_client_uses_two_servers_and_takes_the_third_when_one_fails() {
    let mut bench = client();
    assert_eq!(bench.node.neighbors(), [1, 2]);
    let out = bench.give(Input::PeerDown {
        peer: 1,
        why: WhyDown::Lost,
    });
    assert!(out.contains(&Output::Event(Event::NeighborDown(1))));
    assert_eq!(
        dialed(&out),
        BTreeSet::from([3]),
        "not the one that just failed"
    );
}

#[test]
fn a_server_that_does_not_answer_the_hello_is_given_up() {
    let mut bench = Bench::new(Config::client(vec![1, 2, 3]));
    let first = dialed(&bench.give(Input::Start));
    let silent = *first.first().expect("dials");
    bench.give(Input::PeerUp(silent));
    let outs: Vec<Outputs> = (0..3)
        .map(|_| bench.give(Input::Timer(PeriodOver)))
        .collect();
    assert_eq!(sent(&outs[0]), [(silent, Message::Hello(Role::Client))]);
    assert!(outs[2].contains(&Output::Disconnect(silent)));
    assert_eq!(dialed(&outs[2]).len(), 1, "another one instead");
}

#[test]
fn a_full_server_sends_clients_on() {
    let mut config = Config::server(vec![1]);
    config.clients_max = 1;
    let mut bench = Bench::new(config);
    bench.give(Input::PeerUp(1));
    bench.receive(1, Message::Hello(Role::Server));
    bench.receive(10, Message::Hello(Role::Client));
    let out = bench.receive(11, Message::Hello(Role::Client));
    assert_eq!(sent(&out), [(11, Message::Refused(vec![1, ME]))]);
    assert!(out.contains(&Output::Disconnect(11)));
    assert_eq!(bench.node.neighbors(), [1, 10]);
    let again = bench.receive(10, Message::Hello(Role::Client));
    assert_eq!(sent(&again).len(), 1, "its own client is welcome again");
}

#[test]
fn a_client_that_greets_no_more_is_taken_for_gone() {
    let mut bench = server();
    for period in 0..51 {
        if period % 10 == 0 {
            bench.receive(11, Message::Hello(Role::Client));
        }
        // Five hellos in a row may be lost.
        assert_eq!(bench.node.neighbors(), [1, 2, 10, 11], "{period}");
        bench.give(Input::Timer(PeriodOver));
    }
    assert_eq!(bench.node.neighbors(), [1, 2, 11]);
}

#[test]
fn a_client_that_is_sent_on_dials_whom_it_was_told() {
    let mut bench = Bench::new(Config::client(vec![1]));
    bench.give(Input::Start);
    bench.give(Input::PeerUp(1));
    let out = bench.receive(1, Message::Refused(vec![2, 3]));
    assert!(out.contains(&Output::Disconnect(1)));
    assert_eq!(dialed(&out), BTreeSet::from([2, 3]));
}

#[test]
fn a_stranger_cannot_welcome_itself_in() {
    let mut bench = client();
    let out = bench.receive(66, Message::Welcome(vec![67, 68]));
    assert_eq!(sent(&out), [(66, Message::Apart)]);
    assert_eq!(out.len(), 1);
    assert_eq!(bench.node.neighbors(), [1, 2]);
}

#[test]
fn a_server_relays_to_its_clients_and_to_those_of_others() {
    let mut bench = server();
    bench.receive(
        1,
        Message::Clients {
            first: true,
            clients: vec![20],
        },
    );
    let to_own = bench.receive(10, relayed(10, 11, 4));
    assert_eq!(sent(&to_own), [(11, relayed(10, 11, 3))]);
    let to_other = bench.receive(10, relayed(10, 20, 4));
    assert_eq!(sent(&to_other), [(1, relayed(10, 20, 3))]);
    bench.receive(1, Message::ClientGone(20));
    assert_eq!(sent(&bench.receive(10, relayed(10, 20, 4))), []);
    assert_eq!(bench.node.counters().unroutable, 1);
}

#[test]
fn a_payload_without_hops_left_goes_no_further() {
    let mut bench = server();
    assert_eq!(sent(&bench.receive(1, relayed(20, 10, 0))), []);
    assert_eq!(bench.node.counters().unroutable, 1);
}

#[test]
fn a_client_cannot_speak_in_the_name_of_another() {
    let mut bench = server();
    assert_eq!(bench.receive(10, relayed(11, 1, 4)), []);
    assert_eq!(
        bench.receive(66, relayed(66, 10, 4)),
        [],
        "a stranger not at all"
    );
    assert_eq!(bench.node.counters().unroutable, 2);
}

#[test]
fn what_arrives_is_told_with_its_sender() {
    let mut bench = client();
    let told = Output::Event(Event::Relayed {
        from: 20,
        payload: Bytes::from_static(b"x"),
    });
    assert_eq!(bench.receive(1, relayed(20, ME, 1)), [told]);
    assert_eq!(
        bench.receive(1, relayed(20, 30, 4)),
        [],
        "clients do not relay"
    );
    assert_eq!(bench.node.counters().unroutable, 1);
}

#[test]
fn servers_that_disagree_about_clients_tell_them_anew() {
    let mut bench = server();
    let out = bench.receive(1, Message::ClientsSummary { count: 3, sum: 77 });
    assert_eq!(sent(&out), [(1, Message::WantClients)]);
    let list = Message::Clients {
        first: true,
        clients: vec![10, 11],
    };
    assert_eq!(sent(&bench.receive(1, Message::WantClients)), [(1, list)]);
    let from_client = bench.receive(10, Message::WantClients);
    assert_eq!(from_client, [], "only servers are told");
}

#[test]
fn who_leaves_says_goodbye_and_is_not_dialed_again() {
    let mut bench = server();
    let out = bench.give(Input::Command(Command::Leave));
    let goodbyes = sent(&out);
    assert_eq!(goodbyes.len(), 4);
    assert!(
        goodbyes
            .iter()
            .all(|(_, message)| *message == Message::Goodbye)
    );
    let mut other = client();
    other.receive(1, Message::Goodbye);
    other.give(Input::PeerUp(3));
    other.receive(3, Message::Welcome(vec![2, 3]));
    let out = other.receive(3, Message::Goodbye);
    assert_eq!(
        dialed(&out),
        BTreeSet::from([1]),
        "a configured one may come back"
    );
    for _ in 0..20 {
        assert!(!dialed(&other.give(Input::Timer(PeriodOver))).contains(&3));
    }
}

#[test]
fn lists_beyond_their_bounds_are_refused() {
    let clients = Message::Clients {
        first: true,
        clients: vec![1_u32; CLIENTS_PER_MESSAGE_MAX + 1],
    };
    let too_long = [
        Message::Welcome(vec![1; SERVERS_MAX + 1]),
        clients,
        relayed(1, 2, 5),
    ];
    for message in too_long {
        assert!(message.validate().is_err(), "{message:?}");
    }
}

fn peer() -> impl Strategy<Value = u32> {
    prop_oneof![0_u32..30, Just(ME), any::<u32>()]
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Server), Just(Role::Client)]
}

fn message() -> impl Strategy<Value = Message<u32>> {
    let peers = |most: usize| prop::collection::vec(peer(), 0..=most);
    prop_oneof![
        role().prop_map(Message::Hello),
        peers(SERVERS_MAX).prop_map(Message::Welcome),
        peers(SERVERS_MAX).prop_map(Message::Refused),
        Just(Message::Goodbye),
        (any::<bool>(), peers(40)).prop_map(|(first, clients)| Message::Clients { first, clients }),
        peer().prop_map(Message::ClientGone),
        (any::<u32>(), any::<u64>())
            .prop_map(|(count, sum)| Message::ClientsSummary { count, sum }),
        Just(Message::WantClients),
        (peer(), peer(), 0_u8..=4).prop_map(|(from, to, hops)| relayed(from, to, hops)),
    ]
}

fn input() -> impl Strategy<Value = Input<u32, Message<u32>, PeriodOver>> {
    prop_oneof![
        6 => (peer(), message()).prop_map(|(from, message)| Input::Received { from, message }),
        2 => peer().prop_map(Input::PeerUp),
        2 => peer().prop_map(|peer| Input::PeerDown { peer, why: WhyDown::Lost }),
        2 => Just(Input::Timer(PeriodOver)),
        1 => peer().prop_map(|peer| Input::Command(Command::Join(peer))),
        1 => peer().prop_map(|to| Input::Command(Command::Relay { to, payload: Bytes::new() })),
    ]
}

proptest! {
    #[test]
    fn no_sequence_of_inputs_breaks_a_bound(
        seed in any::<u64>(),
        role in role(),
        inputs in prop::collection::vec(input(), 0..200),
    ) {
        let mut config = Config::server(vec![1, 2]);
        config.role = role;
        config.clients_max = 5;
        let mut node = ClientServer::new(ME, config);
        let mut random = SmallRng::seed_from_u64(seed);
        let mut neighbors = BTreeSet::new();
        for input in std::iter::once(Input::Start).chain(inputs) {
            let mut out = Vec::new();
            node.handle(Time::ZERO, input, &mut random, &mut out);
            for output in out {
                match output {
                    Output::Event(Event::NeighborUp(peer)) => {
                        prop_assert!(peer != ME);
                        prop_assert!(neighbors.insert(peer), "{} came twice", peer);
                    }
                    Output::Event(Event::NeighborDown(peer)) => {
                        prop_assert!(neighbors.remove(&peer), "{} was none", peer);
                    }
                    Output::Send { message, .. } => {
                        prop_assert_eq!(message.validate(), Ok(()));
                        prop_assert!(encode(&message).len() <= Message::<u32>::BYTES_MAX);
                    }
                    _ => {}
                }
            }
            prop_assert_eq!(node.check(), Ok(()));
            let told: Vec<u32> = neighbors.iter().copied().collect();
            prop_assert_eq!(node.neighbors(), told, "neighbors are those that were told");
        }
    }
}

#[test]
fn a_busy_server_is_not_forgotten_and_one_that_refuses_is() {
    for (why, stays) in [(WhyDown::Busy, true), (WhyDown::Refused, false)] {
        let mut servers = super::Servers::new();
        servers.learn(5_u32, false);
        for _ in 0..20 {
            servers.failed(&5, why);
        }
        assert_eq!(servers.with(|_| true).count() == 1, stays, "{why:?}");
    }
}

/// One period more, in which every dial finds nobody. Who was dialed.
fn period_among_the_dead(bench: &mut Bench) -> BTreeSet<u32> {
    let out = bench.give(Input::Timer(PeriodOver));
    let mut all = dialed(&out);
    let mut open = all.clone();
    while let Some(peer) = open.pop_first() {
        let why = WhyDown::TimedOut;
        let again = dialed(&bench.give(Input::PeerDown { peer, why }));
        all.extend(&again);
        open.extend(again);
    }
    all
}

#[test]
fn the_dead_make_room_for_the_servers_that_replace_them() {
    let mut bench = server();
    for server in 200..500 {
        bench.give(Input::PeerUp(server));
        let out = bench.receive(server, Message::Hello(Role::Server));
        let welcome = (server, Message::Welcome(vec![1, 2, server, ME]));
        assert_eq!(sent(&out).last(), Some(&welcome));
        let why = WhyDown::Lost;
        bench.give(Input::PeerDown { peer: server, why });
    }
    assert_eq!(bench.node.server_neighbors().collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn a_dead_server_is_dialed_less_and_less_and_forgotten_unless_it_was_configured() {
    let mut bench = server();
    bench.give(Input::PeerUp(200));
    bench.receive(200, Message::Hello(Role::Server));
    for peer in [1, 200] {
        let why = WhyDown::Lost;
        bench.give(Input::PeerDown { peer, why });
    }
    // As long as server 2 is there, that is.
    let dials = |bench: &mut Bench, periods: u32| {
        let mut dials = [0_u32; 2];
        for _ in 0..periods {
            bench.receive(2, Message::Hello(Role::Server));
            let dialed = period_among_the_dead(bench);
            for (count, peer) in dials.iter_mut().zip([1, 200]) {
                *count += u32::from(dialed.contains(&peer));
            }
        }
        dials
    };
    let first = dials(&mut bench, 600);
    assert!(
        first.iter().all(|count| (80..=105).contains(count)),
        "{first:?}"
    );
    dials(&mut bench, 4_300);
    let late = dials(&mut bench, 600);
    assert!(late[0] >= 80 && late[1] == 0, "{late:?}");
}

#[test]
fn a_client_without_any_server_tries_them_every_period() {
    let mut bench = client();
    for peer in [1, 2, 3, 1, 2, 3] {
        let why = WhyDown::Lost;
        bench.give(Input::PeerDown { peer, why });
    }
    for _ in 0..100 {
        period_among_the_dead(&mut bench);
    }
    let dialed = period_among_the_dead(&mut bench);
    assert!(dialed.is_superset(&BTreeSet::from([1, 2])), "{dialed:?}");
}

#[test]
fn the_next_hop_is_a_server_that_has_the_node_and_another_one_when_it_fails() {
    let mut random = SmallRng::seed_from_u64(1);
    let mut bench = server();
    let clients = |first| Message::Clients {
        first,
        clients: vec![70],
    };
    bench.receive(1, clients(true));
    bench.receive(2, clients(true));
    let node = &bench.node;
    assert_eq!(node.next_hop(10, None, &mut random), Some(10), "a client");
    let holders = [1, 2].map(|server| node.next_hop(70, Some(server), &mut random));
    assert_eq!(holders, [Some(2), Some(1)], "never back");
    assert_eq!(node.next_hop(71, None, &mut random), None);
    let why = WhyDown::Lost;
    bench.give(Input::PeerDown { peer: 1, why });
    assert_eq!(bench.node.next_hop(70, None, &mut random), Some(2));
    let mut client = client();
    let first = client
        .node
        .next_hop(70, None, &mut random)
        .expect("a server");
    client.give(Input::PeerDown { peer: first, why });
    let second = client.node.next_hop(70, None, &mut random);
    assert!(second.is_some() && second != Some(first), "{second:?}");
}

fn near_is(peer: u32) -> Input<u32, Message<u32>, PeriodOver> {
    Input::Command(Command::Near {
        peer,
        is_near: true,
    })
}

#[test]
fn a_client_takes_a_near_server_before_it_gives_a_far_one_up() {
    let mut bench = client();
    bench.give(near_is(3));
    let mut dials = BTreeSet::new();
    for _ in 0..10 {
        dials.extend(dialed(&bench.give(Input::Timer(PeriodOver))));
    }
    assert_eq!(dials, BTreeSet::from([3]));
    assert_eq!(bench.node.neighbors(), [1, 2], "until it is let in");
    bench.give(Input::PeerUp(3));
    let out = bench.receive(3, Message::Welcome(vec![1, 2, 3]));
    bench.node.check().expect("two servers");
    assert!(bench.node.neighbors().contains(&3));
    let gone = sent(&out)
        .into_iter()
        .find(|(_, said)| *said == Message::Apart);
    let (gone, _) = gone.expect("one is told");
    assert!(out.contains(&Output::Disconnect(gone)) && !bench.node.neighbors().contains(&gone));
    // The other one stays: nobody else is near.
    for _ in 0..30 {
        assert_eq!(
            dialed(&bench.give(Input::Timer(PeriodOver))),
            BTreeSet::new()
        );
        for server in bench.node.neighbors() {
            bench.receive(server, Message::Welcome(vec![1, 2, 3]));
        }
    }
}

#[test]
fn payloads_go_over_near_servers_first() {
    let mut bench = client();
    bench.give(near_is(2));
    let mut random = SmallRng::seed_from_u64(4);
    assert_eq!(bench.node.next_hop(50, None, &mut random), Some(2));
    assert_eq!(bench.node.next_hop(50, Some(2), &mut random), Some(1));
    let mut bench = server();
    for server in [1, 2] {
        let clients = vec![50];
        bench.receive(
            server,
            Message::Clients {
                first: true,
                clients,
            },
        );
    }
    assert_eq!(bench.node.next_hop(50, None, &mut random), Some(1));
    bench.give(near_is(2));
    assert_eq!(bench.node.next_hop(50, None, &mut random), Some(2));
}

#[test]
fn a_lane_that_a_known_server_dialed_is_used_where_one_is_missing() {
    let why = WhyDown::Lost;
    let mut bench = server();
    bench.give(Input::PeerDown { peer: 1, why });
    let out = bench.give(Input::PeerUp(1));
    assert_eq!(sent(&out), [(1, Message::Hello(Role::Server))]);
    let mut bench = client();
    let out = bench.give(Input::PeerUp(3));
    assert_eq!(out, [Output::Disconnect(3)], "it has two");
    for peer in [1, 3] {
        bench.give(Input::PeerDown { peer, why });
    }
    let out = bench.give(Input::PeerUp(1));
    assert_eq!(sent(&out), [(1, Message::Hello(Role::Client))]);
}

#[test]
fn what_a_server_said_of_its_clients_ends_with_its_lane_or_when_its_summary_differs() {
    let mut random = SmallRng::seed_from_u64(1);
    let clients = Message::Clients {
        first: true,
        clients: vec![70],
    };
    let mut bench = server();
    bench.receive(1, clients.clone());
    assert_eq!(bench.node.next_hop(70, None, &mut random), Some(1));
    let why = WhyDown::Lost;
    bench.give(Input::PeerDown { peer: 1, why });
    bench.give(Input::PeerUp(1));
    bench.receive(1, Message::Hello(Role::Server));
    assert!(bench.node.neighbors().contains(&1));
    // It has no clients now, so it has nothing to tell.
    assert_eq!(bench.node.next_hop(70, None, &mut random), None);
    bench.receive(1, clients);
    let out = bench.receive(1, Message::ClientsSummary { count: 0, sum: 0 });
    assert_eq!(sent(&out), [(1, Message::WantClients)]);
    assert_eq!(bench.node.next_hop(70, None, &mut random), None);
}

#[test]
fn a_server_makes_room_for_another_only_once_it_has_failed() {
    let mut servers = super::Servers::new();
    let all = u32::try_from(SERVERS_MAX).expect("few");
    for peer in 0..=all {
        servers.learn(peer, false);
    }
    assert_eq!(servers.with(|_| true).count(), SERVERS_MAX);
    assert_eq!(servers.link(&all), None, "one too many");
    servers.failed(&7, WhyDown::Lost);
    servers.learn(all, false);
    assert!(servers.link(&all).is_some() && servers.link(&7).is_none());
}

#[test]
fn a_client_dials_the_near_server_and_no_more_than_it_uses() {
    let mut bench = Bench::new(Config::client(vec![1, 2, 3, 4]));
    bench.give(near_is(2));
    let dialed = dialed(&bench.give(Input::Start));
    assert!(dialed.contains(&2) && dialed.len() == 2, "{dialed:?}");
}

#[test]
fn the_longest_message_is_a_relayed_payload_of_full_length() {
    let message = Message::Relayed(Relayed {
        from: u32::MAX,
        to: u32::MAX,
        hops_left: u8::MAX,
        payload: vec![0; PAYLOAD_BYTES_MAX].into(),
    });
    assert_eq!(encode(&message).len(), Message::<u32>::BYTES_MAX);
}
