//! Compressed batches: some whole frames of a lane, compressed together into one frame.
//!
//! Which codec a lane has is one of its terms. [`Compressor`] is used by the shard that sends a batch,
//! [`Decompressor`] by the one that receives it; both are without any I/O. A compressed frame states how
//! many bytes it stands for, and [`check_expansion`] holds that against the bounds before any memory is
//! taken for them.

use std::fmt;

use lz4_flex::block::{
    CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size,
};

use super::codec::{
    Codec, EXPANSION_FREE_BYTES, EXPANSION_MAX, FRAME_OVERHEAD_BYTES_MAX, check_expansion,
};
use super::frame::{BODY_BYTES_MAX, EXTENSION_BLOCK_BYTES_MAX, HEADER_BYTES};

const _: () = assert!(FRAME_OVERHEAD_BYTES_MAX == HEADER_BYTES + EXTENSION_BLOCK_BYTES_MAX);

/// What a frame begins with that Zstandard passes over; behind it stands its length.
const SKIPPABLE_FRAME: [u8; 4] = 0x184D_2A50_u32.to_le_bytes();

/// The bytes of a compressed frame do not become what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a compressed frame is not what {codec:?} makes of {batch_bytes} bytes")]
pub struct DecompressError {
    /// The codec of the lane.
    pub codec: Codec,
    /// What the frame was to become.
    pub batch_bytes: usize,
}

/// Compresses batches; keeps the memory that its codec works in.
pub enum Compressor {
    /// With the table of matches.
    Lz4(CompressTable),
    /// With the context of the C library.
    Zstd(zstd::bulk::Compressor<'static>),
}

impl Compressor {
    /// For that codec. `level` is that of Zstandard, which takes 1 to 22; LZ4 has none.
    ///
    /// # Errors
    /// Zstandard cannot get the memory for its context.
    pub fn new(codec: Codec, level: i32) -> std::io::Result<Self> {
        match codec {
            Codec::Lz4 => Ok(Self::Lz4(CompressTable::large())),
            Codec::Zstd => zstd::bulk::Compressor::new(level).map(Self::Zstd),
        }
    }

    /// Appends `batch`, compressed, to `out`. False if that fails or could not be sent: `out` is as before.
    pub fn compress(&mut self, batch: &[u8], body_bytes_max: u32, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        let room = match self {
            Self::Lz4(_) => get_maximum_output_size(batch.len()),
            Self::Zstd(_) => zstd::zstd_safe::compress_bound(batch.len()),
        };
        out.resize(start + room, 0);
        let written = match self {
            Self::Lz4(table) => compress_into_with_table(batch, &mut out[start..], table).ok(),
            Self::Zstd(context) => context.compress_to_buffer(batch, &mut out[start..]).ok(),
        };
        out.truncate(start + written.unwrap_or(0));
        if written.is_some() && matches!(self, Self::Zstd(_)) {
            pad(out, start, batch.len());
        }
        let bytes = out.len() - start;
        let fits = bytes <= BODY_BYTES_MAX && check_expansion(bytes, batch.len(), body_bytes_max);
        if !fits {
            out.truncate(start);
        }
        fits
    }
}

/// Makes what stands in `out` from `start` on as long as it has to be to stand for `batch_bytes`.
fn pad(out: &mut Vec<u8>, start: usize, batch_bytes: usize) {
    let least = batch_bytes
        .saturating_sub(EXPANSION_FREE_BYTES)
        .div_ceil(EXPANSION_MAX);
    let missing = least.saturating_sub(out.len() - start);
    if missing > 0 {
        out.extend_from_slice(&SKIPPABLE_FRAME);
        out.extend_from_slice(&u32::try_from(missing).unwrap_or(0).to_le_bytes());
        out.resize(out.len() + missing, 0);
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Lz4(_) => "Compressor(lz4)",
            Self::Zstd(_) => "Compressor(zstd)",
        })
    }
}

/// Decompresses batches; keeps the memory that Zstandard works in, once that is used.
#[derive(Default)]
pub struct Decompressor {
    zstd: Option<zstd::bulk::Decompressor<'static>>,
}

impl Decompressor {
    /// Fills `batch`, whose length is what the frame stated, from the body of the frame.
    ///
    /// # Errors
    /// The body becomes something else: longer, shorter, or nothing at all.
    pub fn decompress(
        &mut self,
        codec: Codec,
        body: &[u8],
        batch: &mut [u8],
    ) -> Result<(), DecompressError> {
        let batch_bytes = batch.len();
        let written = match codec {
            Codec::Lz4 => decompress_into(body, batch).ok(),
            Codec::Zstd => self
                .zstd()
                .and_then(|context| context.decompress_to_buffer(body, batch).ok()),
        };
        match written {
            Some(bytes) if bytes == batch_bytes => Ok(()),
            _ => Err(DecompressError { codec, batch_bytes }),
        }
    }

    fn zstd(&mut self) -> Option<&mut zstd::bulk::Decompressor<'static>> {
        if self.zstd.is_none() {
            self.zstd = zstd::bulk::Decompressor::new().ok();
        }
        self.zstd.as_mut()
    }
}

impl fmt::Debug for Decompressor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Decompressor")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::codec::BATCH_BYTES_MIN;

    const CODECS: [Codec; 2] = [Codec::Lz4, Codec::Zstd];
    const BODY_BYTES_MAX: u32 = 1 << 20;

    fn compressed(codec: Codec, batch: &[u8]) -> Option<Vec<u8>> {
        let mut compressor = Compressor::new(codec, 3).expect("there is memory");
        let mut out = b"before".to_vec();
        let fits = compressor.compress(batch, BODY_BYTES_MAX, &mut out);
        assert!(out.starts_with(b"before"));
        assert_eq!(out.len() > 6, fits);
        fits.then(|| out.split_off(6))
    }

    #[test]
    fn what_repeats_itself_becomes_smaller_and_comes_back() {
        let batch = b"some words that come again, ".repeat(2000);
        for codec in CODECS {
            let body = compressed(codec, &batch).expect("it is smaller");
            assert!(body.len() * 10 < batch.len(), "{codec:?}: {}", body.len());
            let mut back = vec![0; batch.len()];
            let done = Decompressor::default().decompress(codec, &body, &mut back);
            assert_eq!((done, back == batch), (Ok(()), true));
        }
    }

    #[test]
    fn what_does_not_become_smaller_or_stands_for_too_much_is_not_compressed() {
        let mut random = fastrand::Rng::with_seed(7);
        let noise: Vec<u8> = (0..10_000).map(|_| random.u8(..)).collect();
        for codec in CODECS {
            assert_eq!(compressed(codec, &noise), None);
            assert_eq!(compressed(codec, &[]), None);
            assert_eq!(compressed(codec, &vec![0; BATCH_BYTES_MIN + 4096]), None);
        }
        // As much of nothing as may be stated at once.
        let zeros = vec![0; EXPANSION_FREE_BYTES];
        assert!(
            CODECS
                .iter()
                .all(|codec| compressed(*codec, &zeros).is_some())
        );
    }

    #[test]
    fn what_becomes_almost_nothing_is_padded_to_the_bound() {
        let zeros = vec![0; 1 << 20];
        for codec in CODECS {
            let body = compressed(codec, &zeros).expect("it is smaller");
            assert!(check_expansion(body.len(), zeros.len(), BODY_BYTES_MAX));
            assert!(body.len() < 5000, "{codec:?}: {}", body.len());
            let mut back = vec![1; zeros.len()];
            let done = Decompressor::default().decompress(codec, &body, &mut back);
            assert_eq!((done, back == zeros), (Ok(()), true));
        }
    }

    #[test]
    fn a_body_that_becomes_more_or_less_than_stated_is_refused() {
        let batch = b"some words that come again, ".repeat(100);
        for codec in CODECS {
            let body = compressed(codec, &batch).expect("it is smaller");
            for bytes in [0, 1, batch.len() - 1, batch.len() + 1, 1 << 20] {
                let done = Decompressor::default().decompress(codec, &body, &mut vec![0; bytes]);
                let batch_bytes = bytes;
                assert_eq!(done, Err(DecompressError { codec, batch_bytes }));
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_decompressed_or_refused(
            body in prop::collection::vec(any::<u8>(), 0..300),
            batch_bytes in 0..5000_usize,
        ) {
            for codec in CODECS {
                let mut batch = vec![0; batch_bytes];
                let _ = Decompressor::default().decompress(codec, &body, &mut batch);
            }
        }

        #[test]
        fn any_batch_comes_back(piece in prop::collection::vec(0..4_u8, 100..1700)) {
            // lz4 makes nothing smaller of few bytes in which no piece comes again.
            let batch = piece.repeat(3);
            for codec in CODECS {
                let body = compressed(codec, &batch).expect("two thirds of it come again");
                let mut back = vec![0; batch.len()];
                let done = Decompressor::default().decompress(codec, &body, &mut back);
                prop_assert_eq!((done, &back), (Ok(()), &batch));
            }
        }
    }
}
