//! A node: what a program starts, sends and receives with, and stops.
//!
//! Owns the threads; `starting` makes them, `stopping` ends them. Everything a message passes on its
//! way is elsewhere.

mod starting;
mod stopping;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_channel::bounded;
use event_listener::Listener;

pub use starting::NodeBuilder;
pub use stopping::{StopReport, UnfinishedCause, UnfinishedShard};

use crate::admission::lane_offset;
use crate::channel::Channel;
use crate::config::{Config, check_peer_address};
use crate::control::ControlLink;
use crate::deadline::deadline_in;
use crate::error::{NameError, NotConnected, StartError};
use crate::events::Events;
use crate::fabric::Fabric;
use crate::inbox::{Inbox, inbox};
use crate::io::backend::Backend;
use crate::message::{Destination, MailboxId, Message};
use crate::metrics::Metrics;
use crate::peer::Peer;
use crate::shard::command::{Command, CommandSender, TaskMaker};
use crate::shard::context::{ShardContext, ShardHandle};
use crate::shard::deliver::MailboxReceiver;
use crate::threads::EngineThread;

/// How long a shard may take to answer a question. It answers between two turns; a shard that takes
/// longer is stuck in a handler.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running node. Dropping it stops it at once; [`stop`](Self::stop) lets it finish first.
#[doc = include_str!("../doc/node.md")]
#[derive(Debug)]
pub struct Node {
    fabric: Arc<Fabric>,
    /// To each shard, in order.
    commands: Vec<CommandSender>,
    control_link: Arc<ControlLink>,
    threads: Vec<EngineThread>,
    control: Option<EngineThread>,
    /// Inboxes that the builder asked for and nobody has taken yet.
    prepared: Mutex<BTreeMap<String, Inbox>>,
}

/// What [`Node::peers`] says of a peer.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// The peer.
    pub peer: Arc<Peer>,
    /// Where this node dials it; `None` if it leaves that to the peer.
    pub address: Option<SocketAddr>,
    /// Lanes up now.
    pub lanes_up: u32,
    /// Lanes there are when all are up.
    pub lanes: usize,
}

impl Node {
    /// Starts a node: its shards, its control shard, its listening sockets. Returns when all of them
    /// are set up; peers of the configuration are dialled from then on.
    ///
    /// # Errors
    /// [`StartError`]: one sentence what is wrong and how to mend it.
    pub fn start(config: Config) -> Result<Self, StartError> {
        Self::builder(config).start()
    }

    /// To start a node that has mailboxes from its first moment on.
    #[must_use]
    pub const fn builder(config: Config) -> NodeBuilder {
        NodeBuilder::new(config)
    }

    /// The node's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.fabric.config.node_name
    }

    /// The address it listens on, with the port that was taken if the configuration said 0.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.fabric.address
    }

    /// The number that tells this start of the node from earlier ones.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.fabric.incarnation
    }

    /// How many data shards it has.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.fabric.shards.len()
    }

    /// How its shards do their I/O: what the parameter `io` came to on this machine.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.fabric.backend
    }

    /// Keeps lanes to that peer from now on: dials until they are up, and again when they end. Dials at
    /// once, also a peer that is waited for after failed dials. With another address than before, the
    /// lanes there are end and are made anew at the new address.
    ///
    /// # Errors
    /// [`NameError`] if the name cannot be one, the address cannot be a peer's, or there are
    /// `peers_max` peers already.
    pub fn connect(&self, peer: &str, address: SocketAddr) -> Result<Arc<Peer>, NameError> {
        check_peer_address(address).map_err(|why| NameError::Address { address, why })?;
        let peer = self.fabric.routes.connect(peer, address)?;
        self.fabric.ring_all();
        Ok(peer)
    }

    /// Ends the lanes to that peer and refuses its dials, until [`connect`](Self::connect).
    ///
    /// # Errors
    /// [`NameError`] if the name cannot be one.
    pub fn disconnect(&self, peer: &str) -> Result<(), NameError> {
        self.fabric.routes.disconnect(peer)?;
        self.fabric.ring_all();
        Ok(())
    }

    /// Waits until every lane to that peer is up.
    ///
    /// # Errors
    /// [`NotConnected`] if it takes longer than `timeout`.
    pub fn wait_connected(&self, peer: &str, timeout: Duration) -> Result<(), NotConnected> {
        let deadline = deadline_in(timeout);
        let found = self.fabric.routes.peer(peer);
        let not_connected = |lanes_up, lanes| NotConnected {
            peer: peer.to_owned(),
            lanes_up,
            lanes,
        };
        let Ok(found) = found else {
            return Err(not_connected(0, 0));
        };
        loop {
            let changed = found.listen();
            if found.is_connected() {
                return Ok(());
            }
            if changed.wait_deadline(deadline).is_none() && !found.is_connected() {
                return Err(not_connected(found.lanes_up(), found.lanes().len()));
            }
        }
    }

    /// A channel of the configuration, to send on.
    ///
    /// # Errors
    /// [`NameError::UnknownChannel`], which names those there are.
    pub fn channel(&self, name: &str) -> Result<Channel, NameError> {
        let channels = &self.fabric.channels;
        match channels.iter().position(|plan| &*plan.name == name) {
            Some(index) => Ok(Channel {
                fabric: Arc::clone(&self.fabric),
                index,
            }),
            None => {
                let known: Vec<_> = channels.iter().map(|plan| &*plan.name).collect();
                Err(NameError::UnknownChannel {
                    name: name.to_owned(),
                    known: known.join(", "),
                })
            }
        }
    }

    /// A mailbox on a node (this one's own name is fine), to send to. Look it up once, use it often.
    ///
    /// # Errors
    /// [`NameError`] if a name cannot be one, or a bound on names is reached.
    pub fn destination(&self, peer: &str, mailbox: &str) -> Result<Destination, NameError> {
        let mailbox = self.mailbox(mailbox)?;
        Ok(Destination {
            peer: self.fabric.routes.peer(peer)?,
            mailbox,
            key: None,
        })
    }

    /// The number of a mailbox name: for answers ([`Message::reply_to`]) and broadcasts.
    ///
    /// # Errors
    /// [`NameError`] if the name cannot be one, or there are too many.
    pub fn mailbox(&self, name: &str) -> Result<MailboxId, NameError> {
        self.fabric.mailboxes.id(name)
    }

    /// Gives a mailbox a handler: it runs on the shard that received the message, with the bytes
    /// where they lie, and must not block. Each shard runs its own clone of it. Returns once every
    /// shard has it.
    ///
    /// # Errors
    /// [`NameError`] if the name cannot be one, or the mailbox has a receiver already.
    pub fn handle<F>(&self, mailbox: &str, handler: F) -> Result<MailboxId, NameError>
    where
        F: FnMut(&mut ShardContext<'_>, Message<'_>) + Clone + Send + 'static,
    {
        self.register(mailbox, || {
            MailboxReceiver::Handler(Box::new(handler.clone()))
        })
    }

    /// Gives a mailbox an inbox of `inbox_bytes`, to be read by any thread or task; the one that
    /// [`NodeBuilder::inbox`] prepared, if it did.
    ///
    /// # Errors
    /// [`NameError`] if the name cannot be one, or the mailbox has a receiver already.
    pub fn inbox(&self, mailbox: &str) -> Result<Inbox, NameError> {
        match self.prepared().remove(mailbox) {
            Some(inbox) => Ok(inbox),
            None => self.inbox_of(mailbox, self.fabric.config.inbox_bytes),
        }
    }

    /// Gives a mailbox an inbox of `capacity_bytes` (rounded up to a power of two).
    ///
    /// # Errors
    /// As [`inbox`](Self::inbox).
    pub fn inbox_of(&self, mailbox: &str, capacity_bytes: usize) -> Result<Inbox, NameError> {
        let (writer, mut reader) = inbox(Arc::clone(&self.fabric), capacity_bytes);
        let id = self.register(mailbox, || MailboxReceiver::Inbox(writer.clone()))?;
        reader.serve(id);
        self.fabric.inboxes.add(writer.signals());
        Ok(reader)
    }

    fn prepared(&self) -> MutexGuard<'_, BTreeMap<String, Inbox>> {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn register(
        &self,
        mailbox: &str,
        make: impl Fn() -> MailboxReceiver,
    ) -> Result<MailboxId, NameError> {
        if self.fabric.is_stopping() {
            return Err(NameError::Closed);
        }
        let id = self.fabric.mailboxes.take(mailbox)?;
        let (done, finished) = bounded(self.shards());
        for shard in &self.commands {
            shard.send(Command::Receive {
                mailbox: id,
                receiver: make(),
                done: done.clone(),
            });
        }
        drop(done);
        for _ in 0..self.shards() {
            finished
                .recv_timeout(PATIENCE)
                .map_err(|_| NameError::Closed)?;
        }
        Ok(id)
    }

    /// Runs a task on a shard: it sends without crossing a thread. It is dropped when the node stops.
    ///
    /// # Errors
    /// [`NameError::UnknownShard`], or [`NameError::Closed`] once the node stops.
    pub fn spawn_on_shard<F, T>(&self, shard: usize, make: F) -> Result<(), NameError>
    where
        F: FnOnce(ShardHandle) -> T + Send + 'static,
        T: Future<Output = ()> + 'static,
    {
        let shards = self.shards();
        let commands = self
            .commands
            .get(shard)
            .ok_or(NameError::UnknownShard { shard, shards })?;
        let command = Command::Spawn(TaskMaker::new(make));
        if commands.send(command) {
            Ok(())
        } else {
            Err(NameError::Closed)
        }
    }

    /// The shard that owns the lane a message to there takes.
    #[must_use]
    pub fn shard_of(&self, channel: &Channel, to: &Destination) -> usize {
        usize::from(to.peer.lane(lane_offset(channel.plan(), to)).shard)
    }

    /// Subscribes to what happens from now on.
    #[must_use]
    pub fn events(&self) -> Events {
        self.control_link.subscribe()
    }

    /// The peers this node knows, itself left out.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerInfo> {
        let routes = self.fabric.routes.snapshot();
        let others = routes.routes.iter().filter(|route| !route.peer.is_self());
        others
            .map(|route| PeerInfo {
                peer: Arc::clone(&route.peer),
                address: route.wish.address,
                lanes_up: route.peer.lanes_up(),
                lanes: route.peer.lanes().len(),
            })
            .collect()
    }

    /// The counters, as they stand now. Asks each shard, which answers between two turns.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        Metrics::gather(&self.fabric, &self.commands, PATIENCE)
    }
}
