//! Messages that a lane holds until there is a connection for them, in their order.
//!
//! They are not encoded for a connection yet, because ids of mailboxes belong to one: each is noted with
//! its mailbox, whose name is held as long. Part of the lane's log; bounded by the lane's gate, at which
//! their room stays reserved.

use crate::awaited::Awaited;
use crate::deadline::Moment;
use crate::mailboxes::{ByMailbox, Mailbox, MailboxId};
use crate::shard::outbox::{ChunkPool, Dropped, Expired, Load, Outbox, OutgoingMessage, Taken};

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Held {
    messages: Outbox,
    /// Names in use: given back when nothing waits any more.
    mailboxes: ByMailbox<Mailbox>,
}

impl Default for Held {
    fn default() -> Self {
        Self {
            messages: Outbox::noting_mailboxes(),
            mailboxes: ByMailbox::default(),
        }
    }
}

impl Held {
    pub(crate) fn is_empty(&self) -> bool {
        self.messages() == 0
    }

    /// Messages that wait.
    pub(crate) fn messages(&self) -> u64 {
        self.messages.messages()
    }

    /// Whether the name of that mailbox is held already.
    pub(crate) fn knows(&self, mailbox: MailboxId) -> bool {
        self.mailboxes.contains_key(&mailbox)
    }

    pub(crate) fn know(&mut self, mailbox: Mailbox) {
        self.mailboxes.insert(mailbox.id(), mailbox);
    }

    /// Puts a message behind those that are there.
    pub(crate) fn push(&mut self, pool: &mut ChunkPool, message: OutgoingMessage<'_>) {
        self.messages.push_message(pool, 0, message);
    }

    /// Puts what `other` holds behind what is here.
    pub(crate) fn append(&mut self, other: Self) {
        self.messages.append(other.messages);
        self.mailboxes.extend(other.mailboxes);
    }

    /// The message that has waited longest.
    pub(crate) fn front(&self) -> Option<Taken<'_>> {
        self.messages.front()
    }

    /// Removes it.
    pub(crate) fn drop_front(&mut self, pool: &mut ChunkPool) -> Option<Dropped> {
        let dropped = self.messages.drop_front(pool);
        if self.is_empty() {
            self.mailboxes = ByMailbox::default();
        }
        dropped
    }

    /// Not later than the deadline of any of them; `None` if none has one.
    pub(crate) fn first_due(&self) -> Option<Moment> {
        self.messages.first_due()
    }

    /// Removes those whose deadline has come; see [`Outbox::expire`].
    pub(crate) fn expire(&mut self, pool: &mut ChunkPool, now: Moment, kept: u64) -> Expired {
        let expired = self.messages.expire(pool, now, kept);
        if self.is_empty() {
            self.mailboxes = ByMailbox::default();
        }
        expired
    }

    /// Removes those of `places`, counted from the front, in ascending order.
    pub(crate) fn remove(&mut self, pool: &mut ChunkPool, places: &[u64]) {
        self.messages.remove(pool, places);
        if self.is_empty() {
            self.mailboxes = ByMailbox::default();
        }
    }

    /// Calls `each` for the messages of which somebody waits to hear, with how many are ahead.
    pub(crate) fn each_awaited(&self, each: impl FnMut(u64, Awaited)) {
        self.messages.each_awaited(each);
    }

    /// Removes all; says what they were charged for.
    pub(crate) fn clear(&mut self, pool: &mut ChunkPool) -> Load {
        self.mailboxes = ByMailbox::default();
        self.messages.clear(pool)
    }
}
