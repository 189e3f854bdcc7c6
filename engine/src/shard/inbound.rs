//! The receiving half of a lane: the frame that is still incomplete, the mailboxes the peer has
//! announced, and what is owed to it. Taken out of the lane while frames are read, so that a handler
//! may send on the very same lane.

use std::sync::Arc;
use std::time::Instant;

use crate::delivery::Incoming;
use crate::message::MailboxId;
use crate::peer::Peer;
use crate::wire::FrameLimits;
use crate::wire::mailbox::AnnouncedMailboxes;

/// A mailbox name the peer announced, and what it stands for here.
#[derive(Clone, Debug)]
pub(crate) struct KnownMailbox {
    /// Kept until the name means something here.
    pub(crate) name: Option<Box<str>>,
    pub(crate) id: Option<MailboxId>,
    /// The version of this node's names when it was last looked for.
    pub(crate) looked_at: u64,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Inbound {
    pub(crate) peer: Arc<Peer>,
    pub(crate) channel: u16,
    pub(crate) limits: FrameLimits,
    pub(crate) ledger: Incoming,
    pub(crate) mailboxes: AnnouncedMailboxes<KnownMailbox>,
    /// Bytes that came and are not processed: an incomplete frame, or all that came since an inbox
    /// was found full.
    pub(crate) carry: Vec<u8>,
    /// How much there is of the frame that is incomplete.
    pub(crate) partial_bytes: usize,
    /// Since when a frame has been incomplete, and how much of it there was then.
    pub(crate) partial_since: Option<(Instant, usize)>,
    /// An inbox has no room: nothing is processed, and the socket is not read.
    pub(crate) blocked: bool,
    /// The peer has said Bye: no message may follow.
    pub(crate) said_bye: bool,
    /// Control frames within the second that began then.
    pub(crate) control_frames: (Instant, u32),
}

impl Inbound {
    pub(crate) fn new(
        peer: Arc<Peer>,
        channel: usize,
        limits: FrameLimits,
        ledger: Incoming,
        mailboxes_max: usize,
        now: Instant,
    ) -> Self {
        Self {
            peer,
            channel: u16::try_from(channel).unwrap_or(u16::MAX),
            limits,
            ledger,
            mailboxes: AnnouncedMailboxes::new(u32::try_from(mailboxes_max).unwrap_or(u32::MAX)),
            carry: Vec::new(),
            partial_bytes: 0,
            partial_since: None,
            blocked: false,
            said_bye: false,
            control_frames: (now, 0),
        }
    }

    /// Notes since when a frame is incomplete, in `carry` or with `landing_bytes` of it landed. A lane
    /// that an inbox has stopped does not wait for its peer.
    pub(crate) fn note_partial(&mut self, now: Instant, landing_bytes: usize) {
        self.partial_bytes = self.carry.len() + landing_bytes;
        if self.blocked || self.partial_bytes == 0 {
            self.partial_since = None;
        } else if self.partial_since.is_none() {
            self.partial_since = Some((now, self.partial_bytes));
        }
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
