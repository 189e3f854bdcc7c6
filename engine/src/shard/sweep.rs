//! Looking over the lanes: for peers that are gone without a word, for those that stopped in the middle
//! of a frame, and for what overflow policies dropped, which is reported in sums, because it may be
//! every message that is sent.
//!
//! Called by the turn for its deadline. What is proof of life is `delivery::Liveness`' matter; here is
//! where it comes from on a lane that is not read at the moment: the kernel tells whether the other host
//! still answers, or has closed.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use super::Core;
use super::lane::reason_of;
use crate::delivery::{Liveness, LivenessLimits, Verdict, Watch};
use crate::io::socket::{self, Standing};
use crate::wire::CloseReason;

/// When lanes are looked over, and how long each may be silent.
#[derive(Debug)]
pub(crate) struct Sweeper {
    limits: LivenessLimits,
    watch: Watch,
    random: fastrand::Rng,
}

impl Sweeper {
    pub(crate) fn new(idle_timeout: Duration, now: Instant) -> Self {
        Self {
            limits: LivenessLimits::new(idle_timeout),
            watch: Watch::new(now),
            random: fastrand::Rng::new(),
        }
    }

    /// For a connection that carries a lane from now on.
    pub(crate) fn liveness(&mut self, now: Instant) -> Liveness {
        Liveness::new(now, &self.limits, self.random.u64(..))
    }

    /// When to look next.
    pub(crate) fn next(&self, now: Instant) -> Instant {
        now + self.limits.look_every
    }
}

impl Core {
    /// Ends the lanes whose peer is gone or stuck, and asks those that have been silent.
    pub(crate) fn sweep(&mut self, now: Instant) {
        let every = self.sweeper.limits.look_every;
        let away = self.sweeper.watch.look(now, every);
        for lane in 0..self.lanes.len() {
            let Some(connection) = self.lanes[lane].state.connection() else {
                continue;
            };
            let lane = u32::try_from(lane).unwrap_or(u32::MAX);
            if let Some(reason) = self.look_at(lane, connection, now, away) {
                self.end_lane(lane, reason);
            }
        }
    }

    /// Why a lane is to end now, if it is.
    fn look_at(
        &mut self,
        lane: u32,
        connection: u32,
        now: Instant,
        away: Duration,
    ) -> Option<CloseReason> {
        let limits = self.sweeper.limits;
        let random = self.sweeper.random.u64(..);
        let inbound = self.lanes[lane as usize].link.inbound.as_mut()?;
        if away > Duration::ZERO {
            inbound.liveness.forgive(now, away);
        }
        if inbound.is_too_slow(now, limits.idle_timeout) {
            return Some(CloseReason::TooSlow);
        }
        let carrier = self.connections.get(connection)?;
        // No receive is armed: an inbox is full, or the shard has more urgent lanes to read.
        if inbound.blocked.is_some() || carrier.receiving.is_none() {
            let socket = carrier.socket.as_ref()?;
            match socket::standing(socket) {
                Standing::Aborted => return Some(reason_of_abort(socket)),
                Standing::Closed => return inbound.outstays(now, limits.idle_timeout),
                Standing::Answered => inbound.liveness.host_answered(now, Duration::ZERO),
                Standing::Unanswered { heard_ago } => {
                    inbound.liveness.host_answered(now, heard_ago);
                }
            }
        } else {
            inbound.closed_since = None;
        }
        match inbound.liveness.look(now, &limits, random) {
            Verdict::Alive => None,
            Verdict::Dead => Some(CloseReason::IdleTimeout),
            Verdict::Ask => {
                inbound.ask();
                self.mark_ready(lane);
                None
            }
        }
    }

    /// The peer dials a lane that is up here: it may have lost it. It is asked at once, so that a lane
    /// of which only this half is left does not stay in the way for the whole idle timeout.
    pub(crate) fn doubt_lane(&mut self, lane: u32) {
        let state = &mut self.lanes[lane as usize];
        if !state.state.rests()
            && let Some(inbound) = &mut state.link.inbound
            && inbound.liveness.doubt(self.now)
        {
            inbound.ask();
            self.mark_ready(lane);
        }
    }

    /// Reports the messages that reliable channels dropped for want of room.
    pub(crate) fn tell_overflow(&mut self) {
        for lane in 0..self.lanes.len() {
            let state = &mut self.lanes[lane];
            if state.retired {
                continue;
            }
            let undelivered = state.take_overflow();
            if undelivered > 0 && self.channels[state.channel].reliable {
                let why = "their lane's queue was full: see overflow";
                self.report_undelivered(u32::try_from(lane).unwrap_or(u32::MAX), undelivered, why);
            }
        }
    }
}

/// Why the kernel gave up a connection that nobody was using.
fn reason_of_abort(socket: &OwnedFd) -> CloseReason {
    match socket::pending_error(socket) {
        0 => CloseReason::Reset,
        error => reason_of(-error),
    }
}
