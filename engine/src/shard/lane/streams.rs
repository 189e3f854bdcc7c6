//! What the streams of a lane have to send on it, and what of theirs is in its log.
//!
//! Filled and emptied by `shard::streams`. Their bytes in the log are bounded beside those of messages, so that
//! neither takes the other's room. Of an end of a stream that is over here, the word that says so is all that is left: it
//! is kept until the peer has it, and said again if it was given up with the lane.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Lane;
use crate::stream_book::Outgoing;
use crate::wire::stream::Word;

/// Words of streams that are over and that were given up with the lane: beyond these the oldest is not said again.
const GIVEN_UP_MAX: usize = 1024;

/// The streams of a lane that have something to send.
#[derive(Debug, Default)]
pub(crate) struct LaneStreams {
    pub(in crate::shard) words: VecDeque<Word>,
    /// In turn.
    pub(in crate::shard) ready: VecDeque<Arc<Outgoing>>,
    /// What is in the log of the lane.
    under_way: VecDeque<UnderWay>,
    under_way_bytes: u64,
    /// To be said once the lane is back.
    given_up: VecDeque<Word>,
}

/// A message of streams that is in the log.
#[derive(Debug)]
struct UnderWay {
    /// After how many accepted messages.
    at: u64,
    bytes: u64,
    said: Said,
}

/// What a message of a stream says that no other one says.
#[derive(Debug)]
pub(in crate::shard) enum Said {
    /// There is this stream.
    Open(Arc<Outgoing>),
    /// A stream is over at this end.
    Over(Word),
    Other,
}

impl LaneStreams {
    /// Whether there is nothing to put on the lane.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.words.is_empty() && self.ready.is_empty()
    }

    /// What was in the log up to that many accepted messages has left it: the process of that incarnation has it, if the
    /// log has one. Returns the bytes of streams among it.
    pub(super) fn left(&mut self, settled: u64, incarnation: Option<u64>) -> u64 {
        let mut left = 0;
        while let Some(message) = self.under_way.pop_front_if(|message| message.at <= settled) {
            left += message.bytes;
            if let (Said::Open(stream), Some(incarnation)) = (message.said, incarnation) {
                stream.heard_by(incarnation);
            }
        }
        self.under_way_bytes -= left;
        left
    }

    /// A message of so many bytes was put into the log, after which that many messages had been accepted.
    pub(in crate::shard) fn put(&mut self, at: u64, bytes: u64, said: Said) {
        self.under_way.push_back(UnderWay { at, bytes, said });
        self.under_way_bytes += bytes;
    }

    /// Whether so many bytes more may be put into the log.
    pub(in crate::shard) fn admits(&self, bytes: usize, under_way_max: u64) -> bool {
        let under_way = self.under_way_bytes;
        under_way == 0 || under_way + bytes as u64 <= under_way_max
    }

    /// Nothing is to be sent any more; what is in the log stays there.
    pub(in crate::shard) fn forget(&mut self) {
        self.words.clear();
        self.ready.clear();
    }

    /// What is in the log, and what waits for it, is given up with the lane: the words of streams that are over are
    /// said again once it is back, as the other node may still wait for them.
    pub(in crate::shard) fn give_up_words(&mut self) {
        let in_log = self.under_way.iter_mut();
        let said = in_log.map(|message| std::mem::replace(&mut message.said, Said::Other));
        let over: Vec<_> = said
            .filter_map(|said| match said {
                Said::Over(word) => Some(word),
                Said::Open(_) | Said::Other => None,
            })
            .chain(self.words.drain(..).filter(Word::is_last))
            .collect();
        self.say_later(over);
    }

    /// Those are to be said once the lane is back.
    pub(in crate::shard) fn say_later(&mut self, words: impl IntoIterator<Item = Word>) {
        self.given_up.extend(words);
        let beyond = self.given_up.len().saturating_sub(GIVEN_UP_MAX);
        self.given_up.drain(..beyond);
    }

    /// Takes what is to be said now that the lane is up again.
    pub(in crate::shard) fn take_given_up(&mut self) -> VecDeque<Word> {
        std::mem::take(&mut self.given_up)
    }

    /// Whether anything of streams is in the log.
    pub(super) fn has_under_way(&self) -> bool {
        !self.under_way.is_empty()
    }
}

impl Lane {
    /// What is in the log and not acknowledged is given up: words by which streams are over are said once more, on a
    /// channel whose lanes come back.
    pub(in crate::shard) fn give_up_words(&mut self) {
        if self.log.keeps_messages() {
            self.streams.give_up_words();
        }
    }

    /// Messages have left the log: those of streams among them make room for more. True if streams wait for
    /// that.
    pub(in crate::shard) fn settle_streams(&mut self) -> bool {
        if !self.streams.has_under_way() {
            return !self.streams.is_empty();
        }
        let ledger = &self.log.ledger;
        let open = if self.log.keeps_messages() {
            ledger.queued() + ledger.in_flight()
        } else {
            ledger.queued()
        };
        let settled = ledger.accepted() - open;
        let left = self.streams.left(settled, self.log.peer_incarnation());
        self.address().gate.left_beside(left);
        !self.streams.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::StreamError;
    use crate::mailboxes::Mailboxes;
    use crate::peer::{LaneCells, Peer};
    use crate::stream_book::{StreamBook, StreamLimits};
    use crate::wire::stream::{CancelReason, Side};

    #[test]
    fn a_stream_of_which_only_a_process_that_is_gone_knows_has_ended() {
        let limits = StreamLimits {
            streams_max: 8,
            window_bytes: 1 << 20,
            chunk_bytes: 1 << 10,
        };
        let names = Mailboxes::new(Vec::new());
        let words = names.get("words").expect("a name");
        let book = StreamBook::new(words, limits, 1, 1);
        let peer = Peer::new(Arc::from("b"), false, LaneCells::new(0, 1, 0, 1));
        let peer = Arc::new(peer);
        let open = || book.open(&peer, &names, |_| 0).expect("there is room");
        let (heard, waiting) = (open(), open());
        let mut lane = LaneStreams::default();
        lane.put(1, 10, Said::Open(Arc::clone(&heard)));
        lane.put(2, 10, Said::Open(Arc::clone(&waiting)));
        assert_eq!(lane.left(1, Some(7)), 10);
        // A connection to the next process comes: what is still in the log goes to that.
        book.lane_came(&peer, 0, 8);
        assert!(book.outgoing(&peer, heard.id).is_none());
        assert!(book.outgoing(&peer, waiting.id).is_some());
        assert_eq!(lane.left(2, Some(8)), 10);
        book.lane_came(&peer, 0, 8);
        assert!(book.outgoing(&peer, waiting.id).is_some());
        let ended = book.lane_ended(&peer, 0, &StreamError::Over);
        assert_eq!(ended.len(), 1);
    }

    #[test]
    fn the_last_words_of_streams_are_said_again_and_no_others() {
        let cancel = |id| Word::Cancel {
            id,
            by: Side::Reader,
            reason: CancelReason::Dropped,
            why: "enough".into(),
        };
        let window = Word::Window {
            id: 1,
            granted: 2,
            received: 1,
            read: 1,
        };
        let mut lane = LaneStreams::default();
        lane.put(1, 10, Said::Over(cancel(1)));
        lane.put(2, 10, Said::Other);
        lane.put(3, 10, Said::Over(Word::Done { id: 2 }));
        lane.words.extend([window, cancel(3)]);
        assert_eq!(lane.left(1, None), 10, "the peer has the first");
        lane.give_up_words();
        assert!(lane.is_empty());
        lane.give_up_words();
        assert_eq!(lane.take_given_up(), [Word::Done { id: 2 }, cancel(3)]);
        assert_eq!(lane.left(3, None), 20, "it is in the log still");
        let many = 2 * GIVEN_UP_MAX as u64;
        lane.say_later((0..many).map(cancel));
        let kept = lane.take_given_up();
        assert_eq!(kept.len(), GIVEN_UP_MAX);
        assert_eq!(kept.back(), Some(&cancel(many - 1)));
    }
}
