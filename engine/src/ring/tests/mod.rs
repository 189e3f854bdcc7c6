//! What the ring and the doorbell promise, one file per kind of evidence. The loom models are
//! beside this folder, because they are compiled instead of it.

mod capacity;
mod closing;
mod doorbell;
mod draining;
mod model;
mod ownership;
mod pushing;
mod stress;

use std::ops::ControlFlow;

use bytes::Bytes;

use super::{Consumer, Tag};

/// A tag that is told from others by its lane.
fn tag(lane: u32) -> Tag {
    Tag {
        lane,
        mailbox: !lane,
        extra: lane.rotate_left(16),
    }
}

/// Everything that can be read now, copied out.
fn drain_all(consumer: &mut Consumer) -> Vec<(Tag, Vec<u8>)> {
    let mut records = Vec::new();
    let count = consumer.drain(usize::MAX, |tag, payload| {
        records.push((tag, payload.to_vec()));
        ControlFlow::Continue(())
    });
    assert_eq!(count, records.len());
    records
}

/// What the buffers below are filled with.
const SHARED_PAYLOAD_BYTE: u8 = 7;

/// A buffer whose owner counts, while it lives, in the `Arc` behind it.
struct Counted {
    alive: std::sync::Arc<()>,
}

impl Counted {
    fn new() -> Self {
        Self {
            alive: std::sync::Arc::new(()),
        }
    }

    /// A new buffer of `len` bytes.
    fn bytes(&self, len: usize) -> Bytes {
        struct Owner(
            Vec<u8>,
            #[expect(dead_code, reason = "counts")] std::sync::Arc<()>,
        );
        impl AsRef<[u8]> for Owner {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
        Bytes::from_owner(Owner(
            vec![SHARED_PAYLOAD_BYTE; len],
            std::sync::Arc::clone(&self.alive),
        ))
    }

    /// How many of the buffers have not been dropped.
    fn alive(&self) -> usize {
        std::sync::Arc::strong_count(&self.alive) - 1
    }
}
