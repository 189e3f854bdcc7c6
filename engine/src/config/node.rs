//! The definitions of a node's parameters: this list is the only place that has them.
//!
//! The struct, the builder's setters, file keys, `OVERLANE_*` variables, flags, checks of single
//! values and `docs/tuning.md` follow from it. Parameters that belong together are in groups, by theme in
//! `node/`. What several parameters must agree on is in `validate.rs` and `agreement.rs`.

mod builder;
mod overlays;
mod protection;
mod protocols;
mod recorder;
mod topology;
mod trace;

use overlane_discovery::secret::Secrets;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::admin::{ADMIN_PATHS, Admin};
use super::allowed::{Allowed, Unit};
use super::channel::ChannelConfig;
use super::choices::{
    CONTROL_WORDS, ControlPlacement, IO_WORDS, IoChoice, NodeRole, OVERLAY_WORDS, OverlayChoice,
    PRESET_WORDS, Preset, ROLE_WORDS, SECURITY_WORDS, SecurityMode,
};
use super::discovery::DiscoveryConfig;
use super::http::{HTTP_ADDRESSES, Http, TOKEN_FILES, TokenFile};
use super::parameter::{Group, Parameter, joined, parameters};
use super::rule::Rule;
use super::seed::Seed;
use super::setting::Setting;
use super::zone::{ZONE_NAMES, Zone};
pub use builder::ConfigBuilder;
pub use overlays::{ClientServerConfig, FullMeshConfig, HyParViewConfig, PubSubConfig};
pub use protection::{PskConfig, TlsConfig};
pub use protocols::{
    BroadcastConfig, MembershipConfig, PartitionsConfig, PlumtreeConfig, SummariesConfig,
    SwitchingConfig,
};
pub use recorder::RecorderConfig;
pub use topology::TopologyConfig;
pub use trace::TraceConfig;

/// The words of a parameter that is on or off.
const BOOLEAN: Allowed = Allowed::Words(&["true", "false"]);

/// The groups of a node's parameters. A file has each as a table.
pub static NODE_GROUPS: &[&Group] = &[
    &overlays::FULL_MESH,
    &overlays::HYPARVIEW,
    &overlays::CLIENT_SERVER,
    &overlays::PUB_SUB,
    &protocols::PLUMTREE,
    &protocols::BROADCAST,
    &protocols::MEMBERSHIP,
    &protocols::PARTITIONS,
    &protocols::SUMMARIES,
    &protocols::SWITCHING,
    &topology::TOPOLOGY,
    &recorder::RECORDER,
    &trace::TRACE,
    &protection::TLS,
    &protection::PSK,
];

/// The definitions of all parameters of a node: those in no group first, then group by group.
pub static NODE_PARAMETERS: &[Parameter<Config>] = &ALL;

static ALL: [Parameter<Config>; COUNT] = {
    let mut tables = [UNGROUPED; 1 + NODE_GROUPS.len()];
    let mut index = 0;
    while index < NODE_GROUPS.len() {
        tables[1 + index] = NODE_GROUPS[index].parameters;
        index += 1;
    }
    joined(&tables)
};

/// How many parameters there are.
const COUNT: usize = {
    let (mut count, mut index) = (UNGROUPED.len(), 0);
    while index < NODE_GROUPS.len() {
        count += NODE_GROUPS[index].parameters.len();
        index += 1;
    }
    count
};

/// How names are described in messages and documentation.
const NAME: Allowed = Allowed::Described("1 to 255 of the characters A-Z a-z 0-9 _ . - @");

parameters! {
    /// What a node needs to know to start: plain values, checked by [`validate`](Self::validate).
    ///
    /// Made by [`Config::builder`], by [`Config::load`] from files, environment and flags, or from
    /// [`Default`] by setting fields.
    pub struct Config;
    static UNGROUPED;
    setters on ConfigBuilder;

    /// Name of this node; must be unique within the cluster.
    node_name: String as impl Into<String> = "node".to_string();
        Unit::None, NAME;
        origin "guess: a single node needs no better name";
        cost "none; of two nodes of one name the second is refused while the first lives";
    /// Name of the cluster; nodes of different clusters refuse each other's lanes.
    cluster: String as impl Into<String> = "overlane".to_string();
        Unit::None, NAME;
        origin "the project's name";
        cost "none";
    /// Number that grows each time this node starts; auto is the milliseconds since 1970.
    incarnation: Option<u64> as u64 = None;
        Unit::None, Allowed::Number(1, u64::MAX);
        origin "a clock grows by itself and needs no file";
        cost "a number that is not new hides from peers that this node was started again";
    /// Address that lanes from other nodes come to; port 0 takes any free port.
    listen: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 7400));
        Unit::None, Allowed::Described("an address and port such as 127.0.0.1:7400");
        origin "loopback, because nothing protects lanes by default; the port is a guess";
        cost "an address beyond loopback needs security, or insecure: every host that reaches it can send then";
    /// How lanes are protected: not at all, by certificates, or by a secret that all nodes have. The same on all nodes of a cluster.
    security: SecurityMode = SecurityMode::Plain;
        Unit::None, Allowed::Words(SECURITY_WORDS);
        origin "a node on loopback, where it begins, has nobody to fear but this host";
        cost "tls and psk encrypt each byte and prove who is at the other end, and take time of the shards for it";
    /// Whether a node may listen beyond loopback with nothing to protect its lanes.
    insecure: bool = false;
        Unit::None, BOOLEAN;
        origin "the design: beyond loopback a node is protected unless somebody asks for the contrary";
        cost "true lets every host that reaches the node join, send, and be any node; each start warns of it";
    /// File with those that are refused although their session is right, a name of a node or `serial:` and digits of a certificate on each line.
    revoked: PathBuf = PathBuf::new();
        Unit::None, protection::FILE;
        origin "nobody is revoked at first";
        cost "none; it is read again when it changes, and lanes of the revoked end";
    /// How often the files of certificates, secrets and of the revoked are looked at; 0: only when the program asks for it.
    security_reload_ms: u64 = 5000;
        Unit::Milliseconds, Allowed::Number(0, 86_400_000);
        origin "guess: sooner than a person looks whether it has worked";
        cost "higher goes by changed files later; lower looks at them more often";
    /// Several parameters of the node and its channels at once, as far as they are not given themselves.
    preset: Preset = Preset::None;
        Unit::None, Allowed::Words(PRESET_WORDS);
        origin "most nodes have a machine to themselves";
        cost "small takes less memory and one thread, and carries less: lanes share one core, and bursts find less room";
    /// Data shards: threads that each own a share of the lanes; 0 is one for each usable core, as far as a CPU quota allows.
    shards: usize = 0;
        Unit::Count("shards"), Allowed::Number(0, 256);
        origin "one thread per core is the design";
        cost "more shards than cores make threads wait for one another; fewer leave cores idle";
    /// Cores to pin the shards to, in order, as `0,2,4`; empty is the allowed cores in order.
    cores: Vec<usize> = Vec::new();
        Unit::None, Allowed::Described("core numbers with commas between, such as 0,2,4");
        origin "the cores that the process may run on";
        cost "two busy threads on one core share its time";
    /// Whether each shard stays on its core; auto is true where `cores` names them. Under a CPU quota only on cores that are named.
    pin: Option<bool> as bool = None;
        Unit::None, BOOLEAN;
        origin "measured with application threads on 2 cores (docs/decisions/0003-time-budgets.md)";
        cost "pinned shards keep their caches but cannot leave a core that application threads keep \
              busy; unpinned ones move between cores";
    /// Where the control shard runs: on a thread of its own, or on shard 0.
    control: ControlPlacement = ControlPlacement::Own;
        Unit::None, Allowed::Words(CONTROL_WORDS);
        origin "the design: control work never delays payloads";
        cost "own costs a thread; shared lets control work delay the lanes of shard 0";
    /// How shards do their I/O: with io_uring, or with epoll where io_uring is forbidden.
    io: IoChoice = IoChoice::Auto;
        Unit::None, Allowed::Words(IO_WORDS);
        origin "the design: a node starts in a container too, and says what it lacks there";
        cost "poll makes 4 to 9 times the system calls per message (docs/benchmarks.md); uring \
              refuses to start where io_uring cannot be used; auto falls back to poll with a warning";
    /// How long a shard without work keeps looking before it parks; 0 parks at once.
    spin_us: u64 = 50;
        Unit::Microseconds, Allowed::Number(0, 1_000_000);
        origin "measured with application threads on 2 cores (docs/decisions/0005-sharing-a-core.md)";
        cost "higher answers sooner and burns the core, where no other thread wants it, for so long after each \
              burst; 0 pays a wake-up after each";
    /// Largest payload that is copied through the rings; larger ones are handed over by reference.
    inline_bytes_max: usize = 1024;
        Unit::Bytes, Allowed::Number(64, 16_384);
        origin "the design; the crossing point of copy and hand-over is not measured";
        cost "higher copies more and fills rings sooner; lower allocates for more messages";
    /// Size of one receive buffer: the most that one receive takes from a connection.
    receive_buffer_bytes: usize = 16 << 10;
        Unit::Bytes, Allowed::Number(4096, 1 << 20);
        origin "eight connections share the default quantum; large payloads do not pass here";
        cost "higher uses more memory per priority; lower takes more receives for the same bytes";
    /// Bytes that a shard receives per priority and turn: the receive buffers of that priority.
    receive_quantum_bytes: usize = 128 << 10;
        Unit::Bytes, Allowed::Number(4096, 64 << 20);
        origin "measured with application threads on 2 cores (docs/decisions/0003-time-budgets.md): what the kernel copies in about 20 us";
        cost "higher lets bulk hold a turn longer and is memory per shard and priority; \
              lower limits the throughput of one connection";
    /// Bytes that one lane sends per turn; a channel can have its own.
    send_quantum_bytes: usize = 64 << 10;
        Unit::Bytes, Allowed::Number(4096, 16 << 20);
        origin "measured with application threads on 2 cores (docs/decisions/0003-time-budgets.md)";
        cost "higher lets bulk hold a turn longer; lower takes more sends for the same bytes";
    /// Bytes that a shard sends per turn over all lanes; once spent, lower priorities wait.
    turn_bytes_max: usize = 128 << 10;
        Unit::Bytes, Allowed::Number(64 << 10, 1 << 30);
        origin "two send quanta";
        cost "higher makes turns longer, which delays what arrives meanwhile; \
              lower starves low priorities more often";
    /// Time that a shard spends on reading and delivering in one turn; what is left waits for the next.
    turn_budget_us: u64 = 100;
        Unit::Microseconds, Allowed::Number(1, 1_000_000);
        origin "the design: about the time that a wake-up of a thread takes";
        cost "higher lets bulk and slow handlers delay what arrives meanwhile; \
              lower takes more turns for the same messages";
    /// Entries of a shard's submission queue; the completion queue has four times as many, at most 65536.
    data_ring_entries: u32 = 512;
        Unit::Count("entries"), Allowed::PowerOfTwo(16, 32_768);
        origin "guess: a turn over 500 lanes fits without a second submission";
        cost "higher is kernel memory, 64 bytes and four completions of 16 each; \
              lower submits several times per turn";
    /// Size of the ring behind each inbox.
    inbox_bytes: usize = 128 << 10;
        Unit::Bytes, Allowed::PowerOfTwo(64 << 10, 512 << 20);
        origin "measured with application threads on 2 cores (docs/decisions/0003-time-budgets.md): what a reader takes in a time budget";
        cost "higher is memory per inbox; \
              lower stops receiving sooner when the application is slow";
    /// Nodes to keep connected, as `b=127.0.0.1:7401,c=127.0.0.1:7402`.
    peers: BTreeMap<String, SocketAddr> = BTreeMap::new();
        Unit::None, Allowed::Described(
            "names and addresses such as b=127.0.0.1:7401,c=127.0.0.1:7402");
        origin "no peer is known beforehand";
        cost "a lane, which is a socket, to each of them, and those that channels use";
    /// Overlay that the cluster begins with, the same on all its nodes; none: this node is in no cluster, and has the peers that it is told of.
    overlay: OverlayChoice = OverlayChoice::None;
        Unit::None, Allowed::Words(OVERLAY_WORDS);
        origin "a node alone needs none";
        cost "a node in a cluster sends some small messages each second; full_mesh connects to every member";
    /// Places where a node that joins finds members: `host:port`, with commas between. Those that cannot be found are tried again.
    seeds: Vec<Seed> as impl Into<Vec<Seed>> = Vec::new();
        Unit::None, Allowed::Described("hosts or addresses with ports, such as node-1.example:7400,10.0.0.2:7400");
        origin "a cluster begins with a node that has none, or is its own seed";
        cost "one is enough to join, and while it is away newcomers cannot; after a partition that lasted long, they are how the parts find each other";
    /// Addresses at which other nodes find this one, best first; empty is the address it listens on.
    advertise: Vec<SocketAddr> = Vec::new();
        Unit::None, Allowed::Described("addresses with ports, such as 10.0.0.1:7400");
        origin "without a translation of addresses, others find a node where it listens";
        cost "an address that others cannot reach costs each of them a dial in vain";
    /// With `overlay = "client_server"`: names of the nodes that are servers from the start.
    servers: Vec<String> = Vec::new();
        Unit::None, Allowed::Described("names of nodes, with commas between");
        origin "nobody can guess which nodes are fit to be servers";
        cost "all clients' broadcasts and relayed messages pass through them";
    /// Whether this node is one of the servers where they are chosen: at a switch to client_server that names none, and when
    /// one that is gone is replaced.
    role: NodeRole = NodeRole::Auto;
        Unit::None, Allowed::Words(ROLE_WORDS);
        origin "those that are fit are known once they run";
        cost "a server carries what clients broadcast and relay, and has a lane to each of its clients";
    /// How much this node can carry as a server, compared with others; auto is the number of cores that it may use.
    capacity: Option<u16> as u16 = None;
        Unit::Count("cores"), Allowed::Number(1, 65_535);
        origin "cores are what relaying takes";
        cost "higher makes it a server before others that are as stable";
    /// Zone that this node runs in, such as its data center: most of its neighbors, and the servers and ways that it uses, are of
    /// the same zone where there are any, and a share stays with others (hyparview_far_percent).
    zone: Zone as impl Into<Zone> = Zone::default();
        Unit::None, Allowed::Described(ZONE_NAMES);
        origin "nobody can guess what is near";
        cost "messages stay inside, and a zone that is lost takes more of its own nodes' neighbors with it";
    /// Most peers that dial this node at a time, and most that it is told to connect to or refuse.
    peers_max: usize = 1024;
        Unit::Count("peers"), Allowed::Number(1, 65_536);
        origin "guess: twice the 500 peers of the fan test";
        cost "higher lets peers use more memory and descriptors; lower refuses peers";
    /// Most connections that this node has at a time, of lanes and of unfinished handshakes.
    connections_max: usize = 16_384;
        Unit::Count("connections"), Allowed::Number(1, 1 << 20);
        origin "guess: a quarter of the 64 Ki of a NATS server";
        cost "each connection is a file descriptor; lower refuses lanes";
    /// Whether the soft limit of open files is raised while the node runs, as far as it needs.
    raise_open_files: bool = false;
        Unit::None, BOOLEAN;
        origin "a limit belongs to the whole process, and programs that it starts inherit it";
        cost "true lets programs that are started meanwhile inherit the raised limit; \
              false lets `ulimit -n` bound the connections";
    /// Most accepted connections whose handshake is not finished.
    pending_handshakes_max: usize = 256;
        Unit::Count("connections"), Allowed::Number(1, 65_536);
        origin "guess: a burst of restarting nodes fits";
        cost "higher lets strangers hold more memory; lower refuses nodes that come all at once";
    /// Time that a new connection has to finish its handshake.
    handshake_deadline_ms: u64 = 5000;
        Unit::Milliseconds, Allowed::Number(10, 600_000);
        origin "NATS gives 2 s, s2n-quic 10 s";
        cost "higher lets strangers hold a place longer; lower refuses nodes behind slow links";
    /// Time that a dial has to connect.
    connect_timeout_ms: u64 = 3000;
        Unit::Milliseconds, Allowed::Number(10, 600_000);
        origin "one lost SYN is sent again after 1 s, a second one after 3 s";
        cost "higher waits longer for dead hosts; lower gives up on slow ones";
    /// First wait before a lane is dialled again; it doubles each time, with jitter.
    reconnect_base_ms: u64 = 50;
        Unit::Milliseconds, Allowed::Number(1, 600_000);
        origin "guess: a restarted process listens again within it";
        cost "higher leaves a lane down longer; lower dials a dead node more often";
    /// Longest wait before a lane is dialled again.
    reconnect_max_ms: u64 = 5000;
        Unit::Milliseconds, Allowed::Number(1, 3_600_000);
        origin "guess: a node that comes back is found within seconds";
        cost "higher finds a node that comes back later; lower dials a dead node more often";
    /// Time after which a lane ends whose other end says nothing, or is stuck in a frame.
    idle_timeout_ms: u64 = 10_000;
        Unit::Milliseconds, Allowed::Number(1000, 3_600_000);
        origin "guess: longer than a few lost packets, shorter than a person waits";
        cost "higher notices dead peers later; lower ends lanes over short outages and over handlers \
              that hold their shard, and sends a Ping on each silent lane more often: three times \
              within it";
    /// Time without a message after which a channel's lane closes, until the next message makes it again; 0 keeps it up.
    lane_idle_ms: u64 = 60_000;
        Unit::Milliseconds, Allowed::Number(0, 86_400_000);
        origin "guess: longer than the pauses of heartbeats, polls and keep-alives, which go by seconds; \
                a dial per minute is not felt";
        cost "higher keeps a socket and some KiB at both ends, and Pings, for a lane that nobody uses; \
              lower makes the first message after a pause wait for a dial more often";
    /// Longest time that an acknowledgement waits for a frame to go along with.
    ack_delay_us: u64 = 1000;
        Unit::Microseconds, Allowed::Number(0, 1_000_000);
        origin "guess: far below a round trip between hosts, far above a turn";
        cost "higher makes senders hold messages longer; lower sends more small frames";
    /// Most mailbox names that the other end of a lane can introduce.
    mailboxes_per_lane_max: usize = 4096;
        Unit::Count("mailboxes"), Allowed::Number(1, 65_536);
        origin "guess: 1 MiB of names of 255 bytes";
        cost "higher lets a peer use more memory; lower ends lanes that use more mailboxes";
    /// Most memory that the mailbox names of one peer hold, over all its lanes.
    peer_names_bytes_max: usize = 2 << 20;
        Unit::Bytes, Allowed::Number(64 << 10, 1 << 30);
        origin "guess: seven lanes with 4096 names of 20 bytes";
        cost "higher lets a peer use more memory; lower ends lanes of peers with many mailboxes";
    /// Control frames per second that one lane may bring.
    control_frames_per_second_max: u32 = 10_000;
        Unit::Count("frames per second"), Allowed::Number(10, 10_000_000);
        origin "guess: ten times one acknowledgement per millisecond";
        cost "higher lets a flood cost more time; lower ends lanes of busy peers";
    /// Bytes of a stream in one message; a smaller message_bytes_max of either node makes smaller ones.
    stream_chunk_bytes: usize = 256 << 10;
        Unit::Bytes, Allowed::Number(1024, 8 << 20);
        origin "the design";
        cost "higher makes messages of the same lane wait longer behind a chunk; lower costs more per byte";
    /// Bytes of one stream that may be under way or unread; they are held by the node that reads.
    stream_window_bytes: usize = 1 << 20;
        Unit::Bytes, Allowed::Number(4096, 1 << 30);
        origin "four chunks; 25 Gbit/s over 300 us there and back";
        cost "higher is memory for each stream that is not read; lower waits for the reader on fast or distant links";
    /// Open streams from one peer, and as many to it.
    streams_max: usize = 128;
        Unit::Count("streams"), Allowed::Number(1, 65_536);
        origin "guess: a hundred at a time, each with a window of 1 MiB";
        cost "higher lets a peer hold more memory, a window for each; lower refuses streams";
    /// Events that wait for a slow reader of `node.events()`; the oldest go first, counted.
    events_queue_max: usize = 1024;
        Unit::Count("events"), Allowed::Number(16, 1 << 20);
        origin "guess: every peer of the fan test up and down once";
        cost "higher is memory; lower loses events for slow readers";
    /// How long `overlane node` goes on when it is told to end, without new peers and lanes, before it stops; 0: it stops at once.
    lame_duck_ms: u64 = 0;
        Unit::Milliseconds, Allowed::Number(0, 3_600_000);
        origin "who spreads work over nodes, and how soon he hears of one that goes, the engine does not know";
        cost "higher makes each stop take longer, and fewer messages be refused meanwhile; supervisors have to wait as long";
    /// Whether faults can be ordered: messages dropped or held back, links cut, on purpose and for a while.
    faults: bool = false;
        Unit::None, BOOLEAN;
        origin "nobody is to break a node by a command who was not told that it may be broken";
        cost "true lets whoever administers the node make it lose messages; without a fault, one look for each message";
    /// Unix socket by which the node is administered; auto is the program's choice: none, or for `overlane node` one where the
    /// other commands find it.
    admin: Admin = Admin::Auto;
        Unit::None, Allowed::Described(ADMIN_PATHS);
        origin "a library opens nothing that it was not asked for";
        cost "a thread; whoever runs as the same user, or as root, can change the node";
    /// Unix socket by which the node can be looked at and not changed, for its user's group too; empty: there is none.
    admin_read: PathBuf = PathBuf::new();
        Unit::None, Allowed::Described("a path with a / in it, such as /run/overlane/a.read.sock, of 1 to 107 bytes");
        origin "nobody but the node's user sees it unless it was asked for";
        cost "a thread; whoever is in the group of the socket's file sees what the node does";
    /// Address at which the node shows its metrics and its state over HTTP; port 0 takes any free port. Nothing can be changed there.
    http: Http = Http::Off;
        Unit::None, Allowed::Described(HTTP_ADDRESSES);
        origin "a library opens nothing that it was not asked for";
        cost "a thread; whoever reaches the address sees what the node does, beyond loopback whoever has the token of http_token_file, \
              which goes over the network in the clear";
    /// File with the token that is asked for over HTTP, in the header `Authorization: Bearer TOKEN`; read when the node starts.
    http_token_file: TokenFile = TokenFile::None;
        Unit::None, Allowed::Described(TOKEN_FILES);
        origin "on loopback only users of this host can ask";
        cost "who scrapes has to know the token";

    beside {
        /// The full mesh.
        full_mesh: FullMeshConfig;
        /// HyParView.
        hyparview: HyParViewConfig;
        /// Client-server.
        client_server: ClientServerConfig;
        /// Publish-subscribe.
        pub_sub: PubSubConfig;
        /// Broadcasts.
        plumtree: PlumtreeConfig;
        /// The kinds of broadcast.
        broadcast: BroadcastConfig;
        /// Membership and failure detection.
        membership: MembershipConfig;
        /// Detection of partitions.
        partitions: PartitionsConfig;
        /// What members tell of what they count.
        summaries: SummariesConfig;
        /// Switching the overlay.
        switching: SwitchingConfig;
        /// Switching it by rules and for workloads.
        topology: TopologyConfig;
        /// The flight recorder.
        recorder: RecorderConfig;
        /// Traces.
        trace: TraceConfig;
        /// Certificates.
        tls: TlsConfig;
        /// The file of the secret.
        psk: PskConfig;
        /// With `security = "psk"`: the secrets, where they come from no file.
        secrets: Secrets;
        /// The channels, in no particular order. Empty is a node without channels.
        channels: Vec<ChannelConfig>;
        /// The routing rules, in order: the first that matches decides.
        rules: Vec<Rule>;
        /// How the node finds others, besides its seeds.
        discovery: Vec<DiscoveryConfig>;
    }
}
