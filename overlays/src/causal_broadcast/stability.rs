//! Stability: which messages every live member has, so that nobody will ask for them any more.
//!
//! Rounds of gossip, after Guo, Hayden, van Renesse, Vogels and Birman ("GSGC: An Efficient Gossip-Style
//! Garbage Collection Scheme for Scalable Reliable Multicast", 1997): in each round the members find the
//! least count of each life over all that took part. When all have, those counts are stable. One
//! message to a random neighbor per node and period, and only while something is not stable yet.
//!
//! Rounds are of one set of live members; those of nodes that see another set are not compared. So
//! nothing becomes stable while membership changes, and no harm is done by that: what is kept is bounded.

use std::collections::{BTreeMap, BTreeSet};

use super::message::{COUNTS_MAX, HEARD_BYTES_MAX, Round};
use crate::event::Peer;
use crate::hash::hash_of;
use crate::hold_back::{Count, Life};

/// What one node knows of the rounds.
#[derive(Debug)]
pub(super) struct Stability<P> {
    me: P,
    /// The live members, this node included.
    live: BTreeSet<P>,
    /// Sum of their hashes.
    view: u64,
    number: u64,
    /// Which of the live members have taken part, by their place.
    heard: Vec<u8>,
    counts: BTreeMap<Life<P>, u64>,
    is_complete: bool,
    stable: BTreeMap<Life<P>, u64>,
    /// What the last complete round gave.
    last: Vec<Count<P>>,
    /// Lives that others listed in this round and this node did not.
    wanted: BTreeSet<Life<P>>,
}

impl<P: Peer> Stability<P> {
    pub(super) fn new(me: P) -> Self {
        Self {
            me,
            live: BTreeSet::from([me]),
            view: hash_of(&me),
            number: 0,
            heard: Vec::new(),
            counts: BTreeMap::new(),
            is_complete: true,
            stable: BTreeMap::new(),
            last: Vec::new(),
            wanted: BTreeSet::new(),
        }
    }

    /// Whether a node is a live member.
    pub(super) fn is_live(&self, peer: &P) -> bool {
        self.live.contains(peer)
    }

    /// A member lives. What was stable without it is so no more: two halves that find each other again have
    /// each delivered, and let go of, what the other never heard of.
    pub(super) fn member_up(&mut self, peer: P) {
        if self.live.insert(peer) {
            self.stable.clear();
            self.view_changed(self.view.wrapping_add(hash_of(&peer)));
        }
    }

    /// A member is down, or has left.
    pub(super) fn member_gone(&mut self, peer: &P) {
        if *peer != self.me && self.live.remove(peer) {
            self.view_changed(self.view.wrapping_sub(hash_of(peer)));
        }
    }

    fn view_changed(&mut self, view: u64) {
        self.view = view;
        // What was found in rounds of another set says nothing about this one.
        self.is_complete = true;
        self.heard.clear();
        self.counts.clear();
        self.last.clear();
    }

    /// How many messages of a life every live member has.
    pub(super) fn stable(&self, life: &Life<P>) -> u64 {
        self.stable.get(life).copied().unwrap_or(0)
    }

    /// Forgets lives that nobody remembers any more.
    pub(super) fn forget(&mut self, known: impl Fn(&Life<P>) -> bool) {
        self.stable.retain(|life, _| known(life));
    }

    /// A period is over: what to send to a neighbor, if there is anything to find out.
    pub(super) fn period(&mut self, have: &[Count<P>], clock: u64) -> Option<Round<P>> {
        if self.live.len() < 2 || self.live.len() > HEARD_BYTES_MAX * 8 {
            return None;
        }
        if self.is_complete {
            if self.wanted.is_empty() && self.unstable(have).next().is_none() {
                return None;
            }
            self.begin(self.number.saturating_add(1), have);
        }
        Some(self.told(have, clock))
    }

    /// A neighbor told of a round: what to answer, if this node knows more, and what is stable now.
    pub(super) fn received(
        &mut self,
        theirs: Round<P>,
        have: &[Count<P>],
        clock: u64,
    ) -> (Option<Round<P>>, Vec<Count<P>>) {
        if theirs.view != self.view || theirs.heard.len() > self.heard_bytes() {
            return (None, Vec::new());
        }
        let mut news = self.settle(&theirs.stable);
        if theirs.number < self.number {
            return (Some(self.told(have, clock)), news);
        }
        if theirs.number > self.number {
            self.begin(theirs.number, have);
        }
        let knew = self.heard.clone();
        self.merge(&theirs);
        let knows_more = self.heard != theirs.heard;
        if self.heard != knew && self.has_heard_all() {
            self.is_complete = true;
            let counts = self.counts.iter();
            self.last = counts
                .map(|(life, count)| Count {
                    life: *life,
                    count: *count,
                })
                .collect();
            news.extend(self.settle(&self.last.clone()));
        }
        (knows_more.then(|| self.told(have, clock)), news)
    }

    fn told(&self, have: &[Count<P>], clock: u64) -> Round<P> {
        let counts = self.counts.iter().map(|(life, count)| Count {
            life: *life,
            count: *count,
        });
        Round {
            view: self.view,
            number: self.number,
            clock,
            heard: self.heard.clone(),
            counts: counts.collect(),
            own: self.unstable(have).take(COUNTS_MAX).copied().collect(),
            stable: self.last.clone(),
        }
    }

    /// Begins a round with this node's own counts.
    fn begin(&mut self, number: u64, have: &[Count<P>]) {
        self.number = number;
        self.is_complete = false;
        self.heard = vec![0; self.heard_bytes()];
        let place = self.live.range(..self.me).count();
        self.heard[place / 8] |= 1 << (place % 8);
        let wanted = std::mem::take(&mut self.wanted);
        let first = have.iter().filter(|count| wanted.contains(&count.life));
        let listed = first.chain(self.unstable(have)).take(COUNTS_MAX);
        self.counts = listed.map(|count| (count.life, count.count)).collect();
    }

    fn unstable<'a>(&'a self, have: &'a [Count<P>]) -> impl Iterator<Item = &'a Count<P>> {
        have.iter()
            .filter(|count| count.count > self.stable(&count.life))
    }

    fn heard_bytes(&self) -> usize {
        self.live.len().div_ceil(8)
    }

    fn has_heard_all(&self) -> bool {
        let heard: u32 = self.heard.iter().map(|byte| byte.count_ones()).sum();
        heard as usize >= self.live.len()
    }

    /// Takes in what others have: the least counts, of lives that both sides list.
    fn merge(&mut self, theirs: &Round<P>) {
        for (ours, theirs) in self.heard.iter_mut().zip(&theirs.heard) {
            *ours |= theirs;
        }
        let listed = theirs.counts.iter().map(|count| (count.life, count.count));
        let listed: BTreeMap<Life<P>, u64> = listed.collect();
        for life in listed.keys() {
            if !self.counts.contains_key(life) && self.wanted.len() < COUNTS_MAX {
                self.wanted.insert(*life);
            }
        }
        self.counts.retain(|life, count| {
            let Some(theirs) = listed.get(life) else {
                return false;
            };
            *count = (*count).min(*theirs);
            true
        });
    }

    /// These counts are stable. Which of them are news.
    fn settle(&mut self, stable: &[Count<P>]) -> Vec<Count<P>> {
        let mut news = Vec::new();
        for count in stable {
            let before = self.stable.entry(count.life).or_default();
            if count.count > *before {
                *before = count.count;
                news.push(*count);
            }
        }
        news
    }
}
