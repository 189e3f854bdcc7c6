//! Two nodes and one message.
//!
//! A node is configured, started, and given a mailbox. Another one connects to it and sends. Both
//! live in this process; on two hosts only the addresses would differ.
//!
//! `cargo run --example hello`

use std::error::Error;
use std::time::Duration;

use overlane::{ChannelConfig, Config, Node};

/// Both nodes must agree on cluster and channels. Port 0 takes any free port.
fn start(name: &str) -> Result<Node, Box<dyn Error>> {
    let config = Config::builder()
        .name(name)
        .cluster("hello")
        .listen("127.0.0.1:0".parse()?)
        .shards(1)
        .pin(false)
        .channel(ChannelConfig::new("greetings"))
        .build()?;
    Ok(Node::start(config)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let alice = start("alice")?;
    let bob = start("bob")?;

    // A mailbox is a name that messages are sent to; its inbox is read by any thread.
    let mut inbox = bob.inbox("door")?;

    // Alice keeps lanes to Bob from now on, and dials again whenever they end.
    alice.connect("bob", bob.local_addr())?;
    alice.wait_connected("bob", Duration::from_secs(10))?;

    // Looked up once, used often: a send looks nothing up.
    let greetings = alice.channel("greetings")?;
    let door = alice.destination("bob", "door")?;
    greetings.try_send(&door, "hello, Bob")?;

    if let Ok(message) = inbox.recv_timeout(Duration::from_secs(10)) {
        let text = String::from_utf8_lossy(message.payload());
        println!("{} says: {text}", message.from().name());
    }

    // Stopping finishes what was accepted, and says how it went.
    let report = alice.stop(Duration::from_secs(10));
    println!("drained: {}", report.drained);
    if let Some(sent) = report.metrics.channel("bob", "greetings") {
        println!(
            "accepted {}, acknowledged {}, reported {}",
            sent.accepted, sent.acknowledged, sent.reported
        );
    }
    Ok(())
}
