//! The parameters whose value is a choice: priority, reliability, ordering, compression, overflow, io,
//! control, overlay, discovery.
//!
//! Each choice is its text form, both ways. What the design names but this version does not do is
//! refused here with a sentence that says what is available.

use overlane_overlays::epoch::OverlayKind;
use overlane_overlays::membership::RoleWish;

use super::allowed::{Allowed, Unit};
use super::setting::Setting;

/// Priority of a channel: 0 to 7, 0 is served first, strictly.
///
/// 0 belongs to the engine's own control channel, so a configured channel has 1 to 7. Any number
/// can be built; [`Config::validate`](super::Config::validate) refuses the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(pub u8);

impl Priority {
    /// The engine's own control channel; refused for a configured channel.
    pub const ENGINE: Self = Self(0);
    /// `high`: heartbeats, coordination.
    pub const HIGH: Self = Self(1);
    /// `medium`: ordinary data.
    pub const MEDIUM: Self = Self(4);
    /// `low`: gossip, bulk.
    pub const LOW: Self = Self(6);
    /// How many priorities there are, the engine's own included.
    pub const COUNT: usize = 8;

    const NAMES: [(&'static str, Self); 3] = [
        ("high", Self::HIGH),
        ("medium", Self::MEDIUM),
        ("low", Self::LOW),
    ];
}

impl From<u8> for Priority {
    fn from(number: u8) -> Self {
        Self(number)
    }
}

impl Setting for Priority {
    fn read(text: &str, unit: Unit, allowed: &Allowed) -> Result<Self, String> {
        let text = text.trim();
        if let Some((_, priority)) = Self::NAMES.iter().find(|(name, _)| *name == text) {
            return Ok(*priority);
        }
        match text.parse::<u8>() {
            Ok(0) => Err(format!(
                "{}, because 0 is reserved for the engine's own control channel",
                allowed.sentence(unit)
            )),
            Ok(number @ 1..=7) => Ok(Self(number)),
            _ => Err(allowed.sentence(unit)),
        }
    }

    fn print(&self, _: Unit) -> String {
        let name = Self::NAMES.iter().find(|(_, priority)| priority == self);
        name.map_or_else(|| self.0.to_string(), |(name, _)| (*name).to_string())
    }
}

/// Defines an enum of words, its text forms, and the words that a later version will accept.
macro_rules! choice {
    (
        $(#[doc = $about:literal])+
        pub enum $name:ident ($words:ident) {
            $( $(#[doc = $doc:literal])+ $variant:ident = $word:literal, )+
        }
        later: $later:expr;
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $( $(#[doc = $doc])+ $variant, )+
        }

        /// The words of the choice.
        pub(super) const $words: &[&str] = &[$($word),+];

        impl $name {
            /// All of them, in the order of their words.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word that stands for it in files, environment and flags.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self {
                    $( Self::$variant => $word, )+
                }
            }
        }

        impl Setting for $name {
            fn read(text: &str, unit: Unit, allowed: &Allowed) -> Result<Self, String> {
                let later: &[&str] = $later;
                match text.trim() {
                    $( $word => Ok(Self::$variant), )+
                    word if later.contains(&word) => Err(format!(
                        "{} in this version, which does not have {word} yet",
                        allowed.sentence(unit)
                    )),
                    _ => Err(allowed.sentence(unit)),
                }
            }

            fn print(&self, _: Unit) -> String {
                self.word().to_string()
            }
        }
    };
}

choice! {
    /// What a channel does for a message that cannot be handed over at once.
    pub enum Reliability (RELIABILITY_WORDS) {
        /// Dropped and counted when there is no room or no peer.
        BestEffort = "best_effort",
        /// In order and acknowledged; what its lane had not got acknowledged when it ended is
        /// reported.
        Reliable = "reliable",
        /// Kept until acknowledged, and sent again on the next connection to the same process of the
        /// peer, or, by `on_restart`, to its successor: what is delivered twice then is counted by
        /// neither side. Reported when the peer stays away for `resume_timeout_ms`. What this node
        /// has accepted is in its memory alone: it does not survive the end of this process.
        AtLeastOnce = "at_least_once",
        /// As `at_least_once`, and no process of the peer is given a message twice.
        Guaranteed = "guaranteed",
    }
    later: &[];
}

impl Overflow {
    /// A number that stands for it, in a word that threads share.
    pub(crate) const fn number(self) -> u8 {
        self as u8
    }

    /// What [`number`](Self::number) said.
    #[inline]
    pub(crate) const fn from_number(number: u8) -> Self {
        Self::ALL[number as usize & 3]
    }
}

impl Reliability {
    /// Whether each message is acknowledged, or reported.
    #[must_use]
    pub const fn is_acknowledged(self) -> bool {
        !matches!(self, Self::BestEffort)
    }

    /// Whether messages are kept until they are acknowledged, over connections.
    #[must_use]
    pub const fn keeps_messages(self) -> bool {
        matches!(self, Self::AtLeastOnce | Self::Guaranteed)
    }
}

choice! {
    /// What becomes of messages whose fate is not known when the peer was started again.
    pub enum OnRestart (ON_RESTART_WORDS) {
        /// They are reported: the process that is gone may have got them.
        Report = "report",
        /// They are sent to the new process.
        Resend = "resend",
    }
    later: &[];
}

choice! {
    /// What becomes of a message whose deadline has passed when its turn to be delivered has come.
    pub enum OnLate (ON_LATE_WORDS) {
        /// It is delivered: the receiver can look at its deadline.
        Deliver = "deliver",
        /// It is refused and counted, and so reported to its sender; on a best-effort channel it is
        /// dropped and counted.
        Refuse = "refuse",
    }
    later: &[];
}

choice! {
    /// What a channel does while the cluster is parted, as far as this node can tell.
    pub enum OnPartition (ON_PARTITION_WORDS) {
        /// It goes on with those that are reached.
        Degraded = "degraded",
        /// It delivers what comes, and refuses to send: on both sides nothing new is said.
        ReadOnly = "read_only",
        /// On the side without quorum it does neither: what comes waits until the partition is over. The side
        /// with more than half of the members goes on.
        Halt = "halt",
    }
    later: &[];
}

choice! {
    /// How a message gets to a member to which there is no lane.
    pub enum Reach (REACH_WORDS) {
        /// A lane is made by it.
        Dial = "dial",
        /// Over neighbors of the overlay, hop by hop. What says more than its payload (an
        /// [`Envelope`](crate::Envelope), a request, a message with a receipt), and a stream, makes a lane.
        Relay = "relay",
    }
    later: &[];
}

choice! {
    /// In which order a channel's messages reach the receiver.
    pub enum Ordering (ORDERING_WORDS) {
        /// As they were accepted, per lane: with parallel lanes, per partition key.
        Fifo = "fifo",
        /// No promise: messages without a partition key are spread over all lanes.
        Unordered = "unordered",
        /// As `fifo`, and a message with a key that waits to be sent is replaced by a newer one with that
        /// key, to the same mailbox: for states of which only the newest matters.
        Monotonic = "monotonic",
        /// As `fifo`, and no message is delivered at a node before what it follows, whoever sent that: what its
        /// sender had sent or received on the channel before. Between nodes of a channel; of `at_least_once` and
        /// `guaranteed` only, with one lane to each peer.
        Causal = "causal",
    }
    later: &[];
}

choice! {
    /// How the batches of a channel are compressed; a batch that does not become smaller is sent as it is.
    pub enum Compression (COMPRESSION_WORDS) {
        /// Not at all.
        None = "none",
        /// With LZ4: fast.
        Lz4 = "lz4",
        /// With Zstandard: smaller, at `compression_level`.
        Zstd = "zstd",
    }
    later: &[];
}

choice! {
    /// What happens to a message that finds the queue of its lane full.
    pub enum Overflow (OVERFLOW_WORDS) {
        /// The new message is refused with `Full`.
        Reject = "reject",
        /// Sending waits for room; `try_send` still returns `Full`.
        Block = "block",
        /// The oldest queued message makes room and is counted. When senders are so much
        /// faster than the shard that it has not yet made room for twice the bytes of the queue, or
        /// for the ring, the newest is dropped.
        DropOldest = "drop_oldest",
        /// The new message is taken, dropped and counted.
        DropNewest = "drop_newest",
    }
    later: &[];
}

choice! {
    /// How shards do their I/O.
    pub enum IoChoice (IO_WORDS) {
        /// With io_uring where it can be used, otherwise as `poll`, with a warning.
        Auto = "auto",
        /// With io_uring; where that cannot be used, the node does not start.
        Uring = "uring",
        /// With epoll and one system call per operation; no use of io_uring at all.
        Poll = "poll",
    }
    later: &[];
}

choice! {
    /// How a node protects its connections. All nodes of a cluster have the same.
    pub enum SecurityMode (SECURITY_WORDS) {
        /// Not at all: whoever reaches it can send, and whoever sees the network can read.
        Plain = "plain",
        /// TLS 1.3, in which both nodes show a certificate.
        Tls = "tls",
        /// Encrypted, between nodes that have the same secret.
        Psk = "psk",
    }
    later: &[];
}

choice! {
    /// What a channel asks of the sessions of its lanes.
    pub enum ChannelSecurity (CHANNEL_SECURITY_WORDS) {
        /// What the node has.
        AsNode = "as_node",
        /// Lanes are protected, or there are none.
        Required = "required",
    }
    later: &[];
}

choice! {
    /// Where the control shard runs.
    pub enum ControlPlacement (CONTROL_WORDS) {
        /// On a thread of its own, not pinned.
        Own = "own",
        /// On shard 0, for small nodes.
        Shared = "shared",
    }
    later: &[];
}

choice! {
    /// The overlay that a cluster begins with: who is connected to whom. All nodes of a cluster are given the
    /// same; it can be switched while the cluster runs.
    pub enum OverlayChoice (OVERLAY_WORDS) {
        /// The node is in no cluster: it has the peers that it is told to connect to.
        None = "none",
        /// Everybody is connected to everybody: fewest hops, most connections; up to some dozens of nodes.
        FullMesh = "full_mesh",
        /// A few random neighbors each, repaired as nodes come and go; for hundreds and thousands of nodes.
        HyParView = "hyparview",
        /// Servers connected to each other, and clients to two of them. Needs `servers`.
        ClientServer = "client_server",
        /// As hyparview, and another one for each topic.
        PubSub = "pub_sub",
    }
    later: &[];
}

choice! {
    /// Several parameters at once, for nodes of one kind; those that are given otherwise stay.
    pub enum Preset (PRESET_WORDS) {
        /// No more than what is given.
        None = "none",
        /// One thread, small rings and buffers: for many nodes on a machine, or a small machine.
        Small = "small",
    }
    later: &[];
}

choice! {
    /// Whether a node is to be a server where an overlay has some.
    pub enum NodeRole (ROLE_WORDS) {
        /// Where servers are chosen it may be one.
        Auto = "auto",
        /// It is one wherever they are chosen.
        Server = "server",
        /// It is never chosen.
        Client = "client",
    }
    later: &[];
}

impl From<NodeRole> for RoleWish {
    fn from(role: NodeRole) -> Self {
        match role {
            NodeRole::Auto => Self::Auto,
            NodeRole::Server => Self::Server,
            NodeRole::Client => Self::Client,
        }
    }
}

impl From<RoleWish> for NodeRole {
    fn from(wish: RoleWish) -> Self {
        match wish {
            RoleWish::Auto => Self::Auto,
            RoleWish::Server => Self::Server,
            RoleWish::Client => Self::Client,
        }
    }
}

choice! {
    /// Who switches the overlay.
    pub enum TopologyMode (TOPOLOGY_WORDS) {
        /// Whoever orders it. Rules are looked at, and not followed.
        Manual = "manual",
        /// Rules too.
        Auto = "auto",
    }
    later: &[];
}

choice! {
    /// Rules for switching the overlay.
    pub enum RuleSet (RULE_SET_WORDS) {
        /// By size and by what is measured: latency, stability, cost.
        Default = "default",
        /// By size alone: full mesh, then client-server, then HyParView.
        Scale = "scale",
    }
    later: &[];
}

choice! {
    /// How a node finds others.
    pub enum StrategyChoice (STRATEGY_WORDS) {
        /// At places that are named.
        Static = "static",
        /// At hosts that a file names.
        HostsFile = "hosts_file",
        /// At the addresses of a host name (A and AAAA).
        Dns = "dns",
        /// At the hosts and ports of a service (SRV).
        DnsSrv = "dns_srv",
        /// Those of this host and user, by their admin sockets.
        Local = "local",
        /// By beacons to the whole network.
        Multicast = "multicast",
        /// By the API of Kubernetes.
        Kubernetes = "kubernetes",
        /// At the addresses of a headless Service.
        KubernetesDns = "kubernetes_dns",
        /// At the hosts and ports of a headless Service.
        KubernetesDnsSrv = "kubernetes_dns_srv",
        /// By the metadata service of Rancher.
        Rancher = "rancher",
    }
    later: &[];
}

choice! {
    /// What of Kubernetes' objects says where nodes are.
    pub enum KubernetesLookup (LOOKUP_WORDS) {
        /// The EndpointSlices of Services with the selector's labels: pods that are ready.
        EndpointSlices = "endpoint_slices",
        /// Their Endpoints, as before Kubernetes 1.33.
        Endpoints = "endpoints",
        /// The pods with the labels themselves.
        Pods = "pods",
    }
    later: &[];
}

choice! {
    /// How a node that Kubernetes names is dialled.
    pub enum AddressMode (ADDRESS_WORDS) {
        /// At its address.
        Ip = "ip",
        /// At the name that DNS has for its address.
        Dns = "dns",
        /// At the name of its host within its Service.
        Hostname = "hostname",
    }
    later: &[];
}

impl OverlayChoice {
    /// The overlay, if there is one.
    #[must_use]
    pub const fn kind(self) -> Option<OverlayKind> {
        match self {
            Self::None => None,
            Self::FullMesh => Some(OverlayKind::FullMesh),
            Self::HyParView => Some(OverlayKind::HyParView),
            Self::ClientServer => Some(OverlayKind::ClientServer),
            Self::PubSub => Some(OverlayKind::PubSub),
        }
    }
}
