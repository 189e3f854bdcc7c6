//! The control shard: what happens on all shards, in one order, for every subscriber; and the
//! routes, which say what is wanted of which peer.
//!
//! A thread of its own, or a step in each turn of shard 0. It never touches a payload and no shard
//! waits for it: shards send notices and questions and go on. It needs no executor: it waits for one
//! thing only (`docs/decisions/0002-parking.md`).

mod channels;
pub(crate) mod link;
mod places;
mod presence;
pub(crate) mod resident;
pub(crate) mod routes;
pub(crate) mod wishes;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use crate::error::StartError;
use crate::events::Event;
use crate::fabric::Fabric;
use crate::peer::Peer;
use crate::recorder::track::Turns;
use crate::ring::inbox::Unread;
use crate::threads::EngineThread;
use channels::Changing;
use link::{ControlLink, Notice, Verdict};
use places::Places;
use presence::Believed;
use resident::Resident;
use routes::Route;
use wishes::Wish;

/// The control shard itself.
#[derive(Debug)]
pub(crate) struct Control {
    link: Arc<ControlLink>,
    fabric: Arc<Fabric>,
    notices: Receiver<Notice>,
    believed: Believed,
    places: Places,
    leaving: Vec<Leaving>,
    /// What is wanted of peers for which no place was free.
    homeless: BTreeMap<Arc<str>, (Arc<Peer>, Wish)>,
    changing: Changing,
    resident: Option<Box<dyn Resident>>,
    /// When the files that protect lanes are looked at next.
    files_due: Option<Instant>,
    /// For the flight recorder: steps of the resident.
    turns: Turns,
}

/// A place whose peer is gone: free when nobody remembers that peer.
#[derive(Debug)]
struct Leaving {
    place: u32,
    /// From this epoch on, shards have forgotten it.
    epoch: u64,
    /// What was unread in the inboxes when the last shard had.
    unread: Option<Vec<Unread>>,
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
    /// The node itself gets a place.
    pub(crate) fn new(
        link: Arc<ControlLink>,
        notices: Receiver<Notice>,
        fabric: Arc<Fabric>,
        itself: Arc<Peer>,
    ) -> Self {
        // One more: this node has a place among its peers.
        let peers_max = fabric.config.peers_max + 1;
        let mut control = Self {
            link,
            fabric,
            notices,
            believed: Believed::default(),
            places: Places::new(peers_max),
            leaving: Vec::new(),
            homeless: BTreeMap::new(),
            changing: Changing::default(),
            resident: None,
            files_due: None,
            turns: Turns::new(Instant::now()),
        };
        control.look_at_files_later(Instant::now());
        control.place(itself, Wish::none());
        control
    }

    pub(crate) fn link(&self) -> &Arc<ControlLink> {
        &self.link
    }

    /// Whether a step would find nothing, but what is due by [`next`](Self::next).
    pub(crate) fn is_idle(&self) -> bool {
        self.notices.is_empty()
    }

    /// When a step has something to do at the latest.
    pub(crate) fn next(&self) -> Option<Instant> {
        let resident = self.resident.as_ref().and_then(|resident| resident.next());
        let faults = self.fabric.faults.next_end();
        let due = [resident, self.files_due, faults];
        due.into_iter().flatten().min()
    }

    /// Does what there is to do, without waiting.
    pub(crate) fn step(&mut self, now: Instant) {
        while let Ok(notice) = self.notices.try_recv() {
            self.follow(notice);
        }
        if self.next().is_some_and(|at| at <= now) {
            self.meet_due(now);
        }
    }

    /// Something is due.
    fn meet_due(&mut self, now: Instant) {
        if self.files_due.is_some_and(|at| at <= now) {
            // It has said by itself what came of it.
            let _ = self.fabric.reload_security();
            self.look_at_files_later(now);
        }
        if self.fabric.faults.end_due(now) {
            self.fabric.ring_all();
            self.tell_faults();
        }
        self.run_resident();
    }

    /// To whoever follows what happens: faults that are open, or over.
    fn tell_faults(&mut self) {
        for told in self.fabric.faults.take_told() {
            self.tell(&told.event());
        }
    }

    fn look_at_files_later(&mut self, now: Instant) {
        let every = Duration::from_millis(self.fabric.config.security_reload_ms);
        let looks = !every.is_zero() && self.fabric.security.has_files();
        self.files_due = looks.then(|| now + every);
    }

    /// Follows what happens until the last shard has ended.
    pub(crate) fn run(mut self) {
        loop {
            let notice = match self.next() {
                None => self.notices.recv().map_err(RecvTimeoutError::from),
                Some(at) => self.notices.recv_deadline(at),
            };
            match notice {
                Ok(Notice::End) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(notice) => self.follow(notice),
                Err(RecvTimeoutError::Timeout) => self.meet_due(Instant::now()),
            }
        }
        self.look();
        self.link.end_events();
    }

    fn follow(&mut self, notice: Notice) {
        self.link.taken(&notice);
        match notice {
            Notice::Look => self.look(),
            Notice::End => {}
            Notice::Event(event) => self.tell(&event),
            Notice::LaneUp {
                event,
                session,
                incarnation,
            } => {
                if let Event::LaneUp { peer, .. } = &event {
                    let mut told = Vec::new();
                    let mut tell = |event| told.push(event);
                    self.believed.lane_up(peer, session, incarnation, &mut tell);
                    self.tell_all(told);
                }
                self.tell(&event);
            }
        }
    }

    fn tell_all(&mut self, events: Vec<Event>) {
        for event in events {
            self.tell(&event);
        }
    }

    /// To whoever follows what happens.
    fn tell(&mut self, event: &Event) {
        if let Some(resident) = &mut self.resident {
            resident.follow(event);
        }
        self.fabric.recorder.note_event(event);
        self.link.publish(event);
    }

    fn run_resident(&mut self) {
        let began = Instant::now();
        self.step_resident();
        if self.fabric.recorder.is_on() {
            let track = self.fabric.recorder.control();
            self.turns.add(track, began, began.elapsed(), false);
        }
    }

    fn step_resident(&mut self) {
        let link = &self.link;
        let recorder = &self.fabric.recorder;
        if let Some(resident) = &mut self.resident
            && resident.step(&mut |event| {
                recorder.note_event(&event);
                link.publish(&event);
            })
        {
            link.look();
        }
    }

    fn look(&mut self) {
        while self.look_once() {}
        self.house();
        if let Some(resident) = self.link.take_resident() {
            self.resident = Some(resident);
        }
        self.run_resident();
    }

    /// Looks at all that there is besides notices. True if there is more by now.
    fn look_once(&mut self) -> bool {
        self.link.begin_look();
        self.tell_faults();
        self.follow_channels();
        for (peer, wish) in self.fabric.wishes.take_changed() {
            self.follow_wish(peer, wish);
        }
        while let Some(question) = self.link.take_question() {
            let verdict = self.answer(&question.name);
            question.answer.give(verdict);
        }
        let stirred = self.link.take_stirred();
        // Events sent before a peer was stirred go out before those about the peer itself.
        let is_more = self.follow_notices();
        for peer in stirred {
            self.look_at(&peer);
        }
        is_more
    }

    /// Follows the notices that are there now, but for those to look, of which it returns whether there
    /// was one, and to end.
    fn follow_notices(&mut self) -> bool {
        let mut is_more = false;
        for _ in 0..self.notices.len() {
            match self.notices.try_recv() {
                Ok(Notice::Look) => is_more = true,
                Ok(Notice::End) => self.link.end(),
                Ok(notice) => self.follow(notice),
                Err(_) => break,
            }
        }
        is_more
    }
}

impl Control {
    fn follow_wish(&mut self, peer: Arc<Peer>, wish: Wish) {
        self.homeless.remove(peer.name());
        let Some(place) = peer.place() else {
            if wish.is_something() {
                self.settle(peer, wish);
            }
            return;
        };
        let is_wanted = wish.is_something();
        let route = Route::new(&peer, wish);
        self.fabric.routes.write(place, Some(route));
        self.fabric.ring_all();
        self.note_need(&peer, place, is_wanted);
    }

    /// Whether a peer is needed decides whether it can be made to leave.
    fn note_need(&mut self, peer: &Peer, place: u32, is_wanted: bool) {
        if is_wanted || peer.presence().lanes > 0 || peer.is_self() {
            self.places.note_present(place);
        } else {
            self.places.note_gone(place);
        }
    }

    /// Gives a place to a stranger's name, if there is one.
    fn answer(&mut self, name: &str) -> Verdict {
        if self.fabric.routes.find(name).is_some() {
            return Verdict::Placed;
        }
        let Ok(peer) = self.fabric.wishes.peer(name) else {
            return Verdict::Full;
        };
        if self.places.is_full() && !self.make_one_leave() {
            return Verdict::Full;
        }
        if self.place(peer, Wish::none()) {
            Verdict::Placed
        } else {
            Verdict::Full
        }
    }

    /// Gives a place to a peer of which something is wanted: that of one that is gone, if there are as many peers
    /// as may be. It waits until that is free.
    fn settle(&mut self, peer: Arc<Peer>, wish: Wish) {
        if self.places.is_full() {
            self.make_one_leave();
        }
        if !self.place(Arc::clone(&peer), wish.clone()) {
            self.fabric.routes.await_adoption(true);
            let name = Arc::clone(peer.shared_name());
            self.homeless.insert(name, (peer, wish));
        }
    }

    /// Gives the peers that wait for a place one, as far as places have become free.
    fn house(&mut self) {
        while self.places.has_free()
            && let Some((_, (peer, wish))) = self.homeless.pop_first()
        {
            self.place(peer, wish);
        }
        if self.homeless.is_empty() {
            self.fabric.routes.await_adoption(false);
        }
    }

    /// False if no place is free.
    fn place(&mut self, peer: Arc<Peer>, wish: Wish) -> bool {
        self.free_places();
        let Some(place) = self.places.take() else {
            tracing::debug!(
                peer = peer.name(),
                "no place is free for a peer: see peers_max"
            );
            return false;
        };
        peer.settle(place);
        let is_wanted = wish.is_something();
        let route = Route::new(&peer, wish);
        self.fabric.routes.write(place, Some(route));
        self.fabric.ring_all();
        self.note_need(&peer, place, is_wanted);
        true
    }

    /// The peer that has been gone longest gives its place up. False if all are in use.
    fn make_one_leave(&mut self) -> bool {
        let routes = &self.fabric.routes;
        let withdrawn = self.places.gone().find(|place| {
            let peer = routes.peer_at(*place);
            peer.is_some_and(|peer| peer.withdraw())
        });
        let Some(place) = withdrawn else {
            return false;
        };
        let epoch = routes.write(place, None);
        self.fabric.ring_all();
        self.places.leave(place);
        self.leaving.push(Leaving {
            place,
            epoch,
            unread: None,
        });
        true
    }

    /// Places whose peers nobody remembers are others' from now on.
    fn free_places(&mut self) {
        let adopted = self.fabric.routes.adopted_by_all();
        let Self {
            fabric,
            places,
            leaving,
            ..
        } = self;
        leaving.retain_mut(|left| {
            if left.epoch > adopted {
                return true;
            }
            let unread = left.unread.get_or_insert_with(|| fabric.inboxes.unread());
            unread.retain(|unread| !unread.is_read());
            let is_remembered = !unread.is_empty();
            if !is_remembered {
                fabric.routes.clear(left.place);
                places.free(left.place);
            }
            is_remembered
        });
    }

    /// Its lanes changed: publishes whether it is up, notes whether its place can be given away, and has
    /// every lane kept up to a node that knows no other way.
    fn look_at(&mut self, peer: &Arc<Peer>) {
        peer.calm();
        let presence = peer.presence();
        let mut told = Vec::new();
        let mut tell = |event| told.push(event);
        self.believed.look(peer, &presence, &mut tell);
        self.tell_all(told);
        if let Some(place) = peer.place()
            && let Some(route) = self.fabric.routes.find(peer.name())
        {
            let is_wanted = route.wish.is_something();
            if route.every_lane != peer.keeps_lanes() {
                let route = Route::new(peer, route.wish);
                self.fabric.routes.write(place, Some(route));
                self.fabric.ring_all();
            }
            self.note_need(peer, place, is_wanted);
        }
    }
}
