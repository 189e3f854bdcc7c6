//! A strategy at work, on a thread of its own: looks when its plan says so, and reports.
//!
//! Started and stopped by whoever wants to find nodes. The thread holds nothing that anybody waits for.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::Strategy;
use crate::found::Place;
use crate::plan::{Outcome, Pace, Plan};
use crate::stop::Stop;

/// What came of one look.
#[derive(Clone, Debug)]
pub struct Report {
    /// What came of it.
    pub outcome: Outcome,
    /// All places that count now.
    pub places: BTreeSet<Place>,
    /// Places of the answer for which there was no room.
    pub left_out: usize,
    /// Answers that were not believed.
    pub refused: u64,
}

/// A strategy at work.
pub struct Task {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Task {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Task").finish_non_exhaustive()
    }
}

impl Task {
    /// Starts a thread of that name. `report` is told what comes of each look; `seed` is for the chance in the plan.
    ///
    /// # Errors
    /// No thread could be made.
    pub fn start(
        thread_name: String,
        mut strategy: Box<dyn Strategy>,
        pace: Pace,
        seed: u64,
        mut report: impl FnMut(Report) + Send + 'static,
    ) -> io::Result<Self> {
        let stop = Arc::new(Stop::default());
        let stopped = Arc::clone(&stop);
        let life = move || live(&mut *strategy, pace, seed, &stopped, &mut report);
        let thread = thread::Builder::new().name(thread_name).spawn(life)?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }

    /// Asks it to end. It does so within a few seconds.
    pub fn stop(&self) {
        self.stop.stop();
    }

    /// Waits for its end until then. False if it is still at something; then it is left to itself.
    pub fn join_by(&mut self, deadline: Instant) -> bool {
        while let Some(thread) = &self.thread {
            if thread.is_finished() {
                // A thread that panicked has said so.
                let _ = self.thread.take().map(JoinHandle::join);
            } else if Instant::now() >= deadline {
                return false;
            } else {
                thread::sleep(Duration::from_millis(1));
            }
        }
        true
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

fn live(
    strategy: &mut dyn Strategy,
    pace: Pace,
    seed: u64,
    stop: &Stop,
    report: &mut impl FnMut(Report),
) {
    let mut random = fastrand::Rng::with_seed(seed);
    let start = Instant::now();
    let mut plan = Plan::new(pace, start.elapsed());
    while !stop.wait(plan.next().saturating_sub(start.elapsed())) {
        let looked = strategy.look(stop);
        if stop.is_stopped() {
            // What fails because of that is no failure.
            return;
        }
        let (now, chance) = (start.elapsed(), random.f64());
        let (left_out, refused) = match &looked {
            Ok(found) => (found.left_out(), found.refusals()),
            Err(_) => (0, 0),
        };
        let outcome = match looked {
            Ok(found) => plan.answered(now, &found, chance),
            Err(why) => plan.failed(now, why, chance),
        };
        report(Report {
            outcome,
            places: plan.places().clone(),
            left_out,
            refused,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::found::{Again, Failure, Found};
    use std::sync::mpsc;

    /// Fails first, then finds one place more each time.
    struct Growing(u16);

    impl Strategy for Growing {
        fn look(&mut self, _: &Stop) -> Result<Found, Failure> {
            self.0 += 1;
            match self.0 {
                1 => Err(Failure::new("not yet")),
                looks => Ok(
                    Found::of((2..=looks).filter_map(|port| Place::of_host("a", port)))
                        .again(Again::ByPace),
                ),
            }
        }
    }

    #[test]
    fn it_looks_until_it_is_stopped_and_tells_what_comes_of_it() {
        let millisecond = Duration::from_millis(1);
        let pace = Pace {
            poll: Some(millisecond),
            poll_default: millisecond,
            retry_first: millisecond,
            retry_max: millisecond,
        };
        let (to, reports) = mpsc::channel();
        let report = move |report| drop(to.send(report));
        let mut task =
            Task::start("growing".into(), Box::new(Growing(0)), pace, 1, report).unwrap();
        let patience = Duration::from_secs(60);
        let first = reports.recv_timeout(patience).unwrap();
        assert!(matches!(first.outcome, Outcome::Failed { .. }));
        for count in 1..=3 {
            let next = reports.recv_timeout(patience).unwrap();
            assert_eq!(next.places.len(), count);
        }
        task.stop();
        assert!(task.join_by(Instant::now() + patience));
    }
}
