//! The ring through which a shard provides receive buffers to the kernel: one for each class.
//!
//! Owned by `receive_buffers.rs`, for one data ring. It holds the buffers that lie in it.
//!
//! Why they can be freed while receives are under way, as they are when a shard panics: the kernel
//! takes a buffer only in the moment in which it copies into it, which, with DEFER_TASKRUN, is within
//! a call of this thread. So nothing is being filled when `drop` takes the ring back, and a receive
//! that goes on after that finds no buffers. If the kernel does not give it back, it is leaked.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

use super::Memory;

const PAGE_BYTES: usize = 4096;

// From the kernel's interface (linux/io_uring.h): the crate takes a ring back only through its own
// handle of the data ring, which may be gone.
const UNREGISTER_BUFFER_RING: libc::c_uint = 23;

/// `struct io_uring_buf_reg`.
#[repr(C)]
#[derive(Default)]
struct Registration {
    address: u64,
    entries: u32,
    group: u16,
    flags: u16,
    reserved: [u64; 3],
}

/// A registered ring of provided buffers.
pub(super) struct BufferRing {
    entries: NonNull<BufRingEntry>,
    layout: Layout,
    mask: u16,
    tail: u16,
    group: u16,
    /// What the kernel may fill or has filled, by number.
    slots: Vec<Option<Memory>>,
    /// The data ring it is registered with.
    ring: Rc<OwnedFd>,
}

impl BufferRing {
    /// `count` entries, a power of two, at most 32,768.
    pub(super) fn new(
        submitter: &Submitter<'_>,
        ring: Rc<OwnedFd>,
        group: u16,
        count: u16,
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
        // SAFETY: the entries are page aligned, `count` long, and freed only in `drop`, once they are
        // taken back. If this fails the kernel has kept nothing of them.
        let registered =
            unsafe { submitter.register_buf_ring_with_flags(raw as u64, count, group, 0) };
        if let Err(error) = registered {
            // SAFETY: allocated above with this layout.
            unsafe { dealloc(raw, layout) };
            return Err(error);
        }
        Ok(Self {
            entries,
            layout,
            mask: count - 1,
            tail: 0,
            group,
            slots: (0..count).map(|_| None).collect(),
            ring,
        })
    }

    /// The kernel may fill `memory` from now on, and names it by `bid` when it has.
    pub(super) fn provide(&mut self, bid: u16, mut memory: Memory) {
        let index = usize::from(self.tail & self.mask);
        // SAFETY: index is below count by the mask; the kernel reads an entry only after the tail
        // store below has published it, and this thread is the only writer.
        let entry = unsafe { &mut *self.entries.as_ptr().add(index) };
        entry.set_addr(memory.as_mut_ptr() as u64);
        entry.set_len(u32::try_from(memory.len()).unwrap_or(u32::MAX));
        entry.set_bid(bid);
        self.slots[usize::from(bid)] = Some(memory);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: `tail` points at the tail field inside the first entry of a live ring.
        unsafe {
            let tail = BufRingEntry::tail(self.entries.as_ptr()).cast::<AtomicU16>();
            (*tail).store(self.tail, Ordering::Release);
        }
    }
}

impl BufferRing {
    /// The buffer that the kernel named.
    pub(super) fn take(&mut self, bid: u16) -> Option<Memory> {
        self.slots.get_mut(usize::from(bid))?.take()
    }

    fn unregister(&self) -> bool {
        let registration = Registration {
            group: self.group,
            ..Registration::default()
        };
        // SAFETY: `registration` is the structure that this call reads, alive for the call.
        let done = unsafe {
            libc::syscall(
                libc::SYS_io_uring_register,
                self.ring.as_raw_fd(),
                UNREGISTER_BUFFER_RING,
                &raw const registration,
                1,
            )
        };
        done == 0
    }
}

impl Drop for BufferRing {
    fn drop(&mut self) {
        if self.unregister() {
            // SAFETY: allocated in `new` with this layout, and the kernel has it no more.
            unsafe { dealloc(self.entries.as_ptr().cast(), self.layout) };
        } else {
            std::mem::forget(std::mem::take(&mut self.slots));
        }
    }
}
