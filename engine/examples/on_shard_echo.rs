//! Everything on the shards: the fastest way through Overlane.
//!
//! The server echoes in a handler, with the bytes where the kernel put them. The client is a task on
//! the shard that owns the lane, so its messages cross no thread: it sends, its own handler counts
//! what comes back, and it sends again. No lock, no allocation for each message, no wake-up.
//!
//! `cargo run --release --example on_shard_echo`

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use overlane::config::Overflow;
use overlane::{ChannelConfig, Config, Node};

const ROUNDS: u64 = 200_000;
/// Messages under way at a time: one would measure the latency, many measure the throughput.
const UNDER_WAY: u64 = 1000;
const PATIENCE: Duration = Duration::from_secs(60);

fn start(name: &str) -> Result<Node, Box<dyn Error>> {
    let config = Config::builder()
        .name(name)
        .cluster("echo")
        .listen("127.0.0.1:0".parse()?)
        .shards(1)
        .pin(false)
        .channel(ChannelConfig::new("echo").overflow(Overflow::Block))
        .build()?;
    Ok(Node::start(config)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let (client, server) = (start("client")?, start("server")?);

    let echo = server.channel("echo")?;
    let back = server.mailbox("back")?;
    server.handle("there", move |context, message| {
        let to = message.reply_to(&back);
        if let Err(error) = context.try_send(&echo, &to, message.payload()) {
            eprintln!("an echo is lost: {error}");
        }
    })?;

    let returned = Arc::new(AtomicU64::new(0));
    let counting = Arc::clone(&returned);
    client.handle("back", move |_, _| {
        counting.fetch_add(1, Ordering::Relaxed);
    })?;

    client.connect("server", server.local_addr())?;
    client.wait_connected("server", PATIENCE)?;
    let channel = client.channel("echo")?;
    let there = client.destination("server", "there")?;
    let (done, finished) = std::sync::mpsc::channel();
    let started = Instant::now();
    client.spawn_on_shard(
        client.shard_of(&channel, &there)?,
        move |shard| async move {
            for sent in 0..ROUNDS {
                while sent - returned.load(Ordering::Relaxed) >= UNDER_WAY {
                    // The shard's turn runs: sends go out, echoes come in.
                    shard.yield_now().await;
                }
                if shard
                    .send(&channel, &there, &sent.to_le_bytes())
                    .await
                    .is_err()
                {
                    return; // the node stops, or the peer has gone: `done` is dropped
                }
            }
            while returned.load(Ordering::Relaxed) < ROUNDS {
                shard.yield_now().await;
            }
            let _ = done.send(());
        },
    )?;
    finished.recv_timeout(PATIENCE)?;
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{ROUNDS} echoes in {seconds:.2} s: {:.0} a second",
        ROUNDS as f64 / seconds
    );
    drop(client.stop(PATIENCE));
    Ok(())
}
