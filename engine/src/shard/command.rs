//! What other threads ask of a shard. Rare, so it goes through a channel, not through a ring.

use std::future::Future;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, unbounded};
use event_listener::{Event, EventListener};

use super::context::ShardHandle;
use super::deliver::MailboxReceiver;
use super::report::ShardReport;
use crate::mailboxes::{Mailbox, MailboxId};
use crate::peer::Peer;
use crate::ring::Doorbell;
use crate::session::Session;
use crate::wire::{Agreed, CloseReason, Hello};

/// A connection whose Hello was read by the shard that accepted it, for the shard that owns the lane.
#[derive(Debug)]
pub(crate) struct Newcomer {
    pub(crate) socket: OwnedFd,
    pub(crate) address: Option<SocketAddr>,
    /// What protects the connection.
    pub(crate) session: Option<Box<Session>>,
    pub(crate) hello: Box<Hello>,
    /// Bytes that came behind the Hello.
    pub(crate) early: Vec<u8>,
    /// It has waited for the end of the connection before it, as long as that may take.
    pub(crate) is_late: bool,
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

/// A question to all shards, and which of them have answered.
#[derive(Debug)]
pub(crate) struct Asked {
    answered: Box<[AtomicBool]>,
    left: AtomicUsize,
    changed: Event,
}

/// One shard's answer. Dropped without being given, it says that the shard has ended.
#[derive(Debug)]
pub(crate) struct Answer {
    asked: Arc<Asked>,
    shard: usize,
}

impl Asked {
    /// The question, and the answer that each shard is to give.
    pub(crate) fn new(shards: usize) -> (Arc<Self>, Vec<Answer>) {
        let asked = Arc::new(Self {
            answered: (0..shards).map(|_| AtomicBool::new(false)).collect(),
            left: AtomicUsize::new(shards),
            changed: Event::new(),
        });
        let answer = |shard| Answer {
            asked: Arc::clone(&asked),
            shard,
        };
        let answers = (0..shards).map(answer).collect();
        (asked, answers)
    }

    /// Listen, look, then wait.
    pub(crate) fn listen(&self) -> EventListener {
        self.changed.listen()
    }

    /// Whether no more answers will come.
    pub(crate) fn is_over(&self) -> bool {
        self.left.load(Ordering::Acquire) == 0
    }

    /// The first shard that has not answered.
    pub(crate) fn missing(&self) -> Option<usize> {
        let mut answered = self.answered.iter();
        answered.position(|answered| !answered.load(Ordering::Acquire))
    }
}

impl Answer {
    pub(crate) fn give(self) {
        self.asked.answered[self.shard].store(true, Ordering::Release);
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if self.asked.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.asked.changed.notify(usize::MAX);
        }
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
    /// A mailbox gets its receiver; `answer` is given when it has it.
    Receive {
        mailbox: Mailbox,
        receiver: MailboxReceiver,
        answer: Answer,
    },
    /// The mailboxes that the node has from its first moment have their receivers: connections are accepted. Until
    /// then they wait in the kernel.
    Accept,
    /// The receiver of that mailbox is gone.
    Forget(MailboxId),
    /// A connection for that lane of the peer.
    Newcomer {
        peer: Arc<Peer>,
        offset: usize,
        newcomer: Box<Newcomer>,
        agreed: Agreed,
    },
    /// On the shard of the peer's control lane: ask the peer for that lane, or tell it that the lane cannot
    /// be made.
    Summon {
        peer: Arc<Peer>,
        offset: usize,
    },
    Decline {
        peer: Arc<Peer>,
        offset: usize,
        reason: CloseReason,
    },
    /// On the lane's own shard: the peer asks for that lane, or says that it cannot make it.
    Summoned {
        peer: Arc<Peer>,
        offset: usize,
    },
    Declined {
        peer: Arc<Peer>,
        offset: usize,
        reason: CloseReason,
    },
    /// On the shard of the peer's control lane: that lane is needed, so the peer is to be connected. On the
    /// lane's own shard: it is connected.
    Reach {
        peer: Arc<Peer>,
        offset: usize,
    },
    Reached {
        peer: Arc<Peer>,
        offset: usize,
    },
    /// Another process says that it is this peer: is the one with the lanes still there?
    Doubt {
        peer: Arc<Peer>,
    },
    /// Run a task here.
    Spawn(TaskMaker),
    /// Say how things stand.
    Report(Sender<ShardReport>),
    /// Accept no more, finish what is queued, and end by the deadline.
    /// The shard's final counters go to `reports`.
    Stop {
        deadline: Instant,
        reports: Sender<ShardReport>,
    },
}

impl std::fmt::Debug for Command {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Receive { .. } => "Receive",
            Self::Accept => "Accept",
            Self::Forget(_) => "Forget",
            Self::Newcomer { .. } => "Newcomer",
            Self::Summon { .. } => "Summon",
            Self::Decline { .. } => "Decline",
            Self::Summoned { .. } => "Summoned",
            Self::Declined { .. } => "Declined",
            Self::Reach { .. } => "Reach",
            Self::Reached { .. } => "Reached",
            Self::Doubt { .. } => "Doubt",
            Self::Spawn(_) => "Spawn",
            Self::Report(_) => "Report",
            Self::Stop { .. } => "Stop",
        })
    }
}
