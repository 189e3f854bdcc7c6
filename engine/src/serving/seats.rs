//! Who is connected to a server: how many, and who has to make room.
//!
//! Used by the server's threads. A connection has a seat from its acceptance to its end. A request is begun only by
//! who still has its seat, so who is told that there was no room can be sure that nothing was done.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::stream::Stream;

/// Most connections to a server.
pub const CONNECTIONS_MAX: usize = 16;

/// Most of them that follow what happens; the others are left to requests.
pub const FOLLOWERS_MAX: usize = 8;

/// Threads of connections that were made to go and have not gone yet are counted as well.
const THREADS_MAX: usize = 4 * CONNECTIONS_MAX;

/// What a connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    /// It waits for a request, since then.
    Nothing(Instant),
    Request,
    Following,
}

#[derive(Debug)]
struct Seat<S> {
    number: u64,
    stream: Arc<S>,
    doing: Doing,
}

#[derive(Debug)]
struct Taken<S> {
    seats: Vec<Seat<S>>,
    next: u64,
    threads: usize,
    closed: bool,
}

/// The seats of a server.
#[derive(Debug)]
pub(super) struct Seats<S> {
    taken: Mutex<Taken<S>>,
    gone: Condvar,
}

/// A seat, by its number. Dropping it gives it back, and says that its thread has gone.
#[derive(Debug)]
pub(crate) struct Seated<S> {
    seats: Arc<Seats<S>>,
    number: u64,
}

/// What came of a connection that asked for a seat.
#[derive(Debug)]
pub(super) enum Arrival<S> {
    /// It has one. Another that did nothing may have lost its own to it.
    Seated(Seated<S>, Option<Arc<S>>),
    /// All are busy.
    Full,
}

impl<S> Default for Seats<S> {
    fn default() -> Self {
        let taken = Taken {
            seats: Vec::new(),
            next: 0,
            threads: 0,
            closed: false,
        };
        Self {
            taken: Mutex::new(taken),
            gone: Condvar::new(),
        }
    }
}

impl<S: Stream> Seats<S> {
    /// Gives a connection a seat; if all are taken, that of whoever has done nothing for the longest time.
    pub(super) fn arrive(self: &Arc<Self>, stream: &Arc<S>) -> Arrival<S> {
        let mut taken = self.lock();
        if taken.closed || taken.threads >= THREADS_MAX {
            return Arrival::Full;
        }
        let mut displaced = None;
        if taken.seats.len() >= CONNECTIONS_MAX {
            let Some(index) = longest_idle(&taken.seats) else {
                return Arrival::Full;
            };
            displaced = Some(taken.seats.swap_remove(index).stream);
        }
        let number = taken.next;
        taken.next += 1;
        taken.threads += 1;
        taken.seats.push(Seat {
            number,
            stream: Arc::clone(stream),
            doing: Doing::Nothing(Instant::now()),
        });
        let seats = Arc::clone(self);
        Arrival::Seated(Seated { seats, number }, displaced)
    }

    /// Lets nobody in any more.
    pub(super) fn close(&self) {
        self.lock().closed = true;
    }

    /// Ends every connection that waits for a request.
    pub(super) fn clear_idle(&self) {
        self.clear(|seat| matches!(seat.doing, Doing::Nothing(_)));
    }

    /// Ends every connection.
    pub(super) fn clear_all(&self) {
        self.clear(|_| true);
    }

    fn clear(&self, is_meant: impl Fn(&Seat<S>) -> bool) {
        for seat in self.lock().seats.iter().filter(|seat| is_meant(seat)) {
            seat.stream.end();
        }
    }

    /// Waits until the threads of all connections have gone, for `patience` at most.
    pub(super) fn wait_empty(&self, patience: Duration) {
        let waited = self
            .gone
            .wait_timeout_while(self.lock(), patience, |taken| taken.threads > 0);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

impl<S> Seats<S> {
    fn lock(&self) -> MutexGuard<'_, Taken<S>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn longest_idle<S>(seats: &[Seat<S>]) -> Option<usize> {
    let idle = seats
        .iter()
        .enumerate()
        .filter_map(|(index, seat)| match seat.doing {
            Doing::Nothing(since) => Some((since, index)),
            Doing::Request | Doing::Following => None,
        });
    idle.min().map(|(_, index)| index)
}

impl<S> Seated<S> {
    /// A request has come whole. False if the seat is another's by now: then it must not be carried out.
    pub(crate) fn begin_request(&self) -> bool {
        self.set(Doing::Request)
    }

    /// It is answered. False if another request is not to be waited for.
    pub(crate) fn end_request(&self) -> bool {
        let mut taken = self.seats.lock();
        let has_seat = set(
            &mut taken.seats,
            self.number,
            Doing::Nothing(Instant::now()),
        );
        has_seat && !taken.closed
    }

    /// From a request on: events are followed. False if too many do that already.
    pub(crate) fn begin_following(&self) -> bool {
        let mut taken = self.seats.lock();
        let following = taken
            .seats
            .iter()
            .filter(|seat| seat.doing == Doing::Following);
        if following.count() >= FOLLOWERS_MAX {
            return false;
        }
        set(&mut taken.seats, self.number, Doing::Following)
    }

    fn set(&self, doing: Doing) -> bool {
        set(&mut self.seats.lock().seats, self.number, doing)
    }
}

fn set<S>(seats: &mut [Seat<S>], number: u64, doing: Doing) -> bool {
    let seat = seats.iter_mut().find(|seat| seat.number == number);
    seat.map(|seat| seat.doing = doing).is_some()
}

impl<S> Drop for Seated<S> {
    fn drop(&mut self) {
        let mut taken = self.seats.lock();
        taken.seats.retain(|seat| seat.number != self.number);
        taken.threads -= 1;
        self.seats.gone.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    fn seats() -> Arc<Seats<UnixStream>> {
        Arc::new(Seats::default())
    }

    fn arrive(seats: &Arc<Seats<UnixStream>>) -> Option<(Seated<UnixStream>, bool)> {
        let (stream, _) = UnixStream::pair().expect("a pair");
        match seats.arrive(&Arc::new(stream)) {
            Arrival::Seated(seated, displaced) => Some((seated, displaced.is_some())),
            Arrival::Full => None,
        }
    }

    #[test]
    fn who_has_done_nothing_for_the_longest_time_makes_room() {
        let seats = seats();
        let mut all: Vec<_> = (0..CONNECTIONS_MAX)
            .map(|_| arrive(&seats).expect("there is room").0)
            .collect();
        assert!(all[0].begin_request());
        let (_, displaced) = arrive(&seats).expect("the second makes room");
        assert!(displaced);
        assert!(!all[1].begin_request(), "its seat is another's");
        assert!(all[2].begin_request() && all[2].end_request());
        drop(all.remove(3));
        let (_, displaced) = arrive(&seats).expect("one has gone");
        assert!(!displaced);
    }

    #[test]
    fn who_does_something_keeps_its_seat() {
        let seats = seats();
        let all: Vec<_> = (0..CONNECTIONS_MAX)
            .map(|_| arrive(&seats).expect("there is room").0)
            .collect();
        let following = all.iter().filter(|seated| {
            assert!(seated.begin_request());
            seated.begin_following()
        });
        assert_eq!(following.count(), FOLLOWERS_MAX);
        assert!(arrive(&seats).is_none());
        assert!(all[FOLLOWERS_MAX].end_request());
        assert!(arrive(&seats).is_some());
    }

    #[test]
    fn closed_seats_let_nobody_in_and_are_empty_when_all_have_gone() {
        let seats = seats();
        let one = arrive(&seats);
        seats.close();
        assert!(arrive(&seats).is_none());
        let waiting = Arc::clone(&seats);
        let waits = std::thread::spawn(move || waiting.wait_empty(Duration::from_secs(60)));
        drop(one);
        waits.join().expect("it comes back");
        assert_eq!(seats.lock().threads, 0);
    }
}
