//! Giving mailboxes their receivers: a handler on each shard, or an inbox.
//!
//! Each way there is waits until every shard has its receiver, so that a message sent after the call
//! is received; in a thread for ten seconds at most, in a task for as long as the task likes.

use std::sync::{Arc, MutexGuard, PoisonError};

use super::{Node, PATIENCE};
use crate::error::NameError;
use crate::inbox::{Inbox, inbox};
use crate::mailboxes::Mailbox;
use crate::message::Message;
use crate::receiving::{Occupancy, answered, wait};
use crate::shard::command::Asked;
use crate::shard::context::ShardContext;
use crate::shard::deliver::{Handler, MailboxReceiver};
use crate::threads;

/// A receiver that the shards were given and have not all taken yet.
pub(super) struct Pending<T> {
    receiver: T,
    asked: Arc<Asked>,
}

impl<T> Pending<T> {
    /// For a thread of the application.
    pub(super) fn wait(self) -> Result<T, NameError> {
        wait(&self.asked, PATIENCE)?;
        Ok(self.receiver)
    }

    async fn done(self) -> Result<T, NameError> {
        answered(&self.asked).await?;
        Ok(self.receiver)
    }
}

/// The handler that all shards share, as one for each of them.
pub(super) fn shared<F>(handler: F) -> impl FnMut(usize) -> Handler
where
    F: Fn(&mut ShardContext<'_>, Message<'_>) + Send + Sync + 'static,
{
    let handler = Arc::new(handler);
    move |_| {
        let handler = Arc::clone(&handler);
        Box::new(
            move |context: &mut ShardContext<'_>, message: Message<'_>| {
                handler(context, message);
            },
        )
    }
}

/// What a factory makes for each shard.
pub(super) fn boxed<M, F>(mut make: M) -> impl FnMut(usize) -> Handler
where
    M: FnMut(usize) -> F,
    F: FnMut(&mut ShardContext<'_>, Message<'_>) + Send + 'static,
{
    move |shard| Box::new(make(shard))
}

impl Node {
    /// Gives a mailbox a handler: it runs on the shard that received the message, with the bytes
    /// where they lie, and must not block. All shards share it, and may run it at the same time; one
    /// with state of its own for each shard is made by [`handle_with`](Self::handle_with). Returns
    /// once every shard has it.
    ///
    /// # Errors
    /// [`NameError`] if the name cannot be one, the mailbox has a receiver already, a shard does not
    /// answer within 10 s, or the call is made on a thread of the engine.
    pub fn handle<F>(&self, mailbox: &str, handler: F) -> Result<Mailbox, NameError>
    where
        F: Fn(&mut ShardContext<'_>, Message<'_>) + Send + Sync + 'static,
    {
        refuse_own_threads()?;
        let pending = self.begin_handler(mailbox, shared(handler))?;
        pending.wait().map(Occupancy::keep)
    }

    /// [`handle`](Self::handle), with a handler of its own for each shard: `make` is called once for
    /// each, with its number.
    ///
    /// # Errors
    /// As [`handle`](Self::handle).
    pub fn handle_with<M, F>(&self, mailbox: &str, make: M) -> Result<Mailbox, NameError>
    where
        M: FnMut(usize) -> F,
        F: FnMut(&mut ShardContext<'_>, Message<'_>) + Send + 'static,
    {
        refuse_own_threads()?;
        let pending = self.begin_handler(mailbox, boxed(make))?;
        pending.wait().map(Occupancy::keep)
    }

    /// [`handle_with`](Self::handle_with) in a task of any runtime. Dropping the future before it is
    /// ready takes the handler back.
    ///
    /// # Errors
    /// [`NameError`] if the name cannot be one, or the mailbox has a receiver already.
    pub async fn handle_with_async<M, F>(
        &self,
        mailbox: &str,
        make: M,
    ) -> Result<Mailbox, NameError>
    where
        M: FnMut(usize) -> F,
        F: FnMut(&mut ShardContext<'_>, Message<'_>) + Send + 'static,
    {
        let pending = self.begin_handler(mailbox, boxed(make))?;
        pending.done().await.map(Occupancy::keep)
    }

    pub(super) fn begin_handler(
        &self,
        mailbox: &str,
        mut make: impl FnMut(usize) -> Handler,
    ) -> Result<Pending<Occupancy>, NameError> {
        let occupancy = Occupancy::new(&self.fabric, &self.commands, mailbox)?;
        Ok(Pending {
            asked: occupancy.hand_out(|shard| MailboxReceiver::Handler(make(shard))),
            receiver: occupancy,
        })
    }

    /// Gives a mailbox an inbox of `inbox_bytes`, to be read by any thread or task; the one that
    /// [`NodeBuilder::inbox`](super::NodeBuilder::inbox) prepared, if it did.
    ///
    /// # Errors
    /// As [`handle`](Self::handle).
    pub fn inbox(&self, mailbox: &str) -> Result<Inbox, NameError> {
        match self.take_prepared(mailbox) {
            Some(inbox) => Ok(inbox),
            None => self.inbox_of(mailbox, self.fabric.config.inbox_bytes),
        }
    }

    /// Gives a mailbox an inbox of `capacity_bytes`, rounded up to a power of two, 128 at least. One
    /// message always fits, however large: what is longer than half the inbox, less 16 bytes, is held
    /// beside it.
    ///
    /// # Errors
    /// As [`handle`](Self::handle).
    pub fn inbox_of(&self, mailbox: &str, capacity_bytes: usize) -> Result<Inbox, NameError> {
        refuse_own_threads()?;
        self.begin_inbox(mailbox, capacity_bytes)?.wait()
    }

    /// [`inbox`](Self::inbox) in a task of any runtime.
    ///
    /// # Errors
    /// As [`handle_with_async`](Self::handle_with_async).
    pub async fn inbox_async(&self, mailbox: &str) -> Result<Inbox, NameError> {
        if let Some(inbox) = self.take_prepared(mailbox) {
            return Ok(inbox);
        }
        let pending = self.begin_inbox(mailbox, self.fabric.config.inbox_bytes)?;
        pending.done().await
    }

    pub(super) fn begin_inbox(
        &self,
        mailbox: &str,
        capacity_bytes: usize,
    ) -> Result<Pending<Inbox>, NameError> {
        let occupancy = Occupancy::new(&self.fabric, &self.commands, mailbox)?;
        let (writer, reader) = inbox(Arc::clone(&self.fabric), occupancy, capacity_bytes);
        let asked = reader
            .occupancy()
            .hand_out(|shard| MailboxReceiver::Inbox(writer.on_shard(shard)));
        Ok(Pending {
            receiver: reader,
            asked,
        })
    }

    fn take_prepared(&self, mailbox: &str) -> Option<Inbox> {
        self.prepared().remove(mailbox)
    }

    pub(super) fn prepared(&self) -> MutexGuard<'_, std::collections::BTreeMap<String, Inbox>> {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A shard that waits for shards would wait for itself.
fn refuse_own_threads() -> Result<(), NameError> {
    if threads::is_own() {
        Err(NameError::WouldDeadlock)
    } else {
        Ok(())
    }
}
