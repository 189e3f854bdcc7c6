//! Where the ring takes its atomics from: the standard library, or loom's models of them when the
//! crate is built with `--cfg overlane_loom`. Only this file and `storage` know the difference.

#[cfg(overlane_loom)]
pub(super) use loom::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
};

#[cfg(not(overlane_loom))]
pub(super) use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
};
