//! What goes out to control shards of peers: words on the engine's own channel, payloads on their channel's lanes.
//!
//! Owned by the resident. A word that no lane took waits, behind those for the same peer; a payload that finds no room is
//! dropped, and its lane looked at until it has some again: the protocols repair the one and hear of the other. It never
//! waits itself.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::capacity::Capacity;
use crate::channel::Channel;
use crate::cluster::counts::count;
use crate::cluster::orders::ClusterState;
use crate::error::SendError;
use crate::fabric::Fabric;
use crate::mailboxes::Mailbox;
use crate::message::Destination;

/// Words that wait for a lane at a time, each of some hundred bytes as a rule.
const UNSENT_MAX: usize = 4_096;
/// How long they do: as long as a dial.
const UNSENT_FOR: Duration = Duration::from_secs(3);
/// How often they are tried again: a turn or two of a shard.
const UNSENT_EVERY: Duration = Duration::from_millis(2);
/// How often it is looked whether a lane that was full has room again.
const ROOM_EVERY: Duration = Duration::from_millis(20);

/// The mailboxes of control shards.
#[derive(Debug)]
pub(super) struct Mailboxes {
    pub(super) words: Mailbox,
    pub(super) payloads: Mailbox,
}

/// A word that waits for a lane.
#[derive(Debug)]
struct Unsent {
    to: Destination,
    word: Bytes,
    /// Then it is given up.
    until: Instant,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Outgoing {
    fabric: Arc<Fabric>,
    state: Arc<ClusterState>,
    /// The engine's own channel.
    control: Channel,
    /// Where peers' control shards hear of protocols, and of payloads.
    mailboxes: Mailboxes,
    /// Lanes that were full when they were looked at last.
    congested: BTreeMap<(Arc<str>, String), Destination>,
    look_for_room: Option<Instant>,
    /// Words that no lane took yet: a peer that is reached from now on is so a moment later.
    unsent: VecDeque<Unsent>,
    /// When they are tried again.
    send_again: Option<Instant>,
}

impl Outgoing {
    pub(super) const fn new(
        fabric: Arc<Fabric>,
        state: Arc<ClusterState>,
        control: Channel,
        mailboxes: Mailboxes,
    ) -> Self {
        Self {
            fabric,
            state,
            control,
            mailboxes,
            congested: BTreeMap::new(),
            look_for_room: None,
            unsent: VecDeque::new(),
            send_again: None,
        }
    }

    /// When something of it is due.
    pub(super) fn next(&self) -> Option<Instant> {
        let times = [self.look_for_room, self.send_again];
        times.into_iter().flatten().min()
    }

    /// Sends a word, or a payload on the channel that is named. False if that lane has no room for it.
    pub(super) fn send(&mut self, to: &Arc<str>, word: Bytes, channel: Option<String>) -> bool {
        let Ok(peer) = self.fabric.wishes.peer(to) else {
            return true;
        };
        let Some(name) = channel else {
            let until = Instant::now() + UNSENT_FOR;
            let to = Destination::new(peer, self.mailboxes.words.clone());
            self.send_in_turn(Unsent { to, word, until });
            return true;
        };
        let destination = Destination::new(peer, self.mailboxes.payloads.clone());
        let sent = match channel_of(&self.fabric, &name) {
            Some(channel) => channel
                .try_send_as_named(&destination, word)
                .map_err(|unsent| unsent.error),
            None => Err(SendError::ChannelRemoved),
        };
        let Err(error) = sent else {
            return true;
        };
        count(&self.state.counters.unsent);
        let is_full = error == SendError::Full;
        if is_full {
            self.congested.insert((Arc::clone(to), name), destination);
            let look = Instant::now() + ROOM_EVERY;
            self.look_for_room.get_or_insert(look);
        }
        !is_full
    }

    /// Sends a word on the engine's own channel, behind those that wait for the same peer.
    fn send_in_turn(&mut self, mut unsent: Unsent) {
        let mut before = self.unsent.iter();
        if !before.any(|waiting| waiting.to.peer().name() == unsent.to.peer().name()) {
            match self.control.try_send_as_named(&unsent.to, unsent.word) {
                Ok(()) => return,
                Err(refused) => unsent.word = refused.payload,
            }
        }
        if self.unsent.len() < UNSENT_MAX {
            self.unsent.push_back(unsent);
            let again = Instant::now() + UNSENT_EVERY;
            self.send_again.get_or_insert(again);
        } else {
            count(&self.state.counters.unsent);
        }
    }

    /// Tries again what no lane took. The peers that took nothing for long: there is no lane to them.
    pub(super) fn send_unsent(&mut self, now: Instant) -> BTreeSet<Arc<str>> {
        let mut lost = BTreeSet::new();
        if self.send_again.is_none_or(|at| at > now) {
            return lost;
        }
        self.send_again = None;
        for unsent in std::mem::take(&mut self.unsent) {
            let name = unsent.to.peer().shared_name();
            if unsent.until > now && !lost.contains(name) {
                self.send_in_turn(unsent);
            } else {
                count(&self.state.counters.unsent);
                lost.insert(Arc::clone(name));
            }
        }
        lost
    }

    /// Looks whether lanes that were full have room. The peers of which all have.
    pub(super) fn find_room(&mut self, now: Instant) -> Vec<Arc<str>> {
        if self.look_for_room.is_none_or(|at| at > now) {
            return Vec::new();
        }
        self.look_for_room = None;
        let mut drained = Vec::new();
        let fabric = &self.fabric;
        self.congested.retain(|(peer, channel), to| {
            let is_full = channel_of(fabric, channel)
                .is_some_and(|channel| channel.capacity(to) == Ok(Capacity::Overloaded));
            if !is_full {
                drained.push(Arc::clone(peer));
            }
            is_full
        });
        drained.retain(|peer| !self.congested.keys().any(|(full, _)| full == peer));
        if !self.congested.is_empty() {
            self.look_for_room = Some(now + ROOM_EVERY);
        }
        drained
    }
}

/// The channel of that name, if there is one.
pub(super) fn channel_of(fabric: &Arc<Fabric>, name: &str) -> Option<Channel> {
    Channel::find(fabric, name)
}
