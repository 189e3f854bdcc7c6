//! A process of a soak: one node that sends, or one that receives.
//!
//! Its main thread obeys the parent; sending.rs and receiving.rs do the work.

use super::protocol::{CHANNEL, Command, RECEIVER, Reply, Specification};
use super::receiving::Receiving;
use super::sending::Sending;
use crate::child::Parent;
use crate::error::{BenchError, Outcome};
use crate::node::counters;

/// Runs this process until the parent closes its pipe.
pub(crate) fn serve(mut parent: Parent) {
    let Some(specification) = parent.next::<Specification>() else {
        return;
    };
    match specification.and_then(|specification| Host::start(&specification)) {
        Ok(mut host) => {
            parent.answer(Ok(Reply::Listening(host.node.local_addr())));
            parent.serve(|command| host.obey(command));
        }
        Err(error) => parent.answer::<Reply>(Err(error)),
    }
}

struct Host {
    node: overlane::Node,
    receiving: Receiving,
    sending: Option<Sending>,
}

impl Host {
    fn start(specification: &Specification) -> Outcome<Self> {
        let node = overlane::Node::start(specification.settings.config()?)?;
        let ledger = specification.ledger.as_deref();
        let receiving = Receiving::install(&node, specification.senders, ledger)?;
        Ok(Self {
            node,
            receiving,
            sending: None,
        })
    }

    fn obey(&mut self, command: Command) -> Outcome<Reply> {
        match command {
            Command::Start(order) => {
                self.sending = Some(Sending::start(&self.node, CHANNEL, RECEIVER, &order)?);
                Ok(Reply::Done)
            }
            Command::Stop => self.sending()?.stop().map(|()| Reply::Done),
            Command::Accounts => Ok(Reply::Accounts(counters::accounts(&self.node))),
            Command::Delivered => Ok(Reply::Delivered(self.receiving.delivered())),
            Command::Told => Ok(Reply::Told(self.sending()?.told())),
        }
    }

    fn sending(&mut self) -> Outcome<&mut Sending> {
        let sending = self.sending.as_mut();
        sending.ok_or_else(|| BenchError::Engine("this process has not begun to send".into()))
    }
}
