//! Overlane: a cluster networking engine for Linux servers.
//!
//! A program starts a [`Node`], gives mailboxes their receivers, and sends to mailboxes of other
//! nodes over named **channels**. Each channel has its own priority, reliability, queue and TCP
//! lanes, so that a 1 GB transfer on one never delays a 50-byte heartbeat on another.
//!
//! # Where to begin
//!
//! | to | see |
//! |---|---|
//! | configure and start a node, connect it, stop it | [`Config`], [`Node`], [`StopReport`] |
//! | send from a thread or a task | [`Channel`], [`Destination`], [`Payload`] |
//! | say more than the payload: type, metadata, where it stands in a trace | [`Envelope`], [`Attributes`], [`TraceContext`] |
//! | pause before a queue is full | [`Channel::capacity`], [`Channel::on_capacity`] |
//! | cap what a channel sends per second | [`Channel::set_rate_caps`], [`RateCaps`] |
//! | learn what became of one message | [`Channel::send_with_receipt`], [`Receipt`], [`Reported`] |
//! | leave the choice of the channel to rules, or to hints | [`Router`], [`Node::set_rules`], [`config::Rule`], [`Attributes::priority`] |
//! | send and receive values in place of payloads | [`typed`] |
//! | ask and answer | [`Channel::request`], [`ReplyHandle`], [`RequestError`] |
//! | receive in a thread or a task, also as a stream | [`Inbox`], [`Received`], [`OwnedMessage`] |
//! | receive and send on a shard, without a thread in between | [`Node::handle`], [`Message`], [`ShardContext`], [`ShardHandle`] |
//! | follow what happens to peers and lanes | [`Events`], [`Event`] |
//! | send what is long, such as a file | [`Channel::open_stream`], [`StreamWriter`], [`Node::streams`], [`StreamReader`] |
//! | count what became of every message | [`Metrics`] |
//! | administer a node that runs, from another process | [`admin`], [`Config::admin`] |
//! | scrape, watch and probe a node over HTTP | [`http`], [`Config::http`] |
//! | take it all in at once | [`prelude`] |
//!
//! Calls that can wait come twice: in a task of any runtime (`send`, `recv`, `stop_async`), and blocking a
//! thread (`send_blocking`, `recv_blocking`, `stop`). The latter refuse to run on the engine's own
//! threads, in handlers and tasks on shards, with an error that says so.
//!
//! What cannot be done is said by typed errors, whose texts say what is wrong and what to do: [`error`].
//!
//! # A round trip
//!
//! ```
//! use overlane::prelude::*;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let start = |name: &str| {
//!     let channel = ChannelConfig::new("greetings").priority(Priority::HIGH);
//!     let config = Config::builder().name(name).listen("127.0.0.1:0".parse()?).channel(channel);
//! #   let config = config.cluster(format!("lib-{}", std::process::id())).shards(1).pin(false);
//!     Ok::<_, Box<dyn std::error::Error>>(Node::start(config.build()?)?)
//! };
//! let (alice, bob) = (start("alice")?, start("bob")?);
//! alice.connect("bob", bob.local_addr())?;
//! alice.wait_connected("bob", Duration::from_secs(10))?;
//!
//! // On Bob's shard: what comes to his door goes back to the mailbox `answers` of whoever sent it.
//! let (greetings, answers) = (bob.channel("greetings")?, bob.mailbox("answers")?);
//! bob.handle("door", move |shard, message| {
//!     let sent = shard.try_send(&greetings, &message.reply_to(&answers), message.payload());
//!     sent.unwrap_or_else(|error| eprintln!("not answered: {error}"));
//! })?;
//!
//! let mut answers = alice.inbox("answers")?;
//! let door = alice.destination("bob", "door")?;
//! alice.channel("greetings")?.send_blocking(&door, "hello")?;
//! let answer = answers.recv_blocking()?;
//! assert_eq!((answer.from().name(), answer.payload()), ("bob", &b"hello"[..]));
//! # Ok(())
//! # }
//! ```
//!
//! # Layout
//!
//! A message's way: [`Channel`] (`channel.rs`), `ring/`, `shard/dispatch.rs`, `shard/route.rs`,
//! `shard/lane.rs`, the network, `shard/receive.rs` with `io/` and [`wire`], `shard/arrival.rs`, `shard/deliver.rs`, and
//! a handler or an [`Inbox`]. What threads share is in `fabric.rs` and `peer.rs`; `control/` knows
//! which peers are wanted and tells what happens; [`config`] defines every parameter once.

/// The README's example, run as a test.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

pub mod admin;
mod admission;
mod attributes;
mod awaited;
mod capacity;
mod causal;
mod channel;
mod channel_plan;
mod channel_table;
mod cluster;
mod codec;
pub mod config;
mod control;
mod deadline;
pub mod delivery;
mod detour;
mod discovery;
mod envelope;
pub mod error;
pub mod events;
mod extended;
mod fabric;
mod faults;
mod fnv;
pub mod http;
mod inbox;
mod io;
mod mailboxes;
mod message;
pub mod metrics;
mod node;
mod order_tag;
#[cfg(feature = "otlp")]
mod otlp;
mod payload;
mod peer;
pub mod prelude;
mod rates;
mod receipt;
mod receipt_book;
mod receiving;
mod recorder;
mod recording;
mod relay_book;
mod request;
mod request_book;
mod restraint;
mod ring;
mod router;
mod rules;
mod serving;
mod session;
mod shard;
mod spans;
mod steering;
mod stream;
mod stream_book;
#[cfg(feature = "testing")]
pub mod testing;
mod threads;
pub mod typed;
mod waiter;
pub mod wire;

pub use attributes::{Attributes, AttributesError, METADATA_PAIRS_MAX};
pub use capacity::Capacity;
pub use channel::{Broadcast, Channel};
#[doc(hidden)]
pub use cluster::fuzz_summary;
pub use cluster::{
    Analysis, AtomicError, AtomicOutcome, BadNodes, Blocked, BroadcastCounts, BroadcastError,
    BroadcastKind, CHANGE_BYTES_MAX, CHANGED_MAX, ChannelChange, ChannelChangeError,
    ChannelChangeReport, ChannelTotal, Cluster, ClusterError, ClusterMetrics, ClusterMetricsError,
    Condition, DECIDERS_MAX, DECISION_BYTES_MAX, DECISIONS_BYTES_MAX, DECISIONS_MAX, Decision,
    EvictError, FigureTotal, Forecast, HOPS_KEY, JoinError, KindCounts, LeaveError,
    LibclusterTopology, Measurements, Member, MemberStatus, MustBe, ORIGIN_KEY, OrderedBy,
    OverlayKind, OverlayStep, OverlayTrial, OverlayView, Partition, PeerRtt, SUMMARY_BYTES_MAX,
    SummaryAge, SwitchEnd, SwitchError, SwitchRecord, TOPIC_KEY, TopicError, TopologyError, Trend,
    TrialFigures, TrialReport, UnknownKind, Verdict, WhyBack, protocols,
};
pub use config::{ChannelConfig, Config};
pub use control::wishes::ADDRESSES_MAX;
pub use envelope::Envelope;
pub use error::{
    AdminError, ChannelError, NameError, NotConnected, RecvError, Reported, RequestError,
    SecurityError, SendError, StartError, StreamError, Unsent, WaitError,
};
pub use events::{Event, Events};
pub use faults::{
    FAULT_DELAY_MAX, FAULT_DROPS_ALL, FAULT_LASTS_MAX, FAULTS_MAX, Fault, FaultCounts, FaultError,
    FaultMetrics, FaultStatus,
};
pub use inbox::{Inbox, Received};
pub use io::backend::Backend;
pub use io::preflight;
pub use mailboxes::Mailbox;
pub use message::{Destination, Message, OwnedMessage, ReplyHandle};
pub use metrics::{
    ChannelMetrics, DiscoveryMetrics, Metrics, RuleMetrics, ShardMetrics, StreamMetrics,
};
pub use node::{
    Node, NodeBuilder, PeerInfo, ReloadReport, RemovedChannel, StopReport, UnfinishedCause,
    UnfinishedShard,
};
pub use payload::{IntoPayload, Payload};
pub use peer::Peer;
pub use rates::RateCaps;
pub use receipt::Receipt;
pub use receipt_book::RECEIPTS_MAX;
pub use recording::{
    RECORDING_BYTES_MAX, RECORDING_ENTRIES_MAX, Recorded, RecordedEntry, RecordedThread, Recording,
    RecordingError,
};
pub use relay_book::{RELAYED_BYTES_MAX, RELAYED_MAX, RelayCounts};
pub use request_book::REQUESTS_MAX;
pub use restraint::Restraint;
pub use router::Router;
#[doc(hidden)]
pub use session::SessionFuzz;
pub use session::protection as protection_checks;
pub use shard::context::{ShardContext, ShardHandle};
pub use spans::{Span, SpanKind, SpanMetrics, SpanSink, SpanStatus};
pub use stream::{ReadProgress, StreamReader, StreamWriter, Streams, WriteProgress};
pub use wire::{BadTraceparent, TraceContext};
