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
        self.now = self.now + Duration::from_millis(1);
        let key = (life(peer), number);
        let offer = self.hold.offer(self.now, key, needs, 10, 0);
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

/// A message as a history made it.
#[derive(Clone, Debug)]
struct Sent {
    key: Key<u32>,
    needs: Needs,
}

/// A history of `senders` that send in turn, each having delivered some of what was sent before.
fn history(choices: &[(usize, u64)], senders: usize) -> Vec<Sent> {
    let mut clocks = vec![vec![0_u64; senders]; senders];
    let mut sent: Vec<(Sent, Vec<u64>)> = Vec::new();
    for (sender, hears) in choices {
        let sender = sender % senders;
        // Hears of an earlier message, with all that it needs.
        if let Some((_, clock)) = sent.get(usize::try_from(*hears).unwrap_or(0) % sent.len().max(1))
        {
            for (mine, theirs) in clocks[sender].iter_mut().zip(clock) {
                *mine = (*mine).max(*theirs);
            }
        }
        clocks[sender][sender] += 1;
        let clock = clocks[sender].clone();
        let name = |index: usize| u32::try_from(index).unwrap_or(0);
        let needs = (0..senders).filter(|other| *other != sender && clock[*other] > 0);
        let needs = needs.map(|other| count(name(other), clock[other]));
        let key = (life(name(sender)), clock[sender]);
        let needs = needs.collect();
        sent.push((Sent { key, needs }, clock));
    }
    sent.into_iter().map(|(sent, _)| sent).collect()
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

proptest! {
    #[test]
    fn it_delivers_what_the_model_does_in_causal_order_and_loses_nothing(
        choices in prop::collection::vec((0_usize..4, any::<u64>()), 1..30),
        order in prop::collection::vec(any::<prop::sample::Index>(), 1..40),
        small in any::<bool>(),
    ) {
        let all = history(&choices, 4);
        let limits = if small {
            Limits { messages_max: 8, ..Limits::default() }
        } else {
            Limits::default()
        };
        let mut bench = Bench::with(limits);
        let (mut arrived, mut done) = (Vec::new(), BTreeSet::new());
        let mut missed: BTreeSet<Key<u32>> = BTreeSet::new();
        for index in order {
            let sent = index.get(&all).clone();
            bench.offer(sent.key.0.peer, sent.key.1, &sent.needs);
            arrived.push(sent);
            take_in(&mut bench, &all, &mut done, &mut missed)?;
            if missed.is_empty() {
                prop_assert_eq!(&done, &model(&arrived));
            }
        }
        bench.hold.give_up_older(bench.now, bench.now);
        take_in(&mut bench, &all, &mut done, &mut missed)?;
        prop_assert_eq!(bench.hold.held(), 0);
        for sent in &arrived {
            prop_assert!(done.contains(&sent.key) || missed.contains(&sent.key));
        }
    }
}

/// Checks what was told: once each, nothing before what it needs.
fn take_in(
    bench: &mut Bench,
    all: &[Sent],
    done: &mut BTreeSet<Key<u32>>,
    missed: &mut BTreeSet<Key<u32>>,
) -> Result<(), TestCaseError> {
    for step in bench.hold.take_steps() {
        match step {
            Step::Missed(gap) => {
                for number in gap.first..=gap.last {
                    prop_assert!(missed.insert((gap.life, number)));
                    prop_assert!(!done.contains(&(gap.life, number)));
                }
            }
            Step::Deliver { key, .. } => {
                let sent = all.iter().find(|sent| sent.key == key);
                let needs = sent.map(|sent| sent.needs.clone()).unwrap_or_default();
                let before = Count {
                    life: key.0,
                    count: key.1 - 1,
                };
                for need in [before].into_iter().chain(needs) {
                    for number in 1..=need.count {
                        let needed = (need.life, number);
                        prop_assert!(done.contains(&needed) || missed.contains(&needed));
                    }
                }
                prop_assert!(!missed.contains(&key));
                prop_assert!(done.insert(key), "{:?} twice", key);
            }
        }
    }
    Ok(())
}
