//! What other threads ask of a shard. Rare, so it goes through a channel, not through a ring.

use std::future::Future;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::context::ShardHandle;
use super::deliver::MailboxReceiver;
use super::report::ShardReport;
use crate::message::MailboxId;
use crate::ring::Doorbell;
use crate::wire::Hello;

/// A connection whose Hello was read by the shard that accepted it, for the shard that owns the lane.
#[derive(Debug)]
pub(crate) struct Newcomer {
    pub(crate) socket: OwnedFd,
    pub(crate) address: Option<SocketAddr>,
    pub(crate) hello: Hello,
    /// Bytes that came behind the Hello.
    pub(crate) early: Vec<u8>,
}

/// A task to run on a shard, made there: it need not be `Send`.
pub(crate) struct TaskMaker(Box<MakeTask>);

type MakeTask = dyn FnOnce(ShardHandle) -> Task + Send;
type Task = Pin<Box<dyn Future<Output = ()>>>;

impl TaskMaker {
    pub(crate) fn new<F, T>(make: F) -> Self
    where
        F: FnOnce(ShardHandle) -> T + Send + 'static,
        T: Future<Output = ()> + 'static,
    {
        Self(Box::new(move |handle| Box::pin(make(handle))))
    }

    pub(crate) fn make(self, handle: ShardHandle) -> Task {
        (self.0)(handle)
    }
}

impl std::fmt::Debug for TaskMaker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("TaskMaker")
    }
}

/// How another thread asks a shard for something.
#[derive(Clone, Debug)]
pub(crate) struct CommandSender {
    commands: Sender<Command>,
    doorbell: Arc<Doorbell>,
}

impl CommandSender {
    /// The sender, and the shard's end. `doorbell` is that shard's.
    pub(crate) fn new(doorbell: Arc<Doorbell>) -> (Self, Receiver<Command>) {
        let (commands, receiver) = unbounded();
        (Self { commands, doorbell }, receiver)
    }

    /// Sends a command and wakes the shard. False if the shard is gone.
    pub(crate) fn send(&self, command: Command) -> bool {
        let sent = self.commands.send(command).is_ok();
        self.doorbell.ring();
        sent
    }
}

/// See the module's text.
pub(crate) enum Command {
    /// A mailbox gets its receiver; `done` is told when it has it.
    Receive {
        mailbox: MailboxId,
        receiver: MailboxReceiver,
        done: Sender<()>,
    },
    /// A connection for the lane with this number.
    Newcomer {
        number: u32,
        newcomer: Box<Newcomer>,
    },
    /// Run a task here.
    Spawn(TaskMaker),
    /// Say how things stand.
    Report(Sender<ShardReport>),
    /// Accept no more, finish what is queued, and end by the deadline.
    /// The last word of the shard goes to `reports`.
    Stop {
        deadline: Instant,
        reports: Sender<ShardReport>,
    },
}

impl std::fmt::Debug for Command {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Receive { .. } => "Receive",
            Self::Newcomer { .. } => "Newcomer",
            Self::Spawn(_) => "Spawn",
            Self::Report(_) => "Report",
            Self::Stop { .. } => "Stop",
        })
    }
}
