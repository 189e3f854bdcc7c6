//! A node: what a program starts, sends and receives with, and stops.
//!
//! Owns the threads. Everything a message passes on its way is elsewhere; this file puts the parts
//! together and takes them apart again.

use std::future::Future;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, bounded, unbounded};
use event_listener::{Event, Listener};

use crate::channel::Channel;
use crate::config::{Config, ControlPlacement};
use crate::control::routes::RouteBook;
use crate::control::{self, Control, ControlLink};
use crate::deadline::deadline_in;
use crate::error::{NameError, NotConnected, StartError};
use crate::events::Events;
use crate::fabric::{Fabric, Mailboxes, ShardLink, plan_channels};
use crate::inbox::{Inbox, inbox};
use crate::io::{preflight, socket};
use crate::message::{Destination, MailboxId, Message};
use crate::metrics::Metrics;
use crate::peer::Peer;
use crate::ring::{Consumer, Doorbell, byte_ring};
use crate::shard::command::{Command, TaskMaker};
use crate::shard::context::{ShardContext, ShardHandle};
use crate::shard::deliver::{Handler, MailboxReceiver};
use crate::shard::{self, ShardSeat, ShardThread};

/// How long a shard may take to answer a question. It answers between two turns; a shard that takes
/// longer is stuck in a handler.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running node. Dropping it stops it at once; [`stop`](Self::stop) lets it finish first.
#[doc = include_str!("../doc/node.md")]
#[derive(Debug)]
pub struct Node {
    fabric: Arc<Fabric>,
    threads: Vec<ShardThread>,
    control: Option<thread::JoinHandle<()>>,
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

/// How a node stopped.
#[derive(Clone, Debug)]
pub struct StopReport {
    /// Whether everything accepted was settled before the deadline.
    pub drained: bool,
    /// The final counters.
    pub metrics: Metrics,
}

/// A node that is about to start, with the mailboxes it has from its first moment on.
///
/// A mailbox registered on a running node can miss messages of peers that were quicker: they are
/// refused, and reported to their senders. One registered here cannot.
#[doc = include_str!("../doc/node_builder.md")]
pub struct NodeBuilder {
    config: Config,
    mailboxes: Vec<(String, HandlerMaker)>,
}

type HandlerMaker = Box<dyn Fn() -> Handler + Send>;

impl std::fmt::Debug for NodeBuilder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.mailboxes.iter().map(|(name, _)| name).collect();
        formatter
            .debug_struct("NodeBuilder")
            .field("config", &self.config)
            .field("mailboxes", &names)
            .finish()
    }
}

impl NodeBuilder {
    /// Adds a handler: see [`Node::handle`].
    #[must_use]
    pub fn handle<F>(mut self, mailbox: &str, handler: F) -> Self
    where
        F: FnMut(&mut ShardContext<'_>, Message<'_>) + Clone + Send + 'static,
    {
        self.mailboxes.push((
            mailbox.to_owned(),
            Box::new(move || Box::new(handler.clone())),
        ));
        self
    }

    /// Starts the node.
    ///
    /// # Errors
    /// As [`Node::start`]; besides, a mailbox name that cannot be one, or that is given twice.
    pub fn start(self) -> Result<Node, StartError> {
        let peers = self.config.peers.clone();
        let node = Node::start_alone(self.config)?;
        for (mailbox, make) in self.mailboxes {
            node.register(&mailbox, |_| MailboxReceiver::Handler(make()))?;
        }
        node.open(&peers)?;
        Ok(node)
    }
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
    pub fn builder(config: Config) -> NodeBuilder {
        NodeBuilder {
            config,
            mailboxes: Vec::new(),
        }
    }

    /// Everything but the peers.
    fn start_alone(config: Config) -> Result<Self, StartError> {
        config.validate()?;
        socket::await_free_port(config.listen);
        preflight::start(&config).map_err(|failure| StartError::Machine {
            what: failure.what,
            mend: failure.mend,
        })?;
        let shards = shard_count(&config);
        let claimed = socket::listen_first(config.listen);
        let (listener, address) = claimed.map_err(|source| StartError::Listen {
            address: config.listen,
            source,
        })?;
        let machine = |what: String| StartError::Machine {
            what,
            mend: "run `overlane doctor`".to_owned(),
        };
        let mut links = Vec::new();
        let mut ends = Vec::new();
        for _ in 0..shards {
            let (shard, end) = make_link(&config).map_err(|error| machine(error.to_string()))?;
            links.push(shard);
            ends.push(end);
        }
        let on_shard_0 = config.control == ControlPlacement::Shared;
        let doorbell = on_shard_0.then(|| Arc::clone(&links[0].doorbell));
        let (link, notices) = ControlLink::new(config.events_queue_max, doorbell);
        let channels = plan_channels(&config).map_err(|error| machine(error.to_string()))?;
        let shard_count = u16::try_from(shards).unwrap_or(u16::MAX);
        let fabric = Arc::new(Fabric {
            incarnation: config.incarnation.unwrap_or_else(milliseconds_since_1970),
            address,
            channels,
            routes: RouteBook::new(
                config.node_name.clone(),
                config.channels.clone(),
                shard_count,
                // One more: this node is in its own book.
                config.peers_max + 1,
            ),
            mailboxes: Mailboxes::new(),
            shards: links,
            control: link,
            stopping: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            inboxes: Mutex::default(),
            config,
        });
        fabric.routes.peer(&fabric.config.node_name)?;
        let control = Control::new(Arc::clone(&fabric), notices);
        Self::start_threads(fabric, listener, ends, control)
    }

    fn start_threads(
        fabric: Arc<Fabric>,
        listener: OwnedFd,
        ends: Vec<ShardEnds>,
        control: Control,
    ) -> Result<Self, StartError> {
        let cores = cores(&fabric.config);
        let mut node = Self {
            fabric: Arc::clone(&fabric),
            threads: Vec::new(),
            control: None,
        };
        let mut first_listener = Some(listener);
        let mut shared = None;
        match fabric.config.control {
            ControlPlacement::Own => node.control = Some(control::start(control)?),
            ControlPlacement::Shared => shared = Some(control),
        }
        for (index, ends) in ends.into_iter().enumerate() {
            let address = fabric.address;
            let listener = match first_listener.take() {
                Some(listener) => listener,
                None => socket::listen(address)
                    .map_err(|source| StartError::Listen { address, source })?,
            };
            node.threads.push(shard::start(ShardSeat {
                index,
                core: fabric
                    .config
                    .pin
                    .then(|| cores.get(index % cores.len().max(1)).copied())
                    .flatten(),
                fabric: Arc::clone(&fabric),
                rings: ends.rings,
                commands: ends.commands,
                listener,
                control: shared.take(),
            })?);
        }
        Ok(node)
    }

    /// The peers of the configuration are wanted from now on.
    fn open(
        &self,
        peers: &std::collections::BTreeMap<String, SocketAddr>,
    ) -> Result<(), NameError> {
        for (name, address) in peers {
            self.fabric.routes.connect(name, *address)?;
        }
        self.ring_all();
        Ok(())
    }

    fn ring_all(&self) {
        for shard in &self.fabric.shards {
            shard.doorbell.ring();
        }
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

    /// Keeps lanes to that peer from now on: dials until they are up, and again when they end.
    ///
    /// # Errors
    /// [`NameError`] if the name cannot be one, or there are `peers_max` peers already.
    pub fn connect(&self, peer: &str, address: SocketAddr) -> Result<Arc<Peer>, NameError> {
        let peer = self.fabric.routes.connect(peer, address)?;
        self.ring_all();
        Ok(peer)
    }

    /// Ends the lanes to that peer and refuses its dials, until [`connect`](Self::connect).
    ///
    /// # Errors
    /// [`NameError`] if the name cannot be one.
    pub fn disconnect(&self, peer: &str) -> Result<(), NameError> {
        self.fabric.routes.disconnect(peer)?;
        self.ring_all();
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
        self.register(mailbox, |_| {
            MailboxReceiver::Handler(Box::new(handler.clone()))
        })
    }

    /// Gives a mailbox an inbox of `inbox_bytes`, to be read by any thread or task.
    ///
    /// # Errors
    /// [`NameError`] if the name cannot be one, or the mailbox has a receiver already.
    pub fn inbox(&self, mailbox: &str) -> Result<Inbox, NameError> {
        self.inbox_of(mailbox, self.fabric.config.inbox_bytes)
    }

    /// Gives a mailbox an inbox of `capacity_bytes` (rounded up to a power of two).
    ///
    /// # Errors
    /// As [`inbox`](Self::inbox).
    pub fn inbox_of(&self, mailbox: &str, capacity_bytes: usize) -> Result<Inbox, NameError> {
        let (writer, mut reader) = inbox(Arc::clone(&self.fabric), capacity_bytes);
        let id = self.register(mailbox, |_| MailboxReceiver::Inbox(writer.clone()))?;
        reader.serve(id);
        let inboxes = &self.fabric.inboxes;
        let mut inboxes = inboxes.lock().unwrap_or_else(PoisonError::into_inner);
        inboxes.retain(|signals| signals.strong_count() > 0);
        inboxes.push(Arc::downgrade(writer.signals()));
        Ok(reader)
    }

    fn register(
        &self,
        mailbox: &str,
        make: impl Fn(usize) -> MailboxReceiver,
    ) -> Result<MailboxId, NameError> {
        if self.fabric.is_stopping() {
            return Err(NameError::Closed);
        }
        let id = self.fabric.mailboxes.take(mailbox)?;
        let (done, finished) = bounded(self.shards());
        for (index, shard) in self.fabric.shards.iter().enumerate() {
            let receiver = make(index);
            shard.command(Command::Receive {
                mailbox: id,
                receiver,
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
        let link = self
            .fabric
            .shards
            .get(shard)
            .ok_or(NameError::UnknownShard { shard, shards })?;
        let command = Command::Spawn(TaskMaker::new(make));
        if link.command(command) {
            Ok(())
        } else {
            Err(NameError::Closed)
        }
    }

    /// The shard that owns the lane a message to there takes.
    #[must_use]
    pub fn shard_of(&self, channel: &Channel, to: &Destination) -> usize {
        usize::from(
            to.peer
                .lane(crate::channel::lane_offset(channel.plan(), to))
                .shard,
        )
    }

    /// Subscribes to what happens from now on.
    #[must_use]
    pub fn events(&self) -> Events {
        self.fabric.control.subscribe()
    }

    /// The peers this node knows, itself left out.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerInfo> {
        let routes = self.fabric.routes.snapshot();
        let others = routes.routes.iter().filter(|route| !route.peer.is_self());
        others
            .map(|route| PeerInfo {
                peer: Arc::clone(&route.peer),
                address: route.address,
                lanes_up: route.peer.lanes_up(),
                lanes: route.peer.lanes().len(),
            })
            .collect()
    }

    /// The counters, as they stand now. Asks each shard, which answers between two turns.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        Metrics::gather(&self.fabric, PATIENCE)
    }

    /// Stops: accepts no more messages, sends and gets acknowledged what was accepted, parts from
    /// every peer, ends the threads. What is not settled by the deadline is reported.
    #[must_use]
    pub fn stop(mut self, deadline: Duration) -> StopReport {
        self.shut_down(deadline)
    }

    fn shut_down(&mut self, deadline: Duration) -> StopReport {
        let fabric = Arc::clone(&self.fabric);
        fabric.close();
        let (reports, gathered) = unbounded();
        let deadline = deadline_in(deadline);
        for shard in &fabric.shards {
            shard.command(Command::Stop {
                deadline,
                reports: reports.clone(),
            });
        }
        drop(reports);
        for thread in self.threads.drain(..) {
            // A shard that failed has said so in the log; its counters are missing below.
            drop(thread.join());
        }
        fabric.end();
        fabric.control.end();
        if let Some(control) = self.control.take() {
            drop(control.join());
        }
        let metrics = Metrics::merge(&fabric, &gathered.try_iter().collect::<Vec<_>>());
        let unsettled = metrics.lanes.iter().any(|lane| {
            lane.closes
                .contains_key(&crate::wire::CloseReason::DrainTimeout)
        });
        StopReport {
            drained: !unsettled && metrics.is_drained(),
            metrics,
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Not whether the node has ended: it has when one shard failed, and then the others run on.
        if !self.threads.is_empty() || self.control.is_some() {
            drop(self.shut_down(Duration::ZERO));
        }
    }
}

/// A shard's own ends of its rings and commands.
struct ShardEnds {
    rings: Vec<Consumer>,
    commands: Receiver<Command>,
}

fn make_link(config: &Config) -> std::io::Result<(ShardLink, ShardEnds)> {
    let (commands, inbox) = unbounded();
    let (producers, consumers) = config
        .channels
        .iter()
        .map(|channel| byte_ring(channel.ring_bytes))
        .unzip();
    let link = ShardLink {
        doorbell: Arc::new(Doorbell::new()?),
        commands,
        rings: producers,
        rooms: config.channels.iter().map(|_| Event::new()).collect(),
    };
    Ok((
        link,
        ShardEnds {
            rings: consumers,
            commands: inbox,
        },
    ))
}

fn shard_count(config: &Config) -> usize {
    match config.shards {
        0 if config.cores.is_empty() => cores(config).len().max(1),
        0 => config.cores.len(),
        count => count,
    }
}

/// The cores to pin shards to, in order.
fn cores(config: &Config) -> Vec<usize> {
    if !config.cores.is_empty() {
        return config.cores.clone();
    }
    core_affinity::get_core_ids()
        .unwrap_or_default()
        .into_iter()
        .map(|core| core.id)
        .collect()
}

fn milliseconds_since_1970() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX).max(1)
}
