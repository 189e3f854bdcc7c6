//! Round trips of one application thread: one after the other, or one at each due time.
//!
//! The same loop times the engine (node/threads.rs) and plain sockets (raw/latency.rs), so that both
//! are timed alike. It sleeps by the kernel's timer at default slack, as an application does.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock;
use crate::error::Outcome;
use crate::heartbeat::{Heartbeat, Schedule};
use crate::latencies::{Buckets, Latencies};

/// When the next round trip begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Pace {
    /// At once after the one before.
    Closed,
    /// So many a second, at fixed times; what is late is caught up with, not left out.
    Open { hz: u32 },
}

/// The round trips of one window, measured from two moments.
#[derive(Debug, Clone, Default)]
pub(crate) struct Timed {
    /// From when the thread began it: when it was due, or when the timer woke the thread if that was
    /// later. What the kernel takes to wake a sleeping application is not the network's.
    pub(crate) begun: Latencies,
    /// From when it was due.
    pub(crate) due: Latencies,
}

/// The same, to be sent to another process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TimedBuckets {
    begun: Buckets,
    due: Buckets,
}

impl Timed {
    /// Of a sender that nothing has to wake: what it began late is late by its own doing.
    pub(crate) fn all_from_due(latencies: Latencies) -> Self {
        Self {
            begun: latencies.clone(),
            due: latencies,
        }
    }

    /// To be sent to another process.
    pub(crate) fn buckets(&self) -> TimedBuckets {
        TimedBuckets {
            begun: self.begun.buckets(),
            due: self.due.buckets(),
        }
    }
}

impl From<&TimedBuckets> for Timed {
    fn from(buckets: &TimedBuckets) -> Self {
        let mut timed = Self::default();
        timed.begun.add(&buckets.begun);
        timed.due.add(&buckets.due);
        timed
    }
}

/// The two halves of a round trip; answers come in the order of what was sent.
pub(crate) trait Exchange {
    /// Sends one message.
    fn send(&mut self, beat: Heartbeat) -> Outcome<()>;

    /// Waits for the next answer, without end or at most `within`; false when none came in that time.
    fn receive(&mut self, within: Option<Duration>) -> Outcome<bool>;
}

/// Makes round trips at `pace` for `warm_up`, then for `measure`, and times those of the second part.
///
/// What became due while the thread was held up begins late and counts from when it was due, so that a
/// stall is seen in each round trip that it held up.
pub(crate) fn run(
    exchange: &mut impl Exchange,
    pace: Pace,
    (warm_up, measure): (Duration, Duration),
) -> Outcome<Timed> {
    let mut timed = Timed::default();
    let mut under_way = VecDeque::new();
    let mut now_ns = clock::now_ns();
    let begin_ns = now_ns + clock::nanoseconds(warm_up);
    let end_ns = begin_ns + clock::nanoseconds(measure);
    let mut due = Due::new(pace, now_ns);
    let mut woken_ns = now_ns;
    loop {
        let due_ns = due.next_ns(now_ns, !under_way.is_empty());
        // What became due in the window is timed, however late.
        let due_ns = due_ns.filter(|due_ns| *due_ns < end_ns);
        if let Some(due_ns) = due_ns.filter(|due_ns| *due_ns <= now_ns) {
            exchange.send(due.take(due_ns))?;
            under_way.push_back((due_ns, due_ns.max(woken_ns)));
            now_ns = clock::now_ns();
        } else if due_ns.is_none() && under_way.is_empty() {
            return Ok(timed);
        } else {
            let within = due_ns.map(|due_ns| Duration::from_nanos(due_ns - now_ns));
            let answered = exchange.receive(within)?;
            now_ns = clock::now_ns();
            if !answered {
                woken_ns = now_ns;
            } else if let Some((due_ns, begun_ns)) = under_way.pop_front()
                && due_ns >= begin_ns
            {
                timed.begun.record(now_ns - begun_ns);
                timed.due.record(now_ns - due_ns);
            }
        }
    }
}

/// When the next round trip is due.
struct Due {
    schedule: Option<Schedule>,
    sequence: u64,
}

impl Due {
    fn new(pace: Pace, now_ns: u64) -> Self {
        let schedule = match pace {
            Pace::Closed => None,
            Pace::Open { hz } => Some(Schedule::new(now_ns, hz)),
        };
        Self {
            schedule,
            sequence: 0,
        }
    }

    /// None while a closed loop waits for its answer.
    fn next_ns(&self, now_ns: u64, waits: bool) -> Option<u64> {
        match &self.schedule {
            Some(schedule) => Some(schedule.due_ns()),
            None => (!waits).then_some(now_ns),
        }
    }

    /// The one that is due at `due_ns` begins.
    fn take(&mut self, due_ns: u64) -> Heartbeat {
        if let Some(schedule) = &mut self.schedule {
            schedule.take(due_ns);
        }
        let beat = Heartbeat {
            due_ns,
            sequence: self.sequence,
        };
        self.sequence += 1;
        beat
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WARM_UP: Duration = Duration::from_millis(5);
    const MEASURE: Duration = Duration::from_millis(40);

    /// Answers at once, one message later where it is told so.
    #[derive(Default)]
    struct Mirror {
        sent: u64,
        answered: u64,
        late: Option<(u64, Duration)>,
    }

    impl Exchange for Mirror {
        fn send(&mut self, beat: Heartbeat) -> Outcome<()> {
            assert_eq!(beat.sequence, self.sent);
            self.sent += 1;
            Ok(())
        }

        fn receive(&mut self, within: Option<Duration>) -> Outcome<bool> {
            if self.answered == self.sent {
                std::thread::sleep(within.expect("nothing is under way"));
                return Ok(false);
            }
            if let Some((sequence, late)) = self.late
                && sequence == self.answered
            {
                std::thread::sleep(late);
            }
            self.answered += 1;
            Ok(true)
        }
    }

    #[test]
    fn a_closed_loop_begins_each_round_trip_after_the_answer_to_the_one_before() {
        let mut mirror = Mirror::default();
        let timed = run(&mut mirror, Pace::Closed, (WARM_UP, MEASURE)).unwrap();
        assert_eq!(mirror.sent, mirror.answered);
        assert!((1..mirror.sent).contains(&timed.begun.count()));
        assert_eq!(timed.begun.buckets(), timed.due.buckets());
    }

    #[test]
    fn an_open_loop_counts_a_stall_in_each_round_trip_that_it_held_up() {
        let mut mirror = Mirror {
            late: Some((3, Duration::from_millis(20))),
            ..Mirror::default()
        };
        let pace = Pace::Open { hz: 1_000 };
        let timed = run(&mut mirror, pace, (Duration::ZERO, MEASURE)).unwrap();
        assert_eq!((timed.begun.count(), timed.due.count()), (40, 40));
        let buckets = timed.begun.buckets().0;
        let held_up = buckets.iter().filter(|(ns, _)| *ns > 5_000_000);
        let held_up: u64 = held_up.map(|(_, times)| times).sum();
        assert!(held_up >= 14, "{buckets:?}");
    }

    #[test]
    fn a_late_timer_is_told_apart_from_a_late_answer() {
        let pace = Pace::Open { hz: 500 };
        let timed = run(&mut Mirror::default(), pace, (Duration::ZERO, MEASURE)).unwrap();
        // A sleep takes at least its slack longer, an answer that is there takes no time.
        assert!(timed.begun.percentile_us(50.0) <= timed.due.percentile_us(50.0));
    }

    #[test]
    fn times_survive_the_way_to_another_process() {
        let timed = run(&mut Mirror::default(), Pace::Closed, (WARM_UP, WARM_UP)).unwrap();
        let there = Timed::from(&timed.buckets());
        assert_eq!(there.begun.count(), timed.begun.count());
        assert_eq!(there.due.count(), timed.due.count());
    }
}
