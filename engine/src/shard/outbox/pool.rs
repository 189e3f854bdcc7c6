//! Spare buffers for chunks, of two sizes: a chunk begins with a small one, and takes a large one when it has outgrown that.
//!
//! One for each shard, so that lanes share what few of them need at a time; it knows buffers, and no chunks. On lanes to many peers with a message now and
//! then, small buffers are the difference between a few KiB and some MiB.

/// Encoded bytes in one chunk. A batch of this size costs one system call for about 900 messages of
/// 64 bytes, and stays within the second-level cache beside the receive buffers.
pub(crate) const CHUNK_BYTES: usize = 64 * 1024;

/// What a chunk begins with. 4 KiB: copied into a large one in about 100 ns, which is little for the messages that fill it.
pub(super) const SMALL_BYTES: usize = 4 * 1024;

/// Empty buffers of each size kept by a shard for reuse: 256 KiB of small ones and 4 MiB of large ones.
const FREE_MAX: usize = 64;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct ChunkPool {
    small: Shelf,
    large: Shelf,
}

impl Default for ChunkPool {
    fn default() -> Self {
        Self {
            small: Shelf::of(SMALL_BYTES),
            large: Shelf::of(CHUNK_BYTES),
        }
    }
}

impl ChunkPool {
    #[cfg(test)]
    pub(crate) fn room_bytes(&self) -> usize {
        let buffers = self.small.free.iter().chain(&self.large.free);
        buffers.map(Vec::capacity).sum()
    }

    /// An empty buffer for so many bytes, or a large one.
    pub(super) fn buffer_for(&mut self, bytes: usize) -> Vec<u8> {
        if bytes <= SMALL_BYTES {
            self.small.take()
        } else {
            self.large.take()
        }
    }

    /// An empty large buffer, for what a chunk or a session makes.
    pub(super) fn buffer(&mut self) -> Vec<u8> {
        self.large.take()
    }

    /// Takes a buffer back, unless it has become another one than it was.
    pub(super) fn take_back(&mut self, bytes: Vec<u8>) {
        match bytes.capacity() {
            SMALL_BYTES => self.small.put(bytes),
            room if (CHUNK_BYTES..=4 * CHUNK_BYTES).contains(&room) => self.large.put(bytes),
            _ => {}
        }
    }

    /// Gives back what nobody has needed since this was called last.
    pub(crate) fn trim(&mut self) {
        self.small.trim();
        self.large.trim();
    }
}

/// Spare buffers of one size.
#[derive(Debug)]
struct Shelf {
    buffer_bytes: usize,
    free: Vec<Vec<u8>>,
    /// How many were free all the time since the shelf was trimmed.
    unused: usize,
}

impl Shelf {
    const fn of(buffer_bytes: usize) -> Self {
        Self {
            buffer_bytes,
            free: Vec::new(),
            unused: 0,
        }
    }

    fn take(&mut self) -> Vec<u8> {
        let spare = self.free.pop();
        self.unused = self.unused.min(self.free.len());
        spare.unwrap_or_else(|| Vec::with_capacity(self.buffer_bytes))
    }

    fn put(&mut self, mut bytes: Vec<u8>) {
        if self.free.len() < FREE_MAX {
            bytes.clear();
            self.free.push(bytes);
        }
    }

    fn trim(&mut self) {
        drop(self.free.drain(..self.unused));
        self.free.shrink_to_fit();
        self.unused = self.free.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_gives_back_what_was_not_needed_since_it_was_trimmed() {
        for bytes in [1, CHUNK_BYTES] {
            let mut pool = ChunkPool::default();
            let free = |pool: &ChunkPool| pool.small.free.len() + pool.large.free.len();
            let taken: Vec<_> = (0..5).map(|_| pool.buffer_for(bytes)).collect();
            taken.into_iter().for_each(|buffer| pool.take_back(buffer));
            pool.trim();
            assert_eq!(free(&pool), 5, "all were needed");
            let (one, other) = (pool.buffer_for(bytes), pool.buffer_for(bytes));
            pool.take_back(one);
            pool.take_back(other);
            pool.trim();
            assert_eq!(free(&pool), 2, "two were needed at a time");
            pool.trim();
            assert_eq!(free(&pool), 0);
        }
    }
}
