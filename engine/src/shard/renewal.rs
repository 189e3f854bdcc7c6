//! Lanes that were made with certificates or secrets that have changed since: made anew, one after the other.
//!
//! A lane is closed by both ends with a Bye, once all that it carries is acknowledged; what is accepted meanwhile waits
//! for its next connection, and its streams and requests go on there. Of a peer the control lane is the first, and its
//! others follow when that is up: where the new credentials do not fit, the others stay as they are, unless what they were
//! made with has been taken away: then they end. While its control lane is made anew the peer counts as connected (`lingers`).
//!
//! Called by the turn when the credentials have changed and for its deadlines, by `lifecycle` when lanes end and come up.
//! It looks at no certificate and no secret: each session knows how old its own are.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Core;
use super::command::Newcomer;
use super::lane_state::Stage;
use super::timers::Deadline;
use crate::peer::Peer;
use crate::session::SessionError;
use crate::wire::{Agreed, CloseReason};

/// How long both ends may take to finish what is under way on a lane. A message is acknowledged when its inbox has it, so it
/// takes longer only where an inbox is full.
const PARTING_MAX: Duration = Duration::from_secs(5);

/// How long a lane whose secret or authority has been taken away may wait for its turn once nothing else can be made anew: as
/// long as two that are cut short.
const WITHDRAWN_MAX: Duration = Duration::from_secs(10);

/// How soon lanes that have to wait, for the control lane of their peer or for an inbox, are looked at again, at first and at last.
const LOOK_AGAIN_MIN: Duration = Duration::from_millis(20);
const LOOK_AGAIN_MAX: Duration = Duration::from_secs(1);

/// How long a new connection of a lane waits until the end of the last one is read: it was said before the dial, and
/// may have been overtaken by it.
pub(super) const BYE_PATIENCE: Duration = Duration::from_secs(1);

/// A connection of a lane whose last connection has not ended here.
#[derive(Debug)]
struct Early {
    peer: Arc<Peer>,
    offset: usize,
    newcomer: Box<Newcomer>,
    agreed: Agreed,
    by: Instant,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Renewals {
    /// The credentials that lanes are to be made with.
    epoch: u64,
    /// When they came.
    since: Instant,
    /// The lane that is being made anew, and how long that may take.
    current: Option<(u32, Instant)>,
    /// The one that was taken last: those behind it are next.
    last: u32,
    /// When to look next, if that is set.
    look_at: Option<Instant>,
    /// Connections that came before the Bye of those before them was read.
    early: Vec<Early>,
}

/// What is to be made anew next.
enum Next {
    Lane(u32),
    /// It cannot be, and what it was made with is good no more.
    End(u32, SessionError),
    /// Some, but none of them now.
    Later,
    Nothing,
}

impl Renewals {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            epoch: 0,
            since: now,
            current: None,
            last: 0,
            look_at: None,
            early: Vec::new(),
        }
    }

    /// A connection has come for a lane on which the peer has yet to say Bye; it waits until `by`. One for each lane: who dials
    /// again has given the one before up.
    pub(super) fn await_bye(
        &mut self,
        peer: &Arc<Peer>,
        offset: usize,
        newcomer: Box<Newcomer>,
        agreed: Agreed,
        by: Instant,
    ) {
        self.early
            .retain(|early| early.offset != offset || !Arc::ptr_eq(&early.peer, peer));
        self.early.push(Early {
            peer: Arc::clone(peer),
            offset,
            newcomer,
            agreed,
            by,
        });
    }

    /// Whether connections wait for that.
    #[inline]
    pub(super) fn has_early(&self) -> bool {
        !self.early.is_empty()
    }

    /// Its slot is another lane's from now on.
    pub(super) fn forget_lane(&mut self, index: u32) {
        self.current.take_if(|(lane, _)| *lane == index);
    }
}

impl Core {
    /// What came has been read: connections that waited for a Bye take its place.
    pub(super) fn welcome_early(&mut self) -> io::Result<()> {
        for early in std::mem::take(&mut self.renewals.early) {
            let Early {
                peer,
                offset,
                mut newcomer,
                agreed,
                by,
            } = early;
            let lane = self.used_lane_to(&peer, offset);
            let is_early = lane.is_some_and(|lane| self.lanes[lane as usize].state.awaits_bye());
            if is_early && self.now < by {
                self.renewals.early.push(Early {
                    peer,
                    offset,
                    newcomer,
                    agreed,
                    by,
                });
                continue;
            }
            newcomer.is_late = true;
            self.welcome_newcomer(&peer, offset, *newcomer, agreed)?;
        }
        Ok(())
    }

    /// Whether the credentials are others than when lanes were looked at last.
    #[inline]
    pub(super) fn has_new_credentials(&self) -> bool {
        self.fabric.security.epoch() != self.renewals.epoch
    }

    /// Begins to make lanes anew, if the credentials have changed.
    pub(super) fn follow_credentials(&mut self) {
        if self.has_new_credentials() {
            self.renewals.epoch = self.fabric.security.epoch();
            self.renewals.since = self.now;
            self.look_for_renewal_at(self.now);
        }
    }

    fn look_for_renewal_at(&mut self, at: Instant) {
        if let Some(before) = self.renewals.look_at.replace(at) {
            self.timers.take_back(before, Deadline::Renewal);
        }
        self.timers.set(at, Deadline::Renewal);
    }

    /// A lane has ended, or come up: it may be the one that others wait for.
    pub(super) fn note_renewal(&mut self, lane: u32) {
        let state = &self.lanes[lane as usize];
        if state.is_control() && state.is_up() {
            let epoch = self.epoch_of(lane).unwrap_or(0);
            self.lanes[lane as usize].peer.note_credentials(epoch);
        }
        if let Some((current, by)) = &mut self.renewals.current
            && *current == lane
        {
            *by = self.now + self.dialing.patience;
            self.look_for_renewal_at(self.now);
        } else if self.is_outdated(lane) {
            // Its handshake was under way when they changed.
            self.look_for_renewal_at(self.now);
        }
    }

    /// Whether the lane is up with others than the newest credentials.
    fn is_outdated(&mut self, lane: u32) -> bool {
        let epoch = self.epoch_of(lane);
        epoch.is_some_and(|epoch| epoch < self.renewals.epoch)
    }

    /// Which credentials the lane was made with; `None` if it is down, or plain.
    fn epoch_of(&mut self, lane: u32) -> Option<u64> {
        let connection = self.lanes[lane as usize].state.connection()?;
        let session = self.connections.get(connection)?.session.as_ref()?;
        Some(session.epoch())
    }

    /// The time has come: goes on with the next lane once the last one is up again.
    pub(super) fn look_for_renewal(&mut self) {
        self.renewals.look_at = None;
        if let Some((lane, by)) = self.renewals.current {
            if self.is_being_renewed(lane, by) {
                self.look_for_renewal_at(by);
                return;
            }
            self.renewals.current = None;
        }
        if self.drain.is_some() {
            return;
        }
        match self.next_to_renew() {
            Next::Lane(lane) => self.renew(lane),
            Next::End(lane, error) => {
                self.end_withdrawn(lane, &error);
                self.look_for_renewal_at(self.now);
            }
            Next::Later => {
                let waited = self.now.saturating_duration_since(self.renewals.since);
                let pause = (waited / 10).clamp(LOOK_AGAIN_MIN, LOOK_AGAIN_MAX);
                self.look_for_renewal_at(self.now + pause);
            }
            Next::Nothing => {}
        }
    }

    fn renew(&mut self, lane: u32) {
        let by = self.now + PARTING_MAX;
        self.renewals.current = Some((lane, by));
        self.renewals.last = lane;
        self.look_for_renewal_at(by);
        let state = &mut self.lanes[lane as usize];
        tracing::debug!(peer = state.peer.name(), channel = %self.channels[state.channel].name, "a lane is made anew");
        let actions = state.state.renew();
        self.carry_out(lane, actions);
    }

    /// Whether others wait for that lane still. At the end of its time it is cut short.
    fn is_being_renewed(&mut self, lane: u32, by: Instant) -> bool {
        let is_late = self.now >= by;
        let state = &self.lanes[lane as usize];
        match state.state.stage() {
            Stage::Up(_) if state.state.rests() => {
                if is_late {
                    self.cut_renewal_short(lane);
                }
                !is_late
            }
            Stage::Up(_) | Stage::Loop => false,
            Stage::Idle | Stage::Dialing { .. } => {
                let is_to_come = state.state.is_demanded() || state.lingers.is_some();
                is_to_come && !is_late
            }
        }
    }

    fn end_withdrawn(&mut self, lane: u32, error: &SessionError) {
        let peer = self.lanes[lane as usize].peer.name();
        tracing::warn!(peer, reason = %error.reason, "a lane ends that could not be made anew");
        self.end_lane(lane, error.reason);
    }

    /// Why the lane could not be made as it is now, if it could not.
    fn withdrawn(&mut self, lane: u32) -> Option<SessionError> {
        let connection = self.lanes[lane as usize].state.connection()?;
        let session = self.connections.get(connection)?.session.as_ref()?;
        self.fabric.security.check_still_good(session).err()
    }

    /// Whether those that were withdrawn have had their time.
    fn is_time_of_withdrawn_over(&self) -> bool {
        self.now.saturating_duration_since(self.renewals.since) >= WITHDRAWN_MAX
    }

    /// An inbox is full at one of the two ends, or the peer does not answer. What is kept goes out again on the next
    /// connection; where nothing is, the lane goes on as it is, if the peer knows of nothing yet.
    fn cut_renewal_short(&mut self, lane: u32) {
        if self.is_time_of_withdrawn_over()
            && let Some(error) = self.withdrawn(lane)
        {
            self.end_withdrawn(lane, &error);
            return;
        }
        let state = &mut self.lanes[lane as usize];
        let is_control = state.is_control();
        if !state.log.keeps_messages() && state.state.call_off_renewal() {
            self.send_held(lane);
            if is_control {
                // What was to be said on it waited for that.
                self.reached(lane);
            }
        } else {
            self.end_lane(lane, CloseReason::Renewed);
        }
    }

    fn next_to_renew(&mut self) -> Next {
        let lanes = u32::try_from(self.lanes.len()).unwrap_or(u32::MAX);
        let mut next = Next::Nothing;
        for step in 1..=lanes {
            let lane = (self.renewals.last + step) % lanes;
            if !self.is_outdated(lane) {
                continue;
            }
            if !self.can_be_renewed(lane)
                && let Some(error) = self.withdrawn(lane)
            {
                return Next::End(lane, error);
            }
            if self.lanes[lane as usize].peer.keeps_lanes() {
                continue;
            }
            if self.is_to_be_renewed(lane) {
                return Next::Lane(lane);
            }
            if !matches!(next, Next::End(..)) {
                next = self.once_late(lane);
            }
        }
        next
    }

    /// What becomes of a lane that has to wait, once nothing else is to be done.
    fn once_late(&mut self, lane: u32) -> Next {
        if !self.is_time_of_withdrawn_over() {
            return Next::Later;
        }
        match self.withdrawn(lane) {
            Some(error) => Next::End(lane, error),
            None => Next::Later,
        }
    }

    /// Whether waiting can help: the control lane of its peer is up, comes back, or has had no time for that. Nodes of the first
    /// version take no message back that was sent behind a Bye.
    fn can_be_renewed(&self, lane: u32) -> bool {
        let peer = &self.lanes[lane as usize].peer;
        let since = self.now.saturating_duration_since(self.renewals.since);
        !peer.keeps_lanes() && (peer.has_control() || since < self.dialing.patience)
    }

    fn is_to_be_renewed(&self, lane: u32) -> bool {
        let state = &self.lanes[lane as usize];
        let inbound = state.link.inbound.as_ref();
        let is_read = inbound.is_some_and(|inbound| inbound.blocked.is_none());
        let has_turn = state.is_control() || state.peer.credentials() >= self.renewals.epoch;
        is_read && has_turn && state.state.may_be_renewed()
    }

    /// Whether the peer counts as connected although this lane, which has ended, is down: its control lane, until it is made anew.
    pub(super) fn lingers_on(&mut self, lane: u32, reason: CloseReason, at_rest: bool) -> bool {
        let state = &mut self.lanes[lane as usize];
        let is_made_anew = at_rest && reason == CloseReason::Renewed && state.is_control();
        if !is_made_anew || self.drain.is_some() || !state.state.is_to_come_back() {
            return false;
        }
        let at = self.now + self.dialing.patience;
        state.lingers = Some(at);
        self.timers.set(at, Deadline::Linger { lane });
        true
    }

    /// It is up again.
    pub(super) fn end_linger(&mut self, lane: u32) {
        let state = &mut self.lanes[lane as usize];
        if let Some(at) = state.lingers.take() {
            self.timers.take_back(at, Deadline::Linger { lane });
            state.peer.lane_replaced();
        }
    }

    /// It could not be made anew.
    pub(super) fn lose_linger(&mut self, lane: u32, reason: CloseReason) {
        let state = &mut self.lanes[lane as usize];
        let Some(at) = state.lingers.take() else {
            return;
        };
        self.timers.take_back(at, Deadline::Linger { lane });
        let peer = Arc::clone(&state.peer);
        self.expect_back(lane, reason);
        let state = &self.lanes[lane as usize];
        peer.lane_went(state.offset);
        self.leave_peer(&peer, reason);
        for offset in self.waiting_for_control(lane) {
            self.tell_not_reached(&peer, offset, reason);
        }
    }

    /// On the shard of the control lane: whether that is being made anew, so that what is to be said on it waits.
    pub(super) fn waits_for_renewal(&mut self, peer: &Arc<Peer>, offset: usize) -> bool {
        let control = self.used_lane_to(peer, peer.control_offset());
        let is_renewed = |lane: &u32| {
            let state = &self.lanes[*lane as usize];
            state.lingers.is_some() || (state.is_up() && state.state.is_renewed())
        };
        let Some(control) = control.filter(is_renewed) else {
            return false;
        };
        self.wait_for_control(control, offset);
        true
    }

    /// The node stops: nothing is made anew.
    pub(super) fn end_lingering(&mut self) {
        for lane in 0..self.lanes.len() {
            self.lose_linger(
                u32::try_from(lane).unwrap_or(u32::MAX),
                CloseReason::LocalStop,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::peer::LaneCells;
    use crate::wire::hello::SESSION_PLAIN;
    use crate::wire::version::VERSION;
    use crate::wire::{ChannelTerms, Hello, Name, Parameters, Progress, VersionRange};

    fn name(text: &str) -> Name {
        Name::new(text).expect("a good name")
    }

    fn newcomer() -> (Box<Newcomer>, Agreed) {
        let terms = ChannelTerms::of_test();
        let hello = Hello {
            versions: VersionRange::OURS,
            cluster: name("test"),
            node: name("b"),
            incarnation: 7,
            expected_node: None,
            channel: name("data"),
            lane: 0,
            priority: 0,
            session: name(SESSION_PLAIN),
            progress: Progress::default(),
            terms: terms.clone(),
            unknown: Parameters::default(),
        };
        let (socket, _) = UnixStream::pair().expect("the kernel has sockets");
        let newcomer = Newcomer {
            socket: socket.into(),
            address: None,
            session: None,
            hello: Box::new(hello),
            early: Vec::new(),
            is_late: false,
        };
        let version = VERSION;
        (Box::new(newcomer), Agreed { version, terms })
    }

    #[test]
    fn of_a_lane_one_connection_waits_for_a_bye_the_newest() {
        let now = Instant::now();
        let mut renewals = Renewals::new(now);
        let peers = ["b", "c"].map(|name| {
            let cells = LaneCells::new(0, 1, 0, 1);
            Arc::new(Peer::new(Arc::from(name), false, cells))
        });
        for second in 0..100 {
            for peer in &peers {
                for offset in 0..2 {
                    let (newcomer, agreed) = newcomer();
                    let by = now + Duration::from_secs(second);
                    renewals.await_bye(peer, offset, newcomer, agreed, by);
                }
            }
        }
        let waiting = renewals.early.iter();
        let waiting: Vec<_> = { waiting }
            .map(|early| (early.peer.name(), early.offset, early.by))
            .collect();
        let by = now + Duration::from_secs(99);
        assert_eq!(
            waiting,
            [("b", 0, by), ("b", 1, by), ("c", 0, by), ("c", 1, by)]
        );
    }
}
