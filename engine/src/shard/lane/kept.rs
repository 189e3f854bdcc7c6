//! Messages of a lane that are sent and not acknowledged, on a channel that keeps them until they are.
//!
//! Part of the lane's log. What lies here are the very chunks that were given to the kernel, shared with
//! the batch that is being sent: nothing is copied until a connection ends. Chunks note which mailbox each
//! message is for, because ids in frames belong to one connection; the names are held here. Bounded by the
//! lane's gate, at which the room of a message stays reserved until it leaves here.

use std::collections::VecDeque;
use std::rc::Rc;

use super::held::Held;
use crate::delivery::Resume;
use crate::mailboxes::{ByMailbox, Mailbox, MailboxId, Mailboxes};
use crate::order_tag::OrderTag;
use crate::shard::outbox::{Chunk, ChunkPool, Load, Outbox, OutgoingMessage};

/// So many chunks may be kept as they were sent, however little is in them: of a lane whose
/// acknowledgements come in time, none is touched.
const CHUNKS_APART_MAX: usize = 4;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Kept {
    /// How far both ends are known to have come.
    pub(super) resume: Resume,
    /// Messages at the front of what waits for a connection that were sent on an earlier one.
    pub(super) open: u64,
    /// Which of those were given up, because their deadline came while there was no connection: an empty
    /// message stands in the place of each, counted from the front, until it is known how far the peer is.
    pub(super) given_up: Vec<u64>,
    /// With the kernel, or out, and not acknowledged.
    sent: VecDeque<Rc<Chunk>>,
    /// Messages of the first chunk that are acknowledged: a chunk leaves as a whole.
    covered: u64,
    /// Names in use: given back when nothing is kept any more.
    names: ByMailbox<Mailbox>,
    /// The one that was used last.
    last: Option<MailboxId>,
}

impl Kept {
    /// Nothing sent yet; `log` as for [`Resume::new`].
    pub(super) fn new(log: u64) -> Self {
        Self {
            resume: Resume::new(log),
            open: 0,
            given_up: Vec::new(),
            sent: VecDeque::new(),
            covered: 0,
            names: ByMailbox::default(),
            last: None,
        }
    }

    /// A message for that mailbox goes into the outbox.
    #[inline]
    pub(super) fn hold_name(&mut self, names: &Mailboxes, mailbox: MailboxId) {
        if self.last != Some(mailbox) {
            self.hold_other(names, mailbox);
        }
    }

    #[cold]
    fn hold_other(&mut self, names: &Mailboxes, mailbox: MailboxId) {
        if !self.names.contains_key(&mailbox)
            && let Some(name) = names.hold_on(mailbox)
        {
            self.names.insert(mailbox, name);
        }
        self.last = Some(mailbox);
    }

    /// Nothing is kept, and nothing waits.
    pub(super) fn give_names_back(&mut self) {
        if self.sent.is_empty() {
            self.names = ByMailbox::default();
            self.last = None;
        }
    }

    /// A chunk is given to the kernel. Of a message in fragments the last is enough: it has the whole payload.
    pub(super) fn keep(&mut self, chunk: &Rc<Chunk>) {
        if chunk.messages() == 0 {
            return;
        }
        self.sent.push_back(Rc::clone(chunk));
        if self.sent.len() > CHUNKS_APART_MAX {
            self.merge();
        }
    }

    /// A chunk has the room of many messages, and on a lane with little to do holds one of them. Such chunks
    /// are put together while their acknowledgements are late, once the kernel has no part of them any more; one
    /// that has no room for the next gives back what it does not use.
    fn merge(&mut self) {
        let newer_at = self.sent.len() - 2;
        let [.., older, newer, _] = self.sent.make_contiguous() else {
            return;
        };
        let (Some(older), Some(newer)) = (Rc::get_mut(older), Rc::get_mut(newer)) else {
            return;
        };
        if older.absorb(newer) {
            self.sent.remove(newer_at);
        } else {
            older.give_back_room();
        }
    }

    #[cfg(test)]
    pub(super) fn room_bytes(&self) -> usize {
        self.sent.iter().map(|chunk| chunk.room_bytes()).sum()
    }

    /// The peer has acknowledged the next `messages`. Returns what the chunks that leave were charged for.
    pub(super) fn acknowledge(&mut self, messages: u64, pool: &mut ChunkPool) -> Load {
        self.open = self.open.saturating_sub(messages);
        self.covered += messages;
        let mut left = Load::default();
        while let Some(front) = self.sent.front()
            && front.messages() <= self.covered
        {
            self.covered -= front.messages();
            left.messages += front.messages();
            left.payload_bytes += front.payload_bytes();
            if let Some(chunk) = self.sent.pop_front() {
                pool.recycle(chunk);
            }
        }
        left
    }

    /// The connection has ended: everything on it that is not acknowledged, the outbox included, goes
    /// ahead of what is held already. `under_way` messages were sent. Returns what acknowledged messages
    /// of the first chunk were charged for.
    pub(super) fn hold(
        &mut self,
        outbox: &mut Outbox,
        held: &mut Held,
        under_way: u64,
        pool: &mut ChunkPool,
    ) -> Load {
        self.open = self.open.max(under_way);
        let mut waiting = Held::default();
        for name in std::mem::take(&mut self.names).into_values() {
            waiting.know(name);
        }
        self.last = None;
        let mut skip = std::mem::take(&mut self.covered);
        let mut left = Load::default();
        let sent = std::mem::take(&mut self.sent);
        for chunk in sent.into_iter().chain(outbox.take_chunks()) {
            chunk.each_message(|message| {
                if skip > 0 {
                    skip -= 1;
                    left.messages += 1;
                    left.payload_bytes += message.payload.len() as u64;
                    return;
                }
                let Some(mailbox) = message.mailbox else {
                    debug_assert!(false, "each message has its mailbox noted");
                    return;
                };
                let message = OutgoingMessage {
                    mailbox,
                    // What is held keeps its order.
                    order: OrderTag::WITHOUT_KEY,
                    is_extended: message.is_extended,
                    payload: message.payload,
                };
                waiting.push(pool, message);
            });
            pool.recycle(chunk);
        }
        waiting.append(std::mem::take(held));
        *held = waiting;
        left
    }

    /// How many of the messages at `places` in the outbox had been sent on an earlier connection; they are open
    /// no longer.
    pub(super) fn close_expired(&mut self, places: &[u64]) -> u64 {
        let sent: u64 = self.sent.iter().map(|chunk| chunk.messages()).sum();
        let before = sent - self.covered;
        let is_open = |place: &&u64| before + **place < self.open;
        let open = places.iter().filter(is_open).count() as u64;
        self.open -= open;
        open
    }
}
