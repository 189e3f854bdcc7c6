//! Nodes that protocols want to reach and of which nobody has said where they are.
//!
//! A protocol hears of a node by its identity, in a message of a peer, so that peer can be asked for the
//! rest. What is to go to the stranger waits for the answer, a little and not for long. A state machine
//! without I/O; owned by `driver`.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use overlane_overlays::Time;

use super::identity::NodeId;

/// How long an answer may take. 3 s: as long as a dial.
const PATIENCE: Duration = Duration::from_secs(3);
/// Strangers at a time: more than a full mesh of the largest size names at once.
const STRANGERS_MAX: usize = 2_048;
/// Messages that wait for one stranger; protocols live with the loss of others.
const MESSAGES_MAX: usize = 8;

/// What is to be done once it is known where a stranger is.
#[derive(Debug)]
pub(super) struct Stranger {
    until: Time,
    /// Make a lane and keep it.
    pub(super) keep: bool,
    pub(super) messages: Vec<Bytes>,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    waiting: BTreeMap<NodeId, Stranger>,
}

impl Strangers {
    /// A lane to that node is wanted. True if somebody is to be asked where it is.
    pub(super) fn keep(&mut self, id: NodeId, now: Time) -> bool {
        self.wait_for(id, now, |stranger| stranger.keep = true)
    }

    /// A message to that node is to go out. True if somebody is to be asked where it is.
    pub(super) fn send(&mut self, id: NodeId, message: Bytes, now: Time) -> bool {
        self.wait_for(id, now, |stranger| {
            if stranger.messages.len() < MESSAGES_MAX {
                stranger.messages.push(message);
            }
        })
    }

    fn wait_for(&mut self, id: NodeId, now: Time, note: impl FnOnce(&mut Stranger)) -> bool {
        let is_new = !self.waiting.contains_key(&id);
        if is_new && self.waiting.len() >= STRANGERS_MAX {
            return false;
        }
        let stranger = self.waiting.entry(id).or_insert_with(|| Stranger {
            until: now + PATIENCE,
            keep: false,
            messages: Vec::new(),
        });
        note(stranger);
        is_new
    }

    /// No lane to that node is wanted any more.
    pub(super) fn release(&mut self, id: NodeId) {
        if let Some(stranger) = self.waiting.get_mut(&id) {
            stranger.keep = false;
        }
    }

    /// It is known where that node is: what waited for it.
    pub(super) fn met(&mut self, id: NodeId) -> Option<Stranger> {
        self.waiting.remove(&id)
    }

    /// When the next of them is given up.
    pub(super) fn next(&self) -> Option<Time> {
        self.waiting.values().map(|stranger| stranger.until).min()
    }

    /// Those of whom nobody has said in time where they are.
    pub(super) fn take_given_up(&mut self, now: Time) -> Vec<NodeId> {
        let late = self
            .waiting
            .extract_if(.., |_, stranger| stranger.until <= now);
        late.map(|(id, _)| id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Time {
        Time::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn what_is_for_a_stranger_waits_within_bounds_until_it_is_met_or_given_up() {
        let mut strangers = Strangers::default();
        let (a, b) = (NodeId::of("a"), NodeId::of("b"));
        assert!(strangers.keep(a, at(0)), "it is asked for once");
        for _ in 0..2 * MESSAGES_MAX {
            assert!(!strangers.send(a, Bytes::from_static(b"x"), at(1)));
        }
        assert!(strangers.send(b, Bytes::new(), at(2)));
        let met = strangers.met(a).unwrap();
        assert_eq!((met.keep, met.messages.len()), (true, MESSAGES_MAX));
        assert_eq!(strangers.next(), Some(at(5)));
        assert!(strangers.take_given_up(at(4)).is_empty());
        assert_eq!(strangers.take_given_up(at(5)), [b]);
        assert!(strangers.met(b).is_none());
    }

    #[test]
    fn strangers_are_bounded() {
        let mut strangers = Strangers::default();
        let asked = (0..2 * STRANGERS_MAX)
            .filter(|number| strangers.keep(NodeId::of(&number.to_string()), at(0)))
            .count();
        assert_eq!(asked, STRANGERS_MAX);
    }
}
