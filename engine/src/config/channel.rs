//! The definitions of a channel's parameters: this list is the only place that has them.
//!
//! The struct with its setters, file keys, the text of `--channel`, checks of single values and
//! `docs/tuning.md` follow from it, as for a node's in `node.rs`.

use super::allowed::{Allowed, Unit};
use super::choices::{
    CHANNEL_SECURITY_WORDS, COMPRESSION_WORDS, ChannelSecurity, Compression, ON_LATE_WORDS,
    ON_PARTITION_WORDS, ON_RESTART_WORDS, ORDERING_WORDS, OVERFLOW_WORDS, OnLate, OnPartition,
    OnRestart, Ordering, Overflow, Priority, REACH_WORDS, RELIABILITY_WORDS, Reach, Reliability,
};
use super::names::{NamePatterns, PATTERNS};
use super::parameter::{Parameter, parameters};
use super::setting::Setting;
use crate::wire::frame::PAYLOAD_BYTES_MAX;

parameters! {
    /// One named class of traffic; made by [`ChannelConfig::new`] and the setters.
    pub struct ChannelConfig;
    pub static CHANNEL_PARAMETERS;
    setters on ChannelConfig;

    /// Priority, 1 is served first, strictly; high is 1, medium 4, low 6.
    priority: Priority as impl Into<Priority> = Priority::MEDIUM;
        Unit::None, Allowed::Described(
            "a priority from 1 to 7, or high (1), medium (4), low (6)");
        origin "the middle";
        cost "a busy channel starves those after it, unless they have a floor";
    /// Lanes to each peer; a partition key picks the lane.
    parallelism: u16 = 1;
        Unit::Count("lanes"), Allowed::Number(1, 64);
        origin "one lane keeps all messages in order";
        cost "higher is more sockets per peer, and order only per key; \
              lower leaves shards without a share";
    /// What is promised: best_effort may drop a message, reliable acknowledges or reports it,
    /// at_least_once and guaranteed resume over connections, guaranteed without duplicates.
    reliability: Reliability = Reliability::Reliable;
        Unit::None, Allowed::Words(RELIABILITY_WORDS);
        origin "losing silently should be asked for";
        cost "reliable holds each message until it is acknowledged; \
              best_effort forgets it once sent; the other two keep it in log_bytes_max meanwhile";
    /// What becomes of messages of at_least_once and guaranteed whose fate is unknown when the peer
    /// was started again.
    on_restart: OnRestart = OnRestart::Report;
        Unit::None, Allowed::Words(ON_RESTART_WORDS);
        origin "what may have been done once should not be done again unasked";
        cost "resend gives the new process what the old one may have got already; \
              report leaves that to the application";
    /// Most bytes of one lane of at_least_once and guaranteed that are accepted and not acknowledged,
    /// in place of queue_bytes_max.
    log_bytes_max: usize = 1_000_000;
        Unit::Bytes, Allowed::Number(4096, 1 << 30);
        origin "the flow control of seed 004";
        cost "higher is memory per lane; lower waits for acknowledgements on fast or distant links";
    /// How long messages of at_least_once and guaranteed wait for a peer that is away before they are
    /// reported.
    resume_timeout_ms: u64 = 30_000;
        Unit::Milliseconds, Allowed::Number(1, 86_400_000);
        origin "guess: a process that is started again, a switch that reboots";
        cost "higher keeps senders waiting for a peer that is gone; lower reports what could be resumed";
    /// What this node does with a message on the channel whose deadline has passed before it could be delivered.
    on_late: OnLate = OnLate::Deliver;
        Unit::None, Allowed::Words(ON_LATE_WORDS);
        origin "the receiver knows best what it is worth";
        cost "refuse looks at the deadline of each message that has one; deliver leaves that to the receiver";
    /// What the channel does while the cluster is parted: degraded goes on, read_only delivers and refuses to send, halt
    /// does neither on the side without quorum. Of a node that is in a cluster.
    on_partition: OnPartition = OnPartition::Degraded;
        Unit::None, Allowed::Words(ON_PARTITION_WORDS);
        origin "a node that reaches some can serve them";
        cost "degraded lets both sides do what they may have to undo; read_only and halt refuse what the application \
              has to keep meanwhile";
    /// How a message gets to a member of the cluster to which there is no lane: dial makes one, relay passes it on over
    /// neighbors of the overlay.
    reach: Reach = Reach::Dial;
        Unit::None, Allowed::Words(REACH_WORDS);
        origin "a lane is faster from its second message on";
        cost "relay costs the nodes in between, and takes as many hops; dial costs a connection for each member that is \
              written to, and needs a way to each";
    /// Most nodes that pass a message on, where reach is relay.
    relay_ttl: u8 = 8;
        Unit::Count("nodes"), Allowed::Number(1, 64);
        origin "guess: twice the diameter of 1,000 nodes with a view of 6";
        cost "higher asks more nodes for a way that there may not be; lower does not reach members that are further away";
    /// Channels that hints of a message may move it to, in order, with + between; see Attributes::priority.
    hints: Vec<String> = Vec::new();
        Unit::None, Allowed::Described("names of channels with + between, such as urgent+bulk");
        origin "a sender names the channel that it means";
        cost "messages that are moved keep no order with those that are not";
    /// Order in which messages reach the receiver.
    ordering: Ordering = Ordering::Fifo;
        Unit::None, Allowed::Words(ORDERING_WORDS);
        origin "what a single connection gives anyway";
        cost "fifo lets one slow message delay those behind it on its lane";
    /// Most bytes that a causal channel holds of one peer, because what they follow has not come.
    hold_back_bytes_max: usize = 4 << 20;
        Unit::Bytes, Allowed::Number(4096, 1 << 30);
        origin "four times the log_bytes_max that the peer has by default: it fits";
        cost "higher is memory for each peer; below the peer's log_bytes_max lanes stop, and may stop each other until \
              hold_back_wait_ms is over";
    /// Most messages that a causal channel holds of one peer.
    hold_back_messages_max: usize = 65_536;
        Unit::Count("messages"), Allowed::Number(1, 1 << 24);
        origin "as many as wait in the queue of the peer's lane by default";
        cost "as hold_back_bytes_max";
    /// How long a message of a causal channel is held for what it follows; after that it is delivered, what it follows
    /// is given up, and that is told.
    hold_back_wait_ms: u64 = 40_000;
        Unit::Milliseconds, Allowed::Number(1, 86_400_000);
        origin "above resume_timeout_ms: by then what is late has come or is reported";
        cost "higher lets a node that is gone hold others for longer; lower gives up what would have come";
    /// How batches are compressed, at both ends; what does not become smaller is sent as it is.
    compression: Compression = Compression::None;
        Unit::None, Allowed::Words(COMPRESSION_WORDS);
        origin "on a fast network it costs more than it saves";
        cost "lz4 and zstd take time of the shards at both ends for bytes of the network";
    /// Level of zstd; lz4 has none.
    compression_level: u8 = 3;
        Unit::None, Allowed::Number(1, 19);
        origin "the default of Zstandard";
        cost "higher takes more time of the sending shard, several times as much from 10 on";
    /// What happens to a message that finds the queue of its lane full.
    overflow: Overflow = Overflow::Reject;
        Unit::None, Allowed::Words(OVERFLOW_WORDS);
        origin "the sender knows best what to give up";
        cost "block makes senders wait; the dropping ones lose messages, counted";
    /// Most messages that wait in the queue of one lane.
    queue_messages_max: usize = 65_536;
        Unit::Count("messages"), Allowed::Number(1, 1 << 24);
        origin "guess: 4 MiB of 64-byte messages";
        cost "higher is memory and waiting time; lower overflows sooner";
    /// Most bytes that wait in the queue of one lane.
    queue_bytes_max: usize = 192 << 10;
        Unit::Bytes, Allowed::Number(4096, 1 << 30);
        origin "measured with application threads on 2 cores (docs/decisions/0003-time-budgets.md)";
        cost "higher is memory per lane and waiting time; lower overflows sooner";
    /// Share of the bounds of a lane's queue or log, in messages or bytes, from which on it is overloaded.
    high_watermark_percent: u8 = 80;
        Unit::Count("percent"), Allowed::Number(1, 100);
        origin "the flow control of seed 004";
        cost "higher leaves less room between a sender's pause and a refusal; lower pauses sooner";
    /// Share at which an overload ends.
    low_watermark_percent: u8 = 20;
        Unit::Count("percent"), Allowed::Number(0, 99);
        origin "the flow control of seed 004";
        cost "higher wakes senders more often; lower may leave the lane without work";
    /// Most payload bytes of one lane that are sent and not acknowledged yet; one batch always passes. A slow link
    /// gets less at a time: see window_budget_us.
    unacknowledged_bytes_max: usize = 4 << 20;
        Unit::Bytes, Allowed::Number(4096, 1 << 30);
        origin "guess: 25 Gbit/s over 1 ms there and back";
        cost "higher is more that a lane can leave unknown when it ends; \
              lower waits for acknowledgements on fast or distant links";
    /// How much longer than the fastest one the acknowledgement of a lane may take before less is under way, and at
    /// least twice the node's ack_delay_us; 0: as much as unacknowledged_bytes_max at any time.
    window_budget_us: u64 = 2_000;
        Unit::Microseconds, Allowed::Number(0, 10_000_000);
        origin "below the delay that a heartbeat notices; above what is put off to save acknowledgements";
        cost "higher lets bulk fill the queues of a slow link before heartbeats; \
              lower may leave a link idle between two acknowledgements";
    /// Size of the ring from application threads, one for each shard.
    ring_bytes: usize = 1 << 20;
        Unit::Bytes, Allowed::PowerOfTwo(64 << 10, 512 << 20);
        origin "guess: ten thousand small messages between two turns";
        cost "higher is memory per shard; lower returns Full in shorter bursts";
    /// Largest payload of one message.
    message_bytes_max: usize = 1 << 20;
        Unit::Bytes, Allowed::Number(1, PAYLOAD_BYTES_MAX as u64);
        origin "the 1 MiB payload of NATS";
        cost "higher lets each lane of a peer use so much memory for one message";
    /// Larger messages, up to so many bytes, go as streams by themselves, and are one message again at the other node:
    /// on an unordered channel that drops nothing. Of one peer so many bytes come at a time. 0: none.
    large_bytes_max: usize = 0;
        Unit::Bytes, Allowed::Number(0, 1 << 30);
        origin "memory for what a peer sends has to be asked for";
        cost "higher lets each peer use so much memory for messages that are on their way, and what waits in inboxes besides";
    /// Larger messages of a fifo or unordered channel go out in fragments, between which messages with other keys
    /// go, on an unordered channel any; on a slow link those above a quarter of what may be under way do, from 16 KiB
    /// up. 0 sends all whole.
    fragment_bytes: usize = 1 << 20;
        Unit::Bytes, Allowed::Number(0, PAYLOAD_BYTES_MAX as u64);
        origin "half a millisecond on a fast link; a slow one has its own measure";
        cost "higher lets a large message hold back small ones with other keys on its lane; \
              lower takes more headers and sends";
    /// Bytes that one lane of this channel sends per turn; auto is the node's.
    send_quantum_bytes: Option<usize> as usize = None;
        Unit::Bytes, Allowed::Number(4096, 16 << 20);
        origin "the node's send_quantum_bytes";
        cost "higher lets this channel hold a turn longer; lower takes more sends";
    /// Bytes per turn that are served even while higher priorities are busy; 0 is strict.
    floor_bytes: usize = 0;
        Unit::Bytes, Allowed::Number(0, 16 << 20);
        origin "the design: priority is strict unless asked otherwise";
        cost "higher delays the priorities before it by so much in each turn";
    /// Bytes per second that this node sends on the channel, to all peers together; 0 is no cap.
    rate_bytes_max: u64 = 0;
        Unit::Bytes, Allowed::Number(0, 1 << 40);
        origin "a cap has to be asked for";
        cost "lower keeps more of the network for others, and messages wait in this node; a tenth of a second's worth may go at once";
    /// Messages per second that this node sends on the channel, to all peers together; 0 is no cap.
    rate_messages_max: u64 = 0;
        Unit::Count("messages"), Allowed::Number(0, 1 << 40);
        origin "a cap has to be asked for";
        cost "as rate_bytes_max";
    /// Bytes per second that this node sends on the channel to each peer; 0 is no cap.
    peer_rate_bytes_max: u64 = 0;
        Unit::Bytes, Allowed::Number(0, 1 << 40);
        origin "a cap has to be asked for";
        cost "as rate_bytes_max";
    /// Messages per second that this node sends on the channel to each peer; 0 is no cap.
    peer_rate_messages_max: u64 = 0;
        Unit::Count("messages"), Allowed::Number(0, 1 << 40);
        origin "a cap has to be asked for";
        cost "as rate_bytes_max";
    /// Whether the channel may be on a node whose lanes are not protected: required refuses to be there.
    security: ChannelSecurity = ChannelSecurity::AsNode;
        Unit::None, Allowed::Words(CHANNEL_SECURITY_WORDS);
        origin "a node protects all its lanes alike";
        cost "required keeps a node that is plain from starting, or from adding the channel";
    /// Peers that there are lanes to on the channel: names with + between, in which * stands for any text; none named: all.
    peers_allowed: NamePatterns = NamePatterns::default();
        Unit::None, Allowed::Described(PATTERNS);
        origin "members of a cluster trust each other";
        cost "what is sent to others is reported, and their lanes are refused; without a session a name proves nothing";
    /// Mailboxes of this node that peers reach on the channel, besides the engine's own; none named: all.
    mailboxes_allowed: NamePatterns = NamePatterns::default();
        Unit::None, Allowed::Described(PATTERNS);
        origin "members of a cluster trust each other";
        cost "messages to others are refused as if there were no such mailbox";
    /// SO_PRIORITY of the lanes' sockets; auto leaves it to the kernel.
    so_priority: Option<u8> as u8 = None;
        Unit::None, Allowed::Number(0, 6);
        origin "only queueing disciplines that are set up for it look at it";
        cost "none on the host itself; 7 and more would need CAP_NET_ADMIN";
    /// DSCP that the lanes' packets carry; auto leaves it to the kernel.
    dscp: Option<u8> as u8 = None;
        Unit::None, Allowed::Number(0, 63);
        origin "only networks that are set up for it look at it";
        cost "some networks drop or demote packets with an unexpected one";
    /// Most unsent bytes that the kernel holds for a lane (TCP_NOTSENT_LOWAT); auto is no limit.
    notsent_lowat_bytes: Option<u32> as u32 = Some(64 << 10);
        Unit::Bytes, Allowed::Number(4096, 1 << 30);
        origin "measured with application threads on 2 cores (docs/decisions/0003-time-budgets.md)";
        cost "lower keeps bulk in queues where priorities count, with more wake-ups; auto is no limit";
    /// SO_SNDBUF of the lanes' sockets; auto lets the kernel tune it.
    send_buffer_bytes: Option<u32> as u32 = None;
        Unit::Bytes, Allowed::Number(4096, 1 << 30);
        origin "the kernel's tuning fits most links";
        cost "a fixed size turns that tuning off; the kernel caps it at net.core.wmem_max";
    /// SO_RCVBUF of the lanes' sockets; auto lets the kernel tune it.
    receive_buffer_bytes: Option<u32> as u32 = None;
        Unit::Bytes, Allowed::Number(4096, 1 << 30);
        origin "the kernel's tuning fits most links";
        cost "a fixed size turns that tuning off; the kernel caps it at net.core.rmem_max";

    beside {
        /// Name of the channel, 1 to 255 of the characters `a-z 0-9 _ . -`.
        name: String;
    }
}

impl ChannelConfig {
    /// A channel of that name with the default of every parameter.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }

    /// The most bytes of one lane that are accepted and not settled yet: of those that wait to be sent, or,
    /// where messages are kept, of those that are not acknowledged.
    pub(crate) fn bytes_accepted_max(&self) -> usize {
        if self.reliability.keeps_messages() {
            self.log_bytes_max
        } else {
            self.queue_bytes_max
        }
    }

    /// What the setters change.
    fn settings(&mut self) -> &mut Self {
        self
    }
}
