//! Strict priority, on both sides, by the order in which messages arrive: what is urgent overtakes
//! what is queued. A shard that is held lets the test queue first and look afterwards.

use std::sync::{Arc, Mutex};

use crate::support::accounting::{all_acknowledged, check_accounting, counted};
use crate::support::{
    config, connect_both, counting_handler, hold, reliable, start, use_lane, wait_until,
};
use overlane::config::ChannelConfig;
use overlane::{Channel, Destination, Metrics, Node};

const URGENT: u64 = 20;
const BULK: u64 = 1000;
const BULK_BYTES: usize = 4000;
/// The least that can be configured: bulk takes dozens of turns.
const TURN_BYTES: usize = 64 << 10;

/// Two nodes, and the order in which the channels' messages came: 'u'rgent or 'b'ulk.
struct Pair {
    a: Node,
    b: Node,
    order: Arc<Mutex<String>>,
    urgent: Channel,
    bulk: Channel,
    to: Destination,
}

impl Pair {
    fn new(bulk: ChannelConfig) -> Self {
        let node = |name| {
            let config = config(name)
                .turn_bytes_max(TURN_BYTES)
                .send_quantum_bytes(TURN_BYTES);
            let urgent = deep(reliable("urgent").priority(1));
            start(config.channel(deep(bulk.clone())).channel(urgent))
        };
        let (a, b) = (node("a"), node("b"));
        let order = Arc::new(Mutex::new(String::new()));
        let noting = Arc::clone(&order);
        b.handle("in", move |_, message| {
            let kind = if message.payload().len() == BULK_BYTES {
                'b'
            } else {
                'u'
            };
            noting.lock().expect("no panic").push(kind);
        })
        .expect("a mailbox");
        let (warm, _) = counting_handler();
        b.handle("warm", warm).expect("a mailbox");
        connect_both(&a, &b);
        // What a shard is held for is sending and delivering, not dialling.
        for channel in ["urgent", "bulk"] {
            use_lane(&a, "b", channel, "warm");
        }
        Self {
            urgent: a.channel("urgent").expect("it is configured"),
            bulk: a.channel("bulk").expect("it is configured"),
            to: a.destination("b", "in").expect("names"),
            a,
            b,
            order,
        }
    }

    fn send(&self, channel: &Channel, messages: u64, bytes: usize) {
        for _ in 0..messages {
            channel
                .try_send(&self.to, vec![0; bytes])
                .expect("there is room");
        }
    }

    /// The order once all have come, and the counters of both nodes.
    fn finish(&self, urgent: u64) -> (String, Vec<Metrics>) {
        let metrics = check_accounting(&[&self.a, &self.b]);
        all_acknowledged(&metrics[0], "b", "urgent", urgent + 1);
        all_acknowledged(&metrics[0], "b", "bulk", BULK + 1);
        (self.order.lock().expect("no panic").clone(), metrics)
    }
}

fn bulk() -> ChannelConfig {
    reliable("bulk").priority(7)
}

/// With room for all that a test queues.
fn deep(channel: ChannelConfig) -> ChannelConfig {
    channel
        .ring_bytes(8_usize << 20)
        .queue_bytes_max(16_usize << 20)
}

/// How many bulk messages came before the last urgent one.
fn bulk_before_last_urgent(order: &str) -> usize {
    let last = order.rfind('u').expect("urgent messages came");
    order[..last].matches('b').count()
}

#[test]
fn urgent_messages_leave_before_bulk_that_was_queued_first() {
    let pair = Pair::new(bulk());
    let held = hold(&pair.a);
    pair.send(&pair.bulk, BULK, BULK_BYTES);
    pair.send(&pair.urgent, URGENT, 50);
    drop(held);
    let (order, metrics) = pair.finish(URGENT);
    // What one turn sends beside them is all that can get in between.
    let before = bulk_before_last_urgent(&order);
    assert!(
        before <= 4 * TURN_BYTES / BULK_BYTES,
        "{before} bulk messages first: {order}"
    );
    assert_eq!(counted(&metrics[0], "b", "bulk").queue_messages, 0);
}

#[test]
fn urgent_messages_are_delivered_before_bulk_that_arrived_first() {
    let pair = Pair::new(bulk());
    let held = hold(&pair.b);
    pair.send(&pair.bulk, BULK, BULK_BYTES);
    // As much of it as fits has reached the sockets of b ...
    wait_until(
        "bulk is under way",
        || pair.a.metrics(),
        |metrics| counted(metrics, "b", "bulk").sent > 1,
    );
    // ... before any of this.
    pair.send(&pair.urgent, URGENT, 50);
    wait_until(
        "the urgent ones are under way",
        || pair.a.metrics(),
        |metrics| counted(metrics, "b", "urgent").sent == URGENT + 1,
    );
    drop(held);
    let (order, _) = pair.finish(URGENT);
    // A turn may begin with the bulk that the kernel had copied before.
    let before = bulk_before_last_urgent(&order);
    assert!(
        before <= (256 << 10) / BULK_BYTES,
        "{before} bulk messages first: {order}"
    );
}

#[test]
fn bulk_waits_while_urgent_traffic_fills_the_turns_and_each_such_turn_is_counted() {
    let pair = Pair::new(bulk());
    let held = hold(&pair.a);
    pair.send(&pair.bulk, BULK, BULK_BYTES);
    // Sixteen turns' worth.
    pair.send(&pair.urgent, 1000, 1000);
    drop(held);
    let (order, metrics) = pair.finish(1000);
    let starved: u64 = metrics[0]
        .shards
        .iter()
        .map(|shard| shard.rings_starved)
        .sum();
    let turns = counted(&metrics[0], "b", "bulk").turns_starved;
    assert!(starved + turns > 0, "it waited: {:#?}", metrics[0]);
    let before = bulk_before_last_urgent(&order);
    assert!(before < usize::try_from(BULK).unwrap_or(0), "{order}");
}

#[test]
fn a_floor_keeps_bulk_moving_beside_urgent_traffic() {
    let pair = Pair::new(bulk().floor_bytes(8000_usize));
    let held = hold(&pair.a);
    pair.send(&pair.bulk, BULK, BULK_BYTES);
    pair.send(&pair.urgent, 4000, 1000);
    drop(held);
    let (order, _) = pair.finish(4000);
    let before = bulk_before_last_urgent(&order);
    assert!(before > 0, "bulk came beside the urgent messages: {order}");
}
