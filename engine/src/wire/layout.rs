//! The bytes of the handshake messages, in the layout of each version.
//!
//! Each is a fixed prefix of 8 bytes (magic, version, length of the body; never to change in any
//! version) and a postcard body. There is exactly one encoding of each message: whatever is not
//! byte for byte what this file would write is malformed. A Refuse has the same body in every
//! version, so that any two nodes can tell each other why they part. Called by `handshake.rs`; this
//! file never buffers and decides nothing.
use serde::{Deserialize, Serialize};

use super::endings::Endings;
use super::hello::{
    HandshakeMessage, Hello, REFUSE_TEXT_BYTES_MAX, Refuse, SESSION_PLAIN, Welcome,
    WelcomeExtensible,
};
use super::name::Name;
use super::parameters::{ParameterError, Parameters};
use super::progress::Progress;
use super::terms::ChannelTerms;
use super::version::{VERSION_EXTENSIBLE, VersionRange};

/// The first bytes of every connection, in both directions.
pub const MAGIC: [u8; 4] = *b"OVLN";

/// The first bytes of every connection whose session is `psk`.
pub const PSK_MAGIC: [u8; 4] = *b"OVLP";

/// What a stranger may make a node read for the handshake of a session: room for a chain of a few certificates.
pub const SESSION_HANDSHAKE_BYTES_MAX: usize = 16 << 10;

/// Whether a connection that begins with that byte speaks TLS: change of cipher, alert, handshake, data, heartbeat.
#[must_use]
pub const fn is_tls_record(first: u8) -> bool {
    matches!(first, 20..=24)
}

/// Bytes in front of each handshake message: magic, version, length of the body.
pub const PREFIX_BYTES: usize = 8;

/// The largest body of a handshake message. The largest that can be written has under 4,000 bytes.
pub const HANDSHAKE_BODY_BYTES_MAX: usize = 4096;

/// A body that is not the one encoding of a handshake message; the text says what is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedBody {
    /// A field cannot be read.
    #[error("a handshake message cannot be read: {0}")]
    Field(&'static str),
    /// A channel parameter cannot be read.
    #[error("a handshake message cannot be read: {0}")]
    Parameter(#[from] ParameterError),
}

#[derive(Serialize, Deserialize)]
enum BodyV1 {
    Hello(HelloV1),
    Welcome(WelcomeV1),
    Refuse(RefuseBody),
}

#[derive(Serialize, Deserialize)]
struct HelloV1 {
    cluster: Name,
    node: Name,
    incarnation: u64,
    expected_node: Option<Name>,
    channel: Name,
    priority: u8,
    reliability: Name,
    ordering: Name,
    parallelism: u16,
    body_bytes_max: u32,
    compression: Name,
    lane: u16,
}

#[derive(Serialize, Deserialize)]
struct WelcomeV1 {
    node: Name,
    incarnation: u64,
}

#[derive(Serialize, Deserialize)]
enum BodyV2 {
    Hello(HelloV2),
    Welcome(WelcomeV2),
    Refuse(RefuseBody),
}

#[derive(Serialize, Deserialize)]
struct HelloV2 {
    version_min: u16,
    version_max: u16,
    cluster: Name,
    node: Name,
    incarnation: u64,
    expected_node: Option<Name>,
    channel: Name,
    lane: u16,
    priority: u8,
    session: Name,
    progress: Progress,
    parameters: Parameters,
}

#[derive(Serialize, Deserialize)]
struct WelcomeV2 {
    node: Name,
    incarnation: u64,
    session: Name,
    progress: Progress,
    parameters: Parameters,
}

#[derive(Serialize, Deserialize)]
struct RefuseBody {
    code: u16,
    #[serde(deserialize_with = "read_refuse_text")]
    text: String,
}

impl HandshakeMessage {
    /// The message as it goes over the wire, prefix included.
    ///
    /// # Panics
    /// If a Hello or a Welcome has more unknown parameters than fit beside the known ones, which
    /// none has that this version makes or reads.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let version = self.layout_version();
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&version.to_le_bytes());
        bytes.extend_from_slice(&[0; 2]);
        let encoded = if version < VERSION_EXTENSIBLE {
            postcard::to_extend(&self.body_v1(), bytes)
        } else {
            postcard::to_extend(&self.body_v2(), bytes)
        };
        let mut bytes = encoded.expect("names, numbers and a bounded text always have an encoding");
        let body_bytes = bytes.len() - PREFIX_BYTES;
        assert!(
            body_bytes <= HANDSHAKE_BODY_BYTES_MAX,
            "names, numbers and a bounded map are below 4096 bytes"
        );
        let body_bytes = u16::try_from(body_bytes).expect("it was just checked");
        bytes[6..PREFIX_BYTES].copy_from_slice(&body_bytes.to_le_bytes());
        bytes
    }

    /// Reads the body of a message, which is all that follows the prefix; `version` is the one that
    /// the prefix states, of those that this node speaks.
    ///
    /// # Errors
    /// [`MalformedBody`] if this is not exactly what [`HandshakeMessage::encode`] writes.
    pub fn decode_body(version: u16, body: &[u8]) -> Result<Self, MalformedBody> {
        let message = if version < VERSION_EXTENSIBLE {
            from_v1(version, take_all(body)?)
        } else {
            from_v2(version, take_all(body)?)?
        };
        if message.layout_version() != version {
            return Err(MalformedBody::Field(
                "the versions that it offers are not those of its prefix",
            ));
        }
        if message.encode()[PREFIX_BYTES..] != *body {
            return Err(MalformedBody::Field(
                "a number is written with more bytes than it needs",
            ));
        }
        Ok(message)
    }

    /// The version that the prefix states.
    const fn layout_version(&self) -> u16 {
        match self {
            Self::Hello(hello) => hello.layout_version(),
            Self::Welcome(welcome) => welcome.version,
            Self::Refuse(refuse) => refuse.version(),
        }
    }

    fn body_v1(&self) -> BodyV1 {
        match self {
            Self::Hello(hello) => BodyV1::Hello(HelloV1 {
                cluster: hello.cluster.clone(),
                node: hello.node.clone(),
                incarnation: hello.incarnation,
                expected_node: hello.expected_node.clone(),
                channel: hello.channel.clone(),
                priority: hello.priority,
                reliability: hello.terms.reliability.clone(),
                ordering: hello.terms.ordering.clone(),
                parallelism: hello.terms.parallelism,
                body_bytes_max: hello.terms.body_bytes_max,
                compression: hello.terms.compression.clone(),
                lane: hello.lane,
            }),
            Self::Welcome(welcome) => BodyV1::Welcome(WelcomeV1 {
                node: welcome.node.clone(),
                incarnation: welcome.incarnation,
            }),
            Self::Refuse(refuse) => BodyV1::Refuse(refuse_body(refuse)),
        }
    }

    fn body_v2(&self) -> BodyV2 {
        match self {
            Self::Hello(hello) => BodyV2::Hello(HelloV2 {
                version_min: hello.versions.min,
                version_max: hello.versions.max,
                cluster: hello.cluster.clone(),
                node: hello.node.clone(),
                incarnation: hello.incarnation,
                expected_node: hello.expected_node.clone(),
                channel: hello.channel.clone(),
                lane: hello.lane,
                priority: hello.priority,
                session: hello.session.clone(),
                progress: hello.progress.clone(),
                parameters: with_known(&hello.unknown, &hello.progress.endings, &hello.terms),
            }),
            Self::Welcome(welcome) => {
                let extensible = welcome.extensible.as_ref();
                let extensible = extensible.expect("a Welcome of version 2 has all of its parts");
                BodyV2::Welcome(WelcomeV2 {
                    node: welcome.node.clone(),
                    incarnation: welcome.incarnation,
                    session: extensible.session.clone(),
                    progress: extensible.progress.clone(),
                    parameters: with_known(
                        &extensible.unknown,
                        &extensible.progress.endings,
                        &extensible.terms,
                    ),
                })
            }
            Self::Refuse(refuse) => BodyV2::Refuse(refuse_body(refuse)),
        }
    }
}

fn from_v1(version: u16, body: BodyV1) -> HandshakeMessage {
    match body {
        BodyV1::Hello(hello) => HandshakeMessage::Hello(Box::new(Hello {
            versions: VersionRange::only(version),
            cluster: hello.cluster,
            node: hello.node,
            incarnation: hello.incarnation,
            expected_node: hello.expected_node,
            channel: hello.channel,
            lane: hello.lane,
            priority: hello.priority,
            session: Name::new(SESSION_PLAIN).expect("it is a name"),
            progress: Progress::default(),
            terms: ChannelTerms {
                reliability: hello.reliability,
                ordering: hello.ordering,
                compression: hello.compression,
                parallelism: hello.parallelism,
                body_bytes_max: hello.body_bytes_max,
                // Not stated: the acceptor's own bound is the smaller.
                mailboxes_max: u32::MAX,
                fragments: false,
                large_bytes_max: 0,
            },
            unknown: Parameters::default(),
        })),
        BodyV1::Welcome(welcome) => HandshakeMessage::Welcome(Welcome {
            version,
            node: welcome.node,
            incarnation: welcome.incarnation,
            extensible: None,
        }),
        BodyV1::Refuse(refuse) => read_refuse(version, refuse),
    }
}

fn from_v2(version: u16, body: BodyV2) -> Result<HandshakeMessage, MalformedBody> {
    Ok(match body {
        BodyV2::Hello(mut hello) => HandshakeMessage::Hello(Box::new(Hello {
            versions: read_versions(hello.version_min, hello.version_max)?,
            cluster: hello.cluster,
            node: hello.node,
            incarnation: hello.incarnation,
            expected_node: hello.expected_node,
            channel: hello.channel,
            lane: hello.lane,
            priority: hello.priority,
            session: hello.session,
            progress: read_progress(hello.progress, &mut hello.parameters)?,
            terms: ChannelTerms::take_from(&mut hello.parameters)?,
            unknown: hello.parameters,
        })),
        BodyV2::Welcome(mut welcome) => HandshakeMessage::Welcome(Welcome {
            version,
            node: welcome.node,
            incarnation: welcome.incarnation,
            extensible: Some(Box::new(WelcomeExtensible {
                session: welcome.session,
                progress: read_progress(welcome.progress, &mut welcome.parameters)?,
                terms: ChannelTerms::take_from(&mut welcome.parameters)?,
                unknown: welcome.parameters,
            })),
        }),
        BodyV2::Refuse(refuse) => read_refuse(version, refuse),
    })
}

fn read_versions(min: u16, max: u16) -> Result<VersionRange, MalformedBody> {
    if min == 0 || min > max {
        return Err(MalformedBody::Field("the range of versions is empty"));
    }
    Ok(VersionRange { min, max })
}

/// The counts, and what the parameters say beside them.
fn read_progress(counts: Progress, parameters: &mut Parameters) -> Result<Progress, MalformedBody> {
    let progress = Progress {
        endings: Endings::take_from(parameters)?,
        ..counts
    };
    if progress.is_consistent() {
        Ok(progress)
    } else {
        Err(MalformedBody::Field(
            "the counts of processed messages contradict each other",
        ))
    }
}

fn with_known(unknown: &Parameters, endings: &Endings, terms: &ChannelTerms) -> Parameters {
    let mut parameters = unknown.clone();
    endings
        .write_to(&mut parameters)
        .and_then(|()| terms.write_to(&mut parameters))
        .expect("unknown parameters that were read leave room for the known ones");
    parameters
}

fn refuse_body(refuse: &Refuse) -> RefuseBody {
    RefuseBody {
        code: refuse.code(),
        text: refuse.text().to_owned(),
    }
}

fn read_refuse(version: u16, body: RefuseBody) -> HandshakeMessage {
    HandshakeMessage::Refuse(Refuse::read(version, body.code, body.text))
}

fn take_all<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, MalformedBody> {
    let (read, rest) = postcard::take_from_bytes(body).map_err(|error| describe(&error))?;
    if rest.is_empty() {
        Ok(read)
    } else {
        Err(MalformedBody::Field(
            "bytes are left over after the last field",
        ))
    }
}

fn describe(error: &postcard::Error) -> MalformedBody {
    MalformedBody::Field(match error {
        postcard::Error::DeserializeUnexpectedEnd => "it ends in the middle of a field",
        postcard::Error::DeserializeBadUtf8 => "a text is not UTF-8",
        postcard::Error::DeserializeBadVarint => "a number is too large for its field",
        postcard::Error::DeserializeBadOption => "an optional field is neither absent nor present",
        postcard::Error::SerdeDeCustom => {
            "it is of an unknown kind, a name or text in it is empty, too long, or has control \
             characters, or its parameters are too many or out of order"
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
