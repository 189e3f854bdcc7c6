//! The link of a lane: what belongs to one connection and ends with it.
//!
//! What its handshake settled, the ids that stand for mailboxes on it, and the receiving half with its carry and what it owes the
//! peer. Two more parts of a link stand elsewhere: how far its farewell has come with the lane's state,
//! which decides by it, and the batch being sent with the connection, because the kernel may read it
//! after the link has ended.

use crate::delivery::Incoming;
use crate::shard::inbound::Inbound;
use crate::wire::Agreed;
use crate::wire::mailbox_ids::MailboxIds;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Link {
    /// What both ends go by; before the first connection, what this node would have.
    pub(crate) agreed: Agreed,
    /// Those that this side has announced.
    pub(crate) mailbox_ids: MailboxIds,
    /// Taken out while its frames are read; `None` between two connections.
    pub(crate) inbound: Option<Box<Inbound>>,
}

impl Link {
    /// No connection yet.
    pub(crate) fn new(agreed: Agreed) -> Self {
        Self {
            mailbox_ids: MailboxIds::new(0, false),
            agreed,
            inbound: None,
        }
    }

    /// What was processed of the peer's messages on this connection; nothing if there was none.
    pub(crate) fn processed(&self) -> Option<&Incoming> {
        self.inbound.as_ref().map(|inbound| &inbound.ledger)
    }

    /// A new connection: the peer knows none of this side's names.
    pub(crate) fn start(&mut self, inbound: Inbound) {
        let Agreed { terms, .. } = &self.agreed;
        self.mailbox_ids = MailboxIds::new(terms.mailboxes_max, self.agreed.reuses_mailbox_ids());
        self.inbound = Some(Box::new(inbound));
    }
}
