//! Payloads that say what they are: numbered in a stream, filled with a pattern, and the checker that
//! finds what is lost, doubled, out of order or damaged.

use std::collections::HashMap;

/// Bytes of the stream and the number, before the filling.
pub const HEAD_BYTES: usize = 16;

/// Message `number` of `stream`, `bytes` long in all (at least [`HEAD_BYTES`]).
pub fn numbered(stream: u64, number: u64, bytes: usize) -> Vec<u8> {
    let mut payload = Vec::with_capacity(bytes.max(HEAD_BYTES));
    payload.extend_from_slice(&stream.to_le_bytes());
    payload.extend_from_slice(&number.to_le_bytes());
    let filling = pattern(stream ^ number.rotate_left(32));
    payload.extend(filling.take(bytes.saturating_sub(HEAD_BYTES)));
    payload
}

/// Reads what [`numbered`] wrote, and checks the filling.
pub fn read_numbered(payload: &[u8]) -> (u64, u64) {
    let word = |at: usize| {
        let bytes = payload[at..at + 8].try_into().expect("eight bytes");
        u64::from_le_bytes(bytes)
    };
    let (stream, number) = (word(0), word(8));
    let filling = pattern(stream ^ number.rotate_left(32));
    assert!(
        filling
            .zip(&payload[HEAD_BYTES..])
            .all(|(right, found)| right == *found),
        "message {number} of stream {stream} ({} bytes) is damaged",
        payload.len()
    );
    (stream, number)
}

/// `bytes` bytes without a head, which differ from one `seed` to the next.
pub fn filled(seed: u64, bytes: usize) -> Vec<u8> {
    pattern(seed).take(bytes).collect()
}

fn pattern(seed: u64) -> impl Iterator<Item = u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    std::iter::repeat_with(move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_be_bytes()[0]
    })
}

/// What has come of each stream so far.
#[derive(Clone, Debug, Default)]
pub struct Streams {
    next: HashMap<u64, u64>,
    received: u64,
    skipped: u64,
}

impl Streams {
    /// Takes a message, checks it, and that its stream goes on: without a gap.
    pub fn take(&mut self, payload: &[u8]) -> (u64, u64) {
        let (stream, number) = self.take_after_gap(payload);
        assert_eq!(self.skipped, 0, "stream {stream} has a gap before {number}");
        (stream, number)
    }

    /// The same where messages may have been lost: order and uniqueness are still checked.
    pub fn take_after_gap(&mut self, payload: &[u8]) -> (u64, u64) {
        let (stream, number) = read_numbered(payload);
        let next = self.next.entry(stream).or_default();
        assert!(
            number >= *next,
            "message {number} of stream {stream} came doubled or late: {next} is next"
        );
        self.skipped += number - *next;
        *next = number + 1;
        self.received += 1;
        (stream, number)
    }

    /// Messages taken.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The number after the last one of a stream.
    pub fn next(&self, stream: u64) -> u64 {
        self.next.get(&stream).copied().unwrap_or(0)
    }
}
