//! The two raw processes: what they are asked, and how the parent runs them.
//!
//! `RawPair` is the parent's end. The receiver listens on loopback and takes one connection after the
//! other; the first bytes of a connection say what it is for. The sender opens one for each window.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::latency::{self, Exchange};
use super::throughput;
use crate::child::{Child, Parent};
use crate::error::{BenchError, Outcome};
use crate::latencies::{Buckets, Latencies};
use crate::payloads::{Arrivals, Arrived, Payloads};
use crate::pin;
use crate::sample::{Sample, Window};

/// Batches that are tried when no size is asked for, how often, and how long each time. The best window
/// counts: others are slow for reasons of the machine's.
const BATCHES_KIB: [usize; 4] = [128, 256, 512, 1_024];
const BATCH_TRIES: u32 = 3;
const TRY_WARM_UP: Duration = Duration::from_millis(20);
const TRY_MEASURE: Duration = Duration::from_millis(40);

/// Role name of both processes.
pub(crate) const ROLE: &str = "raw";

/// First byte of a connection: what it is for.
const STREAM: u8 = b's';
const BLOCKING_ECHO: u8 = b'e';
const BUSY_ECHO: u8 = b'b';

/// Which of the two processes this is.
#[derive(Debug, Serialize, Deserialize)]
enum Specification {
    Receiver { core: usize },
    Sender { core: usize, receiver: SocketAddr },
}

#[derive(Debug, Serialize, Deserialize)]
enum Command {
    Sample,
    StartSending {
        payload_bytes: usize,
        batch_bytes: usize,
    },
    StopSending,
    Ping {
        payload_bytes: usize,
        busy: bool,
        warm_up: Duration,
        measure: Duration,
    },
}

#[derive(Debug, Serialize, Deserialize)]
enum Reply {
    Ready,
    Listening(SocketAddr),
    Sample(Sample),
    Latencies(Buckets),
}

/// The parent's end of a raw sender and a raw receiver.
#[derive(Debug)]
pub(crate) struct RawPair {
    sender: Child,
    receiver: Child,
    batch_kib: Option<usize>,
}

impl RawPair {
    /// Starts both processes, each with its one working thread on its core.
    pub(crate) fn start(cores: (usize, usize), batch_kib: Option<usize>) -> Outcome<Self> {
        let specification = Specification::Receiver { core: cores.1 };
        let (receiver, reply) = Child::start(ROLE, "receiver", &specification)?;
        let Reply::Listening(address) = reply else {
            return Err(unexpected(&reply));
        };
        let specification = Specification::Sender {
            core: cores.0,
            receiver: address,
        };
        let (sender, _) = Child::start::<_, Reply>(ROLE, "sender", &specification)?;
        Ok(Self {
            sender,
            receiver,
            batch_kib,
        })
    }

    /// One window of one-way traffic, in the batches asked for or in those that are fastest here.
    pub(crate) fn stream(
        &mut self,
        payload_bytes: usize,
        warm_up: Duration,
        measure: Duration,
    ) -> Outcome<Window> {
        let batch_kib = match self.batch_kib {
            Some(batch_kib) => batch_kib,
            None => self.fastest_batch(payload_bytes)?,
        };
        self.stream_in_batches(payload_bytes, batch_kib, warm_up, measure)
    }

    /// Tries the batch sizes, in turn and several times each, and keeps the one with the best window.
    fn fastest_batch(&mut self, payload_bytes: usize) -> Outcome<usize> {
        let mut fastest = (0.0, BATCHES_KIB[0]);
        for _ in 0..BATCH_TRIES {
            for batch_kib in BATCHES_KIB {
                let tried =
                    self.stream_in_batches(payload_bytes, batch_kib, TRY_WARM_UP, TRY_MEASURE)?;
                let rate = tried.messages_per_s();
                if rate > fastest.0 {
                    fastest = (rate, batch_kib);
                }
            }
        }
        self.batch_kib = Some(fastest.1);
        Ok(fastest.1)
    }

    /// The size of its batches, asked for or found.
    pub(crate) fn batch_kib(&self) -> usize {
        self.batch_kib.unwrap_or_default()
    }

    fn stream_in_batches(
        &mut self,
        payload_bytes: usize,
        batch_kib: usize,
        warm_up: Duration,
        measure: Duration,
    ) -> Outcome<Window> {
        let batch_bytes = batch_kib * 1024;
        self.sender.ask::<_, Reply>(&Command::StartSending {
            payload_bytes,
            batch_bytes,
        })?;
        std::thread::sleep(warm_up);
        let before = (sample(&mut self.sender)?, sample(&mut self.receiver)?);
        std::thread::sleep(measure);
        let after = (sample(&mut self.sender)?, sample(&mut self.receiver)?);
        self.sender.ask::<_, Reply>(&Command::StopSending)?;
        Ok(Window::between((before.0, after.0), (before.1, after.1)))
    }

    /// One window of ping-pong.
    pub(crate) fn ping(
        &mut self,
        payload_bytes: usize,
        busy: bool,
        warm_up: Duration,
        measure: Duration,
    ) -> Outcome<Latencies> {
        let command = Command::Ping {
            payload_bytes,
            busy,
            warm_up,
            measure,
        };
        let within = warm_up + measure + Duration::from_secs(20);
        match self.sender.ask_within(&command, within)? {
            Reply::Latencies(buckets) => {
                let mut latencies = Latencies::default();
                latencies.add(&buckets);
                Ok(latencies)
            }
            other => Err(unexpected(&other)),
        }
    }
}

fn sample(child: &mut Child) -> Outcome<Sample> {
    match child.ask(&Command::Sample)? {
        Reply::Sample(sample) => Ok(sample),
        other => Err(unexpected(&other)),
    }
}

fn unexpected(reply: &Reply) -> BenchError {
    BenchError::Engine(format!(
        "a raw process answered {reply:?} to another question"
    ))
}

/// Runs this process as one of the two until the parent closes its pipe.
pub(crate) fn serve(mut parent: Parent) {
    let Some(specification) = parent.next() else {
        return;
    };
    match specification {
        Ok(Specification::Receiver { core }) => serve_receiver(parent, core),
        Ok(Specification::Sender { core, receiver }) => {
            parent.answer(Ok(Reply::Ready));
            let mut sender = Sender::new(core, receiver);
            parent.serve(|command| sender.obey(command));
        }
        Err(error) => parent.answer::<Reply>(Err(error)),
    }
}

fn serve_receiver(mut parent: Parent, core: usize) {
    let arrived = Arc::new(Arrived::default());
    let listening = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| {
        let address = listener.local_addr()?;
        let arrived = Arc::clone(&arrived);
        std::thread::Builder::new()
            .name("raw-receiver".into())
            .spawn(move || {
                let served = pin::pin_to(core).and_then(|()| accept_each(&listener, &arrived));
                if let Err(error) = served {
                    eprintln!("raw receiver: {error}");
                }
            })?;
        Ok(address)
    });
    let address = listening.map_err(BenchError::system("listening on loopback"));
    parent.answer(address.map(Reply::Listening));
    parent.serve(|command| match command {
        Command::Sample if arrived.disorders() == 0 => Ok(Reply::Sample(Sample::take(
            arrived.messages(),
            arrived.bytes(),
            0,
        ))),
        Command::Sample => Err(BenchError::CheckFailed(
            "raw frames came out of order".into(),
        )),
        _ => Err(BenchError::Engine("a raw receiver only samples".into())),
    });
}

/// Serves one connection after the other; a connection is a measured window.
fn accept_each(listener: &TcpListener, arrived: &Arc<Arrived>) -> Outcome<()> {
    loop {
        let (mut stream, _) = listener.accept().map_err(BenchError::system("accepting"))?;
        let mut preamble = [0_u8; 5];
        let read = stream.read_exact(&mut preamble);
        read.map_err(BenchError::system("reading what a raw connection is for"))?;
        let [purpose, length @ ..] = preamble;
        let payload_bytes = u32::from_le_bytes(length) as usize;
        let served = match purpose {
            STREAM => {
                let mut arrivals = Arrivals::new(Arc::clone(arrived));
                throughput::receive(&mut stream, payload_bytes, &mut arrivals)
            }
            BLOCKING_ECHO | BUSY_ECHO => {
                latency::echo(Exchange::over(stream, purpose == BUSY_ECHO, payload_bytes)?)
            }
            _ => Err(BenchError::Engine(
                "another program connected to a raw receiver".into(),
            )),
        };
        served?;
    }
}

/// The sending process: at most one window at a time.
#[derive(Debug)]
struct Sender {
    core: usize,
    receiver: SocketAddr,
    sent: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    sending: Option<JoinHandle<Outcome<()>>>,
}

impl Sender {
    fn new(core: usize, receiver: SocketAddr) -> Self {
        let (sent, stop) = (Arc::default(), Arc::default());
        Self {
            core,
            receiver,
            sent,
            stop,
            sending: None,
        }
    }

    fn obey(&mut self, command: Command) -> Outcome<Reply> {
        match command {
            Command::Sample => Ok(Reply::Sample(Sample::take(
                self.sent.load(Ordering::Relaxed),
                0,
                0,
            ))),
            Command::StartSending {
                payload_bytes,
                batch_bytes,
            } => self.start_sending(payload_bytes, batch_bytes),
            Command::StopSending => {
                self.stop.store(true, Ordering::Relaxed);
                self.sending.take().map_or(Ok(()), joined)?;
                Ok(Reply::Ready)
            }
            Command::Ping {
                payload_bytes,
                busy,
                warm_up,
                measure,
            } => {
                let purpose = if busy { BUSY_ECHO } else { BLOCKING_ECHO };
                let stream = connect(self.receiver, purpose, payload_bytes)?;
                let exchange = Exchange::over(stream, busy, payload_bytes)?;
                let (core, payloads) = (self.core, Payloads::new(payload_bytes));
                let latencies = joined(named("raw-pinger", move || {
                    pin::pin_to(core)?;
                    latency::ping(
                        exchange,
                        &payloads,
                        nanoseconds(warm_up),
                        nanoseconds(measure),
                    )
                })?)?;
                Ok(Reply::Latencies(latencies.buckets()))
            }
        }
    }

    fn start_sending(&mut self, payload_bytes: usize, batch_bytes: usize) -> Outcome<Reply> {
        let mut stream = connect(self.receiver, STREAM, payload_bytes)?;
        self.stop.store(false, Ordering::Relaxed);
        let (stop, sent) = (Arc::clone(&self.stop), Arc::clone(&self.sent));
        let core = self.core;
        self.sending = Some(named("raw-sender", move || {
            pin::pin_to(core)?;
            let payloads = Payloads::new(payload_bytes);
            throughput::send_until(&stop, &mut stream, &payloads, batch_bytes, &sent)
        })?);
        Ok(Reply::Ready)
    }
}

/// Connects and says what the connection is for.
fn connect(receiver: SocketAddr, purpose: u8, payload_bytes: usize) -> Outcome<TcpStream> {
    let opened = TcpStream::connect(receiver).and_then(|mut stream| {
        stream.set_nodelay(true)?;
        let length = u32::try_from(payload_bytes)
            .unwrap_or(u32::MAX)
            .to_le_bytes();
        stream.write_all(&[purpose, length[0], length[1], length[2], length[3]])?;
        Ok(stream)
    });
    opened.map_err(BenchError::system("connecting to the raw receiver"))
}

fn named<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> Outcome<T> + Send + 'static,
) -> Outcome<JoinHandle<Outcome<T>>> {
    let thread = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work);
    thread.map_err(BenchError::system("starting a thread"))
}

fn joined<T>(thread: JoinHandle<Outcome<T>>) -> Outcome<T> {
    thread
        .join()
        .unwrap_or_else(|_| Err(BenchError::Engine("a raw thread panicked".into())))
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
