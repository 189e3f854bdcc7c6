//! One connection to the admin socket: reads requests, has them answered, writes replies.
//!
//! Runs on a thread of its own, which may block; each wait has a deadline. Called by the server alone.

use std::io::{self, ErrorKind};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::Desk;
use super::answer::{Answer, Refusal, RefusalKind, Reply};
use super::event_report::EventReport;
use super::lines::Lines;
use super::request::{REQUEST_BYTES_MAX, Request};
use super::role::Role;
use crate::error::RecvError;
use crate::serving::{FOLLOWERS_MAX, Seated, Stream, part, read_by, write_by};

/// How long a connection may do nothing between two requests.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// How long the rest of a line may take from its first byte on, and a reply until it is taken.
const LINE_TIME_MAX: Duration = Duration::from_secs(10);

/// How often who follows events is looked at while nothing happens.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Bytes read at a time.
const PIECE_BYTES: usize = 16 << 10;

/// Serves a connection until its end: what its role is enough for.
pub(super) fn serve(
    stream: &UnixStream,
    seated: &Seated<UnixStream>,
    desk: &dyn Desk,
    role: Role,
) -> io::Result<()> {
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
        let request = Request::read(&line);
        match request.and_then(|request| role.allows(&request).map(|()| request)) {
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
    part(stream, (Reply::Refused(refusal).line() + "\n").as_bytes());
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
        match read_by(stream, &mut piece, deadline)? {
            None | Some(0) => return Ok(Came::End),
            Some(bytes) => lines.push(&piece[..bytes]),
        }
    }
}

fn write(stream: &UnixStream, reply: &Reply) -> io::Result<()> {
    let line = reply.line() + "\n";
    write_by(stream, line.as_bytes(), Instant::now() + LINE_TIME_MAX)
}

/// A line for each event, until the client goes, does not read, or the node has stopped.
fn follow(stream: &UnixStream, seated: &Seated<UnixStream>, desk: &dyn Desk) -> io::Result<()> {
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
    stream.set_waiting(false)?;
    let read = stream.receive(&mut [0]);
    stream.set_waiting(true)?;
    Ok(read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock))
}
