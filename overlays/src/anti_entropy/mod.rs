//! Anti-entropy: two nodes at a time compare what an application keeps, and each sends what the other
//! lacks.
//!
//! A layer over any overlay. Broadcast is fast and may miss somebody; this is slow and misses nobody: in
//! the end all nodes that can reach each other, directly or through others, have for each key the value of
//! the greatest version. One file per idea:
//!
//! - this file: rounds, answers, and what they may cost
//! - `state`: what the application gives, a type parameter
//! - `index`: keys and versions, so that any range of them is compared by one number
//!
//! Who is asked when, and that both sides send (*push-pull*): Demers et al., "Epidemic algorithms for
//! replicated database maintenance" (PODC 1987). How the difference is found: Meyer, "Range-based set
//! reconciliation" (2022): equal ranges are passed over, ranges that differ are cut into parts, and where
//! few keys are left, these are listed. No node remembers where it was: each message is answered from
//! what is there now, so nothing is lost with a message but time. Scuttlebutt (van Renesse et al., "Efficient
//! reconciliation and flow control for anti-entropy protocols", LADIS 2008) sends one number per node that
//! writes instead; it needs all versions of a writer in one order, and this does not. Its flow control is
//! here: what a round may cost is bounded, and what does not fit comes in a later one.

mod index;
mod message;
mod state;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use rand::seq::{IteratorRandom, SliceRandom};
use rand::{Rng, RngExt};
use serde::Serialize;

pub use index::{Digest, Range};
pub use message::{
    Entry, Item, KEY_BYTES_MAX, KEYS_MAX, Message, RANGES_MAX, VALUE_BYTES_MAX, VALUES_BYTES,
};
pub use state::{Memory, State};

use crate::event::{Command, Event, Input, InputOf, Output, OutputOf, Peer, Protocol, Refusal};
use crate::time::Time;
use index::{DEPTH_MAX, Index};

/// Settings of one node.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// How often a node compares itself with a random neighbor. 1 s: a guess; news takes about as many
    /// periods to all as the logarithm of their number.
    pub period: Duration,
    /// Bytes sent at most within a period. 256 KiB: a guess, 2 Mbit/s at a period of 1 s. A full message
    /// of values fits several times.
    pub bytes_per_period_max: usize,
    /// Of these, to one node at most. Half, so that one that asks for much leaves room for others.
    pub bytes_per_peer_max: usize,
    /// Keys at most; more are refused. 1,048,576: a guess; about 200 MiB with short keys.
    pub keys_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            period: Duration::from_secs(1),
            bytes_per_period_max: 256 * 1024,
            bytes_per_peer_max: 128 * 1024,
            keys_max: 1 << 20,
        }
    }
}

/// The only timer: time for the next round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Round;

type Outputs<P> = Vec<Output<P, Message, Round>>;

/// Anti-entropy of one node, with the state that it keeps alike.
#[derive(Debug)]
pub struct AntiEntropy<P, S> {
    config: Config,
    state: S,
    index: Index,
    neighbors: BTreeSet<P>,
    /// Bytes sent in this period, to whom.
    spent: BTreeMap<P, usize>,
    spent_in_all: usize,
    refused: u64,
}

impl<P: Peer, S: State> AntiEntropy<P, S> {
    /// A node with this state and no neighbors.
    #[must_use]
    pub fn new(config: Config, state: S) -> Self {
        let mut index = Index::default();
        for (key, version) in state.versions() {
            index.set(key, version);
        }
        Self {
            config,
            state,
            index,
            neighbors: BTreeSet::new(),
            spent: BTreeMap::new(),
            spent_in_all: 0,
            refused: 0,
        }
    }

    /// The state. It is changed by [`Command::Write`] and by other nodes only.
    #[must_use]
    pub const fn state(&self) -> &S {
        &self.state
    }

    /// What all of it is, in two numbers: nodes with the same have the same state.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.index.digest(Range::WHOLE)
    }

    /// Keys that others sent and that there was no room for.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// Says which bound is broken, if any is.
    ///
    /// # Errors
    /// One sentence.
    pub fn check(&self) -> Result<(), String> {
        let (keys, bytes) = (self.index.len(), self.spent_in_all);
        if keys > self.config.keys_max || bytes > self.config.bytes_per_period_max {
            return Err(format!("{keys} keys, {bytes} bytes sent in one period"));
        }
        Ok(())
    }

    /// Whether `bytes` more may be sent to a peer in this period; they are then.
    fn may_send(&mut self, to: P, bytes: usize) -> bool {
        let spent = self.spent.get(&to).copied().unwrap_or_default();
        let fits = spent + bytes <= self.config.bytes_per_peer_max
            && self.spent_in_all + bytes <= self.config.bytes_per_period_max;
        if fits {
            self.spent.insert(to, spent + bytes);
            self.spent_in_all += bytes;
        }
        fits
    }

    fn send(&mut self, to: P, message: Message, out: &mut Outputs<P>) -> bool {
        let fits = self.may_send(to, bytes_of(&message));
        if fits {
            out.push(Output::Send { to, message });
        }
        fits
    }

    fn round<R: Rng>(&mut self, random: &mut R, out: &mut Outputs<P>) {
        self.spent.clear();
        self.spent_in_all = 0;
        out.push(Output::SetTimer {
            id: Round,
            after: self.config.period,
        });
        if let Some(to) = self.neighbors.iter().copied().choose(random) {
            let whole = vec![(Range::WHOLE, self.digest())];
            self.send(to, Message::Compare(whole), out);
        }
    }

    /// Another node said what it has in some ranges.
    fn on_compare<R: Rng>(
        &mut self,
        from: P,
        mut ranges: Vec<(Range, Digest)>,
        random: &mut R,
        out: &mut Outputs<P>,
    ) {
        // Where not all fits, another part comes first each time.
        ranges.shuffle(random);
        let mut parts = Vec::new();
        for (range, theirs) in ranges {
            let ours = self.index.digest(range);
            if ours == theirs {
                continue;
            }
            let few = ours.keys <= KEYS_MAX as u64;
            if few || range.depth == DEPTH_MAX {
                self.list(from, range, random, out);
            } else if parts.len() + 16 <= RANGES_MAX {
                let digest = |part| (part, self.index.digest(part));
                parts.extend(range.parts().map(digest));
            }
        }
        if !parts.is_empty() {
            self.send(from, Message::Compare(parts), out);
        }
    }

    /// Lists the keys of a range, some of them if they are too many.
    fn list<R: Rng>(&mut self, to: P, range: Range, random: &mut R, out: &mut Outputs<P>) {
        let items = self.index.items(range);
        let complete = self.index.digest(range).keys <= KEYS_MAX as u64;
        let items: Vec<Item> = if complete {
            items.map(|(key, version)| (key.clone(), version)).collect()
        } else {
            let some = items.sample(random, KEYS_MAX).into_iter();
            some.map(|(key, version)| (key.clone(), version)).collect()
        };
        let message = Message::Items {
            range,
            complete,
            items,
        };
        self.send(to, message, out);
    }

    /// Another node listed the keys of a range: what it has newer is asked for, what is newer here is
    /// sent.
    fn on_items(
        &mut self,
        from: P,
        range: Range,
        complete: bool,
        items: Vec<Item>,
        out: &mut Outputs<P>,
    ) {
        let mut theirs = BTreeMap::new();
        for (key, version) in items {
            if range.has(&key) {
                theirs.insert(key, version);
            }
        }
        let ours = |key: &Bytes| self.index.version(key);
        let newer_there = theirs
            .iter()
            .filter(|(key, version)| ours(key).is_none_or(|ours| ours < **version));
        let wanted: Vec<Bytes> = newer_there.map(|(key, _)| key.clone()).collect();
        let newer_here = |key: &Bytes, version: u64| match theirs.get(key) {
            Some(theirs) => *theirs < version,
            None => complete,
        };
        // More than what fits into a period need not be looked for.
        let most = self.config.bytes_per_peer_max / ENTRY_BYTES_LEAST;
        let newer = self.index.items(range);
        let newer = newer.filter(|(key, version)| newer_here(key, *version));
        let newer: Vec<Bytes> = newer.take(most).map(|(key, _)| key.clone()).collect();
        if !wanted.is_empty() {
            self.send(from, Message::Want(wanted), out);
        }
        self.send_values(from, newer, out);
    }

    /// Sends values, as many as may be sent.
    fn send_values(&mut self, to: P, keys: Vec<Bytes>, out: &mut Outputs<P>) {
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for key in keys {
            let Some(version) = self.index.version(&key) else {
                continue;
            };
            let Some(value) = self.state.read(&key) else {
                continue;
            };
            let entry = Entry {
                key,
                version,
                value,
            };
            bytes += entry_bytes(&entry);
            entries.push(entry);
            if bytes >= VALUES_BYTES {
                let full = std::mem::take(&mut entries);
                if !self.send(to, Message::Values(full), out) {
                    return;
                }
                bytes = 0;
            }
        }
        if !entries.is_empty() {
            self.send(to, Message::Values(entries), out);
        }
    }

    /// Values came.
    fn on_values(&mut self, from: P, entries: Vec<Entry>, out: &mut Outputs<P>) {
        for entry in entries {
            let before = self.index.version(&entry.key);
            if before.is_some_and(|before| before >= entry.version) {
                continue;
            }
            if before.is_none() && self.index.len() >= self.config.keys_max {
                self.refused += 1;
                continue;
            }
            let Entry {
                key,
                version,
                value,
            } = entry;
            self.index.set(key.clone(), version);
            self.state.write(key.clone(), version, value.clone());
            out.push(Output::Event(Event::Written {
                from,
                key,
                version,
                value,
            }));
        }
    }

    /// The application writes.
    fn write(&mut self, key: &Bytes, version: u64, value: &Bytes) -> Result<(), Refusal> {
        for (bytes, bytes_max) in [(key.len(), KEY_BYTES_MAX), (value.len(), VALUE_BYTES_MAX)] {
            if bytes > bytes_max {
                return Err(Refusal::TooLarge { bytes, bytes_max });
            }
        }
        let before = self.index.version(key);
        if let Some(newest) = before.filter(|before| *before >= version) {
            return Err(Refusal::Outdated { newest });
        }
        let most = self.config.keys_max;
        if before.is_none() && self.index.len() >= most {
            return Err(Refusal::TooMany { most });
        }
        self.index.set(key.clone(), version);
        self.state.write(key.clone(), version, value.clone());
        Ok(())
    }

    fn command(&mut self, command: Command<P>, out: &mut Outputs<P>) {
        let Command::Write {
            key,
            version,
            value,
        } = &command
        else {
            out.push(Output::Below(command));
            return;
        };
        if let Err(why) = self.write(key, *version, value) {
            out.push(Output::Event(Event::Refused { command, why }));
        }
    }
}

/// An empty value under an empty key.
const ENTRY_BYTES_LEAST: usize = 3;

/// Bytes of an encoded entry, at most.
fn entry_bytes(entry: &Entry) -> usize {
    2 + entry.key.len() + 10 + 3 + entry.value.len()
}

/// Bytes of an encoded message, at most.
fn bytes_of(message: &Message) -> usize {
    4 + match message {
        Message::Compare(ranges) => 24 * ranges.len(),
        Message::Items { items, .. } => {
            let items = items.iter();
            8 + items.map(|(key, _)| 2 + key.len() + 10).sum::<usize>()
        }
        Message::Want(keys) => keys.iter().map(|key| 2 + key.len()).sum(),
        Message::Values(entries) => entries.iter().map(entry_bytes).sum(),
    }
}

impl<P: Peer, S: State> Protocol<P> for AntiEntropy<P, S> {
    type Message = Message;
    type Timer = Round;

    fn handle<R: Rng>(
        &mut self,
        _now: Time,
        input: InputOf<Self, P>,
        random: &mut R,
        out: &mut Vec<OutputOf<Self, P>>,
    ) {
        match input {
            Input::Start => {
                // Nodes started together must not all talk at the same moment.
                let after = self.config.period.mul_f64(random.random_range(0.0..=1.0));
                out.push(Output::SetTimer { id: Round, after });
            }
            Input::Received { from, message } => match message {
                Message::Compare(ranges) => self.on_compare(from, ranges, random, out),
                Message::Items {
                    range,
                    complete,
                    items,
                } => self.on_items(from, range, complete, items, out),
                Message::Want(keys) => self.send_values(from, keys, out),
                Message::Values(entries) => self.on_values(from, entries, out),
            },
            Input::Timer(Round) => self.round(random, out),
            Input::Command(command) => self.command(command, out),
            Input::Below(event) => {
                match &event {
                    Event::NeighborUp(peer) => {
                        self.neighbors.insert(*peer);
                    }
                    Event::NeighborDown(peer) => {
                        self.neighbors.remove(peer);
                    }
                    _ => {}
                }
                out.push(Output::Event(event));
            }
            Input::PeerUp(_) | Input::PeerDown { .. } | Input::Congested(_) | Input::Drained(_) => {
            }
        }
    }
}
