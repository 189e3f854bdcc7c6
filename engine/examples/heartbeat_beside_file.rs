//! A heartbeat beside a file transfer: what channels are for.
//!
//! The file goes out as fast as the connection takes it; the heartbeat has a higher priority and a
//! lane of its own, so it never stands behind the file. The longest gap between two beats is printed,
//! beside the throughput of the file.
//!
//! `cargo run --release --example heartbeat_beside_file`

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use overlane::config::{Overflow, Priority};
use overlane::{ChannelConfig, Config, Node};

const FILE_BYTES: usize = 256 << 20;
const PIECE_BYTES: usize = 256 << 10;
const BEAT_EVERY: Duration = Duration::from_millis(1);
/// No beat for so long: there will be none.
const SILENCE: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(30);

fn start(name: &str) -> Result<Node, Box<dyn Error>> {
    let file = ChannelConfig::new("file")
        .priority(Priority::LOW)
        // The sender waits when the lane's queue is full, and never has more in memory than that.
        .overflow(Overflow::Block)
        // What the kernel has taken cannot be overtaken any more: it gets little of the file.
        .notsent_lowat_bytes(256_u32 << 10);
    let heartbeat = ChannelConfig::new("heartbeat").priority(Priority::HIGH);
    let config = Config::builder()
        .name(name)
        .cluster("transfer")
        .listen("127.0.0.1:0".parse()?)
        .shards(1)
        .pin(false)
        .channel(file)
        .channel(heartbeat)
        .build()?;
    Ok(Node::start(config)?)
}

/// Sends the file in pieces, without copying it.
fn send_file(sender: &Node, file: &Bytes) -> Result<(), Box<dyn Error + Send + Sync>> {
    let channel = sender.channel("file")?;
    let disk = sender.destination("receiver", "disk")?;
    for at in (0..file.len()).step_by(PIECE_BYTES) {
        let end = file.len().min(at + PIECE_BYTES);
        channel.send_blocking(&disk, file.slice(at..end))?;
    }
    Ok(())
}

fn beat(sender: &Node, over: &AtomicBool) -> Result<(), Box<dyn Error + Send + Sync>> {
    let channel = sender.channel("heartbeat")?;
    let pulse = sender.destination("receiver", "pulse")?;
    while !over.load(Ordering::Relaxed) {
        channel.try_send(&pulse, "beat")?;
        thread::sleep(BEAT_EVERY);
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let (sender, receiver) = (start("sender")?, start("receiver")?);
    let mut disk = receiver.inbox_of("disk", 4 << 20)?;
    let mut pulse = receiver.inbox("pulse")?;
    sender.connect("receiver", receiver.local_addr())?;
    sender.wait_connected("receiver", PATIENCE)?;

    let file = Bytes::from(vec![7; FILE_BYTES]);
    let over = AtomicBool::new(false);
    let started = Instant::now();
    let (arrived, seconds, (beats, longest)) = thread::scope(|scope| {
        scope.spawn(|| send_file(&sender, &file));
        scope.spawn(|| beat(&sender, &over));
        let listener = scope.spawn(move || {
            let (mut beats, mut longest, mut last) = (0_u64, Duration::ZERO, Instant::now());
            while pulse.recv_timeout(SILENCE).is_ok() {
                beats += 1;
                longest = longest.max(last.elapsed());
                last = Instant::now();
            }
            (beats, longest)
        });
        let mut arrived = 0;
        while arrived < FILE_BYTES {
            let Ok(piece) = disk.recv_timeout(PATIENCE) else {
                break; // the sender has gone
            };
            arrived += piece.payload().len();
        }
        let seconds = started.elapsed().as_secs_f64();
        over.store(true, Ordering::Relaxed);
        (arrived, seconds, listener.join().unwrap_or_default())
    });

    let mib = (arrived >> 20) as f64;
    println!(
        "file: {mib} MiB in {seconds:.2} s, {:.0} MiB/s",
        mib / seconds
    );
    println!("heartbeat: {beats} beats meanwhile, the longest gap {longest:?}");
    drop(sender.stop(PATIENCE));
    Ok(())
}
