//! A message of a soak: who sent it, its place among those of its sender, and content that follows from both.
//!
//! A receiver knows what each message must look like, so a damaged one, or parts of two, cannot pass.

/// Shortest message: sender and place, and some content.
pub(crate) const MESSAGE_BYTES_MIN: usize = 16;
/// Sender and place.
const HEADER_BYTES: usize = 12;

/// Where a message belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The number of its sender.
    pub(crate) sender: u32,
    /// How many that sender has got accepted before it.
    pub(crate) sequence: u64,
}

impl Place {
    /// Fills `message`, of at least [`MESSAGE_BYTES_MIN`].
    pub(crate) fn encode(self, message: &mut [u8]) {
        message[..4].copy_from_slice(&self.sender.to_le_bytes());
        message[4..HEADER_BYTES].copy_from_slice(&self.sequence.to_le_bytes());
        for (word, bytes) in self.words().zip(message[HEADER_BYTES..].chunks_mut(8)) {
            bytes.copy_from_slice(&word.to_le_bytes()[..bytes.len()]);
        }
    }

    /// Where a message belongs; none if any byte of it is not as it was sent.
    pub(crate) fn decode(message: &[u8]) -> Option<Self> {
        let (sender, rest) = message.split_first_chunk()?;
        let (sequence, content) = rest.split_first_chunk()?;
        let place = Self {
            sender: u32::from_le_bytes(*sender),
            sequence: u64::from_le_bytes(*sequence),
        };
        let is_whole = |(word, bytes): (u64, &[u8])| *bytes == word.to_le_bytes()[..bytes.len()];
        let whole = place.words().zip(content.chunks(8)).all(is_whole);
        (whole && message.len() >= MESSAGE_BYTES_MIN).then_some(place)
    }

    /// The content: a different one for each place, without an end.
    fn words(self) -> impl Iterator<Item = u64> {
        let mut state = u64::from(self.sender).wrapping_mul(0xd134_2543_de82_ef95) ^ self.sequence;
        std::iter::repeat_with(move || {
            // splitmix64.
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = state;
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            word ^ (word >> 31)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_as_it_was_sent_and_no_byte_of_it_can_change() {
        for bytes in [MESSAGE_BYTES_MIN, 17, 64, 1_001] {
            let place = Place {
                sender: 3,
                sequence: 70_000_000_000,
            };
            let mut message = vec![0; bytes];
            place.encode(&mut message);
            assert_eq!(Place::decode(&message), Some(place));
            for at in 0..bytes {
                message[at] ^= 0x10;
                assert_eq!(Place::decode(&message), None, "byte {at} of {bytes}");
                message[at] ^= 0x10;
            }
        }
    }

    #[test]
    fn what_is_too_short_is_damaged() {
        let mut message = [0; MESSAGE_BYTES_MIN];
        let place = Place {
            sender: 0,
            sequence: 0,
        };
        place.encode(&mut message);
        for bytes in 0..MESSAGE_BYTES_MIN {
            assert_eq!(Place::decode(&message[..bytes]), None);
        }
    }
}
