//! Both ends of the handshake as state machines: bytes in, progress out.
//!
//! The shard that dials owns a [`Dialer`], the acceptor an [`Acceptor`], for one connection each
//! and until it is done. They buffer at most one message (8 + 4096 bytes), fail at the first byte
//! that cannot be right, and leave all bytes after the handshake to the caller. They neither
//! decide whether a lane is wanted (see [`Hello::judge`], [`super::lane_choice`]) nor watch the
//! deadline: both are the caller's.
use super::close::CloseReason;
use super::hello::{
    HANDSHAKE_BODY_BYTES_MAX, HandshakeMessage, Hello, MAGIC, MalformedBody, PREFIX_BYTES, Refuse,
    VERSION, Welcome,
};
use super::name::Name;

/// Why a handshake failed. Each says what came and what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The connection does not begin as one of Overlane.
    #[error(
        "the connection began with {} instead of \"OVLN\": something else than Overlane is at the \
         other end", came.escape_ascii()
    )]
    WrongMagic {
        /// What came up to the first wrong byte.
        came: Vec<u8>,
    },
    /// The other side speaks another version.
    #[error("the other side speaks version {came}, this node {VERSION}: run the same on both")]
    WrongVersion {
        /// Its version.
        came: u16,
    },
    /// The message is over the limit.
    #[error("a handshake message of {body_bytes} bytes was announced, the limit is 4096")]
    TooLarge {
        /// The stated length of its body.
        body_bytes: usize,
    },
    /// The message cannot be read.
    #[error(transparent)]
    Malformed(#[from] MalformedBody),
    /// The node that answered is not the one that was dialled.
    #[error("dialled node {expected}, but {came} answered: correct the address of {expected}")]
    WrongNode {
        /// Who answered.
        came: Name,
        /// Who was meant.
        expected: Name,
    },
}

impl HandshakeError {
    /// The reason to close the connection with.
    #[must_use]
    pub const fn close_reason(&self) -> CloseReason {
        match self {
            Self::WrongMagic { .. } => CloseReason::WrongMagic,
            Self::WrongVersion { .. } => CloseReason::WrongVersion,
            Self::TooLarge { .. } => CloseReason::HandshakeTooLarge,
            Self::Malformed(_) => CloseReason::HandshakeMalformed,
            Self::WrongNode { .. } => CloseReason::WrongNode,
        }
    }

    /// The answer that lets the other side log the same reason.
    #[must_use]
    pub fn refusal(&self) -> Refuse {
        Refuse::new(self.close_reason(), &self.to_string())
    }
}

/// How far the dialer's side of a handshake is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialProgress {
    /// All bytes were taken and the answer is not complete.
    NeedMore,
    /// The lane is up.
    Welcomed {
        /// Who answered.
        welcome: Welcome,
        /// Bytes of the last input that belonged to the handshake; frames follow.
        consumed_bytes: usize,
    },
    /// The acceptor does not want the lane and closes it.
    Refused {
        /// Why.
        refuse: Refuse,
        /// Bytes of the last input that belonged to the handshake.
        consumed_bytes: usize,
    },
}

/// How far the acceptor's side of a handshake is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AcceptProgress {
    /// All bytes were taken and the Hello is not complete.
    NeedMore,
    /// The Hello is whole; it is for the caller to answer.
    Done {
        /// What the dialer wants.
        hello: Hello,
        /// Bytes of the last input that belonged to the handshake; a dialer sends no frames
        /// before the answer, but they may be in the buffer once it has come.
        consumed_bytes: usize,
    },
}

/// The side that dialled.
#[derive(Debug)]
pub struct Dialer {
    expected_node: Option<Name>,
    reader: MessageReader,
}

impl Dialer {
    /// A handshake to begin, and the bytes to send first.
    #[must_use]
    pub fn new(hello: Hello) -> (Self, Vec<u8>) {
        let expected_node = hello.expected_node.clone();
        let bytes = HandshakeMessage::Hello(hello).encode();
        (
            Self {
                expected_node,
                reader: MessageReader::default(),
            },
            bytes,
        )
    }

    /// Takes bytes that came from the acceptor.
    ///
    /// # Errors
    /// [`HandshakeError`]: close the connection with its reason. A [`HandshakeError::refusal`] may
    /// be sent first.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<DialProgress, HandshakeError> {
        let Some((message, consumed_bytes)) = self.reader.receive(bytes)? else {
            return Ok(DialProgress::NeedMore);
        };
        match message {
            HandshakeMessage::Welcome(welcome) => {
                if let Some(expected) = self.expected_node.take()
                    && expected != welcome.node
                {
                    return Err(HandshakeError::WrongNode {
                        came: welcome.node,
                        expected,
                    });
                }
                Ok(DialProgress::Welcomed {
                    welcome,
                    consumed_bytes,
                })
            }
            HandshakeMessage::Refuse(refuse) => Ok(DialProgress::Refused {
                refuse,
                consumed_bytes,
            }),
            HandshakeMessage::Hello(_) => {
                Err(MalformedBody("a Hello came where Welcome or Refuse is due").into())
            }
        }
    }
}

/// The side that accepted the connection.
#[derive(Debug, Default)]
pub struct Acceptor {
    reader: MessageReader,
}

impl Acceptor {
    /// A handshake that waits for its Hello.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes that came from the dialer.
    ///
    /// # Errors
    /// [`HandshakeError`]: answer with its [`HandshakeError::refusal`] and close the connection.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<AcceptProgress, HandshakeError> {
        match self.reader.receive(bytes)? {
            None => Ok(AcceptProgress::NeedMore),
            Some((HandshakeMessage::Hello(hello), consumed_bytes)) => Ok(AcceptProgress::Done {
                hello,
                consumed_bytes,
            }),
            Some(_) => Err(MalformedBody("an answer came where a Hello is due").into()),
        }
    }
}

/// Collects one message from a stream. The only buffer of a handshake.
#[derive(Debug, Default)]
struct MessageReader {
    buffer: Vec<u8>,
    finished: bool,
}

impl MessageReader {
    /// The message and how many bytes of `bytes` it took, once it is whole.
    fn receive(
        &mut self,
        bytes: &[u8],
    ) -> Result<Option<(HandshakeMessage, usize)>, HandshakeError> {
        if self.finished {
            return Err(MalformedBody("bytes came after the end of the handshake").into());
        }
        let mut rest = bytes;
        self.take_up_to(PREFIX_BYTES, &mut rest);
        let Some(body_bytes) = check_prefix(&self.buffer)? else {
            return Ok(None);
        };
        self.take_up_to(PREFIX_BYTES + body_bytes, &mut rest);
        if self.buffer.len() < PREFIX_BYTES + body_bytes {
            return Ok(None);
        }
        self.finished = true;
        let message = HandshakeMessage::decode_body(&self.buffer[PREFIX_BYTES..])?;
        Ok(Some((message, bytes.len() - rest.len())))
    }

    /// Moves bytes from `rest` until the buffer has `length` of them.
    fn take_up_to(&mut self, length: usize, rest: &mut &[u8]) {
        let missing = length.saturating_sub(self.buffer.len());
        let (taken, left) = rest.split_at(missing.min(rest.len()));
        self.buffer.extend_from_slice(taken);
        *rest = left;
    }
}

/// The stated length of the body, `None` while the prefix is incomplete. Fails at the first byte
/// that cannot be right, so that nothing is waited for in vain.
fn check_prefix(buffer: &[u8]) -> Result<Option<usize>, HandshakeError> {
    if let Some(wrong) = buffer
        .iter()
        .zip(MAGIC)
        .position(|(&came, expected)| came != expected)
    {
        return Err(HandshakeError::WrongMagic {
            came: buffer[..=wrong].to_vec(),
        });
    }
    let Some(&[version_low, version_high]) = buffer.get(4..6).and_then(|bytes| bytes.first_chunk())
    else {
        return Ok(None);
    };
    let came = u16::from_le_bytes([version_low, version_high]);
    if came != VERSION {
        return Err(HandshakeError::WrongVersion { came });
    }
    let Some(&[length_low, length_high]) = buffer.get(6..8).and_then(|bytes| bytes.first_chunk())
    else {
        return Ok(None);
    };
    let body_bytes = usize::from(u16::from_le_bytes([length_low, length_high]));
    if body_bytes > HANDSHAKE_BODY_BYTES_MAX {
        return Err(HandshakeError::TooLarge { body_bytes });
    }
    Ok(Some(body_bytes))
}
