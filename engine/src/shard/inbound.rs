//! The receiving half of a lane: the frame that is still incomplete, the mailboxes the peer has
//! announced, and what is owed to it. Taken out of the lane while frames are read, so that a handler
//! may send on the very same lane.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::ordered::Ordered;
use super::outbox::Outbox;
use super::waiting::Ticket;
use crate::delivery::{Incoming, Liveness};
use crate::mailboxes::MailboxId;
use crate::peer::Peer;
use crate::wire::mailbox::{Announced, AnnouncedMailboxes};
use crate::wire::stream::StreamPlace;
use crate::wire::{Agreed, CloseReason, Frame, FrameKind, FrameLimits};

/// A frame that has been incomplete for the idle timeout must have grown meanwhile by this much for
/// each second.
const PARTIAL_BYTES_PER_S_MIN: usize = 1024;

/// A carry that is empty keeps this much, so that small messages that straddle two receives cost no
/// allocation.
const CARRY_KEPT_BYTES: usize = 4 << 10;

/// A mailbox name the peer announced, and what it stands for here.
#[derive(Clone, Debug)]
pub(crate) struct KnownMailbox {
    pub(crate) name: Box<str>,
    /// What the name stood for when it was last looked for. It may have been given back since, and
    /// stand for another number now.
    pub(crate) id: Option<MailboxId>,
    /// The version of this node's names when it was last looked for.
    pub(crate) looked_at: u64,
    /// What it is to streams, if anything.
    pub(crate) stream: Option<StreamPlace>,
}

impl KnownMailbox {
    /// What it holds, itself and its name.
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.name.len()
    }
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Inbound {
    pub(crate) peer: Arc<Peer>,
    pub(crate) channel: u16,
    pub(crate) limits: FrameLimits,
    pub(crate) ledger: Incoming,
    pub(crate) liveness: Liveness,
    /// A Ping is to be sent.
    asks: bool,
    /// The word of the newest Ping that has no answer yet. A peer that does not read what it makes
    /// this side say is owed one Pong, however often it asks.
    owed_pong: Option<u32>,
    /// Since when this lane has been blocked although the peer has closed its side.
    pub(crate) closed_since: Option<Instant>,
    pub(crate) mailboxes: AnnouncedMailboxes<KnownMailbox>,
    /// What `mailboxes` hold, charged to the peer until the lane ends.
    names_bytes: usize,
    /// Bytes that came and are not processed: an incomplete frame, or all that came since an inbox
    /// was found full.
    pub(crate) carry: Vec<u8>,
    /// The frames of a compressed one that are not read yet, and how far they are: they come before `carry`.
    pub(super) unpacked: Option<(Bytes, usize)>,
    /// How much there is of the frame that is incomplete.
    pub(crate) partial_bytes: usize,
    /// Since when a frame has been incomplete, and how much of it there was then.
    pub(crate) partial_since: Option<(Instant, usize)>,
    /// The inbox of that mailbox has no room: nothing is processed, and the socket is not read.
    pub(crate) blocked: Option<MailboxId>,
    /// Since when what has come waits for an inbox: that of the first of them.
    pub(crate) waits_since: Option<Instant>,
    /// On a causal channel: the order that its messages have.
    pub(crate) ordered: Option<Box<Ordered>>,
    /// What comes later than it is worth anything is refused.
    pub(crate) refuses_late: bool,
    /// Its place among the lanes that wait for that inbox.
    pub(crate) ticket: Option<Ticket>,
    /// The peer has said Bye: no message may follow.
    pub(crate) said_bye: bool,
    /// No message is expected: the peer has said Bye, or both have agreed that the lane is idle.
    pub(crate) is_quiet: bool,
    /// Mailbox ids announced with another name since the last message.
    pub(crate) renamed_in_a_row: u32,
    /// Control frames within the second that began then.
    pub(crate) control_frames: (Instant, u32),
}

impl Drop for Inbound {
    fn drop(&mut self) {
        self.peer.release_names(self.names_bytes);
    }
}

impl Inbound {
    pub(crate) fn new(
        peer: Arc<Peer>,
        channel: usize,
        agreed: &Agreed,
        ledger: Incoming,
        liveness: Liveness,
        now: Instant,
    ) -> Self {
        Self {
            peer,
            channel: u16::try_from(channel).unwrap_or(u16::MAX),
            limits: agreed.frame_limits(),
            ledger,
            liveness,
            asks: false,
            owed_pong: None,
            closed_since: None,
            mailboxes: AnnouncedMailboxes::new(
                agreed.terms.mailboxes_max,
                agreed.reuses_mailbox_ids(),
            ),
            names_bytes: 0,
            carry: Vec::new(),
            unpacked: None,
            partial_bytes: 0,
            partial_since: None,
            blocked: None,
            waits_since: None,
            ordered: None,
            refuses_late: false,
            ticket: None,
            said_bye: false,
            is_quiet: false,
            renamed_in_a_row: 0,
            control_frames: (now, 0),
        }
    }

    /// Notes since when a frame is incomplete, in `carry` or with `landing_bytes` of it landed. A lane
    /// that an inbox has stopped does not wait for its peer.
    pub(crate) fn note_partial(&mut self, now: Instant, landing_bytes: usize) {
        self.partial_bytes = self.carry.len() + landing_bytes;
        if self.blocked.is_some() || self.partial_bytes == 0 {
            self.partial_since = None;
        } else if self.partial_since.is_none() {
            self.partial_since = Some((now, self.partial_bytes));
        }
    }

    /// Takes the announcement of a mailbox; `resolve` finds what its name stands for. The peer is charged
    /// for what it makes this side remember, `bytes_max` over all its lanes.
    pub(crate) fn announce(
        &mut self,
        frame: &Frame<'_>,
        bytes_max: usize,
        resolve: impl FnOnce(&str) -> KnownMailbox,
    ) -> Result<Announced, CloseReason> {
        let held = |mailboxes: &AnnouncedMailboxes<KnownMailbox>| {
            mailboxes.get(frame.word).map_or(0, KnownMailbox::bytes)
        };
        let before = held(&self.mailboxes);
        let announced = self
            .mailboxes
            .announce(frame, resolve)
            .map_err(|error| error.close_reason())?;
        let now = held(&self.mailboxes);
        self.names_bytes += now;
        self.names_bytes -= before;
        let is_within = self.peer.charge_names(now, bytes_max);
        self.peer.release_names(before);
        is_within
            .then_some(announced)
            .ok_or(CloseReason::OverBudget)
    }

    /// Gives memory back that nothing needs any more: it was as large as the largest frame so far, or
    /// held all that came while an inbox was full.
    pub(crate) fn shrink_carry(&mut self) {
        if self.carry.is_empty() && self.carry.capacity() > CARRY_KEPT_BYTES {
            self.carry = Vec::new();
        }
    }

    /// Whether the frame that is incomplete has grown too little for too long: slower is a peer that holds
    /// memory on purpose.
    pub(crate) fn is_too_slow(&mut self, now: Instant, grace: Duration) -> bool {
        let Some((since, bytes)) = self.partial_since else {
            return false;
        };
        let waited = now.saturating_duration_since(since);
        if waited < grace {
            return false;
        }
        let came = self.partial_bytes.saturating_sub(bytes);
        let enough =
            PARTIAL_BYTES_PER_S_MIN * usize::try_from(waited.as_secs()).unwrap_or(usize::MAX);
        self.partial_since = Some((now, self.partial_bytes));
        came < enough
    }

    /// The peer has closed its side of a blocked lane. What it sent before waits for room, but not for
    /// ever: a reason to end the lane once that took too long.
    pub(crate) fn outstays(&mut self, now: Instant, patience: Duration) -> Option<CloseReason> {
        let since = *self.closed_since.get_or_insert(now);
        let waited = now.saturating_duration_since(since);
        (waited >= patience).then_some(CloseReason::PeerClosed)
    }

    /// The peer is to be asked whether it is there.
    pub(crate) fn ask(&mut self) {
        self.asks = true;
    }

    /// The peer asks whether this side is there.
    pub(crate) fn owe_pong(&mut self, word: u32) {
        self.owed_pong = Some(word);
    }

    /// Whether a Ping or a Pong is to be sent.
    pub(crate) fn owes_word(&self) -> bool {
        self.asks || self.owed_pong.is_some()
    }

    /// Puts what is to be said besides messages into the outbox: called when the next batch is made,
    /// so that each kind is there once at most; of acknowledgements a few, if messages were refused.
    pub(crate) fn pay_into(&mut self, outbox: &mut Outbox) {
        while let Some(ack) = self.ledger.take_ack() {
            let (body, bytes) = ack.body();
            outbox.push_control(FrameKind::Ack, ack.processed, &body[..bytes]);
        }
        if let Some(bytes) = self.ledger.take_fragment_ack() {
            outbox.push_control(FrameKind::FragmentAck, bytes, &[]);
        }
        if let Some(word) = self.owed_pong.take() {
            outbox.push_control(FrameKind::Pong, word, &[]);
        }
        if std::mem::take(&mut self.asks) {
            outbox.push_control(FrameKind::Ping, 0, &[]);
        }
    }

    /// Counts a mailbox id that was announced with another name; true if so many came without a
    /// message that none of them can be for one.
    pub(crate) fn renamed_in_vain(&mut self) -> bool {
        self.renamed_in_a_row = self.renamed_in_a_row.saturating_add(1);
        self.renamed_in_a_row > self.mailboxes.announced()
    }

    /// Counts a control frame; false if there were too many within a second.
    pub(crate) fn count_control_frame(&mut self, now: Instant, frames_max: u32) -> bool {
        let (since, count) = &mut self.control_frames;
        if now.duration_since(*since).as_secs() >= 1 {
            *since = now;
            *count = 0;
        }
        *count += 1;
        *count <= frames_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Reliability;
    use crate::delivery::{AckPolicy, LivenessLimits};
    use crate::peer::LaneCells;
    use crate::wire::ChannelTerms;

    fn inbound() -> Inbound {
        let peer = Peer::new(Arc::from("b"), false, LaneCells::new(0, 1, 0, 0));
        let agreed = Agreed::among_equals(ChannelTerms::of_test());
        let now = Instant::now();
        let limits = LivenessLimits::new(Duration::from_secs(1));
        Inbound::new(
            Arc::new(peer),
            0,
            &agreed,
            Incoming::new(Reliability::Reliable, AckPolicy::default()),
            Liveness::new(now, &limits, 0),
            now,
        )
    }

    #[test]
    fn a_carry_gives_back_what_a_large_frame_took_and_keeps_what_small_ones_need() {
        let mut inbound = inbound();
        inbound.carry = vec![7; 1 << 20];
        inbound.carry.drain(..1000);
        inbound.shrink_carry();
        assert_eq!(inbound.carry.len(), (1 << 20) - 1000, "it is needed still");
        inbound.carry.clear();
        inbound.shrink_carry();
        assert_eq!(inbound.carry.capacity(), 0);
        inbound.carry.extend_from_slice(&[7; 100]);
        inbound.carry.clear();
        let small = inbound.carry.capacity();
        inbound.shrink_carry();
        assert_eq!(inbound.carry.capacity(), small);
    }
}
