//! Sends as fast as the engine accepts: from a task on the shard, or from an application thread.
//!
//! Small payloads go in runs of one rotation, large ones one by one as shared bytes. Where there is no
//! room the producer waits for it; neither side drops anything, so that each message can be accounted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use overlane::{Channel, Destination, Node, SendError, ShardHandle};

use crate::error::{BenchError, Outcome};
use crate::flags::Producer;
use crate::payloads::{Payloads, Place};
use crate::pin;

/// Bytes of messages after which a task on the shard lets the shard's turn run: a quarter of a send quantum.
const BYTES_PER_TURN: usize = 128 * 1024;
/// Bytes of messages that one receiver gets before the next one's turn: with many receivers, what makes
/// sends large.
const BYTES_PER_VISIT: usize = 32 * 1024;

/// One receiver of a producer.
#[derive(Debug, Clone)]
pub(crate) struct Receiver {
    /// Where its messages go.
    pub(crate) to: Destination,
    /// Its place in the rotation of payloads.
    pub(crate) place: Place,
    /// Messages that were accepted for it.
    pub(crate) accepted: Arc<AtomicU64>,
}

/// What a producer works with.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    /// The channel it sends on.
    pub(crate) channel: Channel,
    /// Who gets its messages, in turn.
    pub(crate) receivers: Vec<Receiver>,
    /// What it sends.
    pub(crate) payloads: Payloads,
    /// Whether the payloads are small enough to be copied in runs.
    pub(crate) inline: bool,
    /// Set by the control thread to end it.
    pub(crate) stop: Arc<AtomicBool>,
}

/// A producer that runs.
#[derive(Debug)]
pub(crate) struct Sending {
    stop: Arc<AtomicBool>,
    ended: std::sync::mpsc::Receiver<Outcome<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sending {
    /// Starts a producer on the node's first shard, or on a thread of its own.
    pub(crate) fn start(
        node: &Node,
        producer: Producer,
        core: Option<usize>,
        work: Work,
    ) -> Outcome<Self> {
        let stop = Arc::clone(&work.stop);
        let (end, ended) = std::sync::mpsc::channel();
        // Nobody listens any more only when the process ends.
        let finish = move |outcome| drop(end.send(outcome));
        let thread = match producer {
            Producer::Shard => {
                let task = move |shard: ShardHandle| async move {
                    finish(produce_on_shard(&shard, work).await);
                };
                node.spawn_on_shard(0, task)
                    .map_err(|e| BenchError::Engine(e.to_string()))?;
                None
            }
            Producer::App => {
                let thread = std::thread::Builder::new()
                    .name("producer".into())
                    .spawn(move || {
                        let pinned = core.map_or(Ok(()), pin::pin_to);
                        finish(pinned.and_then(|()| produce_on_thread(work)));
                    });
                Some(thread.map_err(BenchError::system("starting a thread"))?)
            }
        };
        Ok(Self {
            stop,
            ended,
            thread,
        })
    }

    /// Ends it; what it had not sent yet is never accepted.
    pub(crate) fn stop(self) -> Outcome<()> {
        self.stop.store(true, Ordering::Relaxed);
        let outcome = self.ended.recv();
        if let Some(thread) = self.thread {
            drop(thread.join());
        }
        outcome.unwrap_or_else(|_| Err(BenchError::Engine("a producer panicked".into())))
    }
}

impl Receiver {
    fn accept(&mut self, messages: usize) {
        self.place.advance(messages);
        let accepted = self.accepted.load(Ordering::Relaxed) + messages as u64;
        self.accepted.store(accepted, Ordering::Relaxed);
    }
}

async fn produce_on_shard(shard: &ShardHandle, mut work: Work) -> Outcome<()> {
    let Work {
        channel,
        receivers,
        payloads,
        inline,
        stop,
    } = &mut work;
    let slices = payloads.slices();
    let refused = |error: SendError| BenchError::Engine(error.to_string());
    let mut turn_bytes = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut accepted = 0;
        for receiver in receivers.iter_mut() {
            let mut visit_bytes = 0;
            while visit_bytes < BYTES_PER_VISIT {
                let sent = if *inline {
                    shard.send_many(channel, &receiver.to, receiver.place.run(&slices))
                } else {
                    let payload = payloads.at(receiver.place).clone();
                    shard
                        .try_send(channel, &receiver.to, payload)
                        .map(|()| 1)
                        .map_err(SendError::from)
                };
                match sent {
                    Ok(messages) => {
                        receiver.accept(messages);
                        visit_bytes += messages * payloads.bytes();
                    }
                    Err(SendError::Full) => break,
                    Err(error) => return Err(refused(error)),
                }
            }
            accepted += visit_bytes;
            turn_bytes += visit_bytes;
            if turn_bytes >= BYTES_PER_TURN {
                shard.yield_now().await;
                turn_bytes = 0;
            }
        }
        match &mut receivers[..] {
            _ if accepted > 0 => {}
            [receiver] => {
                // No room: sleep until there is.
                let payload = payloads.at(receiver.place).clone();
                let sent = shard.send(channel, &receiver.to, payload).await;
                sent.map_err(|unsent| refused(unsent.error))?;
                receiver.accept(1);
            }
            // Whichever has room first goes on: none of them is worth sleeping for.
            _ => shard.yield_now().await,
        }
    }
    Ok(())
}

fn produce_on_thread(mut work: Work) -> Outcome<()> {
    let Work {
        channel,
        receivers,
        payloads,
        inline,
        stop,
    } = &mut work;
    let slices = payloads.slices();
    while !stop.load(Ordering::Relaxed) {
        for receiver in receivers.iter_mut() {
            let sent = if *inline {
                channel.send_many(&receiver.to, receiver.place.run(&slices))
            } else {
                let payload = payloads.at(receiver.place).clone();
                channel
                    .try_send(&receiver.to, payload)
                    .map(|()| 1)
                    .map_err(SendError::from)
            };
            let sent = match sent {
                Err(SendError::Full) => {
                    let payload = payloads.at(receiver.place).clone();
                    channel
                        .send_blocking(&receiver.to, payload)
                        .map(|()| 1)
                        .map_err(SendError::from)
                }
                sent => sent,
            };
            receiver.accept(sent.map_err(|error| BenchError::Engine(error.to_string()))?);
        }
    }
    Ok(())
}
