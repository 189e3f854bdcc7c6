//! What the two ends of a stream say to each other: words in messages to one mailbox, and the name of the
//! mailbox that a stream's data goes to.
//!
//! A stream has no frames of its own. Its words are messages to [`STREAMS`], its chunks are messages to a mailbox
//! whose name is made of the stream's id; so reliability, order, acknowledgement and resuming are those of
//! the lane, and a chunk is sent and received in place. Called by the book of streams and by shards; decides
//! nothing: that is `delivery::stream`'s.
//!
//! A message that is too large for a frame comes as a stream too, which the node reads itself.

use super::name::{NAME_BYTES_MAX, read_name};

/// The mailbox that the words of streams go to.
pub const STREAMS: &str = "overlane.streams";

/// What the name of the mailbox for a stream's data begins with; the stream's id follows, in 16 hexadecimal
/// digits.
const DATA_PREFIX: &str = "overlane.stream.";

const ID_DIGITS: usize = 16;

/// The most bytes of the text in [`Word::Cancel`].
pub const WHY_BYTES_MAX: usize = 200;

/// What a mailbox is to streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamPlace {
    /// Words come here.
    Words,
    /// The data of the stream with that id.
    Data(u64),
}

/// What the mailbox of that name is to streams, if it is anything.
#[must_use]
pub fn stream_place(mailbox: &str) -> Option<StreamPlace> {
    if mailbox == STREAMS {
        return Some(StreamPlace::Words);
    }
    let digits = mailbox.strip_prefix(DATA_PREFIX)?;
    let is_number =
        digits.len() == ID_DIGITS && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let id = u64::from_str_radix(digits, 16).ok().filter(|_| is_number)?;
    Some(StreamPlace::Data(id))
}

/// The name of the mailbox for the data of a stream.
#[must_use]
pub fn data_mailbox(id: u64) -> String {
    format!("{DATA_PREFIX}{id:016x}")
}

/// Which end of a stream ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one that writes, which opened it.
    Writer,
    /// The one that reads.
    Reader,
}

/// Why one end of a stream ends it before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CancelReason {
    /// The application says so; a text may say why.
    Application = 0,
    /// The application let go of its end.
    Dropped = 1,
    /// Nobody accepts streams at that mailbox.
    NobodyAccepts = 2,
    /// The node has as many open streams of that peer as it allows.
    TooMany = 3,
    /// What came is not what was sent.
    ChecksumMismatch = 4,
    /// There is no such stream any more.
    Unknown = 5,
    /// The channel is one whose messages may be dropped.
    NotReliable = 6,
}

impl CancelReason {
    const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Application,
            1 => Self::Dropped,
            2 => Self::NobodyAccepts,
            3 => Self::TooMany,
            4 => Self::ChecksumMismatch,
            5 => Self::Unknown,
            6 => Self::NotReliable,
            _ => return None,
        })
    }
}

/// One word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// From the writer: there is a stream of that id, for that mailbox.
    Open {
        /// Unique among the writer's streams.
        id: u64,
        /// Where a reader is looked for.
        mailbox: Box<str>,
    },
    /// From the reader: how far the writer may write. All counts are bytes since the stream's beginning.
    Window {
        /// The stream.
        id: u64,
        /// The writer may write up to here.
        granted: u64,
        /// So much has come.
        received: u64,
        /// So much the application has read.
        read: u64,
    },
    /// From the writer, behind its last chunk.
    Finish {
        /// The stream.
        id: u64,
        /// How long it was.
        bytes: u64,
        /// CRC-64/NVME of all of it.
        checksum: u64,
    },
    /// From the reader: the application has read all of it, and the checksum was right.
    Done {
        /// The stream.
        id: u64,
    },
    /// From the writer, in place of `Open`: a message of so many bytes, for that mailbox, comes as the stream of that
    /// id. It is handed over when it is whole, which is said with `Done`.
    Message {
        /// Unique among the writer's streams.
        id: u64,
        /// Its length, at most what the terms of the lane say.
        bytes: u64,
        /// Whom it is for.
        mailbox: Box<str>,
    },
    /// From either: the stream is over.
    Cancel {
        /// The stream.
        id: u64,
        /// Who says so.
        by: Side,
        /// Why.
        reason: CancelReason,
        /// In the application's own words, at most [`WHY_BYTES_MAX`] bytes.
        why: Box<str>,
    },
}

const OPEN: u8 = 1;
const WINDOW: u8 = 2;
const FINISH: u8 = 3;
const DONE: u8 = 4;
const CANCEL: u8 = 5;
const MESSAGE: u8 = 6;

impl Word {
    /// Whether its sender keeps nothing of the stream any more.
    #[must_use]
    pub const fn is_last(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Cancel { .. })
    }

    /// As the payload of a message.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64);
        let mut put = |kind: u8, id: &u64| {
            bytes.push(kind);
            bytes.extend_from_slice(&id.to_le_bytes());
        };
        match self {
            Self::Open { id, mailbox } => {
                put(OPEN, id);
                bytes.extend_from_slice(mailbox.as_bytes());
            }
            Self::Window {
                id,
                granted,
                received,
                read,
            } => {
                put(WINDOW, id);
                for count in [granted, received, read] {
                    bytes.extend_from_slice(&count.to_le_bytes());
                }
            }
            Self::Finish {
                id,
                bytes: length,
                checksum,
            } => {
                put(FINISH, id);
                bytes.extend_from_slice(&length.to_le_bytes());
                bytes.extend_from_slice(&checksum.to_le_bytes());
            }
            Self::Done { id } => put(DONE, id),
            Self::Message {
                id,
                bytes: length,
                mailbox,
            } => {
                put(MESSAGE, id);
                bytes.extend_from_slice(&length.to_le_bytes());
                bytes.extend_from_slice(mailbox.as_bytes());
            }
            Self::Cancel {
                id,
                by,
                reason,
                why,
            } => {
                put(CANCEL, id);
                bytes.push(u8::from(*by == Side::Reader));
                bytes.push(*reason as u8);
                bytes.extend_from_slice(cut(why).as_bytes());
            }
        }
        bytes
    }

    /// Reads the payload of a message; `None` if no well-behaved node sends it.
    #[must_use]
    pub fn decode(payload: &[u8]) -> Option<Self> {
        let (&kind, rest) = payload.split_first()?;
        let (id, rest) = number(rest)?;
        match kind {
            OPEN => {
                let mailbox = read_name(rest).ok()?.into();
                Some(Self::Open { id, mailbox })
            }
            WINDOW => {
                let (granted, rest) = number(rest)?;
                let (received, rest) = number(rest)?;
                let (read, rest) = number(rest)?;
                rest.is_empty().then_some(Self::Window {
                    id,
                    granted,
                    received,
                    read,
                })
            }
            FINISH => {
                let (bytes, rest) = number(rest)?;
                let (checksum, rest) = number(rest)?;
                rest.is_empty().then_some(Self::Finish {
                    id,
                    bytes,
                    checksum,
                })
            }
            DONE => rest.is_empty().then_some(Self::Done { id }),
            MESSAGE => {
                let (bytes, rest) = number(rest)?;
                let mailbox = read_name(rest).ok()?.into();
                Some(Self::Message { id, bytes, mailbox })
            }
            CANCEL => {
                let (&[by, code], text) = rest.split_first_chunk()?;
                let by = match by {
                    0 => Side::Writer,
                    1 => Side::Reader,
                    _ => return None,
                };
                let why = str::from_utf8(text).ok();
                let why = why.filter(|why| why.len() <= WHY_BYTES_MAX)?.into();
                Some(Self::Cancel {
                    id,
                    by,
                    reason: CancelReason::from_code(code)?,
                    why,
                })
            }
            _ => None,
        }
    }
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_le_bytes(*number), rest))
}

/// The beginning of a text, as much as may be said.
fn cut(why: &str) -> &str {
    let mut end = why.len().min(WHY_BYTES_MAX);
    while !why.is_char_boundary(end) {
        end -= 1;
    }
    &why[..end]
}

/// Reads arbitrary bytes as a word: it must not panic, and what is accepted has one encoding.
#[doc(hidden)]
pub fn fuzz_word(bytes: &[u8]) {
    if let Some(word) = Word::decode(bytes) {
        assert_eq!(word.encode(), bytes, "{word:?}");
    }
}

const _: () = assert!(DATA_PREFIX.len() + ID_DIGITS <= NAME_BYTES_MAX);

#[cfg(test)]
mod tests {
    use super::*;

    fn words() -> Vec<Word> {
        let id = 0x0123_4567_89ab_cdef;
        vec![
            Word::Open {
                id,
                mailbox: "files".into(),
            },
            Word::Window {
                id,
                granted: 1 << 20,
                received: 70_000,
                read: 65_536,
            },
            Word::Finish {
                id,
                bytes: 5,
                checksum: u64::MAX,
            },
            Word::Done { id },
            Word::Cancel {
                id,
                by: Side::Reader,
                reason: CancelReason::Application,
                why: "the disk is full".into(),
            },
            Word::Message {
                id,
                bytes: 3 << 20,
                mailbox: "reports".into(),
            },
        ]
    }

    #[test]
    fn words_go_over_the_wire_and_back() {
        for word in words() {
            assert_eq!(Word::decode(&word.encode()), Some(word));
        }
    }

    #[test]
    fn a_word_that_is_cut_or_goes_on_is_none() {
        for word in words() {
            let mut bytes = word.encode();
            for length in 0..9.min(bytes.len()) {
                assert_eq!(Word::decode(&bytes[..length]), None, "{word:?}, {length}");
            }
            if let Word::Window { .. } | Word::Finish { .. } | Word::Done { .. } = word {
                bytes.push(0);
                assert_eq!(Word::decode(&bytes), None, "{word:?}");
                bytes.truncate(bytes.len() - 2);
                assert_eq!(Word::decode(&bytes), None, "{word:?}");
            }
        }
        for bad in [
            &[0, 1, 2, 3, 4, 5, 6, 7, 8][..],
            &[7, 1, 2, 3, 4, 5, 6, 7, 8],
            &[MESSAGE, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8],
            &[MESSAGE, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7],
            &[OPEN, 1, 2, 3, 4, 5, 6, 7, 8],
            &[OPEN, 1, 2, 3, 4, 5, 6, 7, 8, b'\n'],
            &[CANCEL, 1, 2, 3, 4, 5, 6, 7, 8, 2, 0],
            &[CANCEL, 1, 2, 3, 4, 5, 6, 7, 8, 0, 7],
            &[CANCEL, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0xff],
        ] {
            assert_eq!(Word::decode(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_reason_in_words_is_cut_between_characters() {
        let word = Word::Cancel {
            id: 1,
            by: Side::Writer,
            reason: CancelReason::Application,
            why: "é".repeat(WHY_BYTES_MAX).into(),
        };
        let Some(Word::Cancel { why, .. }) = Word::decode(&word.encode()) else {
            panic!("it can be read");
        };
        assert_eq!(&*why, "é".repeat(WHY_BYTES_MAX / 2));
    }

    #[test]
    fn the_mailbox_of_a_stream_says_which_one_it_is() {
        for id in [0, 1, 0xabc, u64::MAX] {
            let place = stream_place(&data_mailbox(id));
            assert_eq!(place, Some(StreamPlace::Data(id)));
        }
        assert_eq!(stream_place(STREAMS), Some(StreamPlace::Words));
        for other in [
            "overlane.stream.",
            "overlane.stream.1",
            "overlane.stream.+123456789abcdef",
            "overlane.stream.0000000000000000f",
            "overlane.streams2",
            "files",
        ] {
            assert_eq!(stream_place(other), None, "{other}");
        }
    }
}
