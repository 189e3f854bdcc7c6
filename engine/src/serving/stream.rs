//! Sockets as servers use them: blocking calls with a deadline.
//!
//! Called on the thread of a connection. Both kinds of sockets that the engine serves, Unix and TCP, look alike here.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use socket2::SockRef;

/// A connection.
pub(crate) trait Stream: Send + Sync + 'static {
    /// Reads what has come, or waits for it as long as [`allow_reading`](Self::allow_reading) says.
    fn receive(&self, into: &mut [u8]) -> io::Result<usize>;
    /// Writes what there is room for, or waits for it as long as [`allow_writing`](Self::allow_writing) says.
    fn send(&self, bytes: &[u8]) -> io::Result<usize>;
    /// How long a read may wait.
    fn allow_reading(&self, time: Duration) -> io::Result<()>;
    /// How long a write may wait.
    fn allow_writing(&self, time: Duration) -> io::Result<()>;
    /// Whether calls wait at all.
    fn set_waiting(&self, waiting: bool) -> io::Result<()>;
    /// Ends both directions. One that has ended already needs no end.
    fn end(&self);
}

/// A socket that connections come to.
pub(crate) trait Listener: Send + Sync + 'static {
    /// What comes.
    type Stream: Stream;
    /// Waits for the next connection.
    fn next(&self) -> io::Result<Self::Stream>;
    /// Ends the wait, now and later.
    fn end(&self);
}

macro_rules! sockets {
    ($listener:ty, $stream:ty) => {
        impl Stream for $stream {
            fn receive(&self, into: &mut [u8]) -> io::Result<usize> {
                let mut reading = self;
                reading.read(into)
            }

            fn send(&self, bytes: &[u8]) -> io::Result<usize> {
                let mut writing = self;
                writing.write(bytes)
            }

            fn allow_reading(&self, time: Duration) -> io::Result<()> {
                self.set_read_timeout(Some(time))
            }

            fn allow_writing(&self, time: Duration) -> io::Result<()> {
                self.set_write_timeout(Some(time))
            }

            fn set_waiting(&self, waiting: bool) -> io::Result<()> {
                self.set_nonblocking(!waiting)
            }

            fn end(&self) {
                let _ = self.shutdown(Shutdown::Both);
            }
        }

        impl Listener for $listener {
            type Stream = $stream;

            fn next(&self) -> io::Result<$stream> {
                self.accept().map(|(stream, _)| stream)
            }

            fn end(&self) {
                let _ = SockRef::from(&self.as_fd()).shutdown(Shutdown::Both);
            }
        }
    };
}

sockets!(UnixListener, UnixStream);
sockets!(TcpListener, TcpStream);

/// Reads what comes until the deadline: how many bytes, 0 at the end of the connection, none if nothing came in time.
pub(crate) fn read_by(
    stream: &impl Stream,
    into: &mut [u8],
    deadline: Instant,
) -> io::Result<Option<usize>> {
    while let Some(left) = left_until(deadline) {
        stream.allow_reading(left)?;
        match stream.receive(into) {
            Err(error) if is_passing(&error) => {}
            read => return read.map(Some),
        }
    }
    Ok(None)
}

/// Writes all of it by the deadline.
pub(crate) fn write_by(
    stream: &impl Stream,
    mut bytes: &[u8],
    deadline: Instant,
) -> io::Result<()> {
    while !bytes.is_empty() {
        let Some(left) = left_until(deadline) else {
            return Err(ErrorKind::TimedOut.into());
        };
        stream.allow_writing(left)?;
        match stream.send(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if is_passing(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Says a last thing without waiting for whoever it is said to: who does not take it finds the connection closed.
pub(crate) fn part(stream: &impl Stream, bytes: &[u8]) {
    let _ = stream.set_waiting(false);
    let _ = stream.send(bytes);
    stream.end();
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
