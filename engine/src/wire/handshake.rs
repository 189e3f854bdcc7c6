//! Both ends of the handshake as state machines: bytes in, progress out.
//!
//! The shard that dials owns a [`Dialer`], the acceptor an [`Acceptor`], for one connection each
//! and until it is done. They buffer at most one message (8 + 4096 bytes), fail at the first byte
//! that cannot be right, and leave all bytes after the handshake to the caller. They neither
//! decide whether a lane is wanted (see [`Hello::judge`], [`super::lane_choice`]) nor watch the
//! deadline: both are the caller's.
use super::close::CloseReason;
use super::hello::{Agreed, HandshakeMessage, Hello, Refuse, Welcome, first_mandatory};
use super::layout::{
    HANDSHAKE_BODY_BYTES_MAX, MAGIC, MalformedBody, PREFIX_BYTES, PSK_MAGIC, is_tls_record,
};
use super::name::Name;
use super::terms::ChannelTerms;
use super::version::{VERSION, VersionRange};

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
    /// The other side protects the connection with a session, and this one does not.
    #[error("the other side speaks {came}, this node plain: set `security` to the same on both")]
    OtherSession {
        /// What it speaks.
        came: &'static str,
    },
    /// The other side ends the handshake.
    #[error("the other side refuses: {text}")]
    Refused {
        /// Why.
        reason: CloseReason,
        /// What it says about it.
        text: String,
    },
    /// The other side speaks a version that this node does not.
    #[error(
        "the other side speaks version {came}, this node {}: run the same on both",
        VersionRange::OURS
    )]
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
    /// The acceptor goes by other terms than were offered.
    #[error("the acceptor answered with terms that were not offered: {difference}")]
    OtherTerms {
        /// The first that differs, with both values.
        difference: String,
    },
    /// The acceptor goes by a session or a mandatory parameter that is not known here.
    #[error("{text}")]
    Unknown {
        /// Which of the two it is.
        reason: CloseReason,
        /// What came.
        text: String,
    },
}

impl HandshakeError {
    /// The reason to close the connection with.
    #[must_use]
    pub const fn close_reason(&self) -> CloseReason {
        match self {
            Self::WrongMagic { .. } => CloseReason::WrongMagic,
            Self::OtherSession { .. } => CloseReason::SessionMismatch,
            Self::Refused { reason, .. } => *reason,
            Self::WrongVersion { .. } => CloseReason::WrongVersion,
            Self::TooLarge { .. } => CloseReason::HandshakeTooLarge,
            Self::Malformed(_) => CloseReason::HandshakeMalformed,
            Self::WrongNode { .. } => CloseReason::WrongNode,
            Self::OtherTerms { .. } => CloseReason::ChannelMismatch,
            Self::Unknown { reason, .. } => *reason,
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
        /// What both go by from here on.
        agreed: Agreed,
        /// Bytes of the last input that belonged to the handshake; frames follow.
        consumed_bytes: usize,
    },
    /// The acceptor does not want the lane and closes it.
    Refused {
        /// Why.
        refuse: Refuse,
        /// An older version that both speak, if that is all that was wrong: dial again at once with
        /// [`VersionRange::only`] this one.
        dial_again_in: Option<u16>,
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
        hello: Box<Hello>,
        /// Bytes of the last input that belonged to the handshake; a dialer sends no frames
        /// before the answer, but they may be in the buffer once it has come.
        consumed_bytes: usize,
    },
}

/// The side that dialled.
#[derive(Debug)]
pub struct Dialer {
    hello: Box<Hello>,
    reader: MessageReader,
}

impl Dialer {
    /// A handshake to begin, and the bytes to send first.
    #[must_use]
    pub fn new(hello: Hello) -> (Self, Vec<u8>) {
        let message = HandshakeMessage::Hello(Box::new(hello));
        let bytes = message.encode();
        let HandshakeMessage::Hello(hello) = message else {
            unreachable!("it was made of a Hello");
        };
        let reader = MessageReader::default();
        (Self { hello, reader }, bytes)
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
            HandshakeMessage::Welcome(welcome) => Ok(DialProgress::Welcomed {
                agreed: self.agreed(&welcome)?,
                welcome,
                consumed_bytes,
            }),
            HandshakeMessage::Refuse(refuse) => Ok(DialProgress::Refused {
                dial_again_in: self.older_version(&refuse),
                refuse,
                consumed_bytes,
            }),
            HandshakeMessage::Hello(_) => {
                Err(MalformedBody::Field("a Hello came where Welcome or Refuse is due").into())
            }
        }
    }

    /// What the two go by, if the Welcome is an answer to the Hello at all.
    fn agreed(&self, welcome: &Welcome) -> Result<Agreed, HandshakeError> {
        let version = welcome.version;
        if !self.hello.versions.contains(version) {
            return Err(HandshakeError::WrongVersion { came: version });
        }
        if let Some(expected) = &self.hello.expected_node
            && *expected != welcome.node
        {
            return Err(HandshakeError::WrongNode {
                came: welcome.node.clone(),
                expected: expected.clone(),
            });
        }
        let Some(extensible) = &welcome.extensible else {
            // Version 1 states none: the acceptor's are the dialer's, or it would have refused.
            let terms = ChannelTerms {
                fragments: false,
                large_bytes_max: 0,
                ..self.hello.terms.clone()
            };
            return Ok(Agreed { version, terms });
        };
        if extensible.session != self.hello.session {
            let text = format!(
                "the acceptor goes on with a session of kind {}, this node has {}",
                extensible.session, self.hello.session
            );
            let reason = CloseReason::SessionUnknown;
            return Err(HandshakeError::Unknown { reason, text });
        }
        if let Some(text) = first_mandatory(&extensible.unknown) {
            let reason = CloseReason::ParameterUnknown;
            return Err(HandshakeError::Unknown { reason, text });
        }
        let terms = settle(&extensible.terms, &self.hello.terms)?;
        Ok(Agreed { version, terms })
    }

    /// A node of an older version cannot read the Hello of a newer one, but says which it speaks.
    fn older_version(&self, refuse: &Refuse) -> Option<u16> {
        let older = refuse.version();
        let is_older = older < self.hello.layout_version() && self.hello.versions.contains(older);
        (is_older && refuse.reason() == CloseReason::WrongVersion).then_some(older)
    }
}

/// What the acceptor answered has to be what was offered, or smaller where that is allowed.
fn settle(answered: &ChannelTerms, offered: &ChannelTerms) -> Result<ChannelTerms, HandshakeError> {
    let agreed = answered
        .agree(offered)
        .map_err(|difference| HandshakeError::OtherTerms { difference })?;
    if agreed == *answered {
        return Ok(agreed);
    }
    let difference = format!(
        "compression {}, sizes of {} and {} bytes and {} mailboxes, where {}, {}, {} and {} were offered",
        answered.compression,
        answered.body_bytes_max,
        answered.large_bytes_max,
        answered.mailboxes_max,
        offered.compression,
        offered.body_bytes_max,
        offered.large_bytes_max,
        offered.mailboxes_max
    );
    Err(HandshakeError::OtherTerms { difference })
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
    /// [`HandshakeError`]: answer with the [`Acceptor::refusal`] of it and close the connection.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<AcceptProgress, HandshakeError> {
        match self.reader.receive(bytes)? {
            None => Ok(AcceptProgress::NeedMore),
            Some((HandshakeMessage::Hello(hello), consumed_bytes)) => Ok(AcceptProgress::Done {
                hello,
                consumed_bytes,
            }),
            Some((HandshakeMessage::Refuse(refuse), _)) => Err(HandshakeError::Refused {
                reason: refuse.reason().seen_by_peer(),
                text: refuse.text().to_owned(),
            }),
            Some(_) => Err(MalformedBody::Field("an answer came where a Hello is due").into()),
        }
    }

    /// The answer to bytes that were no good Hello, in the version that they stated.
    #[must_use]
    pub fn refusal(&self, error: &HandshakeError) -> Refuse {
        let version = self.reader.version.unwrap_or(VERSION);
        error.refusal().in_version(version)
    }
}

/// Reads what an acceptor says, in clear, where it refuses before there is a session.
#[derive(Debug, Default)]
pub struct RefusalReader {
    reader: MessageReader,
}

impl RefusalReader {
    /// Takes bytes that came from the acceptor; the refusal once it is whole.
    ///
    /// # Errors
    /// [`HandshakeError`]: it is none.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Option<Refuse>, HandshakeError> {
        match self.reader.receive(bytes)? {
            None => Ok(None),
            Some((HandshakeMessage::Refuse(refuse), _)) => Ok(Some(refuse)),
            Some(_) => Err(MalformedBody::Field("only a Refuse comes in clear").into()),
        }
    }
}

/// Collects one message from a stream. The only buffer of a handshake.
#[derive(Debug, Default)]
struct MessageReader {
    buffer: Vec<u8>,
    /// What the prefix states, once that is known to be one that this node speaks.
    version: Option<u16>,
    finished: bool,
}

impl MessageReader {
    /// The message and how many bytes of `bytes` it took, once it is whole.
    fn receive(
        &mut self,
        bytes: &[u8],
    ) -> Result<Option<(HandshakeMessage, usize)>, HandshakeError> {
        if self.finished {
            return Err(MalformedBody::Field("bytes came after the end of the handshake").into());
        }
        let mut rest = bytes;
        self.take_up_to(PREFIX_BYTES, &mut rest);
        check_magic(&self.buffer)?;
        self.version = check_version(&self.buffer)?;
        let (Some(version), Some(body_bytes)) = (self.version, check_length(&self.buffer)?) else {
            return Ok(None);
        };
        self.take_up_to(PREFIX_BYTES + body_bytes, &mut rest);
        if self.buffer.len() < PREFIX_BYTES + body_bytes {
            return Ok(None);
        }
        self.finished = true;
        let message = HandshakeMessage::decode_body(version, &self.buffer[PREFIX_BYTES..])?;
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

/// Fails at the first byte that cannot be right, so that nothing is waited for in vain.
fn check_magic(buffer: &[u8]) -> Result<(), HandshakeError> {
    match buffer
        .iter()
        .zip(MAGIC)
        .position(|(&came, expected)| came != expected)
    {
        Some(0) if is_tls_record(buffer[0]) => Err(HandshakeError::OtherSession { came: "tls" }),
        Some(_) if buffer.starts_with(&PSK_MAGIC) => {
            Err(HandshakeError::OtherSession { came: "psk" })
        }
        Some(wrong) => Err(HandshakeError::WrongMagic {
            came: buffer[..=wrong].to_vec(),
        }),
        None => Ok(()),
    }
}

/// The stated version, `None` while it has not come.
fn check_version(buffer: &[u8]) -> Result<Option<u16>, HandshakeError> {
    match number_at(buffer, 4) {
        Some(came) if !VersionRange::OURS.contains(came) => {
            Err(HandshakeError::WrongVersion { came })
        }
        version => Ok(version),
    }
}

/// The stated length of the body, `None` while it has not come.
fn check_length(buffer: &[u8]) -> Result<Option<usize>, HandshakeError> {
    let body_bytes = number_at(buffer, 6).map(usize::from);
    match body_bytes {
        Some(body_bytes) if body_bytes > HANDSHAKE_BODY_BYTES_MAX => {
            Err(HandshakeError::TooLarge { body_bytes })
        }
        body_bytes => Ok(body_bytes),
    }
}

fn number_at(buffer: &[u8], at: usize) -> Option<u16> {
    let bytes = buffer.get(at..at + 2)?.first_chunk()?;
    Some(u16::from_le_bytes(*bytes))
}
