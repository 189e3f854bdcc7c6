// What the examples of the documentation begin with: two connected nodes, `a` and `b`. They have a
// reliable channel `data`, whose senders wait for room, and a best-effort channel `gossip`.

use std::time::Duration;

use overlane::config::{Overflow, Reliability};
use overlane::{ChannelConfig, Config, Node};

const PATIENCE: Duration = Duration::from_secs(30);

/// One cluster per example: they run side by side, and their nodes have the same names.
fn cluster() -> String {
    let thread = format!("{:?}", std::thread::current().id());
    let thread: String = thread.chars().filter(char::is_ascii_digit).collect();
    format!("doc-{}-{thread}", std::process::id())
}

fn start(name: &str) -> Result<Node, Box<dyn std::error::Error>> {
    let data = ChannelConfig::new("data").overflow(Overflow::Block);
    let gossip = ChannelConfig::new("gossip").reliability(Reliability::BestEffort);
    let config = Config::builder()
        .name(name)
        .cluster(cluster())
        .listen("127.0.0.1:0".parse()?)
        .shards(1)
        .pin(false)
        .channel(data)
        .channel(gossip)
        .build()?;
    Ok(Node::start(config)?)
}

fn pair() -> Result<(Node, Node), Box<dyn std::error::Error>> {
    let (a, b) = (start("a")?, start("b")?);
    a.connect("b", b.local_addr())?;
    a.wait_connected("b", PATIENCE)?;
    Ok((a, b))
}
