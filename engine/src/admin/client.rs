//! The client's end of an admin socket: one request after the other, or events.
//!
//! Used by commands and tests. Waits for each answer as long as the request allows, and holds no more than a bound of it.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::answer::{Answer, Refusal, RefusalKind, Reply};
use super::event_report::EventReport;
use super::lines::Lines;
use super::request::{REQUEST_BYTES_MAX, Request};
use crate::config::{Printable, debug_as_message};

/// The most bytes of a line from a node: counters of a thousand peers with eight channels each fit.
pub const REPLY_BYTES_MAX: usize = 64 << 20;

/// Bytes read at a time.
const PIECE_BYTES: usize = 64 << 10;

/// How often a request is repeated that found no room; nothing was done then.
const BUSY_TRIES: u32 = 20;

/// The wait before the second try; it grows with each.
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// How long events may be silent before the wait begins anew.
const FOLLOW_PATIENCE: Duration = Duration::from_secs(3600);

debug_as_message!(ClientError);

/// Why there is no answer.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody serves the socket.
    #[error(
        "no node answers at {}: {source}; start one with `overlane node`, or name another with --node or --admin",
        shown(path)
    )]
    NoNode {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The connection failed, or no answer came in time.
    #[error("the node at {} did not answer: {source}", shown(path))]
    NoAnswer {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// What came is no answer.
    #[error("what came from {} is no answer: {what}", shown(path))]
    NotUnderstood {
        /// The socket.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The request does not fit into a line.
    #[error(
        "the request has {bytes} bytes, and the socket takes {REQUEST_BYTES_MAX}: send a message that large from a program"
    )]
    TooLarge {
        /// Bytes of its line.
        bytes: usize,
    },
    /// The node refused.
    #[error("{}", Printable(&.0.text))]
    Refused(Refusal),
}

fn shown(path: &Path) -> String {
    Printable(&path.to_string_lossy()).to_string()
}

/// A connection to a node's admin socket.
#[derive(Debug)]
pub struct Client {
    path: PathBuf,
    stream: UnixStream,
    lines: Lines,
}

impl Client {
    /// Connects to the socket at that path.
    ///
    /// # Errors
    /// [`ClientError::NoNode`].
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        let stream = UnixStream::connect(path).map_err(|source| ClientError::NoNode {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            stream,
            lines: Lines::new(REPLY_BYTES_MAX),
        })
    }

    /// Connects, asks one thing, and goes; again if there was no room.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn ask_once(path: &Path, request: &Request) -> Result<Answer, ClientError> {
        let mut tries = 1;
        loop {
            match Self::connect(path)?.ask(request) {
                Err(ClientError::Refused(refusal))
                    if refusal.kind == RefusalKind::Busy && tries < BUSY_TRIES =>
                {
                    std::thread::sleep(BUSY_PAUSE * tries);
                    tries += 1;
                }
                answer => return answer,
            }
        }
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn ask(&mut self, request: &Request) -> Result<Answer, ClientError> {
        let line = request.line();
        if line.len() > REQUEST_BYTES_MAX {
            return Err(ClientError::TooLarge { bytes: line.len() });
        }
        let patience = request.patience();
        // Who was turned away may have been told so before the request was written: that is read all the same.
        let written = self.write(&line, patience);
        let deadline = Instant::now() + patience;
        match (self.read(deadline), written) {
            (Ok(Reply::Answer(answer)), _) => Ok(*answer),
            (Ok(Reply::Refused(refusal)), _) => Err(ClientError::Refused(refusal)),
            (Ok(Reply::Event(_)), _) => Err(self.not_understood("an event that was not asked for")),
            (Err(_), Err(error)) => Err(self.no_answer(error)),
            (Err(error), Ok(())) => Err(error),
        }
    }

    /// Follows what happens from now on.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn follow(mut self) -> Result<Following, ClientError> {
        match self.ask(&Request::Events {})? {
            Answer::Following => Ok(Following { client: self }),
            _ => Err(self.not_understood("another answer")),
        }
    }

    fn write(&mut self, line: &str, patience: Duration) -> io::Result<()> {
        self.stream.set_write_timeout(Some(patience))?;
        self.stream.write_all(format!("{line}\n").as_bytes())
    }

    fn read(&mut self, deadline: Instant) -> Result<Reply, ClientError> {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let line = self.lines.next_line();
            if let Some(line) = line.map_err(|error| self.not_understood(&error.to_string()))? {
                return Reply::read(&line).map_err(|what| self.not_understood(&what));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.no_answer(ErrorKind::TimedOut.into()));
            }
            let read = self.stream.set_read_timeout(Some(left));
            match read.and_then(|()| self.stream.read(&mut piece)) {
                Ok(0) => return Err(self.no_answer(ErrorKind::UnexpectedEof.into())),
                Ok(bytes) => self.lines.push(&piece[..bytes]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.no_answer(error)),
            }
        }
    }

    fn no_answer(&self, source: io::Error) -> ClientError {
        let path = self.path.clone();
        ClientError::NoAnswer { path, source }
    }

    fn not_understood(&self, what: &str) -> ClientError {
        ClientError::NotUnderstood {
            path: self.path.clone(),
            what: Printable(what).to_string(),
        }
    }
}

/// The events of a node, as they come.
#[derive(Debug)]
pub struct Following {
    client: Client,
}

impl Following {
    /// The next event, or `None` once the node has stopped.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn next_event(&mut self) -> Result<Option<EventReport>, ClientError> {
        loop {
            match self.client.read(Instant::now() + FOLLOW_PATIENCE) {
                Ok(Reply::Event(event)) => return Ok(Some(event)),
                Ok(_) => return Err(self.client.not_understood("no event")),
                Err(ClientError::NoAnswer { source, .. }) => match source.kind() {
                    ErrorKind::TimedOut => {}
                    ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => return Ok(None),
                    _ => return Err(self.client.no_answer(source)),
                },
                Err(error) => return Err(error),
            }
        }
    }
}
