//! The faults on purpose of a lane: which message is dropped, what may go when, whether its links are cut.
//!
//! Part of the lane while there is any, used by `shard::faults`. No I/O and no clock: the time is an argument, and chance is a
//! generator whose seed the fault and the lane's name give.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::faults::FAULT_DROPS_ALL;
use crate::faults::book::OpenFault;

/// A delay is kept to a part of itself: so many moments are remembered at most.
const MOMENTS_PER_DELAY: u32 = 64;

/// What may go now of the messages that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) enum Due {
    /// All of them.
    All,
    /// So many of them, from the front.
    Some(u64),
    /// None before that: then it is to be asked again.
    NoneUntil(Instant),
}

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct LaneFaults {
    drops: Vec<Drops>,
    delay: Option<Delay>,
    cut: Option<Arc<OpenFault>>,
    /// Of messages of a causal channel that were dropped: their numbers, until others are told not to wait for them.
    numbers: Vec<u64>,
}

#[derive(Debug)]
struct Drops {
    fault: Arc<OpenFault>,
    random: fastrand::Rng,
}

#[derive(Debug)]
struct Delay {
    fault: Arc<OpenFault>,
    moments: VecDeque<Moment>,
    /// Where newer messages replace those that wait: since when any does.
    waits_since: Option<Instant>,
}

/// Messages that were seen at about the same time: they go together, so long after the last of them.
#[derive(Clone, Copy, Debug)]
struct Moment {
    first: Instant,
    last: Instant,
    /// How many messages the lane had accepted by then.
    accepted: u64,
}

/// How it stands with a lane's messages.
#[derive(Clone, Copy, Debug)]
pub(in crate::shard) struct Waiting {
    /// Accepted since there is the lane.
    pub(in crate::shard) accepted: u64,
    /// Of those, not sent and not settled yet.
    pub(in crate::shard) messages: u64,
    /// They wait where newer ones replace them.
    pub(in crate::shard) is_replaced: bool,
}

impl LaneFaults {
    /// Goes by `faults` from now on, those that this lane has; `lane` is a number that its name gives. `None` if there are none.
    /// What goes on goes on where it stands in `before`.
    pub(in crate::shard) fn of(
        faults: &[Arc<OpenFault>],
        before: Option<Box<Self>>,
        lane: u64,
    ) -> Option<Box<Self>> {
        let mut before = before.unwrap_or_default();
        let mut now = Self {
            numbers: std::mem::take(&mut before.numbers),
            ..Self::default()
        };
        for fault in faults {
            if fault.fault.drop_ppm > 0 {
                let known = before
                    .drops
                    .iter()
                    .position(|drops| drops.fault.id == fault.id);
                let drops = known.map(|place| before.drops.swap_remove(place));
                now.drops.push(drops.unwrap_or_else(|| Drops {
                    fault: Arc::clone(fault),
                    random: fastrand::Rng::with_seed(fault.fault.seed ^ lane),
                }));
            }
            if fault.fault.cut {
                now.cut = Some(Arc::clone(fault));
            }
        }
        // Of several delays the longest counts.
        let delays = faults.iter().filter(|fault| !fault.fault.delay.is_zero());
        now.delay = delays.max_by_key(|fault| fault.fault.delay).map(|fault| {
            let moments = before.delay.take();
            let (moments, waits_since) =
                moments.map_or_else(Default::default, |delay| (delay.moments, delay.waits_since));
            Delay {
                fault: Arc::clone(fault),
                moments,
                waits_since,
            }
        });
        (!now.is_empty()).then(|| Box::new(now))
    }

    /// Whether there is nothing to go by, and nothing to tell.
    pub(in crate::shard) const fn is_empty(&self) -> bool {
        self.drops.is_empty()
            && self.delay.is_none()
            && self.cut.is_none()
            && self.numbers.is_empty()
    }

    /// Whether the next message is dropped; counted if so.
    pub(in crate::shard) fn drops_next(&mut self) -> bool {
        let hit = self.drops.iter_mut().find_map(|drops| {
            let is_hit = drops.random.u32(..FAULT_DROPS_ALL) < drops.fault.fault.drop_ppm;
            is_hit.then_some(&drops.fault)
        });
        hit.inspect(|fault| fault.count_dropped()).is_some()
    }

    /// A message that was dropped had that number on its causal channel.
    pub(in crate::shard) fn note_number(&mut self, number: u64) {
        self.numbers.push(number);
    }

    /// The numbers of those that were dropped, once.
    pub(in crate::shard) fn take_numbers(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.numbers)
    }

    /// The fault that cuts its links.
    pub(in crate::shard) const fn cut(&self) -> Option<&Arc<OpenFault>> {
        self.cut.as_ref()
    }

    /// What may go.
    pub(in crate::shard) fn due(&mut self, waiting: Waiting, now: Instant) -> Due {
        match &mut self.delay {
            None => Due::All,
            Some(delay) if waiting.is_replaced => delay.together(waiting.messages, now),
            Some(delay) => delay.in_order(waiting, now),
        }
    }
}

impl Delay {
    fn length(&self) -> Duration {
        self.fault.fault.delay
    }

    /// Each message goes so long after it was seen first.
    fn in_order(&mut self, waiting: Waiting, now: Instant) -> Due {
        let Waiting {
            accepted, messages, ..
        } = waiting;
        let gone = accepted - messages;
        let length = self.length();
        let seen = self.moments.back().map_or(gone, |moment| moment.accepted);
        if accepted > seen {
            self.fault.count_delayed(accepted - seen.max(gone));
            let step = length / MOMENTS_PER_DELAY;
            match self.moments.back_mut() {
                Some(moment) if now.saturating_duration_since(moment.first) < step => {
                    moment.last = now;
                    moment.accepted = accepted;
                }
                _ => self.moments.push_back(Moment {
                    first: now,
                    last: now,
                    accepted,
                }),
            }
        }
        while self
            .moments
            .front()
            .is_some_and(|moment| moment.accepted <= gone)
        {
            self.moments.pop_front();
        }
        let due = self
            .moments
            .iter()
            .take_while(|moment| moment.last + length <= now);
        match (due.last(), self.moments.front()) {
            _ if messages == 0 => Due::All,
            (Some(ripe), _) => Due::Some(ripe.accepted - gone),
            // As long as more can come to it, by its first: a timer for each of them would be a flood of timers.
            (None, Some(next)) if now < next.first + length => Due::NoneUntil(next.first + length),
            (None, Some(next)) => Due::NoneUntil(next.last + length),
            (None, None) => Due::All,
        }
    }

    /// What waits goes so long after the first of it was seen.
    fn together(&mut self, messages: u64, now: Instant) -> Due {
        if messages == 0 {
            self.waits_since = None;
            return Due::All;
        }
        let since = *self.waits_since.get_or_insert_with(|| {
            self.fault.count_delayed(messages);
            now
        });
        let at = since + self.length();
        if at <= now {
            self.waits_since = None;
            Due::All
        } else {
            Due::NoneUntil(at)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::Fault;

    const MS: Duration = Duration::from_millis(1);

    fn faults(fault: Fault, now: Instant) -> Box<LaneFaults> {
        let open = OpenFault::alone(fault, now);
        LaneFaults::of(&[open], None, 7).expect("there is one")
    }

    fn waiting(accepted: u64, messages: u64) -> Waiting {
        Waiting {
            accepted,
            messages,
            is_replaced: false,
        }
    }

    #[test]
    fn as_many_are_dropped_as_was_ordered_and_the_same_again() {
        let now = Instant::now();
        let fault = Fault::lasting(1000 * MS).drop_ppm(50_000).seed(3);
        let run = || {
            let mut lane = faults(fault.clone(), now);
            (0..20_000).map(|_| lane.drops_next()).collect::<Vec<_>>()
        };
        let dropped = run();
        let count = dropped.iter().filter(|dropped| **dropped).count();
        assert!((800..1200).contains(&count), "{count} of 20,000");
        assert_eq!(dropped, run(), "by the same seed");
        let mut other = faults(fault.clone().seed(4), now);
        assert_ne!(
            dropped,
            (0..20_000).map(|_| other.drops_next()).collect::<Vec<_>>()
        );
        let mut all = faults(fault.drop_ppm(FAULT_DROPS_ALL), now);
        assert!((0..1000).all(|_| all.drops_next()));
    }

    #[test]
    fn a_message_goes_when_its_delay_is_over_and_not_before() {
        let start = Instant::now();
        let at = |ms: u32| start + ms * MS;
        let mut lane = faults(Fault::lasting(1000 * MS).delay(64 * MS), start);
        assert_eq!(lane.due(waiting(10, 0), at(0)), Due::All);
        assert_eq!(lane.due(waiting(13, 3), at(0)), Due::NoneUntil(at(64)));
        assert_eq!(lane.due(waiting(15, 5), at(30)), Due::NoneUntil(at(64)));
        assert_eq!(lane.due(waiting(15, 5), at(63)), Due::NoneUntil(at(64)));
        assert_eq!(lane.due(waiting(15, 5), at(64)), Due::Some(3));
        // One of them goes, the rest stay due.
        assert_eq!(lane.due(waiting(15, 4), at(65)), Due::Some(2));
        assert_eq!(lane.due(waiting(15, 2), at(66)), Due::NoneUntil(at(94)));
        assert_eq!(lane.due(waiting(15, 2), at(94)), Due::Some(2));
        assert_eq!(lane.due(waiting(15, 0), at(95)), Due::All);
        let done = lane.delay.expect("it is there").fault.counts();
        assert_eq!(done.delayed, 5);
    }

    #[test]
    fn a_flood_that_is_delayed_is_remembered_in_few_moments() {
        let start = Instant::now();
        let mut lane = faults(Fault::lasting(1000 * MS).delay(100 * MS), start);
        let mut gone = 0;
        let mut timers = std::collections::BTreeSet::new();
        for step in 0..10_000_u64 {
            let now = start + Duration::from_micros(100 * step);
            let accepted = step + 1;
            match lane.due(waiting(accepted, accepted - gone), now) {
                Due::Some(messages) => gone += messages,
                Due::NoneUntil(at) => drop(timers.insert(at)),
                Due::All => panic!("something waits at {step}"),
            }
            timers.retain(|at| *at > now);
            assert!(timers.len() <= 3, "{timers:?}");
            let moments = lane.delay.as_ref().map_or(0, |delay| delay.moments.len());
            assert!(moments <= MOMENTS_PER_DELAY as usize + 2, "{moments}");
            // Not early, and a part of the delay late at most.
            let early = gone.saturating_sub(accepted.saturating_sub(1000));
            assert_eq!(early, 0, "at {step}");
            assert!(
                gone + 1000 + 40 >= accepted,
                "at {step}: {gone} of {accepted}"
            );
        }
    }

    #[test]
    fn what_replaces_goes_with_what_waits() {
        let start = Instant::now();
        let mut lane = faults(Fault::lasting(1000 * MS).delay(20 * MS), start);
        let mut due = |accepted, messages, ms: u32| {
            let waiting = Waiting {
                accepted,
                messages,
                is_replaced: true,
            };
            lane.due(waiting, start + ms * MS)
        };
        assert_eq!(due(1, 1, 0), Due::NoneUntil(start + 20 * MS));
        for ms in 1..20 {
            assert_eq!(
                due(1 + u64::from(ms), 1, ms),
                Due::NoneUntil(start + 20 * MS)
            );
        }
        assert_eq!(due(21, 1, 20), Due::All);
        assert_eq!(due(22, 1, 25), Due::NoneUntil(start + 45 * MS));
    }

    #[test]
    fn what_goes_on_goes_on_where_it_stands() {
        let start = Instant::now();
        let dropping = OpenFault::alone(Fault::lasting(1000 * MS).drop_ppm(500_000), start);
        let whole = LaneFaults::of(std::slice::from_ref(&dropping), None, 7);
        let mut whole = whole.expect("there is one");
        let expected: Vec<_> = (0..200).map(|_| whole.drops_next()).collect();
        let first = LaneFaults::of(std::slice::from_ref(&dropping), None, 7);
        let mut first = first.expect("there is one");
        let mut found: Vec<_> = (0..100).map(|_| first.drops_next()).collect();
        let cutting = OpenFault::alone(Fault::lasting(1000 * MS).cut(), start);
        let both = LaneFaults::of(&[cutting, dropping], Some(first), 7);
        let mut both = both.expect("there are two");
        assert!(both.cut().is_some());
        found.extend((0..100).map(|_| both.drops_next()));
        assert_eq!(found, expected);
        assert!(LaneFaults::of(&[], Some(both), 7).is_none());
    }
}
