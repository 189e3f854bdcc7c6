//! What a frame is: one byte of its header.

use std::fmt;

/// Kinds from here up are optional: a receiver that does not know one skips the frame.
pub const OPTIONAL_KIND_BIT: u8 = 0x80;

/// Set in the kind of a frame whose body begins with an extension. Optional kinds have it without a
/// meaning: a receiver that does not know the kind skips the extension with the rest.
pub const EXTENDED_KIND_BIT: u8 = 0x40;

/// What a frame is. Zero is no kind, so that a run of zero bytes is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FrameKind {
    /// A message: the word is the mailbox id on this lane, the body is the payload.
    Message = 1,
    /// A mailbox announced: the word is its id on this lane, the body is its name.
    Mailbox = 2,
    /// Messages acknowledged: the word is their cumulative count modulo 2^32.
    Ack = 3,
    /// The sender will send no more messages: the word is the code of a [`CloseReason`](crate::wire::CloseReason).
    Bye = 4,
    /// Asks for a [`FrameKind::Pong`] with the same word.
    Ping = 5,
    /// Answers a [`FrameKind::Ping`] with its word.
    Pong = 6,
    /// Some whole frames, compressed: the word is how many bytes they take, the body is what the lane's codec
    /// makes of them. Only on a lane that has one ([`crate::wire::compression`]).
    Compressed = 7,
    /// A large message begins: the word is the mailbox id on this lane, the body its length and the first of
    /// its bytes ([`crate::wire::fragment`]). Only on a lane that has fragments.
    FirstFragment = 8,
    /// It goes on: the word is as in its first fragment, the body is what follows.
    Fragment = 9,
    /// The lane is idle: the sender proposes to close it, or agrees ([`crate::wire::control::Rest`]).
    Rest = 0x81,
    /// On the control lane: the sender needs another lane and cannot dial it. The word is the lane's
    /// index, the body the name of its channel.
    Summon = 0x82,
    /// On the control lane: the lane that the other side needs cannot be made
    /// ([`crate::wire::control::Decline`]).
    Decline = 0x83,
    /// Fragments of messages that are not complete yet have come: the word is the cumulative count of their
    /// bytes modulo 2^32.
    FragmentAck = 0x84,
    /// On a causal channel: messages up to a number come no more, of the sender to the receiver of this frame, or of
    /// others to its sender ([`crate::wire::causes::Told`]).
    Settled = 0x85,
    /// On a causal channel: asks which messages of others the receiver of this frame has.
    AskSettled = 0x86,
}

impl FrameKind {
    /// The kind that a header's byte stands for, or `None` for one that this version lacks.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Message),
            2 => Some(Self::Mailbox),
            3 => Some(Self::Ack),
            4 => Some(Self::Bye),
            5 => Some(Self::Ping),
            6 => Some(Self::Pong),
            7 => Some(Self::Compressed),
            8 => Some(Self::FirstFragment),
            9 => Some(Self::Fragment),
            0x81 => Some(Self::Rest),
            0x82 => Some(Self::Summon),
            0x83 => Some(Self::Decline),
            0x84 => Some(Self::FragmentAck),
            0x85 => Some(Self::Settled),
            0x86 => Some(Self::AskSettled),
            _ => None,
        }
    }

    /// The byte that stands for this kind in a header.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for FrameKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Message => "message",
            Self::Mailbox => "mailbox",
            Self::Ack => "ack",
            Self::Bye => "bye",
            Self::Ping => "ping",
            Self::Pong => "pong",
            Self::Compressed => "compressed",
            Self::FirstFragment => "first fragment",
            Self::Fragment => "fragment",
            Self::Rest => "rest",
            Self::Summon => "summon",
            Self::Decline => "decline",
            Self::FragmentAck => "fragment ack",
            Self::Settled => "settled",
            Self::AskSettled => "ask settled",
        })
    }
}
