//! What is wanted of peers, and the one handle of each name.
//!
//! Applications write their wishes here from any thread and go on; the control shard adopts what
//! changed and writes the routes. A look-up of a name leaves nothing behind but the handle it returns.
//! It opens no connection and gives out no place.

mod wish;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::error::NameError;
use crate::fnv::fnv1a;
use crate::peer::{LaneCells, LaneRange, Peer};
use crate::ring::gate::GateLimits;
pub use wish::ADDRESSES_MAX;
pub(crate) use wish::{Addresses, Wish};

/// See the module's text.
#[derive(Debug)]
pub(crate) struct WishBook {
    self_name: String,
    /// Where the control lane of each peer is among its lanes.
    control_offset: usize,
    shards: u16,
    peers_max: usize,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    handles: HashMap<Arc<str>, Weak<Peer>>,
    /// How many handles there may be before those that nobody holds are looked for.
    handles_swept_at: usize,
    wishes: HashMap<Arc<str>, (Arc<Peer>, Wish)>,
    /// What the control shard has not adopted.
    changed: BTreeMap<Arc<str>, (Arc<Peer>, Wish)>,
    orders: u64,
    /// The channels that there are: their lanes, and how much may wait for each.
    channels: Vec<(LaneRange, GateLimits)>,
    /// The node stops: no gate opens again.
    closed: bool,
}

impl WishBook {
    pub(crate) fn new(
        self_name: String,
        control_offset: usize,
        shards: u16,
        peers_max: usize,
    ) -> Self {
        Self {
            self_name,
            control_offset,
            shards,
            peers_max,
            book: Mutex::default(),
        }
    }

    /// The handle of that name: the one there is, or a new one, of a peer without a place.
    pub(crate) fn peer(&self, name: &str) -> Result<Arc<Peer>, NameError> {
        check_name(name)?;
        Ok(self.handle(&mut self.lock(), name))
    }

    /// Keep a connection to that peer, which is dialled there, from now on.
    pub(crate) fn keep(&self, name: &str, address: SocketAddr) -> Result<Arc<Peer>, NameError> {
        self.keep_at(name, &[address])
    }

    /// The same, at the first of those addresses that answers. Messages to it are accepted before it is
    /// connected only if it is reached besides.
    pub(crate) fn keep_at(
        &self,
        name: &str,
        addresses: &[SocketAddr],
    ) -> Result<Arc<Peer>, NameError> {
        let addresses = Addresses::new(name, addresses)?;
        self.wish(name, |wish, order| wish.keep(addresses, order))
    }

    /// That peer is there, at those addresses, of which the first is taken that answers: accept messages to
    /// it, and connect when there is one. A connection that is kept until now stays as long as it is used.
    pub(crate) fn reach(
        &self,
        name: &str,
        addresses: &[SocketAddr],
    ) -> Result<Arc<Peer>, NameError> {
        let addresses = Addresses::new(name, addresses)?;
        self.wish(name, |wish, order| wish.reach(addresses, order))
    }

    /// Neither dial nor accept that peer from now on.
    pub(crate) fn ban(&self, name: &str) -> Result<Arc<Peer>, NameError> {
        self.wish(name, Wish::ban)
    }

    /// Want nothing of that peer any more; its lanes end.
    pub(crate) fn forget(&self, name: &str) -> Result<(), NameError> {
        self.unwish(name, Wish::end)
    }

    /// Want nothing of that peer any more. The lanes that there are stay as long as they are used, or as the
    /// peer wants them.
    pub(crate) fn release(&self, name: &str) -> Result<(), NameError> {
        self.unwish(name, |wish, _| wish.release())
    }

    fn unwish(&self, name: &str, change: impl FnOnce(&mut Wish, u64)) -> Result<(), NameError> {
        check_name(name)?;
        let book = &mut *self.lock();
        let peer = self.handle(book, name);
        book.orders += 1;
        let (_, mut wish) = book
            .wishes
            .remove(name)
            .unwrap_or_else(|| (Arc::clone(&peer), Wish::none()));
        change(&mut wish, book.orders);
        part(&peer, &wish, book.orders);
        let name = Arc::clone(peer.shared_name());
        book.changed.insert(name, (peer, wish));
        Ok(())
    }

    fn wish(
        &self,
        name: &str,
        change: impl FnOnce(&mut Wish, u64),
    ) -> Result<Arc<Peer>, NameError> {
        check_name(name)?;
        let book = &mut *self.lock();
        let is_new = !book.wishes.contains_key(name);
        if is_new && name != self.self_name && book.wishes.len() >= self.peers_max {
            return Err(NameError::TooMany {
                kind: "peers",
                names_max: self.peers_max,
                parameter: "peers_max",
            });
        }
        let peer = self.handle(book, name);
        let name = peer.shared_name();
        book.orders += 1;
        let (_, wish) = book
            .wishes
            .entry(Arc::clone(name))
            .or_insert_with(|| (Arc::clone(&peer), Wish::none()));
        change(wish, book.orders);
        part(&peer, wish, book.orders);
        book.changed
            .insert(Arc::clone(name), (Arc::clone(&peer), wish.clone()));
        Ok(peer)
    }

    /// The wishes that changed since this was asked last. The control shard's.
    pub(super) fn take_changed(&self) -> Vec<(Arc<Peer>, Wish)> {
        let changed = std::mem::take(&mut self.lock().changed);
        changed.into_values().collect()
    }

    /// The peers of which something is wanted.
    pub(crate) fn wished(&self) -> Vec<(Arc<Peer>, Wish)> {
        self.lock().wishes.values().cloned().collect()
    }

    /// The node stops: no gate opens again.
    pub(crate) fn close(&self) {
        let mut book = self.lock();
        book.closed = true;
        for peer in book.peers() {
            close_gates(&peer);
        }
    }

    /// The control shard's: each peer has the lanes of that channel from now on.
    pub(crate) fn add_channel(&self, lanes: LaneRange, limits: GateLimits) {
        let book = &mut *self.lock();
        book.channels.push((lanes, limits));
        for peer in book.peers() {
            peer.assign_lanes(lanes, limits, book.closed);
        }
    }

    /// The control shard's: so much may wait for each lane of that channel from now on.
    pub(crate) fn retune_channel(&self, lanes: LaneRange, limits: GateLimits) {
        let book = &mut *self.lock();
        let kept = book.channels.iter_mut().find(|(kept, _)| *kept == lanes);
        if let Some((_, kept)) = kept {
            *kept = limits;
        }
        for peer in book.peers() {
            for offset in lanes.offsets() {
                peer.lane(offset).gate.retune(limits);
            }
        }
    }

    /// The control shard's: whoever waits for room on the lanes of that channel looks again at what is allowed.
    pub(crate) fn stir_channel(&self, lanes: LaneRange) {
        for peer in self.lock().peers() {
            for offset in lanes.offsets() {
                peer.lane(offset).gate.stir();
            }
        }
    }

    /// The control shard's: nothing is accepted any more on the lanes of that channel.
    pub(crate) fn close_channel(&self, lanes: LaneRange) {
        let book = &mut *self.lock();
        book.channels.retain(|(kept, _)| *kept != lanes);
        for peer in book.peers() {
            peer.close_lanes(lanes);
        }
    }

    /// The control shard's: nobody remembers the lanes of that channel, so they can be another's. False if a
    /// sender has something reserved at one of them still.
    pub(crate) fn release_channel(&self, lanes: LaneRange) -> bool {
        let book = self.lock();
        let is_unused = |peer: Arc<Peer>| {
            let mut offsets = lanes.offsets();
            offsets.all(|offset| peer.lane(offset).gate.is_unused())
        };
        if !book.peers().all(is_unused) {
            return false;
        }
        for peer in book.peers() {
            peer.release_lanes(lanes);
        }
        true
    }

    fn handle(&self, book: &mut Book, name: &str) -> Arc<Peer> {
        if let Some(peer) = book.handles.get(name).and_then(Weak::upgrade) {
            return peer;
        }
        if book.handles.len() >= book.handles_swept_at {
            book.handles.retain(|_, peer| peer.strong_count() > 0);
            book.handles_swept_at = book.handles.len() * 2 + HANDLES_UNSWEPT;
        }
        let peer = self.make_peer(book, name);
        let name = Arc::clone(peer.shared_name());
        book.handles.insert(name, Arc::downgrade(&peer));
        peer
    }

    fn make_peer(&self, book: &Book, name: &str) -> Arc<Peer> {
        let ends = book.channels.iter().map(|(lanes, _)| lanes.offsets().end);
        let count = ends.max().unwrap_or(0);
        let spread = fnv1a(name.as_bytes());
        let cells = LaneCells::new(spread, self.shards, self.control_offset, count);
        let peer = Peer::new(Arc::from(name), name == self.self_name, cells);
        for (lanes, limits) in &book.channels {
            peer.assign_lanes(*lanes, *limits, book.closed);
        }
        Arc::new(peer)
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// The peers that somebody holds.
    fn peers(&self) -> impl Iterator<Item = Arc<Peer>> {
        self.handles.values().filter_map(Weak::upgrade)
    }
}

/// So few handles are not worth looking for those that nobody holds.
const HANDLES_UNSWEPT: usize = 64;

/// If that order is to part from the peer, its return is not waited for: before any shard knows, so that what
/// comes to one after that has nothing to wait for.
fn part(peer: &Peer, wish: &Wish, order: u64) {
    if wish.parts_by(order) {
        peer.expect_no_longer();
    }
}

fn close_gates(peer: &Peer) {
    for (_, lane) in peer.lanes() {
        lane.gate.close();
    }
}

/// The form of node names: that of every name on the wire.
fn check_name(name: &str) -> Result<(), NameError> {
    crate::wire::name::check_name(name).map_err(|error| NameError::malformed(name, &error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::CloseReason;

    fn book() -> WishBook {
        WishBook::new("a".to_owned(), 0, 1, 2)
    }

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn look_ups_leave_nothing_behind() {
        let book = book();
        let held = book.peer("b").expect("a name");
        for number in 0..10_000 {
            book.peer(&format!("typo-{number}")).expect("a name");
        }
        assert!(book.lock().handles.len() <= HANDLES_UNSWEPT * 2);
        assert!(Arc::ptr_eq(&held, &book.peer("b").expect("a name")));
        assert!(book.take_changed().is_empty());
    }

    #[test]
    fn orders_that_came_and_went_are_seen_in_the_last_wish() {
        let book = book();
        book.keep("b", address(1)).expect("a name");
        let first = changed(&book);
        assert_eq!((&*first.addresses, first.ending), (&[address(1)][..], 0));
        book.ban("b").expect("a name");
        book.keep("b", address(1)).expect("a name");
        let last = changed(&book);
        assert_eq!(last.addresses, first.addresses);
        assert!(last.ending > first.ending && last.dial > first.dial);
        book.keep("b", address(2)).expect("a name");
        let moved = changed(&book);
        assert!(moved.ending > last.ending);
        assert_eq!(moved.reason, CloseReason::Moved);
    }

    /// The one wish that changed.
    fn changed(book: &WishBook) -> Wish {
        let mut changed = book.take_changed();
        let (_, wish) = changed.pop().expect("one wish");
        assert!(changed.is_empty());
        wish
    }

    #[test]
    fn what_is_wanted_changes_between_keeping_and_reaching_without_an_end() {
        let book = book();
        book.reach("b", &[address(1), address(2)]).expect("a name");
        let reached = changed(&book);
        assert!(reached.reach && !reached.keep);
        book.keep("b", address(2)).expect("a name");
        let kept = changed(&book);
        assert!(
            kept.keep && kept.reach,
            "what was accepted before is accepted"
        );
        book.reach("b", &[address(3)]).expect("a name");
        let moved = changed(&book);
        assert!(moved.reach && !moved.keep);
        assert_eq!(&*moved.addresses, [address(3)]);
        assert!(reached.dial < kept.dial && kept.dial < moved.dial);
        book.release("b").expect("a name");
        let released = changed(&book);
        assert!(!released.is_something());
        for wish in [&kept, &moved, &released] {
            assert_eq!(wish.ending, reached.ending);
        }
        assert!(book.wished().is_empty());
    }

    #[test]
    fn addresses_are_bounded_and_named_once() {
        let book = book();
        let many: Vec<_> = (1..=9).map(address).collect();
        let error = book.reach("b", &many).expect_err("too many");
        assert!(error.to_string().contains("one to 8"), "{error}");
        let error = book.reach("b", &[]).expect_err("none");
        assert!(error.to_string().contains("0 addresses"), "{error}");
        let twice = [address(1), address(2), address(1)];
        book.reach("b", &twice).expect("a name");
        assert_eq!(&*changed(&book).addresses, &twice[..2]);
    }

    #[test]
    fn wishes_are_bounded_until_they_are_forgotten() {
        let book = book();
        book.keep("b", address(1)).expect("a name");
        book.ban("c").expect("a name");
        assert!(matches!(book.ban("d"), Err(NameError::TooMany { .. })));
        book.keep("c", address(1)).expect("c has a wish already");
        book.forget("c").expect("a name");
        book.ban("d").expect("a name");
        let forgotten = book.take_changed();
        let (_, wish) = forgotten
            .iter()
            .find(|(peer, _)| peer.name() == "c")
            .expect("it changed");
        assert!(!wish.is_something() && wish.ending > 0);
    }
}
