//! Which of the messages that a lane has processed were refused: what its peer is told when it resumes.
//!
//! Owned by [`Incoming`](super::Incoming) for the messages of one connection, and by [`Resume`](super::Resume) for those
//! of all connections that have ended. It costs nothing while nothing is refused, and remembers the newest
//! [`REFUSALS_MAX`] runs: what was refused before those, the peer is told by number only.

use std::collections::VecDeque;

use crate::wire::endings::{Ending, Endings, Run};

/// Runs of refused messages that are remembered: under 1 KiB that a peer can cost which sends to mailboxes that do not exist.
pub const REFUSALS_MAX: usize = 32;

/// See the module's text.
#[derive(Clone, Debug, Default)]
pub struct Refusals {
    /// In order, and apart from one another unless they ended differently.
    runs: VecDeque<Refused>,
    /// What was refused ahead of this place is forgotten.
    since: u64,
}

#[derive(Clone, Copy, Debug)]
struct Refused {
    /// The place of the first among all that were processed, from 0.
    first: u64,
    messages: u64,
    ending: Ending,
}

impl Refusals {
    /// `messages` were refused, the first of them at that place, which is behind those noted before.
    pub fn note(&mut self, first: u64, messages: u64, ending: Ending) {
        if messages == 0 {
            return;
        }
        if let Some(last) = self.runs.back_mut()
            && last.ending == ending
            && last.first + last.messages == first
        {
            last.messages += messages;
            return;
        }
        self.runs.push_back(Refused {
            first,
            messages,
            ending,
        });
        if self.runs.len() > REFUSALS_MAX
            && let Some(forgotten) = self.runs.pop_front()
        {
            self.since = forgotten.first + forgotten.messages;
        }
    }

    /// What was noted of a connection before which `before` messages had been processed.
    pub fn append(&mut self, before: u64, connection: &Self) {
        if connection.since > 0 {
            self.runs.clear();
            self.since = before + connection.since;
        }
        for run in &connection.runs {
            self.note(before + run.first, run.messages, run.ending);
        }
    }

    /// What to tell the peer, of `processed` messages in all.
    #[must_use]
    pub fn endings(&self, processed: u64) -> Endings {
        if self.runs.is_empty() {
            return Endings::NONE;
        }
        let mut said = Vec::with_capacity(2 * self.runs.len() + 1);
        let mut place = self.since;
        for run in &self.runs {
            said.extend(delivered(run.first - place));
            said.push(Run {
                ending: run.ending,
                messages: run.messages,
            });
            place = run.first + run.messages;
        }
        said.extend(delivered(processed - place));
        Endings::newest_of(&said)
    }
}

fn delivered(messages: u64) -> Option<Run> {
    let ending = Ending::Delivered;
    (messages > 0).then_some(Run { ending, messages })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(refusals: &Refusals, processed: u64) -> String {
        refusals.endings(processed).to_string()
    }

    #[test]
    fn nothing_is_said_while_nothing_is_refused() {
        let mut refusals = Refusals::default();
        refusals.note(5, 0, Ending::Refused);
        assert_eq!(said(&refusals, 1000), "");
    }

    #[test]
    fn what_follows_alike_is_one_run_and_what_lies_between_was_delivered() {
        let mut refusals = Refusals::default();
        refusals.note(0, 2, Ending::Refused);
        refusals.note(2, 1, Ending::Refused);
        refusals.note(3, 1, Ending::Late);
        refusals.note(10, 1, Ending::Late);
        assert_eq!(said(&refusals, 11), "r3l1d6l1");
        assert_eq!(said(&refusals, 15), "r3l1d6l1d4");
    }

    #[test]
    fn connections_are_counted_on_and_join() {
        let mut all = Refusals::default();
        let mut first = Refusals::default();
        first.note(4, 1, Ending::Refused);
        all.append(0, &first);
        let mut second = Refusals::default();
        second.note(0, 2, Ending::Refused);
        second.note(6, 1, Ending::Refused);
        all.append(5, &second);
        assert_eq!(said(&all, 20), "d4r3d4r1d8");
    }

    #[test]
    fn the_oldest_are_forgotten_and_what_was_ahead_of_them_is_not_said_to_be_delivered() {
        let one_too_many = REFUSALS_MAX as u64 + 1;
        let alternating = |connection: &mut Refusals| {
            for number in 0..one_too_many {
                connection.note(2 * number + 1, 1, Ending::Refused);
            }
        };
        let mut refusals = Refusals::default();
        alternating(&mut refusals);
        let processed = 2 * one_too_many;
        let stated = refusals.endings(processed);
        assert_eq!(
            stated.messages(),
            processed - 2,
            "the first run is forgotten"
        );
        assert_eq!(stated.refused(), REFUSALS_MAX as u64);
        // The same, noted of one connection after another.
        let mut all = Refusals::default();
        let mut before = Refusals::default();
        before.note(0, 7, Ending::Late);
        all.append(0, &before);
        all.append(7, &refusals);
        assert_eq!(all.endings(7 + processed), stated);
        assert!(all.runs.len() <= REFUSALS_MAX);
    }
}
