//! The loop of a shard: turns while there is work, a spin when there is none, then the parking place.
//!
//! A turn follows the way of the messages: what came in is read and delivered, urgent lanes first;
//! what waits in the rings goes to the lanes; lanes get their sends; one `enter` gives it all to the
//! kernel. The order within a turn is the whole of the scheduling: there is no other.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::deliver::Receivers;
use super::lane::ENDED_BEFORE;
use super::lane::log::Unsendable;
use super::lane_state::Stage;
use super::reading::take_inflow;
use super::retry::{release_ready, retry_blocked};
use super::spin::Spin;
use super::stretch::{self, Stretch};
use super::tasks::Tasks;
use super::timers::Deadline;
use super::{Core, Shard};
use crate::io::receive_buffers::ReceiveBuffers;
use crate::shard::command::Command;
use crate::shard::context::ShardHandle;
use crate::wire::CloseReason;

/// Looks at the rings between two looks at the clock while spinning: about a microsecond's worth.
const LOOKS_PER_SLICE: u32 = 32;

/// Runs turns until the shard has stopped.
pub(crate) fn run(handle: &ShardHandle) -> io::Result<()> {
    let doorbell = Arc::clone(&handle.fabric.shards[handle.index].doorbell);
    let mut spin = Spin::new(Duration::from_micros(handle.fabric.config.spin_us));
    let budget = Duration::from_micros(handle.fabric.config.turn_budget_us);
    if let Err(error) = stretch::ask_for_slices(budget) {
        tracing::debug!(%error, "time slices stay as the kernel gives them");
    }
    let mut stretch = Stretch::new(budget, Instant::now());
    let mut tasks = Tasks::new(doorbell);
    loop {
        let worked = handle.shard.borrow_mut().turn()?;
        let newborn = std::mem::take(&mut handle.shard.borrow_mut().core.tasks.newborn);
        if !newborn.is_empty() {
            tasks.start(newborn, handle);
        }
        let tasks_run = tasks.run();
        let core = &mut handle.shard.borrow_mut().core;
        core.recording.turn_ended(core.now, worked, tasks_run);
        // First: tasks may go on for ever.
        if core.has_stopped() {
            core.last_report();
            return Ok(());
        }
        if worked || tasks.can_run() {
            if stretch.is_over(core.now) {
                std::thread::yield_now();
            }
            continue;
        }
        core.recording.work_is_over();
        if !core.spin_for_work(&mut spin, &tasks)? {
            core.park(&tasks)?;
            stretch.begin(Instant::now());
        }
    }
}

impl Shard {
    /// One turn. True if it found anything to do.
    pub(crate) fn turn(&mut self) -> io::Result<bool> {
        let Self { core, receivers } = self;
        core.now = Instant::now();
        core.recording.turn_begins(core.now);
        core.tally.turns += 1;
        core.follow_channels();
        core.follow_routes();
        core.follow_requests();
        core.follow_caps();
        core.follow_faults();
        core.follow_revocations();
        core.follow_credentials();
        let mut worked = obey(core, receivers);
        worked |= core.follow_streams();
        worked |= core.hear_answers()?;
        worked |= core.meet_deadlines()?;
        if core.io.has_task_work() {
            core.io.enter()?;
        }
        worked |= core.reap()?;
        worked |= core.dial_waiting()?;
        worked |= read_input(core, receivers);
        if core.renewals.has_early() {
            core.welcome_early()?;
        }
        worked |= core.feed_starving()?;
        worked |= core.drain_rings();
        worked |= self.loop_lanes();
        let core = &mut self.core;
        worked |= core.follow_leaving();
        worked |= core.follow_drain();
        core.remind_acks();
        worked |= core.flush_ready()?;
        core.wake_inboxes();
        core.tell_strays();
        if core.io.queued() > 0 {
            core.io.enter()?;
        }
        worked |= core.wake_turn_waiters();
        core.step_control();
        core.tally.idle_turns += u64::from(!worked);
        Ok(worked)
    }

    /// Messages to this node itself have no socket to wait for.
    fn loop_lanes(&mut self) -> bool {
        let mut moved = false;
        for place in 0..self.core.routing.loop_lanes.len() {
            let lane = self.core.routing.loop_lanes[place];
            let state = &self.core.lanes[lane as usize];
            if state.log.outbox.messages() > 0 && !state.is_waiting() {
                moved |= self.loop_back(lane);
            }
        }
        moved
    }
}

/// Carries out what other threads asked for.
fn obey(core: &mut Core, receivers: &mut Receivers) -> bool {
    let mut any = false;
    while let Ok(command) = core.commands.try_recv() {
        any = true;
        match command {
            Command::Receive {
                mailbox,
                receiver,
                answer,
            } => {
                core.intake.waiting.room_was_made(mailbox.id());
                receivers.put(mailbox, receiver);
                answer.give();
            }
            Command::Accept => {
                if let Err(error) = core.arm_accept() {
                    tracing::error!(%error, "connections cannot be accepted");
                }
            }
            Command::Forget(mailbox) => {
                receivers.remove(mailbox);
                core.intake.waiting.room_was_made(mailbox);
            }
            Command::Newcomer {
                peer,
                offset,
                newcomer,
                agreed,
            } => {
                if let Err(error) = core.welcome_newcomer(&peer, offset, *newcomer, agreed) {
                    tracing::error!(%error, "a connection handed over could not be taken on");
                }
            }
            Command::Summon { peer, offset } => core.say_summon(&peer, offset),
            Command::Decline {
                peer,
                offset,
                reason,
            } => core.say_decline(&peer, offset, reason),
            Command::Summoned { peer, offset } => core.summoned(&peer, offset),
            Command::Declined {
                peer,
                offset,
                reason,
            } => core.declined(&peer, offset, reason),
            Command::Reach { peer, offset } => core.connect_for(&peer, offset),
            Command::Reached { peer, offset } => core.dial_reached(&peer, offset),
            Command::Doubt { peer } => core.doubt_lanes(&peer),
            Command::Spawn(make) => core.tasks.newborn.push(make),
            Command::Report(to) => drop(to.send(core.report())),
            Command::Stop { deadline, reports } => core.begin_drain(deadline, reports),
        }
    }
    any
}

/// Reads and delivers what came, urgent lanes first, then tries the lanes that a full inbox stopped.
fn read_input(core: &mut Core, receivers: &mut Receivers) -> bool {
    let mut any = false;
    core.recording.handlers_begin();
    for lane in std::mem::take(&mut core.intake.early) {
        retry_blocked(core, receivers, lane);
        any = true;
    }
    any |= take_inflow(core, receivers);
    any |= retry_waiting(core, receivers);
    any |= release_ready(core, receivers);
    any
}

/// Tries lanes that a full inbox stopped, where room was made, for the turn's budget of time at most.
/// True if there were any.
fn retry_waiting(core: &mut Core, receivers: &mut Receivers) -> bool {
    if core.intake.waiting.is_empty() {
        return false;
    }
    // First: room that is made from here on is another turn's.
    let room = &core.fabric.shards[core.index].inbox_room;
    if room.swap(false, Ordering::AcqRel) {
        for mailbox in core.intake.waiting.mailboxes() {
            if receivers.has_made_room(mailbox) {
                core.intake.waiting.room_was_made(mailbox);
            }
        }
    }
    let until = Instant::now() + core.intake.budget;
    let mut any = false;
    while let Some(lane) = core.intake.waiting.next() {
        any = true;
        core.tally.lanes_retried += 1;
        retry(core, receivers, lane);
        if Instant::now() >= until {
            break;
        }
    }
    any
}

/// Tries one of them. If the inbox has no room again, nobody else needs to try.
fn retry(core: &mut Core, receivers: &mut Receivers, lane: u32) {
    let state = &mut core.lanes[lane as usize];
    let Some(inbound) = &mut state.link.inbound else {
        return;
    };
    inbound.ticket = None;
    if state.state.stage() == Stage::Loop {
        // Its messages wait in its outbox, which has its turn next.
        return;
    }
    retry_blocked(core, receivers, lane);
    let inbound = core.lanes[lane as usize].link.inbound.as_ref();
    if let Some(ticket) = inbound.and_then(|inbound| inbound.ticket) {
        core.intake.waiting.room_is_used_up(ticket.mailbox);
    }
}

impl Core {
    /// The control shard, where it lives here.
    fn step_control(&mut self) {
        let Some(control) = &mut self.control else {
            return;
        };
        control.step(self.now);
        if let Some(at) = control.next()
            && self.control_due.is_none_or(|due| at < due)
        {
            self.control_due = Some(at);
            self.timers.set(at, Deadline::Control);
        }
    }

    /// Whether a turn would find anything. No system call.
    #[inline]
    pub(crate) fn has_work(&mut self) -> bool {
        self.io.has_news()
            || self.queues.iter().any(|queue| !queue.ring.is_empty())
            || self.sending.ready.iter().any(|lanes| !lanes.is_empty())
            || !self.commands.is_empty()
            || self.newcomers.has_answer()
            || !self.tasks.turn_waiters.is_empty()
            || !self.sending.strays.is_empty()
            || (!self.intake.waiting.is_empty() && self.has_inbox_room())
            || self
                .control
                .as_ref()
                .is_some_and(|control| !control.is_idle())
            || self.fabric.routes.epoch() != self.routing.epoch()
            || self.fabric.channels.epoch() != self.channels.epoch()
            || self.timers.next().is_some_and(|at| at <= self.now)
            || self.has_new_request_deadline()
            || self.has_new_caps()
            || self.has_new_faults()
            || self.has_new_revocations()
            || self.has_new_credentials()
            || self.owes_streams()
            || self.has_ready()
    }

    /// Shard 0 looks after the deadlines of requests: whether one comes earlier than it knows.
    fn has_new_request_deadline(&self) -> bool {
        self.index == 0 && self.fabric.requests.due() != self.requests_due
    }

    /// Sets the deadline of the request that is due first.
    fn follow_requests(&mut self) {
        if self.has_new_request_deadline() {
            self.requests_due = self.fabric.requests.due();
            if let Some(due) = self.requests_due {
                self.timers.set(due, Deadline::Requests);
            }
        }
    }

    /// Whether room was made for lanes that a full inbox stopped, since they were tried last.
    fn has_inbox_room(&self) -> bool {
        let shard = &self.fabric.shards[self.index];
        self.intake.waiting.has_room() || shard.inbox_room.load(Ordering::Relaxed)
    }

    /// Looks for work a moment, and as long as `spin` allows. True if there is some.
    fn spin_for_work(&mut self, spin: &mut Spin, tasks: &Tasks) -> io::Result<bool> {
        let mut spinning = spin.start(Instant::now());
        loop {
            for _ in 0..LOOKS_PER_SLICE {
                if self.has_work() || tasks.can_run() {
                    return Ok(true);
                }
                std::hint::spin_loop();
            }
            let Some(spinning) = &mut spinning else {
                return Ok(false);
            };
            if !spin.goes_on(spinning, Instant::now()) {
                return Ok(false);
            }
            // To who wants the core; if nobody does, the call returns at once.
            std::thread::yield_now();
            self.io.look()?;
        }
    }

    /// Sleeps in the backend until the doorbell rings, a completion comes, or a deadline passes.
    /// One system call, which also does the work it wakes for.
    fn park(&mut self, tasks: &Tasks) -> io::Result<()> {
        self.arm_timer()?;
        let doorbell = Arc::clone(&self.fabric.shards[self.index].doorbell);
        self.io.listen_to(doorbell.fd())?;
        doorbell.announce_sleep();
        // What came before the announcement rang no bell: look again.
        if !self.has_work() && !tasks.can_run() {
            self.tally.parks += 1;
            self.io.wait()?;
        }
        doorbell.awake();
        Ok(())
    }

    /// The ring wakes the shard at its next deadline.
    fn arm_timer(&mut self) -> io::Result<()> {
        let next = [self.timers.next(), self.sending.acks_due];
        let Some(next) = next.into_iter().flatten().min() else {
            return Ok(());
        };
        if !self.timers.arm(next) {
            return Ok(());
        }
        self.io
            .wake_after(next.saturating_duration_since(Instant::now()))
    }

    /// Wakes the tasks that waited for the end of this turn.
    fn wake_turn_waiters(&mut self) -> bool {
        let any = !self.tasks.turn_waiters.is_empty();
        for waiter in self.tasks.turn_waiters.drain(..) {
            waiter.wake();
        }
        any
    }

    fn meet_deadlines(&mut self) -> io::Result<bool> {
        let mut any = false;
        while let Some(deadline) = self.timers.expired(self.now) {
            any = true;
            match deadline {
                Deadline::Dial { lane } => self.dial(lane)?,
                Deadline::Rest { lane } => self.look_for_rest(lane),
                Deadline::Handshake {
                    connection,
                    generation,
                } => {
                    self.handshake_deadline(connection, generation)?;
                }
                Deadline::Renewal => self.look_for_renewal(),
                Deadline::Linger { lane } => self.lose_linger(lane, CloseReason::ConnectTimeout),
                Deadline::Absence { lane } => self.look_at_absence(lane),
                Deadline::Expiry { lane } => self.meet_expiry(lane),
                Deadline::Tokens { lane } => self.meet_tokens(lane),
                Deadline::Delay { lane } => self.mark_ready(lane),
                Deadline::HoldBack { channel } => self.look_at_held(channel),
                Deadline::Accept => self.arm_accept()?,
                Deadline::Requests => self.fabric.requests.expire(self.now),
                // At the end of each turn.
                Deadline::Control => self.control_due = None,
                Deadline::Sleeper { key } => {
                    if let Some(waker) = self.tasks.sleepers.remove(&key) {
                        waker.wake();
                    }
                }
                // Looked at in each turn.
                Deadline::Leaving | Deadline::Early => {}
                Deadline::Sweep => {
                    self.sweep(self.now);
                    self.tell_overflow();
                    self.sending.pool.trim();
                    self.intake
                        .buffers
                        .iter_mut()
                        .for_each(ReceiveBuffers::trim);
                    if self.index == 0 {
                        self.fabric.payloads.trim();
                    }
                    self.timers
                        .set(self.sweeper.next(self.now), Deadline::Sweep);
                }
            }
        }
        Ok(any)
    }

    /// Sends acknowledgements that could not go with a batch and have waited long enough. A lane whose
    /// batch is with the kernel sends its own when that comes back.
    fn remind_acks(&mut self) {
        if self.sending.acks_due.is_none_or(|due| due > self.now) {
            return;
        }
        self.sending.acks_due = None;
        let mut place = 0;
        while let Some(&lane) = self.sending.owing.get(place) {
            let state = &mut self.lanes[lane as usize];
            let inbound = state.link.inbound.as_ref();
            let deadline = inbound.and_then(|inbound| inbound.ledger.ack_deadline());
            if let Some(deadline) = deadline.filter(|deadline| *deadline > self.now) {
                let first = self.sending.acks_due.get_or_insert(deadline);
                *first = deadline.min(*first);
                place += 1;
                continue;
            }
            state.owes_ack = false;
            self.sending.owing.swap_remove(place);
            if deadline.is_some() {
                self.mark_ready(lane);
            }
        }
    }

    /// Reports the messages that were accepted and did not reach the outbox of their lane.
    pub(super) fn tell_strays(&mut self) {
        if self.sending.strays.is_empty() {
            return;
        }
        let mut strays = std::mem::take(&mut self.sending.strays);
        strays.sort_unstable();
        for group in strays.chunk_by(|left, right| left == right) {
            let lane = group[0];
            let state = &mut self.lanes[lane as usize];
            let unsendable = Unsendable::ALL.map(|cause| state.log.take_unsendable(cause));
            self.tell_dropped_by_faults(lane);
            let state = &self.lanes[lane as usize];
            if !self.channels[state.channel].reliable {
                continue;
            }
            let ended = group.len() as u64 - unsendable.iter().sum::<u64>();
            let causes = Unsendable::ALL.map(Unsendable::sentence);
            let told = unsendable.into_iter().zip(causes);
            for (messages, why) in told.chain([(ended, ENDED_BEFORE)]) {
                if messages > 0 {
                    self.report_undelivered(lane, messages, why);
                }
            }
        }
        strays.clear();
        self.sending.strays = strays;
    }
}
