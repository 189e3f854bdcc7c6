//! Who has a place in the routes, who has to give it up, and when it can be given to another.
//!
//! A peer that is gone keeps its place, and with it its counters, until another peer needs one. Then
//! the one that has been gone longest leaves: its place is free once every shard has forgotten it and
//! every message of it has been read. A state machine without I/O; the control shard drives it.

use std::collections::BTreeMap;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Places {
    /// Peers that may be there at a time.
    peers_max: usize,
    present: usize,
    places: Vec<State>,
    free: Vec<u32>,
    /// Places of peers that are gone, the one that went first at the front.
    gone: BTreeMap<u64, u32>,
    departures: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    /// It has lanes, or something is wanted of it.
    Present,
    /// Neither; `since` is its key in `gone`.
    Gone {
        since: u64,
    },
    Leaving,
}

impl Places {
    pub(super) fn new(peers_max: usize) -> Self {
        Self {
            peers_max,
            present: 0,
            places: Vec::new(),
            free: Vec::new(),
            gone: BTreeMap::new(),
            departures: 0,
        }
    }

    /// Whether as many peers have a place as may, those that are gone among them.
    pub(super) fn is_full(&self) -> bool {
        self.present >= self.peers_max
    }

    /// Whether a place can be taken.
    pub(super) fn has_free(&self) -> bool {
        !self.free.is_empty() || self.places.len() < self.peers_max * PLACES_PER_PEER
    }

    /// Takes a place. `None` if too many of those that left are not free yet.
    pub(super) fn take(&mut self) -> Option<u32> {
        let place = match self.free.pop() {
            Some(place) => place,
            None if self.places.len() < self.peers_max * PLACES_PER_PEER => {
                self.places.push(State::Free);
                u32::try_from(self.places.len() - 1).ok()?
            }
            None => return None,
        };
        self.places[place as usize] = State::Present;
        self.present += 1;
        Some(place)
    }

    /// The peer there has no lanes, and nothing is wanted of it.
    pub(super) fn note_gone(&mut self, place: u32) {
        if self.places[place as usize] == State::Present {
            let since = self.departures;
            self.departures += 1;
            self.places[place as usize] = State::Gone { since };
            self.gone.insert(since, place);
        }
    }

    /// The peer there is needed again.
    pub(super) fn note_present(&mut self, place: u32) {
        if let State::Gone { since } = self.places[place as usize] {
            self.gone.remove(&since);
            self.places[place as usize] = State::Present;
        }
    }

    /// The places of peers that are gone, longest gone first.
    pub(super) fn gone(&self) -> impl Iterator<Item = u32> {
        self.gone.values().copied()
    }

    /// The peer that is gone leaves this place.
    pub(super) fn leave(&mut self, place: u32) {
        self.note_present(place);
        if self.places[place as usize] == State::Present {
            self.places[place as usize] = State::Leaving;
            self.present -= 1;
        }
    }

    /// Nobody remembers who was there: the place is another's.
    pub(super) fn free(&mut self, place: u32) {
        if self.places[place as usize] == State::Leaving {
            self.places[place as usize] = State::Free;
            self.free.push(place);
        }
    }
}

/// Places there are for each peer that may be present: one for those that dial, one for those that are
/// wanted, one for those that are leaving.
const PLACES_PER_PEER: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_went_first_leaves_first_unless_it_came_back() {
        let mut places = Places::new(3);
        let [first, second, third] = [(); 3].map(|()| places.take().expect("there is room"));
        assert!(places.is_full());
        for place in [second, first, third] {
            places.note_gone(place);
        }
        places.note_present(second);
        places.note_gone(first);
        assert_eq!(places.gone().collect::<Vec<_>>(), [first, third]);
        places.leave(first);
        assert!(!places.is_full());
        assert_ne!(places.take(), Some(first), "it is remembered still");
        places.free(first);
        assert_eq!(places.take(), Some(first));
        assert_eq!(places.gone().collect::<Vec<_>>(), [third]);
    }

    #[test]
    fn places_that_nobody_frees_run_out() {
        let mut places = Places::new(2);
        let mut left = 0;
        while let Some(place) = places.take() {
            places.note_gone(place);
            places.leave(place);
            left += 1;
        }
        assert_eq!(left, 2 * PLACES_PER_PEER);
        assert!(!places.has_free());
        places.free(0);
        assert!(places.has_free());
        assert_eq!(places.take(), Some(0));
    }
}
