//! Traffic at the very moment at which lanes close: everything accepted is acknowledged, in order, and
//! nothing is reported.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use overlane::wire::CloseReason;
use overlane::{Inbox, Metrics, Node, RecvError, SendError};

use crate::lanes::{reliable, wait_until};
use crate::support::accounting::{all_acknowledged, check_accounting, counted};
use crate::support::payload::{Streams, numbered};
use crate::support::{GENEROUS, config, drained, start};

/// Lanes of the channel: a key picks one.
const LANES: u16 = 3;

/// How long each side sends.
const SENDING: Duration = Duration::from_secs(3);

struct Case {
    idle_ms: [u64; 2],
    shards: [usize; 2],
    /// Otherwise a alone can dial.
    both_dial: bool,
}

fn node(name: &str, idle_ms: u64, shards: usize) -> Node {
    let config = config(name).lane_idle_ms(idle_ms).shards(shards);
    start(config.channel(reliable("data").parallelism(LANES)))
}

/// Sends bursts with pauses about as long as lanes may be idle; how many messages of each key.
fn send(from: &Node, to: &str, idle_ms: u64, mut random: fastrand::Rng) -> [u64; LANES as usize] {
    let channel = from.channel("data").expect("it is configured");
    let to = from.destination(to, "in").expect("names");
    let mut sent = [0; LANES as usize];
    let until = Instant::now() + SENDING;
    while Instant::now() < until {
        for _ in 0..random.u64(1..4) {
            let key = random.usize(..usize::from(LANES));
            let bytes = if random.u8(..) < 16 { 20_000 } else { 50 };
            let message = numbered(key as u64, sent[key], bytes);
            let to = to.with_key(key as u64);
            let accept = || match channel.try_send(&to, &message) {
                Ok(()) => None,
                Err(SendError::Full) => Some(from.metrics()),
                Err(error) => panic!("it is connected: {error}"),
            };
            wait_until("there is room", accept, Option::is_none);
            sent[key] += 1;
        }
        std::thread::sleep(Duration::from_micros(random.u64(..idle_ms * 3000)));
    }
    sent
}

/// Takes messages, each stream in order, until the sender has ended and as many have come as it says.
fn receive(inbox: &mut Inbox, sent: &mpsc::Receiver<u64>) {
    let mut streams = Streams::default();
    let mut all = None;
    while all.is_none_or(|all| streams.received() < all) {
        match inbox.recv_timeout(Duration::from_millis(10)) {
            Ok(message) => drop(streams.take(message.payload())),
            Err(RecvError::TimedOut) if all.is_none() => all = sent.try_recv().ok(),
            // Whatever the sender counted is acknowledged soon, or its test fails.
            Err(RecvError::TimedOut) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

fn run(case: &Case, seed: u64) {
    let Case {
        idle_ms,
        shards,
        both_dial,
    } = case;
    let a = node("a", idle_ms[0], shards[0]);
    let b = node("b", idle_ms[1], shards[1]);
    let mut inboxes = [&a, &b].map(|node| node.inbox("in").expect("a mailbox"));
    a.connect("b", b.local_addr()).expect("a name");
    if *both_dial {
        b.connect("a", a.local_addr()).expect("a name");
    }
    a.wait_connected("b", GENEROUS).expect("it is there");
    b.wait_connected("a", GENEROUS).expect("it is there");
    let mut random = fastrand::Rng::with_seed(seed);
    let (of_a, of_b) = (random.fork(), random.fork());
    let [at_a, at_b] = &mut inboxes;
    let (tell_b, told_b) = mpsc::channel();
    let (tell_a, told_a) = mpsc::channel();
    let sent = std::thread::scope(|scope| {
        let by_a = scope.spawn(|| send(&a, "b", idle_ms[0], of_a));
        let by_b = scope.spawn(|| send(&b, "a", idle_ms[1], of_b));
        scope.spawn(move || receive(at_b, &told_b));
        scope.spawn(move || receive(at_a, &told_a));
        let sent = [by_a, by_b].map(|sending| {
            let sent = sending.join().expect("no panic");
            sent.iter().sum::<u64>()
        });
        // A message that is reported would never come: this finds it first.
        for (node, peer, sent) in [(&a, "b", sent[0]), (&b, "a", sent[1])] {
            all_acknowledged(&drained(node), peer, "data", sent);
        }
        tell_b.send(sent[0]).expect("it receives");
        tell_a.send(sent[1]).expect("it receives");
        sent
    });
    let metrics = check_accounting(&[&a, &b]);
    let mut closed = 0;
    for ((metrics, peer), sent) in metrics.iter().zip(["b", "a"]).zip(sent) {
        all_acknowledged(metrics, peer, "data", sent);
        closed += idle_closes(metrics, peer);
    }
    println!("{sent:?} messages, {closed} ends of idle lanes");
    assert!(closed > 10, "lanes were idle: {closed}");
}

/// How often a lane ended because it was idle; it ended for nothing else but a dial of the peer that was
/// earlier, or was read earlier, than the goodbye.
fn idle_closes(metrics: &Metrics, peer: &str) -> u64 {
    let closes = &counted(metrics, peer, "data").closes;
    let expected = [
        CloseReason::Idle,
        CloseReason::SimultaneousDial,
        CloseReason::AlreadyUp,
        CloseReason::Replaced,
    ];
    let others: Vec<_> = closes
        .iter()
        .filter(|(reason, _)| !expected.contains(reason))
        .collect();
    assert!(others.is_empty(), "{closes:?}");
    closes.get(&CloseReason::Idle).copied().unwrap_or(0)
}

#[test]
fn what_is_sent_while_lanes_close_is_delivered_in_order_and_nothing_is_reported() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let cases = [
        ([4, 4], [1, 1], true),
        ([4, 4], [2, 2], false),
        ([10, 3], [1, 2], true),
    ];
    for (idle_ms, shards, both_dial) in cases {
        let case = Case {
            idle_ms,
            shards,
            both_dial,
        };
        run(&case, seed);
    }
}
