//! The receiving half of a soak: a handler on the shard that looks at every message.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use overlane::{Message, Node, ShardContext};

use super::gaps::Gaps;
use super::ledger::{Entry, Ledger};
use super::message::Place;
use super::protocol::Delivered;
use super::sequences::Sequences;
use crate::clock;
use crate::error::{BenchError, Outcome};

/// Where all messages go.
pub(super) const MAILBOX: &str = "soak";

/// What has come, shared with the handler.
#[derive(Debug, Clone)]
pub(super) struct Receiving(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    senders: Vec<Sequences>,
    damaged: u64,
    gaps: Gaps,
    ledger: Option<Ledger>,
    fault: Option<String>,
}

impl Receiving {
    /// Takes the messages of so many senders from now on.
    pub(super) fn install(node: &Node, senders: u32, ledger: Option<&Path>) -> Outcome<Self> {
        let receiving = Self(Arc::new(Mutex::new(State {
            senders: (0..senders).map(|_| Sequences::default()).collect(),
            damaged: 0,
            gaps: Gaps::default(),
            ledger: ledger.map(Ledger::create).transpose()?,
            fault: None,
        })));
        let own = receiving.clone();
        node.handle(
            MAILBOX,
            move |_: &mut ShardContext<'_>, message: Message<'_>| {
                own.state().take(message.payload(), clock::now_ns());
            },
        )
        .map_err(|error| BenchError::Engine(error.to_string()))?;
        Ok(receiving)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no holder of what has come panics")
    }

    /// What has come so far.
    pub(super) fn delivered(&self) -> Delivered {
        let state = self.state();
        let last_ns = state.gaps.last_ns;
        let entries = state.senders.iter();
        Delivered {
            entries: entries
                .map(|sequences| Entry::of(sequences, last_ns))
                .collect(),
            damaged: state.damaged,
            gaps: state.gaps.clone(),
            fault: state.fault.clone(),
        }
    }
}

impl State {
    fn take(&mut self, payload: &[u8], now_ns: u64) {
        self.gaps.delivered(now_ns);
        let Some(place) = Place::decode(payload) else {
            self.damaged += 1;
            return;
        };
        let Some(sequences) = self.senders.get_mut(place.sender as usize) else {
            self.damaged += 1;
            return;
        };
        sequences.take(place.sequence);
        if let Some(ledger) = &self.ledger
            && let Err(error) = ledger.write(place.sender, Entry::of(sequences, now_ns))
        {
            self.fault = Some(format!("the ledger cannot be written: {error}"));
        }
    }
}
