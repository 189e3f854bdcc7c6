//! Messages between nodes, and to oneself: they arrive, in order, whole, and are accounted for.

mod support;

use overlane::SendError;
use support::{config, connect_both, drained, reliable, start};

#[test]
fn messages_arrive_in_order_and_are_acknowledged() {
    let a = start(config("a").channel(reliable("data")));
    let b = start(config("b").channel(reliable("data")));
    let mut inbox = b.inbox("in").expect("a mailbox");
    connect_both(&a, &b);
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    let count = 100_000_u32;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..count {
                loop {
                    match channel.try_send(&to, &number.to_le_bytes()) {
                        Ok(()) => break,
                        Err(SendError::Full) => std::thread::yield_now(),
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        });
        for number in 0..count {
            let message = inbox.recv_timeout(support::GENEROUS).expect("a message");
            assert_eq!(message.payload(), number.to_le_bytes());
        }
    });
    let metrics = drained(&a);
    let lane = metrics.channel("b", "data").expect("it was used");
    assert_eq!(
        (lane.accepted, lane.acknowledged, lane.reported),
        (u64::from(count), u64::from(count), 0)
    );
}
