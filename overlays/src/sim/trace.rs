//! The trace: one running hash over everything that happens in a world, and the size that a message
//! would have on the wire. Two runs of one seed must end with the same hash.
//!
//! Both come from one pass of the serializer that writes nothing.

use postcard::ser_flavors::Flavor;
use serde::Serialize;

use super::network::mix;

/// Encoded size in bytes, and a hash of the encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Digest {
    pub(super) bytes: u32,
    pub(super) hash: u64,
}

/// Takes the digest of a message or timer.
pub(super) fn digest<T: Serialize>(value: &T) -> Digest {
    let flavor = Counting { bytes: 0, hash: 0 };
    postcard::serialize_with_flavor(value, flavor).unwrap_or(Digest { bytes: 0, hash: 0 })
}

struct Counting {
    bytes: u32,
    hash: u64,
}

impl Counting {
    const fn absorb(&mut self, word: u64) {
        self.hash = (self.hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Flavor for Counting {
    type Output = Digest;

    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        for chunk in data.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.absorb(u64::from_le_bytes(word));
        }
        self.bytes +=
            u32::try_from(data.len()).map_err(|_| postcard::Error::SerializeBufferFull)?;
        Ok(())
    }

    fn try_push(&mut self, data: u8) -> postcard::Result<()> {
        self.absorb(u64::from(data));
        self.bytes += 1;
        Ok(())
    }

    fn finalize(self) -> postcard::Result<Digest> {
        Ok(Digest {
            bytes: self.bytes,
            hash: self.hash,
        })
    }
}

/// The running hash of a world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Trace(u64);

impl Trace {
    /// Adds one thing that happened: when, where, and a hash of what.
    pub(super) const fn add(&mut self, at: u64, place: u64, what: u64) {
        self.0 = mix(self.0 ^ at.rotate_left(17) ^ place.rotate_left(41) ^ what);
    }

    pub(super) const fn hash(self) -> u64 {
        self.0
    }
}
