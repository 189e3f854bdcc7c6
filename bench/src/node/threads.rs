//! What application threads do with a node: read an inbox, send back what comes, time round trips.
//!
//! Started by process.rs in processes whose specification asks for inboxes. These threads have no core
//! of their own and no raised priority: they are what an application is.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use overlane::{Channel, Destination, Inbox, Mailbox, Node, RecvError};

use crate::error::{BenchError, Outcome};
use crate::heartbeat::Heartbeat;
use crate::payloads::Arrivals;
use crate::ping::{self, Pace, Timed};

/// Mailbox that the reader thread takes bulk messages from.
pub(crate) const READER: &str = "reader";
/// Mailbox whose messages the echo thread sends back.
pub(crate) const ECHO: &str = "echo-thread";
/// Mailbox that the answers to the ping thread come to.
const ANSWER: &str = "answer-thread";

/// The application of one node: its reader and echo threads run, its ping thread runs when asked.
#[derive(Debug)]
pub(crate) struct Threads {
    answers: Inbox,
    fault: Arc<Mutex<Option<String>>>,
}

impl Threads {
    /// Starts the reader, which counts into `arrivals`, and the echo.
    pub(crate) fn start(node: &Node, channels: Vec<Channel>, arrivals: Arrivals) -> Outcome<Self> {
        let inbox = |mailbox| {
            let inbox = node.inbox(mailbox);
            inbox.map_err(|error| BenchError::Engine(error.to_string()))
        };
        let answer = node
            .mailbox(ANSWER)
            .map_err(|error| BenchError::Engine(error.to_string()))?;
        let fault: Arc<Mutex<Option<String>>> = Arc::default();
        let (bulk, pings, answers) = (inbox(READER)?, inbox(ECHO)?, inbox(ANSWER)?);
        spawn("reader", move || read(bulk, arrivals))?;
        let own = Arc::clone(&fault);
        spawn("echo", move || {
            if let Err(error) = echo(pings, &channels, &answer) {
                *own.lock().expect("no holder of the fault panics") = Some(error.to_string());
            }
        })?;
        Ok(Self { answers, fault })
    }

    /// What went wrong on the echo thread, if anything.
    pub(crate) fn fault(&self) -> Option<String> {
        let fault = self.fault.lock();
        fault.expect("no holder of the fault panics").clone()
    }

    /// Times round trips on a ping thread, while the calling thread sleeps.
    pub(crate) fn ping(
        &mut self,
        channel: &Channel,
        to: &Destination,
        payload_bytes: usize,
        pace: Pace,
        times: (Duration, Duration),
    ) -> Outcome<Timed> {
        let mut exchange = Exchange {
            channel,
            to,
            answers: &mut self.answers,
            message: vec![0x5a; payload_bytes],
            answered: 0,
        };
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("ping".into());
            let thread = thread.spawn_scoped(scope, || ping::run(&mut exchange, pace, times));
            let thread = thread.map_err(BenchError::system("starting a thread"))?;
            let panicked = |_| Err(BenchError::Engine("the ping thread panicked".into()));
            thread.join().unwrap_or_else(panicked)
        })
    }
}

/// The ping thread's hold on the node.
struct Exchange<'a> {
    channel: &'a Channel,
    to: &'a Destination,
    answers: &'a mut Inbox,
    message: Vec<u8>,
    answered: u64,
}

impl ping::Exchange for Exchange<'_> {
    fn send(&mut self, beat: Heartbeat) -> Outcome<()> {
        beat.encode(&mut self.message);
        let sent = self.channel.send_blocking(self.to, &self.message);
        sent.map_err(|error| BenchError::Engine(format!("a timed message: {error}")))
    }

    fn receive(&mut self, within: Option<Duration>) -> Outcome<bool> {
        let answer = match within {
            None => self.answers.recv_blocking(),
            Some(within) => self.answers.recv_timeout(within),
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(RecvError::TimedOut) => return Ok(false),
            Err(error) => return Err(BenchError::Engine(format!("within a window: {error}"))),
        };
        let beat = Heartbeat::decode(answer.payload());
        if beat.is_none_or(|beat| beat.sequence != self.answered) {
            return Err(BenchError::CheckFailed(
                "answers to timed messages were lost, damaged or out of order".into(),
            ));
        }
        self.answered += 1;
        Ok(true)
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Outcome<()> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    let spawned = thread.spawn(work);
    spawned.map_err(BenchError::system("starting a thread"))?;
    Ok(())
}

/// Takes bulk messages until the node stops.
fn read(mut inbox: Inbox, mut arrivals: Arrivals) {
    while let Ok(message) = inbox.recv_blocking() {
        arrivals.take(message.payload());
    }
}

/// Sends each message back on the channel that it came on, until the node stops.
fn echo(mut inbox: Inbox, channels: &[Channel], answer: &Mailbox) -> Outcome<()> {
    while let Ok(message) = inbox.recv_blocking() {
        let came_on = |channel: &&Channel| channel.name() == message.channel();
        let channel = channels.iter().find(came_on).ok_or_else(|| {
            BenchError::Engine(format!("the test has no channel {}", message.channel()))
        })?;
        let sent = channel.send_blocking(&message.reply_to(answer), message.payload());
        sent.map_err(|error| BenchError::Engine(format!("an answer: {error}")))?;
    }
    Ok(())
}
