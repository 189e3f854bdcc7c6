//! Messages that are recorded: which they are, and what is opened and said on the way for it.
//!
//! Called by `channel`, `receipt` and `request` where a message is put together. One that is not recorded costs a look at whether it has a
//! sampled trace, and one without attributes a look at the configuration.

use super::Channel;
use crate::attributes::Attributes;
use crate::config::RESERVED_PREFIX;
use crate::error::SendError;
use crate::message::Destination;
use crate::payload::Payload;
use crate::spans::{OpenSpan, Spans, Subject};

impl Channel {
    /// What a message without attributes says if this node begins a trace with it; mostly none.
    #[inline]
    pub(crate) fn begin_trace(
        &self,
        to: &Destination,
        payload: &Payload<'_>,
    ) -> Option<Attributes<'static>> {
        if !self.fabric.spans.begins_traces() {
            return None;
        }
        let attributes = self.with_trace(to, Attributes::new(), payload.len());
        attributes.has_trace().then_some(attributes)
    }

    /// Sends a run, or what of it is before the first message with which this node begins a trace, and that message. Returns how
    /// many were sent.
    ///
    /// # Errors
    /// Why the first was not.
    #[inline]
    pub(crate) fn send_in_parts<S>(
        &self,
        mut sender: S,
        to: &Destination,
        run: &[&[u8]],
        send_plain: impl FnOnce(&mut S, &[&[u8]]) -> Result<usize, SendError>,
        send_recorded: impl FnOnce(&mut S, Attributes<'static>, &[u8]) -> Result<(), SendError>,
    ) -> Result<usize, SendError> {
        let (plain, recorded) = self.before_trace(to, run);
        let sent = match plain {
            0 => 0,
            _ => send_plain(&mut sender, &run[..plain])?,
        };
        match recorded {
            Some(attributes) if sent == plain => {
                match send_recorded(&mut sender, attributes, run[plain]) {
                    Err(error) if sent == 0 => Err(error),
                    accepted => Ok(sent + usize::from(accepted.is_ok())),
                }
            }
            _ => Ok(sent),
        }
    }

    /// How many messages of a run go as they are, before the first with which this node begins a trace, and what that says.
    #[inline]
    fn before_trace(
        &self,
        to: &Destination,
        run: &[&[u8]],
    ) -> (usize, Option<Attributes<'static>>) {
        if !self.fabric.spans.begins_traces() {
            return (run.len(), None);
        }
        self.look_for_trace(to, run)
    }

    #[cold]
    fn look_for_trace(
        &self,
        to: &Destination,
        run: &[&[u8]],
    ) -> (usize, Option<Attributes<'static>>) {
        for (place, payload) in run.iter().enumerate() {
            let attributes = self.with_trace(to, Attributes::new(), payload.len());
            if attributes.has_trace() {
                return (place, Some(attributes));
            }
        }
        (run.len(), None)
    }

    /// What a message says, with a trace that this node begins if it says none and is among those that get one.
    pub(crate) fn with_trace<'a>(
        &self,
        to: &Destination,
        attributes: Attributes<'a>,
        bytes: usize,
    ) -> Attributes<'a> {
        let begins = self.fabric.spans.begins_traces();
        if !begins || attributes.has_trace() || !self.may_say_more(to, bytes) {
            return attributes;
        }
        match self.fabric.spans.begin() {
            Some(root) => attributes.begun_here(root),
            None => attributes,
        }
    }

    /// Whether a message that is to be sent without an extension goes with one as well: it is the application's, its peer takes extensions,
    /// and it goes neither over others nor as a stream.
    #[cold]
    fn may_say_more(&self, to: &Destination, bytes: usize) -> bool {
        let is_own = self.entry.name.starts_with(RESERVED_PREFIX)
            || to.mailbox.name().starts_with(RESERVED_PREFIX);
        if is_own || to.home != self.home || self.entry.is_removed() {
            return false;
        }
        let lane = to.peer.lane(self.entry.first_lane);
        let bytes_max = self.message_bytes_max().min(lane.payload_bytes_max());
        let is_there = to.peer.is_connected() || to.peer.is_self();
        is_there && lane.takes_extensions() && bytes <= bytes_max
    }

    /// Opens the spans of a message that is recorded, and has it say that the span of its lane is the parent of what follows. With a `receipt`,
    /// whatever settles it ends the span of its lane; else whoever holds the span does.
    #[inline]
    pub(crate) fn record<'a>(
        &self,
        to: &Destination,
        attributes: Attributes<'a>,
        bytes: usize,
        receipt: bool,
    ) -> (Attributes<'a>, Option<OpenSpan>) {
        if !self.fabric.spans.is_on() {
            return (attributes, None);
        }
        self.open_spans(to, attributes, bytes, receipt)
    }

    #[cold]
    fn open_spans<'a>(
        &self,
        to: &Destination,
        attributes: Attributes<'a>,
        bytes: usize,
        receipt: bool,
    ) -> (Attributes<'a>, Option<OpenSpan>) {
        let number = match attributes.receipt_number() {
            Some(number) if !Spans::is_recorded(number) => return (attributes, None),
            Some(number) => number,
            None => Spans::number(),
        };
        let said = attributes;
        let attributes = self.with_trace(to, said, bytes);
        let Some(parent) = attributes.sampled_trace() else {
            return (attributes, None);
        };
        let mut recorded = attributes.trace(parent.at(number.to_be_bytes()));
        if receipt {
            recorded = recorded.receipt(number);
        }
        if !recorded.fits() {
            // It is sent as it would be without being recorded.
            return (said, None);
        }
        let (peer, mailbox) = (to.peer.shared_name(), to.mailbox.name());
        let subject = Subject::of(peer, &self.entry.name, mailbox, bytes);
        let spans = &self.fabric.spans;
        match spans.open(number, parent, attributes.is_begun_here(), subject) {
            Some(span) => (recorded, Some(span)),
            // Nobody is to record a part of a trace that has no beginning.
            None if attributes.is_begun_here() => (attributes.trace(parent.unsampled()), None),
            None => (attributes, None),
        }
    }

    /// Whether a message is recorded, and so has spans of its own wherever it goes.
    pub(crate) fn is_recorded(&self, attributes: Option<&Attributes<'_>>) -> bool {
        self.fabric.spans.is_on()
            && attributes.is_some_and(|attributes| attributes.sampled_trace().is_some())
    }

    /// Whether it is, or may be because this node begins a trace with it.
    pub(crate) fn may_be_recorded(&self, attributes: Option<&Attributes<'_>>) -> bool {
        let may_begin = self.fabric.spans.begins_traces();
        self.is_recorded(attributes)
            || (may_begin && attributes.is_some_and(|attributes| !attributes.has_trace()))
    }
}
