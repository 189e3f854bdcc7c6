//! Which mailboxes messages are for, in their order, as runs of messages for the same one.
//!
//! Kept by a chunk beside its frames, where ids of mailboxes are not enough: they belong to one connection.

use std::collections::VecDeque;

use crate::mailboxes::MailboxId;

/// Messages in a row for one mailbox.
#[derive(Clone, Copy, Debug)]
struct Run {
    mailbox: MailboxId,
    messages: u64,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Runs(VecDeque<Run>);

impl Runs {
    /// The next message is for that mailbox.
    #[inline]
    pub(super) fn push(&mut self, mailbox: MailboxId) {
        match self.0.back_mut() {
            Some(run) if run.mailbox == mailbox => run.messages += 1,
            _ => self.0.push_back(Run {
                mailbox,
                messages: 1,
            }),
        }
    }

    /// The first message is gone.
    pub(super) fn pop(&mut self) {
        let Some(front) = self.0.front_mut() else {
            return;
        };
        front.messages -= 1;
        if front.messages == 0 {
            self.0.pop_front();
        }
    }

    /// What `next` holds follows.
    pub(super) fn append(&mut self, next: &mut Self) {
        self.0.append(&mut next.0);
    }

    /// The mailbox of each message.
    pub(super) fn iter(&self) -> impl Iterator<Item = MailboxId> {
        let each = |run: &Run| {
            std::iter::repeat_n(
                run.mailbox,
                usize::try_from(run.messages).unwrap_or(usize::MAX),
            )
        };
        self.0.iter().flat_map(each)
    }
}
