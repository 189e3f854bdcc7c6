//! The open requests of a node: who waits for which reply, from whom, and until when.
//!
//! Filled by `request`, emptied by shards as replies come, lanes end and deadlines pass. A state machine
//! without I/O: the time is an argument, and what waits is the caller's own (`W`); `K` says which lane of
//! which peer the reply must come from.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Requests<K, W> {
    open: HashMap<u64, Open<K, W>>,
    by_deadline: BTreeSet<(Instant, u64)>,
    next: u64,
    requests_max: usize,
}

#[derive(Debug)]
struct Open<K, W> {
    to: K,
    waiter: W,
    deadline: Instant,
}

impl<K, W> Requests<K, W> {
    /// None yet, and at most `requests_max` at a time. Their numbers count from `first`, which has to be
    /// another for each process of a node: a reply to what an earlier one asked must find nothing.
    pub(crate) fn new(requests_max: usize, first: u64) -> Self {
        Self {
            open: HashMap::new(),
            by_deadline: BTreeSet::new(),
            next: first,
            requests_max,
        }
    }

    /// Opens a request; its number is never used again. `None` if there are too many.
    pub(crate) fn open(&mut self, to: K, waiter: W, deadline: Instant) -> Option<u64> {
        if self.open.len() >= self.requests_max {
            return None;
        }
        let id = self.next;
        self.next = self.next.wrapping_add(1);
        let request = Open {
            to,
            waiter,
            deadline,
        };
        self.open.insert(id, request);
        self.by_deadline.insert((deadline, id));
        Some(id)
    }

    /// Closes a request, if it is open and `is_from` says that it was put to whoever answers now.
    pub(crate) fn close(&mut self, id: u64, is_from: impl FnOnce(&K) -> bool) -> Option<W> {
        if !is_from(&self.open.get(&id)?.to) {
            return None;
        }
        let request = self.open.remove(&id)?;
        self.by_deadline.remove(&(request.deadline, id));
        Some(request.waiter)
    }

    /// Closes the requests that waited until `now` or less.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<W> {
        let mut expired = Vec::new();
        while let Some(&(deadline, id)) = self.by_deadline.first()
            && deadline <= now
        {
            expired.extend(self.close(id, |_| true));
        }
        expired
    }

    /// When the next one expires.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.by_deadline.first().map(|&(deadline, _)| deadline)
    }

    /// Closes the requests that went where `is_gone` says that nothing comes from any more.
    pub(crate) fn abandon(&mut self, is_gone: impl Fn(&K) -> bool) -> Vec<W> {
        let gone = self.open.iter().filter(|(_, request)| is_gone(&request.to));
        let ids: Vec<_> = gone.map(|(id, _)| *id).collect();
        ids.into_iter()
            .filter_map(|id| self.close(id, |_| true))
            .collect()
    }

    /// Whether one is open for which `is_meant`.
    pub(crate) fn any(&self, is_meant: impl Fn(&K) -> bool) -> bool {
        self.open.values().any(|request| is_meant(&request.to))
    }

    /// How many are open.
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn a_request_is_closed_once_and_only_by_whom_it_was_put_to() {
        let now = Instant::now();
        let mut requests = Requests::new(4, u64::MAX);
        let id = requests
            .open("b", "waiter", now + S)
            .expect("there is room");
        assert!(requests.any(|to| *to == "b") && !requests.any(|to| *to == "c"));
        assert_eq!(requests.len(), 1);
        assert_eq!(requests.close(id, |to| *to == "c"), None);
        assert_eq!(requests.close(id, |to| *to == "b"), Some("waiter"));
        assert_eq!(requests.close(id, |to| *to == "b"), None);
        assert_eq!((requests.len(), requests.next_deadline()), (0, None));
    }

    #[test]
    fn requests_expire_in_the_order_of_their_deadlines() {
        let now = Instant::now();
        let mut requests = Requests::new(4, u64::MAX);
        for (waiter, after) in [(3, 3 * S), (1, S), (2, 2 * S)] {
            requests
                .open((), waiter, now + after)
                .expect("there is room");
        }
        assert_eq!(requests.next_deadline(), Some(now + S));
        assert!(requests.expire(now).is_empty());
        assert_eq!(requests.expire(now + 2 * S), [1, 2]);
        assert_eq!(requests.next_deadline(), Some(now + 3 * S));
    }

    #[test]
    fn the_end_of_a_lane_closes_what_went_there_and_nothing_else() {
        let now = Instant::now();
        let mut requests = Requests::new(4, u64::MAX);
        for (lane, waiter) in [(1, "a"), (2, "b"), (1, "c")] {
            requests.open(lane, waiter, now + S).expect("there is room");
        }
        let mut gone = requests.abandon(|lane| *lane == 1);
        gone.sort_unstable();
        assert_eq!(gone, ["a", "c"]);
        assert_eq!(requests.expire(now + S), ["b"]);
    }

    #[test]
    fn there_are_never_more_than_the_bound_and_numbers_do_not_come_again() {
        let now = Instant::now();
        let mut requests = Requests::new(2, u64::MAX);
        let first = requests.open((), (), now).expect("there is room");
        let second = requests.open((), (), now).expect("there is room");
        assert_eq!(requests.open((), (), now), None);
        requests.close(first, |()| true).expect("it is open");
        let third = requests.open((), (), now).expect("there is room again");
        assert!(third != first && third != second);
    }
}
