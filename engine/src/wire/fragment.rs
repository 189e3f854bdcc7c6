//! Fragments: a message that is too large to go out at once, in pieces between which other frames go.
//!
//! The first states how large the message is, its extension included, and begins with that; the others are the
//! bytes that follow. At most one message of a lane is in fragments at a time. Only on a lane both of whose
//! ends take them ([`ChannelTerms::fragments`](super::ChannelTerms)). Their headers are read by `frame.rs` and
//! written by the shard's outbox; the bytes themselves are for the shard to put together.

/// What the first fragment says ahead of its bytes.
pub const FIRST_FRAGMENT_BYTES: usize = 4;

/// In that word: the message begins with an extension.
const EXTENDED_BIT: u32 = 1 << 31;

/// The header of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// The mailbox id of the message.
    pub word: u32,
    /// Of the first: what it says of the message.
    pub first: Option<FirstFragment>,
    /// Bytes of the message that follow.
    pub bytes: usize,
}

/// What the first fragment says of its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstFragment {
    /// All bytes of it, with the extension if there is one: below 2^31.
    pub message_bytes: u32,
    /// Whether it begins with an extension.
    pub is_extended: bool,
}

impl FirstFragment {
    /// As it stands ahead of the first bytes of the message.
    #[must_use]
    pub const fn encode(self) -> [u8; FIRST_FRAGMENT_BYTES] {
        let extended = if self.is_extended { EXTENDED_BIT } else { 0 };
        (self.message_bytes | extended).to_le_bytes()
    }

    /// Reads it; nothing is checked.
    #[must_use]
    pub const fn decode(bytes: [u8; FIRST_FRAGMENT_BYTES]) -> Self {
        let word = u32::from_le_bytes(bytes);
        Self {
            message_bytes: word & !EXTENDED_BIT,
            is_extended: word & EXTENDED_BIT != 0,
        }
    }
}
