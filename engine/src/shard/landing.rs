//! Where a large payload lands: the memory that the application will read, filled by the kernel itself.
//!
//! A frame above [`LANDING_BYTES_MIN`] is not collected from receive buffers: as soon as its header is
//! there, the frame gets a block, and the connection receives the rest right into it. Behind the
//! frame each receive has a small stage, which takes the header of the next frame, so that a flood
//! of large messages costs one receive and one copy each. Owned by a connection, because the kernel
//! works on its memory; `receive` decides what becomes of the bytes, `intake` starts the operation.

use bytes::Bytes;

use super::message_header::MessageHeader;
use crate::ring::Block;

/// Frames from here up land. Smaller ones are copied: from a receive buffer that is still
/// in the first-level cache, that costs less than an operation of their own.
pub(super) const LANDING_BYTES_MIN: usize = 8 << 10;

/// What is received behind a payload: the next frame's header and the first part of its body.
const STAGE_BYTES: usize = 2 << 10;

const NO_PIECE: libc::iovec = libc::iovec {
    iov_base: std::ptr::null_mut(),
    iov_len: 0,
};

fn piece(memory: &mut [u8]) -> libc::iovec {
    libc::iovec {
        iov_base: memory.as_mut_ptr().cast(),
        iov_len: memory.len(),
    }
}

/// A frame whose header has come, or the message that is put together from fragments.
#[derive(Debug)]
struct Incoming {
    block: Block,
    filled_bytes: usize,
    /// From where and up to where the bytes come that are next: the frame, or a fragment.
    from_bytes: usize,
    until_bytes: usize,
}

impl Incoming {
    fn new(block: Block) -> Self {
        let until_bytes = block.as_ref().len();
        Self {
            block,
            filled_bytes: 0,
            from_bytes: 0,
            until_bytes,
        }
    }

    fn is_whole(&self) -> bool {
        self.filled_bytes == self.block.as_ref().len()
    }

    /// What is filled next.
    fn rest(&mut self) -> &mut [u8] {
        &mut self.block.as_mut()[self.filled_bytes..self.until_bytes]
    }
}

/// A fragment that fits nowhere: it begins a message before the last one is complete, goes on with none, or
/// has more bytes than are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StrayFragment;

/// See the module's text.
pub(super) struct Landing {
    incoming: Option<Incoming>,
    /// A message of which fragments are still to come, while other frames do.
    assembly: Option<Incoming>,
    /// Complete, and refused by an inbox without room: it is tried again before anything else.
    waiting: Option<Bytes>,
    stage: Box<[u8]>,
    /// What the kernel reads of an operation: the header, and the two pieces it names.
    header: Box<MessageHeader>,
    pieces: Box<[libc::iovec; 2]>,
    /// Bytes of the frame that the operation under way may fill.
    asked_bytes: usize,
    /// What comes between two fragments is not large: it is received into buffers.
    steps_aside: bool,
}

impl Landing {
    pub(super) fn new() -> Self {
        Self {
            incoming: None,
            assembly: None,
            waiting: None,
            stage: vec![0; STAGE_BYTES].into_boxed_slice(),
            header: Box::default(),
            pieces: Box::new([NO_PIECE; 2]),
            asked_bytes: 0,
            steps_aside: false,
        }
    }

    /// Whether the connection is to receive into it.
    pub(super) fn lands(&self) -> bool {
        !self.steps_aside || self.is_filling()
    }

    /// What comes is not large; when it is again, it lands.
    pub(super) fn step_aside(&mut self) {
        self.steps_aside = true;
    }

    /// A frame begins that fills `block`, header and all.
    pub(super) fn begin(&mut self, block: Block) {
        debug_assert!(self.incoming.is_none(), "one frame follows the other");
        self.incoming = Some(Incoming::new(block));
        self.steps_aside = false;
    }

    /// A message begins that comes in fragments: `header` is that of a frame with all of it, and goes ahead of
    /// them in `block`.
    pub(super) fn begin_message(
        &mut self,
        mut block: Block,
        header: &[u8],
    ) -> Result<(), StrayFragment> {
        if self.assembly.is_some() {
            return Err(StrayFragment);
        }
        block.as_mut()[..header.len()].copy_from_slice(header);
        self.assembly = Some(Incoming {
            filled_bytes: header.len(),
            ..Incoming::new(block)
        });
        Ok(())
    }

    /// A fragment of it begins, of so many bytes.
    pub(super) fn begin_fragment(&mut self, bytes: usize) -> Result<(), StrayFragment> {
        debug_assert!(self.incoming.is_none(), "one frame follows the other");
        let mut message = self.assembly.take().ok_or(StrayFragment)?;
        message.from_bytes = message.filled_bytes;
        message.until_bytes = message.filled_bytes + bytes;
        if message.until_bytes > message.block.as_ref().len() {
            return Err(StrayFragment);
        }
        self.incoming = Some(message);
        self.steps_aside = false;
        Ok(())
    }

    /// If a fragment is there that does not complete its message, which waits for the next: its bytes.
    pub(super) fn end_fragment(&mut self) -> Option<usize> {
        let is_part = |incoming: &mut Incoming| {
            incoming.filled_bytes == incoming.until_bytes && !incoming.is_whole()
        };
        let part = self.incoming.take_if(is_part)?;
        let bytes = part.until_bytes - part.from_bytes;
        self.assembly = Some(part);
        Some(bytes)
    }

    /// Whether a frame is incomplete.
    pub(super) fn is_filling(&self) -> bool {
        self.incoming.is_some()
    }

    /// Whether there is no frame in it.
    pub(super) fn is_idle(&self) -> bool {
        self.incoming.is_none() && self.assembly.is_none() && self.waiting.is_none()
    }

    /// Bytes that are there of an incomplete frame or fragment. Between two fragments the peer may have others to
    /// serve.
    pub(super) fn filled_bytes(&self) -> usize {
        let incoming = self.incoming.as_ref();
        incoming.map_or(0, |incoming| incoming.filled_bytes)
    }

    /// Takes what belongs to the incomplete frame from the front of `bytes`; says how much.
    pub(super) fn fill_from(&mut self, bytes: &[u8]) -> usize {
        let Some(incoming) = &mut self.incoming else {
            return 0;
        };
        let rest = incoming.rest();
        let taken = rest.len().min(bytes.len());
        rest[..taken].copy_from_slice(&bytes[..taken]);
        incoming.filled_bytes += taken;
        taken
    }

    /// Where the next receive puts its bytes: the rest of the frame, up to `bytes_max`, and the
    /// stage behind it. The memory stays where it is until [`received`](Self::received).
    pub(super) fn ask(&mut self, bytes_max: usize) -> &mut libc::msghdr {
        self.asked_bytes = 0;
        *self.pieces = [NO_PIECE; 2];
        let mut is_whole = true;
        if let Some(incoming) = &mut self.incoming {
            let rest = incoming.rest();
            let asked = rest.len().min(bytes_max);
            is_whole = asked == rest.len();
            self.asked_bytes = asked;
            self.pieces[0] = piece(&mut rest[..asked]);
        }
        if is_whole {
            self.pieces[1] = piece(&mut self.stage);
        }
        let header = &mut self.header.0;
        header.msg_iov = self.pieces.as_mut_ptr();
        header.msg_iovlen = self.pieces.len();
        header
    }

    /// A receive brought so many bytes; says how many of them lie in the stage.
    pub(super) fn received(&mut self, bytes: usize) -> usize {
        let landed = bytes.min(self.asked_bytes);
        if let Some(incoming) = &mut self.incoming {
            incoming.filled_bytes += landed;
        }
        bytes - landed
    }

    /// The first `bytes` of the stage.
    pub(super) fn staged(&self, bytes: usize) -> &[u8] {
        &self.stage[..bytes]
    }

    /// Whether a receive filled the whole stage: what comes is not large.
    pub(super) fn is_overrun(&self, staged_bytes: usize) -> bool {
        staged_bytes == self.stage.len()
    }

    /// The frame, once it is complete.
    pub(super) fn take_frame(&mut self) -> Option<Bytes> {
        let whole = self.incoming.take_if(|incoming| incoming.is_whole())?;
        Some(whole.block.into_payload())
    }

    /// The one that was put back.
    pub(super) fn take_waiting(&mut self) -> Option<Bytes> {
        self.waiting.take()
    }

    /// There was no room for it.
    pub(super) fn put_back(&mut self, frame: Bytes) {
        self.waiting = Some(frame);
    }
}

impl std::fmt::Debug for Landing {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Landing")
            .field("incoming", &self.incoming)
            .field("assembly", &self.assembly)
            .field("waiting", &self.waiting)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::PayloadPool;

    #[test]
    fn a_frame_is_complete_when_buffers_and_receives_have_filled_it() {
        let pool = PayloadPool::new();
        let mut landing = Landing::new();
        landing.begin(pool.block(10_000));
        assert_eq!(landing.fill_from(&[1; 4000]), 4000);
        assert!(landing.take_frame().is_none());
        // A receive that is cut to a share has no stage.
        landing.ask(1000);
        assert_eq!(landing.received(1000), 0);
        landing.ask(usize::MAX);
        assert_eq!(landing.received(5000 + 77), 77);
        let frame = landing.take_frame().expect("all has come");
        assert_eq!(frame.len(), 10_000);
        assert_eq!(&frame[..4000], &[1; 4000][..]);
        assert!(!landing.is_filling());
    }

    #[test]
    fn a_message_is_put_together_from_fragments_while_other_frames_land() {
        let pool = PayloadPool::new();
        let mut landing = Landing::new();
        assert_eq!(landing.begin_fragment(1), Err(StrayFragment), "of nothing");
        landing
            .begin_message(pool.block(108), &[9; 8])
            .expect("the first");
        let again = landing.begin_message(pool.block(9), &[9; 8]);
        assert_eq!(again, Err(StrayFragment), "one at a time");
        landing.begin_fragment(60).expect("there is a message");
        assert_eq!(landing.fill_from(&[1; 50]), 50);
        assert_eq!(landing.end_fragment(), None, "it is incomplete");
        assert_eq!(landing.fill_from(&[1; 50]), 10);
        assert_eq!(landing.end_fragment(), Some(60));
        landing.step_aside();
        assert!(!landing.is_idle() && !landing.lands());
        landing.begin(pool.block(5));
        assert!(landing.lands());
        assert_eq!(landing.filled_bytes(), 0);
        assert_eq!(landing.fill_from(&[3; 9]), 5);
        assert_eq!(landing.end_fragment(), None, "it is whole");
        assert_eq!(landing.take_frame().expect("all has come")[..], [3; 5]);
        landing.begin_fragment(40).expect("there is a message");
        assert_eq!(landing.fill_from(&[2; 99]), 40);
        assert_eq!(landing.end_fragment(), None, "it is whole");
        let frame = landing.take_frame().expect("all has come");
        assert_eq!(frame, [&[9; 8][..], &[1; 60], &[2; 40]].concat());
        assert!(landing.is_idle());
    }

    #[test]
    fn a_fragment_beyond_its_message_is_refused() {
        let pool = PayloadPool::new();
        let mut landing = Landing::new();
        landing
            .begin_message(pool.block(18), &[9; 8])
            .expect("the first");
        assert_eq!(landing.begin_fragment(11), Err(StrayFragment));
    }

    #[test]
    fn what_belongs_to_the_next_frame_is_left() {
        let pool = PayloadPool::new();
        let mut landing = Landing::new();
        landing.begin(pool.block(9000));
        assert_eq!(landing.fill_from(&[2; 9500]), 9000);
        let frame = landing.take_frame().expect("all has come");
        landing.put_back(frame);
        let frame = landing.take_waiting().expect("it waited");
        assert_eq!(frame.len(), 9000);
        assert!(landing.take_frame().is_none());
    }
}
