//! A process of a stream run: one node, and a socket beside it. It reads what comes, or sends when told to.
//!
//! Its main thread is the application of both ways: sending.rs or receiving.rs do the work on it.

use overlane::Node;

use super::protocol::{Addresses, Command, Reply, Specification};
use super::receiving::Receiving;
use super::sending::Sending;
use crate::child::Parent;
use crate::error::{BenchError, Outcome};

/// Runs this process until the parent closes its pipe.
pub(crate) fn serve(mut parent: Parent) {
    let Some(specification) = parent.next::<Specification>() else {
        return;
    };
    match specification.and_then(|specification| Host::start(&specification)) {
        Ok((mut host, addresses)) => {
            parent.answer(Ok(Reply::Listening(addresses)));
            parent.serve(|command| host.obey(&command));
        }
        Err(error) => parent.answer::<Reply>(Err(error)),
    }
}

struct Host {
    node: Node,
    chunk_bytes: usize,
    receiving: Receiving,
    /// Present once it is connected to the receiver.
    sending: Option<Sending>,
}

impl Host {
    fn start(specification: &Specification) -> Outcome<(Self, Addresses)> {
        let chunk_bytes = specification.chunk_bytes;
        let node = Node::start(specification.settings.config()?)?;
        let receiving = Receiving::start(&node, chunk_bytes)?;
        let addresses = Addresses {
            node: node.local_addr(),
            raw: receiving.address()?,
        };
        let host = Self {
            node,
            chunk_bytes,
            receiving,
            sending: None,
        };
        Ok((host, addresses))
    }

    fn obey(&mut self, command: &Command) -> Outcome<Reply> {
        match command {
            Command::Connect(to) => {
                let sending = Sending::connect(&self.node, to, self.chunk_bytes)?;
                self.sending = Some(sending);
                Ok(Reply::Connected)
            }
            Command::Send(order) => {
                let not_yet = || BenchError::Engine("this process is not connected".to_owned());
                self.sending.as_mut().ok_or_else(not_yet)?.send(order)
            }
            Command::Receive(order) => self.receiving.receive(order),
        }
    }
}
