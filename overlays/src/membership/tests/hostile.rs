//! Whatever others say: no panic, no growth beyond the bounds, and a node never loses itself.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use crate::event::{Command, Delivery, Event, Input, Output, Protocol};
use crate::failure_detector as detector;
use crate::membership::message::{LISTED_MAX, STATEMENTS_MAX, WANTED_MAX};
use crate::membership::{
    BUCKETS, Claim, Config, Details, Listed, Membership, Message, NAME_BYTES_MAX, News, Statement,
    Status, Timer, Version,
};
use crate::message::{Message as _, encode};
use crate::payload::Payload;
use crate::store::MessageId;
use crate::time::Time;

const ME: u32 = 3;
const MEMBERS_MAX: usize = 12;

fn version() -> impl Strategy<Value = Version> {
    let number = prop_oneof![0_u64..4, Just(u64::MAX)];
    let revision = prop_oneof![0_u32..4, Just(u32::MAX)];
    (number, revision).prop_map(|(incarnation, revision)| Version {
        incarnation,
        revision,
    })
}

fn peer() -> impl Strategy<Value = u32> {
    0_u32..20
}

fn statement() -> impl Strategy<Value = Statement<u32>> {
    let claim = prop_oneof![
        4 => Just(Claim::Alive(Arc::new(Details::default()))),
        2 => peer().prop_map(|by| Claim::Suspect { by }),
        1 => Just(Claim::Down),
        1 => Just(Claim::Left),
    ];
    (peer(), version(), claim).prop_map(|(about, version, claim)| Statement {
        about,
        version,
        claim,
    })
}

fn status() -> impl Strategy<Value = Status> {
    prop_oneof![
        Just(Status::Alive),
        Just(Status::Suspect),
        Just(Status::Down),
        Just(Status::Left)
    ]
}

fn listed() -> impl Strategy<Value = Listed<u32>> {
    (peer(), version(), status()).prop_map(|(peer, version, status)| Listed {
        peer,
        version,
        status,
    })
}

fn probe() -> impl Strategy<Value = detector::Message<u32>> {
    prop_oneof![
        any::<u32>().prop_map(detector::Message::Ping),
        any::<u32>().prop_map(detector::Message::Ack),
        any::<u32>().prop_map(detector::Message::Heard),
        any::<u32>().prop_map(detector::Message::Silent),
        (any::<u32>(), peer())
            .prop_map(|(number, target)| detector::Message::PingFor { number, target }),
    ]
}

fn message() -> impl Strategy<Value = Message<u32>> {
    let statements = || prop::collection::vec(statement(), 0..8);
    prop_oneof![
        probe().prop_map(Message::Probe),
        version().prop_map(Message::Accused),
        (any::<u64>(), any::<u32>()).prop_map(|(sum, members)| Message::Summary { sum, members }),
        (prop::collection::vec(any::<u32>(), BUCKETS), any::<u32>())
            .prop_map(|(sums, members)| Message::Buckets { sums, members }),
        (
            prop::collection::vec(any::<u8>(), 0..20),
            prop::collection::vec(listed(), 0..20)
        )
            .prop_map(|(buckets, members)| Message::Listing { buckets, members }),
        (
            statements(),
            prop::collection::vec(peer(), 0..8),
            any::<bool>()
        )
            .prop_map(|(statements, wanted, more)| Message::Answer {
                statements,
                wanted,
                more
            }),
        statements().prop_map(Message::Supply),
    ]
}

fn delivered(kind: u8, body: Vec<u8>) -> Event<u32> {
    Event::Delivered(Delivery {
        sender: 1,
        id: MessageId {
            sender: 1,
            number: 0,
        },
        topic: None,
        payload: Payload::from(body).marked(kind),
        hops: 1,
    })
}

fn news() -> impl Strategy<Value = Event<u32>> {
    prop::collection::vec(statement(), 0..8)
        .prop_map(|statements| delivered(1, encode(&News(statements))))
}

#[derive(Clone, Debug)]
enum Step {
    Input(Box<Input<u32, Message<u32>, Timer<u32>>>),
    /// The oldest timer that was set.
    Timer,
    Wait(Duration),
}

fn step() -> impl Strategy<Value = Step> {
    let input = prop_oneof![
        6 => (peer(), message()).prop_map(|(from, message)| Input::Received { from, message }),
        3 => news().prop_map(Input::Below),
        1 => (0_u8..4, prop::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(kind, bytes)| Input::Below(delivered(kind, bytes))),
        2 => peer().prop_map(|peer| Input::Below(Event::NeighborUp(peer))),
        1 => peer().prop_map(|peer| Input::Below(Event::NeighborDown(peer))),
        1 => prop::collection::vec(any::<u8>(), 0..600)
            .prop_map(|bytes| Input::Command(Command::SetMetadata(bytes.into()))),
    ];
    prop_oneof![
        4 => input.prop_map(|input| Step::Input(Box::new(input))),
        3 => Just(Step::Timer),
        1 => (0_u64..400_000).prop_map(|millis| Step::Wait(Duration::from_millis(millis))),
    ]
}

proptest! {
    #[test]
    fn no_sequence_of_inputs_breaks_a_bound(
        seed in any::<u64>(),
        steps in prop::collection::vec(step(), 0..120)
    ) {
        let config = Config { members_max: MEMBERS_MAX, ..Config::default() };
        let mut node = Membership::new(ME, 2, Details::default(), config).expect("small");
        let mut random = SmallRng::seed_from_u64(seed);
        let mut now = Time::ZERO;
        let mut timers = std::collections::VecDeque::new();
        let mut up = std::collections::BTreeSet::new();
        let start = Step::Input(Box::new(Input::Start));
        for step in std::iter::once(start).chain(steps) {
            let input = match step {
                Step::Wait(span) => {
                    now = now + span;
                    continue;
                }
                Step::Input(input) => *input,
                Step::Timer => match timers.pop_front() {
                    Some(id) => Input::Timer(id),
                    None => continue,
                },
            };
            let received = matches!(input, Input::Received { .. });
            let before = timers.len();
            let mut out = Vec::new();
            node.handle(now, input, &mut random, &mut out);
            for output in out {
                match output {
                    Output::Send { message, .. } => {
                        prop_assert_eq!(message.validate(), Ok(()));
                        prop_assert!(encode(&message).len() <= Message::<u32>::BYTES_MAX);
                    }
                    Output::SetTimer { id, .. } => timers.push_back(id),
                    Output::Event(Event::MemberUp(peer)) => {
                        prop_assert!(peer != ME);
                        up.insert(peer);
                    }
                    Output::Event(Event::MemberDown(peer) | Event::MemberLeft(peer)) => {
                        prop_assert!(up.remove(&peer), "{} was not up", peer);
                    }
                    Output::Event(Event::MemberSuspect(peer) | Event::MemberChanged(peer)) => {
                        prop_assert!(up.contains(&peer), "{} is not up", peer);
                    }
                    _ => {}
                }
            }
            prop_assert!(!received || timers.len() <= before + 8 + 1, "a message set many timers");
            prop_assert!(node.table().known() <= MEMBERS_MAX);
            let own = node.table().get(&ME).expect("a node knows itself");
            prop_assert_eq!(own.status, Status::Alive);
            let live: std::collections::BTreeSet<u32> = node
                .table()
                .iter()
                .filter(|entry| entry.status.is_live() && entry.peer != ME)
                .map(|entry| entry.peer)
                .collect();
            prop_assert_eq!(&live, &up, "events and table tell the same");
        }
    }
}

#[test]
fn lists_beyond_their_bounds_are_refused() {
    let listed = Listed {
        peer: 1_u32,
        version: Version::default(),
        status: Status::Alive,
    };
    let statement = Statement {
        about: 1_u32,
        version: Version::default(),
        claim: Claim::Down,
    };
    let too_long = [
        Message::Buckets {
            sums: vec![0; BUCKETS - 1],
            members: 1,
        },
        Message::Listing {
            buckets: vec![0; BUCKETS + 1],
            members: Vec::new(),
        },
        Message::Listing {
            buckets: Vec::new(),
            members: vec![listed; LISTED_MAX + 1],
        },
        Message::Answer {
            statements: Vec::new(),
            wanted: vec![1; WANTED_MAX + 1],
            more: false,
        },
        Message::Supply(vec![statement.clone(); STATEMENTS_MAX + 1]),
    ];
    for message in too_long {
        assert!(message.validate().is_err(), "{message:?}");
    }
    let news = |count| News(vec![statement.clone(); count]);
    assert!(news(STATEMENTS_MAX).validate().is_ok());
    assert!(news(STATEMENTS_MAX + 1).validate().is_err());
}

#[test]
fn an_accusation_of_the_last_version_cannot_be_refuted_and_does_no_harm() {
    let mut node = Membership::new(ME, 2, Details::default(), Config::default()).expect("small");
    let mut random = SmallRng::seed_from_u64(1);
    let mut out = Vec::new();
    let last = Version {
        incarnation: u64::MAX,
        revision: u32::MAX,
    };
    let input = Input::Received {
        from: 1,
        message: Message::Accused(last),
    };
    node.handle(Time::ZERO, input, &mut random, &mut out);
    let own = node.table().get(&ME).expect("itself");
    assert_eq!(own.version, Version::first(2));
}

#[test]
fn refutations_are_bounded_per_period_however_many_accuse() {
    let mut node = Membership::new(ME, 2, Details::default(), Config::default()).expect("small");
    let mut random = SmallRng::seed_from_u64(1);
    let mut out = Vec::new();
    let up = Input::Below(Event::NeighborUp(1));
    node.handle(Time::ZERO, up, &mut random, &mut out);
    out.clear();
    for revision in 0..1_000 {
        let message = Message::Accused(Version {
            incarnation: 5,
            revision,
        });
        let input = Input::Received { from: 1, message };
        node.handle(Time::ZERO, input, &mut random, &mut out);
    }
    let broadcasts = out
        .iter()
        .filter(|output| matches!(output, Output::Below(_)));
    assert_eq!(
        broadcasts.count(),
        0,
        "the first announcement was just made"
    );
    out.clear();
    let later = Time::ZERO + Duration::from_secs(2);
    node.handle(later, Input::Timer(Timer::Period), &mut random, &mut out);
    let broadcasts = out
        .iter()
        .filter(|output| matches!(output, Output::Below(_)));
    assert_eq!(broadcasts.count(), 1);
}

#[test]
fn details_too_large_make_no_member() {
    let details = Details {
        name: "n".repeat(NAME_BYTES_MAX + 1),
        ..Details::default()
    };
    assert!(Membership::new(ME, 1, details, Config::default()).is_err());
}
