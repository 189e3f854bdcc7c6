//! Channels that are added, retuned and removed while nodes run, on real sockets.

mod adding;
mod differing;
mod removing;
mod retuning;
mod steered;
mod storm;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::support::{config, connect_both, counting_handler, start};
use overlane::config::{ChannelConfig, Reliability};
use overlane::{Channel, Destination, Node, SendError};

/// Long enough for anything to drain, on a loaded machine.
const LONG: Duration = Duration::from_secs(60);

/// A channel of that reliability.
fn channel(name: &str, reliability: Reliability) -> ChannelConfig {
    ChannelConfig::new(name).reliability(reliability)
}

/// Two nodes of two shards with channel `base`, and a handler on the second that counts.
fn pair() -> (Node, Node, Arc<AtomicU64>) {
    let node = |name| start(config(name).shards(2).channel(ChannelConfig::new("base")));
    let (a, b) = (node("a"), node("b"));
    let (handler, count) = counting_handler();
    b.handle("in", handler).expect("a mailbox");
    connect_both(&a, &b);
    (a, b, count)
}

/// Sends until it is told to end.
struct Load {
    over: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Load {
    /// On that channel; whatever is not accepted for want of room is tried again.
    fn start(channel: Channel, to: Destination, bytes: usize) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&over);
        let thread = thread::spawn(move || {
            let mut accepted = 0;
            while !seen.load(Ordering::Relaxed) {
                match channel.try_send(&to, vec![7; bytes]) {
                    Ok(()) => accepted += 1,
                    Err(unsent) if unsent.error == SendError::Full => thread::yield_now(),
                    Err(unsent) => panic!("{}", unsent.error),
                }
            }
            accepted
        });
        Self { over, thread }
    }

    /// How many messages were accepted.
    fn end(self) -> u64 {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().expect("no message is refused")
    }
}

/// How often lanes of a channel came up and ended, as events told so far.
fn ups_and_downs(events: &overlane::Events, of: &str) -> (usize, usize) {
    let mut seen = (0, 0);
    while let Some(event) = events.try_recv() {
        match event {
            overlane::Event::LaneUp { channel, .. } if *channel == *of => seen.0 += 1,
            overlane::Event::LaneDown { channel, .. } if *channel == *of => seen.1 += 1,
            overlane::Event::Missed { .. } => panic!("the test reads in time"),
            _ => {}
        }
    }
    seen
}
