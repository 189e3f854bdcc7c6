//! A raw process: plain TCP sockets, one thread that receives and echoes, one that sends or times.
//!
//! It listens and takes one connection after the other; the first bytes of a connection
//! say what it is for. It opens one for each window that it is asked to send or to time.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::latency::{self, Exchange, Pinger};
use super::protocol::{Command, PingOrder, Reply, SendOrder, Specification};
use super::throughput;
use crate::child::Parent;
use crate::error::{BenchError, Outcome};
use crate::payloads::{Arrivals, Arrived, Payloads};
use crate::pin;
use crate::ping;
use crate::sample::Sample;
use crate::shown::complain;

/// First byte of a connection: what it is for.
const STREAM: u8 = b's';
const BLOCKING_ECHO: u8 = b'e';
const BUSY_ECHO: u8 = b'b';

/// Runs this process until the parent closes its pipe.
pub(crate) fn serve(mut parent: Parent) {
    let Some(specification) = parent.next::<Specification>() else {
        return;
    };
    match specification.and_then(|specification| Process::start(&specification)) {
        Ok((mut process, address)) => {
            parent.answer(Ok(Reply::Listening(address)));
            parent.serve(|command| process.obey(command));
        }
        Err(error) => parent.answer::<Reply>(Err(error)),
    }
}

/// What the process does beside receiving: at most one window of sending and one of timing at once.
#[derive(Debug)]
struct Process {
    core: Option<usize>,
    arrived: Arc<Arrived>,
    stop: Arc<AtomicBool>,
    sending: Option<JoinHandle<Outcome<()>>>,
}

impl Process {
    /// Listens, and serves what connects on a thread of its own.
    fn start(specification: &Specification) -> Outcome<(Self, SocketAddr)> {
        let Specification {
            core,
            listen,
            only_from,
        } = *specification;
        let arrived = Arc::new(Arrived::default());
        let listening = TcpListener::bind((listen, 0)).and_then(|listener| {
            let address = listener.local_addr()?;
            Ok((listener, address))
        });
        let (listener, address) =
            listening.map_err(BenchError::system("listening for raw connections"))?;
        let counts = Arc::clone(&arrived);
        named("raw-receiver", move || {
            let served = pin_to(core).and_then(|()| accept_each(&listener, only_from, &counts));
            if let Err(error) = &served {
                complain(format_args!("raw receiver: {error}"));
            }
            served
        })?;
        let process = Self {
            core,
            arrived,
            stop: Arc::default(),
            sending: None,
        };
        Ok((process, address))
    }

    fn obey(&mut self, command: Command) -> Outcome<Reply> {
        match command {
            Command::Sample if self.arrived.disorders() > 0 => Err(BenchError::CheckFailed(
                "raw frames came out of order".into(),
            )),
            Command::Sample => {
                let (messages, bytes) = (self.arrived.messages(), self.arrived.bytes());
                Ok(Reply::Sample(Sample::take(messages, bytes, 0)))
            }
            Command::StartSending(order) => self.start_sending(&order),
            Command::StopSending => {
                self.stop.store(true, Ordering::Relaxed);
                self.sending.take().map_or(Ok(()), joined)?;
                Ok(Reply::Ready)
            }
            Command::Ping(order) => self.ping(&order),
        }
    }

    fn start_sending(&mut self, order: &SendOrder) -> Outcome<Reply> {
        let mut stream = connect(order.to, STREAM, order.payload_bytes)?;
        self.stop.store(false, Ordering::Relaxed);
        let stop = Arc::clone(&self.stop);
        let (core, payloads) = (self.core, Payloads::new(order.payload_bytes));
        let batch_bytes = order.batch_bytes;
        self.sending = Some(named("raw-sender", move || {
            pin_to(core)?;
            match batch_bytes {
                Some(batch_bytes) => {
                    throughput::send_until(&stop, &mut stream, &payloads, batch_bytes)
                }
                None => throughput::send_each_until(&stop, &mut stream, &payloads),
            }
        })?);
        Ok(Reply::Ready)
    }

    fn ping(&self, order: &PingOrder) -> Outcome<Reply> {
        let purpose = if order.busy { BUSY_ECHO } else { BLOCKING_ECHO };
        let stream = connect(order.to, purpose, order.payload_bytes)?;
        let exchange = Exchange::over(stream, order.busy, order.payload_bytes)?;
        let mut pinger = Pinger::new(exchange, Payloads::new(order.payload_bytes));
        let (core, pace, times) = (self.core, order.pace, (order.warm_up, order.measure));
        let timed = joined(named("raw-pinger", move || {
            pin_to(core)?;
            ping::run(&mut pinger, pace, times)
        })?)?;
        Ok(Reply::Timed(timed.buckets()))
    }
}

/// Serves one connection after the other; a connection is a measured window.
fn accept_each(listener: &TcpListener, only_from: IpAddr, arrived: &Arc<Arrived>) -> Outcome<()> {
    loop {
        let accepted = listener.accept();
        let (mut stream, from) = accepted.map_err(BenchError::system("accepting"))?;
        if from.ip() != only_from {
            continue;
        }
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

fn pin_to(core: Option<usize>) -> Outcome<()> {
    core.map_or(Ok(()), pin::pin_to)
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
