//! The three handshake messages and their bytes: Hello from the dialer, Welcome or Refuse back.
//!
//! Each is a fixed prefix of 8 bytes (magic, version, length of the body; never to change in any
//! version) and a postcard body. There is exactly one encoding of each message: whatever is not
//! byte for byte what this file would write is malformed. Reading from a stream, with its bounds
//! and errors, is `handshake.rs`; this file never buffers.
use serde::{Deserialize, Serialize};

use super::close::CloseReason;
use super::name::Name;
use super::terms::ChannelTerms;

/// The first bytes of every connection, in both directions.
pub const MAGIC: [u8; 4] = *b"OVLN";

/// The version of the handshake and of all frames after it.
pub const VERSION: u16 = 1;

/// Bytes in front of each handshake message: magic, version, length of the body.
pub const PREFIX_BYTES: usize = 8;

/// The largest body of a handshake message. The largest that can be written has under 2,000 bytes.
pub const HANDSHAKE_BODY_BYTES_MAX: usize = 4096;

/// The longest text of a [`Refuse`], in bytes.
pub const REFUSE_TEXT_BYTES_MAX: usize = 512;

/// A handshake message. The variant is the first byte of the body: 0, 1, 2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HandshakeMessage {
    /// Who dials, and for which lane.
    Hello(Hello),
    /// The lane is up.
    Welcome(Welcome),
    /// The lane is refused, and why.
    Refuse(Refuse),
}

/// What a dialer says first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The cluster that the dialer belongs to.
    pub cluster: Name,
    /// The dialer's own name.
    pub node: Name,
    /// Grows each time that node starts.
    pub incarnation: u64,
    /// The node that the dialer believes it dials; `None` for a seed node, known by address only.
    pub expected_node: Option<Name>,
    /// The channel that the lane is for.
    pub channel: Name,
    /// How the dialer has that channel configured.
    pub terms: ChannelTerms,
    /// Which of the channel's parallel lanes this is, from 0.
    pub lane: u16,
}

/// What an acceptor answers to a Hello that it accepts. Frames follow at once, both ways.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The acceptor's own name.
    pub node: Name,
    /// Grows each time that node starts.
    pub incarnation: u64,
}

/// What a node answers before it closes a connection that it does not accept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refuse {
    code: u16,
    #[serde(deserialize_with = "read_refuse_text")]
    text: String,
}

/// A body that is not the one encoding of a handshake message; the text says what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a handshake message cannot be read: {0}")]
pub struct MalformedBody(pub &'static str);

/// What a node needs to know of itself to judge a [`Hello`].
#[derive(Clone, Copy, Debug)]
pub struct LocalNode<'a> {
    /// The cluster that this node belongs to.
    pub cluster: &'a str,
    /// This node's name.
    pub name: &'a str,
}

impl Refuse {
    /// A refusal. Control characters in the text become spaces, and what is over
    /// [`REFUSE_TEXT_BYTES_MAX`] is cut off.
    #[must_use]
    pub fn new(reason: CloseReason, text: &str) -> Self {
        let mut text = text.replace(char::is_control, " ");
        text.truncate(text.floor_char_boundary(REFUSE_TEXT_BYTES_MAX));
        Self {
            code: reason.code(),
            text,
        }
    }

    /// Why. A code of a later version is [`CloseReason::Unrecognised`].
    #[must_use]
    pub fn reason(&self) -> CloseReason {
        CloseReason::from_code(self.code).unwrap_or(CloseReason::Unrecognised)
    }

    /// The number of the reason, as it came.
    #[must_use]
    pub const fn code(&self) -> u16 {
        self.code
    }

    /// What a person needs to fix it; safe to print.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl Hello {
    /// Whether this node may have that lane at all: the checks that need no knowledge of other
    /// lanes. `terms` are this node's for the channel of the Hello, `None` if it has none of that
    /// name. Which connection is kept is for [`super::lane_choice::keep`] to say.
    ///
    /// # Errors
    /// The [`Refuse`] to answer with, naming what came and what was expected.
    pub fn judge(&self, local: LocalNode<'_>, terms: Option<&ChannelTerms>) -> Result<(), Refuse> {
        let refuse = |reason, text: String| Err(Refuse::new(reason, &text));
        if self.cluster.as_str() != local.cluster {
            let text = format!(
                "the cluster is {}, the dialer's is {}",
                local.cluster, self.cluster
            );
            return refuse(CloseReason::WrongCluster, text);
        }
        if let Some(expected) = &self.expected_node
            && expected.as_str() != local.name
        {
            let text = format!("this address is of node {}, not of {expected}", local.name);
            return refuse(CloseReason::WrongNode, text);
        }
        let Some(terms) = terms else {
            let text = format!("node {} has no channel {}", local.name, self.channel);
            return refuse(CloseReason::ChannelUnknown, text);
        };
        if let Some(difference) = terms.mismatch(&self.terms) {
            let text = format!("channel {}: {difference}", self.channel);
            return refuse(CloseReason::ChannelMismatch, text);
        }
        if self.lane >= terms.parallelism {
            let (lane, lanes) = (self.lane, terms.parallelism);
            let text = format!(
                "channel {} has {lanes} lanes, there is no {lane}",
                self.channel
            );
            return refuse(CloseReason::LaneOutOfRange, text);
        }
        Ok(())
    }
}

impl HandshakeMessage {
    /// The message as it goes over the wire, prefix included.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 2]);
        let mut bytes = postcard::to_extend(self, bytes)
            .expect("names, numbers and a bounded text always have an encoding");
        let body_bytes = u16::try_from(bytes.len() - PREFIX_BYTES)
            .expect("seven names and a bounded text are far below 4096 bytes");
        bytes[6..PREFIX_BYTES].copy_from_slice(&body_bytes.to_le_bytes());
        bytes
    }

    /// Reads the body of a message, which is all that follows the prefix.
    ///
    /// # Errors
    /// [`MalformedBody`] if this is not exactly what [`HandshakeMessage::encode`] writes.
    pub fn decode_body(body: &[u8]) -> Result<Self, MalformedBody> {
        let (message, rest): (Self, _) = postcard::take_from_bytes(body).map_err(describe)?;
        if !rest.is_empty() {
            return Err(MalformedBody("bytes are left over after the last field"));
        }
        if message.encode()[PREFIX_BYTES..] != *body {
            return Err(MalformedBody(
                "a number is written with more bytes than it needs",
            ));
        }
        Ok(message)
    }
}

fn describe(error: postcard::Error) -> MalformedBody {
    MalformedBody(match error {
        postcard::Error::DeserializeUnexpectedEnd => "it ends in the middle of a field",
        postcard::Error::DeserializeBadUtf8 => "a text is not UTF-8",
        postcard::Error::DeserializeBadVarint => "a number is too large for its field",
        postcard::Error::DeserializeBadOption => "an optional field is neither absent nor present",
        postcard::Error::SerdeDeCustom => {
            "it is of an unknown kind, or a name or text in it is empty, too long, or has control \
             characters"
        }
        _ => "a field has a value that it cannot have",
    })
}

fn read_refuse_text<'de, D: serde::Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    if text.len() > REFUSE_TEXT_BYTES_MAX || text.contains(char::is_control) {
        return Err(serde::de::Error::custom(
            "the text of a refusal is too long or not printable",
        ));
    }
    Ok(text)
}
