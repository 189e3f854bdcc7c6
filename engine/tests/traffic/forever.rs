//! Durations as long as there are: whoever waits for ever may say so.

use std::time::Duration;

use crate::support::accounting::{all_acknowledged, check_accounting};
use crate::support::{GENEROUS, config, ends, reliable, start};

#[test]
fn every_wait_takes_the_longest_duration_there_is() {
    let (a, b) = (
        start(config("a").channel(reliable("data"))),
        start(config("b").channel(reliable("data"))),
    );
    a.connect("b", b.local_addr()).expect("a name");
    a.wait_connected("b", Duration::MAX)
        .expect("the lane comes up");
    let mut inbox = b.inbox("in").expect("a mailbox");
    let (told, hears) = std::sync::mpsc::channel();
    a.spawn_on_shard(0, move |shard| async move {
        told.send("begun").expect("the test listens");
        shard.sleep(Duration::MAX).await;
        told.send("over").expect("the test listens");
    })
    .expect("the shard runs");
    assert_eq!(hears.recv_timeout(GENEROUS), Ok("begun"));
    // The shard goes on beside the sleeper.
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    for _ in 0..3 {
        channel.try_send(&to, b"hello").expect("there is room");
        let message = inbox.recv_timeout(Duration::MAX).expect("it comes");
        assert_eq!(message.payload(), b"hello");
    }
    assert!(hears.try_recv().is_err(), "it still sleeps");
    let metrics = check_accounting(&[&a, &b]);
    all_acknowledged(&metrics[0], "b", "data", 3);
    assert!(ends("the stop", move || a.stop(Duration::MAX)).drained);
}
