//! Who takes part in which topic, as far as this node needs to know: a few of them, to begin with.
//!
//! Owns the two bounds, topics and contacts per topic. Where there is no room, chance decides who goes,
//! so that nobody can choose what a node remembers.

use std::collections::BTreeMap;

use rand::seq::IteratorRandom;
use rand::{Rng, RngExt};

use super::message::CONTACTS_MAX;
use crate::event::{Peer, TopicId};

/// Contacts by topic.
#[derive(Debug)]
pub(super) struct Contacts<P> {
    topics: BTreeMap<TopicId, Vec<P>>,
    topics_max: usize,
}

impl<P: Peer> Contacts<P> {
    pub(super) const fn new(topics_max: usize) -> Self {
        Self {
            topics: BTreeMap::new(),
            topics_max,
        }
    }

    /// Notes that a node takes part in a topic.
    pub(super) fn add<R: Rng>(&mut self, topic: TopicId, peer: P, random: &mut R) {
        if self.topics_max == 0 {
            return;
        }
        if !self.topics.contains_key(&topic) && self.topics.len() >= self.topics_max {
            let victim = self.topics.keys().choose(random).copied();
            if let Some(victim) = victim {
                self.topics.remove(&victim);
            }
        }
        let known = self.topics.entry(topic).or_default();
        if known.contains(&peer) {
            return;
        }
        if known.len() < CONTACTS_MAX {
            known.push(peer);
        } else {
            let place = random.random_range(0..known.len());
            known[place] = peer;
        }
    }

    /// Notes that a node takes part no longer.
    pub(super) fn remove(&mut self, topic: TopicId, peer: P) {
        if let Some(known) = self.topics.get_mut(&topic) {
            known.retain(|other| *other != peer);
            if known.is_empty() {
                self.topics.remove(&topic);
            }
        }
    }

    /// Notes that a node is not there any more.
    pub(super) fn remove_everywhere(&mut self, peer: P) {
        self.topics.retain(|_, known| {
            known.retain(|other| *other != peer);
            !known.is_empty()
        });
    }

    /// Those known to take part.
    pub(super) fn of(&self, topic: TopicId) -> &[P] {
        self.topics.get(&topic).map_or(&[], Vec::as_slice)
    }

    /// How many topics are remembered.
    pub(super) fn topics(&self) -> usize {
        self.topics.len()
    }
}
