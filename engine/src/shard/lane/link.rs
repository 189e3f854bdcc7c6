//! The link of a lane: what belongs to one connection and ends with it.
//!
//! The ids that stand for mailboxes on it, and the receiving half with its carry and what it owes the
//! peer. Two more parts of a link stand elsewhere: how far its farewell has come with the lane's state,
//! which decides by it, and the batch being sent with the connection, because the kernel may read it
//! after the link has ended.

use crate::mailboxes::{ByMailbox, MailboxId};
use crate::shard::inbound::Inbound;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) announced: Announced,
    /// Taken out while its frames are read; `None` between two connections.
    pub(crate) inbound: Option<Box<Inbound>>,
}

impl Link {
    /// No connection yet.
    pub(crate) fn new(names_max: usize) -> Self {
        Self {
            announced: Announced::new(names_max),
            inbound: None,
        }
    }

    /// A new connection: the peer knows none of this side's names.
    pub(crate) fn start(&mut self, inbound: Inbound) {
        self.announced.clear();
        self.inbound = Some(Box::new(inbound));
    }
}

/// The ids this side has announced on the current connection, by mailbox.
#[derive(Debug, Default)]
pub(crate) struct Announced {
    ids: ByMailbox<u32>,
    next: u32,
    names_max: u32,
}

impl Announced {
    fn new(names_max: usize) -> Self {
        Self {
            names_max: u32::try_from(names_max).unwrap_or(u32::MAX),
            ..Self::default()
        }
    }

    #[inline]
    pub(crate) fn id_of(&self, mailbox: MailboxId) -> Option<u32> {
        self.ids.get(&mailbox).copied()
    }

    pub(crate) fn insert(&mut self, mailbox: MailboxId) -> Option<u32> {
        if self.next >= self.names_max {
            return None;
        }
        let id = self.next;
        self.next += 1;
        self.ids.insert(mailbox, id);
        Some(id)
    }

    /// A new connection knows no names.
    fn clear(&mut self) {
        self.ids.clear();
        self.next = 0;
    }
}
