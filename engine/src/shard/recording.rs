//! What a shard notes for the flight recorder: its turns, handlers that held it for too long, and what waited behind them.
//!
//! Called by the turn at its beginning, and by `deliver` behind each run of a handler, which costs one look at the clock; for what is
//! delivered behind a slow one, and panics. A turn ends where the next begins, and where the shard goes to sleep behind tasks, which
//! costs another look at the clock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::fabric::Fabric;
use crate::mailboxes::Mailbox;
use crate::peer::Peer;
use crate::recorder::Cause;
use crate::recorder::track::{Handed, Track, Turns, What, micros};

/// Groups of messages that are told apart behind one slow handler; a shard with more has other worries.
const GROUPS_MAX: usize = 64;

/// See the module's text.
#[derive(Debug)]
pub(super) struct ShardRecording {
    fabric: Arc<Fabric>,
    shard: usize,
    is_on: bool,
    slow: Duration,
    turn_limit: Option<Duration>,
    turns: Turns,
    /// When the turn began that had work to do, until the next begins.
    working_since: Option<Instant>,
    ran_tasks: bool,
    /// When the clock was looked at last, in front of a handler.
    seen: Instant,
    /// That was behind another one, and nobody has asked for it.
    is_seen_fresh: bool,
    behind: Option<Behind>,
}

/// What comes behind a slow handler: in the rest of its turn, and in the next, which takes what had come meanwhile.
#[derive(Debug)]
struct Behind {
    turns_left: u8,
    since: Instant,
    handed: Vec<Handed>,
    unsent: Vec<(Arc<str>, u64)>,
}

impl ShardRecording {
    pub(super) fn new(fabric: &Arc<Fabric>, shard: usize, now: Instant) -> Self {
        let recorder = &fabric.recorder;
        Self {
            fabric: Arc::clone(fabric),
            shard,
            is_on: recorder.is_on(),
            slow: recorder.slow_handler(),
            turn_limit: recorder.turn_limit(),
            turns: Turns::new(now),
            working_since: None,
            ran_tasks: false,
            seen: now,
            is_seen_fresh: false,
            behind: None,
        }
    }

    fn track(&self) -> &Track {
        &self.fabric.recorder.shards()[self.shard]
    }

    /// A turn begins: the one before has ended.
    #[inline]
    pub(super) fn turn_begins(&mut self, now: Instant) {
        if !self.is_on {
            return;
        }
        if let Some(began) = self.working_since.take() {
            self.note_turn(began, now);
        }
        if self.behind.is_some() {
            self.behind_a_turn_less();
        }
    }

    /// No turn follows at once: a turn that ran tasks alone ends here, as sleep is no work.
    #[inline]
    pub(super) fn work_is_over(&mut self) {
        if self.is_on
            && let Some(began) = self.working_since.take()
        {
            self.note_turn(began, Instant::now());
        }
    }

    #[inline]
    fn note_turn(&mut self, began: Instant, now: Instant) {
        let took = now.saturating_duration_since(began);
        let track = &self.fabric.recorder.shards()[self.shard];
        self.turns.add(track, began, took, self.ran_tasks);
        if self.turn_limit.is_some_and(|limit| took > limit) {
            self.fabric.recorder.want(Cause::Turn);
        }
    }

    /// It has ended, and found something to do or not.
    #[inline]
    pub(super) fn turn_ended(&mut self, began: Instant, worked: bool, tasks_run: bool) {
        self.working_since = (worked || tasks_run).then_some(began);
        self.ran_tasks = tasks_run;
    }

    /// Handlers may run from now on: what came before is not theirs.
    #[inline]
    pub(super) fn handlers_begin(&mut self) {
        if self.is_on {
            self.seen = Instant::now();
        }
    }

    /// A mailbox was given messages; `is_handler` if its handler ran meanwhile.
    #[inline]
    pub(super) fn handed(
        &mut self,
        mailbox: &Mailbox,
        from: &Peer,
        channel: &Arc<str>,
        messages: u32,
        is_handler: bool,
    ) {
        if !self.is_on {
            return;
        }
        if is_handler {
            let began = self.seen;
            self.seen = Instant::now();
            self.is_seen_fresh = true;
            let took = self.seen.saturating_duration_since(began);
            if took >= self.slow {
                self.was_slow(began, took, handed(mailbox, from, channel, messages));
                return;
            }
        }
        if self.behind.is_some() && messages > 0 {
            self.note_behind(mailbox, from, channel, messages);
        }
    }

    /// When the clock was looked at behind a handler, if that is since this was asked last: who reads messages wants the time behind
    /// some of them as well, and at 64 bytes a message a second look is 3 % of all that it costs.
    #[inline]
    pub(super) fn take_seen(&mut self) -> Option<Instant> {
        std::mem::take(&mut self.is_seen_fresh).then_some(self.seen)
    }

    #[cold]
    fn was_slow(&mut self, began: Instant, took: Duration, handed: Handed) {
        self.tell_behind();
        let what = What::SlowHandler {
            took_us: micros(took),
            handed: Arc::new(handed),
        };
        self.track().push(began, what);
        self.behind = Some(Behind {
            turns_left: 2,
            since: self.seen,
            handed: Vec::new(),
            unsent: Vec::new(),
        });
    }

    #[cold]
    fn note_behind(&mut self, mailbox: &Mailbox, from: &Peer, channel: &Arc<str>, messages: u32) {
        let Some(behind) = &mut self.behind else {
            return;
        };
        let known = behind.handed.iter().position(|known| {
            *known.mailbox == *mailbox.name()
                && *known.from == *from.name()
                && known.channel == *channel
        });
        if let Some(place) = known {
            let known = &mut behind.handed[place];
            known.messages = known.messages.saturating_add(messages);
        } else if behind.handed.len() < GROUPS_MAX {
            behind.handed.push(handed(mailbox, from, channel, messages));
        }
    }

    /// Whether messages wait behind a slow handler.
    #[inline]
    pub(super) const fn is_behind(&self) -> bool {
        self.behind.is_some()
    }

    /// Messages of a channel left their ring behind one.
    #[cold]
    pub(super) fn note_unsent(&mut self, channel: &Arc<str>, bytes: usize) {
        if let Some(behind) = &mut self.behind {
            let known = behind.unsent.iter_mut().find(|(known, _)| known == channel);
            match known {
                Some((_, sum)) => *sum += bytes as u64,
                None => behind.unsent.push((Arc::clone(channel), bytes as u64)),
            }
        }
    }

    #[cold]
    fn behind_a_turn_less(&mut self) {
        if let Some(behind) = &mut self.behind {
            behind.turns_left -= 1;
            if behind.turns_left == 0 {
                self.tell_behind();
            }
        }
    }

    fn tell_behind(&mut self) {
        let Some(behind) = self.behind.take() else {
            return;
        };
        let track = self.track();
        for handed in behind.handed {
            track.push(behind.since, What::Behind(Arc::new(handed)));
        }
        for (channel, bytes) in behind.unsent {
            let channel = Arc::new(channel);
            track.push(behind.since, What::UnsentBehind { channel, bytes });
        }
    }

    /// A handler panicked.
    #[cold]
    pub(super) fn handler_panicked(&mut self, mailbox: &Mailbox) {
        let name = Arc::new(mailbox.name().into());
        self.track().push(Instant::now(), What::HandlerPanic(name));
        self.fabric.recorder.want(Cause::Panic);
    }

    /// A task panicked.
    #[cold]
    pub(super) fn task_panicked(&mut self) {
        self.track().push(Instant::now(), What::TaskPanic);
        self.fabric.recorder.want(Cause::Panic);
    }
}

fn handed(mailbox: &Mailbox, from: &Peer, channel: &Arc<str>, messages: u32) -> Handed {
    Handed {
        mailbox: mailbox.name().into(),
        from: Arc::clone(from.shared_name()),
        channel: Arc::clone(channel),
        messages,
    }
}
