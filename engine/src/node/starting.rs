//! Starting: from a configuration to threads that run, with the mailboxes that a node has from its
//! first moment on.
//!
//! Called by [`Node::start`] and [`NodeBuilder::start`]. Whatever fails here leaves no thread behind.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::Receiver;

use super::Node;
use super::admin;
use super::http;
use super::receiving::{boxed, shared};
use super::recording::{RecordingThread, describe};
use super::reloading::{Reloading, Source};
use super::spans::{SpanThread, exporter};
use crate::channel_plan::{CONTROL_WORDS, plan_channels};
use crate::channel_table::ChannelTable;
use crate::cluster::{self, PAYLOADS, RELAYED};
use crate::config::{Config, ConfigError, ControlPlacement, SecurityMode};
use crate::control::link::ControlLink;
use crate::control::routes::Routes;
use crate::control::wishes::WishBook;
use crate::control::{self, Control};
use crate::deadline::Clock;
use crate::delivery::LogIds;
use crate::detour::Detour;
use crate::discovery;
use crate::error::{NameError, StartError};
use crate::fabric::{Fabric, ShardLink};
use crate::faults::book::FaultBook;
use crate::io::preflight::{self, Machine};
use crate::io::socket;
use crate::mailboxes::Mailboxes;
use crate::message::{Message, REPLIES};
use crate::receipt_book::ReceiptBook;
use crate::recorder::Recorder;
use crate::request_book::RequestBook;
use crate::ring::inbox::Inboxes;
use crate::ring::{Doorbell, PayloadPool};
use crate::router::Router;
use crate::rules::{RuleBook, RuleTable};
use crate::session::Security;
use crate::shard::command::{Command, CommandSender};
use crate::shard::context::ShardContext;
use crate::shard::deliver::Handler;
use crate::shard::{self, ShardSeat};
use crate::spans::{SpanSink, Spans};
use crate::stream_book::{StreamBook, StreamLimits};
use crate::wire::stream::STREAMS;

/// A node that is about to start, with the mailboxes it has from its first moment on.
///
/// A mailbox registered on a running node can miss messages of peers that were quicker: they are
/// refused, and reported to their senders. One registered here cannot.
#[doc = include_str!("../../doc/node_builder.md")]
pub struct NodeBuilder {
    config: Config,
    mailboxes: Vec<(String, Receiving)>,
    detour: Detour,
    source: Option<Source>,
    span_sinks: Vec<Box<dyn SpanSink>>,
}

/// How a mailbox is to be received.
enum Receiving {
    Handler(Box<dyn FnMut(usize) -> Handler + Send>),
    Inbox,
}

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
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            mailboxes: Vec::new(),
            detour: Detour::default(),
            source: None,
            span_sinks: Vec::new(),
        }
    }

    /// Its dials go that way.
    #[cfg(feature = "testing")]
    pub(crate) fn detour(self, detour: Detour) -> Self {
        Self { detour, ..self }
    }

    /// Adds a handler that all shards share: see [`Node::handle`].
    #[must_use]
    pub fn handle<F>(self, mailbox: &str, handler: F) -> Self
    where
        F: Fn(&mut ShardContext<'_>, Message<'_>) + Send + Sync + 'static,
    {
        self.add(mailbox, Receiving::Handler(Box::new(shared(handler))))
    }

    /// Adds a handler that is made for each shard: see [`Node::handle_with`].
    #[must_use]
    pub fn handle_with<M, F>(self, mailbox: &str, make: M) -> Self
    where
        M: FnMut(usize) -> F + Send + 'static,
        F: FnMut(&mut ShardContext<'_>, Message<'_>) + Send + 'static,
    {
        self.add(mailbox, Receiving::Handler(Box::new(boxed(make))))
    }

    fn add(mut self, mailbox: &str, receiving: Receiving) -> Self {
        self.mailboxes.push((mailbox.to_owned(), receiving));
        self
    }

    /// Adds an inbox of `inbox_bytes`, which the first [`Node::inbox`] of that name hands out.
    #[must_use]
    pub fn inbox(self, mailbox: &str) -> Self {
        self.add(mailbox, Receiving::Inbox)
    }

    /// Has the spans of messages recorded, and hands them to a sink, besides sending them to `trace_endpoint` if there is one: see
    /// [`Attributes::trace`](crate::Attributes::trace) and [`SpanSink`]. May be called several times.
    #[must_use]
    pub fn span_sink(mut self, sink: impl SpanSink + 'static) -> Self {
        self.span_sinks.push(Box::new(sink));
        self
    }

    /// Says how the configuration is read again when [`Node::reload`] is called, or the admin socket is asked to: usually the
    /// way it was read for this start. It is called on the thread that asks, and may block.
    #[must_use]
    pub fn reload_with<F>(self, source: F) -> Self
    where
        F: Fn() -> Result<Config, ConfigError> + Send + Sync + 'static,
    {
        let source: Source = Box::new(source);
        Self {
            source: Some(source),
            ..self
        }
    }

    /// Starts the node.
    ///
    /// # Errors
    /// As [`Node::start`]; besides, a mailbox name that cannot be one, or that is given twice.
    pub fn start(self) -> Result<Node, StartError> {
        // Before anything runs: what is wrong with it is told at once.
        let claims = admin::claims(&self.config)?;
        let shown = http::claim(&self.config)?;
        let reloading = Reloading::new(self.source, self.config.clone());
        let mut node = Node::start_alone(self.config, self.detour, self.span_sinks)?;
        node.reloading = Arc::new(reloading);
        if !claims.is_empty() {
            admin::answer_pings(&node)?;
        }
        for (mailbox, receiving) in self.mailboxes {
            match receiving {
                Receiving::Handler(make) => {
                    node.begin_handler(&mailbox, make)?.wait()?.keep();
                }
                Receiving::Inbox => {
                    let inbox_bytes = node.fabric.config.inbox_bytes;
                    let inbox = node.begin_inbox(&mailbox, inbox_bytes)?.wait()?;
                    node.prepared().insert(mailbox, inbox);
                }
            }
        }
        node.open()?;
        node.start_cluster()?;
        for claim in claims {
            let server = admin::serve(&node, claim)?;
            node.admin.push(server);
        }
        if let Some(shown) = shown {
            node.http = Some(http::serve(&node, shown)?);
        }
        Ok(node)
    }
}

impl Node {
    /// Everything but the peers.
    fn start_alone(
        mut config: Config,
        detour: Detour,
        sinks: Vec<Box<dyn SpanSink>>,
    ) -> Result<Self, StartError> {
        config.validate()?;
        let exporter = exporter(&config)?;
        // Channels that are added later say the same.
        let incarnation = config.incarnation.unwrap_or_else(milliseconds_since_1970);
        config.incarnation = Some(incarnation);
        let security = Security::load(&config)?;
        if config.security == SecurityMode::Plain && config.insecure {
            tracing::warn!(
                listen = %config.listen,
                "lanes are not protected (insecure = true): every host that reaches this node can join, send, and read what is \
                 on the network; set `security` to tls or psk"
            );
        }
        let found = preflight::start(&config).map_err(|failure| StartError::Machine {
            what: failure.what,
            remedy: failure.remedy,
        })?;
        if let Some(failure) = &found.no_uring {
            tracing::warn!("{}", preflight::fallback(failure));
        }
        let shards = found.placement.len();
        let claimed = socket::listen_first(config.listen);
        let (listener, address) = claimed.map_err(|source| StartError::Listen {
            address: config.listen,
            source,
        })?;
        let machine = |what: String| StartError::Machine {
            what,
            remedy: "run `overlane doctor`".to_owned(),
        };
        let mut links = Vec::new();
        let mut ends = Vec::new();
        for _ in 0..shards {
            let (shard, end) = make_link().map_err(|error| machine(error.to_string()))?;
            links.push(shard);
            ends.push(end);
        }
        let on_shard_0 = config.control == ControlPlacement::Shared;
        let doorbell = on_shard_0.then(|| Arc::clone(&links[0].doorbell));
        let (control_link, notices) = ControlLink::new(config.events_queue_max, doorbell);
        let plans = plan_channels(&config, shards).map_err(|error| machine(error.to_string()))?;
        let wishes = WishBook::new(
            config.node_name.clone(),
            config.lanes_per_peer() - 1,
            u16::try_from(shards).unwrap_or(u16::MAX),
            config.peers_max,
        );
        let mut rings = Vec::new();
        for plan in plans.iter().flatten() {
            wishes.add_channel(plan.lanes(), plan.gate_limits());
            rings.extend_from_slice(&plan.rings);
        }
        let channels = ChannelTable::new(plans, shards);
        let rules = RuleTable::compile(&config.rules, |name| {
            Some(Arc::clone(&channels.find(name)?.entry))
        });
        let mailboxes = Mailboxes::new(rings);
        let limits = StreamLimits {
            streams_max: config.streams_max,
            window_bytes: config.stream_window_bytes as u64,
            chunk_bytes: config.stream_chunk_bytes,
        };
        let words = mailboxes.get(STREAMS)?;
        let streams = StreamBook::new(words, limits, shards, fastrand::u64(..));
        let is_recorded = !sinks.is_empty() || exporter.is_some();
        let spans = Arc::new(Spans::new(&config.trace, is_recorded));
        let fabric = Arc::new(Fabric {
            incarnation,
            address,
            channels,
            wishes,
            routes: Routes::new(shards),
            replies: mailboxes.get(REPLIES)?,
            mailboxes,
            requests: RequestBook::new(fastrand::u64(..)),
            receipts: ReceiptBook::new(Arc::clone(&spans)),
            spans,
            clock: Clock::new(Instant::now()),
            streams,
            log_ids: LogIds::new(fastrand::u64(..)),
            rate_changes: AtomicU64::new(0),
            rules: RuleBook::new(rules),
            faults: FaultBook::default(),
            recorder: Recorder::new(&config.recorder, shards, describe),
            payloads: PayloadPool::new(),
            shards: links,
            retiring: AtomicBool::new(false),
            lame_duck: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            inboxes: Inboxes::default(),
            detour,
            relay: OnceLock::new(),
            security,
            backend: found.backend,
            config,
        });
        let itself = fabric.wishes.peer(&fabric.config.node_name)?;
        let control_link = Arc::new(control_link);
        let control = Control::new(control_link, notices, Arc::clone(&fabric), itself);
        let mut node = Self::start_threads(fabric, listener, ends, control, found)?;
        node.spans = SpanThread::start(&node.fabric, sinks, exporter)?;
        Ok(node)
    }

    fn start_threads(
        fabric: Arc<Fabric>,
        listener: OwnedFd,
        ends: Vec<ShardEnds>,
        control: Control,
        machine: Machine,
    ) -> Result<Self, StartError> {
        let commands: Vec<_> = ends.iter().map(|ends| ends.sender.clone()).collect();
        let control_link = Arc::clone(control.link());
        let mut node = Self {
            fabric: Arc::clone(&fabric),
            commands: commands.clone().into(),
            control_link: Arc::clone(&control_link),
            router: Router::new(&fabric),
            threads: Vec::new(),
            control: None,
            cluster: None,
            discovery: None,
            admin: Vec::new(),
            http: None,
            recorder: RecordingThread::start(&fabric)?,
            spans: None,
            reloading: Arc::default(),
            prepared: Mutex::default(),
            open_files: machine.open_files,
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
                core: machine.placement[index],
                fabric: Arc::clone(&fabric),
                commands: ends.commands,
                shards: commands.clone(),
                control_link: Arc::clone(&control_link),
                listener,
                control: shared.take(),
            })?);
        }
        // All shards are set up.
        drop(machine.locked_memory);
        Ok(node)
    }

    /// The control shard runs the protocols of the cluster from now on, if there is to be one.
    fn start_cluster(&mut self) -> Result<(), StartError> {
        if self.fabric.config.overlay.kind().is_none() {
            return Ok(());
        }
        let words = self.begin_inbox(CONTROL_WORDS, WORDS_BYTES)?.wait()?;
        let payloads = self.begin_inbox(PAYLOADS, PAYLOADS_BYTES)?.wait()?;
        let relayed = self.begin_inbox(RELAYED, PAYLOADS_BYTES)?.wait()?;
        let cluster = cluster::start(
            &self.fabric,
            &self.control_link,
            &self.commands,
            words,
            payloads,
            relayed,
        )?;
        self.discovery = discovery::start(&self.fabric, &cluster)?;
        self.cluster = Some(cluster);
        Ok(())
    }

    /// Connections are accepted, and the peers of the configuration wanted, from now on.
    fn open(&self) -> Result<(), NameError> {
        for shard in self.commands.iter() {
            shard.send(Command::Accept);
        }
        for (name, address) in &self.fabric.config.peers {
            self.fabric.wishes.keep(name, *address)?;
        }
        self.control_link.look();
        Ok(())
    }
}

/// What may wait for the control shard of what its like on other nodes say, and of payloads that they pass on.
/// Beyond, the lanes that bring it are not read. Guesses: some of the longest messages.
const WORDS_BYTES: usize = 256 << 10;
const PAYLOADS_BYTES: usize = 512 << 10;

/// A shard's own end of its commands, and their sender.
struct ShardEnds {
    commands: Receiver<Command>,
    sender: CommandSender,
}

fn make_link() -> std::io::Result<(ShardLink, ShardEnds)> {
    let doorbell = Arc::new(Doorbell::new()?);
    let (sender, commands) = CommandSender::new(Arc::clone(&doorbell));
    let link = ShardLink {
        doorbell,
        inbox_room: AtomicBool::new(false),
        stop_steps: AtomicU64::new(0),
    };
    Ok((link, ShardEnds { commands, sender }))
}

fn milliseconds_since_1970() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX).max(1)
}
