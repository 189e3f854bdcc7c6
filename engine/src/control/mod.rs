//! The control shard: what happens on all shards, in one order, for every subscriber; and the
//! route book, which says what is wanted.
//!
//! A thread of its own, or a step in each turn of shard 0. It never touches a payload and no shard
//! waits for it: shards send notices and go on. It needs no executor: it waits for one thing only
//! (`docs/decisions/0002-parking.md`).

pub(crate) mod routes;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::StartError;
use crate::events::{Event, Events};
use crate::peer::Peer;
use crate::ring::Doorbell;
use crate::threads::EngineThread;
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

/// Notices that wait for the control shard; beyond, shards count the notices that they could not
/// send.
const NOTICES_MAX: usize = 1 << 16;

/// What a shard tells the control shard.
#[derive(Debug)]
pub(crate) enum Notice {
    /// Passed on as it is.
    Event(Event),
    /// A lane is up; `event` says which.
    LaneUp { event: Event, incarnation: u64 },
    /// A lane has ended; `event` says which.
    LaneDown { event: Event },
    /// The last shard has ended: no notice follows.
    End,
}

/// How the rest of the node reaches the control shard.
#[derive(Debug)]
pub(crate) struct ControlLink {
    notices: Sender<Notice>,
    /// Of shard 0, when the control shard lives there.
    doorbell: Option<Arc<Doorbell>>,
    subscribers: Mutex<Vec<Subscriber>>,
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
        let (notices, inbox) = bounded(NOTICES_MAX);
        let link = Self {
            notices,
            doorbell,
            subscribers: Mutex::default(),
            events_max,
            shards: Mutex::default(),
        };
        (link, inbox)
    }

    /// A shard's notice. False if it was lost: the control shard is far behind, or gone.
    pub(crate) fn tell(&self, notice: Notice) -> bool {
        let told = self.notices.try_send(notice).is_ok();
        if let Some(doorbell) = &self.doorbell {
            doorbell.ring();
        }
        told
    }

    pub(crate) fn subscribe(&self) -> Events {
        let (to, receiver) = bounded(self.events_max);
        let missed = Arc::default();
        let arrived = Arc::default();
        self.lock().push(Subscriber {
            to: Some(to),
            from: receiver.clone(),
            missed: Arc::clone(&missed),
            arrived: Arc::clone(&arrived),
        });
        Events::new(receiver, missed, arrived)
    }

    /// A shard is about to start.
    pub(crate) fn shard_starts(&self, shard: usize) {
        self.shards
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(shard);
    }

    /// A shard has sent its last notice. The control shard ends with the last of them, and not with
    /// whoever stops the node: it may live on a shard that is waited for. True for the last.
    pub(crate) fn shard_ended(&self, shard: usize) -> bool {
        let mut shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        let was_last = shards.remove(&shard) && shards.is_empty();
        if was_last {
            self.end();
        }
        was_last
    }

    /// No more notices will come: the control shard handles what is left and ends.
    pub(crate) fn end(&self) {
        // It waits if the queue is full: the control shard empties it without anybody's help. An
        // error says that it has ended already.
        drop(self.notices.send(Notice::End));
    }

    /// To everybody; whoever is gone is forgotten, whoever is full loses its oldest.
    fn publish(&self, event: &Event) {
        self.lock().retain(|subscriber| {
            let is_read = Arc::strong_count(&subscriber.missed) > 1;
            if is_read {
                subscriber.give(event.clone());
            }
            is_read
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Subscriber>> {
        self.subscribers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The control shard itself.
#[derive(Debug)]
pub(crate) struct Control {
    link: Arc<ControlLink>,
    notices: Receiver<Notice>,
    peers: Presence,
}

/// Starts the control shard on a thread of its own, not pinned.
pub(crate) fn start(control: Control) -> Result<EngineThread, StartError> {
    EngineThread::start("overlane-control".to_owned(), move || control.run()).map_err(|error| {
        StartError::Machine {
            what: format!("the control shard did not start: no thread could be made ({error})"),
            remedy: "raise the limit of threads (ulimit -u); `overlane doctor` shows what else is \
                   missing"
                .to_owned(),
        }
    })
}

impl Control {
    pub(crate) fn new(link: Arc<ControlLink>, notices: Receiver<Notice>) -> Self {
        Self {
            link,
            notices,
            peers: Presence::default(),
        }
    }

    pub(crate) fn link(&self) -> &Arc<ControlLink> {
        &self.link
    }

    /// Whether a step would find nothing.
    pub(crate) fn is_idle(&self) -> bool {
        self.notices.is_empty()
    }

    /// Handles the notices that are there, without waiting.
    pub(crate) fn step(&mut self) {
        while let Ok(notice) = self.notices.try_recv() {
            self.peers.follow(&self.link, notice);
        }
    }

    /// Tells what happens until the last shard has ended.
    pub(crate) fn run(mut self) {
        while let Ok(notice) = self.notices.recv() {
            if matches!(notice, Notice::End) {
                break;
            }
            self.peers.follow(&self.link, notice);
        }
        // Whoever reads events learns that there will be no more.
        self.link.lock().clear();
    }
}

/// Which peers have how many lanes up: what makes a peer up or down.
#[derive(Debug, Default)]
struct Presence {
    lanes_up: HashMap<u32, u32>,
}

impl Presence {
    fn follow(&mut self, control: &ControlLink, notice: Notice) {
        match notice {
            Notice::End => {}
            Notice::Event(event) => control.publish(&event),
            Notice::LaneUp { event, incarnation } => {
                if let Event::LaneUp { peer, .. } = &event
                    && self.count(peer, true) == 1
                {
                    control.publish(&Event::PeerUp {
                        peer: Arc::clone(peer),
                        incarnation,
                    });
                }
                control.publish(&event);
            }
            Notice::LaneDown { event } => {
                control.publish(&event);
                if let Event::LaneDown { peer, reason, .. } = &event
                    && self.count(peer, false) == 0
                {
                    control.publish(&Event::PeerDown {
                        peer: Arc::clone(peer),
                        reason: *reason,
                    });
                }
            }
        }
    }

    fn count(&mut self, peer: &Peer, up: bool) -> u32 {
        let lanes = self.lanes_up.entry(peer.index()).or_default();
        *lanes = if up {
            *lanes + 1
        } else {
            lanes.saturating_sub(1)
        };
        *lanes
    }
}
