//! What the tests of the engine share: small clusters on loopback, and waiting for a condition.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses a part of it"
)]

pub mod accounting;
pub mod authority;
pub mod child;
pub mod payload;
pub mod process;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use authority::{Authority, Certified, Folder};
use crossbeam_channel::{Sender, bounded};
use overlane::config::{
    ChannelConfig, ConfigBuilder, IoChoice, Reliability, Secrets, SecurityMode, TlsConfig,
};
use overlane::{Config, Metrics, Node};
use overlane_proxy::Proxy;

/// How long any condition may take on a loaded machine. Nothing is expected to come near it.
pub const GENEROUS: Duration = Duration::from_secs(60);

/// Holds shard 0 of a node, between two turns, until the sender is used or dropped.
pub fn hold(node: &Node) -> Sender<()> {
    let (holding, held) = bounded(0);
    let (go_on, going_on) = bounded::<()>(0);
    node.spawn_on_shard(0, move |_| async move {
        holding.send(()).expect("the test waits");
        // The sender is dropped when the test has sent or seen enough.
        let _ = going_on.recv();
    })
    .expect("there is that shard");
    held.recv().expect("the task runs");
    go_on
}

/// A node's configuration on any free port, with one shard, not pinned, and as many descriptors as
/// there can be: tests run side by side, in one process.
pub fn config(name: &str) -> ConfigBuilder {
    let config = Config::builder()
        .name(name)
        .cluster(cluster())
        .listen("127.0.0.1:0".parse().expect("an address"))
        .io(io())
        .shards(1)
        .pin(false)
        .raise_open_files(true)
        .reconnect_base_ms(5)
        .reconnect_max_ms(50);
    match std::env::var("TEST_SECURITY").as_deref() {
        Ok("psk") => with_secrets(config, &["the secret of all nodes of a test"]),
        Ok(other) => panic!("TEST_SECURITY is {other}, which is not psk"),
        Err(_) => config,
    }
}

/// How the nodes of the tests do their I/O: all tests of nodes run on both backends.
pub fn io() -> IoChoice {
    match std::env::var("OVERLANE_IO").as_deref() {
        Ok("poll") => IoChoice::Poll,
        Ok("uring") | Err(_) => IoChoice::Uring,
        Ok(other) => panic!("OVERLANE_IO is {other}, which is neither uring nor poll"),
    }
}

/// The cluster of the running test. Tests run side by side in one process and their nodes have the
/// same names: one that dials a port after its peer has stopped could find another test's node there.
pub fn cluster() -> String {
    let test = std::thread::current();
    test.name().unwrap_or("test").replace("::", ".")
}

/// A reliable channel.
pub fn reliable(name: &str) -> ChannelConfig {
    ChannelConfig::new(name).priority(4)
}

/// A best-effort channel.
pub fn best_effort(name: &str) -> ChannelConfig {
    ChannelConfig::new(name)
        .priority(6)
        .reliability(Reliability::BestEffort)
}

/// Starts a node of that configuration.
pub fn start(config: ConfigBuilder) -> Node {
    Node::start(config.build().expect("a valid configuration")).expect("the node starts")
}

/// The configuration of a node with a certificate, whose files are in `folder`.
pub fn with_tls(
    builder: ConfigBuilder,
    folder: &Folder,
    certified: &Certified,
    trusts: &Authority,
) -> ConfigBuilder {
    static NODES: AtomicU64 = AtomicU64::new(0);
    let name = format!("node-{}", NODES.fetch_add(1, Ordering::Relaxed));
    let [certificate, key, authorities] = folder.node(&name, certified, trusts);
    builder.security(SecurityMode::Tls).tls(TlsConfig {
        certificate,
        key,
        authorities,
        ..TlsConfig::default()
    })
}

/// The configuration of a node with these secrets, the one to dial with first.
pub fn with_secrets(builder: ConfigBuilder, secrets: &[&str]) -> ConfigBuilder {
    let secrets = Secrets::read(&secrets.join("\n")).expect("good secrets");
    builder.security(SecurityMode::Psk).secrets(secrets)
}

/// Connects both to each other, as two nodes that have each other in their configuration.
pub fn connect_both(a: &Node, b: &Node) {
    a.connect(b.name(), b.local_addr()).expect("a name");
    b.connect(a.name(), a.local_addr()).expect("a name");
    a.wait_connected(b.name(), GENEROUS).expect("lanes come up");
    b.wait_connected(a.name(), GENEROUS).expect("lanes come up");
}

/// Two nodes, `a` and `b`, with that channel, connected to each other.
pub fn connected_pair(channel: &ChannelConfig) -> (Node, Node) {
    let node = |name| start(config(name).channel(channel.clone()));
    let (a, b) = (node("a"), node("b"));
    connect_both(&a, &b);
    (a, b)
}

/// Two nodes, `a` and `b`, with that channel, of which `a` dials `b` through a proxy.
pub fn pair_through_proxy(channel: &ChannelConfig) -> (Node, Node, Proxy) {
    let node = |name| start(config(name).channel(channel.clone()));
    let (a, b) = (node("a"), node("b"));
    let proxy = connect_through_proxy(&a, &b);
    (a, b, proxy)
}

/// Connects `a` to `b` through a proxy, by which `a` dials.
pub fn connect_through_proxy(a: &Node, b: &Node) -> Proxy {
    let proxy = Proxy::start(b.local_addr()).expect("a free port");
    a.connect(b.name(), proxy.address()).expect("a name");
    a.wait_connected(b.name(), GENEROUS).expect("lanes come up");
    proxy
}

/// The engine's own channel, whose lane keeps two nodes connected.
pub const CONTROL: &str = "overlane.control";

/// Makes the first lane of a channel to a peer that is connected, by a message to a mailbox of it, and waits
/// until that is settled.
pub fn use_lane(node: &Node, peer: &str, channel: &str, mailbox: &str) {
    let to = node.destination(peer, mailbox).expect("names");
    let channel = node.channel(channel).expect("it is configured");
    channel.try_send(&to, b"first").expect("there is room");
    drained(node);
}

/// Waits until `holds`, or fails with `what` and what `state` says.
pub fn wait_until<S: std::fmt::Debug>(
    what: &str,
    mut state: impl FnMut() -> S,
    holds: impl Fn(&S) -> bool,
) -> S {
    let deadline = Instant::now() + GENEROUS;
    loop {
        let now = state();
        if holds(&now) {
            return now;
        }
        assert!(
            Instant::now() < deadline,
            "{what} did not come true; at the end: {now:#?}"
        );
        std::thread::yield_now();
    }
}

/// Waits until nothing is queued or under way on the node, and checks the identity.
pub fn drained(node: &Node) -> Metrics {
    let metrics = overlane::testing::drained(node, GENEROUS);
    metrics.unwrap_or_else(|error| panic!("{error}"))
}

/// Waits for an event for which `wanted` has an answer; fails with `what` if none comes.
pub fn wait_for_event<T>(
    events: &overlane::Events,
    what: &str,
    mut wanted: impl FnMut(&overlane::Event) -> Option<T>,
) -> T {
    let deadline = Instant::now() + GENEROUS;
    let mut seen = Vec::new();
    while let Ok(event) = events.recv_deadline(deadline) {
        if let Some(found) = wanted(&event) {
            return found;
        }
        seen.push(event);
    }
    panic!("{what} did not happen; what happened: {seen:#?}");
}

/// A handler that counts its messages, and the count.
pub fn counting_handler() -> (
    impl Fn(&mut overlane::ShardContext<'_>, overlane::Message<'_>) + Clone + Send + Sync + 'static,
    Arc<AtomicU64>,
) {
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    let handler = move |_: &mut overlane::ShardContext<'_>, _: overlane::Message<'_>| {
        counted.fetch_add(1, Ordering::Relaxed);
    };
    (handler, count)
}

/// Sets a flag when it goes: what runs beside a test ends with it, however that ends.
pub struct Ends<'a>(pub &'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `work` on a thread of its own and fails with `what` if it does not end.
pub fn ends<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::spawn(work);
    wait_until(what, || thread.is_finished(), |finished| *finished);
    thread.join().expect("the thread does not panic")
}
