//! One connection to the admin socket: reads requests, has them answered, writes replies.
//!
//! Runs on a thread of its own, which may block; each wait has a deadline. Called by the server alone.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::Desk;
use super::answer::{Answer, Refusal, RefusalKind, Reply};
use super::event_report::EventReport;
use super::lines::Lines;
use super::request::{REQUEST_BYTES_MAX, Request};
use super::seats::{FOLLOWERS_MAX, Seated};
use crate::error::RecvError;

/// How long a connection may do nothing between two requests.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// How long the rest of a line may take from its first byte on, and a reply until it is taken.
const LINE_TIME_MAX: Duration = Duration::from_secs(10);

/// How often who follows events is looked at while nothing happens.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Bytes read at a time.
const PIECE_BYTES: usize = 16 << 10;

/// Serves a connection until its end.
pub(super) fn serve(stream: &UnixStream, seated: &Seated, desk: &dyn Desk) -> io::Result<()> {
    let mut lines = Lines::new(REQUEST_BYTES_MAX);
    loop {
        let line = match read_line(stream, &mut lines)? {
            Came::Line(line) => line,
            Came::End => return Ok(()),
            Came::TooLong(refusal) => {
                // What is unread resets the connection, but only after this was read.
                return write(stream, &Reply::Refused(refusal));
            }
        };
        if !seated.begin_request() {
            return Ok(());
        }
        match Request::read(&line) {
            Ok(Request::Events {}) => return follow(stream, seated, desk),
            Ok(request) => {
                let reply = match desk.answer(request) {
                    Ok(answer) => Reply::Answer(Box::new(answer)),
                    Err(refusal) => Reply::Refused(refusal),
                };
                write(stream, &reply)?;
            }
            Err(refusal) => write(stream, &Reply::Refused(refusal))?,
        }
        if !seated.end_request() {
            return Ok(());
        }
    }
}

/// Says that there is no room, without waiting for whoever comes.
pub(super) fn turn_away(stream: &UnixStream) {
    let refusal = Refusal::new(
        RefusalKind::Busy,
        "there are too many connections to this admin socket, and nothing was done: try again",
    );
    let line = Reply::Refused(refusal).line() + "\n";
    let mut stream = stream;
    // Who does not take it finds the connection closed.
    let _ = stream.set_nonblocking(true);
    let _ = stream.write_all(line.as_bytes());
    let _ = stream.shutdown(Shutdown::Both);
}

enum Came {
    Line(Vec<u8>),
    TooLong(Refusal),
    End,
}

/// The next line, or the end: also where it does not come in time.
fn read_line(stream: &UnixStream, lines: &mut Lines) -> io::Result<Came> {
    let mut deadline = Instant::now() + IDLE_MAX;
    let mut begun = false;
    let mut piece = [0; PIECE_BYTES];
    loop {
        match lines.next_line() {
            Ok(Some(line)) => return Ok(Came::Line(line)),
            Ok(None) => {}
            Err(too_long) => {
                let text = format!("{too_long}: send a message that large from a program");
                return Ok(Came::TooLong(Refusal::new(RefusalKind::Malformed, text)));
            }
        }
        if lines.is_within_line() && !begun {
            begun = true;
            deadline = Instant::now() + LINE_TIME_MAX;
        }
        let Some(left) = left_until(deadline) else {
            return Ok(Came::End);
        };
        stream.set_read_timeout(Some(left))?;
        let mut reading = stream;
        match reading.read(&mut piece) {
            Ok(0) => return Ok(Came::End),
            Ok(bytes) => lines.push(&piece[..bytes]),
            Err(error) if is_passing(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

fn write(stream: &UnixStream, reply: &Reply) -> io::Result<()> {
    let line = reply.line() + "\n";
    let deadline = Instant::now() + LINE_TIME_MAX;
    let mut left = line.as_bytes();
    while !left.is_empty() {
        let Some(time_left) = left_until(deadline) else {
            return Err(ErrorKind::TimedOut.into());
        };
        stream.set_write_timeout(Some(time_left))?;
        let mut writing = stream;
        match writing.write(left) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(bytes) => left = &left[bytes..],
            Err(error) if is_passing(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A line for each event, until the client goes, does not read, or the node has stopped.
fn follow(stream: &UnixStream, seated: &Seated, desk: &dyn Desk) -> io::Result<()> {
    if !seated.begin_following() {
        let text = format!("{FOLLOWERS_MAX} connections follow the events of this node already");
        return write(
            stream,
            &Reply::Refused(Refusal::new(RefusalKind::Busy, text)),
        );
    }
    let events = desk.follow();
    write(stream, &Reply::Answer(Box::new(Answer::Following)))?;
    loop {
        match events.recv_deadline(Instant::now() + LOOK_EVERY) {
            Ok(event) => write(stream, &Reply::Event(EventReport::now(&event)))?,
            Err(RecvError::TimedOut) if is_there(stream)? => {}
            Err(_) => return Ok(()),
        }
    }
}

/// Whether the client is still there: it has nothing to say while it follows, so what can be read is its end.
fn is_there(stream: &UnixStream) -> io::Result<bool> {
    stream.set_nonblocking(true)?;
    let mut reading = stream;
    let read = reading.read(&mut [0]);
    stream.set_nonblocking(false)?;
    Ok(read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock))
}

fn left_until(deadline: Instant) -> Option<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    (!left.is_zero()).then_some(left)
}

/// The time allowed for one call has passed, or a signal came: the deadline decides.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}
