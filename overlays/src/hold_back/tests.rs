//! Holding back, against a model that looks at everything again each time.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

type Needs = Vec<Count<u32>>;

const fn life(peer: u32) -> Life<u32> {
    Life {
        peer,
        incarnation: 1,
    }
}

const fn count(peer: u32, count: u64) -> Count<u32> {
    Count {
        life: life(peer),
        count,
    }
}

/// Numbers of one sender.
const fn gap(peer: u32, first: u64, last: u64) -> Step<u32, u32> {
    Step::Missed(Gap {
        life: life(peer),
        first,
        last,
    })
}

struct Bench {
    hold: HoldBack<u32, u32>,
    now: Time,
}

impl Bench {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        Self {
            hold: HoldBack::new(limits),
            now: Time::ZERO,
        }
    }

    fn offer(&mut self, peer: u32, number: u64, needs: &[Count<u32>]) -> Offer {
        self.offer_stamped(peer, number, 0, needs)
    }

    fn offer_stamped(&mut self, peer: u32, number: u64, stamp: u64, needs: &[Count<u32>]) -> Offer {
        self.now = self.now + Duration::from_millis(1);
        let key = (life(peer), number);
        let offer = self.hold.offer(self.now, key, stamp, needs, 10, 0);
        self.hold.check().unwrap();
        offer
    }

    /// What was delivered and missed since the last call: sender and number.
    fn delivered(&mut self) -> Vec<(u32, u64)> {
        let steps = self.hold.take_steps().into_iter();
        let keys = steps.filter_map(|step| match step {
            Step::Deliver { key, .. } => Some((key.0.peer, key.1)),
            Step::Missed(_) => None,
        });
        keys.collect()
    }
}

#[test]
fn a_message_waits_for_the_one_before_it_and_for_what_it_needs() {
    let mut bench = Bench::new();
    assert_eq!(bench.offer(2, 1, &[count(1, 2)]), Offer::Taken);
    assert_eq!(bench.offer(1, 2, &[]), Offer::Taken);
    assert_eq!(bench.offer(1, 2, &[]), Offer::Again);
    assert_eq!(bench.delivered(), []);
    assert_eq!(bench.offer(1, 1, &[]), Offer::Taken);
    assert_eq!(bench.delivered(), [(1, 1), (1, 2), (2, 1)]);
    assert_eq!(bench.offer(1, 1, &[]), Offer::Late);
    assert_eq!((bench.hold.held(), bench.hold.most_held()), (0, 2));
}

#[test]
fn what_is_given_up_is_told_before_what_waited_for_it_is_delivered() {
    let mut bench = Bench::new();
    bench.offer(2, 1, &[count(1, 3)]);
    bench.offer(1, 2, &[count(3, 1)]);
    bench.offer(4, 1, &[count(2, 1)]);
    bench.hold.give_up_older(bench.now, Time::ZERO);
    assert_eq!(bench.delivered(), [], "nothing has waited so long");
    bench.hold.give_up_older(bench.now, bench.now);
    let steps = bench.hold.take_steps();
    assert_eq!(steps[0], gap(1, 1, 1));
    assert_eq!(steps[1], gap(3, 1, 1));
    assert_eq!(steps[3], gap(1, 3, 3));
    assert_eq!(steps.len(), 6, "{steps:?}");
    bench.hold.check().unwrap();
    assert_eq!(bench.offer(1, 1, &[]), Offer::Late);
    assert_eq!(bench.offer(3, 1, &[]), Offer::Late);
}

#[test]
fn messages_that_need_each_other_are_delivered_all_the_same() {
    let mut bench = Bench::new();
    bench.offer(1, 1, &[count(2, 1), count(1, 7)]);
    bench.offer(2, 1, &[count(1, 1)]);
    bench.hold.give_up_older(bench.now, bench.now);
    assert_eq!(bench.hold.held(), 0);
    assert!(bench.hold.waived() > 0);
}

#[test]
fn a_count_that_cannot_be_true_does_not_close_the_way_for_a_sender() {
    let mut bench = Bench::new();
    bench.offer(1, 1, &[count(2, u64::MAX)]);
    bench.hold.give_up_older(bench.now, bench.now);
    assert_eq!(bench.delivered(), [(1, 1)]);
    bench.offer(2, 1, &[]);
    assert_eq!(bench.delivered(), [(2, 1)]);
}

#[test]
fn a_sender_can_say_that_there_is_no_such_message_of_it() {
    let mut bench = Bench::new();
    bench.offer(1, 1, &[count(2, 9), count(3, 1)]);
    let none = |first, last| Gap {
        life: life(2),
        first,
        last,
    };
    for gap in [none(1, 8), none(10, u64::MAX), none(9, 8)] {
        bench.hold.there_are_none(bench.now, gap);
        assert_eq!(bench.hold.waived(), 0);
    }
    bench.hold.there_are_none(bench.now, none(9, 9));
    assert_eq!((bench.hold.waived(), bench.delivered()), (1, Vec::new()));
    bench.offer(3, 1, &[]);
    assert_eq!(bench.delivered(), [(3, 1), (1, 1)]);
    bench.offer(2, 1, &[]);
    assert_eq!(bench.delivered(), [(2, 1)]);
}

#[test]
fn one_sender_takes_no_more_than_its_part_and_all_no_more_than_all() {
    let limits = Limits {
        messages_max: 8,
        sender_part: 4,
        ..Limits::default()
    };
    let mut bench = Bench::with(limits);
    for number in [2, 4, 6] {
        bench.offer(1, number, &[]);
    }
    let steps = bench.hold.take_steps();
    assert_eq!(steps[0], gap(1, 1, 1), "the longest wait is ended");
    assert_eq!((steps.len(), bench.hold.held()), (2, 2));
    for peer in 2..8 {
        bench.offer(peer, 2, &[]);
    }
    assert_eq!((bench.delivered(), bench.hold.held()), (Vec::new(), 8));
    bench.offer(9, 2, &[]);
    let steps = bench.hold.take_steps();
    assert_eq!(steps[0], gap(1, 3, 3), "the longest wait of all");
    assert_eq!(bench.hold.held(), 8);
}

#[test]
fn what_was_before_its_time_is_dropped_without_a_word() {
    let mut bench = Bench::new();
    bench.hold.pause();
    for number in [56, 58, 57] {
        bench.offer(1, number, &[]);
    }
    bench.hold.begin_at(bench.now, count(1, 56));
    assert_eq!(bench.delivered(), []);
    bench.hold.go_on();
    assert_eq!(bench.delivered(), [(1, 57), (1, 58)]);
}

#[test]
fn what_is_missing_is_told_again_after_twice_the_time() {
    let mut bench = Bench::new();
    bench.offer(1, 5, &[count(2, 2)]);
    bench.offer(1, 3, &[]);
    let first = Duration::from_millis(100);
    let mut told = Vec::new();
    for millis in 0..800 {
        let now = Time::from_micros(millis * 1_000);
        for wanting in bench.hold.wanting(now, first, 8) {
            told.push((millis, wanting.asks, wanting.gaps.len()));
        }
    }
    let both = [
        (101, 0, 3),
        (102, 0, 1),
        (301, 1, 3),
        (302, 1, 1),
        (701, 2, 3),
        (702, 2, 1),
    ];
    assert_eq!(told, both);
}

#[test]
fn lives_that_are_silent_are_forgotten_and_never_more_are_known_than_allowed() {
    let limits = Limits {
        lives_max: 3,
        ..Limits::default()
    };
    let mut bench = Bench::with(limits);
    for peer in [1, 2, 3, 1, 4] {
        bench.offer(peer, 1, &[]);
    }
    let known: Vec<u32> = bench.hold.counts().map(|count| count.life.peer).collect();
    assert_eq!(known, [1, 3, 4]);
    bench.hold.forget(bench.now, |life| life.peer == 3);
    let known: Vec<u32> = bench.hold.counts().map(|count| count.life.peer).collect();
    assert_eq!(known, [3]);
}

#[test]
fn what_a_gap_may_have_needed_goes_ahead_or_is_passed_over() {
    let mut bench = Bench::new();
    // 1: sent first, and needed by the lost message of 2, after which 3 sent.
    bench.offer_stamped(3, 1, 7, &[count(2, 1)]);
    bench.offer_stamped(4, 2, 3, &[]);
    bench.offer_stamped(5, 2, 9, &[]);
    bench.hold.give_up_older(bench.now, bench.now);
    let steps = bench.hold.take_steps();
    assert_eq!(steps[0], gap(4, 1, 1), "what is held with a lesser stamp");
    assert_eq!(steps[2], gap(2, 1, 1));
    assert_eq!(bench.hold.open_from(), 9, "5 was held as long");
    assert_eq!(bench.offer_stamped(1, 1, 4, &[]), Offer::Closed);
    assert_eq!(bench.offer_stamped(1, 3, 8, &[]), Offer::Closed);
    assert_eq!(bench.hold.take_steps(), [gap(1, 1, 1), gap(1, 2, 3)]);
    assert_eq!(bench.offer_stamped(1, 4, 9, &[]), Offer::Taken);
    assert_eq!(bench.delivered(), [(1, 4)]);
}

#[test]
fn a_lie_is_not_waited_for_and_closes_nothing() {
    let mut bench = Bench::new();
    bench.offer_stamped(1, 1, 5, &[count(2, 1)]);
    bench.offer_stamped(2, 1, 6, &[count(3, 1)]);
    bench.offer_stamped(3, 1, u64::MAX, &[count(1, 1)]);
    bench.hold.give_up_older(bench.now, bench.now);
    assert_eq!(bench.delivered(), [(1, 1), (3, 1), (2, 1)]);
    assert_eq!((bench.hold.waived(), bench.hold.open_from()), (1, 0));
}

#[test]
fn who_begins_where_another_is_passes_over_what_that_one_has() {
    let mut bench = Bench::new();
    bench.hold.pause();
    for (peer, number, stamp) in [(1, 3, 4), (1, 4, 8), (2, 9, 3), (3, 1, 5)] {
        bench.offer_stamped(peer, number, stamp, &[]);
    }
    bench.hold.begin_at(bench.now, count(1, 3));
    bench.hold.begin_above(5);
    assert_eq!(bench.hold.take_steps(), [gap(2, 1, 9)]);
    bench.hold.go_on();
    assert_eq!(bench.delivered(), [(3, 1), (1, 4)]);
}

/// A message as a history made it.
#[derive(Clone, Debug)]
struct Sent {
    key: Key<u32>,
    stamp: u64,
    /// Its immediate predecessors.
    needs: Needs,
    /// All that it follows, itself included: a count for each sender.
    clock: Vec<u64>,
}

/// A history of `senders` that send in turn, each having delivered some of what was sent before.
fn history(choices: &[(usize, [u64; 2])], senders: usize) -> Vec<Sent> {
    let mut clocks = vec![vec![0_u64; senders]; senders];
    let mut stamps = vec![0; senders];
    let mut all: Vec<Sent> = Vec::new();
    for (sender, hears) in choices {
        let sender = sender % senders;
        let me = life(u32::try_from(sender).unwrap_or(0));
        let mut needs: Vec<Count<u32>> = Vec::new();
        for hears in hears {
            // Hears of an earlier message, with all that it needs.
            let Some(heard) = all.get(usize::try_from(*hears).unwrap_or(0) % all.len().max(1))
            else {
                continue;
            };
            let (life, count) = heard.key;
            stamps[sender] = heard.stamp.max(stamps[sender]);
            if clocks[sender][life.peer as usize] < count {
                needs.push(Count { life, count });
            }
            for (mine, theirs) in clocks[sender].iter_mut().zip(&heard.clock) {
                *mine = (*mine).max(*theirs);
            }
        }
        clocks[sender][sender] += 1;
        stamps[sender] += 1;
        let clock = clocks[sender].clone();
        let key = (me, clock[sender]);
        let stamp = stamps[sender];
        all.push(Sent {
            key,
            stamp,
            needs,
            clock,
        });
    }
    all
}

/// Delivers what can be delivered by looking at everything again.
fn model(arrived: &[Sent]) -> BTreeSet<Key<u32>> {
    let mut done: BTreeSet<Key<u32>> = BTreeSet::new();
    loop {
        let has = |need: &Count<u32>| (1..=need.count).all(|n| done.contains(&(need.life, n)));
        let next = arrived.iter().find(|sent| {
            let (life, number) = sent.key;
            let count = number - 1;
            let before = Count { life, count };
            !done.contains(&sent.key) && has(&before) && sent.needs.iter().all(has)
        });
        match next {
            Some(sent) => done.insert(sent.key),
            None => return done,
        };
    }
}

/// What was told of a history, in order.
#[derive(Default)]
struct Told {
    done: Vec<Key<u32>>,
    missed: BTreeSet<Key<u32>>,
}

proptest! {
    #[test]
    fn it_delivers_what_the_model_does_in_causal_order_and_loses_nothing(
        choices in prop::collection::vec((0_usize..4, any::<[u64; 2]>()), 1..30),
        order in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..8), 1..40),
        small in any::<bool>(),
    ) {
        let all = history(&choices, 4);
        let limits = if small {
            Limits { messages_max: 8, ..Limits::default() }
        } else {
            Limits::default()
        };
        let mut bench = Bench::with(limits);
        let (mut arrived, mut told) = (Vec::new(), Told::default());
        for (index, gives_up) in order {
            let sent = index.get(&all).clone();
            bench.offer_stamped(sent.key.0.peer, sent.key.1, sent.stamp, &sent.needs);
            arrived.push(sent);
            take_in(&mut bench, &all, &mut told)?;
            if told.missed.is_empty() {
                let done: BTreeSet<Key<u32>> = told.done.iter().copied().collect();
                prop_assert_eq!(done, model(&arrived));
            }
            if gives_up == 0 {
                bench.hold.give_up_older(bench.now, bench.now);
                take_in(&mut bench, &all, &mut told)?;
            }
        }
        bench.hold.give_up_older(bench.now, bench.now);
        take_in(&mut bench, &all, &mut told)?;
        prop_assert_eq!(bench.hold.held(), 0);
        prop_assert_eq!(bench.hold.waived(), 0);
        for sent in &arrived {
            prop_assert!(told.done.contains(&sent.key) || told.missed.contains(&sent.key));
        }
    }
}

/// Checks what was told: once each, nothing before what it needs, nothing after what needs it, however far
/// back.
fn take_in(bench: &mut Bench, all: &[Sent], told: &mut Told) -> Result<(), TestCaseError> {
    for step in bench.hold.take_steps() {
        match step {
            Step::Missed(gap) => {
                for number in gap.first..=gap.last {
                    prop_assert!(told.missed.insert((gap.life, number)));
                    prop_assert!(!told.done.contains(&(gap.life, number)));
                }
            }
            Step::Deliver { key, .. } => {
                let of = |key: &Key<u32>| all.iter().find(|sent| sent.key == *key).unwrap();
                let sent = of(&key);
                let before = Count {
                    life: key.0,
                    count: key.1 - 1,
                };
                for need in [before].iter().chain(&sent.needs) {
                    for number in 1..=need.count {
                        let needed = (need.life, number);
                        prop_assert!(told.done.contains(&needed) || told.missed.contains(&needed));
                    }
                }
                for earlier in &told.done {
                    let follows = of(earlier).clock[key.0.peer as usize] >= key.1;
                    prop_assert!(!follows, "{key:?} after {earlier:?}, which follows it");
                }
                prop_assert!(!told.missed.contains(&key));
                prop_assert!(!told.done.contains(&key), "{key:?} twice");
                told.done.push(key);
            }
        }
    }
    Ok(())
}
