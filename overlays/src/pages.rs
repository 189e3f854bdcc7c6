//! Pages of messages for those who ask for much: all of it, without filling a lane at once.
//!
//! Used by the broadcast layers that answer from a [`Store`]. Owns the bounds of a page and of what one
//! neighbor can be owed; must never drop what a neighbor asked for and could have, except beyond them.

use std::collections::VecDeque;
use std::time::Duration;

use crate::store::{Look, MessageId, Seen, Store};

/// Payload bytes after which a page ends. 1 MiB: what a lane's log holds by default.
pub(crate) const PAGE_BYTES: usize = 1 << 20;

/// Time between two pages to one neighbor. 50 ms: a guess, 20 MiB/s for a node that has missed much.
pub(crate) const PAGE_EVERY: Duration = Duration::from_millis(50);

/// Most messages that one neighbor is owed; it asks again for what is beyond. 4,096: as many as a node
/// waits for by default.
const OWED_MAX: usize = 4_096;

/// Adds messages to what a neighbor is owed.
pub(crate) fn owe(owed: &mut VecDeque<MessageId>, ids: Vec<MessageId>) {
    for id in ids {
        if owed.len() < OWED_MAX && !owed.contains(&id) {
            owed.push_back(id);
        }
    }
}

/// Takes what fits on a page off `owed`, and gives what of it is kept to `each`.
pub(crate) fn take<P>(
    store: &Store<P>,
    owed: &mut VecDeque<MessageId>,
    mut each: impl FnMut(MessageId, &Seen<P>),
) {
    let mut bytes = 0;
    while bytes < PAGE_BYTES
        && let Some(id) = owed.pop_front()
    {
        let Look::Kept(seen) = store.look(id) else {
            continue;
        };
        bytes += seen.bytes();
        each(id, seen);
    }
}
