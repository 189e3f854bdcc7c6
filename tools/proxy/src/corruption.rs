//! Damage: now and then one bit of what passes is flipped, at places that follow from a seed.
//!
//! One for each direction of each connection, owned by its reading thread (pipe.rs). TCP checksums do not see
//! it, because TCP ends at the proxy: whoever reads has to.

use std::num::NonZeroU64;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Corruption {
    random: fastrand::Rng,
    /// Bytes that pass unharmed before the next that does not, and the mean distance that was drawn from.
    next: Option<(u64, NonZeroU64)>,
}

impl Corruption {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            next: None,
        }
    }

    /// Damages one byte in `every`, on average; returns how many of these.
    pub(crate) fn pass(&mut self, bytes: &mut [u8], every: Option<NonZeroU64>) -> u64 {
        let Some(every) = every else {
            return 0;
        };
        let mut damaged = 0;
        let mut rest = bytes;
        loop {
            let unharmed = match self.next {
                Some((unharmed, drawn_from)) if drawn_from == every => unharmed,
                _ => self
                    .random
                    .u64(0..every.get().saturating_mul(2).saturating_sub(1).max(1)),
            };
            let place = usize::try_from(unharmed).unwrap_or(usize::MAX);
            if place >= rest.len() {
                self.next = Some((unharmed - rest.len() as u64, every));
                return damaged;
            }
            rest[place] ^= 1 << self.random.u32(0..8);
            damaged += 1;
            self.next = None;
            rest = &mut rest[place + 1..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where `total` bytes are damaged that pass in pieces of `piece`.
    fn places(seed: u64, every: u64, piece: usize, total: usize) -> Vec<usize> {
        let mut corruption = Corruption::new(seed);
        let mut bytes = vec![0; total];
        let pieces = bytes.chunks_mut(piece);
        let damaged: u64 = pieces
            .map(|piece| corruption.pass(piece, NonZeroU64::new(every)))
            .sum();
        let flipped = |byte: &u8| byte.count_ones() == 1;
        assert_eq!(
            bytes.iter().filter(|byte| flipped(byte)).count() as u64,
            damaged
        );
        (0..total).filter(|place| bytes[*place] != 0).collect()
    }

    #[test]
    fn the_places_follow_from_the_seed_and_not_from_the_pieces() {
        let first = places(7, 100, 1, 50_000);
        assert_eq!(first, places(7, 100, 1_000, 50_000));
        assert_ne!(first, places(8, 100, 1_000, 50_000));
        assert!((300..800).contains(&first.len()), "{}", first.len());
    }

    #[test]
    fn every_byte_or_none() {
        assert_eq!(places(1, 1, 10, 10_000).len(), 10_000);
        let mut bytes = [0; 10];
        assert_eq!(Corruption::new(1).pass(&mut bytes, None), 0);
        assert_eq!(bytes, [0; 10]);
    }
}
