//! How the rest of the node reaches the control shard: notices of what happened, questions for a place,
//! peers to look at; and how subscribers are reached from there.
//!
//! Nobody waits here, except for the end. What is bounded and lost is counted by whoever lost it.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, unbounded};

use super::resident::Resident;
use crate::events::{Event, Events};
use crate::peer::Peer;
use crate::ring::Doorbell;

/// Notices that wait for the control shard; beyond, shards count the notices that they could not
/// send. A burst of a
/// thousand peers with eight lanes each fits. The queue takes memory as it fills, and gives it back.
const NOTICES_MAX: usize = 1 << 13;

/// Refused strangers may fill so much of that: what happens to peers has the rest.
const REFUSALS_MAX: usize = NOTICES_MAX / 4;

/// What a shard tells the control shard.
#[derive(Debug)]
pub(crate) enum Notice {
    /// Passed on as it is.
    Event(Event),
    /// A lane is up; `event` says which.
    LaneUp {
        event: Event,
        session: u64,
        incarnation: u64,
    },
    /// There are wishes, questions or peers to look at.
    Look,
    /// The last shard has ended: no notice follows.
    End,
}

/// A stranger's name that needs a place: asked by the shard that the stranger is waiting on.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) name: String,
    pub(crate) answer: Arc<Answer>,
}

/// What the control shard says to a [`Question`].
#[derive(Debug)]
pub(crate) struct Answer {
    state: AtomicU8,
    doorbell: Arc<Doorbell>,
}

/// How far an [`Answer`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Verdict {
    Pending = 0,
    /// The peer has a place: its route is there.
    Placed = 1,
    /// As many peers as may be are there.
    Full = 2,
}

impl Answer {
    /// For a shard with that doorbell.
    pub(crate) fn awaited_by(doorbell: &Arc<Doorbell>) -> Arc<Self> {
        Arc::new(Self {
            state: AtomicU8::new(Verdict::Pending as u8),
            doorbell: Arc::clone(doorbell),
        })
    }

    pub(crate) fn verdict(&self) -> Verdict {
        match self.state.load(Ordering::Acquire) {
            0 => Verdict::Pending,
            1 => Verdict::Placed,
            _ => Verdict::Full,
        }
    }

    pub(super) fn give(&self, verdict: Verdict) {
        self.state.store(verdict as u8, Ordering::Release);
        self.doorbell.ring();
    }
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct ControlLink {
    notices: Sender<Notice>,
    /// Notices sent and not taken: the bound of the queue.
    waiting: AtomicUsize,
    /// A [`Notice::Look`] is on its way.
    looking: AtomicBool,
    questions: Mutex<VecDeque<Question>>,
    stirred: Mutex<Vec<Arc<Peer>>>,
    /// Of shard 0, when the control shard lives there.
    doorbell: Option<Arc<Doorbell>>,
    subscribers: Mutex<Vec<Subscriber>>,
    /// Until the control shard has taken it.
    resident: Mutex<Option<Box<dyn Resident>>>,
    events_max: usize,
    /// Shards that may still send notices.
    shards: Mutex<BTreeSet<usize>>,
}

#[derive(Debug)]
struct Subscriber {
    /// Until the end.
    to: Option<Sender<Event>>,
    /// The reader's own end, to take the oldest out of when it is full.
    from: Receiver<Event>,
    /// Events lost and not reported yet. Shared with the reader: alone with it, the reader is gone.
    missed: Arc<AtomicU64>,
    /// Wakes a reader that awaits.
    arrived: Arc<event_listener::Event>,
}

impl Subscriber {
    /// The newest is worth more than the oldest: what is true now can be learnt from it.
    fn give(&self, mut event: Event) {
        let Some(to) = &self.to else {
            return;
        };
        while let Err(TrySendError::Full(refused)) = to.try_send(event) {
            event = refused;
            if self.from.try_recv().is_ok() {
                self.missed.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.arrived.notify(usize::MAX);
    }
}

impl Drop for Subscriber {
    /// There will be no more: a reader that awaits looks again and finds that out.
    fn drop(&mut self) {
        self.to = None;
        self.arrived.notify(usize::MAX);
    }
}

impl ControlLink {
    /// The link, and where the notices come out. `doorbell` is rung for each.
    pub(crate) fn new(
        events_max: usize,
        doorbell: Option<Arc<Doorbell>>,
    ) -> (Self, Receiver<Notice>) {
        let (notices, inbox) = unbounded();
        let link = Self {
            notices,
            waiting: AtomicUsize::new(0),
            looking: AtomicBool::new(false),
            questions: Mutex::default(),
            stirred: Mutex::default(),
            doorbell,
            subscribers: Mutex::default(),
            resident: Mutex::default(),
            events_max,
            shards: Mutex::default(),
        };
        (link, inbox)
    }

    /// A shard's notice. False if it was lost: the control shard is far behind, or gone.
    pub(crate) fn tell(&self, notice: Notice) -> bool {
        let notices_max = match &notice {
            Notice::Event(Event::Refused { .. }) => REFUSALS_MAX,
            _ => NOTICES_MAX,
        };
        let has_room = self.waiting.fetch_add(1, Ordering::Relaxed) < notices_max;
        if !has_room {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        has_room && self.send(notice)
    }

    /// The control shard has taken a notice.
    pub(super) fn taken(&self, notice: &Notice) {
        if !matches!(notice, Notice::Look | Notice::End) {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The lanes of a peer changed: the control shard looks what it is at. Never lost, as there are no
    /// more of these than peers.
    pub(crate) fn stir(&self, peer: &Arc<Peer>) {
        if peer.stir() {
            lock(&self.stirred).push(Arc::clone(peer));
            self.look();
        }
    }

    /// A stranger needs a place. As many questions wait as there may be strangers.
    pub(crate) fn ask(&self, question: Question) {
        lock(&self.questions).push_back(question);
        self.look();
    }

    /// The control shard is to look at what there is besides notices.
    pub(crate) fn look(&self) {
        if !self.looking.swap(true, Ordering::AcqRel) {
            // An error says that it has ended: there is nobody to look.
            self.send(Notice::Look);
        }
    }

    /// The control shard begins to look: what comes from here on is another look's.
    pub(super) fn begin_look(&self) {
        self.looking.store(false, Ordering::Release);
    }

    /// The control shard runs that from now on.
    pub(crate) fn hand_over(&self, resident: Box<dyn Resident>) {
        *lock(&self.resident) = Some(resident);
        self.look();
    }

    pub(super) fn take_resident(&self) -> Option<Box<dyn Resident>> {
        lock(&self.resident).take()
    }

    pub(super) fn take_stirred(&self) -> Vec<Arc<Peer>> {
        std::mem::take(&mut lock(&self.stirred))
    }

    pub(super) fn take_question(&self) -> Option<Question> {
        lock(&self.questions).pop_front()
    }

    fn send(&self, notice: Notice) -> bool {
        let sent = self.notices.send(notice).is_ok();
        if let Some(doorbell) = &self.doorbell {
            doorbell.ring();
        }
        sent
    }

    pub(crate) fn subscribe(&self) -> Events {
        let (to, receiver) = bounded(self.events_max);
        let missed = Arc::default();
        let arrived = Arc::default();
        lock(&self.subscribers).push(Subscriber {
            to: Some(to),
            from: receiver.clone(),
            missed: Arc::clone(&missed),
            arrived: Arc::clone(&arrived),
        });
        Events::new(receiver, missed, arrived)
    }

    /// A shard is about to start.
    pub(crate) fn shard_starts(&self, shard: usize) {
        lock(&self.shards).insert(shard);
    }

    /// A shard has sent its last notice. The control shard ends with the last of them, and not with
    /// whoever stops the node: it may live on a shard that is waited for. True for the last.
    pub(crate) fn shard_ended(&self, shard: usize) -> bool {
        let mut shards = lock(&self.shards);
        let was_last = shards.remove(&shard) && shards.is_empty();
        if was_last {
            self.end();
        }
        was_last
    }

    /// No more notices will come: the control shard handles what is left and ends.
    pub(crate) fn end(&self) {
        self.send(Notice::End);
    }

    /// To everybody; whoever is gone is forgotten, whoever is full loses its oldest.
    pub(super) fn publish(&self, event: &Event) {
        lock(&self.subscribers).retain(|subscriber| {
            let is_read = Arc::strong_count(&subscriber.missed) > 1;
            if is_read {
                subscriber.give(event.clone());
            }
            is_read
        });
    }

    /// Whoever reads events learns that there will be no more.
    pub(super) fn end_events(&self) {
        lock(&self.subscribers).clear();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::LaneCells;
    use crate::wire::CloseReason;

    fn peer(name: &str) -> Arc<Peer> {
        let peer = Peer::new(Arc::from(name), false, LaneCells::new(0, 1, 0, 0));
        Arc::new(peer)
    }

    /// Sends such notices until one is lost; how many were not.
    fn fill(link: &ControlLink, notice: impl Fn() -> Notice) -> usize {
        std::iter::repeat_with(|| link.tell(notice()))
            .take_while(|is_sent| *is_sent)
            .count()
    }

    fn refusal() -> Notice {
        Notice::Event(Event::Refused {
            address: None,
            reason: CloseReason::TooManyHandshakes,
            detail: String::new(),
        })
    }

    #[test]
    fn a_full_queue_loses_notices_and_never_a_peer_to_look_at() {
        let (link, notices) = ControlLink::new(16, None);
        let down = || {
            let reason = CloseReason::Reset;
            let peer = peer("b");
            Notice::Event(Event::PeerDown { peer, reason })
        };
        assert_eq!(fill(&link, refusal), REFUSALS_MAX);
        assert_eq!(fill(&link, down), NOTICES_MAX - REFUSALS_MAX);
        assert!(!link.tell(refusal()) && !link.tell(down()));

        let (c, d) = (peer("c"), peer("d"));
        for peer in [&c, &d, &c] {
            link.stir(peer);
        }
        let waiting: Vec<_> = notices.try_iter().collect();
        assert_eq!(waiting.len(), NOTICES_MAX + 1);
        assert!(matches!(waiting.last(), Some(Notice::Look)));
        link.begin_look();
        let stirred = link.take_stirred();
        let names: Vec<_> = stirred.iter().map(|peer| peer.name()).collect();
        assert_eq!(names, ["c", "d"], "each once");

        // What was taken has made room, and a peer that changes again is looked at again.
        for notice in &waiting {
            link.taken(notice);
        }
        assert_eq!(fill(&link, refusal), REFUSALS_MAX);
        c.calm();
        link.stir(&c);
        assert!(matches!(notices.try_iter().last(), Some(Notice::Look)));
        assert_eq!(link.take_stirred().len(), 1);
    }
}
