//! Three nodes that send to one another and read at random, while connections are cut and nodes are started again: held
//! against what was sent before what (`history`).

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use overlane::config::ChannelConfig;
use overlane::{Inbox, Metrics, Node, SendError};
use overlane_proxy::Proxy;

use super::history::History;
use super::{causal, inbox, node};
use crate::support::accounting::{check_accounting, counted};
use crate::support::{GENEROUS, drained, start};

const NAMES: [&str; 3] = ["a", "b", "c"];

/// One life of a node, and what it has lived through.
struct Actor {
    at: usize,
    node: Node,
    inbox: Inbox,
    history: History,
}

impl Actor {
    fn start(at: usize, incarnation: u64, channel: &ChannelConfig, shards: usize) -> Self {
        let config = node(NAMES[at], channel)
            .incarnation(incarnation)
            .shards(shards);
        let node = start(config);
        Self {
            at,
            inbox: inbox(&node),
            node,
            history: History::new((at, incarnation)),
        }
    }

    fn read(&mut self, wait: Duration) -> bool {
        let Ok(message) = self.inbox.recv_timeout(wait) else {
            return false;
        };
        self.history.deliver(message.payload());
        true
    }

    /// Sends so many messages, reading between them, and reads on until the others have sent theirs.
    fn act(&mut self, messages: u64, seed: u64, sending: &AtomicUsize) {
        // What breaks here ends the others too.
        let _broken = Broken(sending);
        let mut random = fastrand::Rng::with_seed(seed);
        let data = self.node.channel("data").expect("it is configured");
        let to = NAMES.map(|name| self.node.destination(name, "in").expect("names"));
        let mut left = messages;
        while sending.load(Relaxed) > 0 {
            if left > 0 && random.u8(..4) > 0 {
                let other = (self.at + random.usize(1..3)) % 3;
                match data.try_send(&to[other], self.history.message(other)) {
                    Ok(()) => {
                        self.history.sent_to(other);
                        left -= 1;
                        if left == 0 {
                            let _ =
                                sending.try_update(Relaxed, Relaxed, |left| left.checked_sub(1));
                        }
                    }
                    Err(unsent) => assert!(
                        matches!(unsent.error, SendError::Full | SendError::Unreachable),
                        "{unsent:?}"
                    ),
                }
            } else {
                self.read(Duration::from_millis(u64::from(left == 0)));
            }
        }
    }
}

/// Nobody sends any more when a thread panics.
struct Broken<'a>(&'a AtomicUsize);

impl Drop for Broken<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.store(0, Relaxed);
        }
    }
}

/// Each dials the next through a proxy.
struct Circle {
    actors: Vec<Actor>,
    proxies: Vec<Proxy>,
    channel: ChannelConfig,
    shards: usize,
    random: fastrand::Rng,
}

impl Circle {
    fn new(channel: &ChannelConfig, shards: usize) -> Self {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let actors = (0..3).map(|at| Actor::start(at, 1, channel, shards));
        let actors: Vec<Actor> = actors.collect();
        let proxy = |at: usize| Proxy::start(actors[(at + 1) % 3].node.local_addr());
        let proxies = (0..3).map(|at| proxy(at).expect("a free port")).collect();
        let circle = Self {
            actors,
            proxies,
            channel: channel.clone(),
            shards,
            random: fastrand::Rng::with_seed(seed),
        };
        for at in 0..3 {
            circle.dial(at);
        }
        circle.are_connected();
        circle
    }

    fn dial(&self, at: usize) {
        let next = NAMES[(at + 1) % 3];
        let node = &self.actors[at].node;
        node.connect(next, self.proxies[at].address())
            .expect("a name");
    }

    fn are_connected(&self) {
        for actor in &self.actors {
            for other in NAMES.into_iter().filter(|name| *name != actor.node.name()) {
                actor
                    .node
                    .wait_connected(other, GENEROUS)
                    .expect("lanes come up");
            }
        }
    }

    /// All send and read for a while, `cuts` times cut off from one another.
    fn act(&mut self, messages: u64, cuts: u32) {
        let sending = AtomicUsize::new(3);
        let Self {
            actors,
            proxies,
            random,
            ..
        } = self;
        thread::scope(|scope| {
            let lives = actors.iter_mut().map(|actor| {
                let (seed, sending) = (random.u64(..), &sending);
                scope.spawn(move || actor.act(messages, seed, sending))
            });
            let lives: Vec<_> = lives.collect();
            for _ in 0..cuts {
                let proxy = &proxies[random.usize(..3)];
                let until = proxy.bytes() + random.u64(1..20_000);
                while proxy.bytes() < until && sending.load(Relaxed) > 0 {
                    thread::yield_now();
                }
                if random.bool() {
                    proxy.cut();
                } else {
                    proxy.stall(true);
                    let other = &proxies[random.usize(..3)];
                    let until = other.bytes() + random.u64(1..5_000);
                    let patience = Instant::now() + Duration::from_millis(100);
                    while other.bytes() < until && Instant::now() < patience {
                        thread::yield_now();
                    }
                    proxy.stall(false);
                }
            }
            for life in lives {
                life.join().expect("the order holds");
            }
        });
    }

    /// A node is stopped as it stands, and started again.
    fn restart(&mut self, at: usize, incarnation: u64) {
        self.proxies[at].stall(true);
        let old = self.actors.remove(at);
        drop(old.inbox);
        drop(old.node);
        self.proxies[at].cut();
        self.proxies[at].stall(false);
        let new = Actor::start(at, incarnation, &self.channel, self.shards);
        let before = (at + 2) % 3;
        self.proxies[before].cut();
        self.proxies[before].set_target(new.node.local_addr());
        self.actors.insert(at, new);
        self.dial(at);
        self.are_connected();
    }

    /// All that is under way comes to its end.
    fn come_to_rest(&mut self) -> Vec<Metrics> {
        let deadline = Instant::now() + GENEROUS;
        loop {
            let mut any = false;
            for actor in &mut self.actors {
                while actor.read(Duration::ZERO) {
                    any = true;
                }
            }
            let is_drained = |actor: &Actor| actor.node.metrics().is_drained();
            if !any && self.actors.iter().all(is_drained) {
                break;
            }
            assert!(Instant::now() < deadline, "it does not come to rest");
        }
        for actor in &mut self.actors {
            while actor.read(Duration::ZERO) {}
        }
        // Of one life of each: what those before received counts for the name.
        let nodes = self.actors.iter().map(|actor| drained(&actor.node));
        nodes.collect()
    }

    fn sent(&self) -> u64 {
        self.actors.iter().map(|actor| actor.history.sent).sum()
    }

    fn delivered(&self) -> u64 {
        self.actors
            .iter()
            .map(|actor| actor.history.delivered)
            .sum()
    }
}

/// Everything comes, in an order that knows no exception.
fn all_of_it_in_order(channel: &ChannelConfig, shards: usize, messages: u64, cuts: u32) {
    let mut circle = Circle::new(channel, shards);
    circle.act(messages, cuts);
    circle.come_to_rest();
    let nodes: Vec<&Node> = circle.actors.iter().map(|actor| &actor.node).collect();
    let metrics = check_accounting(&nodes);
    assert_eq!(
        (circle.sent(), circle.delivered()),
        (3 * messages, 3 * messages)
    );
    for (metrics, other) in metrics.iter().zip(["b", "c", "a"]) {
        assert_eq!(counted(metrics, other, "data").reported, 0);
        assert_eq!(
            metrics
                .shards
                .iter()
                .map(|shard| shard.given_up)
                .sum::<u64>(),
            0
        );
    }
}

#[test]
fn at_random_all_of_it_comes_in_order() {
    all_of_it_in_order(&causal(), 1, 5_000, 0);
}

#[test]
fn over_cuts_and_stalls_too() {
    all_of_it_in_order(&causal(), 2, 3_000, 60);
}

#[test]
fn with_little_room_too() {
    let channel = causal()
        .log_bytes_max(8_192_usize)
        .hold_back_bytes_max(16_384_usize);
    all_of_it_in_order(&channel, 1, 2_000, 20);
}

#[test]
fn whoever_is_started_again_the_order_holds() {
    for at in 0..3 {
        // If anything had to be given up by time, it would not come to rest in time.
        let channel = causal().hold_back_wait_ms(120_000_u64);
        let mut circle = Circle::new(&channel, 1);
        circle.act(500, 5);
        circle.restart(at, 2);
        circle.act(500, 5);
        circle.restart(at, 3);
        circle.act(500, 0);
        circle.come_to_rest();
        let delivered = circle.delivered();
        assert!(
            delivered > 1_000,
            "{delivered} were delivered to those that live"
        );
    }
}
