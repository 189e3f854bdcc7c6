//! Messages of a lane that are sent and not acknowledged, on a channel that keeps them until they are.
//!
//! Part of the lane's log. What lies here are the very chunks that were given to the kernel, shared with
//! the batch that is being sent: nothing is copied until a connection ends. Which mailbox each message is
//! for is noted beside, because ids in frames belong to one connection. Bounded by the lane's gate, at
//! which the room of a message stays reserved until it leaves here.

use std::collections::VecDeque;
use std::rc::Rc;

use super::held::Held;
use crate::delivery::Resume;
use crate::mailboxes::{ByMailbox, Mailbox, MailboxId, Mailboxes};
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
    /// What the messages of `sent` that are not acknowledged, and those of the outbox behind them, are for.
    mailboxes: VecDeque<Run>,
    /// Names in use: given back when nothing is kept any more.
    names: ByMailbox<Mailbox>,
}

/// Messages in a row for one mailbox.
#[derive(Clone, Copy, Debug)]
struct Run {
    mailbox: MailboxId,
    messages: u64,
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
            mailboxes: VecDeque::new(),
            names: ByMailbox::default(),
        }
    }

    /// `messages` for that mailbox go into the outbox.
    #[inline]
    pub(super) fn note(&mut self, names: &Mailboxes, mailbox: MailboxId, messages: u64) {
        match self.mailboxes.back_mut() {
            Some(run) if run.mailbox == mailbox => run.messages += messages,
            _ => self.note_other(names, Run { mailbox, messages }),
        }
    }

    #[cold]
    fn note_other(&mut self, names: &Mailboxes, run: Run) {
        if !self.names.contains_key(&run.mailbox)
            && let Some(mailbox) = names.hold_on(run.mailbox)
        {
            self.names.insert(run.mailbox, mailbox);
        }
        self.mailboxes.push_back(run);
    }

    /// A chunk is given to the kernel.
    pub(super) fn keep(&mut self, chunk: &Rc<Chunk>) {
        self.sent.push_back(Rc::clone(chunk));
        if self.sent.len() > CHUNKS_APART_MAX {
            self.merge();
        }
    }

    /// A chunk has the room of many messages, and on a lane with little to do holds one of them. Such chunks
    /// are put together while their acknowledgements are late, once the kernel has no part of them any more:
    /// of two neighbours, half of the room is used at least.
    fn merge(&mut self) {
        let newer_at = self.sent.len() - 2;
        if let [.., older, newer, _] = self.sent.make_contiguous()
            && let (Some(older), Some(newer)) = (Rc::get_mut(older), Rc::get_mut(newer))
            && older.absorb(newer)
        {
            self.sent.remove(newer_at);
        }
    }

    #[cfg(test)]
    pub(super) fn chunks(&self) -> usize {
        self.sent.len()
    }

    /// The peer has acknowledged the next `messages`. Returns what the chunks that leave were charged for.
    pub(super) fn acknowledge(&mut self, messages: u64, pool: &mut ChunkPool) -> Load {
        self.open = self.open.saturating_sub(messages);
        self.forget_mailboxes(messages);
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
        if self.mailboxes.is_empty() {
            self.names = ByMailbox::default();
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
        let mut mailboxes = std::mem::take(&mut self.mailboxes).into_iter();
        let mut run = mailboxes.next();
        let mut skip = std::mem::take(&mut self.covered);
        let mut left = Load::default();
        let sent = std::mem::take(&mut self.sent);
        for chunk in sent.into_iter().chain(outbox.take_chunks()) {
            chunk.each_message(|is_extended, payload| {
                if skip > 0 {
                    skip -= 1;
                    left.messages += 1;
                    left.payload_bytes += payload.len() as u64;
                    return;
                }
                while run.is_some_and(|run| run.messages == 0) {
                    run = mailboxes.next();
                }
                let Some(run) = &mut run else {
                    debug_assert!(false, "each message has its mailbox noted");
                    return;
                };
                run.messages -= 1;
                let message = OutgoingMessage {
                    mailbox: run.mailbox,
                    is_extended,
                    payload,
                };
                waiting.push(pool, message);
            });
            pool.recycle(chunk);
        }
        waiting.append(std::mem::take(held));
        *held = waiting;
        left
    }

    /// Messages of `places` in the outbox, which held `messages` of them, have left it.
    pub(super) fn forget_expired(&mut self, messages: u64, places: &[u64]) {
        let noted: u64 = self.mailboxes.iter().map(|run| run.messages).sum();
        let before = noted.saturating_sub(messages);
        let mut gone = places.iter().map(|place| before + place).peekable();
        let mut end = 0;
        for run in &mut self.mailboxes {
            end += run.messages;
            while gone.next_if(|place| *place < end).is_some() {
                run.messages -= 1;
            }
        }
        self.mailboxes.retain(|run| run.messages > 0);
    }

    /// How many of those messages had been sent on an earlier connection; they are open no longer.
    pub(super) fn close_expired(&mut self, messages: u64, places: &[u64]) -> u64 {
        let noted: u64 = self.mailboxes.iter().map(|run| run.messages).sum();
        let before = noted.saturating_sub(messages);
        let is_open = |place: &&u64| before + **place < self.open;
        let open = places.iter().filter(is_open).count() as u64;
        self.open -= open;
        open
    }

    fn forget_mailboxes(&mut self, mut messages: u64) {
        while messages > 0
            && let Some(front) = self.mailboxes.front_mut()
        {
            let gone = messages.min(front.messages);
            front.messages -= gone;
            messages -= gone;
            if front.messages == 0 {
                self.mailboxes.pop_front();
            }
        }
    }
}
