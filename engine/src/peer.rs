//! A peer as every thread of this node shares it: its name, its place in the routes, its lanes
//! (`peer::lanes`), and which of its processes those lanes lead to.
//!
//! One for each name, made by `control::wishes` at its first use and there for as long as anybody holds
//! it; its place comes and goes. The owner of a lane is a pure function of name, channel and index, so
//! both a sending thread and an acceptor know the shard without asking.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use event_listener::{Event, EventListener};

mod lanes;

use crate::ring::gate::{Gate, GateLimits, OpenFor};
use crate::wire::CloseReason;
pub(crate) use lanes::{LANES_MAX, LaneAddress, LaneCells, LaneNumber, LaneRange};

/// The place of a peer that has none.
const NOWHERE: u32 = u32::MAX;

/// Another node, or this one itself.
#[doc = include_str!("../doc/peer.md")]
pub struct Peer {
    name: Arc<str>,
    is_self: bool,
    lanes: LaneCells,
    place: AtomicU32,
    presence: Mutex<Presence>,
    incarnation: AtomicU64,
    /// The control lane among them.
    lanes_up: AtomicU32,
    /// Its control lane is up.
    control_up: AtomicBool,
    /// Messages to it are accepted although it may not be connected.
    reachable: AtomicBool,
    /// It knows no control lanes, and keeps every lane up: an older node.
    keeps_lanes: AtomicBool,
    /// In which session it has said so last: the next may be of a process that was upgraded.
    control_refused_in: AtomicU64,
    /// With which credentials of this node its control lane was made last.
    credentials: AtomicU64,
    /// The control shard is to look at its presence, and has not yet.
    stirred: AtomicBool,
    /// What the mailbox names that it announced hold here, over all its lanes.
    names_bytes: AtomicUsize,
    changed: Event,
}

/// Which process of a peer is there. All its lanes lead to the same one: a name is one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Presence {
    /// Lanes that are up, or about to be.
    pub(crate) lanes: u32,
    /// What the process that they lead to, or led to last, runs as.
    pub(crate) incarnation: u64,
    /// How often a first lane came up.
    pub(crate) sessions: u64,
    /// Why the last lane ended.
    pub(crate) last_end: CloseReason,
    /// Where a lane to it was dialled last and came up.
    pub(crate) dialed_at: Option<SocketAddr>,
    /// It was connected, and what channels keep waits for it: since its control lane ended.
    is_expected: bool,
    /// It has no place: no lane can come up.
    withdrawn: bool,
}

/// Why a lane cannot come up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JoinError {
    /// Lanes lead to another process of that name, which was started later.
    Outdated,
    /// Lanes lead to another process of that name, which was started earlier.
    NameTaken,
    /// The peer has just lost its place to another one.
    Withdrawn,
}

impl JoinError {
    pub(crate) const fn reason(self) -> CloseReason {
        match self {
            Self::Outdated => CloseReason::StaleIncarnation,
            Self::NameTaken => CloseReason::NameTaken,
            Self::Withdrawn => CloseReason::TooManyPeers,
        }
    }
}

/// What it is called: what its lanes count is in the metrics.
impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Peer").field(&self.name).finish()
    }
}

impl Peer {
    /// A peer without a place.
    pub(crate) fn new(name: Arc<str>, is_self: bool, lanes: LaneCells) -> Self {
        Self {
            name,
            is_self,
            lanes,
            place: AtomicU32::new(NOWHERE),
            presence: Mutex::new(Presence {
                lanes: 0,
                incarnation: 0,
                sessions: 0,
                last_end: CloseReason::PeerClosed,
                dialed_at: None,
                is_expected: false,
                withdrawn: true,
            }),
            incarnation: AtomicU64::new(0),
            lanes_up: AtomicU32::new(0),
            control_up: AtomicBool::new(false),
            reachable: AtomicBool::new(false),
            keeps_lanes: AtomicBool::new(false),
            control_refused_in: AtomicU64::new(0),
            credentials: AtomicU64::new(0),
            stirred: AtomicBool::new(false),
            names_bytes: AtomicUsize::new(0),
            changed: Event::new(),
        }
    }

    /// The node's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn shared_name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whether it is this node.
    #[must_use]
    pub fn is_self(&self) -> bool {
        self.is_self
    }

    /// The incarnation its lanes were last made with; 0 before the first.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.incarnation.load(Ordering::Acquire)
    }

    /// Lanes up now, the engine's own among them.
    #[must_use]
    pub fn lanes_up(&self) -> u32 {
        self.lanes_up.load(Ordering::Acquire)
    }

    /// Whether messages to it are accepted on every channel: the engine's own lane to it is up, and
    /// others are made when they are needed. A node of an older version has no such lane, and is connected
    /// when every lane of every channel is up.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        let without_control = self.lanes.count().saturating_sub(1);
        self.has_control() || usize::try_from(self.lanes_up()).is_ok_and(|up| up == without_control)
    }

    /// Whether messages to it are accepted on every channel: it is connected, or it is connected by the first of
    /// them ([`Node::reach`](crate::Node::reach)). While there is a back-off after it was not reached, it is not.
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        self.is_connected() || self.reachable.load(Ordering::Acquire)
    }

    /// Its place in the routes, which is this node's number for it, while it has one.
    pub(crate) fn place(&self) -> Option<u32> {
        let place = self.place.load(Ordering::Acquire);
        (place != NOWHERE).then_some(place)
    }

    /// All lanes that channels have now, the control lane among them, and their offsets.
    pub(crate) fn lanes(&self) -> impl Iterator<Item = (usize, &LaneAddress)> {
        self.lanes.all().filter(|(_, lane)| lane.is_assigned())
    }

    /// How many there are.
    pub(crate) fn lanes_count(&self) -> usize {
        self.lanes.count()
    }

    /// Where its control lane is among its lanes.
    pub(crate) fn control_offset(&self) -> usize {
        self.lanes.control_offset()
    }

    /// The control shard's: a channel was added, and has lanes there from now on. `closed` says that the node
    /// stops.
    pub(crate) fn assign_lanes(&self, range: LaneRange, limits: GateLimits, closed: bool) {
        // Whether the control lane is up, or can be made, does not change meanwhile.
        let presence = self.lock();
        let mut open_for = Vec::new();
        if self.has_control() {
            open_for.push(OpenFor::Peer);
        }
        if self.reachable.load(Ordering::Acquire) {
            open_for.push(OpenFor::Reach);
        }
        if presence.is_expected && range.keeps_messages {
            open_for.push(OpenFor::Return);
        }
        self.lanes.assign(range, limits, &open_for);
        if closed {
            self.close_lanes(range);
        }
    }

    /// The control shard's: the lanes of that channel take no more messages.
    pub(crate) fn close_lanes(&self, range: LaneRange) {
        for offset in range.offsets() {
            self.lane(offset).gate.close();
        }
    }

    /// The control shard's: nobody remembers the lanes of that channel.
    pub(crate) fn release_lanes(&self, range: LaneRange) {
        self.lanes.release(range);
    }

    /// Whether its control lane is up.
    pub(crate) fn has_control(&self) -> bool {
        self.control_up.load(Ordering::Acquire)
    }

    /// Whether it knows no control lanes, as far as is known, and every lane to it is kept up.
    pub(crate) fn keeps_lanes(&self) -> bool {
        self.keeps_lanes.load(Ordering::Acquire)
    }

    /// The shard of its control lane: what a dial of that lane has found out.
    pub(crate) fn note_keeps_lanes(&self, keeps: bool) {
        let session = self.presence().sessions;
        self.control_refused_in.store(session, Ordering::Relaxed);
        self.keeps_lanes.store(keeps, Ordering::Release);
    }

    /// Whether the process that its lanes lead to has refused its control lane.
    pub(crate) fn has_refused_control(&self) -> bool {
        let Presence {
            lanes, sessions, ..
        } = self.presence();
        let refused_in = self.control_refused_in.load(Ordering::Relaxed);
        self.keeps_lanes() && lanes > 0 && refused_in == sessions
    }

    /// Whether messages wait for a lane that is not there.
    pub(crate) fn has_waiting(&self) -> bool {
        let mut gates = self.lanes.all().map(|(_, lane)| &lane.gate);
        gates.any(|gate| !gate.has_lane() && !gate.is_unused())
    }

    #[inline]
    pub(crate) fn lane(&self, offset: usize) -> &LaneAddress {
        self.lanes.at(offset)
    }

    /// The number of a lane among all lanes of this node: what a record in a ring carries. Asked after
    /// room was reserved at the lane's gate: a peer with reservations keeps its place.
    #[inline]
    pub(crate) fn lane_number(&self, offset: usize) -> LaneNumber {
        LaneNumber::new(self.place.load(Ordering::Acquire), offset)
    }

    pub(crate) fn presence(&self) -> Presence {
        *self.lock()
    }

    /// It gets a place: lanes can come up. The control shard's.
    pub(crate) fn settle(&self, place: u32) {
        let mut presence = self.lock();
        presence.withdrawn = false;
        self.place.store(place, Ordering::Release);
    }

    /// Takes its place away, unless it is in use: by a lane, by messages that are still to be settled, or by
    /// senders, of which one could be between its look at an open gate and its record. That it is expected back
    /// gives way, so that who comes and goes keeps nobody out. The control shard's.
    pub(crate) fn withdraw(&self) -> bool {
        let mut presence = self.lock();
        let gates = || self.lanes.all().map(|(_, lane)| &lane.gate);
        if presence.lanes > 0 || !gates().all(Gate::is_unused_but_for_return) {
            return false;
        }
        presence.is_expected = false;
        gates().for_each(|gate| gate.shut(OpenFor::Return));
        let is_unused = gates().all(Gate::is_shut_and_unused);
        if is_unused {
            presence.withdrawn = true;
            self.place.store(NOWHERE, Ordering::Release);
        }
        is_unused
    }

    /// A lane is about to come up with a process of that incarnation. Returns the number of the session
    /// that it belongs to; [`leave`](Self::leave) ends what this began.
    pub(crate) fn join(&self, incarnation: u64) -> Result<u64, JoinError> {
        let mut presence = self.lock();
        if presence.withdrawn {
            return Err(JoinError::Withdrawn);
        }
        if presence.lanes == 0 {
            presence.incarnation = incarnation;
            presence.sessions += 1;
            self.incarnation.store(incarnation, Ordering::Release);
        } else if incarnation < presence.incarnation {
            return Err(JoinError::Outdated);
        } else if incarnation > presence.incarnation {
            return Err(JoinError::NameTaken);
        }
        presence.lanes += 1;
        Ok(presence.sessions)
    }

    /// A lane that had come up has ended. True if it was the last.
    pub(crate) fn leave(&self, reason: CloseReason) -> bool {
        let mut presence = self.lock();
        presence.lanes -= 1;
        presence.last_end = reason;
        presence.lanes == 0
    }

    /// Charges the peer for names of so many bytes; false if that is more than `bytes_max` together.
    pub(crate) fn charge_names(&self, bytes: usize, bytes_max: usize) -> bool {
        let before = self.names_bytes.fetch_add(bytes, Ordering::Relaxed);
        before + bytes <= bytes_max
    }

    /// Names of so many bytes are not held any more.
    pub(crate) fn release_names(&self, bytes: usize) {
        self.names_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// The lane at `offset` is up: its gate opens, with the control lane those of all lanes.
    pub(crate) fn lane_came(&self, offset: usize) {
        self.lanes_up.fetch_add(1, Ordering::AcqRel);
        self.lane(offset).gate.open(OpenFor::Lane);
        if offset == self.control_offset() {
            // Against a channel that is added meanwhile.
            let _presence = self.lock();
            for (_, lane) in self.lanes.all() {
                lane.gate.open(OpenFor::Peer);
            }
            self.control_up.store(true, Ordering::Release);
        }
        self.changed.notify(usize::MAX);
    }

    /// The lane at `offset` takes no more messages; without the control lane none can be made.
    pub(crate) fn shut_lane(&self, offset: usize) {
        self.lane(offset).gate.shut(OpenFor::Lane);
        if offset == self.control_offset() {
            let _presence = self.lock();
            self.control_up.store(false, Ordering::Release);
            for (_, lane) in self.lanes.all() {
                lane.gate.shut(OpenFor::Peer);
            }
        }
    }

    /// The shard of its control lane: messages to it are accepted on every lane, connected or not, or are so
    /// no more.
    pub(crate) fn set_reachable(&self, reachable: bool) {
        if self.reachable.load(Ordering::Acquire) == reachable {
            return;
        }
        {
            // Against a channel that is added meanwhile.
            let _presence = self.lock();
            for (_, lane) in self.lanes.all() {
                if reachable {
                    lane.gate.open(OpenFor::Reach);
                } else {
                    lane.gate.shut(OpenFor::Reach);
                }
            }
            self.reachable.store(reachable, Ordering::Release);
        }
        self.changed.notify(usize::MAX);
    }

    /// A lane to it was dialled there, and comes up.
    pub(crate) fn note_dialed_at(&self, address: Option<SocketAddr>) {
        if address.is_some() {
            self.lock().dialed_at = address;
        }
    }

    /// The lane at `offset` has ended, and takes messages while its peer is away.
    pub(crate) fn hold_lane(&self, offset: usize) {
        self.lane(offset).gate.open(OpenFor::Absence);
    }

    /// The lane at `offset` need not wait for its peer any longer.
    pub(crate) fn let_go_lane(&self, offset: usize) {
        self.lane(offset).gate.shut(OpenFor::Absence);
    }

    /// The lane at `offset` has waited for its peer in vain.
    pub(crate) fn give_up_lane(&self, offset: usize) {
        self.lane(offset).gate.give_up();
    }

    /// The shard of its control lane: that is about to end, and may be back. Lanes of channels that keep their
    /// messages take some meanwhile, used or not.
    pub(crate) fn expect_back(&self) {
        let mut presence = self.lock();
        if presence.withdrawn {
            return;
        }
        presence.is_expected = true;
        for (_, lane) in self.lanes.all().filter(|(_, lane)| lane.keeps_messages()) {
            lane.gate.open(OpenFor::Return);
        }
    }

    /// The shard of its control lane: the lane at `offset` takes no more for the peer's return.
    pub(crate) fn shut_for_return(&self, offset: usize) {
        self.lane(offset).gate.shut(OpenFor::Return);
    }

    /// The shard of its control lane: the peer is back, or is expected no longer.
    pub(crate) fn expect_no_longer(&self) {
        let mut presence = self.lock();
        presence.is_expected = false;
        for (_, lane) in self.lanes.all() {
            lane.gate.shut(OpenFor::Return);
        }
    }

    /// The lane at `offset` has ended.
    pub(crate) fn lane_went(&self, offset: usize) {
        self.shut_lane(offset);
        self.lanes_up.fetch_sub(1, Ordering::AcqRel);
        self.changed.notify(usize::MAX);
    }

    /// A lane that is up has taken the place of one that counted as up while it was made anew.
    pub(crate) fn lane_replaced(&self) {
        self.lock().lanes -= 1;
        self.lanes_up.fetch_sub(1, Ordering::AcqRel);
    }

    /// The shard of its control lane: which credentials of this node that was made with.
    pub(crate) fn note_credentials(&self, epoch: u64) {
        self.credentials.store(epoch, Ordering::Release);
    }

    /// The same, for the shards of others.
    pub(crate) fn credentials(&self) -> u64 {
        self.credentials.load(Ordering::Acquire)
    }

    /// The control shard is to look at it. False if that was said already.
    pub(crate) fn stir(&self) -> bool {
        !self.stirred.swap(true, Ordering::AcqRel)
    }

    /// The control shard looks: what changes from here on is to be said again.
    pub(crate) fn calm(&self) {
        self.stirred.store(false, Ordering::Release);
    }

    /// Listen, look, then wait: a lane that came in between is not missed.
    pub(crate) fn listen(&self) -> EventListener {
        self.changed.listen()
    }

    fn lock(&self) -> MutexGuard<'_, Presence> {
        self.presence.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer() -> Peer {
        let cells = LaneCells::new(0, 1, 0, 1);
        let peer = Peer::new(Arc::from("b"), false, cells);
        let lane = LaneRange {
            channel: 0,
            first: 0,
            count: 1,
            on_one_shard: false,
            keeps_messages: false,
        };
        peer.assign_lanes(lane, LIMITS, false);
        peer
    }

    const LIMITS: GateLimits = GateLimits {
        messages_max: 16,
        bytes_max: 1 << 16,
        high_percent: 80,
        low_percent: 20,
    };

    #[test]
    fn lanes_lead_to_one_process_at_a_time() {
        let peer = peer();
        assert_eq!(peer.join(5), Err(JoinError::Withdrawn));
        peer.settle(3);
        assert_eq!(peer.join(5), Ok(1));
        assert_eq!(peer.join(6), Err(JoinError::NameTaken));
        assert_eq!(peer.join(4), Err(JoinError::Outdated));
        assert_eq!(peer.join(5), Ok(1));
        assert!(!peer.leave(CloseReason::Reset), "one is left");
        assert_eq!(peer.join(6), Err(JoinError::NameTaken));
        assert!(peer.leave(CloseReason::Reset));
        // Its clock may have been set back meanwhile.
        assert_eq!(peer.join(4), Ok(2));
        assert_eq!(peer.incarnation(), 4);
    }

    #[test]
    fn a_place_that_is_in_use_is_kept() {
        let peer = peer();
        peer.settle(3);
        assert_eq!(peer.join(5), Ok(1));
        assert!(!peer.withdraw());
        assert!(peer.leave(CloseReason::Reset));
        peer.lane(0).gate.open(OpenFor::Peer);
        peer.lane(0).gate.reserve(10).expect("there is room");
        peer.lane(0).gate.shut(OpenFor::Peer);
        assert!(!peer.withdraw(), "a message is still to be settled");
        peer.lane(0).gate.release(1, 10);
        assert!(peer.withdraw());
        assert_eq!(peer.place(), None);
        assert_eq!(peer.join(5), Err(JoinError::Withdrawn));
    }

    #[test]
    fn a_place_that_is_kept_for_a_return_alone_gives_way() {
        let peer = peer();
        let kept = LaneRange {
            channel: 1,
            first: 5,
            count: 1,
            on_one_shard: false,
            keeps_messages: true,
        };
        peer.settle(3);
        peer.assign_lanes(kept, LIMITS, false);
        peer.expect_back();
        assert!(peer.lane(0).gate.reserve(1).is_err(), "it keeps nothing");
        peer.lane(5)
            .gate
            .reserve(1)
            .expect("it keeps what it takes");
        assert!(!peer.withdraw(), "a message waits");
        peer.lane(5).gate.reserve(1).expect("as before");
        peer.lane(5).gate.release(2, 2);
        assert!(peer.withdraw());
        assert!(peer.lane(5).gate.reserve(1).is_err());
        peer.expect_back();
        assert!(peer.lane(5).gate.reserve(1).is_err(), "it has no place");
    }

    #[test]
    fn a_channel_that_is_added_is_open_as_the_others_are() {
        let peer = peer();
        let added = LaneRange {
            channel: 1,
            first: 5,
            count: 2,
            on_one_shard: false,
            keeps_messages: true,
        };
        peer.settle(0);
        peer.lane_came(peer.control_offset());
        peer.assign_lanes(added, LIMITS, false);
        assert_eq!(peer.lanes_count(), 3);
        assert_eq!(peer.lane(6).gate.reserve(1), Ok(()));
        assert!(!peer.withdraw(), "it counts among those in use");
        peer.lane(6).gate.release(1, 1);
        peer.shut_lane(peer.control_offset());
        assert!(peer.lane(6).gate.reserve(1).is_err());
        peer.expect_back();
        peer.assign_lanes(added, LIMITS, false);
        assert_eq!(peer.lane(6).gate.reserve(1), Ok(()));
        peer.lane(6).gate.release(1, 1);
        peer.close_lanes(added);
        peer.release_lanes(added);
        assert_eq!(peer.lanes_count(), 1);
        assert!(peer.lane(4000).gate.reserve(1).is_err(), "of no channel");
    }
}
