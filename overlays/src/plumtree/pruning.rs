//! Pruning: which messages take links out of the tree.
//!
//! One message comes to each node first over one link. Without the links that only brought it again, a
//! tree is left. That is true of one message: two of different senders meet themselves at different
//! links of a circle, both links go, and what lies between them is cut off. In the paper every message
//! prunes, and a cluster with many senders never comes to rest.
//!
//! So a sender *marks* a message when it has seen no marked one for a while, and a marked message that
//! comes again only leaves a note at its link. Senders that cannot have heard of each other mark at the
//! same time; therefore each node waits from the first mark on until every mark of that time has come,
//! and then prunes for the one with the least id alone. All nodes choose the same one, so what is left
//! is the tree of one message, however many were under way. The sender of least id stays the same, so
//! at rest the same tree is found again and nothing is pruned.
//!
//! Which marks are of one time is not left to the clocks of the nodes that they reach: a mark names its
//! *round*, one more than the latest that its sender had heard of. A mark that comes after its round was
//! chosen from still tells how long rounds take, and the next is waited for longer.

use std::time::Duration;

use super::links::Push;
use super::message::Message;
use super::{Outputs, Plumtree, Timer};
use crate::event::{Output, Peer};
use crate::pace::{LEAST, MOST};
use crate::store::{Mark, MessageId, Seen};
use crate::time::Time;

/// How long a node waits for all marks of a round.
fn choose_after(spread: Duration) -> Duration {
    spread * 5 / 2
}

/// What a node has seen of marked messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pruning {
    latest: Option<Round>,
    /// What will prune in it, until it has.
    open: Option<Choice>,
}

/// A round of marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Round {
    number: u32,
    /// When its first mark came.
    since: Time,
    /// How long it may take to spread, by the word of its marks.
    spread: Duration,
}

/// The least of the marks of a round that have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Choice {
    least: MessageId,
    /// When that message came.
    came: Time,
}

/// What a mark that came is to this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Noted {
    /// The first of a round.
    Begins,
    /// One of the latest round, so long after its first.
    After(Duration),
    /// One of an earlier round.
    Old,
}

impl Pruning {
    pub(super) const fn new() -> Self {
        Self {
            latest: None,
            open: None,
        }
    }

    /// The mark of this node's next message, if it is to have one. Four spreads after the one before:
    /// marks that were sent within one spread of each other have come after two, are chosen from after
    /// two and a half, and nobody marks again before every node has chosen.
    pub(super) fn mark(self, now: Time, spread: Duration) -> Option<Mark> {
        let round = match self.latest {
            None => 0,
            Some(latest) if now.since(latest.since) >= spread.max(latest.spread) * 4 => {
                latest.number.wrapping_add(1)
            }
            Some(_) => return None,
        };
        let spread_micros = u32::try_from(spread.as_micros()).unwrap_or(u32::MAX);
        Some(Mark {
            round,
            spread_micros,
        })
    }

    /// Whether a mark is of the latest round.
    pub(super) fn is_of_now(self, mark: Mark) -> bool {
        self.latest
            .is_some_and(|latest| latest.number == mark.round)
    }

    /// Notes a marked message that this node sent or got first.
    fn note(&mut self, now: Time, id: MessageId, mark: Mark) -> Noted {
        let spread = Duration::from_micros(mark.spread_micros.into()).clamp(LEAST, MOST);
        match &mut self.latest {
            Some(latest) if latest.number == mark.round => {
                latest.spread = latest.spread.max(spread);
                if let Some(choice) = &mut self.open
                    && id < choice.least
                {
                    choice.least = id;
                    choice.came = now;
                }
                Noted::After(now.since(latest.since))
            }
            // Rounds are counted round in a circle: what is in the half behind is earlier.
            Some(latest) if mark.round.wrapping_sub(latest.number) > u32::MAX / 2 => Noted::Old,
            _ => {
                self.latest = Some(Round {
                    number: mark.round,
                    since: now,
                    spread,
                });
                self.open = Some(Choice {
                    least: id,
                    came: now,
                });
                Noted::Begins
            }
        }
    }
}

impl<P: Peer> Plumtree<P> {
    /// Notes a message that was sent or came first, if it is marked.
    pub(super) fn note_mark(
        &mut self,
        now: Time,
        id: MessageId,
        seen: &Seen<P>,
        out: &mut Outputs<P>,
    ) {
        let Some(mark) = seen.mark else { return };
        match self.pruning.note(now, id, mark) {
            Noted::Begins => {
                self.links.forget_notes();
                let there = Duration::from_micros(mark.spread_micros.into()).clamp(LEAST, MOST);
                out.push(Output::SetTimer {
                    id: Timer::Prune(mark.round),
                    after: choose_after(self.pace.marks_spread().max(there)),
                });
            }
            // What was asked for says nothing about how long a round takes.
            Noted::After(by) if !seen.late => self.pace.marks_apart(now, by),
            Noted::After(_) | Noted::Old => {}
        }
    }

    /// All marks of a round have come: takes out the links that brought the chosen one again. Not those
    /// that became part of the tree after it had come, as it does not tell what they are good for.
    pub(super) fn prune(&mut self, now: Time, round: u32, out: &mut Outputs<P>) {
        if self
            .pruning
            .latest
            .is_none_or(|latest| latest.number != round)
        {
            return;
        }
        let Some(choice) = self.pruning.open.take() else {
            return;
        };
        let redundant = self.links.redundant(choice.least, choice.came);
        for to in redundant {
            self.links.set(now, to, Push::Lazy);
            out.push(Output::Send {
                to,
                message: Message::Prune,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPREAD: Duration = Duration::from_millis(100);

    const fn mark(round: u32) -> Mark {
        Mark {
            round,
            spread_micros: 50_000,
        }
    }

    const fn id(sender: u64) -> MessageId {
        MessageId { sender, number: 3 }
    }

    #[test]
    fn of_the_marks_of_one_round_the_least_is_chosen_whatever_their_order() {
        for order in [[5, 2, 9], [9, 5, 2], [2, 9, 5]] {
            let mut pruning = Pruning::new();
            let noted = order.map(|sender| pruning.note(Time::ZERO, id(sender), mark(4)));
            let after = Noted::After(Duration::ZERO);
            assert_eq!(noted, [Noted::Begins, after, after]);
            assert_eq!(pruning.open.map(|choice| choice.least), Some(id(2)));
        }
    }

    #[test]
    fn marks_of_other_rounds_have_no_say() {
        let mut pruning = Pruning::new();
        pruning.note(Time::ZERO, id(5), mark(u32::MAX));
        assert_eq!(
            pruning.note(Time::ZERO, id(1), mark(u32::MAX - 1)),
            Noted::Old
        );
        assert_eq!(pruning.open.map(|choice| choice.least), Some(id(5)));
        assert_eq!(pruning.note(Time::ZERO, id(6), mark(0)), Noted::Begins);
        assert_eq!(pruning.open.map(|choice| choice.least), Some(id(6)));
        assert_eq!(pruning.note(Time::ZERO, id(1), mark(u32::MAX)), Noted::Old);
    }

    #[test]
    fn what_is_up_to_half_a_circle_ahead_is_a_later_round() {
        for ahead in [1, 2, u32::MAX / 2, u32::MAX / 2 + 1] {
            let mut pruning = Pruning::new();
            pruning.note(Time::ZERO, id(5), mark(7));
            let noted = pruning.note(Time::ZERO, id(6), mark(7 + ahead));
            let is_later = ahead <= u32::MAX / 2;
            let expected = if is_later { Noted::Begins } else { Noted::Old };
            assert_eq!(noted, expected, "{ahead} ahead");
        }
    }

    #[test]
    fn nobody_marks_before_all_have_chosen() {
        let mut pruning = Pruning::new();
        let first = pruning.mark(Time::ZERO, SPREAD).unwrap();
        assert_eq!((first.round, first.spread_micros), (0, 100_000));
        pruning.note(Time::ZERO, id(1), first);
        // A node that hears of the mark one spread later chooses one spread later.
        let all_chosen = Time::ZERO + SPREAD + choose_after(SPREAD);
        assert_eq!(pruning.mark(all_chosen, SPREAD), None);
        let next = pruning.mark(Time::ZERO + SPREAD * 4, SPREAD).unwrap();
        assert_eq!(next.round, 1);
    }
}
