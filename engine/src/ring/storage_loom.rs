//! Only under `--cfg overlane_loom`: what lets loom judge accesses to a ring's plain bytes.
//!
//! `storage` calls this beside each access. A cell per granule makes loom report any two accesses
//! to it that are not ordered, and an atomic per granule stands for the four bytes where a state
//! word would be. Payload bytes go into those atomics too, so that the models would see a stale
//! payload taken for a committed header if the consumer did not zero what it frees.

use loom::cell::{ConstPtr, MutPtr, UnsafeCell};

use super::record::GRANULE_BYTES;
use super::sync::{AtomicU32, Ordering};

/// Looks like the state word of a shared record: the worst that a payload could hold.
const PAYLOAD_AS_STATE: u32 = u32::MAX;

/// What loom watches in place of one granule of memory.
#[derive(Debug, Default)]
struct Granule {
    access: UnsafeCell<()>,
    state: AtomicU32,
}

/// The same for the whole memory of a ring.
#[derive(Debug)]
pub(super) struct Watched(Vec<Granule>);

impl Watched {
    pub(super) fn new(granules: usize) -> Self {
        Self((0..granules).map(|_| Granule::default()).collect())
    }

    /// What stands for the state word of the header at `offset`.
    pub(super) fn state(&self, offset: usize) -> &AtomicU32 {
        &self.0[offset / GRANULE_BYTES].state
    }

    /// Loom must find every other access to the span ordered against the guards' lifetime.
    pub(super) fn track_writing(&self, offset: usize, bytes: usize) -> Vec<MutPtr<()>> {
        self.span(offset, bytes)
            .iter()
            .map(|granule| granule.access.get_mut())
            .collect()
    }

    /// Loom must find every write to the span ordered against the guards' lifetime.
    pub(super) fn track_reading(&self, offset: usize, bytes: usize) -> Vec<ConstPtr<()>> {
        self.span(offset, bytes)
            .iter()
            .map(|granule| granule.access.get())
            .collect()
    }

    /// A payload is written over places where a state word may stand one day.
    pub(super) fn overwrite_states(&self, offset: usize, bytes: usize) {
        for granule in self.span(offset, bytes) {
            granule.state.store(PAYLOAD_AS_STATE, Ordering::Relaxed);
        }
    }

    /// The states of the span read as empty again.
    pub(super) fn zero_states(&self, offset: usize, bytes: usize) {
        for granule in self.span(offset, bytes) {
            // SAFETY: the span is the consumer's alone; loom checks that as well.
            if unsafe { granule.state.unsync_load() } != 0 {
                granule.state.store(0, Ordering::Relaxed);
            }
        }
    }

    fn span(&self, offset: usize, bytes: usize) -> &[Granule] {
        let end = (offset + bytes).div_ceil(GRANULE_BYTES);
        &self.0[offset / GRANULE_BYTES..end]
    }
}
