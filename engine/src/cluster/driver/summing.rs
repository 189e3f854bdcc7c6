//! The driver's part in summaries: a period begins, the node is counted, neighbors are told, and asked.
//!
//! Called by its timer, for what the node counts, and for what control shards of peers say. It knows who is a member, in which
//! life, and who a neighbor; `summaries` decides the rest.

use overlane_overlays::Time;
use overlane_overlays::membership::Table;

use super::{Deed, Driver, Timer};
use crate::cluster::identity::NodeId;
use crate::cluster::machine::Readings as _;
use crate::cluster::summaries::{Heads, Held, Part, Round, Summary};
use crate::cluster::words::Word;

impl Driver {
    pub(super) fn begin_summaries(&mut self, now: Time, out: &mut Vec<Deed>) {
        self.timers
            .set_after(now, self.summaries.period(), Timer::Summaries);
        let members = self.machine.members();
        let round = self.summaries.begin(
            now,
            members.live(),
            life_among(members),
            &self.machine.neighbors(),
            &mut self.random,
        );
        match round {
            Round::Off => {}
            Round::Tell => self.tell_of_summaries(out),
            Round::Count => out.push(Deed::Count),
        }
    }

    pub(super) fn counted(&mut self, now: Time, summary: &Summary, out: &mut Vec<Deed>) {
        if self.summaries.counted(now, summary) {
            self.tell_of_summaries(out);
        }
    }

    fn tell_of_summaries(&mut self, out: &mut Vec<Deed>) {
        let neighbors = self.machine.neighbors();
        for (neighbor, heads) in self.summaries.tell(neighbors, &mut self.random) {
            self.send_word(neighbor, Word::of_summary_heads(&heads), None, out);
        }
    }

    pub(super) fn heard_summary_heads(
        &mut self,
        now: Time,
        from: NodeId,
        heads: &Heads,
        out: &mut Vec<Deed>,
    ) {
        let is_neighbor = self.machine.neighbors().contains(&from);
        let life_of = life_among(self.machine.members());
        let (wants, answer) = { &mut self.summaries }.heard(now, from, heads, is_neighbor, life_of);
        if !wants.is_empty() {
            self.send_word(from, Word::of_summary_wants(&wants), None, out);
        }
        if let Some(heads) = answer {
            self.send_word(from, Word::of_summary_heads(&heads), None, out);
        }
    }

    pub(super) fn send_summaries(
        &mut self,
        now: Time,
        to: NodeId,
        members: &[NodeId],
        out: &mut Vec<Deed>,
    ) {
        for parts in self.summaries.wanted(now, to, members) {
            self.send_word(to, Word::of_summaries(&parts), None, out);
        }
    }

    pub(super) fn heard_summaries(&mut self, now: Time, from: NodeId, parts: Vec<Part>) {
        let life_of = life_among(self.machine.members());
        self.summaries.take(now, from, parts, life_of);
    }

    /// The live members, each with what it said last.
    pub(in crate::cluster) fn summaries(&self, now: Time) -> Held {
        let live = self.machine.members().iter();
        let live = live.filter(|entry| entry.status.is_live());
        let members = live.map(|entry| {
            let said = { &self.summaries }.of(entry.peer, entry.version.incarnation, now);
            (entry.details.name.clone(), said)
        });
        Held {
            members: members.collect(),
            refused: self.summaries.refused(),
        }
    }
}

/// The incarnation of a live member.
fn life_among(members: &Table<NodeId>) -> impl Fn(NodeId) -> Option<u64> + '_ {
    |member| {
        let entry = members.get(&member)?;
        (entry.status.is_live()).then_some(entry.version.incarnation)
    }
}
