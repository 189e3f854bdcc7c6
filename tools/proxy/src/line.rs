//! The bytes of one direction of one connection between the thread that reads them and the one that writes
//! them: each piece with the moment from which it may go on. Bounded: a full line stops the reading.
//!
//! Owned by pipe.rs. It never touches a socket.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What a piece holds besides its bytes, counted with them: many small pieces are bounded too.
const PIECE_BYTES: usize = 64;

/// Bytes that were read at once.
#[derive(Debug)]
pub(crate) struct Piece {
    /// Not before.
    pub(crate) due: Instant,
    pub(crate) bytes: Box<[u8]>,
}

/// What comes next.
#[derive(Debug)]
pub(crate) enum Next {
    Piece(Piece),
    /// The reader has seen the end of the stream, after everything that was taken.
    End,
    /// The connection is over.
    Over,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Line {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    pieces: VecDeque<Piece>,
    bytes: usize,
    ended: bool,
    over: bool,
}

impl Line {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let waited = self.changed.wait(state);
        waited.unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a piece behind the others, as soon as fewer than `bytes_max` lie here. Says whether the connection
    /// goes on.
    pub(crate) fn push(&self, piece: Piece, bytes_max: usize) -> bool {
        let mut state = self.state();
        while state.bytes >= bytes_max && !state.over {
            state = self.wait(state);
        }
        state.bytes += piece.bytes.len() + PIECE_BYTES;
        state.pieces.push_back(piece);
        self.changed.notify_all();
        !state.over
    }

    /// There will be no more.
    pub(crate) fn end(&self) {
        self.state().ended = true;
        self.changed.notify_all();
    }

    /// The connection is over: nobody waits here any more.
    pub(crate) fn over(&self) {
        self.state().over = true;
        self.changed.notify_all();
    }

    /// Waits for the next piece, and until it is due.
    pub(crate) fn next(&self) -> Next {
        let mut state = self.state();
        while state.pieces.is_empty() && !state.ended && !state.over {
            state = self.wait(state);
        }
        if let Some(due) = state.pieces.front().map(|piece| piece.due) {
            state = self.wait_until(state, due);
        }
        match state.pieces.pop_front() {
            _ if state.over => Next::Over,
            None => Next::End,
            Some(piece) => {
                state.bytes -= piece.bytes.len() + PIECE_BYTES;
                self.changed.notify_all();
                Next::Piece(piece)
            }
        }
    }

    /// Waits until `at`. Says whether the connection goes on.
    pub(crate) fn until(&self, at: Instant) -> bool {
        !self.wait_until(self.state(), at).over
    }

    fn wait_until<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        at: Instant,
    ) -> MutexGuard<'a, State> {
        loop {
            let left = at.saturating_duration_since(Instant::now());
            if left.is_zero() || state.over {
                return state;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn piece(byte: u8) -> Piece {
        Piece {
            due: Instant::now(),
            bytes: Box::new([byte; 100]),
        }
    }

    #[test]
    fn pieces_come_in_order_and_then_the_end() {
        let line = Line::default();
        assert!(line.push(piece(1), 1_000) && line.push(piece(2), 1_000));
        line.end();
        for byte in [1, 2] {
            assert!(matches!(line.next(), Next::Piece(piece) if *piece.bytes == [byte; 100]));
        }
        assert!(matches!(line.next(), Next::End));
    }

    #[test]
    fn a_piece_waits_until_it_is_due() {
        let line = Line::default();
        let due = Instant::now() + Duration::from_millis(30);
        let bytes = Box::new([0; 1]);
        line.push(Piece { due, bytes }, 1_000);
        assert!(matches!(line.next(), Next::Piece(_)));
        assert!(Instant::now() >= due);
    }

    #[test]
    fn a_full_line_stops_the_reader_until_there_is_room() {
        let line = Line::default();
        line.push(piece(1), 100);
        std::thread::scope(|scope| {
            let reading = scope.spawn(|| line.push(piece(2), 100));
            std::thread::sleep(Duration::from_millis(20));
            assert!(!reading.is_finished() && line.state().pieces.len() == 1);
            assert!(matches!(line.next(), Next::Piece(_)));
            assert!(reading.join().expect("no panic"));
        });
        assert_eq!(line.state().bytes, 100 + PIECE_BYTES);
    }

    #[test]
    fn nobody_waits_on_a_connection_that_is_over() {
        let line = &Line::default();
        line.push(piece(1), 100);
        std::thread::scope(|scope| {
            let reading = scope.spawn(|| line.push(piece(2), 100));
            let distant = Instant::now() + Duration::from_secs(3_600);
            let waiting = scope.spawn(move || line.until(distant));
            line.over();
            assert!(!reading.join().expect("no panic"));
            assert!(!waiting.join().expect("no panic"));
        });
        assert!(matches!(line.next(), Next::Over));
    }
}
