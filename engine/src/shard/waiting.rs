//! The lanes that wait for room in an inbox, in line for each inbox.
//!
//! Filled by `receive` and `loopback` when an inbox is full, asked by the turn when readers say that
//! they made room. A lane is tried when the inbox it waits for has room and its place in line has come,
//! not before: hundreds of lanes that wait cost the others nothing. It knows neither lanes nor inboxes.

use std::collections::{BTreeMap, VecDeque};

use crate::mailboxes::{ByMailbox, MailboxId};

/// A lane's place in line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    /// The mailbox whose inbox is waited for.
    pub(crate) mailbox: MailboxId,
    number: u64,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct WaitingLanes {
    /// The lanes of each line, in the order in which they came. No line is empty.
    lines: ByMailbox<BTreeMap<u64, u32>>,
    tickets: u64,
    /// Mailboxes whose inbox has room that their line has not used up.
    roomy: VecDeque<MailboxId>,
}

impl WaitingLanes {
    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Puts a lane at the end of a mailbox's line.
    pub(crate) fn join(&mut self, mailbox: MailboxId, lane: u32) -> Ticket {
        self.tickets += 1;
        let number = self.tickets;
        self.lines.entry(mailbox).or_default().insert(number, lane);
        Ticket { mailbox, number }
    }

    /// The lane does not wait any more.
    pub(crate) fn leave(&mut self, ticket: Ticket) {
        if let Some(line) = self.lines.get_mut(&ticket.mailbox) {
            line.remove(&ticket.number);
            if line.is_empty() {
                self.lines.remove(&ticket.mailbox);
            }
        }
    }

    /// The mailboxes that lanes wait for.
    pub(crate) fn mailboxes(&self) -> Vec<MailboxId> {
        self.lines.keys().copied().collect()
    }

    /// Room was made in the inbox of that mailbox.
    pub(crate) fn room_was_made(&mut self, mailbox: MailboxId) {
        if self.lines.contains_key(&mailbox) && !self.roomy.contains(&mailbox) {
            self.roomy.push_back(mailbox);
        }
    }

    /// There is no more room in it.
    pub(crate) fn room_is_used_up(&mut self, mailbox: MailboxId) {
        self.roomy.retain(|roomy| *roomy != mailbox);
    }

    /// Whether a lane may be tried.
    pub(crate) fn has_room(&self) -> bool {
        !self.roomy.is_empty()
    }

    /// The next lane to try, which leaves its line.
    pub(crate) fn next(&mut self) -> Option<u32> {
        while let Some(&mailbox) = self.roomy.front() {
            let line = self.lines.get_mut(&mailbox);
            let first = line.and_then(|line| line.pop_first());
            if let Some((number, lane)) = first {
                self.leave(Ticket { mailbox, number });
                return Some(lane);
            }
            self.roomy.pop_front();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: MailboxId = MailboxId::from_words(3, 0);
    const B: MailboxId = MailboxId::from_words(3, 1);

    #[test]
    fn a_lane_is_tried_only_when_its_own_inbox_has_room_and_in_its_turn() {
        let mut waiting = WaitingLanes::default();
        for (mailbox, lane) in [(A, 1), (B, 2), (A, 3), (B, 4)] {
            waiting.join(mailbox, lane);
        }
        assert_eq!((waiting.next(), waiting.has_room()), (None, false));
        assert_eq!(waiting.mailboxes().len(), 2);
        waiting.room_was_made(B);
        assert_eq!(waiting.next(), Some(2));
        // It is blocked again, by the same inbox: nobody else is tried.
        waiting.join(B, 2);
        waiting.room_is_used_up(B);
        assert_eq!((waiting.next(), waiting.has_room()), (None, false));
        waiting.room_was_made(B);
        assert_eq!([waiting.next(), waiting.next()], [Some(4), Some(2)]);
        assert_eq!((waiting.next(), waiting.has_room()), (None, false));
        assert_eq!(waiting.mailboxes(), [A]);
    }

    #[test]
    fn a_lane_that_left_its_line_is_not_tried() {
        let mut waiting = WaitingLanes::default();
        let first = waiting.join(A, 1);
        waiting.join(A, 2);
        waiting.leave(first);
        waiting.room_was_made(A);
        assert_eq!([waiting.next(), waiting.next()], [Some(2), None]);
        assert!(waiting.is_empty());
    }
}
