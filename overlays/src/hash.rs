//! Hashes that are equal on every node, whatever built it. Not cryptographic.

use serde::Serialize;

/// A hash that is equal on every node, whatever built it: FNV-1a over the encoding, then mixed so
/// that sums of hashes of near values do not cancel out.
pub(crate) fn hash_of<T: Serialize>(value: &T) -> u64 {
    let mut buffer = [0_u8; 96];
    let encoded: &[u8] = match postcard::to_slice(value, &mut buffer) {
        Ok(encoded) => encoded,
        // An identity of more than 80 bytes: correct all the same, with an allocation.
        Err(_) => return postcard::to_stdvec(value).map_or(0, |bytes| mix(fnv1a(&bytes))),
    };
    mix(fnv1a(encoded))
}

/// FNV-1a, 64 bits.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The finaliser of splitmix64.
pub(crate) const fn mix(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}
