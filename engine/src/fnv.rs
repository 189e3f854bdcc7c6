//! A hash that is the same on every node and in every version: it spreads names over shards, and makes the
//! numbers by which protocols of the cluster know nodes. It need not resist anybody.

/// FNV-1a, 64 bits (Fowler, Noll, Vo).
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
