//! The address book: which name belongs to an identity, and where that node is to be found.
//!
//! Protocols name nodes by identity alone, also nodes of which this one never heard. A node says its name
//! and addresses itself when a lane to it comes up, and in the member list; what others say of it fills the gap
//! until then, and never replaces what it said itself. As an identity is made of the name, nobody can
//! give a node another name. Bounded; owned by `driver`; opens no connection.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::identity::NodeId;

/// Nodes known by hearsay alone, at most: hearsay is anybody's to send. Others are known because they are
/// members or have a lane, of which there are bounds elsewhere.
const HEARSAY_MAX: usize = 4_096;

/// A node that can be dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) name: Arc<str>,
    /// Where it listens, best first. Empty if nobody has said.
    pub(super) addresses: Arc<[SocketAddr]>,
    source: Source,
}

/// Who said where a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// Another node.
    Hearsay,
    /// The configuration, or the answer of a seed.
    Seed,
    /// The node itself.
    Itself,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Book {
    known: BTreeMap<NodeId, Known>,
    hearsay: usize,
}

impl Book {
    /// Notes a node, and where it is. What a better source said stays. True if that changed anything.
    pub(super) fn learn(&mut self, name: &str, addresses: &[SocketAddr], source: Source) -> bool {
        let id = NodeId::of(name);
        if let Some(known) = self.known.get_mut(&id) {
            if source < known.source || addresses.is_empty() || *known.addresses == *addresses {
                return false;
            }
            if known.source == Source::Hearsay && source > Source::Hearsay {
                self.hearsay -= 1;
            }
            known.addresses = addresses.into();
            known.source = source;
            return true;
        }
        if source == Source::Hearsay {
            if self.hearsay >= HEARSAY_MAX {
                self.forget_one_hearsay(id);
            }
            self.hearsay += 1;
        }
        let known = Known {
            name: name.into(),
            addresses: addresses.into(),
            source,
        };
        self.known.insert(id, known);
        true
    }

    /// Makes room for `newcomer`: the one that follows it goes, which is nobody's choice.
    fn forget_one_hearsay(&mut self, newcomer: NodeId) {
        let is_hearsay = |(_, known): &(&NodeId, &Known)| known.source == Source::Hearsay;
        let after = self.known.range(newcomer..).find(is_hearsay);
        let found = after.or_else(|| self.known.iter().find(is_hearsay));
        if let Some(id) = found.map(|(id, _)| *id) {
            self.known.remove(&id);
            self.hearsay -= 1;
        }
    }

    /// What is known of a node.
    pub(super) fn get(&self, id: NodeId) -> Option<&Known> {
        self.known.get(&id)
    }

    /// How many nodes are known.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Its name; its identity in digits, if the name is not known.
    pub(super) fn name(&self, id: NodeId) -> Arc<str> {
        let known = self.known.get(&id);
        known.map_or_else(|| format!("{id:?}").into(), |known| Arc::clone(&known.name))
    }

    /// Forgets the nodes that are not needed. Their names.
    pub(super) fn forget_all_but(&mut self, is_needed: impl Fn(NodeId) -> bool) -> Vec<Arc<str>> {
        let forgotten = self.known.extract_if(.., |id, _| !is_needed(*id));
        let forgotten: Vec<_> = forgotten.map(|(_, known)| known).collect();
        let hearsay = forgotten
            .iter()
            .filter(|known| known.source == Source::Hearsay);
        self.hearsay -= hearsay.count();
        forgotten.into_iter().map(|known| known.name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> Vec<SocketAddr> {
        vec![SocketAddr::from(([127, 0, 0, 1], port))]
    }

    #[test]
    fn what_a_node_says_of_itself_is_not_replaced_by_what_others_say() {
        let mut book = Book::default();
        assert!(book.learn("a", &at(1), Source::Hearsay));
        assert!(book.learn("a", &at(2), Source::Itself));
        assert!(!book.learn("a", &at(3), Source::Hearsay));
        assert!(!book.learn("a", &at(4), Source::Seed));
        assert_eq!(book.get(NodeId::of("a")).unwrap().addresses[..], at(2));
        assert!(book.learn("a", &at(5), Source::Itself), "it moved");
        assert!(!book.learn("a", &[], Source::Itself), "it is still there");
        assert_eq!(book.get(NodeId::of("a")).unwrap().addresses[..], at(5));
    }

    #[test]
    fn hearsay_is_bounded_and_pushes_nobody_else_out() {
        let mut book = Book::default();
        book.learn("itself", &at(1), Source::Itself);
        for number in 0..3 * HEARSAY_MAX {
            book.learn(&format!("n{number}"), &at(2), Source::Hearsay);
        }
        assert_eq!(book.known.len(), HEARSAY_MAX + 1);
        assert!(book.get(NodeId::of("itself")).is_some());
        let last = NodeId::of(&format!("n{}", 3 * HEARSAY_MAX - 1));
        assert!(book.get(last).is_some());
        let forgotten = book.forget_all_but(|id| id != last);
        assert_eq!(forgotten.len(), 1);
        assert_eq!(
            (book.known.len(), book.hearsay),
            (HEARSAY_MAX, HEARSAY_MAX - 1)
        );
        assert_eq!(&*book.name(last), format!("{last:?}"));
    }
}
