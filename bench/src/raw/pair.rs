//! The parent's end of two raw processes: one that sends and times, one that receives and echoes.
//!
//! Offers the same measurements as node/pair.rs does for nodes, so that the two can be taken in turn.

use std::net::SocketAddr;
use std::time::Duration;

use super::protocol::{Command, PingOrder, Reply, SendOrder};
use crate::error::{BenchError, Outcome};
use crate::latencies::Latencies;
use crate::ping::{Pace, Timed};
use crate::remote::site::{Hosts, Site, Worker};
use crate::sample::{Sample, Window};

/// Batches that are tried when no size is asked for, how often, and how long each time. The best window
/// counts: others are slow for reasons of the machine's.
const BATCHES_KIB: [usize; 4] = [128, 256, 512, 1_024];
const BATCH_TRIES: u32 = 3;
const TRY_WARM_UP: Duration = Duration::from_millis(20);
const TRY_MEASURE: Duration = Duration::from_millis(40);

/// One raw process.
#[derive(Debug)]
pub(crate) struct RawProcess {
    worker: Worker,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl RawProcess {
    /// Starts it, with its one busy thread on `core`, or with threads that the kernel places.
    pub(crate) fn start(site: &Site, name: &str, core: Option<usize>) -> Outcome<Self> {
        let (worker, reply) = Worker::start_raw(site, name, core)?;
        match reply {
            Reply::Listening(address) => Ok(Self { worker, address }),
            other => Err(unexpected(&other)),
        }
    }

    /// Counters up to now.
    pub(crate) fn sample(&mut self) -> Outcome<Sample> {
        match self.worker.ask(&Command::Sample)? {
            Reply::Sample(sample) => Ok(sample),
            other => Err(unexpected(&other)),
        }
    }

    /// Begins to send.
    pub(crate) fn start_sending(&mut self, order: &SendOrder) -> Outcome<()> {
        self.order(&Command::StartSending(order.clone()))
    }

    /// Ends sending.
    pub(crate) fn stop_sending(&mut self) -> Outcome<()> {
        self.order(&Command::StopSending)
    }

    /// Round trips to another process.
    pub(crate) fn ping(&mut self, order: &PingOrder) -> Outcome<Timed> {
        let within = order.warm_up + order.measure + Duration::from_secs(20);
        let ping = Command::Ping(order.clone());
        match self.worker.ask_within(&ping, within)? {
            Reply::Timed(buckets) => Ok(Timed::from(&buckets)),
            other => Err(unexpected(&other)),
        }
    }

    fn order(&mut self, command: &Command) -> Outcome<()> {
        match self.worker.ask(command)? {
            Reply::Ready => Ok(()),
            other => Err(unexpected(&other)),
        }
    }
}

/// One window of one-way traffic from `sender` to `receiver`.
pub(crate) fn stream_between(
    sender: &mut RawProcess,
    receiver: &mut RawProcess,
    order: &SendOrder,
    (warm_up, measure): (Duration, Duration),
) -> Outcome<Window> {
    sender.start_sending(order)?;
    std::thread::sleep(warm_up);
    let before = (sender.sample()?, receiver.sample()?);
    std::thread::sleep(measure);
    let after = (sender.sample()?, receiver.sample()?);
    sender.stop_sending()?;
    Ok(Window::between((before.0, after.0), (before.1, after.1)))
}

/// What an application thread that writes to a socket gathers for one write, if its messages are
/// shorter; longer ones are written as they are.
const WRITE_BYTES: usize = 64 * 1024;

/// The batches of an application thread: those asked for, else as few copies as its messages allow.
pub(crate) fn batch_bytes_of_thread(
    payload_bytes: usize,
    batch_kib: Option<usize>,
) -> Option<usize> {
    let as_they_are = (payload_bytes < WRITE_BYTES).then_some(WRITE_BYTES);
    batch_kib.map_or(as_they_are, |batch_kib| Some(batch_kib * 1024))
}

/// A raw sender and a raw receiver.
#[derive(Debug)]
pub(crate) struct RawPair {
    sender: RawProcess,
    receiver: RawProcess,
    writes: Writes,
}

/// What is gathered for one write.
#[derive(Debug, Clone, Copy)]
enum Writes {
    /// What is the fastest here, not yet found.
    Fastest,
    /// So much; none is one write for each message.
    Batches { bytes: Option<usize> },
}

impl RawPair {
    /// Starts both processes, each with its one working thread on its core, writing the batches asked
    /// for or those that are fastest here.
    pub(crate) fn on_cores(
        hosts: &Hosts,
        cores: (usize, usize),
        batch_kib: Option<usize>,
    ) -> Outcome<Self> {
        let asked_for = batch_kib.map(|batch_kib| Writes::Batches {
            bytes: Some(batch_kib * 1024),
        });
        Ok(Self {
            receiver: RawProcess::start(&hosts.far(), "receiver", Some(cores.1))?,
            sender: RawProcess::start(&hosts.near(), "sender", Some(cores.0))?,
            writes: asked_for.unwrap_or(Writes::Fastest),
        })
    }

    /// Starts both processes as application threads run, placed by the kernel.
    pub(crate) fn unplaced(
        hosts: &Hosts,
        payload_bytes: usize,
        batch_kib: Option<usize>,
    ) -> Outcome<Self> {
        let bytes = batch_bytes_of_thread(payload_bytes, batch_kib);
        Ok(Self {
            receiver: RawProcess::start(&hosts.far(), "receiver", None)?,
            sender: RawProcess::start(&hosts.near(), "sender", None)?,
            writes: Writes::Batches { bytes },
        })
    }

    /// One window of one-way traffic.
    pub(crate) fn stream(
        &mut self,
        payload_bytes: usize,
        warm_up: Duration,
        measure: Duration,
    ) -> Outcome<Window> {
        let batch_bytes = match self.writes {
            Writes::Batches { bytes } => bytes,
            Writes::Fastest => self.fastest_batch(payload_bytes)?,
        };
        self.stream_in_batches(payload_bytes, batch_bytes, (warm_up, measure))
    }

    /// Tries the batch sizes, in turn and several times each, and keeps the one with the best window.
    fn fastest_batch(&mut self, payload_bytes: usize) -> Outcome<Option<usize>> {
        let mut fastest = (0.0, None);
        for _ in 0..BATCH_TRIES {
            for batch_kib in BATCHES_KIB {
                let (bytes, times) = (Some(batch_kib * 1024), (TRY_WARM_UP, TRY_MEASURE));
                let tried = self.stream_in_batches(payload_bytes, bytes, times)?;
                let rate = tried.messages_per_s();
                if rate > fastest.0 {
                    fastest = (rate, bytes);
                }
            }
        }
        self.writes = Writes::Batches { bytes: fastest.1 };
        Ok(fastest.1)
    }

    /// What it gathers for one write, for people.
    pub(crate) fn writes(&self) -> String {
        match self.writes {
            Writes::Batches { bytes: Some(bytes) } => format!("in batches of {} KiB", bytes / 1024),
            Writes::Batches { bytes: None } => "with one write for each message".to_owned(),
            Writes::Fastest => "not measured".to_owned(),
        }
    }

    fn stream_in_batches(
        &mut self,
        payload_bytes: usize,
        batch_bytes: Option<usize>,
        times: (Duration, Duration),
    ) -> Outcome<Window> {
        let order = SendOrder {
            to: self.receiver.address,
            payload_bytes,
            batch_bytes,
        };
        stream_between(&mut self.sender, &mut self.receiver, &order, times)
    }

    /// One window of ping-pong.
    pub(crate) fn ping(
        &mut self,
        payload_bytes: usize,
        busy: bool,
        warm_up: Duration,
        measure: Duration,
    ) -> Outcome<Latencies> {
        let order = PingOrder {
            to: self.receiver.address,
            payload_bytes,
            busy,
            pace: Pace::Closed,
            warm_up,
            measure,
        };
        Ok(self.sender.ping(&order)?.begun)
    }
}

fn unexpected(reply: &Reply) -> BenchError {
    BenchError::Engine(format!(
        "a raw process answered {reply:?} to another question"
    ))
}
