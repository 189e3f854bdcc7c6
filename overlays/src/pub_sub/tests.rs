//! The rules of one node, and what hostile peers can do to it. Whole topics run in the simulator.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::message::CONTACTS_MAX;
use super::{Config, KIND_APPLICATION, KIND_NEWS, Message, News, PubSub, SwarmMessage, Timer};
use crate::event::{
    Command, Event, Input, Output, PAYLOAD_BYTES_MAX, Protocol, Refusal, TopicId, WhyDown,
};
use crate::message::{DecodeError, Message as _, decode, encode};
use crate::payload::Payload;
use crate::plumtree::Gossip;
use crate::stack::Half;
use crate::store::MessageId;
use crate::time::Time;
use crate::{hyparview, plumtree};

const ME: u32 = 100;

type Outputs = Vec<Output<u32, Message<u32>, Timer>>;
type In = Input<u32, Message<u32>, Timer>;

struct Bench {
    node: PubSub<u32>,
    random: SmallRng,
    now: Time,
}

impl Bench {
    fn new(config: Config) -> Self {
        let mut bench = Self {
            node: PubSub::new(ME, config),
            random: SmallRng::seed_from_u64(5),
            now: Time::ZERO,
        };
        bench.give(Input::Start);
        bench
    }

    /// With node 1 as its neighbor in the overlay of all nodes.
    fn joined() -> Self {
        let mut bench = Self::new(Config::default());
        bench.receive(1, Message::Base(Half::Lower(hyparview::Message::Join)));
        bench
    }

    fn give(&mut self, input: In) -> Outputs {
        let mut out = Vec::new();
        self.node
            .handle(self.now, input, &mut self.random, &mut out);
        out
    }

    fn receive(&mut self, from: u32, message: Message<u32>) -> Outputs {
        self.give(Input::Received { from, message })
    }

    fn subscribe(&mut self, topic: TopicId) -> Outputs {
        self.give(Input::Command(Command::Subscribe(topic)))
    }

    /// Node 1 passes on what `number` says, by broadcast to all nodes.
    fn news(&mut self, number: u64, news: News<u32>) -> Outputs {
        self.receive(1, Message::Base(gossip(number, marked(&news))))
    }
}

fn marked(news: &News<u32>) -> Payload {
    Payload::from(encode(news)).marked(KIND_NEWS)
}

fn gossip(number: u64, payload: Payload) -> SwarmMessage<u32> {
    Half::Upper(plumtree::Message::Gossip(Gossip {
        sender: 9,
        id: MessageId { sender: 9, number },
        hops: 1,
        mark: None,
        late: false,
        payload,
    }))
}

const fn here(topic: TopicId, peer: u32) -> News<u32> {
    News::Here {
        topic,
        peer,
        beacon: 77,
    }
}

fn sent(out: &Outputs) -> Vec<(u32, Message<u32>)> {
    let sent = out.iter().filter_map(|output| match output {
        Output::Send { to, message } => Some((*to, message.clone())),
        _ => None,
    });
    sent.collect()
}

/// Those that were asked to let this node into a topic.
fn joined_through(out: &Outputs, wanted: TopicId) -> BTreeSet<u32> {
    let joins = sent(out).into_iter().filter(|(_, message)| {
        matches!(message, Message::Topic { topic, message: Half::Lower(hyparview::Message::Join) }
            if *topic == wanted)
    });
    joins.map(|(to, _)| to).collect()
}

#[test]
fn a_subscriber_joins_through_those_it_heard_of() {
    let mut bench = Bench::joined();
    bench.news(0, here(7, 20));
    let out = bench.subscribe(7);
    assert_eq!(joined_through(&out, 7), BTreeSet::from([20]));
}

#[test]
fn a_subscriber_that_heard_of_nobody_asks_its_neighbors() {
    let mut bench = Bench::joined();
    let out = bench.subscribe(7);
    assert!(sent(&out).contains(&(1, Message::WhoIs(7))));
    let out = bench.receive(
        1,
        Message::Contacts {
            topic: 7,
            peers: vec![30, ME],
        },
    );
    assert_eq!(joined_through(&out, 7), BTreeSet::from([30]));
}

#[test]
fn a_lonely_subscriber_joins_the_next_one_it_hears_of() {
    let mut bench = Bench::joined();
    bench.subscribe(7);
    let out = bench.news(0, here(7, 20));
    assert_eq!(joined_through(&out, 7), BTreeSet::from([20]));
    let other = bench.news(1, here(8, 20));
    assert_eq!(joined_through(&other, 8), BTreeSet::new(), "not its topic");
}

#[test]
fn who_asks_is_told_and_a_subscriber_names_itself() {
    let mut bench = Bench::joined();
    assert_eq!(bench.receive(5, Message::WhoIs(7)), []);
    bench.subscribe(7);
    let told = Message::Contacts {
        topic: 7,
        peers: vec![ME],
    };
    assert_eq!(sent(&bench.receive(5, Message::WhoIs(7))), [(5, told)]);
}

#[test]
fn who_left_a_topic_is_no_contact_any_more() {
    let mut bench = Bench::joined();
    bench.news(0, here(7, 20));
    bench.news(1, News::Gone { topic: 7, peer: 20 });
    assert_eq!(joined_through(&bench.subscribe(7), 7), BTreeSet::new());
}

#[test]
fn messages_of_a_topic_that_is_not_subscribed_are_sent_back() {
    let mut bench = Bench::joined();
    let out = bench.receive(5, join());
    assert_eq!(sent(&out), [(5, Message::NotHere(7))]);
}

#[test]
fn a_beacon_that_does_not_come_within_the_topic_leads_to_its_sender() {
    let mut bench = Bench::joined();
    bench.subscribe(7);
    bench.receive(5, join());
    assert_eq!(bench.node.topic_neighbors(7), [5]);
    let out = bench.news(0, here(7, 20));
    let check = Timer::Check {
        topic: 7,
        beacon: 77,
    };
    let timer = out.iter().find_map(|output| match output {
        Output::SetTimer { id, after } if *id == check => Some(*after),
        _ => None,
    });
    assert!(timer.is_some_and(|after| after >= Duration::from_secs(2)));
    let out = bench.give(Input::Timer(check));
    assert_eq!(joined_through(&out, 7), BTreeSet::from([20]));
    let again = bench.give(Input::Timer(check));
    assert_eq!(joined_through(&again, 7), BTreeSet::new(), "once is enough");
}

#[test]
fn a_publication_for_another_is_delivered_here_and_passed_on() {
    let mut bench = Bench::joined();
    bench.subscribe(7);
    let payload = Bytes::from_static(b"hello");
    let message = Message::PublishFor {
        topic: 7,
        number: 70,
        payload: payload.clone(),
    };
    let delivered = |out: &Outputs| {
        out.iter().any(|output| {
            matches!(output, Output::Event(Event::Delivered(delivery))
            if delivery.topic == Some(7)
                && delivery.sender == 5
                && delivery.payload.body == payload)
        })
    };
    let published = (5, Message::Published { number: 70 });
    let out = bench.receive(5, message.clone());
    assert!(delivered(&out) && sent(&out).contains(&published));
    let again = bench.receive(5, message.clone());
    assert!(!delivered(&again), "its answer was lost, perhaps");
    assert_eq!(sent(&again), [published]);
    bench.give(Input::Command(Command::Unsubscribe(7)));
    let out = bench.receive(5, message);
    assert_eq!(sent(&out), [(5, Message::NotHere(7))]);
}

/// The timer that waits for a contact's answer.
fn answer_due(out: &Outputs) -> Option<Timer> {
    out.iter().find_map(|output| match output {
        Output::SetTimer { id, .. } if matches!(id, Timer::AnswerDue { .. }) => Some(*id),
        _ => None,
    })
}

/// Whom a publication was sent to, and under which number.
fn handed_to(out: &Outputs) -> Option<(u32, u64)> {
    sent(out)
        .into_iter()
        .find_map(|(to, message)| match message {
            Message::PublishFor { number, .. } => Some((to, number)),
            _ => None,
        })
}

/// A node that knows the subscribers 20 to 22 of topic 7, and publishes to it. Whom it asks first.
fn published_from_outside() -> (Bench, Outputs) {
    let mut bench = Bench::joined();
    for (number, peer) in (0..).zip(20..23) {
        bench.news(number, here(7, peer));
    }
    let payload = Bytes::from_static(b"hello");
    let out = bench.give(Input::Command(Command::Publish(7, payload)));
    (bench, out)
}

#[test]
fn a_publication_from_outside_is_handed_on_until_somebody_takes_it() {
    let (mut bench, out) = published_from_outside();
    let (first, number) = handed_to(&out).expect("a contact is asked");
    let due = answer_due(&out).expect("and waited for");
    // The first is gone, the second is silent, the third says that it takes part no longer.
    let out = bench.give(Input::PeerDown {
        peer: first,
        why: WhyDown::Refused,
    });
    let (second, same) = handed_to(&out).expect("another one is asked");
    assert!(second != first && same == number);
    assert_eq!(bench.give(Input::Timer(due)), [], "of an earlier attempt");
    let due = answer_due(&out).expect("waited for");
    let out = bench.give(Input::Timer(due));
    let (third, _) = handed_to(&out).expect("another one is asked");
    assert!(![first, second].contains(&third));
    let out = bench.receive(third, Message::NotHere(7));
    assert!(sent(&out).contains(&(1, Message::WhoIs(7))), "who else?");
    let peers = vec![first, 30];
    let out = bench.receive(1, Message::Contacts { topic: 7, peers });
    assert_eq!(handed_to(&out), Some((30, number)), "not a second time");
    let due = answer_due(&out).expect("waited for");
    bench.receive(30, Message::Published { number });
    assert_eq!(bench.give(Input::Timer(due)), [], "it is published");
    assert_eq!(bench.node.counters().unpublished, 0);
}

#[test]
fn only_who_was_asked_can_say_that_it_is_published_and_a_busy_contact_is_kept() {
    let (mut bench, out) = published_from_outside();
    let (first, number) = handed_to(&out).expect("a contact is asked");
    let due = answer_due(&out).expect("and waited for");
    bench.receive(99, Message::Published { number });
    let why = WhyDown::Busy;
    let out = bench.give(Input::PeerDown { peer: first, why });
    assert_eq!(handed_to(&out), None);
    assert!(bench.node.contacts.of(7).contains(&first));
    assert!(handed_to(&bench.give(Input::Timer(due))).is_some());
}

#[test]
fn publications_that_nobody_takes_fill_no_memory() {
    let (mut bench, _) = published_from_outside();
    let payload = Bytes::from(vec![0; PAYLOAD_BYTES_MAX]);
    for _ in 0..40 {
        bench.give(Input::Command(Command::Publish(7, payload.clone())));
        assert_eq!(bench.node.check(), Ok(()));
    }
    // Four MiB are sixteen of them, and one was there already.
    assert_eq!(bench.node.counters().unpublished, 25);
}

#[test]
fn more_topics_than_allowed_are_refused_and_counted() {
    let config = Config {
        topics_max: 3,
        ..Config::default()
    };
    let mut bench = Bench::new(config);
    for topic in 0..5 {
        bench.subscribe(topic);
    }
    assert_eq!(bench.node.topics().collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(bench.node.counters().refused, 2);
    bench.give(Input::Command(Command::Unsubscribe(1)));
    bench.subscribe(4);
    assert_eq!(bench.node.topics().collect::<Vec<_>>(), [0, 2, 4]);
}

#[test]
fn timers_of_an_earlier_subscription_do_nothing() {
    let mut bench = Bench::joined();
    let timers: Vec<Timer> = bench
        .subscribe(7)
        .into_iter()
        .filter_map(|output| match output {
            Output::SetTimer { id, .. } => Some(id),
            _ => None,
        })
        .collect();
    bench.give(Input::Command(Command::Unsubscribe(7)));
    bench.subscribe(7);
    for id in timers {
        if matches!(id, Timer::Topic { .. } | Timer::Announce { .. }) {
            assert_eq!(bench.give(Input::Timer(id)), [], "{id:?}");
        }
    }
}

#[test]
fn what_cannot_be_published_is_given_back() {
    let mut bench = Bench::joined();
    let publish = |topic, bytes| {
        let payload = Bytes::from(vec![0; bytes]);
        Input::Command(Command::Publish(topic, payload))
    };
    let refused = |out: &Outputs| {
        out.iter().find_map(|output| match output {
            Output::Event(Event::Refused { why, .. }) => Some(*why),
            _ => None,
        })
    };
    // Neighbors are asked who takes part, several times, before it is given up.
    let mut out = bench.give(publish(7, 1));
    let mut asked = 0;
    while refused(&out).is_none() {
        assert_eq!(sent(&out), [(1, Message::WhoIs(7))]);
        asked += 1;
        let id = answer_due(&out).expect("something is waited for");
        out = bench.give(Input::Timer(id));
    }
    assert_eq!((asked, refused(&out)), (8, Some(Refusal::NoWay)));
    assert_eq!(bench.node.counters().unpublished, 1);
    bench.subscribe(7);
    let out = bench.give(publish(7, PAYLOAD_BYTES_MAX));
    assert_eq!(refused(&out), None, "the largest payload passes");
    let too_large = Refusal::TooLarge {
        bytes: PAYLOAD_BYTES_MAX + 1,
        bytes_max: PAYLOAD_BYTES_MAX,
    };
    let out = bench.give(publish(7, PAYLOAD_BYTES_MAX + 1));
    assert_eq!(refused(&out), Some(too_large));
}

#[test]
fn what_a_peer_says_of_topics_fills_no_memory() {
    let config = Config {
        topics_known_max: 10,
        ..Config::default()
    };
    let mut bench = Bench::new(config);
    bench.receive(1, Message::Base(Half::Lower(hyparview::Message::Join)));
    for number in 0..500_u64 {
        let peer = u32::try_from(number % 90).expect("small");
        bench.news(number, here(number % 50, peer));
    }
    assert_eq!(bench.node.check(), Ok(()));
    let too_many = Message::Contacts {
        topic: 7,
        peers: vec![1_u32; CONTACTS_MAX + 1],
    };
    assert!(too_many.validate().is_err());
}

/// The next announcement of a topic: its timer, and when it is due.
fn next_announcement(out: &Outputs) -> (Timer, Duration) {
    let mut set = out.iter().filter_map(|output| match output {
        Output::SetTimer { id, after } => Some((*id, *after)),
        _ => None,
    });
    let found = set.find(|(id, _)| matches!(id, Timer::Announce { .. }));
    found.expect("a timer is set")
}

/// Whether something was broadcast to all nodes.
fn is_told_to_all(out: &Outputs) -> bool {
    out.iter().any(|output| match output {
        Output::Send { message, .. } | Output::SendAll { message, .. } => {
            matches!(message, Message::Base(Half::Upper(_)))
        }
        _ => false,
    })
}

/// Node 5 joins topic 7 through this one.
fn join() -> Message<u32> {
    Message::Topic {
        topic: 7,
        message: Half::Lower(hyparview::Message::Join),
    }
}

#[test]
fn a_subscriber_announces_itself_often_only_while_it_is_lonely() {
    let Config {
        lonely_every,
        announce_every,
        ..
    } = Config::default();
    let mut bench = Bench::joined();
    let (id, after) = next_announcement(&bench.subscribe(7));
    assert!(after <= 2 * lonely_every, "{after:?}");
    bench.now = bench.now + after;
    let out = bench.give(Input::Timer(id));
    assert!(is_told_to_all(&out));
    let (id, after) = next_announcement(&out);
    bench.receive(5, join());
    bench.now = bench.now + after;
    let out = bench.give(Input::Timer(id));
    assert!(is_told_to_all(&out));
    let (_, after) = next_announcement(&out);
    assert!(after >= announce_every, "it has company: {after:?}");
    let why = WhyDown::Lost;
    let out = bench.give(Input::PeerDown { peer: 5, why });
    let (id, after) = next_announcement(&out);
    assert!(after <= 2 * lonely_every, "it has none: {after:?}");
    bench.now = bench.now + after;
    assert!(is_told_to_all(&bench.give(Input::Timer(id))));
}

#[test]
fn what_is_published_within_a_topic_is_delivered_as_of_that_topic() {
    let mut bench = Bench::joined();
    bench.subscribe(7);
    bench.receive(5, join());
    let payload = Payload::from(Bytes::from_static(b"hello"));
    let message = Message::Topic {
        topic: 7,
        message: gossip(0, payload.clone().marked(KIND_APPLICATION)),
    };
    let out = bench.receive(5, message);
    let delivered = out.iter().find_map(|output| match output {
        Output::Event(Event::Delivered(delivery)) => Some(delivery),
        _ => None,
    });
    let delivered = delivered.expect("it is delivered");
    assert_eq!((delivered.sender, delivered.topic), (9, Some(7)));
    assert_eq!(delivered.payload, payload);
}

#[test]
fn news_that_is_not_understood_is_counted() {
    let mut bench = Bench::joined();
    let nonsense = Payload::from(vec![9; 3]).marked(KIND_NEWS);
    bench.receive(1, Message::Base(gossip(0, nonsense)));
    assert_eq!(bench.node.counters().malformed, 1);
}

#[test]
fn bytes_follow_a_message_only_as_its_payload() {
    let payload = Payload::from(Bytes::from_static(b"hello"));
    let carriers = [
        Message::Base(gossip(0, payload.clone())),
        Message::Topic {
            topic: 7,
            message: gossip(0, payload.clone()),
        },
        Message::PublishFor {
            topic: 7,
            number: 70,
            payload: payload.body,
        },
    ];
    for message in carriers {
        assert_eq!(decode(&encode(&message)), Ok(message));
    }
    for message in [join(), Message::NotHere(7)] {
        let mut bytes = encode(&message);
        bytes.push(0);
        let decoded = decode::<Message<u32>>(&bytes);
        assert_eq!(decoded, Err(DecodeError::Malformed), "{message:?}");
    }
}

#[test]
fn a_silent_contact_is_forgotten_unless_it_is_the_last() {
    let (mut bench, mut out) = published_from_outside();
    for left in [2, 1, 1] {
        let due = answer_due(&out).expect("somebody is waited for");
        out = bench.give(Input::Timer(due));
        assert_eq!(bench.node.contacts.of(7).len(), left);
    }
}

#[test]
fn who_does_not_take_part_in_one_topic_is_still_waited_for_in_others() {
    let mut bench = Bench::joined();
    let publish = |bench: &mut Bench, topic, contact| {
        bench.news(topic, here(topic, contact));
        let payload = Bytes::from_static(b"hello");
        let out = bench.give(Input::Command(Command::Publish(topic, payload)));
        handed_to(&out).expect("a contact is asked")
    };
    let (_, number) = publish(&mut bench, 7, 20);
    publish(&mut bench, 8, 20);
    publish(&mut bench, 9, 21);
    for topic in 7..10 {
        bench.news(100 + topic, here(topic, 30));
    }
    let out = bench.receive(20, Message::NotHere(7));
    let again: Vec<_> = sent(&out)
        .into_iter()
        .filter_map(|(to, message)| match message {
            Message::PublishFor { number, .. } => Some((to, number)),
            _ => None,
        })
        .collect();
    assert_eq!(again, [(30, number)]);
}

#[cfg(feature = "sim")]
#[test]
fn payloads_of_the_application_are_told_from_those_of_this_layer() {
    let kinds = [
        (KIND_APPLICATION, true),
        (super::KIND_FOR_ANOTHER, true),
        (KIND_NEWS, false),
        (super::KIND_BEACON, false),
    ];
    for (kind, expected) in kinds {
        let payload = Payload::from(vec![1]).marked(kind);
        assert_eq!(super::is_of_application(&payload), expected, "{kind}");
    }
}

fn peer() -> impl Strategy<Value = u32> {
    prop_oneof![0_u32..20, Just(ME)]
}

fn part() -> impl Strategy<Value = hyparview::Part<u32>> {
    (peer(), any::<u64>()).prop_map(|(root, count)| hyparview::Part { root, count })
}

fn swarm() -> impl Strategy<Value = SwarmMessage<u32>> {
    use hyparview::Message as Overlay;
    let peers = || prop::collection::vec(peer(), 0..8);
    let overlay = prop_oneof![
        Just(Overlay::Join),
        (any::<bool>(), part()).prop_map(|(high_priority, part)| Overlay::Neighbor {
            high_priority,
            part
        }),
        part().prop_map(|part| Overlay::Accept { part }),
        Just(Overlay::Refuse),
        (any::<bool>(), prop::option::of(peer()))
            .prop_map(|(leaving, instead)| Overlay::Disconnect { leaving, instead }),
        part().prop_map(|part| Overlay::Present { part }),
        Just(Overlay::Hail),
        (prop::option::of(part()), peers()).prop_map(|(part, peers)| Overlay::Here { part, peers }),
        (peer(), 0_u8..8).prop_map(|(newcomer, hops)| Overlay::ForwardJoin { newcomer, hops }),
        peers().prop_map(|peers| Overlay::ShuffleReply { peers }),
    ];
    let payload = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..20).prop_map(Payload::from),
        (0_u64..6, peer(), any::<u64>()).prop_map(|(topic, peer, beacon)| {
            let news = News::Here {
                topic,
                peer,
                beacon,
            };
            marked(&news)
        }),
        (0_u64..6, peer()).prop_map(|(topic, peer)| marked(&News::Gone { topic, peer })),
    ];
    prop_oneof![
        overlay.prop_map(Half::Lower),
        (0_u64..100, payload).prop_map(|(number, payload)| gossip(number, payload)),
        Just(Half::Upper(plumtree::Message::Prune)),
    ]
}

fn input() -> impl Strategy<Value = In> {
    let topic = || 0_u64..6;
    let message = prop_oneof![
        3 => swarm().prop_map(Message::Base),
        4 => (topic(), swarm()).prop_map(|(topic, message)| Message::Topic { topic, message }),
        1 => topic().prop_map(Message::NotHere),
        1 => topic().prop_map(Message::WhoIs),
        1 => (topic(), prop::collection::vec(peer(), 0..=CONTACTS_MAX))
            .prop_map(|(topic, peers)| Message::Contacts { topic, peers }),
        1 => (topic(), 0_u64..9, prop::collection::vec(any::<u8>(), 0..20)).prop_map(
            |(topic, number, payload)| Message::PublishFor { topic, number, payload: payload.into() }),
        1 => any::<u64>().prop_map(|number| Message::Published { number }),
    ];
    prop_oneof![
        8 => (peer(), message).prop_map(|(from, message)| Input::Received { from, message }),
        2 => topic().prop_map(|topic| Input::Command(Command::Subscribe(topic))),
        1 => topic().prop_map(|topic| Input::Command(Command::Unsubscribe(topic))),
        1 => topic().prop_map(|topic| Input::Command(Command::Publish(topic, Bytes::new()))),
        1 => peer().prop_map(Input::PeerUp),
        1 => peer().prop_map(|peer| Input::PeerDown { peer, why: WhyDown::Lost }),
        1 => peer().prop_map(Input::Congested),
        1 => peer().prop_map(Input::Drained),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Input(In),
    /// The oldest timer that was set, after this many milliseconds.
    Timer(u64),
}

proptest! {
    #[test]
    fn no_sequence_of_inputs_breaks_a_bound(
        seed in any::<u64>(),
        steps in prop::collection::vec(
            prop_oneof![
                4 => input().prop_map(Step::Input),
                1 => (0_u64..20_000).prop_map(Step::Timer),
            ],
            0..150,
        ),
    ) {
        let config = Config { topics_max: 3, topics_known_max: 4, ..Config::default() };
        let mut bench = Bench::new(config);
        bench.random = SmallRng::seed_from_u64(seed);
        let mut timers = std::collections::VecDeque::new();
        let mut lanes = BTreeSet::new();
        for step in steps {
            let input = match step {
                Step::Input(input) => input,
                Step::Timer(after) => {
                    bench.now = bench.now + Duration::from_millis(after);
                    match timers.pop_front() {
                        Some(id) => Input::Timer(id),
                        None => continue,
                    }
                }
            };
            if let Input::PeerDown { peer, .. } = &input {
                lanes.remove(peer);
            }
            for output in bench.give(input) {
                match output {
                    Output::SetTimer { id, .. } => timers.push_back(id),
                    Output::Send { message, .. } => {
                        prop_assert_eq!(message.validate(), Ok(()));
                        prop_assert!(encode(&message).len() <= Message::<u32>::BYTES_MAX);
                    }
                    Output::Connect(peer) => {
                        prop_assert!(lanes.insert(peer), "{} asked for twice", peer);
                    }
                    Output::Disconnect(peer) => {
                        prop_assert!(lanes.remove(&peer), "{} given up twice", peer);
                    }
                    _ => {}
                }
            }
            prop_assert_eq!(bench.node.check(), Ok(()));
            prop_assert_eq!(bench.node.lanes.len(), lanes.len());
        }
    }
}
