//! A node: what a program starts, sends and receives with, and stops.
//!
//! Owns the threads; `starting` makes them, `stopping` ends them. Everything a message passes on its
//! way is elsewhere.

mod admin;
mod channels;
mod faults;
mod http;
mod pulse;
mod receiving;
mod recording;
mod reloading;
mod spans;
mod starting;
mod stopping;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use event_listener::Listener;

pub use channels::RemovedChannel;
use recording::RecordingThread;
pub use reloading::ReloadReport;
use spans::SpanThread;
pub use starting::NodeBuilder;
pub use stopping::{StopReport, UnfinishedCause, UnfinishedShard};

use self::reloading::Reloading;
use crate::admin::Server;
use crate::channel::Channel;
use crate::cluster::Cluster;
use crate::config::{Config, ConfigError, Rule, check_rules};
use crate::control::link::ControlLink;
use crate::control::wishes::Wish;
use crate::deadline::deadline_in;
use crate::discovery::Discovery;
use crate::error::{NameError, NotConnected, SecurityError, SendError, StartError, WaitError};
use crate::events::Events;
use crate::fabric::Fabric;
use crate::inbox::Inbox;
use crate::io::backend::Backend;
use crate::io::preflight::Raised;
use crate::mailboxes::Mailbox;
use crate::message::Destination;
use crate::metrics::Metrics;
use crate::payload::IntoPayload;
use crate::peer::Peer;
use crate::router::Router;
use crate::rules::RuleTable;
use crate::shard::command::{Command, CommandSender, TaskMaker};
use crate::shard::context::ShardHandle;
use crate::stream::Streams;
use crate::threads::{self, EngineThread};

/// How long a shard may take to answer a question. It answers between two turns; a shard that takes
/// longer is stuck in a handler.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running node. Dropping it stops it at once; [`stop`](Self::stop) lets it finish first.
#[doc = include_str!("../doc/node.md")]
#[derive(Debug)]
pub struct Node {
    fabric: Arc<Fabric>,
    /// To each shard, in order.
    commands: Arc<[CommandSender]>,
    control_link: Arc<ControlLink>,
    router: Router,
    threads: Vec<EngineThread>,
    control: Option<EngineThread>,
    /// The cluster, if the configuration names an overlay.
    cluster: Option<Cluster>,
    /// What looks for other nodes, if the configuration says how.
    discovery: Option<Discovery>,
    /// Where the node is administered and looked at, as far as it is.
    admin: Vec<Server>,
    /// Where it shows itself over HTTP, if it does.
    http: Option<crate::http::Server>,
    /// What writes recordings by itself, if there is a folder for them.
    recorder: Option<RecordingThread>,
    /// What takes the spans of messages out, if they are recorded.
    spans: Option<SpanThread>,
    /// How its configuration is read again.
    reloading: Arc<Reloading>,
    /// Inboxes that the builder asked for and nobody has taken yet.
    prepared: Mutex<BTreeMap<String, Inbox>>,
    /// The limit of open files is raised for as long as this is held; dropped after the threads.
    #[expect(dead_code, reason = "held, not used")]
    open_files: Option<Raised>,
}

/// What [`Node::peers`] says of a peer.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// The peer.
    pub peer: Arc<Peer>,
    /// Where this node dials it first; `None` if it leaves that to the peer.
    pub address: Option<SocketAddr>,
    /// Whether the connection to it is kept ([`Node::connect`]), and not made by messages alone.
    pub kept: bool,
    /// Lanes up now, the engine's own among them.
    pub lanes_up: u32,
    /// Lanes there are when all are up: one for each channel and degree of parallelism, and the engine's.
    pub lanes: usize,
}

impl PeerInfo {
    fn new(peer: Arc<Peer>, wish: &Wish) -> Self {
        Self {
            address: wish.addresses.first().copied(),
            kept: wish.keep,
            lanes_up: peer.lanes_up(),
            lanes: peer.lanes_count(),
            peer,
        }
    }
}

impl Node {
    /// Starts a node: its shards, its control shard, its listening sockets. Returns when all of them
    /// are set up; peers of the configuration are dialled from then on.
    ///
    /// # Errors
    /// [`StartError`]: one sentence what is wrong and how to fix it.
    pub fn start(config: Config) -> Result<Self, StartError> {
        Self::builder(config).start()
    }

    /// A second handle on the node, which ends nothing when it is dropped.
    fn without_threads(&self) -> Self {
        Self {
            fabric: Arc::clone(&self.fabric),
            commands: Arc::clone(&self.commands),
            control_link: Arc::clone(&self.control_link),
            router: self.router.clone(),
            threads: Vec::new(),
            control: None,
            cluster: self.cluster.clone(),
            discovery: None,
            admin: Vec::new(),
            http: None,
            recorder: None,
            spans: None,
            reloading: Arc::clone(&self.reloading),
            prepared: Mutex::default(),
            open_files: None,
        }
    }

    /// To start a node that has mailboxes from its first moment on.
    #[must_use]
    pub fn builder(config: Config) -> NodeBuilder {
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

    /// Reads the files of certificates, secrets and of the revoked again, if they have changed, as the node does by
    /// itself every `security_reload_ms`: new lanes are protected by what is in them now, and lanes of the revoked
    /// end. True if any had changed.
    ///
    /// # Errors
    /// [`SecurityError`]: what is in a file cannot be used. What counted before goes on.
    pub fn reload_security(&self) -> Result<bool, SecurityError> {
        self.fabric.reload_security()
    }

    /// The address at which it shows itself over HTTP, if the configuration names one ([`Config::http`]), with the port
    /// that was taken if it said 0.
    #[must_use]
    pub fn http_addr(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(crate::http::Server::address)
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

    /// The cluster that the node is in, or can join. `None` if the configuration names no
    /// [`overlay`](Config::overlay).
    #[must_use]
    pub const fn cluster(&self) -> Option<&Cluster> {
        self.cluster.as_ref()
    }

    /// How its shards do their I/O: what the parameter `io` came to on this machine.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.fabric.backend
    }

    /// Keeps the connection to that peer from now on: the engine's own lane to it is dialled until it is
    /// up, and again when it ends. Lanes of channels are made by the first message on them, and close when
    /// idle (`lane_idle_ms`). Dials at once, also a peer that is waited for after failed dials. With another
    /// address than before, the lanes there are end, and are made anew at the new address.
    ///
    /// # Errors
    /// [`NameError`] if the name cannot be one, the address cannot be a peer's, or something is wanted of
    /// `peers_max` peers already.
    pub fn connect(&self, peer: &str, address: SocketAddr) -> Result<Arc<Peer>, NameError> {
        let peer = self.fabric.wishes.keep(peer, address)?;
        self.control_link.look();
        Ok(peer)
    }

    /// The node of that name is there, at one of these addresses, one to eight: messages to it are accepted from
    /// now on ([`wait_reachable`](Self::wait_reachable)), and connect it when there are some. The engine's own lane is dialled then, at each address in
    /// turn until one answers, and those of channels after it; all of them close when idle (`lane_idle_ms`), and
    /// the peer is down then for [`CloseReason::Idle`](crate::wire::CloseReason::Idle). What is sent meanwhile
    /// waits within the bounds of its channel.
    ///
    /// If the peer answers nowhere, what waits for it is reported or dropped, as after a connection that was
    /// lost, and sending says [`SendError::Unreachable`] until the back-off (`reconnect_base_ms`) has passed:
    /// the next message dials again. To call this again, also with the same addresses, ends the back-off.
    ///
    /// A connection that [`connect`](Self::connect) keeps is kept no more, but stays as long as it is used.
    /// With other addresses than before, lanes that are up stay too: they lead to the peer. `connect` after this
    /// keeps the connection again, and messages are accepted as before while it is made.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/pair.rs"));
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (a, b) = (start("a")?, start("b")?);
    /// let mut inbox = b.inbox("letters")?;
    /// a.reach("b", &[b.local_addr()])?;
    /// a.wait_reachable("b", PATIENCE)?;
    /// assert_eq!(a.peers()[0].lanes_up, 0); // nothing was sent yet
    /// a.channel("data")?.try_send(&a.destination("b", "letters")?, "dear b")?;
    /// assert_eq!(inbox.recv_blocking().unwrap().payload(), b"dear b");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`NameError`] if the name cannot be one, there are no or too many addresses, one of them cannot be a
    /// peer's, or something is wanted of `peers_max` peers already.
    pub fn reach(&self, peer: &str, addresses: &[SocketAddr]) -> Result<Arc<Peer>, NameError> {
        let peer = self.fabric.wishes.reach(peer, addresses)?;
        self.control_link.look();
        Ok(peer)
    }

    /// Takes back what [`connect`](Self::connect), [`reach`](Self::reach) or [`disconnect`](Self::disconnect)
    /// asked of that peer, and leaves the lanes that there are: what was sent before still leaves on them, and
    /// they close when idle, unless the peer keeps them. What waits for a lane that is not there is reported
    /// if the peer, asked for it, does not make it. [`forget`](Self::forget) ends the lanes.
    ///
    /// # Errors
    /// [`NameError`] if the name cannot be one.
    pub fn release(&self, peer: &str) -> Result<(), NameError> {
        self.fabric.wishes.release(peer)?;
        self.control_link.look();
        Ok(())
    }

    /// Ends the lanes to that peer and refuses its dials, until [`connect`](Self::connect) or
    /// [`forget`](Self::forget).
    ///
    /// # Errors
    /// [`NameError`] if the name cannot be one, or something is wanted of `peers_max` peers already.
    pub fn disconnect(&self, peer: &str) -> Result<(), NameError> {
        self.fabric.wishes.ban(peer)?;
        self.control_link.look();
        Ok(())
    }

    /// Takes back what [`connect`](Self::connect) or [`disconnect`](Self::disconnect) asked of that
    /// peer: its lanes end, it is not dialled, and its dials are accepted as those of any node.
    ///
    /// # Errors
    /// [`NameError`] if the name cannot be one.
    pub fn forget(&self, peer: &str) -> Result<(), NameError> {
        self.fabric.wishes.forget(peer)?;
        self.control_link.look();
        Ok(())
    }

    /// Waits until that peer is connected, blocking the thread: messages to it are accepted on every
    /// channel from then on. The first on a channel makes its lane, and waits in this node until that is
    /// up; so that the two nodes configure a channel differently shows with its first message.
    ///
    /// # Errors
    /// [`WaitError::NotConnected`] if it takes longer than `timeout`, [`WaitError::Name`] if the name
    /// cannot be one, or the call is made on a thread of the engine.
    pub fn wait_connected(&self, peer: &str, timeout: Duration) -> Result<(), WaitError> {
        self.wait_for(peer, timeout, Peer::is_connected)
    }

    /// As [`wait_connected`](Self::wait_connected), in a task of any runtime, whose timeout is the task's
    /// own matter.
    ///
    /// # Errors
    /// [`NameError`] if the name cannot be one.
    pub async fn wait_connected_async(&self, peer: &str) -> Result<(), NameError> {
        self.wait_for_async(peer, Peer::is_connected).await
    }

    /// Waits until messages to that peer are accepted on every channel, blocking the thread: a moment after
    /// [`reach`](Self::reach), or when a back-off has passed.
    ///
    /// # Errors
    /// As [`wait_connected`](Self::wait_connected).
    pub fn wait_reachable(&self, peer: &str, timeout: Duration) -> Result<(), WaitError> {
        self.wait_for(peer, timeout, Peer::is_reachable)
    }

    /// As [`wait_reachable`](Self::wait_reachable), in a task of any runtime, whose timeout is the task's own
    /// matter.
    ///
    /// # Errors
    /// [`NameError`] if the name cannot be one.
    pub async fn wait_reachable_async(&self, peer: &str) -> Result<(), NameError> {
        self.wait_for_async(peer, Peer::is_reachable).await
    }

    fn wait_for(
        &self,
        peer: &str,
        timeout: Duration,
        is_so: impl Fn(&Peer) -> bool,
    ) -> Result<(), WaitError> {
        if threads::is_own() {
            return Err(NameError::WouldDeadlock.into());
        }
        let deadline = deadline_in(timeout);
        let peer = self.fabric.wishes.peer(peer)?;
        loop {
            let changed = peer.listen();
            if is_so(&peer) {
                return Ok(());
            }
            if changed.wait_deadline(deadline).is_none() && !is_so(&peer) {
                return Err(WaitError::NotConnected(NotConnected {
                    peer: peer.name().to_owned(),
                    lanes_up: peer.lanes_up(),
                    lanes: peer.lanes_count(),
                }));
            }
        }
    }

    async fn wait_for_async(
        &self,
        peer: &str,
        is_so: impl Fn(&Peer) -> bool,
    ) -> Result<(), NameError> {
        let peer = self.fabric.wishes.peer(peer)?;
        loop {
            let changed = peer.listen();
            if is_so(&peer) {
                return Ok(());
            }
            changed.await;
        }
    }

    /// To send without naming a channel: the rules of the node choose it.
    #[must_use]
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// [`Router::try_send`]: on the channel that the rules choose.
    ///
    /// # Errors
    /// As [`Router::try_send`].
    pub fn try_send<'a, P: IntoPayload<'a>>(
        &self,
        to: &Destination,
        payload: P,
    ) -> Result<(), P::Error> {
        self.router.try_send(to, payload)
    }

    /// [`Router::send`]: on the channel that the rules choose.
    ///
    /// # Errors
    /// As [`Router::send`].
    pub async fn send<'a, P: IntoPayload<'a>>(
        &self,
        to: &Destination,
        payload: P,
    ) -> Result<(), P::Error> {
        self.router.send(to, payload).await
    }

    /// [`Router::send_blocking`]: on the channel that the rules choose.
    ///
    /// # Errors
    /// As [`Router::send_blocking`].
    pub fn send_blocking<'a, P: IntoPayload<'a>>(
        &self,
        to: &Destination,
        payload: P,
    ) -> Result<(), P::Error> {
        self.router.send_blocking(to, payload)
    }

    /// Routes messages by these rules from now on, in place of those there are. Each message that is sent meanwhile goes by
    /// the old ones or by the new. They are counted from 0 in [`Metrics::rules`]. They may name the channels there are now. If one
    /// of those is removed, the messages that they choose it for are refused ([`SendError::ChannelRemoved`]) until a channel of
    /// that name is added.
    ///
    /// # Errors
    /// The first mistake in them, and what would be right; then the rules stay as they were.
    pub fn set_rules(&self, rules: &[Rule]) -> Result<(), ConfigError> {
        self.fabric.rules.change(|| {
            let open = self.fabric.channels.open();
            let known: Vec<_> = open.iter().map(|plan| &*plan.name).collect();
            check_rules(rules, &known)?;
            Ok(RuleTable::compile(rules, |name| {
                let mut open = open.iter();
                let plan = open.find(|plan| *plan.name == *name)?;
                Some(Arc::clone(&plan.entry))
            }))
        })
    }

    /// A mailbox on a node (this one's own name is fine), to send to. Look it up once, use it often. The
    /// node need not be known yet: until it is connected, sending to it says [`SendError::Unreachable`].
    ///
    /// [`SendError::Unreachable`]: crate::SendError::Unreachable
    ///
    /// # Errors
    /// [`NameError`] if a name cannot be one, or a bound on names is reached.
    pub fn destination(&self, peer: &str, mailbox: &str) -> Result<Destination, NameError> {
        let mailbox = self.mailbox(mailbox)?;
        let peer = self.fabric.wishes.peer(peer)?;
        Ok(Destination::new(peer, mailbox))
    }

    /// A mailbox name, for answers ([`Message::reply_to`](crate::Message::reply_to)) and broadcasts. It
    /// takes a place among this node's names until it is dropped.
    ///
    /// # Errors
    /// [`NameError`] if the name cannot be one, or more than a million are held.
    pub fn mailbox(&self, name: &str) -> Result<Mailbox, NameError> {
        self.fabric.mailboxes.get(name)
    }

    /// Accepts the streams that other nodes open to a mailbox
    /// ([`Channel::open_stream`]). The same mailbox can have a receiver of messages besides. Until the result
    /// is dropped nobody else can accept there.
    ///
    /// # Errors
    /// [`NameError`] if the name cannot be one, somebody accepts streams there already, or the node stops.
    pub fn streams(&self, mailbox: &str) -> Result<Streams, NameError> {
        let accepting = self.fabric.streams.accept(mailbox)?;
        Ok(Streams::new(Arc::clone(&self.fabric), accepting))
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
    ///
    /// # Errors
    /// [`SendError::OtherNode`] if the channel or the destination is of another node.
    pub fn shard_of(&self, channel: &Channel, to: &Destination) -> Result<usize, SendError> {
        let home = self.fabric.mailboxes.home();
        if channel.home != home || to.home != home {
            return Err(SendError::OtherNode);
        }
        Ok(to.peer.lane(channel.lane_offset(to)).shard())
    }

    /// Subscribes to what happens from now on.
    #[must_use]
    pub fn events(&self) -> Events {
        self.control_link.subscribe()
    }

    /// The peers this node knows, itself left out, ordered by name: those of which something is wanted,
    /// those that have lanes, and those that had and whose place nobody else has needed yet.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerInfo> {
        let routes = self.fabric.routes.all();
        let known = routes.into_iter().map(|route| (route.peer, route.wish));
        // Later ones count: what is wanted may not be in the routes yet.
        let known = known.chain(self.fabric.wishes.wished());
        let by_name: BTreeMap<String, PeerInfo> = known
            .filter(|(peer, _)| !peer.is_self())
            .map(|(peer, wish)| (peer.name().to_owned(), PeerInfo::new(peer, &wish)))
            .collect();
        by_name.into_values().collect()
    }

    /// The counters, as they stand now. Asks each shard, which answers between two turns; one that does
    /// not within 10 s is left out. On a thread of the engine, which cannot wait for shards, all are.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let mut metrics = if threads::is_own() {
            Metrics::merge(&self.fabric, &[])
        } else {
            Metrics::gather(&self.fabric, &self.commands, PATIENCE)
        };
        if let Some(cluster) = &self.cluster {
            metrics.discoveries = cluster.discoveries();
        }
        metrics
    }
}
