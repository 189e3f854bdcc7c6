//! JSON lines over a connection, each of bounded length and within a time.
//!
//! The length is checked while a line comes in, so that what the other end can make this one hold is
//! bounded, whatever it sends.

use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Longest line that either end takes: a histogram of a window has some thousand buckets.
const LINE_BYTES_MAX: usize = 4 << 20;

/// One end of a control connection.
#[derive(Debug)]
pub(super) struct Connection {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

/// Why no line came.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineError {
    /// The other end closed, or its host is gone.
    #[error("it closed the connection")]
    Closed,
    /// Nothing came in time.
    #[error("it said nothing within {:.0} s", .0.as_secs_f64())]
    Silent(Duration),
    /// A line that is no line of ours.
    #[error("it said something else than overlane-bench does")]
    Foreign,
    /// The connection failed.
    #[error("{0}")]
    Failed(io::Error),
}

impl Connection {
    /// Lines over `stream`.
    pub(super) fn over(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        watch(&stream)?;
        let writer = stream.try_clone()?;
        Ok(Self {
            reader: BufReader::new(stream),
            writer,
        })
    }

    /// Says one thing; waits `within` for room at most.
    pub(super) fn say<T: Serialize>(
        &mut self,
        said: &T,
        within: Duration,
    ) -> Result<(), LineError> {
        let mut line = serde_json::to_vec(said).map_err(|_| LineError::Foreign)?;
        line.push(b'\n');
        let sent = self.writer.set_write_timeout(Some(within));
        sent.and_then(|()| self.writer.write_all(&line))
            .map_err(|error| of(error, within))
    }

    /// Hears one thing, of at most `bytes_max`.
    pub(super) fn hear<T: DeserializeOwned>(
        &mut self,
        bytes_max: usize,
        within: Duration,
    ) -> Result<T, LineError> {
        let line = self.line(bytes_max.min(LINE_BYTES_MAX), within)?;
        serde_json::from_slice(&line).map_err(|_| LineError::Foreign)
    }

    /// The longest line.
    pub(super) fn hear_any<T: DeserializeOwned>(
        &mut self,
        within: Duration,
    ) -> Result<T, LineError> {
        self.hear(LINE_BYTES_MAX, within)
    }

    fn line(&mut self, bytes_max: usize, within: Duration) -> Result<Vec<u8>, LineError> {
        let deadline = Instant::now() + within;
        let mut line = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(LineError::Silent(within));
            }
            let stream = self.reader.get_ref();
            let timed = stream.set_read_timeout(Some(left));
            timed.map_err(LineError::Failed)?;
            let bytes = self.reader.fill_buf().map_err(|error| of(error, within))?;
            if bytes.is_empty() {
                return Err(LineError::Closed);
            }
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(bytes.len(), |end| end + 1);
            if line.len() + taken > bytes_max {
                return Err(LineError::Foreign);
            }
            line.extend_from_slice(&bytes[..taken]);
            self.reader.consume(taken);
            if end.is_some() {
                return Ok(line);
            }
        }
    }
}

/// Lets the kernel find out that the other host is gone, also while nothing is said.
fn watch(stream: &TcpStream) -> io::Result<()> {
    setsockopt(stream, sockopt::KeepAlive, &true)?;
    setsockopt(stream, sockopt::TcpKeepIdle, &5)?;
    setsockopt(stream, sockopt::TcpKeepInterval, &5)?;
    setsockopt(stream, sockopt::TcpKeepCount, &3)?;
    setsockopt(stream, sockopt::TcpUserTimeout, &20_000)?;
    Ok(())
}

fn of(error: io::Error, within: Duration) -> LineError {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => LineError::Silent(within),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof => {
            LineError::Closed
        }
        _ => LineError::Failed(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn pair() -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let there = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (
            Connection::over(listener.accept().unwrap().0).unwrap(),
            there,
        )
    }

    const SOON: Duration = Duration::from_secs(20);

    #[test]
    fn a_line_in_pieces_is_heard_whole() {
        let (mut here, mut there) = pair();
        let writing = std::thread::spawn(move || {
            for piece in ["[1,", "2]", "\n[3]\n"] {
                there.write_all(piece.as_bytes()).unwrap();
                std::thread::sleep(Duration::from_millis(5));
            }
            there
        });
        assert_eq!(here.hear::<Vec<u8>>(100, SOON).unwrap(), [1, 2]);
        assert_eq!(here.hear::<Vec<u8>>(100, SOON).unwrap(), [3]);
        drop(writing.join().unwrap());
        let error = here.hear::<Vec<u8>>(100, SOON).unwrap_err();
        assert!(matches!(error, LineError::Closed), "{error}");
    }

    #[test]
    fn a_line_without_an_end_is_given_up_at_its_bound() {
        let (mut here, mut there) = pair();
        there.write_all(&[b'['; 200]).unwrap();
        let error = here.hear::<Vec<u8>>(100, SOON).unwrap_err();
        assert!(matches!(error, LineError::Foreign), "{error}");
    }

    #[test]
    fn silence_ends_at_its_time_even_if_single_bytes_come() {
        let (mut here, mut there) = pair();
        let dripping = std::thread::spawn(move || {
            while there.write_all(b" ").is_ok() {
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let within = Duration::from_millis(60);
        let error = here.hear::<Vec<u8>>(1 << 20, within).unwrap_err();
        assert!(matches!(error, LineError::Silent(_)), "{error}");
        drop(here);
        dripping.join().unwrap();
    }

    #[test]
    fn what_is_not_json_of_ours_is_foreign() {
        let (mut here, mut there) = pair();
        there.write_all(b"GET / HTTP/1.1\r\n").unwrap();
        let error = here.hear::<Vec<u8>>(100, SOON).unwrap_err();
        assert!(matches!(error, LineError::Foreign), "{error}");
    }
}
