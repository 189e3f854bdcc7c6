//! The receive buffers of one priority class, provided to the kernel as a buffer ring.
//!
//! Owned by a data shard, one for each priority its channels use, so that bulk traffic cannot eat
//! the buffers of heartbeats. The number of buffers *is* the receiving side's quantum: in one
//! `enter` the kernel can copy no more than what lies here. A buffer is out from the completion that
//! names it until [`ReceiveBuffers::give_back`]; a payload that an application keeps pins it, and a
//! spare takes its place, until the spares are used up and payloads are copied out instead.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};
use io_uring::Submitter;
use io_uring::types::BufRingEntry;

const PAGE_BYTES: usize = 4096;

type Memory = Box<[u8]>;

/// A buffer whose payloads are held outside the shard; its memory comes home when the last goes.
struct PinnedBuffer {
    memory: Option<Memory>,
    home: Sender<Memory>,
}

impl AsRef<[u8]> for PinnedBuffer {
    fn as_ref(&self) -> &[u8] {
        self.memory.as_deref().unwrap_or(&[])
    }
}

impl Drop for PinnedBuffer {
    fn drop(&mut self) {
        if let Some(memory) = self.memory.take() {
            // A shard that is gone takes nothing back: the memory is freed with the message.
            drop(self.home.try_send(memory));
        }
    }
}

/// A buffer the kernel has filled, on its way through the shard.
#[derive(Debug)]
pub(crate) struct Filled {
    memory: Memory,
    pinned: Option<Bytes>,
    bid: u16,
    bytes: usize,
}

impl Filled {
    /// What was received.
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.pinned {
            Some(pinned) => &pinned[..self.bytes],
            None => &self.memory[..self.bytes],
        }
    }
}

/// The buffers of one class.
pub(crate) struct ReceiveBuffers {
    entries: NonNull<BufRingEntry>,
    layout: Layout,
    mask: u16,
    tail: u16,
    group: u16,
    buffer_bytes: usize,
    slots: Vec<Option<Memory>>,
    spares: Vec<Memory>,
    spares_unmade: usize,
    home: (Sender<Memory>, Receiver<Memory>),
    in_kernel: usize,
    copied_out: u64,
}

impl ReceiveBuffers {
    /// `count` buffers (a power of two, at most 32,768) of `buffer_bytes`, and as many spares, made
    /// when first needed.
    pub(crate) fn new(
        submitter: &Submitter<'_>,
        group: u16,
        count: u16,
        buffer_bytes: usize,
    ) -> io::Result<Self> {
        if !count.is_power_of_two() {
            return Err(io::Error::other(
                "the number of receive buffers must be a power of two",
            ));
        }
        let size = usize::from(count) * size_of::<BufRingEntry>();
        let layout = Layout::from_size_align(size, PAGE_BYTES).map_err(io::Error::other)?;
        // SAFETY: the layout is not empty: count is a power of two, so at least 1.
        let raw = unsafe { alloc_zeroed(layout) };
        let Some(entries) = NonNull::new(raw.cast::<BufRingEntry>()) else {
            handle_alloc_error(layout)
        };
        let mut made = Self {
            entries,
            layout,
            mask: count - 1,
            tail: 0,
            group,
            buffer_bytes,
            slots: (0..count).map(|_| None).collect(),
            spares: Vec::new(),
            spares_unmade: usize::from(count),
            home: bounded(usize::from(count) * 2),
            in_kernel: 0,
            copied_out: 0,
        };
        // SAFETY: the entries are page aligned, `count` long, and freed only in `drop`, which the
        // shard reaches after its ring is gone (declaration order in `shard::Shard`).
        unsafe { submitter.register_buf_ring_with_flags(raw as u64, count, group, 0)? };
        for bid in 0..count {
            made.provide(bid, vec![0; buffer_bytes].into_boxed_slice());
        }
        Ok(made)
    }

    pub(crate) fn group(&self) -> u16 {
        self.group
    }

    /// Buffers the kernel can fill now.
    pub(crate) fn in_kernel(&self) -> usize {
        self.in_kernel
    }

    /// Payloads copied because too many buffers were held by the application.
    pub(crate) fn copied_out(&self) -> u64 {
        self.copied_out
    }

    fn provide(&mut self, bid: u16, mut memory: Memory) {
        let index = usize::from(self.tail & self.mask);
        // SAFETY: index is below count by the mask; the kernel reads an entry only after the tail
        // store below has published it, and this thread is the only writer.
        let entry = unsafe { &mut *self.entries.as_ptr().add(index) };
        entry.set_addr(memory.as_mut_ptr() as u64);
        entry.set_len(u32::try_from(memory.len()).unwrap_or(u32::MAX));
        entry.set_bid(bid);
        self.slots[usize::from(bid)] = Some(memory);
        self.tail = self.tail.wrapping_add(1);
        self.in_kernel += 1;
        // SAFETY: `tail` points at the tail field inside the first entry of a live ring.
        unsafe {
            let tail = BufRingEntry::tail(self.entries.as_ptr()).cast::<AtomicU16>();
            (*tail).store(self.tail, Ordering::Release);
        }
    }

    /// The buffer that completion named; `None` if the kernel named one it does not have.
    pub(crate) fn take(&mut self, bid: u16, bytes: usize) -> Option<Filled> {
        let memory = self.slots.get_mut(usize::from(bid))?.take()?;
        self.in_kernel -= 1;
        let bytes = bytes.min(memory.len());
        Some(Filled {
            memory,
            pinned: None,
            bid,
            bytes,
        })
    }

    /// A payload of `filled` that may outlive the shard's turn: a slice of the buffer while spares
    /// last, a copy after that.
    pub(crate) fn keep(&mut self, filled: &mut Filled, start: usize, end: usize) -> Bytes {
        if filled.pinned.is_none() {
            match self.spare() {
                Some(spare) => {
                    let memory = std::mem::replace(&mut filled.memory, spare);
                    let owner = PinnedBuffer {
                        memory: Some(memory),
                        home: self.home.0.clone(),
                    };
                    filled.pinned = Some(Bytes::from_owner(owner));
                }
                None => {
                    self.copied_out += 1;
                    return Bytes::copy_from_slice(&filled.memory[start..end]);
                }
            }
        }
        filled
            .pinned
            .as_ref()
            .map_or_else(Bytes::new, |pinned| pinned.slice(start..end))
    }

    fn spare(&mut self) -> Option<Memory> {
        if self.spares.is_empty() {
            self.spares.extend(self.home.1.try_iter());
        }
        self.spares.pop().or_else(|| {
            self.spares_unmade = self.spares_unmade.checked_sub(1)?;
            Some(vec![0; self.buffer_bytes].into_boxed_slice())
        })
    }

    /// Hands the buffer (or, if it is pinned, the spare in its place) back to the kernel.
    pub(crate) fn give_back(&mut self, filled: Filled) {
        self.provide(filled.bid, filled.memory);
    }
}

impl Drop for ReceiveBuffers {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout; the ring that read it is gone.
        unsafe { dealloc(self.entries.as_ptr().cast(), self.layout) };
    }
}

impl std::fmt::Debug for ReceiveBuffers {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ReceiveBuffers")
            .field("group", &self.group)
            .field("in_kernel", &self.in_kernel)
            .field("copied_out", &self.copied_out)
            .finish_non_exhaustive()
    }
}
