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

use std::time::Duration;

use super::links::Push;
use super::message::Message;
use super::{Outputs, Plumtree, Timer};
use crate::event::{Output, Peer};
use crate::pace::{LEAST, MOST};
use crate::store::MessageId;
use crate::time::Time;

/// How long a node waits for all marks of one time.
fn choose_after(spread: Duration) -> Duration {
    spread * 5 / 2
}

/// What a node has seen of marked messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pruning {
    /// When the first mark of the latest ones came.
    last: Option<Time>,
    open: Option<Choice>,
}

/// The marks of one time, of which one will prune.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Choice {
    least: MessageId,
    /// When that message came.
    came: Time,
}

impl Pruning {
    pub(super) const fn new() -> Self {
        Self {
            last: None,
            open: None,
        }
    }

    /// Whether the next message of this node is to be marked. Four spreads: marks that were sent within
    /// one spread of each other have come after two, are chosen from after two and a half, and nobody
    /// marks again before every node has chosen.
    pub(super) fn decide(self, now: Time, spread: Duration) -> bool {
        self.last.is_none_or(|last| now.since(last) >= spread * 4)
    }

    /// Notes a marked message that this node sent or got first. Whether a time for choosing begins.
    fn note(&mut self, now: Time, id: MessageId) -> bool {
        match &mut self.open {
            Some(choice) => {
                if id < choice.least {
                    choice.least = id;
                    choice.came = now;
                }
                false
            }
            None => {
                self.last = Some(now);
                self.open = Some(Choice {
                    least: id,
                    came: now,
                });
                true
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
        mark: Option<u32>,
        out: &mut Outputs<P>,
    ) {
        let Some(micros) = mark else { return };
        let there = Duration::from_micros(micros.into()).clamp(LEAST, MOST);
        if self.pruning.note(now, id) {
            out.push(Output::SetTimer {
                id: Timer::Prune,
                after: choose_after(self.pace.spread().max(there)),
            });
        }
    }

    /// All marks of one time have come: takes out the links that brought the chosen one again. Not those
    /// that became part of the tree after it had come, as it does not tell what they are good for.
    pub(super) fn prune(&mut self, now: Time, out: &mut Outputs<P>) {
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

    const fn id(sender: u64) -> MessageId {
        MessageId { sender, number: 3 }
    }

    #[test]
    fn of_the_marks_of_one_time_the_least_is_chosen_whatever_their_order() {
        for order in [[5, 2, 9], [9, 5, 2], [2, 9, 5]] {
            let mut pruning = Pruning::new();
            let begins = order.map(|sender| pruning.note(Time::ZERO, id(sender)));
            assert_eq!(begins, [true, false, false]);
            assert_eq!(pruning.open.map(|choice| choice.least), Some(id(2)));
        }
    }

    #[test]
    fn nobody_marks_before_all_have_chosen() {
        let mut pruning = Pruning::new();
        assert!(
            pruning.decide(Time::ZERO, SPREAD),
            "the first message is marked"
        );
        pruning.note(Time::ZERO, id(1));
        // A node that hears of the mark one spread later chooses one spread later.
        let all_chosen = Time::ZERO + SPREAD + choose_after(SPREAD);
        assert!(!pruning.decide(all_chosen, SPREAD));
        assert!(pruning.decide(Time::ZERO + SPREAD * 4, SPREAD));
    }
}
