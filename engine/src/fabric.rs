//! What all threads of one node share: the configuration as it is used, the route book, the names of
//! mailboxes, and the link to each shard.
//!
//! Made by `Node::start`, read by everybody, changed only through its parts. Holds no message.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use crossbeam_channel::Sender;
use event_listener::Event;

use crate::config::{self, ChannelConfig, Config, Overflow, Reliability};
use crate::control::ControlLink;
use crate::control::routes::{RouteBook, check_name};
use crate::error::NameError;
use crate::inbox::InboxSignals;
use crate::io::socket::SocketOptions;
use crate::message::MailboxId;
use crate::ring::{Doorbell, Producer};
use crate::shard::command::Command;
use crate::wire::{self, ChannelTerms, Name};

/// A channel as the data path uses it.
#[derive(Debug)]
pub(crate) struct ChannelPlan {
    /// Its place in the configuration.
    pub(crate) index: usize,
    pub(crate) name: Arc<str>,
    pub(crate) wire_name: Name,
    pub(crate) config: ChannelConfig,
    /// 0 to 7.
    pub(crate) priority: usize,
    pub(crate) reliability: Reliability,
    pub(crate) reliable: bool,
    /// Messages without a key take any lane.
    pub(crate) unordered: bool,
    pub(crate) overflow: Overflow,
    /// The first of its lanes among a peer's lanes, and how many there are.
    pub(crate) first_lane: usize,
    pub(crate) parallelism: u64,
    pub(crate) send_quantum_bytes: usize,
    pub(crate) options: SocketOptions,
    /// What both ends of a lane must agree on.
    pub(crate) terms: ChannelTerms,
}

/// How a thread reaches a shard.
#[derive(Debug)]
pub(crate) struct ShardLink {
    pub(crate) doorbell: Arc<Doorbell>,
    pub(crate) commands: Sender<Command>,
    /// One ring for each channel, in the configuration's order.
    pub(crate) rings: Vec<Producer>,
    /// Rung when a channel's ring here has been drained.
    pub(crate) rooms: Vec<Event>,
    /// An inbox has room again, and the shard has not tried the lanes that wait for it since.
    pub(crate) inbox_room: AtomicBool,
}

impl ShardLink {
    /// Sends a command and wakes the shard. False if the shard is gone.
    pub(crate) fn command(&self, command: Command) -> bool {
        let sent = self.commands.send(command).is_ok();
        self.doorbell.ring();
        sent
    }
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Fabric {
    pub(crate) config: Config,
    pub(crate) incarnation: u64,
    pub(crate) address: SocketAddr,
    pub(crate) channels: Vec<ChannelPlan>,
    pub(crate) routes: RouteBook,
    pub(crate) mailboxes: Mailboxes,
    pub(crate) shards: Vec<ShardLink>,
    pub(crate) control: ControlLink,
    pub(crate) stopping: AtomicBool,
    /// No shard runs any more.
    pub(crate) ended: AtomicBool,
    /// The readers of inboxes, to be woken at the end.
    pub(crate) inboxes: Mutex<Vec<Weak<InboxSignals>>>,
}

impl Fabric {
    /// Wakes every shard.
    pub(crate) fn ring_all(&self) {
        for shard in &self.shards {
            shard.doorbell.ring();
        }
    }

    /// An inbox has room, or none will ever be made in it: lanes that wait for it are to try again.
    /// A shard that is awake does not hear the bell, hence the flag beside it.
    pub(crate) fn tell_inbox_room(&self) {
        for shard in &self.shards {
            shard.inbox_room.store(true, Ordering::Release);
            shard.doorbell.ring();
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Accepts no more messages.
    pub(crate) fn close(&self) {
        self.stopping.store(true, Ordering::Release);
        self.routes.close_all_gates();
    }

    /// No shard pushes to an inbox any more.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        let inboxes =
            std::mem::take(&mut *self.inboxes.lock().unwrap_or_else(PoisonError::into_inner));
        for inbox in inboxes.iter().filter_map(Weak::upgrade) {
            inbox.wake();
        }
    }

    /// A shard ended by itself: without it the node cannot keep its promises.
    pub(crate) fn shard_failed(&self) {
        self.close();
        self.end();
    }
}

/// The channels of a configuration, laid out.
pub(crate) fn plan_channels(config: &Config) -> Result<Vec<ChannelPlan>, wire::NameError> {
    let mut plans = Vec::new();
    let mut first_lane = 0;
    for (index, channel) in config.channels.iter().enumerate() {
        plans.push(plan(config, index, channel, first_lane)?);
        first_lane += usize::from(channel.parallelism);
    }
    Ok(plans)
}

fn plan(
    config: &Config,
    index: usize,
    channel: &ChannelConfig,
    first_lane: usize,
) -> Result<ChannelPlan, wire::NameError> {
    Ok(ChannelPlan {
        index,
        name: Arc::from(channel.name.as_str()),
        wire_name: Name::new(&channel.name)?,
        priority: usize::from(channel.priority.0),
        reliability: channel.reliability,
        reliable: channel.reliability != Reliability::BestEffort,
        unordered: channel.ordering == config::Ordering::Unordered,
        overflow: channel.overflow,
        first_lane,
        parallelism: u64::from(channel.parallelism),
        // A batch is out of reach of `drop_oldest`: half the queue stays where it can make room.
        send_quantum_bytes: channel
            .send_quantum_bytes
            .unwrap_or(config.send_quantum_bytes)
            .min(channel.queue_bytes_max / 2),
        options: SocketOptions {
            priority: channel.so_priority,
            dscp: channel.dscp,
            notsent_lowat_bytes: channel.notsent_lowat_bytes,
            send_buffer_bytes: channel.send_buffer_bytes,
            receive_buffer_bytes: channel.receive_buffer_bytes,
            idle_timeout: Duration::from_millis(config.idle_timeout_ms),
        },
        terms: ChannelTerms {
            priority: channel.priority.0,
            reliability: Name::new(channel.reliability.word())?,
            ordering: Name::new(channel.ordering.word())?,
            parallelism: channel.parallelism,
            body_bytes_max: u32::try_from(channel.message_bytes_max).unwrap_or(u32::MAX),
            compression: Name::new("none")?,
        },
        config: channel.clone(),
    })
}

/// The names of mailboxes and the numbers this node gave them.
#[derive(Debug)]
pub(crate) struct Mailboxes {
    names: Mutex<Names>,
    /// Grows with each new name: tells a shard that a name it did not find may be there now.
    version: AtomicU64,
}

#[derive(Debug, Default)]
struct Names {
    by_name: HashMap<Arc<str>, u32>,
    by_id: Vec<Arc<str>>,
    taken: Vec<bool>,
}

/// Mailboxes of one node, its own and those it sends to.
pub(crate) const MAILBOXES_MAX: usize = 1 << 20;

impl Mailboxes {
    pub(crate) fn new() -> Self {
        Self {
            names: Mutex::default(),
            version: AtomicU64::new(0),
        }
    }

    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The number of a name, given now if it had none.
    pub(crate) fn id(&self, name: &str) -> Result<MailboxId, NameError> {
        check_name(name)?;
        let mut names = self.lock();
        if let Some(&id) = names.by_name.get(name) {
            return Ok(MailboxId(id));
        }
        if names.by_id.len() >= MAILBOXES_MAX {
            return Err(NameError::TooMany {
                kind: "mailboxes",
                names_max: MAILBOXES_MAX,
                parameter: "nothing: it is fixed",
            });
        }
        let id = u32::try_from(names.by_id.len()).unwrap_or(u32::MAX);
        let name: Arc<str> = Arc::from(name);
        names.by_name.insert(Arc::clone(&name), id);
        names.by_id.push(name);
        names.taken.push(false);
        self.version.fetch_add(1, Ordering::Release);
        Ok(MailboxId(id))
    }

    /// The number of a name, if it has one. For names that come from outside: they make no entry.
    pub(crate) fn find(&self, name: &str) -> Option<MailboxId> {
        self.lock().by_name.get(name).copied().map(MailboxId)
    }

    pub(crate) fn name(&self, id: MailboxId) -> Option<Arc<str>> {
        self.lock().by_id.get(usize::try_from(id.0).ok()?).cloned()
    }

    /// A mailbox gets its receiver: once.
    pub(crate) fn take(&self, name: &str) -> Result<MailboxId, NameError> {
        let id = self.id(name)?;
        let mut names = self.lock();
        let taken = usize::try_from(id.0)
            .ok()
            .and_then(|index| names.taken.get_mut(index));
        match taken {
            Some(taken) if !*taken => {
                *taken = true;
                Ok(id)
            }
            _ => Err(NameError::MailboxTaken {
                name: name.to_owned(),
            }),
        }
    }

    /// The receiver of a mailbox is gone: it may have another.
    pub(crate) fn give_back(&self, id: MailboxId) {
        let mut names = self.lock();
        if let Some(taken) = names.taken.get_mut(id.0 as usize) {
            *taken = false;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
