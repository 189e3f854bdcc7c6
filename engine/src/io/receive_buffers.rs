//! The receive buffers of one priority class, provided to the shard's backend.
//!
//! Owned by a data shard, one for each priority its channels use, so that bulk traffic cannot eat
//! the buffers of heartbeats. The number of buffers *is* the receiving side's quantum: in one
//! `enter` no more can be received than what lies here. A buffer is out from the completion that
//! names it until [`ReceiveBuffers::give_back`]; a payload that an application keeps pins it, and a
//! spare takes its place, until the spares are used up and payloads are copied out instead.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};

use super::Memory;
use super::backend::ShardIo;
use super::buffer_ring::BufferRing;
use super::poll::PolledBuffers;

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

/// A buffer that was filled, on its way through the shard.
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

/// Where buffers lie that the backend may fill.
enum Provided {
    Uring(BufferRing),
    Poll(Rc<RefCell<PolledBuffers>>),
}

impl Provided {
    fn provide(&mut self, bid: u16, memory: Memory) {
        match self {
            Self::Uring(ring) => ring.provide(bid, memory),
            Self::Poll(buffers) => buffers.borrow_mut().provide(bid, memory),
        }
    }

    fn take(&mut self, bid: u16) -> Option<Memory> {
        match self {
            Self::Uring(ring) => ring.take(bid),
            Self::Poll(buffers) => buffers.borrow_mut().take(bid),
        }
    }
}

/// The buffers of one class.
pub(crate) struct ReceiveBuffers {
    provided: Provided,
    group: u16,
    buffer_bytes: usize,
    spares: Vec<Memory>,
    spares_unmade: usize,
    home: (Sender<Memory>, Receiver<Memory>),
    unfilled: usize,
    copied_out: u64,
}

impl ReceiveBuffers {
    /// `count` buffers (a power of two, at most 32,768) of `buffer_bytes`, and as many spares, made
    /// when first needed.
    pub(crate) fn new(
        backend: &mut ShardIo,
        group: u16,
        count: u16,
        buffer_bytes: usize,
    ) -> io::Result<Self> {
        let provided = match backend {
            ShardIo::Uring(ring) => Provided::Uring(ring.buffer_ring(group, count)?),
            ShardIo::Poll(set) => Provided::Poll(set.add_group(count)),
        };
        let mut made = Self {
            provided,
            group,
            buffer_bytes,
            spares: Vec::new(),
            spares_unmade: usize::from(count),
            home: bounded(usize::from(count) * 2),
            unfilled: 0,
            copied_out: 0,
        };
        for bid in 0..count {
            made.provide(bid, vec![0; buffer_bytes].into_boxed_slice());
        }
        Ok(made)
    }

    pub(crate) fn group(&self) -> u16 {
        self.group
    }

    /// The size of each buffer.
    pub(crate) fn buffer_bytes(&self) -> usize {
        self.buffer_bytes
    }

    /// Buffers that can be filled now.
    pub(crate) fn unfilled(&self) -> usize {
        self.unfilled
    }

    /// Payloads copied because too many buffers were held by the application.
    pub(crate) fn copied_out(&self) -> u64 {
        self.copied_out
    }

    fn provide(&mut self, bid: u16, memory: Memory) {
        self.provided.provide(bid, memory);
        self.unfilled += 1;
    }

    /// The buffer that completion named; `None` if it does not have that one.
    pub(crate) fn take(&mut self, bid: u16, bytes: usize) -> Option<Filled> {
        let memory = self.provided.take(bid)?;
        self.unfilled -= 1;
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

    /// Gives back the spares that lie here; they are made again when they are needed.
    pub(crate) fn trim(&mut self) {
        self.spares.extend(self.home.1.try_iter());
        self.spares_unmade += self.spares.len();
        self.spares = Vec::new();
    }

    /// Hands the buffer (or, if it is pinned, the spare in its place) back, to be filled again.
    pub(crate) fn give_back(&mut self, filled: Filled) {
        self.provide(filled.bid, filled.memory);
    }
}

impl std::fmt::Debug for ReceiveBuffers {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ReceiveBuffers")
            .field("group", &self.group)
            .field("unfilled", &self.unfilled)
            .field("copied_out", &self.copied_out)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::backend::Backend;
    use super::*;

    const COUNT: u16 = 4;

    /// Pins as many buffers as there are spares for; what the application holds.
    fn pin_all(buffers: &mut ReceiveBuffers) -> Vec<Bytes> {
        (0..COUNT)
            .map(|bid| {
                let mut filled = buffers.take(bid, 10).expect("it lies there");
                let kept = buffers.keep(&mut filled, 0, 10);
                buffers.give_back(filled);
                kept
            })
            .collect()
    }

    #[test]
    fn spares_that_nobody_needs_are_given_back_and_made_again() {
        let mut io = ShardIo::new(Backend::Uring, 16).expect("this machine has io_uring");
        let mut buffers = ReceiveBuffers::new(&mut io, 0, COUNT, 4096).expect("buffers");
        let bound = usize::from(COUNT);
        for _ in 0..3 {
            assert_eq!((buffers.spares_unmade, buffers.spares.len()), (bound, 0));
            let held = pin_all(&mut buffers);
            assert_eq!(buffers.spares_unmade, 0, "each has a spare in its place");
            // What is held cannot be given back, and beyond the spares payloads are copied.
            buffers.trim();
            let copied = buffers.copied_out();
            let mut filled = buffers.take(0, 10).expect("it lies there");
            drop(buffers.keep(&mut filled, 0, 10));
            buffers.give_back(filled);
            assert_eq!(buffers.copied_out(), copied + 1);
            drop(held);
            buffers.trim();
            assert_eq!(buffers.spares.capacity(), 0, "their list too");
        }
        assert_eq!(buffers.unfilled(), bound);
        assert!(io.close(), "nothing is under way");
    }
}
