//! The extension of a frame: a bounded block of typed, length-prefixed entries in front of the body,
//! there only if the frame's header says so.
//!
//! `frame.rs` checks a block once, when the frame is decoded; afterwards an [`Extension`] is a slice
//! of the receive buffer that is known to be good, and reading it neither allocates nor fails.
//! [`ExtensionWriter`] writes one into memory of the caller, so that the data path can keep it on
//! the stack or in a ring. What an entry is for (requests, routing, traces) is the caller's matter.
use super::causes::Causes;
use super::close::CloseReason;
use super::name::{NameError, read_name};
use super::trace::TraceContext;

/// The most bytes of all entries of one extension.
pub const EXTENSION_BYTES_MAX: usize = 2048;

/// The most entries of one extension.
pub const EXTENSION_ENTRIES_MAX: usize = 32;

/// The most key=value pairs of one message; [`EXTENSION_BYTES_MAX`] bounds what type, keys and values take together.
pub const METADATA_PAIRS_MAX: usize = 8;

/// Bytes in front of an entry's value: its type, and the length of the value.
pub const ENTRY_HEADER_BYTES: usize = 3;

/// Types from here up are optional: a receiver that does not know one passes over the entry.
pub const OPTIONAL_ENTRY_BIT: u8 = 0x80;

const CORRELATION: u8 = 0x01;
const DEADLINE: u8 = 0x81;
const MESSAGE_TYPE: u8 = 0x82;
const METADATA: u8 = 0x83;
const TRACE: u8 = 0x84;
const RECEIPT: u8 = 0x88;
const KEY: u8 = 0x89;
const CAUSES: u8 = 0x8a;

const CORRELATION_BYTES: usize = 9;
const DEADLINE_BYTES: usize = 4;
const TRACE_BYTES: usize = 25;
const RECEIPT_BYTES: usize = 8;
const KEY_BYTES: usize = 8;

/// A checked extension, in its encoding without the length in front. Empty where a frame has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extension<'a> {
    entries: &'a [u8],
}

/// Bytes of the extension that `body` begins with, its length included. The body is this node's own, or
/// of a frame that was decoded.
#[must_use]
pub fn extension_block_bytes(body: &[u8]) -> usize {
    let length = body
        .first_chunk()
        .map_or(0, |bytes| u16::from_le_bytes(*bytes));
    size_of::<u16>() + usize::from(length)
}

/// Where the value of a block's deadline stands, if it has one. The block, its length in front, is this
/// node's own, or of a frame that was decoded.
pub(crate) fn deadline_place(block: &[u8]) -> Option<usize> {
    let mut at = size_of::<u16>();
    // Entries stand in the order of their types.
    if *block.get(at)? == CORRELATION {
        at += ENTRY_HEADER_BYTES + CORRELATION_BYTES;
    }
    let end = at + ENTRY_HEADER_BYTES + DEADLINE_BYTES;
    let is_there = *block.get(at)? == DEADLINE && end <= extension_block_bytes(block);
    is_there.then_some(at + ENTRY_HEADER_BYTES)
}

/// The deadline of a block, if it has one; see [`deadline_place`].
pub(crate) fn deadline_of(block: &[u8]) -> Option<u32> {
    let value = block.get(deadline_place(block)?..)?;
    value.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

/// Writes another deadline into a block that has one; see [`deadline_place`].
pub(crate) fn set_deadline(block: &mut [u8], deadline_ms: u32) {
    if let Some(at) = deadline_place(block)
        && let Some(value) = block.get_mut(at..at + DEADLINE_BYTES)
    {
        value.copy_from_slice(&deadline_ms.to_le_bytes());
    }
}

/// What an exchange of messages is known by at the node that began it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Correlation {
    /// Chosen by the node that asks; unique among its open requests to that peer.
    pub id: u64,
    /// What this message is in the exchange.
    pub role: Role,
}

/// What a message is in an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Role {
    /// It asks for a reply.
    Request = 0,
    /// It answers the request of that id.
    Reply = 1,
    /// It answers the request of that id with a failure; the body is a text for the log.
    Failure = 2,
    /// The node that asked wants no reply to the request of that id any more.
    Cancel = 3,
}

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// The message is part of an exchange. Mandatory: whoever does not know it cannot reply.
    Correlation(Correlation),
    /// Milliseconds from the sending until the message is worth nothing any more. Relative, because
    /// the clocks of two nodes differ.
    DeadlineMs(u32),
    /// What the payload is, 1 to 255 bytes of text without control characters.
    MessageType(&'a str),
    /// A key, as [`Entry::MessageType`] in form, and any bytes; there may be several.
    Metadata {
        /// The key.
        key: &'a str,
        /// The value.
        value: &'a [u8],
    },
    /// Where the message stands in a trace.
    Trace(TraceContext),
    /// By what number the sender knows the message, to tell what became of it. Receivers pass over it.
    Receipt(u64),
    /// The key of a message on a monotonic channel: a newer one with the same key stands for it.
    Key(u64),
    /// On a causal channel: the message's number, and what has to be delivered before it.
    Causes(Causes<'a>),
    /// An entry of a later version that need not be understood.
    Unknown {
        /// Its type.
        entry_type: u8,
        /// Its value.
        value: &'a [u8],
    },
}

/// An extension that no well-behaved peer sends, or one that cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExtensionError {
    /// The block is over its limit.
    #[error("an extension of {bytes} bytes: at most {EXTENSION_BYTES_MAX} are allowed")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// There are more entries than allowed.
    #[error("an extension has more than {EXTENSION_ENTRIES_MAX} entries")]
    TooManyEntries,
    /// The block or an entry ends before its stated length.
    #[error("an extension ends before the length that it states")]
    CutOff,
    /// The flag is set and nothing follows.
    #[error("an extension without entries: the flag has to be unset then")]
    Empty,
    /// An entry has a type below the one in front of it, or the same where only one is allowed.
    #[error("an entry of type {entry_type:#04x} is out of order, or there twice")]
    OutOfOrder {
        /// The type that came too late.
        entry_type: u8,
    },
    /// A type that is neither known nor optional.
    #[error("entries of type {entry_type:#04x} are mandatory and not known here")]
    UnknownMandatory {
        /// The type.
        entry_type: u8,
    },
    /// The value is none that the type can have.
    #[error("an entry of type {entry_type:#04x} has a value that it cannot have")]
    BadValue {
        /// The type.
        entry_type: u8,
    },
    /// A type or key is no name.
    #[error("an entry of type {entry_type:#04x}: {error}")]
    BadName {
        /// The entry's type.
        entry_type: u8,
        /// What is wrong with it.
        error: NameError,
    },
    /// The memory given to the writer is full.
    #[error("the buffer of {bytes} bytes has no room for the next entry")]
    NoRoom {
        /// The length of the buffer.
        bytes: usize,
    },
}

impl ExtensionError {
    /// The reason to close the lane with.
    #[must_use]
    pub const fn close_reason(&self) -> CloseReason {
        match self {
            Self::TooLarge { .. } => CloseReason::FrameTooLarge,
            Self::UnknownMandatory { .. } => CloseReason::UnknownExtension,
            _ => CloseReason::FrameMalformed,
        }
    }
}

impl<'a> Extension<'a> {
    /// That of a frame without one.
    pub const NONE: Self = Self { entries: &[] };

    /// Checks entries in their encoding; none at all are [`Extension::NONE`].
    ///
    /// # Errors
    /// [`ExtensionError`] if a bound is exceeded, an entry cannot be read, or one is mandatory and
    /// not known.
    pub fn check(entries: &'a [u8]) -> Result<Self, ExtensionError> {
        if entries.len() > EXTENSION_BYTES_MAX {
            let bytes = entries.len();
            return Err(ExtensionError::TooLarge { bytes });
        }
        let (mut rest, mut before, mut count) = (entries, 0, 0);
        while let Some((entry_type, value, after)) = split_entry(rest)? {
            count += 1;
            if count > EXTENSION_ENTRIES_MAX {
                return Err(ExtensionError::TooManyEntries);
            }
            check_order(before, entry_type)?;
            read_entry(entry_type, value)?;
            (rest, before) = (after, entry_type);
        }
        Ok(Self { entries })
    }

    /// What a block says, its length in front, that was checked when its frame was decoded, or written
    /// by this node; none if the block is empty.
    pub(crate) fn in_block(block: &'a [u8]) -> Self {
        let entries = block.get(size_of::<u16>()..).unwrap_or_default();
        debug_assert!(Self::check(entries).is_ok(), "it was checked before");
        Self { entries }
    }

    /// Whether there is none.
    #[inline]
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.entries.is_empty()
    }

    /// The entries in their encoding: what [`Extension::check`] takes.
    #[inline]
    #[must_use]
    pub const fn encoded(self) -> &'a [u8] {
        self.entries
    }

    /// The entries in order.
    pub fn entries(self) -> impl Iterator<Item = Entry<'a>> {
        let mut rest = self.entries;
        std::iter::from_fn(move || {
            // Checked when this was made, so an error never occurs.
            let (entry_type, value, after) = split_entry(rest).ok()??;
            rest = after;
            read_entry(entry_type, value).ok()
        })
    }

    /// Which exchange the message is part of.
    #[must_use]
    pub fn correlation(self) -> Option<Correlation> {
        self.entries().find_map(|entry| match entry {
            Entry::Correlation(correlation) => Some(correlation),
            _ => None,
        })
    }

    /// Milliseconds from the sending until nobody waits any more.
    #[must_use]
    pub fn deadline_ms(self) -> Option<u32> {
        self.entries().find_map(|entry| match entry {
            Entry::DeadlineMs(deadline_ms) => Some(deadline_ms),
            _ => None,
        })
    }

    /// What the payload is.
    #[must_use]
    pub fn message_type(self) -> Option<&'a str> {
        self.entries().find_map(|entry| match entry {
            Entry::MessageType(message_type) => Some(message_type),
            _ => None,
        })
    }

    /// The keys and values of the sender.
    pub fn metadata(self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.entries().filter_map(|entry| match entry {
            Entry::Metadata { key, value } => Some((key, value)),
            _ => None,
        })
    }

    /// The value of a key, the first if there are several.
    #[must_use]
    pub fn value_of(self, key: &str) -> Option<&'a [u8]> {
        self.metadata()
            .find_map(|(known, value)| (known == key).then_some(value))
    }

    /// By what number the sender waits for what becomes of the message.
    #[must_use]
    pub fn receipt(self) -> Option<u64> {
        self.entries().find_map(|entry| match entry {
            Entry::Receipt(number) => Some(number),
            _ => None,
        })
    }

    /// The key of a message on a monotonic channel.
    #[must_use]
    pub fn key(self) -> Option<u64> {
        self.entries().find_map(|entry| match entry {
            Entry::Key(key) => Some(key),
            _ => None,
        })
    }

    /// The message's number on a causal channel, and what has to be delivered before it.
    #[must_use]
    pub fn causes(self) -> Option<Causes<'a>> {
        self.entries().find_map(|entry| match entry {
            Entry::Causes(causes) => Some(causes),
            _ => None,
        })
    }

    /// Where the message stands in a trace.
    #[must_use]
    pub fn trace(self) -> Option<TraceContext> {
        self.entries().find_map(|entry| match entry {
            Entry::Trace(trace) => Some(trace),
            _ => None,
        })
    }
}

/// Writes entries into memory of the caller; a buffer of [`EXTENSION_BYTES_MAX`] is never too small.
///
/// Entries go in the order of their types, which is that of the methods here: an extension has one
/// encoding. One that is refused is not written, and the writer goes on.
#[derive(Debug)]
pub struct ExtensionWriter<'b> {
    buffer: &'b mut [u8],
    bytes: usize,
    entries: usize,
    before: u8,
}

impl<'b> ExtensionWriter<'b> {
    /// An extension without entries yet.
    pub fn new(buffer: &'b mut [u8]) -> Self {
        Self {
            buffer,
            bytes: 0,
            entries: 0,
            before: 0,
        }
    }

    /// Adds which exchange the message is part of.
    ///
    /// # Errors
    /// [`ExtensionError`] if it is there already, out of order, or has no room.
    pub fn correlation(&mut self, correlation: Correlation) -> Result<(), ExtensionError> {
        let id = correlation.id.to_le_bytes();
        self.entry(CORRELATION, &[&id, &[correlation.role as u8]])
    }

    /// Adds how many milliseconds from the sending somebody waits.
    ///
    /// # Errors
    /// As [`correlation`](Self::correlation).
    pub fn deadline_ms(&mut self, deadline_ms: u32) -> Result<(), ExtensionError> {
        self.entry(DEADLINE, &[&deadline_ms.to_le_bytes()])
    }

    /// Adds what the payload is.
    ///
    /// # Errors
    /// As [`correlation`](Self::correlation), and [`ExtensionError::BadName`] if it is empty, over
    /// 255 bytes, or has a control character.
    pub fn message_type(&mut self, message_type: &str) -> Result<(), ExtensionError> {
        self.entry(MESSAGE_TYPE, &[message_type.as_bytes()])
    }

    /// Adds a key and a value; any number of times.
    ///
    /// # Errors
    /// As [`message_type`](Self::message_type), for the key; none for being there already.
    pub fn metadata(&mut self, key: &str, value: &[u8]) -> Result<(), ExtensionError> {
        let key_bytes = u8::try_from(key.len()).map_err(|_| ExtensionError::BadName {
            entry_type: METADATA,
            error: NameError::TooLong { bytes: key.len() },
        })?;
        self.entry(METADATA, &[&[key_bytes], key.as_bytes(), value])
    }

    /// Adds where the message stands in a trace.
    ///
    /// # Errors
    /// As [`correlation`](Self::correlation).
    pub fn trace(&mut self, trace: &TraceContext) -> Result<(), ExtensionError> {
        self.entry(TRACE, &[&trace.trace_id, &trace.span_id, &[trace.flags]])
    }

    /// Adds the sender's own number for the message.
    ///
    /// # Errors
    /// As [`correlation`](Self::correlation).
    pub fn receipt(&mut self, number: u64) -> Result<(), ExtensionError> {
        self.entry(RECEIPT, &[&number.to_le_bytes()])
    }

    /// Adds the key of a message on a monotonic channel.
    ///
    /// # Errors
    /// As [`correlation`](Self::correlation).
    pub fn key(&mut self, key: u64) -> Result<(), ExtensionError> {
        self.entry(KEY, &[&key.to_le_bytes()])
    }

    /// Adds the number of a message on a causal channel and its causes, as
    /// [`encode_causes`](super::causes::encode_causes) writes them.
    ///
    /// # Errors
    /// As [`correlation`](Self::correlation), and [`ExtensionError::BadValue`] if they are not written so.
    pub fn causes(&mut self, encoded: &[u8]) -> Result<(), ExtensionError> {
        self.entry(CAUSES, &[encoded])
    }

    /// Adds entries that another extension has, which is written already.
    ///
    /// # Errors
    /// As [`correlation`](Self::correlation).
    pub(crate) fn copy(&mut self, other: Extension<'_>) -> Result<(), ExtensionError> {
        let mut rest = other.encoded();
        while let Some((entry_type, value, after)) = split_entry(rest)? {
            self.entry(entry_type, &[value])?;
            rest = after;
        }
        Ok(())
    }

    /// The extension as it goes into a frame.
    #[must_use]
    pub fn finish(self) -> Extension<'b> {
        let Self { buffer, bytes, .. } = self;
        Extension {
            entries: &buffer[..bytes],
        }
    }

    fn entry(&mut self, entry_type: u8, parts: &[&[u8]]) -> Result<(), ExtensionError> {
        check_order(self.before, entry_type)?;
        if self.entries == EXTENSION_ENTRIES_MAX {
            return Err(ExtensionError::TooManyEntries);
        }
        let value_bytes: usize = parts.iter().map(|part| part.len()).sum();
        let start = self.bytes + ENTRY_HEADER_BYTES;
        let end = start + value_bytes;
        let too_large = ExtensionError::TooLarge { bytes: end };
        let length = u16::try_from(value_bytes).map_err(|_| too_large)?;
        if end > EXTENSION_BYTES_MAX {
            return Err(too_large);
        }
        let bytes = self.buffer.len();
        let entry = self.buffer.get_mut(self.bytes..end);
        let entry = entry.ok_or(ExtensionError::NoRoom { bytes })?;
        let (header, mut value) = entry.split_at_mut(ENTRY_HEADER_BYTES);
        header[0] = entry_type;
        header[1..].copy_from_slice(&length.to_le_bytes());
        for part in parts {
            let (place, rest) = value.split_at_mut(part.len());
            place.copy_from_slice(part);
            value = rest;
        }
        read_entry(entry_type, &self.buffer[start..end])?;
        self.bytes = end;
        self.entries += 1;
        self.before = entry_type;
        Ok(())
    }
}

/// Types ascend, so that there is one encoding; only those that may repeat follow themselves.
fn check_order(before: u8, entry_type: u8) -> Result<(), ExtensionError> {
    let is_once = matches!(
        entry_type,
        CORRELATION | DEADLINE | MESSAGE_TYPE | TRACE | RECEIPT | KEY | CAUSES
    );
    if entry_type < before || (is_once && entry_type == before) {
        return Err(ExtensionError::OutOfOrder { entry_type });
    }
    Ok(())
}

type Split<'a> = (u8, &'a [u8], &'a [u8]);

/// The first entry: its type, its value, and what follows; `None` at the end.
fn split_entry(entries: &[u8]) -> Result<Option<Split<'_>>, ExtensionError> {
    if entries.is_empty() {
        return Ok(None);
    }
    let Some((&[entry_type, low, high], rest)) = entries.split_first_chunk() else {
        return Err(ExtensionError::CutOff);
    };
    let length = usize::from(u16::from_le_bytes([low, high]));
    match rest.split_at_checked(length) {
        Some((value, after)) => Ok(Some((entry_type, value, after))),
        None => Err(ExtensionError::CutOff),
    }
}

fn read_entry(entry_type: u8, value: &[u8]) -> Result<Entry<'_>, ExtensionError> {
    let bad_value = ExtensionError::BadValue { entry_type };
    let named = |error| ExtensionError::BadName { entry_type, error };
    match entry_type {
        CORRELATION => read_correlation(value).ok_or(bad_value),
        DEADLINE => {
            let bytes: [u8; DEADLINE_BYTES] = value.try_into().map_err(|_| bad_value)?;
            Ok(Entry::DeadlineMs(u32::from_le_bytes(bytes)))
        }
        MESSAGE_TYPE => read_name(value).map(Entry::MessageType).map_err(named),
        METADATA => {
            let (&length, rest) = value.split_first().ok_or(bad_value)?;
            let (key, value) = rest.split_at_checked(length.into()).ok_or(bad_value)?;
            let key = read_name(key).map_err(named)?;
            Ok(Entry::Metadata { key, value })
        }
        TRACE => read_trace(value).ok_or(bad_value),
        RECEIPT => {
            let bytes: [u8; RECEIPT_BYTES] = value.try_into().map_err(|_| bad_value)?;
            Ok(Entry::Receipt(u64::from_le_bytes(bytes)))
        }
        KEY => {
            let bytes: [u8; KEY_BYTES] = value.try_into().map_err(|_| bad_value)?;
            Ok(Entry::Key(u64::from_le_bytes(bytes)))
        }
        CAUSES => Causes::read(value).map(Entry::Causes).ok_or(bad_value),
        entry_type if entry_type & OPTIONAL_ENTRY_BIT != 0 => {
            Ok(Entry::Unknown { entry_type, value })
        }
        entry_type => Err(ExtensionError::UnknownMandatory { entry_type }),
    }
}

fn read_correlation(value: &[u8]) -> Option<Entry<'static>> {
    let value: &[u8; CORRELATION_BYTES] = value.try_into().ok()?;
    let (id, rest) = value.split_first_chunk()?;
    let &[role] = rest else { return None };
    let role = match role {
        0 => Role::Request,
        1 => Role::Reply,
        2 => Role::Failure,
        3 => Role::Cancel,
        _ => return None,
    };
    let id = u64::from_le_bytes(*id);
    Some(Entry::Correlation(Correlation { id, role }))
}

fn read_trace(value: &[u8]) -> Option<Entry<'static>> {
    let value: &[u8; TRACE_BYTES] = value.try_into().ok()?;
    let (trace_id, rest) = value.split_first_chunk()?;
    let (span_id, rest) = rest.split_first_chunk()?;
    let &[flags] = rest else { return None };
    Some(Entry::Trace(TraceContext {
        trace_id: *trace_id,
        span_id: *span_id,
        flags,
    }))
}

#[cfg(test)]
mod tests;
