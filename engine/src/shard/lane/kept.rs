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

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Kept {
    /// How far both ends are known to have come.
    pub(super) resume: Resume,
    /// Messages at the front of what waits for a connection that were sent on an earlier one.
    pub(super) open: u64,
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
