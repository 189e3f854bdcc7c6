//! What a message says besides its payload: its type, a few keys with values, how long it is worth anything, where it stands in a trace, and
//! hints which channel it is to go on.
//!
//! Filled in by applications (mostly through an `Envelope`), written in front of the payload by
//! `extended`, read by the receiver. Borrowed and bounded: it allocates nothing, and what is beyond the
//! bounds is refused when the message is sent, before it is accepted.

use std::time::Duration;

use crate::config::{Priority, Reliability};
use crate::deadline::Moment;
pub use crate::wire::extension::METADATA_PAIRS_MAX;
use crate::wire::extension::{Correlation, EXTENSION_BYTES_MAX, Role};
use crate::wire::{ExtensionError, ExtensionWriter, NameError, TraceContext};

/// What a message says besides its payload. Cheap to make, and to use for many messages; see
/// [`Envelope`](crate::Envelope).
#[derive(Clone, Copy, Debug, Default)]
pub struct Attributes<'a> {
    message_type: Option<&'a str>,
    metadata: [(&'a str, &'a [u8]); METADATA_PAIRS_MAX],
    /// How many were given, those that found no room included.
    pairs: usize,
    deadline: Option<Duration>,
    trace: Option<TraceContext>,
    /// The trace was begun by this node.
    is_root_here: bool,
    /// By what number the sender waits for what becomes of the message.
    receipt: Option<u64>,
    /// On a monotonic channel: which messages a newer one stands for.
    key: Option<u64>,
    hints: Hints,
}

/// What a message is to have that its channel does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hints {
    pub(crate) priority: Option<Priority>,
    pub(crate) reliability: Option<Reliability>,
}

impl Hints {
    pub(crate) const fn is_empty(self) -> bool {
        self.priority.is_none() && self.reliability.is_none()
    }
}

/// Why a message cannot say what it was to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttributesError {
    /// There are more key=value pairs than a message takes.
    #[error(
        "a message with {pairs} key=value pairs: at most {METADATA_PAIRS_MAX} are allowed, put the rest into the payload"
    )]
    TooManyPairs {
        /// How many were given.
        pairs: usize,
    },
    /// Type, keys and values take too much together.
    #[error(
        "type, keys and values of a message take {bytes} bytes: at most {EXTENSION_BYTES_MAX} are allowed, put what is large into the payload"
    )]
    TooLarge {
        /// What they take at least, with some bytes around each.
        bytes: usize,
    },
    /// The type is none.
    #[error("the type of a message: {0}")]
    BadType(NameError),
    /// A key is none.
    #[error("a key of a message: {0}")]
    BadKey(NameError),
}

impl<'a> Attributes<'a> {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What the payload is: 1 to 255 bytes of text without control characters, such as a name that both
    /// ends know.
    #[must_use]
    pub const fn message_type(mut self, message_type: &'a str) -> Self {
        self.message_type = Some(message_type);
        self
    }

    /// Adds a key, in form as the type, and a value, any bytes. Keys keep their order, and one that is
    /// there twice is sent twice; at most [`METADATA_PAIRS_MAX`].
    #[must_use]
    pub fn metadata(mut self, key: &'a str, value: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        if let Some(pair) = self.metadata.get_mut(self.pairs) {
            *pair = (key, value.as_ref());
        }
        self.pairs += 1;
        self
    }

    /// How long the message is worth anything, from when it is sent, to the millisecond; above 24 days is as
    /// 24 days. What is not on its way to the receiver by then is not sent any more: it is reported (on a
    /// best-effort channel, dropped), and counted as [`expired`](crate::ChannelMetrics::expired). What is
    /// left of it travels with the message. Of a request, the deadline that it is asked with counts.
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Where the message stands in a trace: the span of the sender, as its tracing library has it. It travels as it is, in 28 bytes, and the receiver
    /// finds it in [`Message::trace`](crate::Message::trace). If it is sampled, nodes that record spans record this message's
    /// (`docs/operating.md`), and each says on the way on that its own span is the parent.
    #[must_use]
    pub const fn trace(mut self, trace: TraceContext) -> Self {
        self.trace = Some(trace);
        self
    }

    /// Hints that the message is to go at that priority. If its channel has another one, it goes on the first of the channels
    /// named in its channel's `hints` that has it, and is like its channel in what is not hinted: priority, reliability. Where
    /// none is, sending says so ([`SendError::NoSuchHint`](crate::SendError::NoSuchHint)). It keeps no order with messages of
    /// the channel that was named; the receiver sees on which channel it came.
    ///
    /// Hints are for messages that are sent on their own or to a list; requests, replies and streams stay on the channel
    /// they are given to.
    #[must_use]
    pub fn priority(mut self, priority: impl Into<Priority>) -> Self {
        self.hints.priority = Some(priority.into());
        self
    }

    /// Hints that the message is to be delivered like that; see [`priority`](Self::priority).
    #[must_use]
    pub const fn reliability(mut self, reliability: Reliability) -> Self {
        self.hints.reliability = Some(reliability);
        self
    }

    pub(crate) const fn hints(&self) -> Hints {
        self.hints
    }

    /// The same for the channel that the hints have led to.
    pub(crate) fn without_hints(self) -> Self {
        Self {
            hints: Hints::default(),
            ..self
        }
    }

    /// What it says that the payload is.
    pub(crate) const fn said_type(&self) -> Option<&'a str> {
        self.message_type
    }

    /// The keys and values that have found room.
    pub(crate) fn said_pairs(&self) -> &[(&'a str, &'a [u8])] {
        &self.metadata[..self.pairs.min(METADATA_PAIRS_MAX)]
    }

    /// Where it stands in a trace that is to be recorded, if it is in one.
    #[inline]
    pub(crate) fn sampled_trace(&self) -> Option<TraceContext> {
        self.trace.filter(TraceContext::is_sampled)
    }

    /// Whether it stands in a trace, sampled or not.
    pub(crate) const fn has_trace(&self) -> bool {
        self.trace.is_some()
    }

    /// At the root of a trace that this node begins.
    pub(crate) const fn begun_here(self, root: TraceContext) -> Self {
        Self {
            is_root_here: true,
            ..self.trace(root)
        }
    }

    /// Whether it is.
    pub(crate) const fn is_begun_here(&self) -> bool {
        self.is_root_here
    }

    /// By what number the sender waits for it.
    pub(crate) const fn receipt_number(&self) -> Option<u64> {
        self.receipt
    }

    /// Whether all of it finds room in an extension, with whatever else there can be.
    pub(crate) fn fits(&self) -> bool {
        let correlation = Correlation {
            id: 0,
            role: Role::Request,
        };
        let mut entries = [0; EXTENSION_BYTES_MAX];
        let mut writer = ExtensionWriter::new(&mut entries);
        self.write(Some(correlation), Some(Moment(0)), &mut writer)
            .is_ok()
    }

    /// With a receipt of that number.
    pub(crate) const fn receipt(mut self, number: u64) -> Self {
        self.receipt = Some(number);
        self
    }

    /// How long it is worth anything.
    pub(crate) const fn worth(&self) -> Option<Duration> {
        self.deadline
    }

    /// With that key, for a monotonic channel.
    pub(crate) const fn key(mut self, key: u64) -> Self {
        self.key = Some(key);
        self
    }

    /// Whether there is nothing to say to the receiver.
    pub(crate) const fn is_empty(&self) -> bool {
        self.message_type.is_none()
            && self.pairs == 0
            && self.deadline.is_none()
            && self.trace.is_none()
            && self.receipt.is_none()
            && self.key.is_none()
    }

    /// Writes it into the entries of an extension, behind the exchange that the message is part of. Where
    /// the deadline stands on the wire, `due` does: it is counted down when the message is sent.
    pub(crate) fn write(
        &self,
        correlation: Option<Correlation>,
        due: Option<Moment>,
        writer: &mut ExtensionWriter<'_>,
    ) -> Result<(), AttributesError> {
        let pairs = self.metadata.get(..self.pairs);
        let pairs = pairs.ok_or(AttributesError::TooManyPairs { pairs: self.pairs })?;
        if let Some(correlation) = correlation {
            writer.correlation(correlation).map_err(too_large)?;
        }
        if let Some(Moment(due)) = due {
            writer.deadline_ms(due).map_err(too_large)?;
        }
        if let Some(message_type) = self.message_type {
            let named = |error| refusal(error, AttributesError::BadType);
            writer.message_type(message_type).map_err(named)?;
        }
        for (key, value) in pairs {
            let named = |error| refusal(error, AttributesError::BadKey);
            writer.metadata(key, value).map_err(named)?;
        }
        if let Some(trace) = &self.trace {
            writer.trace(trace).map_err(too_large)?;
        }
        if let Some(number) = self.receipt {
            writer.receipt(number).map_err(too_large)?;
        }
        if let Some(key) = self.key {
            writer.key(key).map_err(too_large)?;
        }
        Ok(())
    }
}

fn refusal(
    error: ExtensionError,
    named: impl FnOnce(NameError) -> AttributesError,
) -> AttributesError {
    match error {
        ExtensionError::BadName { error, .. } => named(error),
        other => too_large(other),
    }
}

/// The writer has room for all that the wire allows, and entries come in their order: nothing else can
/// be wrong.
pub(crate) fn too_large(error: ExtensionError) -> AttributesError {
    let bytes = match error {
        ExtensionError::TooLarge { bytes } => bytes,
        _ => EXTENSION_BYTES_MAX + 1,
    };
    AttributesError::TooLarge { bytes }
}
