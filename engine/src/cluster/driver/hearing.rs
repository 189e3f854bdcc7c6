//! What control shards of other nodes say: messages for the protocols, who they are, and where others are to be found.
//!
//! Called by the driver for each word that comes. It believes nobody's word about another node's
//! name, and none about its address while the node itself has said another.

use std::sync::Arc;

use bytes::Bytes;
use overlane_overlays::{Command, DecodeError, Input, Time};

use super::{Deed, Driver};
use crate::cluster::book::Source;
use crate::cluster::identity::NodeId;
use crate::cluster::strangers::Stranger;
use crate::cluster::words::{Greeting, Introduction, Word};
use crate::events::Event;

impl Driver {
    pub(super) fn received(
        &mut self,
        from: &Arc<str>,
        bytes: &Bytes,
        now: Time,
        out: &mut Vec<Deed>,
    ) {
        let peer = NodeId::of(from);
        self.heard(peer, now);
        match Word::read(bytes) {
            Ok(Word::Machine(message)) => {
                self.give(
                    Input::Received {
                        from: peer,
                        message,
                    },
                    Some(peer),
                );
            }
            Ok(Word::Greeting(greeting)) => self.greeted(from, greeting, out),
            Ok(Word::Nodes(nodes)) => {
                for node in nodes {
                    self.introduced(&node, now, out);
                }
            }
            Ok(Word::WhoIs(ids)) => self.answer(peer, &ids, out),
            Ok(Word::Ping(number)) => self.answer_ping(now, peer, number, out),
            Ok(Word::Pong(number, report)) => self.topology.answered(now, peer, number, report),
            Ok(Word::Heads(heads)) => self.heard_heads(peer, &heads, out),
            Ok(Word::Decisions(batch)) => self.heard_decisions(peer, batch, out),
            Ok(Word::Change(change)) => self.heard_change(now, peer, &change, out),
            Ok(Word::Answered(answered)) => self.heard_answered(now, answered, out),
            Ok(Word::ChangeHeads(heads)) => self.heard_change_heads(peer, &heads, out),
            Ok(Word::SummaryHeads(heads)) => self.heard_summary_heads(now, peer, &heads, out),
            Ok(Word::SummaryWants(members)) => self.send_summaries(now, peer, &members, out),
            Ok(Word::Summaries(parts)) => self.heard_summaries(now, peer, parts),
            Ok(Word::Evict) => self.evicted(from, out),
            Ok(Word::Find(find)) => self.heard_find(peer, find, now, out),
            Ok(Word::Found(found)) => self.heard_found(peer, found, now, out),
            Err(why) => out.push(Deed::Accuse {
                peer: Arc::clone(from),
                why,
            }),
        }
    }

    /// A member has this node say goodbye.
    fn evicted(&mut self, by: &Arc<str>, out: &mut Vec<Deed>) {
        if self.has_left {
            return;
        }
        let by = Arc::clone(by);
        out.push(Deed::Tell(Event::Evicted { by }));
        self.seeds.clear();
        self.give(Input::Command(Command::Leave), None);
    }

    pub(super) fn greeted(&mut self, from: &Arc<str>, greeting: Greeting, out: &mut Vec<Deed>) {
        if greeting.node.name != **from {
            let why = DecodeError::Invalid { field: "name" };
            let peer = Arc::clone(from);
            out.push(Deed::Accuse { peer, why });
            return;
        }
        if greeting.first != self.identity.first {
            out.push(Deed::Tell(Event::OtherOverlay {
                node: Arc::clone(from),
                theirs: greeting.first,
                ours: self.identity.first,
            }));
        }
        let addresses = &greeting.node.addresses;
        self.book.learn(from, addresses, Source::Itself);
    }

    pub(super) fn introduced(&mut self, node: &Introduction, now: Time, out: &mut Vec<Deed>) {
        self.book
            .learn(&node.name, &node.addresses, Source::Hearsay);
        let id = NodeId::of(&node.name);
        if let Some(stranger) = self.strangers.met(id) {
            self.meet(id, stranger, now, out);
        }
    }

    /// Tells a peer where others are, as far as it is known.
    pub(super) fn answer(&mut self, peer: NodeId, ids: &[NodeId], out: &mut Vec<Deed>) {
        let known = ids.iter().filter_map(|id| self.book.get(*id));
        let nodes: Vec<_> = known
            .filter(|known| !known.addresses.is_empty())
            .map(|known| Introduction {
                name: known.name.to_string(),
                addresses: known.addresses.to_vec(),
            })
            .collect();
        if !nodes.is_empty() {
            self.send_word(peer, Word::of_nodes(&nodes), None, out);
        }
    }

    /// It is known now where a node is.
    pub(super) fn meet(
        &mut self,
        peer: NodeId,
        stranger: Stranger,
        now: Time,
        out: &mut Vec<Deed>,
    ) {
        if stranger.keep {
            self.connect(peer, now, out);
        }
        for message in stranger.messages {
            self.send_word(peer, message, None, out);
        }
    }
}
