//! The control shard: what happens on all shards, in one order, told to whoever subscribed; and the
//! route book, which says what is wanted.
//!
//! One executor, on a thread of its own or on shard 0. It never touches a payload and no shard waits
//! for it: shards send notices and go on.

pub(crate) mod routes;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use glommio::{LocalExecutorBuilder, Placement};

use crate::error::StartError;
use crate::events::{Event, Events};
use crate::io::parking::Parking;
use crate::peer::Peer;
use crate::ring::Doorbell;

/// Notices that wait for the control shard; beyond, shards count what they could not tell.
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
}

/// How the rest of the node reaches the control shard.
#[derive(Debug)]
pub(crate) struct ControlLink {
    notices: Sender<Notice>,
    doorbell: Arc<Doorbell>,
    subscribers: Mutex<Vec<Subscriber>>,
    events_max: usize,
    /// Shards that may have something to tell still.
    shards: Mutex<BTreeSet<usize>>,
    over: AtomicBool,
}

#[derive(Debug)]
struct Subscriber {
    to: Sender<Event>,
    /// The reader's own end, to take the oldest out of when it is full.
    from: Receiver<Event>,
    /// Events lost and not told yet. Shared with the reader: alone with it, the reader is gone.
    missed: Arc<AtomicU64>,
}

impl Subscriber {
    /// The newest is worth more than the oldest: what is true now can be learnt from it.
    fn give(&self, mut event: Event) {
        while let Err(TrySendError::Full(refused)) = self.to.try_send(event) {
            event = refused;
            if self.from.try_recv().is_ok() {
                self.missed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl ControlLink {
    /// The link, and what the control shard itself needs.
    pub(crate) fn new(
        events_max: usize,
    ) -> std::io::Result<(Self, Receiver<Notice>, Arc<Doorbell>)> {
        let (notices, inbox) = bounded(NOTICES_MAX);
        let doorbell = Arc::new(Doorbell::new()?);
        let link = Self {
            notices,
            doorbell: Arc::clone(&doorbell),
            subscribers: Mutex::default(),
            events_max,
            shards: Mutex::default(),
            over: AtomicBool::new(false),
        };
        Ok((link, inbox, doorbell))
    }

    /// A shard's notice. False if it was lost: the control shard is far behind, or gone.
    pub(crate) fn tell(&self, notice: Notice) -> bool {
        let told = self.notices.try_send(notice).is_ok();
        self.doorbell.ring();
        told
    }

    pub(crate) fn subscribe(&self) -> Events {
        let (to, receiver) = bounded(self.events_max);
        let missed = Arc::default();
        self.lock().push(Subscriber {
            to,
            from: receiver.clone(),
            missed: Arc::clone(&missed),
        });
        Events { receiver, missed }
    }

    /// A shard is about to start.
    pub(crate) fn shard_starts(&self, shard: usize) {
        self.shards
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(shard);
    }

    /// A shard has told its last. The control shard ends with the last of them, and not with
    /// whoever stops the node: it may live on a shard that is waited for.
    pub(crate) fn shard_ended(&self, shard: usize) {
        let mut shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        if shards.remove(&shard) && shards.is_empty() {
            self.end();
        }
    }

    /// No more notices will come: the control shard tells what is left and ends.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Release);
        self.doorbell.ring();
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

/// What the control shard is given.
#[derive(Debug)]
pub(crate) struct ControlSeat {
    pub(crate) fabric: Arc<crate::fabric::Fabric>,
    pub(crate) notices: Receiver<Notice>,
    pub(crate) doorbell: Arc<Doorbell>,
}

/// Starts the control shard on a thread of its own, not pinned.
pub(crate) fn start(seat: ControlSeat) -> Result<thread::JoinHandle<()>, StartError> {
    let failed = |reason: String| StartError::Machine {
        what: format!("the control shard did not start: {reason}"),
        mend: "run `overlane doctor` to see what this machine lacks".to_owned(),
    };
    let (ready, started) = bounded(1);
    let live = move || {
        let executor = LocalExecutorBuilder::new(Placement::Unbound)
            .name("overlane-control")
            .io_memory(64 << 10)
            .ring_depth(16)
            .make();
        match executor {
            Ok(executor) => {
                drop(ready.send(Ok(())));
                executor.run(run(seat));
            }
            Err(error) => drop(ready.send(Err(error.to_string()))),
        }
    };
    let thread = thread::Builder::new()
        .name("overlane-control".to_owned())
        .spawn(live)
        .map_err(|error| failed(error.to_string()))?;
    match started.recv() {
        Ok(Ok(())) => Ok(thread),
        Ok(Err(reason)) => Err(failed(reason)),
        Err(_) => Err(failed("its thread ended while it was set up".to_owned())),
    }
}

/// The control shard's loop: notices until the node has ended.
pub(crate) async fn run(seat: ControlSeat) {
    let ControlSeat {
        fabric,
        notices,
        doorbell,
    } = seat;
    let parking = match Parking::new(doorbell.fd()) {
        Ok(parking) => parking,
        Err(error) => {
            tracing::error!(%error, "the control shard cannot sleep; events are not told");
            return;
        }
    };
    let mut peers = Presence::default();
    loop {
        let over = fabric.control.over.load(Ordering::Acquire);
        for notice in notices.try_iter() {
            peers.follow(&fabric.control, notice);
        }
        if over {
            break;
        }
        doorbell.announce_sleep();
        let woken = if notices.is_empty() && !fabric.control.over.load(Ordering::Acquire) {
            parking.wait().await
        } else {
            Ok(())
        };
        doorbell.awake();
        if let Err(error) = woken {
            tracing::error!(%error, "the control shard cannot sleep; events are not told");
            break;
        }
    }
    parking.close().await;
    // Whoever reads events learns that there will be no more.
    fabric.control.lock().clear();
}

/// Which peers have how many lanes up: what makes a peer up or down.
#[derive(Debug, Default)]
struct Presence {
    lanes_up: HashMap<u32, u32>,
}

impl Presence {
    fn follow(&mut self, control: &ControlLink, notice: Notice) {
        match notice {
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
