//! The bodies of control frames: what a mailbox announcement, an acknowledgement, a goodbye, a ping and
//! the words about idle and missing lanes carry, appended to the batch being sent and read from a
//! [`Frame`].
//!
//! Called by the lanes of the shard, once per batch or less. Nothing here decides anything:
//! `delivery/` keeps the counts, the lane closes itself.
use super::close::CloseReason;
use super::extension::Extension;
use super::frame::{
    EXTENDED_HEADER_BYTES, Frame, FrameKind, HEADER_BYTES, put_extended_header, put_header,
};

/// An acknowledgement: how far the receiver of a lane's messages has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Messages of this lane processed since it came up, modulo 2^32.
    pub processed: u32,
    /// How many of those that this acknowledgement covers for the first time were refused,
    /// because the mailbox does not exist or they came too late, instead of delivered.
    pub refused: u32,
    /// How many of those refused came too late. Not on a lane of version 1, which has no deadlines.
    pub late: u32,
}

impl Ack {
    /// The most bytes that [`Ack::append_to`] adds.
    pub const BYTES_MAX: usize = HEADER_BYTES + 8;

    /// Appends the frame. Without refused messages, which is nearly always, the body is empty.
    pub fn append_to(self, out: &mut Vec<u8>) {
        let (body, bytes) = self.body();
        append_frame(out, FrameKind::Ack, self.processed, &body[..bytes]);
    }

    /// The body of the frame, and how much of it there is.
    #[must_use]
    pub fn body(self) -> ([u8; 8], usize) {
        let mut body = [0; 8];
        let (refused, late) = body.split_at_mut(4);
        refused.copy_from_slice(&self.refused.to_le_bytes());
        late.copy_from_slice(&self.late.to_le_bytes());
        let bytes = match (self.refused, self.late) {
            (0, 0) => 0,
            (_, 0) => 4,
            _ => 8,
        };
        (body, bytes)
    }

    /// Reads an acknowledgement from a frame of kind [`FrameKind::Ack`].
    #[must_use]
    pub fn from_frame(frame: &Frame<'_>) -> Self {
        let count = |at: usize| {
            let bytes = frame.body.get(at..).and_then(<[u8]>::first_chunk);
            bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
        };
        Self {
            processed: frame.word,
            refused: count(0),
            late: count(4),
        }
    }
}

/// What the two ends of an idle lane say before they close it.
///
/// One proposes; the other agrees if the lane is idle there too, and sends nothing more on it; then the
/// first says Bye, unless it has sent a message since it proposed: then both go on. So neither says Bye
/// with anything under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest {
    /// Tells one proposal from the next: below 2^31.
    pub proposal: u32,
    /// Whether it answers that proposal.
    pub agreed: bool,
}

impl Rest {
    /// The word of the frame.
    #[must_use]
    pub const fn word(self) -> u32 {
        self.proposal << 1 | self.agreed as u32
    }

    /// Reads it from a frame of kind [`FrameKind::Rest`].
    #[must_use]
    pub const fn from_frame(frame: &Frame<'_>) -> Self {
        Self {
            proposal: frame.word >> 1,
            agreed: frame.word & 1 != 0,
        }
    }
}

/// On the control lane: why a lane that the other side needs cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decline {
    /// The lane's index on its channel, whose name is the frame's body.
    pub lane: u16,
    /// Why, from the view of whoever says it.
    pub reason: CloseReason,
}

impl Decline {
    /// The word of the frame.
    #[must_use]
    pub const fn word(self) -> u32 {
        (self.reason.code() as u32) << 16 | self.lane as u32
    }

    /// Reads it from a frame of kind [`FrameKind::Decline`]; the reason is from the view of whoever reads
    /// it. A code of a later version is [`CloseReason::Unrecognised`].
    #[must_use]
    pub fn from_frame(frame: &Frame<'_>) -> Self {
        let [high, low] = [frame.word >> 16, frame.word & 0xFFFF];
        let code = u16::try_from(high).unwrap_or(0);
        Self {
            lane: u16::try_from(low).unwrap_or(u16::MAX),
            reason: CloseReason::from_code(code)
                .map_or(CloseReason::Unrecognised, CloseReason::seen_by_peer),
        }
    }
}

/// Appends a message for the mailbox with this id on the lane.
///
/// # Panics
/// If the payload is above [`super::BODY_BYTES_MAX`], see [`put_header`].
#[inline]
pub fn append_message(out: &mut Vec<u8>, mailbox_id: u32, payload: &[u8]) {
    append_frame(out, FrameKind::Message, mailbox_id, payload);
}

/// Appends a message with an extension, which is left out where it is [`Extension::NONE`]. Not for a
/// lane of version 1.
///
/// # Panics
/// If the payload is above [`super::frame::PAYLOAD_BYTES_MAX`], see [`put_extended_header`].
pub fn append_extended_message(
    out: &mut Vec<u8>,
    mailbox_id: u32,
    extension: Extension<'_>,
    payload: &[u8],
) {
    if extension.is_none() {
        return append_message(out, mailbox_id, payload);
    }
    let mut header = [0; EXTENDED_HEADER_BYTES];
    let payload_bytes = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let kind = FrameKind::Message;
    put_extended_header(&mut header, kind, extension, payload_bytes, mailbox_id);
    out.extend_from_slice(&header);
    out.extend_from_slice(extension.encoded());
    out.extend_from_slice(payload);
}

/// Appends the announcement of a mailbox. `name` must be a checked one.
pub fn append_mailbox(out: &mut Vec<u8>, mailbox_id: u32, name: &str) {
    append_frame(out, FrameKind::Mailbox, mailbox_id, name.as_bytes());
}

/// Appends a goodbye: no message follows, for this reason.
pub fn append_bye(out: &mut Vec<u8>, reason: CloseReason) {
    append_frame(out, FrameKind::Bye, u32::from(reason.code()), &[]);
}

/// Appends a ping. The word comes back in the pong.
pub fn append_ping(out: &mut Vec<u8>, word: u32) {
    append_frame(out, FrameKind::Ping, word, &[]);
}

/// Appends the answer to a ping.
pub fn append_pong(out: &mut Vec<u8>, word: u32) {
    append_frame(out, FrameKind::Pong, word, &[]);
}

/// Why the peer says goodbye, from the view of the node that receives it. A code of a later
/// version is [`CloseReason::Unrecognised`].
#[must_use]
pub fn bye_reason(frame: &Frame<'_>) -> CloseReason {
    u16::try_from(frame.word)
        .ok()
        .and_then(CloseReason::from_code)
        .map_or(CloseReason::Unrecognised, CloseReason::seen_by_peer)
}

#[inline]
fn append_frame(out: &mut Vec<u8>, kind: FrameKind, word: u32, body: &[u8]) {
    let mut header = [0; HEADER_BYTES];
    // A length that does not fit is above the maximum too, so `put_header` refuses it.
    let body_bytes = u32::try_from(body.len()).unwrap_or(u32::MAX);
    put_header(&mut header, kind, body_bytes, word);
    out.extend_from_slice(&header);
    out.extend_from_slice(body);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{FrameLimits, Next, next_frame};

    fn only_frame(bytes: &[u8]) -> Frame<'_> {
        match next_frame(bytes, &FrameLimits::default()) {
            Ok(Next::Frame(frame, consumed_bytes)) if consumed_bytes == bytes.len() => frame,
            other => panic!("not exactly one frame: {other:?}"),
        }
    }

    #[test]
    fn acknowledgements_come_back_as_they_were_written() {
        let counts = [
            (0, 0, 0),
            (7, 0, 0),
            (u32::MAX, 3, 0),
            (5, u32::MAX, 0),
            (9, 3, 2),
        ];
        for (processed, refused, late) in counts {
            let ack = Ack {
                processed,
                refused,
                late,
            };
            let mut bytes = Vec::new();
            ack.append_to(&mut bytes);
            assert!(bytes.len() <= Ack::BYTES_MAX);
            assert_eq!(Ack::from_frame(&only_frame(&bytes)), ack);
        }
    }

    #[test]
    fn words_about_lanes_come_back_as_they_were_written() {
        let frame = |kind, word| Frame {
            kind,
            word,
            extension: Extension::NONE,
            body: b"data",
        };
        for proposal in [0, 1, u32::MAX >> 1] {
            for agreed in [false, true] {
                let rest = Rest { proposal, agreed };
                assert_eq!(Rest::from_frame(&frame(FrameKind::Rest, rest.word())), rest);
            }
        }
        for lane in [0, 7, u16::MAX] {
            let decline = Decline {
                lane,
                reason: CloseReason::LocalStop,
            };
            let read = Decline::from_frame(&frame(FrameKind::Decline, decline.word()));
            assert_eq!((read.lane, read.reason), (lane, CloseReason::PeerStopped));
        }
        let later = Decline::from_frame(&frame(FrameKind::Decline, u32::MAX));
        assert_eq!(later.reason, CloseReason::Unrecognised);
    }

    #[test]
    fn a_goodbye_is_read_from_the_view_of_the_receiver() {
        for (said, heard) in [
            (CloseReason::LocalStop, CloseReason::PeerStopped),
            (CloseReason::Disconnected, CloseReason::PeerDisconnected),
            (CloseReason::BadAck, CloseReason::BadAck),
        ] {
            let mut bytes = Vec::new();
            append_bye(&mut bytes, said);
            assert_eq!(bye_reason(&only_frame(&bytes)), heard);
        }
        for word in [0, 9999, u32::MAX] {
            let frame = Frame {
                kind: FrameKind::Bye,
                word,
                extension: Extension::NONE,
                body: &[],
            };
            assert_eq!(bye_reason(&frame), CloseReason::Unrecognised);
        }
    }
}
