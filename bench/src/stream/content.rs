//! The bytes that a run carries, and the hash of what passes: the same for both ways.
//!
//! One block of a BLAKE3 output stream, which cannot be compressed. Each chunk begins elsewhere in it, so that chunks
//! in another order are other bytes. It is made before anything is timed, and no way pays for a copy of it.

use bytes::Bytes;

use super::protocol::Order;

/// What the block is made from; another one would be other bytes.
const SEED: &[u8] = b"overlane-bench stream 1";
/// Where chunks begin. Both ways read from here while they write, as from a file in memory.
const BLOCK_BYTES: usize = 4 << 20;
/// From the begin of a chunk to that of the next: an odd number of cache lines, so that 65,536 chunks go by before two
/// are the same.
const STEP_BYTES: usize = 1021 * 64;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Content {
    block: Bytes,
    chunk_bytes: usize,
}

impl Content {
    pub(super) fn in_chunks_of(chunk_bytes: usize) -> Self {
        let mut block = vec![0; BLOCK_BYTES + chunk_bytes];
        let mut content = blake3::Hasher::new().update(SEED).finalize_xof();
        content.fill(&mut block);
        Self {
            block: block.into(),
            chunk_bytes,
        }
    }

    /// The first `bytes` of it, in chunks of which the last may be shorter.
    pub(super) fn chunks(&self, bytes: u64) -> impl Iterator<Item = Bytes> {
        let (mut left, mut begin) = (bytes, 0);
        std::iter::from_fn(move || {
            if left == 0 {
                return None;
            }
            let whole = usize::try_from(left).unwrap_or(usize::MAX);
            let length = whole.min(self.chunk_bytes);
            let chunk = self.block.slice(begin..begin + length);
            begin = (begin + STEP_BYTES) % BLOCK_BYTES;
            left -= length as u64;
            Some(chunk)
        })
    }
}

/// BLAKE3 of what passes, as `overlane send-file` has it; of nothing where the order does not ask for it.
#[derive(Debug)]
pub(super) struct Hashing(Option<blake3::Hasher>);

impl Hashing {
    pub(super) fn of(order: &Order) -> Self {
        Self(order.hashed.then(blake3::Hasher::new))
    }

    pub(super) fn take(&mut self, bytes: &[u8]) {
        if let Some(hasher) = &mut self.0 {
            hasher.update(bytes);
        }
    }

    /// The hash of all that passed, as text.
    pub(super) fn end(self) -> Option<String> {
        self.0.map(|hasher| hasher.finalize().to_hex().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chunks_are_as_long_as_asked_for_together() {
        let content = Content::in_chunks_of(1_000);
        let lengths: Vec<usize> = content.chunks(2_500).map(|chunk| chunk.len()).collect();
        assert_eq!(lengths, [1_000, 1_000, 500]);
        assert_eq!(content.chunks(0).count(), 0);
    }

    #[test]
    fn no_chunk_is_like_another_one_of_a_gibibyte() {
        let content = Content::in_chunks_of(64);
        let chunks = (1_u64 << 30) / (16 << 10);
        let different: std::collections::HashSet<Bytes> = content.chunks(64 * chunks).collect();
        assert_eq!(different.len() as u64, chunks);
    }
}
