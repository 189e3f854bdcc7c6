//! What the direct layer does, input by input; and whole clusters against a simple model.

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::*;

#[cfg(feature = "sim")]
mod clusters;

const SENDER: u64 = 77;

struct Bench {
    layer: Direct<u32>,
    now: Time,
    random: SmallRng,
}

type Out = Vec<Output<u32, Message<u32>, Timer>>;

impl Bench {
    /// Node 5 among these neighbors.
    fn new(neighbors: &[u32]) -> Self {
        let mut bench = Self {
            layer: Direct::new(5, Config::default()),
            now: Time::ZERO,
            random: SmallRng::seed_from_u64(1),
        };
        for peer in neighbors {
            bench.input(Input::Below(Event::NeighborUp(*peer)));
        }
        bench.wait(60);
        bench.input(Input::Timer(Timer::Tell));
        bench
    }

    fn input(&mut self, input: Input<u32, Message<u32>, Timer>) -> Out {
        let mut out = Vec::new();
        self.layer
            .handle(self.now, input, &mut self.random, &mut out);
        self.layer.check().unwrap();
        out
    }

    fn wait(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
    }

    fn received(&mut self, from: u32, message: Message<u32>) -> Out {
        self.input(Input::Received { from, message })
    }

    /// Message `number` of node 9 comes from a neighbor. The numbers delivered, and what is sent.
    fn gossip(&mut self, from: u32, number: u64, late: bool) -> Out {
        self.received(
            from,
            Message::Gossip(Gossip {
                sender: 9,
                id: id(number),
                back: 0,
                hops: 0,
                late,
                payload: vec![1].into(),
            }),
        )
    }

    fn heads(&mut self, from: u32, next: u64, again: bool) -> Out {
        let heads = vec![head(next)];
        self.received(from, Message::Heads { heads, again })
    }

    fn broadcast(&mut self) -> Out {
        self.input(Input::Command(Command::Broadcast(vec![2].into())))
    }

    /// Time enough for what is waited for, and the timer for it.
    fn ask(&mut self) -> Vec<(u32, Vec<MessageId>)> {
        self.wait(600);
        wanted(&self.input(Input::Timer(Timer::Ask)))
    }

    fn tell(&mut self, after: u64) -> Vec<(u32, u64, bool)> {
        self.wait(after);
        told(&self.input(Input::Timer(Timer::Tell)))
    }
}

const fn id(number: u64) -> MessageId {
    let sender = SENDER;
    MessageId { sender, number }
}

const fn head(next: u64) -> Head<u32> {
    Head {
        stream: SENDER,
        sender: 9,
        next,
        back: 0,
        floor: 0,
    }
}

fn delivered(out: &Out) -> Vec<u64> {
    let delivered = out.iter().filter_map(|output| match output {
        Output::Event(Event::Delivered(delivery)) => Some(delivery.id.number),
        _ => None,
    });
    delivered.collect()
}

fn wanted(out: &Out) -> Vec<(u32, Vec<MessageId>)> {
    let wanted = out.iter().filter_map(|output| match output {
        Output::Send {
            to,
            message: Message::Want { ids },
        } => Some((*to, ids.clone())),
        _ => None,
    });
    wanted.collect()
}

/// Who was told of which next number of one sender, and whether to answer.
fn told(out: &Out) -> Vec<(u32, u64, bool)> {
    let told = out.iter().filter_map(|output| match output {
        Output::Send {
            to,
            message: Message::Heads { heads, again },
        } => Some((*to, heads[0].next, *again)),
        _ => None,
    });
    told.collect()
}

#[test]
fn a_broadcast_goes_straight_to_all_but_who_has_no_room() {
    let mut bench = Bench::new(&[1, 2, 9]);
    bench.input(Input::Congested(2));
    let out = bench.broadcast();
    let to = out.iter().find_map(|output| match output {
        Output::SendAll { to, .. } => Some(to.clone()),
        _ => None,
    });
    assert_eq!(to, Some(vec![1, 9]));
    bench.input(Input::Drained(2));
    let out = bench.broadcast();
    assert!(matches!(&out[0], Output::SendAll { to, .. } if to.len() == 3));
}

#[test]
fn each_message_is_delivered_once_in_any_order_and_not_to_its_sender() {
    let mut bench = Bench::new(&[1, 9]);
    let mut all = Vec::new();
    for number in [0, 3, 2, 2, 0, 1, 3, 4] {
        all.extend(delivered(&bench.gossip(9, number, false)));
    }
    assert_eq!(all, [0, 3, 2, 1, 4]);
    assert_eq!(bench.ask(), [], "nothing is missing");
    bench.broadcast();
    let own = bench.layer.numbering.last().unwrap();
    let mut forged = Gossip {
        sender: 5,
        id: own,
        back: 0,
        hops: 0,
        late: false,
        payload: vec![3].into(),
    };
    forged.id.number += 1;
    let out = bench.received(1, Message::Gossip(forged));
    assert_eq!(delivered(&out), [], "nobody else sends as this node");
}

#[test]
fn what_was_skipped_is_asked_for_in_turn_and_given_up_when_nobody_has_it() {
    let mut bench = Bench::new(&[1, 7, 9]);
    bench.gossip(9, 0, false);
    bench.gossip(9, 2, false);
    assert_eq!(
        wanted(&bench.input(Input::Timer(Timer::Ask))),
        [],
        "in time"
    );
    assert_eq!(bench.ask(), [(9, vec![id(1)])]);
    bench.heads(7, 3, false);
    assert_eq!(bench.ask(), [(1, vec![id(1)])], "then a partner");
    let lacks = |ids| Message::Lacks { ids };
    let out = bench.received(1, lacks(vec![id(1)]));
    assert_eq!(wanted(&out), [(7, vec![id(1)])], "the next one, at once");
    let out = bench.received(7, lacks(vec![id(1)]));
    assert_eq!(wanted(&out), [(9, vec![id(1)])], "again");
    assert_eq!(bench.layer.given_up(), 0);
    let out = bench.received(9, lacks(vec![id(1)]));
    assert_eq!(wanted(&out), []);
    assert_eq!(bench.layer.given_up(), 1);
    assert_eq!(bench.tell(60), [(1, 3, false), (7, 3, false)]);
    assert_eq!(delivered(&bench.gossip(9, 1, true)), [], "too late");
}

/// Found by whole clusters: a node that had just started again, with lanes of which one direction was
/// broken, gave up what both others had.
#[test]
fn what_is_known_to_exist_is_not_given_up_because_its_holders_are_no_neighbors_now() {
    let mut bench = Bench::new(&[9]);
    bench.gossip(9, 1, false);
    bench.gossip(9, 3, false);
    bench.input(Input::Below(Event::NeighborDown(9)));
    assert_eq!(bench.ask(), []);
    assert_eq!(bench.layer.given_up(), 0);
    bench.input(Input::Below(Event::NeighborUp(9)));
    assert_eq!(bench.ask(), [(9, vec![id(2)])]);
    bench.input(Input::Below(Event::NeighborDown(9)));
    bench.wait(30_000);
    bench.ask();
    assert_eq!(
        bench.layer.given_up(),
        1,
        "no longer than messages are kept"
    );
}

#[test]
fn an_answer_is_waited_for_no_longer_than_answers_take() {
    let mut bench = Bench::new(&[1, 9]);
    bench.gossip(9, 0, false);
    for number in 1..200 {
        bench.gossip(9, 2 * number, false);
        bench.ask();
        bench.wait(20);
        assert_eq!(delivered(&bench.gossip(9, 2 * number - 1, true)).len(), 1);
    }
    assert_eq!(bench.layer.pace.answer_within(), Duration::from_millis(40));
}

#[test]
fn the_last_message_is_told_of_until_it_is_confirmed() {
    let mut bench = Bench::new(&[1, 7, 9]);
    bench.gossip(9, 0, false);
    assert_eq!(bench.tell(60), [(1, 1, false), (7, 1, false)]);
    bench.heads(7, 1, false);
    assert_eq!(bench.tell(60), [], "in time");
    assert_eq!(bench.tell(400), [(1, 1, true)]);
    assert_eq!(bench.tell(400), [], "twice the time");
    assert_eq!(bench.tell(400), [(1, 1, true)]);
    let out = bench.heads(1, 1, true);
    assert_eq!(told(&out), [(1, 1, false)], "asked to say it");
    assert_eq!(bench.tell(10_000), []);
}

#[test]
fn what_a_partner_has_is_asked_for_there_and_answered_from_the_store() {
    let mut bench = Bench::new(&[1, 9]);
    bench.gossip(9, 0, false);
    bench.heads(1, 2, false);
    assert_eq!(bench.ask(), [(1, vec![id(1)])]);
    assert_eq!(delivered(&bench.gossip(1, 1, true)), [1]);
    let ids = vec![id(1), id(2)];
    let out = bench.received(9, Message::Want { ids });
    let Output::Send {
        to: 9,
        message: Message::Lacks { ids },
    } = &out[0]
    else {
        panic!("{out:?}");
    };
    assert_eq!(*ids, [id(2)]);
    assert!(matches!(
        &out[1],
        Output::Send {
            to: 9,
            message: Message::Gossip(Gossip {
                late: true,
                hops: 1,
                ..
            })
        }
    ));
}

#[test]
fn a_newcomer_is_to_have_what_came_within_the_last_seconds() {
    let mut bench = Bench::new(&[1, 9]);
    for number in 0..5 {
        bench.gossip(9, number, false);
        bench.wait(900);
    }
    // Three seconds to six: all of it, then nothing.
    let stream = bench.layer.streams.get(SENDER).unwrap();
    let back = |now| stream.back(now, 5, bench.layer.config.catch_up_for);
    assert_eq!(back(bench.now), 5);
    assert_eq!(back(bench.now + Duration::from_secs(3)), 0);
    bench.wait(60_000);
    bench.gossip(9, 5, false);
    let stream = bench.layer.streams.get(SENDER).unwrap();
    assert_eq!(
        stream.back(bench.now, 6, bench.layer.config.catch_up_for),
        1
    );

    let mut newcomer = Bench::new(&[1]);
    let heads = vec![Head { back: 2, ..head(6) }];
    let again = false;
    newcomer.received(1, Message::Heads { heads, again });
    assert_eq!(newcomer.ask(), [(1, vec![id(4), id(5)])]);
}

#[test]
fn what_was_young_when_a_partner_was_told_first_stays_due_until_it_has_it() {
    let mut bench = Bench::new(&[1, 9]);
    bench.gossip(9, 0, false);
    bench.tell(60);
    bench.wait(20_000);
    let out = bench.input(Input::Timer(Timer::Tell));
    let told = out.iter().find_map(|output| match output {
        Output::Send {
            to: 1,
            message: Message::Heads { heads, .. },
        } => Some(heads[0]),
        _ => None,
    });
    assert_eq!(told, Some(Head { back: 1, ..head(1) }));
    // Node 1 has heard of a later message alone, in 20 s.
    bench.gossip(9, 1, false);
    let heads = vec![Head {
        floor: 1,
        ..head(2)
    }];
    let again = false;
    bench.received(1, Message::Heads { heads, again });
    bench.tell(60);
    assert!(bench.layer.ring[&1].lags(SENDER, 2), "it lacks the first");
    bench.heads(1, 2, false);
    assert!(!bench.layer.ring[&1].lags(SENDER, 2));

    let mut late = Bench::new(&[1, 9]);
    late.gossip(9, 1, false);
    let heads = vec![Head { back: 2, ..head(2) }];
    late.received(1, Message::Heads { heads, again });
    assert_eq!(late.ask(), [(1, vec![id(0)])]);
    assert_eq!(delivered(&late.gossip(1, 0, true)), [0]);
}

#[test]
fn hearsay_without_end_is_bounded_and_costs_no_real_message() {
    let mut bench = Bench::new(&[1, 9]);
    bench.gossip(9, 0, false);
    bench.heads(1, u64::MAX, false);
    assert_eq!(bench.layer.missing.len(), Config::default().missing_max);
    for _ in 0..20 {
        bench.ask();
    }
    assert_eq!((bench.layer.missing.len(), bench.layer.given_up()), (0, 0));
    assert_eq!(delivered(&bench.gossip(9, 1, false)), [1]);
    for stream in 0..5_000 {
        let heads = vec![Head { stream, ..head(1) }];
        let again = true;
        bench.received(1, Message::Heads { heads, again });
    }
    assert_eq!(
        bench.layer.streams.len(),
        Config::default().store.senders_max
    );
}

#[test]
fn senders_are_forgotten_when_they_are_quiet_for_long() {
    let mut bench = Bench::new(&[1, 9]);
    bench.gossip(9, 0, false);
    bench.tell(60);
    bench.wait(700_000);
    let out = bench.input(Input::Timer(Timer::Forget));
    assert_eq!(bench.layer.streams.len(), 0);
    assert!(
        bench
            .layer
            .ring
            .values()
            .all(|partner| partner.lags(SENDER, 1))
    );
    assert_eq!(out, [], "and the timer rests");
}
