//! Streams on a shard: what their other ends say, what comes of them, and which chunk goes next on a lane.
//!
//! Called by `receive` and `loopback` for messages to the mailboxes of streams, by the turn for what applications
//! left to be done, and by `lane` when a batch is made: chunks are taken then, one of each stream in turn, so none
//! waits in front of a message that comes later. What may be said when is `delivery::stream`'s matter.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Core;
use super::deliver::{Body, Source};
use super::lane::streams::Said;
use super::lane_state::Stage;
use super::outbox::OutgoingMessage;
use super::whole::Arrived;
use crate::control::link::Notice;
use crate::delivery::stream::{Stated, Violation};
use crate::error::{SendError, StreamError};
use crate::events::Event;
use crate::mailboxes::MailboxId;
use crate::order_tag::OrderTag;
use crate::payload::Payload;
use crate::peer::Peer;
use crate::stream_book::{
    Admitted, Ended, Finished, GATHERED_BELOW_BYTES, LargeMessage, Outgoing, Owed, Taken,
};
use crate::wire::CloseReason;
use crate::wire::stream::{CancelReason, Side, StreamPlace, Word, stream_place};

/// Words that wait for one lane: those that only answer what should not have come are left out from here on.
const WORDS_MANY: usize = 1024;

/// Room for words in a log that is full of chunks.
const WORDS_ROOM_BYTES: u64 = 16 << 10;

impl Core {
    /// Whether applications left something to be done.
    #[inline]
    pub(super) fn owes_streams(&self) -> bool {
        let streams = &self.fabric.streams;
        streams.owes(self.index) || streams.large.tells()
    }

    /// Does what applications left to be done. True if there was anything.
    pub(super) fn follow_streams(&mut self) -> bool {
        if !self.owes_streams() {
            return false;
        }
        self.tell_lost();
        for owed in self.fabric.streams.take_owed(self.index) {
            match owed {
                Owed::Word { peer, offset, word } => {
                    if let Some(lane) = self.lane_to(&peer, offset) {
                        self.say_of_stream(lane, word);
                    }
                }
                Owed::Ready(stream) => match self.lane_to(&stream.peer, stream.offset) {
                    Some(lane) => self.stream_is_ready(lane, stream),
                    None => self.fail_stream(&stream, SendError::Unreachable.into()),
                },
            }
        }
        true
    }

    /// Messages that went as streams and did not come, or may not have.
    #[cold]
    fn tell_lost(&mut self) {
        if !self.fabric.streams.large.tells() {
            return;
        }
        for lost in self.fabric.streams.large.take_lost() {
            self.tell(Notice::Event(Event::Reported {
                peer: lost.peer,
                channel: lost.channel,
                undelivered: u64::from(!lost.unknown),
                unknown: u64::from(lost.unknown),
                why: lost.why,
            }));
        }
    }

    fn stream_is_ready(&mut self, lane: u32, stream: Arc<Outgoing>) {
        self.lanes[lane as usize].streams.ready.push_back(stream);
        self.stir_streams(lane);
    }

    pub(super) fn say_of_stream(&mut self, lane: u32, word: Word) {
        let streams = &mut self.lanes[lane as usize].streams;
        streams.words.push_back(word);
        self.stir_streams(lane);
    }

    /// A lane that is up takes what its streams have with its next batch, another one now.
    fn stir_streams(&mut self, lane: u32) {
        let state = &self.lanes[lane as usize];
        if state.takes_messages() && state.state.stage() != Stage::Loop {
            self.mark_ready(lane);
        } else {
            self.feed_streams(lane);
        }
    }

    /// Puts what streams have on their lane, as much as goes with its next batch: words first, then a chunk of
    /// each in turn.
    pub(super) fn feed_streams(&mut self, index: u32) {
        let state = &self.lanes[index as usize];
        if state.streams.is_empty() {
            return;
        }
        if !state.accepts_messages() {
            self.lose_streams(index);
            return;
        }
        let plan = &self.channels[state.channel];
        let under_way_max = if state.log.keeps_messages() {
            plan.config.log_bytes_max
        } else {
            plan.config.queue_bytes_max
        };
        self.feed_words(index, under_way_max as u64);
        let unannounced = self.set_aside_unannounced(index);
        self.feed_chunks(index, under_way_max as u64);
        if !unannounced.is_empty() {
            self.lanes[index as usize].streams.ready.extend(unannounced);
            self.sending.demanded.push(index);
        }
        self.seek_demanded();
    }

    /// Messages that go as streams are announced on a lane that is up: only then is it known what the peer takes.
    fn set_aside_unannounced(&mut self, index: u32) -> VecDeque<Arc<Outgoing>> {
        let state = &mut self.lanes[index as usize];
        if state.takes_messages() {
            return VecDeque::new();
        }
        let ready = std::mem::take(&mut state.streams.ready);
        let (unannounced, ready) = ready
            .into_iter()
            .partition(|stream| stream.is_to_be_announced());
        state.streams.ready = ready;
        unannounced
    }

    fn feed_words(&mut self, index: u32, under_way_max: u64) {
        loop {
            let state = &mut self.lanes[index as usize];
            let Some(word) = state.streams.words.pop_front() else {
                return;
            };
            let bytes = word.encode();
            if !state
                .streams
                .admits(bytes.len(), under_way_max + WORDS_ROOM_BYTES)
            {
                state.streams.words.push_front(word);
                return;
            }
            if let Err(Said::Over(word)) = self.put_word(index, word, &bytes) {
                // It goes with the others of its kind.
                let state = &mut self.lanes[index as usize];
                if state.log.keeps_messages() {
                    state.streams.say_later([word]);
                }
                return;
            }
        }
    }

    /// A word, encoded as those bytes. What it said comes back if the lane does not take it.
    fn put_word(&mut self, index: u32, word: Word, bytes: &[u8]) -> Result<(), Said> {
        let said = match word {
            Word::Open { id, .. } | Word::Message { id, .. } => {
                let peer = &self.lanes[index as usize].peer;
                let stream = self.fabric.streams.outgoing(peer, id);
                stream.map_or(Said::Other, Said::Open)
            }
            word if word.is_last() => Said::Over(word),
            _ => Said::Other,
        };
        let words = self.fabric.streams.words().id();
        self.put_of_stream(index, words, Payload::Borrowed(bytes), said)
    }

    fn feed_chunks(&mut self, index: u32, under_way_max: u64) {
        loop {
            let state = &mut self.lanes[index as usize];
            if !state.log.has_window() {
                return;
            }
            let plan = &self.channels[state.channel];
            let address = state.address();
            let bytes_max = plan
                .config
                .message_bytes_max
                .min(address.payload_bytes_max());
            let Some(stream) = self.lanes[index as usize].streams.ready.pop_front() else {
                return;
            };
            let state = &self.lanes[index as usize];
            let admits = |bytes: usize| state.streams.admits(bytes, under_way_max);
            let put = match stream.take(bytes_max, admits) {
                Taken::Nothing => continue,
                Taken::Refused => {
                    self.lanes[index as usize].streams.ready.push_front(stream);
                    return;
                }
                Taken::Announcement(_, bytes) if bytes > self.large_bytes_max(index) => {
                    let bytes_max = self.large_bytes_max(index);
                    let error = SendError::TooLarge {
                        bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
                        bytes_max: usize::try_from(bytes_max).unwrap_or(usize::MAX),
                    };
                    self.fail_stream(&stream, error.into());
                    continue;
                }
                Taken::Data(bytes) => {
                    let data = stream.data.id();
                    self.put_of_stream(index, data, Payload::Shared(bytes), Said::Other)
                }
                Taken::Announcement(word, _) | Taken::End(word) => {
                    let bytes = word.encode();
                    self.put_word(index, word, &bytes)
                }
            };
            if put.is_err() {
                self.fail_stream(&stream, SendError::Unreachable.into());
                return;
            }
            self.lanes[index as usize].streams.ready.push_back(stream);
        }
    }

    /// Largest message that both ends of a lane take as a stream.
    fn large_bytes_max(&self, index: u32) -> u64 {
        u64::from(self.lanes[index as usize].link.agreed.terms.large_bytes_max)
    }

    /// One message of a stream. What it said comes back if its lane does not take it.
    fn put_of_stream(
        &mut self,
        index: u32,
        mailbox: MailboxId,
        payload: Payload<'_>,
        said: Said,
    ) -> Result<(), Said> {
        let state = &mut self.lanes[index as usize];
        let bytes = payload.len() as u64;
        if state.address().gate.reserve_beside(bytes).is_err() {
            self.lose_streams(index);
            return Err(said);
        }
        let payload = match &payload {
            // By copy, as every small message goes.
            Payload::Shared(shared) if shared.len() <= self.fabric.config.inline_bytes_max => {
                Payload::Borrowed(shared)
            }
            _ => payload,
        };
        let message = OutgoingMessage {
            mailbox,
            order: OrderTag::STREAMS,
            is_extended: false,
            payload,
        };
        let plan = &self.channels[state.channel];
        let strays = self.sending.strays.len();
        self.sending.put(index, state, plan, &self.fabric, message);
        let accepted = state.log.ledger.accepted();
        if self.sending.strays.len() > strays {
            // It is reported, and of no use without it.
            state.streams.put(accepted, bytes, Said::Other);
            return Err(said);
        }
        state.streams.put(accepted, bytes, said);
        Ok(())
    }

    /// The lane takes no messages.
    #[cold]
    fn lose_streams(&mut self, index: u32) {
        self.end_streams(index, CloseReason::Unreachable.sentence());
    }

    #[cold]
    fn fail_stream(&self, stream: &Outgoing, why: StreamError) {
        self.fabric.streams.close_outgoing(stream);
        stream.end(why);
    }

    /// The lane has ended, and what was on it is not resumed. Whatever its end is called, a node that stops is
    /// the cause of it.
    pub(super) fn end_streams(&mut self, lane: u32, why: &'static str) {
        let state = &mut self.lanes[lane as usize];
        // The other node may keep its half of them: its time for this lane is not over, or begins anew.
        let is_told = state.log.keeps_messages();
        state.give_up_words();
        state.streams.forget();
        let end = if self.fabric.is_stopping() {
            SendError::Closed.into()
        } else {
            StreamError::LaneEnded { why }
        };
        let streams = &self.fabric.streams;
        let ended = streams.lane_ended(&state.peer, state.offset, &end);
        if is_told {
            state.streams.say_later(ended.into_iter().map(Ended::word));
        }
    }

    /// The last lane to a peer has ended, and streams of lanes at rest with it: their lanes say so once they are back.
    pub(super) fn end_streams_with(&self, peer: &Arc<Peer>, reason: CloseReason) {
        let ended = self.fabric.streams.peer_left(peer, reason.sentence());
        for ended in ended {
            self.fabric.owe_stream(Owed::Word {
                peer: Arc::clone(peer),
                offset: ended.offset,
                word: ended.word(),
            });
        }
    }

    /// The lane is back: streams that were given up meanwhile are over at the other end as well.
    pub(super) fn tell_streams_given_up(&mut self, lane: u32) {
        let given_up = self.lanes[lane as usize].streams.take_given_up();
        for word in given_up {
            self.say_of_stream(lane, word);
        }
    }

    /// Takes a message to a mailbox of streams. The message that has come with that, if one has.
    ///
    /// # Errors
    /// The reason to end the lane.
    pub(super) fn take_of_stream(
        &mut self,
        lane: u32,
        place: StreamPlace,
        source: &mut impl Source,
        body: &Body,
    ) -> Result<Option<Arrived>, CloseReason> {
        let state = &self.lanes[lane as usize];
        let (peer, offset) = (Arc::clone(&state.peer), state.offset);
        let taken = match place {
            StreamPlace::Data(id) => {
                let taken = self.take_chunk(lane, &peer, offset, id, source, body);
                taken.map(|()| None)
            }
            StreamPlace::Words => match Word::decode(&source.bytes()[body.payload.clone()]) {
                Some(word) => self.hear_of_stream(lane, &peer, offset, word),
                None => return Err(CloseReason::BadStream),
            },
        };
        taken.map_err(|violation| {
            tracing::warn!(peer = peer.name(), %violation, "a peer broke the rules of streams");
            CloseReason::BadStream
        })
    }

    fn take_chunk(
        &mut self,
        lane: u32,
        peer: &Arc<Peer>,
        offset: usize,
        id: u64,
        source: &mut impl Source,
        body: &Body,
    ) -> Result<(), Violation> {
        let stream = self.fabric.streams.incoming(peer, id);
        let Some(stream) = stream.filter(|stream| stream.offset == offset) else {
            self.answer_late(lane, id, Side::Reader);
            return Ok(());
        };
        let range = body.payload.clone();
        let chunk = if range.len() < GATHERED_BELOW_BYTES {
            Payload::Borrowed(&source.bytes()[range])
        } else {
            Payload::Shared(source.keep(range))
        };
        stream.came(chunk).inspect_err(|_| {
            self.fabric.streams.close_incoming(&stream);
            stream.end(BROKEN);
        })
    }

    /// It is for a stream that is not open at this end: one that was cancelled a moment ago, as a rule.
    #[cold]
    fn answer_late(&mut self, lane: u32, id: u64, by: Side) {
        self.fabric.streams.count_late();
        // First the cancelling itself, which may be owed still: it has the reason.
        self.follow_streams();
        self.cancel_stream(lane, id, by, CancelReason::Unknown);
    }

    /// If the peer does not read what is said to it, that is its own loss.
    pub(super) fn cancel_stream(&mut self, lane: u32, id: u64, by: Side, reason: CancelReason) {
        if self.lanes[lane as usize].streams.words.len() >= WORDS_MANY {
            return;
        }
        let word = Word::Cancel {
            id,
            by,
            reason,
            why: Box::default(),
        };
        self.say_of_stream(lane, word);
    }

    fn hear_of_stream(
        &mut self,
        lane: u32,
        peer: &Arc<Peer>,
        offset: usize,
        word: Word,
    ) -> Result<Option<Arrived>, Violation> {
        let streams = &self.fabric.streams;
        match word {
            Word::Open { id, mailbox } => self.hear_open(lane, peer, offset, id, &mailbox)?,
            Word::Message { id, bytes, mailbox } => {
                self.hear_message(lane, peer, offset, id, (bytes, &*mailbox))?;
            }
            Word::Window {
                id,
                granted,
                received,
                read,
            } => {
                let Some(stream) = streams.outgoing(peer, id) else {
                    self.answer_late(lane, id, Side::Writer);
                    return Ok(None);
                };
                if stream.window(granted, received, read)? {
                    self.stream_is_ready(lane, stream);
                }
            }
            Word::Finish {
                id,
                bytes,
                checksum,
            } => match streams.incoming(peer, id) {
                Some(stream) => match stream.finish(Stated { bytes, checksum })? {
                    Finished::Read => {}
                    Finished::Message(message) => return Ok(Some(Arrived { stream, message })),
                    Finished::Mismatch => {
                        streams.close_incoming(&stream);
                        let reason = CancelReason::ChecksumMismatch;
                        self.cancel_stream(lane, id, Side::Reader, reason);
                    }
                },
                None => self.answer_late(lane, id, Side::Reader),
            },
            Word::Done { id } => {
                if let Some(stream) = streams.outgoing(peer, id) {
                    stream.done()?;
                    streams.close_outgoing(&stream);
                }
            }
            Word::Cancel {
                id,
                by: Side::Reader,
                reason,
                why,
            } => {
                if let Some(stream) = streams.outgoing(peer, id) {
                    streams.close_outgoing(&stream);
                    stream.end(StreamError::cancelled(reason, &why));
                }
            }
            Word::Cancel {
                id,
                by: Side::Writer,
                reason,
                why,
            } => {
                if let Some(stream) = streams.incoming(peer, id) {
                    streams.close_incoming(&stream);
                    stream.end(StreamError::cancelled(reason, &why));
                }
            }
        }
        Ok(None)
    }

    /// A message of so many bytes is to come as a stream, for a mailbox of that name.
    fn hear_message(
        &mut self,
        lane: u32,
        peer: &Arc<Peer>,
        offset: usize,
        id: u64,
        (bytes, mailbox): (u64, &str),
    ) -> Result<(), Violation> {
        let state = &self.lanes[lane as usize];
        let channel = state.channel;
        let bytes_max = self.large_bytes_max(lane);
        if bytes == 0 || bytes > bytes_max {
            return Err(Violation::BadLength { bytes, bytes_max });
        }
        let plan = &self.channels[channel];
        let place = u16::try_from(channel).unwrap_or(u16::MAX);
        if self.mailbox_for_peers(place, mailbox).is_none() {
            self.cancel_stream(lane, id, Side::Reader, CancelReason::NobodyAccepts);
            return Ok(());
        }
        let message = LargeMessage {
            mailbox,
            channel: &plan.name,
            bytes,
            bytes_max,
        };
        let streams = &self.fabric.streams;
        match streams.admit_message(peer, offset, id, message) {
            Admitted::Window(window) => self.say_of_stream(lane, window),
            Admitted::Refused(reason) => self.cancel_stream(lane, id, Side::Reader, reason),
            Admitted::Twice => return Err(Violation::OpenedTwice),
        }
        Ok(())
    }

    fn hear_open(
        &mut self,
        lane: u32,
        peer: &Arc<Peer>,
        offset: usize,
        id: u64,
        mailbox: &str,
    ) -> Result<(), Violation> {
        let channel = self.lanes[lane as usize].channel;
        let plan = &self.channels[channel];
        if !plan.carries_streams() {
            self.cancel_stream(lane, id, Side::Reader, CancelReason::NotReliable);
            return Ok(());
        }
        if !plan.opens(mailbox) {
            self.cancel_stream(lane, id, Side::Reader, CancelReason::NobodyAccepts);
            return Ok(());
        }
        match self
            .fabric
            .streams
            .admit(peer, offset, &plan.name, id, mailbox)
        {
            Admitted::Window(window) => self.say_of_stream(lane, window),
            Admitted::Refused(reason) => self.cancel_stream(lane, id, Side::Reader, reason),
            Admitted::Twice => return Err(Violation::OpenedTwice),
        }
        Ok(())
    }

    /// What a mailbox of this node is to streams: for messages of a node to itself, whose mailboxes have no
    /// names on the way.
    #[cold]
    pub(super) fn own_stream_place(&self, mailbox: MailboxId) -> Option<StreamPlace> {
        stream_place(&self.fabric.mailboxes.name(mailbox)?)
    }
}

/// For the application at this end.
const BROKEN: StreamError = StreamError::LaneEnded {
    why: CloseReason::BadStream.sentence(),
};
