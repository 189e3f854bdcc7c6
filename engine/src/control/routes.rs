//! The routes: every peer that has a place, and what is wanted of it, by place and by name.
//!
//! The control shard alone writes them; each change has an epoch. Shards compare the epoch once a turn
//! and adopt the places that changed since theirs, so that an epoch costs what changed. A route says
//! what is wanted; shards make it so.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::wishes::Wish;
use crate::peer::Peer;

/// A peer and what is wanted of it.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) peer: Arc<Peer>,
    pub(crate) wish: Wish,
    /// Every lane is kept up, as the peer does it, and not the control lane alone: a node of an older version.
    pub(crate) every_lane: bool,
}

impl Route {
    /// What is wanted of a peer, as it is.
    pub(super) fn new(peer: &Arc<Peer>, wish: Wish) -> Self {
        Self {
            peer: Arc::clone(peer),
            wish,
            every_lane: peer.keeps_lanes(),
        }
    }
}

/// What a shard adopts: places, and the routes that are there now.
#[derive(Debug)]
pub(crate) struct Changes {
    pub(crate) epoch: u64,
    pub(crate) places: Vec<(u32, Option<Route>)>,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Routes {
    epoch: AtomicU64,
    table: RwLock<Table>,
    /// By shard: the epoch that it has adopted.
    adopted: Box<[AtomicU64]>,
    /// The control shard waits for shards to adopt what there is.
    awaited: AtomicBool,
}

#[derive(Debug, Default)]
struct Table {
    places: Vec<Option<Place>>,
    by_name: HashMap<Arc<str>, u32>,
    /// Which place changed when, oldest first, as far back as some shard needs it.
    changes: VecDeque<(u64, u32)>,
}

#[derive(Debug)]
struct Place {
    route: Route,
    /// The peer is gone: shards forget it, and then the place is another's. Messages of it that wait in
    /// an inbox still find it here.
    leaving: bool,
}

impl Routes {
    pub(crate) fn new(shards: usize) -> Self {
        Self {
            epoch: AtomicU64::new(0),
            table: RwLock::default(),
            adopted: (0..shards).map(|_| AtomicU64::new(0)).collect(),
            awaited: AtomicBool::new(false),
        }
    }

    /// The newest epoch. One load: shards ask each turn.
    #[inline]
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// The route of that name, if that peer has a place.
    pub(crate) fn find(&self, name: &str) -> Option<Route> {
        let table = self.read();
        let place = *table.by_name.get(name)?;
        table.route(place)
    }

    /// Whose place it is, or was: known as long as messages of that peer are unread.
    pub(crate) fn peer_at(&self, place: u32) -> Option<Arc<Peer>> {
        let table = self.read();
        let place = table.places.get(place as usize)?.as_ref()?;
        Some(Arc::clone(&place.route.peer))
    }

    /// All routes, in no particular order.
    pub(crate) fn all(&self) -> Vec<Route> {
        let table = self.read();
        let places = table.by_name.values();
        places.filter_map(|place| table.route(*place)).collect()
    }

    /// What changed after `epoch`; each place once.
    pub(crate) fn changes_since(&self, epoch: u64) -> Changes {
        let table = self.read();
        let newer = table.changes.iter().rev();
        let mut seen = HashSet::new();
        let mut places: Vec<_> = newer
            .take_while(|(at, _)| *at > epoch)
            .filter(|(_, place)| seen.insert(*place))
            .map(|(_, place)| (*place, table.route(*place)))
            .collect();
        places.reverse();
        Changes {
            epoch: self.epoch(),
            places,
        }
    }

    /// That shard has adopted everything up to `epoch`. True if the control shard waits for that.
    pub(crate) fn note_adopted(&self, shard: usize, epoch: u64) -> bool {
        self.adopted[shard].store(epoch, Ordering::SeqCst);
        self.awaited.load(Ordering::SeqCst)
    }

    /// The control shard waits for shards to adopt what there is, or does so no more.
    pub(super) fn await_adoption(&self, waits: bool) {
        self.awaited.store(waits, Ordering::SeqCst);
    }

    /// The epoch that every shard has adopted.
    pub(super) fn adopted_by_all(&self) -> u64 {
        let epochs = self.adopted.iter();
        let epochs = epochs.map(|epoch| epoch.load(Ordering::SeqCst));
        epochs.min().unwrap_or(0)
    }

    /// What is at a place from now on: a peer's route, or, with `None`, nothing for shards and names;
    /// the peer that was there is still found by its place. Returns the epoch of the change.
    pub(super) fn write(&self, place: u32, route: Option<Route>) -> u64 {
        let oldest_needed = self.adopted_by_all();
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let epoch = self.epoch() + 1;
        table.put(place, route);
        table.changes.push_back((epoch, place));
        table.forget_changes(oldest_needed);
        // Within the lock: a shard that sees the epoch finds its change.
        self.epoch.store(epoch, Ordering::Release);
        epoch
    }

    /// Nobody needs to find the peer that left this place any more.
    pub(super) fn clear(&self, place: u32) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        table.places[place as usize] = None;
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn route(&self, place: u32) -> Option<Route> {
        let place = self.places.get(place as usize)?.as_ref()?;
        (!place.leaving).then(|| place.route.clone())
    }

    fn put(&mut self, place: u32, route: Option<Route>) {
        let index = place as usize;
        if self.places.len() <= index {
            self.places.resize_with(index + 1, || None);
        }
        let Some(route) = route else {
            if let Some(left) = &mut self.places[index] {
                left.leaving = true;
                self.by_name.remove(left.route.peer.name());
            }
            return;
        };
        let name = Arc::clone(route.peer.shared_name());
        self.by_name.insert(name, place);
        self.places[index] = Some(Place {
            route,
            leaving: false,
        });
    }

    /// Forgets what all shards know, and, if one is far behind, all but the last change of each place.
    fn forget_changes(&mut self, oldest_needed: u64) {
        while self
            .changes
            .front()
            .is_some_and(|(epoch, _)| *epoch <= oldest_needed)
        {
            self.changes.pop_front();
        }
        if self.changes.len() > 2 * self.places.len() + CHANGES_KEPT {
            let mut seen = HashSet::new();
            let newest_first = self.changes.iter().rev();
            let mut last: VecDeque<_> = newest_first
                .filter(|(_, place)| seen.insert(*place))
                .copied()
                .collect();
            last.make_contiguous().reverse();
            self.changes = last;
        }
    }
}

/// So few changes are not worth looking for those that later ones cover.
const CHANGES_KEPT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::LaneCells;

    fn route(name: &str, place: u32) -> Route {
        let peer = Peer::new(Arc::from(name), false, LaneCells::new(0, 1, 0, 0));
        peer.settle(place);
        Route::new(&Arc::new(peer), Wish::none())
    }

    fn changed(changes: &Changes) -> Vec<(u32, Option<&str>)> {
        let places = changes.places.iter();
        places
            .map(|(place, route)| (*place, route.as_ref().map(|route| route.peer.name())))
            .collect()
    }

    #[test]
    fn a_shard_takes_up_what_changed_since_its_epoch_each_place_once() {
        let routes = Routes::new(2);
        routes.write(0, Some(route("a", 0)));
        let known = routes.write(1, Some(route("b", 1)));
        assert_eq!(
            changed(&routes.changes_since(0)),
            [(0, Some("a")), (1, Some("b"))]
        );
        routes.write(0, None);
        routes.write(2, Some(route("c", 2)));
        routes.write(2, None);
        let changes = routes.changes_since(known);
        assert_eq!(changed(&changes), [(0, None), (2, None)]);
        assert_eq!(changes.epoch, routes.epoch());
        assert!(routes.changes_since(changes.epoch).places.is_empty());
    }

    #[test]
    fn a_peer_that_left_is_found_by_its_place_and_not_by_its_name() {
        let routes = Routes::new(1);
        routes.write(4, Some(route("b", 4)));
        routes.write(4, None);
        assert!(routes.find("b").is_none() && routes.all().is_empty());
        assert_eq!(routes.peer_at(4).expect("it left there").name(), "b");
        routes.write(5, Some(route("b", 5)));
        routes.clear(4);
        assert!(routes.peer_at(4).is_none());
        assert_eq!(routes.find("b").expect("it is back").peer.place(), Some(5));
    }

    #[test]
    fn changes_are_kept_for_the_slowest_shard_and_stay_bounded() {
        let routes = Routes::new(2);
        let first = routes.write(0, Some(route("a", 0)));
        routes.note_adopted(0, first);
        for _ in 0..10_000 {
            let epoch = routes.write(1, Some(route("b", 1)));
            routes.note_adopted(0, epoch);
        }
        assert!(routes.read().changes.len() <= 2 * 2 + CHANGES_KEPT + 1);
        let changes = routes.changes_since(0);
        assert_eq!(changed(&changes), [(0, Some("a")), (1, Some("b"))]);
        routes.note_adopted(1, changes.epoch);
        routes.write(0, None);
        assert_eq!(routes.read().changes.len(), 1);
    }
}
