//! The end of a shard: accept no more, finish what is queued, part from every peer, by a deadline.
//!
//! Begun by `Node::stop`. Rings are closed first and drained, then each lane says Bye when all it
//! sent is acknowledged, and closes when the peer has said it too. At the deadline what is left is
//! reported and closed.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use super::Core;
use super::lane::Lane;
use super::report::ShardReport;
use super::timers::Deadline;

/// A sender that is between its claim in a ring and its commit is there in microseconds, unless its
/// thread was killed: then its message is lost with it.
pub(super) const STALLED_SENDER_GRACE: Duration = Duration::from_secs(1);

/// The end that a shard is to come to.
#[derive(Debug)]
pub(super) struct Drain {
    deadline: Instant,
    /// Peers are still let in, to make lanes that messages wait for.
    accepts: bool,
    /// Where the final counters go.
    reports: Sender<ShardReport>,
}

impl Core {
    pub(crate) fn begin_drain(&mut self, deadline: Instant, reports: Sender<ShardReport>) {
        if self.drain.is_none() {
            self.drain = Some(Drain {
                deadline,
                accepts: true,
                reports,
            });
            self.timers.set(deadline, Deadline::Sweep);
            for queue in &self.queues {
                queue.ring.close();
            }
            self.end_lingering();
        }
    }

    /// Whether the node stops, and peers may make the lanes that messages wait for.
    pub(super) fn is_accepting_for_waiting(&self) -> bool {
        self.drain.as_ref().is_some_and(|drain| drain.accepts)
    }

    /// Lets nobody in any more once nothing waits for a lane that a peer makes, or it is too late.
    fn end_accept_when_possible(&mut self, late: bool) {
        let Some(drain) = &mut self.drain else {
            return;
        };
        let rings = self.queues.iter().all(|queue| queue.ring.is_finished());
        let is_awaited = || {
            // Of any shard: the kernel chooses on which one a connection comes.
            let mut routes = self.fabric.routes.all().into_iter();
            routes.any(|route| route.peer.has_waiting())
        };
        if drain.accepts && (late || (rings && !is_awaited())) {
            drain.accepts = false;
            self.end_accept();
            self.turn_newcomers_away();
        }
    }

    /// Nothing can come out of a ring any more.
    fn rings_are_finished(&self) -> bool {
        self.queues.iter().all(|queue| queue.ring.is_finished())
    }

    /// Moves the end forward. True if anything was done.
    pub(crate) fn follow_drain(&mut self) -> bool {
        let Some(Drain { deadline, .. }) = self.drain else {
            return false;
        };
        let link = &self.fabric.shards[self.index];
        link.stop_steps.fetch_add(1, Ordering::Relaxed);
        let late = self.now >= deadline;
        if !late && !self.rings_are_finished() {
            return false;
        }
        self.end_accept_when_possible(late);
        let mut any = false;
        for index in 0..self.lanes.len() {
            let lane = u32::try_from(index).unwrap_or(u32::MAX);
            any |= self.part_from(lane, late);
        }
        any
    }

    /// Lets what a lane has accepted out, and parts from its peer.
    pub(super) fn part_from(&mut self, lane: u32, late: bool) -> bool {
        let at = self.moment();
        let state = &mut self.lanes[lane as usize];
        if !late && state.is_control() && state.peer.has_waiting() {
            // The peer may have to be asked for a lane.
            return false;
        }
        let settled = state.log.is_drained() && state.streams.is_empty();
        let actions = if late {
            state.state.drain_deadline(settled, at)
        } else {
            state.state.drain(settled)
        };
        let any = !actions.is_empty();
        self.carry_out(lane, actions);
        any
    }

    /// Sends the final counters to the thread that stops the node.
    pub(crate) fn last_report(&mut self) {
        self.tell_overflow();
        if let Some(drain) = &self.drain {
            drop(drain.reports.send(self.report()));
        }
    }

    /// Whether the shard's thread can end: no lane, no connection, nothing in the rings.
    pub(crate) fn has_stopped(&mut self) -> bool {
        let Some(Drain { deadline, .. }) = self.drain else {
            return false;
        };
        let is_needed = |lane: &Lane| lane.is_up() || lane.state.is_demanded();
        if self.lanes.iter().any(is_needed) {
            return false;
        }
        for connection in self.connections.indexes() {
            self.close_connection(connection);
        }
        // What is in the rings was accepted: it is taken out and reported, however late it is.
        let emptied = self.rings_are_finished() || self.now >= deadline + STALLED_SENDER_GRACE;
        self.connections.count() == 0 && self.listener.is_none() && emptied
    }
}

impl Drop for Core {
    /// The kernel works on the memory of operations under way until it has let go of them, which
    /// dropping the ring does not wait for.
    fn drop(&mut self) {
        if !self.io.close() {
            tracing::error!(
                shard = self.index,
                "the kernel did not let go of a shard's memory, which is left to it"
            );
            self.connections.abandon();
        }
    }
}
