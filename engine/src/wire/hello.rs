//! The three handshake messages: Hello from the dialer, Welcome or Refuse back; and whether a Hello
//! is one to welcome.
//!
//! Their bytes, in the layout of each version, are `layout.rs`; reading them from a stream, with its
//! bounds and errors, is `handshake.rs`. Which of several connections is kept is `lane_choice.rs`.
use super::close::CloseReason;
use super::codec::Codec;
use super::frame::FrameLimits;
use super::name::Name;
use super::parameters::Parameters;
use super::progress::Progress;
use super::terms::ChannelTerms;
use super::version::{VERSION, VERSION_EXTENSIBLE, VersionRange};

/// The longest text of a [`Refuse`], in bytes.
pub const REFUSE_TEXT_BYTES_MAX: usize = 512;

/// The session of connections that have none: bytes go over them as they are. The others are `tls` and `psk`.
pub const SESSION_PLAIN: &str = "plain";

/// A Hello for this channel asks for the name of the node that it reaches, and for no lane: the answer is a
/// Welcome, and the acceptor closes. No channel can have the name.
pub const WHO: &str = "overlane.who";

/// A handshake message. The variant is the first byte of the body: 0, 1, 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandshakeMessage {
    /// Who dials, and for which lane.
    Hello(Box<Hello>),
    /// The lane is up.
    Welcome(Welcome),
    /// The lane is refused, and why.
    Refuse(Refuse),
}

/// What a dialer says first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The versions that the dialer offers. The Hello is written in the layout of version 1 if that
    /// is the only one, and in that of version 2 otherwise.
    pub versions: VersionRange,
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
    /// Which of the channel's parallel lanes this is, from 0.
    pub lane: u16,
    /// The priority that the dialer gives the channel, 0 to 7. No term: each end serves the lane by
    /// its own. Version 1 wants them equal.
    pub priority: u8,
    /// How the connection is protected: [`SESSION_PLAIN`], `tls` or `psk`. Not in version 1, which is plain.
    pub session: Name,
    /// How far the dialer is with the lane's earlier connections. Not in version 1.
    pub progress: Progress,
    /// What both ends have to settle.
    pub terms: ChannelTerms,
    /// Parameters that this version does not know. Not in version 1.
    pub unknown: Parameters,
}

/// What an acceptor answers to a Hello that it accepts. Frames follow at once, both ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The version that both speak from here on.
    pub version: u16,
    /// The acceptor's own name.
    pub node: Name,
    /// Grows each time that node starts.
    pub incarnation: u64,
    /// What version 1 does not have.
    pub extensible: Option<Box<WelcomeExtensible>>,
}

impl Welcome {
    /// How far the peer had come before; a version 1 resumes nothing.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let extensible = self.extensible.as_ref();
        extensible
            .map(|extensible| extensible.progress.clone())
            .unwrap_or_default()
    }
}

/// The part of a Welcome that came with version 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WelcomeExtensible {
    /// The kind of session that follows: the dialer's.
    pub session: Name,
    /// How far the acceptor is with the lane's earlier connections.
    pub progress: Progress,
    /// What both go by.
    pub terms: ChannelTerms,
    /// Parameters that this version does not know.
    pub unknown: Parameters,
}

/// What a node answers before it closes a connection that it does not accept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refuse {
    version: u16,
    code: u16,
    text: String,
}

/// What both ends of a lane go by once its handshake is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The version that both speak.
    pub version: u16,
    /// The terms, with the smaller of both sizes.
    pub terms: ChannelTerms,
}

/// What a node needs to know of itself to judge a [`Hello`].
#[derive(Clone, Copy, Debug)]
pub struct LocalNode<'a> {
    /// The cluster that this node belongs to.
    pub cluster: &'a str,
    /// This node's name.
    pub name: &'a str,
    /// The session that its connections have.
    pub session: &'a str,
}

impl Agreed {
    /// What two nodes of this version with the same terms go by.
    #[must_use]
    pub const fn among_equals(terms: ChannelTerms) -> Self {
        Self {
            version: VERSION,
            terms,
        }
    }

    /// What a receiver accepts on the lane.
    #[must_use]
    pub fn frame_limits(&self) -> FrameLimits {
        FrameLimits {
            body_bytes_max: self.terms.body_bytes_max,
            extensions: self.version >= VERSION_EXTENSIBLE,
            codec: Codec::from_name(&self.terms.compression),
            fragments: self.terms.fragments,
        }
    }

    /// Whether a mailbox id of the lane can be announced again, with another name.
    #[must_use]
    pub const fn reuses_mailbox_ids(&self) -> bool {
        self.version >= VERSION_EXTENSIBLE
    }
}

impl Refuse {
    /// A refusal. Control characters in the text become spaces, and what is over
    /// [`REFUSE_TEXT_BYTES_MAX`] is cut off.
    #[must_use]
    pub fn new(reason: CloseReason, text: &str) -> Self {
        let mut text = text.replace(char::is_control, " ");
        text.truncate(text.floor_char_boundary(REFUSE_TEXT_BYTES_MAX));
        Self {
            version: VERSION,
            code: reason.code(),
            text,
        }
    }

    /// The same, stating that version: a node reads an answer of the versions that it knows, so the
    /// answer to a Hello states the Hello's.
    #[must_use]
    pub fn in_version(self, version: u16) -> Self {
        Self { version, ..self }
    }

    pub(super) fn read(version: u16, code: u16, text: String) -> Self {
        Self {
            version,
            code,
            text,
        }
    }

    /// The version that the refusing node speaks to this one.
    #[must_use]
    pub const fn version(&self) -> u16 {
        self.version
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
    /// The version in whose layout this Hello is written, and in which a refusal of it is.
    #[must_use]
    pub const fn layout_version(&self) -> u16 {
        if self.versions.max < VERSION_EXTENSIBLE {
            self.versions.max
        } else {
            VERSION_EXTENSIBLE
        }
    }

    /// Whether this node may have that lane at all: the checks that need no knowledge of other
    /// lanes. `terms` are this node's for the channel of the Hello, `None` if it has none of that
    /// name. Which connection is kept is for [`super::lane_choice::keep`] to say.
    ///
    /// # Errors
    /// The [`Refuse`] to answer with, naming what came and what was expected.
    pub fn judge(
        &self,
        local: LocalNode<'_>,
        terms: Option<&ChannelTerms>,
    ) -> Result<Agreed, Refuse> {
        self.examine(local, terms)
            .map_err(|(reason, text)| Refuse::new(reason, &text).in_version(self.layout_version()))
    }

    fn examine(
        &self,
        local: LocalNode<'_>,
        terms: Option<&ChannelTerms>,
    ) -> Result<Agreed, (CloseReason, String)> {
        let Some(version) = VersionRange::OURS.highest_common(self.versions) else {
            let (ours, theirs) = (VersionRange::OURS, self.versions);
            let text = format!("the dialer speaks versions {theirs}, this node {ours}");
            return Err((CloseReason::WrongVersion, text));
        };
        self.examine_names(local)?;
        self.examine_unknown(local)?;
        let Some(terms) = terms else {
            let text = format!("node {} has no channel {}", local.name, self.channel);
            return Err((CloseReason::ChannelUnknown, text));
        };
        let agreed = if version < VERSION_EXTENSIBLE {
            terms.agree_with_version_1(&self.terms)
        } else {
            terms.agree(&self.terms)
        };
        let terms = agreed.map_err(|difference| {
            let text = format!("channel {}: {difference}", self.channel);
            (CloseReason::ChannelMismatch, text)
        })?;
        if self.lane >= terms.parallelism {
            let (lane, lanes) = (self.lane, terms.parallelism);
            let text = format!(
                "channel {} has {lanes} lanes, there is no {lane}",
                self.channel
            );
            return Err((CloseReason::LaneOutOfRange, text));
        }
        Ok(Agreed { version, terms })
    }

    fn examine_names(&self, local: LocalNode<'_>) -> Result<(), (CloseReason, String)> {
        if self.cluster.as_str() != local.cluster {
            let text = format!(
                "the cluster is {}, the dialer's is {}",
                local.cluster, self.cluster
            );
            return Err((CloseReason::WrongCluster, text));
        }
        match &self.expected_node {
            Some(expected) if expected.as_str() != local.name => {
                let text = format!("this address is of node {}, not of {expected}", local.name);
                Err((CloseReason::WrongNode, text))
            }
            _ => Ok(()),
        }
    }

    fn examine_unknown(&self, local: LocalNode<'_>) -> Result<(), (CloseReason, String)> {
        if self.session.as_str() != local.session {
            let text = format!(
                "the dialer wants a session of kind {}, this node has {}",
                self.session, local.session
            );
            return Err((CloseReason::SessionUnknown, text));
        }
        match first_mandatory(&self.unknown) {
            Some(text) => Err((CloseReason::ParameterUnknown, text)),
            None => Ok(()),
        }
    }

    /// The answer to this Hello, once it is clear that its connection is kept.
    #[must_use]
    pub fn welcome(
        &self,
        node: Name,
        incarnation: u64,
        progress: Progress,
        agreed: &Agreed,
    ) -> Welcome {
        let extensible = (agreed.version >= VERSION_EXTENSIBLE).then(|| {
            Box::new(WelcomeExtensible {
                session: self.session.clone(),
                progress,
                terms: agreed.terms.clone(),
                unknown: Parameters::default(),
            })
        });
        Welcome {
            version: agreed.version,
            node,
            incarnation,
            extensible,
        }
    }
}

/// Names the first of the parameters that a node must not skip.
pub(super) fn first_mandatory(unknown: &Parameters) -> Option<String> {
    let parameter = unknown.iter().find(|parameter| parameter.mandatory)?;
    let (name, value) = (&parameter.name, &parameter.value);
    Some(format!(
        "parameter {name} ({value}) is mandatory and not known here: run the same version on both"
    ))
}
