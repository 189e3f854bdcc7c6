//! A mailbox that has a receiver: from when its name is taken until the shards let go of it.
//!
//! Made by `node` for handlers and inboxes. While it is there nobody else gets the mailbox; when it is
//! dropped, shards forget the receiver (and free its memory) and the name can be taken again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use event_listener::Listener;

use crate::error::NameError;
use crate::fabric::Fabric;
use crate::mailboxes::Mailbox;
use crate::shard::command::{Asked, Command, CommandSender};
use crate::shard::deliver::MailboxReceiver;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Occupancy {
    fabric: Arc<Fabric>,
    /// To each shard.
    commands: Arc<[CommandSender]>,
    mailbox: Mailbox,
    /// It stays for as long as the node runs.
    is_kept: bool,
}

impl Occupancy {
    /// Takes the name.
    pub(crate) fn new(
        fabric: &Arc<Fabric>,
        commands: &Arc<[CommandSender]>,
        name: &str,
    ) -> Result<Self, NameError> {
        if fabric.is_stopping() {
            return Err(NameError::Closed);
        }
        Ok(Self {
            mailbox: fabric.mailboxes.take(name)?,
            fabric: Arc::clone(fabric),
            commands: Arc::clone(commands),
            is_kept: false,
        })
    }

    pub(crate) fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    /// The receiver stays for as long as the node runs.
    pub(crate) fn keep(mut self) -> Mailbox {
        self.is_kept = true;
        self.mailbox.clone()
    }

    /// Gives each shard its receiver; they answer when they have it.
    pub(crate) fn hand_out(&self, mut make: impl FnMut(usize) -> MailboxReceiver) -> Arc<Asked> {
        let (asked, answers) = Asked::new(self.commands.len());
        for (shard, answer) in answers.into_iter().enumerate() {
            self.commands[shard].send(Command::Receive {
                mailbox: self.mailbox.clone(),
                receiver: make(shard),
                answer,
            });
        }
        asked
    }
}

impl Drop for Occupancy {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        for shard in self.commands.iter() {
            shard.send(Command::Forget(self.mailbox.id()));
        }
        // Behind the commands: whoever takes the name next asks the shards after this.
        self.fabric.mailboxes.vacate(&self.mailbox);
    }
}

/// Waits until all shards have answered, for `patience` at most.
pub(crate) fn wait(asked: &Asked, patience: Duration) -> Result<(), NameError> {
    let deadline = Instant::now() + patience;
    while !asked.is_over() {
        let changed = asked.listen();
        if !asked.is_over() && changed.wait_deadline(deadline).is_none() {
            break;
        }
    }
    match asked.missing() {
        None => Ok(()),
        Some(_) if asked.is_over() => Err(NameError::Closed),
        Some(shard) => Err(NameError::NoAnswer {
            shard,
            seconds: patience.as_secs(),
        }),
    }
}

/// The same in a task, for as long as it takes.
pub(crate) async fn answered(asked: &Asked) -> Result<(), NameError> {
    while !asked.is_over() {
        let changed = asked.listen();
        if !asked.is_over() {
            changed.await;
        }
    }
    asked.missing().map_or(Ok(()), |_| Err(NameError::Closed))
}
