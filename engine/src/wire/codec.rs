//! How batches may be compressed on a lane, and how much a compressed frame may stand for.
//!
//! Named in the terms of a lane; `frame.rs` holds each compressed frame against the bounds here before any
//! memory is taken for it. `compression.rs` does the work.

use super::extension::EXTENSION_BYTES_MAX;

/// Bytes that a compressed frame may stand for on a lane of small messages; one message of the lane's
/// largest size always fits.
pub const BATCH_BYTES_MIN: usize = 1 << 20;

/// A compressed frame stands for at most this, and [`EXPANSION_MAX`] times its own length.
pub const EXPANSION_FREE_BYTES: usize = 256 << 10;

/// How many bytes one byte of a compressed frame may stand for beyond [`EXPANSION_FREE_BYTES`]. Twice what
/// lz4 can reach; what zstd makes smaller still is padded.
pub const EXPANSION_MAX: usize = 512;

/// What a frame has beside its payload, at most: its header, and an extension with its length.
pub(super) const FRAME_OVERHEAD_BYTES_MAX: usize = 8 + 2 + EXTENSION_BYTES_MAX;

/// How batches are compressed on a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// The block format of LZ4.
    Lz4,
    /// A frame of Zstandard.
    Zstd,
}

impl Codec {
    /// The codec of that name in the terms of a lane; `None` for `none`, and for one that is not known
    /// here.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "lz4" => Some(Self::Lz4),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// The most bytes that a compressed frame may stand for on a lane with messages of so many bytes.
#[must_use]
pub const fn batch_bytes_max(body_bytes_max: u32) -> usize {
    let one = body_bytes_max as usize + FRAME_OVERHEAD_BYTES_MAX;
    if one > BATCH_BYTES_MIN {
        one
    } else {
        BATCH_BYTES_MIN
    }
}

/// Whether a frame of `compressed_bytes` may stand for `batch_bytes`, on a lane with messages of at most
/// `body_bytes_max`.
#[must_use]
pub const fn check_expansion(
    compressed_bytes: usize,
    batch_bytes: usize,
    body_bytes_max: u32,
) -> bool {
    batch_bytes > compressed_bytes
        && batch_bytes <= batch_bytes_max(body_bytes_max)
        && batch_bytes <= EXPANSION_FREE_BYTES + EXPANSION_MAX * compressed_bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_are_exact() {
        assert_eq!(
            batch_bytes_max(1 << 20),
            (1 << 20) + FRAME_OVERHEAD_BYTES_MAX
        );
        assert_eq!(batch_bytes_max(100), BATCH_BYTES_MIN);
        let most = EXPANSION_FREE_BYTES + 100 * EXPANSION_MAX;
        assert!(check_expansion(100, most, 100));
        assert!(!check_expansion(100, most + 1, 100));
        assert!(check_expansion(1 << 15, BATCH_BYTES_MIN, 100));
        assert!(!check_expansion(1 << 15, BATCH_BYTES_MIN + 1, 100));
        assert!(!check_expansion(100, 100, 100), "then it is sent as it is");
    }
}
