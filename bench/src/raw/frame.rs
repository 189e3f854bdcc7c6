//! The framing of `raw`: as much work for each message as the engine's frames ask for.
//!
//! Eight bytes before each payload: length in the low 24 bits and kind in the high 8 of one
//! little-endian word, then a mailbox word. The sender copies header and payload into a batch, the
//! receiver checks each field and hands the payload on in place.

/// Bytes before each payload.
pub(crate) const HEADER_BYTES: usize = 8;
/// Longest payload that a header can say; longer ones are refused by the command line.
pub(crate) const PAYLOAD_BYTES_MAX: usize = (1 << 24) - 1;
/// The only kind there is: a message.
const KIND_MESSAGE: u8 = 1;
/// The only mailbox there is.
const MAILBOX: u32 = 7;

/// A frame that no sender of ours wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a raw frame with kind {kind} and mailbox {mailbox}: another program is on this port")]
pub(crate) struct ForeignFrame {
    kind: u8,
    mailbox: u32,
}

/// Appends one frame to a batch.
#[inline]
pub(crate) fn encode(batch: &mut Vec<u8>, payload: &[u8]) {
    debug_assert!(payload.len() <= PAYLOAD_BYTES_MAX);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the command line refused longer payloads"
    )]
    let length = payload.len() as u32;
    batch.extend_from_slice(&(length | (u32::from(KIND_MESSAGE) << 24)).to_le_bytes());
    batch.extend_from_slice(&MAILBOX.to_le_bytes());
    batch.extend_from_slice(payload);
}

/// Takes the first frame off `bytes`: its payload, or `None` while it is not whole.
#[inline]
pub(crate) fn decode<'a>(bytes: &mut &'a [u8]) -> Result<Option<&'a [u8]>, ForeignFrame> {
    let Some((header, rest)) = bytes.split_at_checked(HEADER_BYTES) else {
        return Ok(None);
    };
    let word = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
    let mailbox = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
    let [.., kind] = word.to_le_bytes();
    if kind != KIND_MESSAGE || mailbox != MAILBOX {
        return Err(ForeignFrame { kind, mailbox });
    }
    let length = (word & 0x00ff_ffff) as usize;
    let Some((payload, rest)) = rest.split_at_checked(length) else {
        return Ok(None);
    };
    *bytes = rest;
    Ok(Some(payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_all_sizes_come_out_as_they_went_in() {
        let payloads: Vec<Vec<u8>> = [0, 1, 63, 64, 65_536]
            .iter()
            .map(|&length| vec![7_u8; length])
            .collect();
        let mut batch = Vec::new();
        for payload in &payloads {
            encode(&mut batch, payload);
        }
        let mut rest = batch.as_slice();
        for payload in &payloads {
            assert_eq!(decode(&mut rest).unwrap(), Some(payload.as_slice()));
        }
        assert!(rest.is_empty());
    }

    #[test]
    fn a_frame_that_is_not_whole_is_left_alone() {
        let mut batch = Vec::new();
        encode(&mut batch, &[1, 2, 3]);
        for length in 0..batch.len() {
            let mut part = &batch[..length];
            assert_eq!(decode(&mut part), Ok(None));
            assert_eq!(part.len(), length);
        }
    }

    #[test]
    fn a_foreign_frame_is_refused() {
        let mut bytes: &[u8] = b"GET / HTTP/1.1\r\n\r\n";
        assert!(decode(&mut bytes).is_err());
    }
}
