//! What the application broadcasts or publishes, as it travels: what it is, which channel and mailbox, or topic, it is
//! for, then its bytes.
//!
//! Membership and the conductor of switches broadcast over the same trees, in messages of the same form. So
//! a payload of the application begins with [`MARK`]: that is how a hop knows that a message belongs on a
//! channel's own lanes, with its priority and within its bounds, and not on the engine's. One that lies
//! about it is sent on that channel, and that is all.

use bytes::{BufMut, Bytes, BytesMut};

use super::kind::BroadcastKind;
use super::names::{put_name, take_name};

/// First bytes of every payload of the application; what other layers broadcast begins with a short length.
const MARK: [u8; 8] = *b"\xffOVLNapp";

/// What kind of thing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// A broadcast to a mailbox of every member.
    Broadcast(BroadcastKind),
    /// A publication to a topic.
    Topic,
}

impl Sort {
    pub(super) const COUNT: usize = 5;

    /// All of them, by their number.
    pub(super) const ALL: [Self; Self::COUNT] = [
        Self::Broadcast(BroadcastKind::Plain),
        Self::Broadcast(BroadcastKind::Causal),
        Self::Broadcast(BroadcastKind::Atomic),
        Self::Broadcast(BroadcastKind::Epidemic),
        Self::Topic,
    ];

    /// Its number: on the wire, and among counters.
    pub(super) const fn index(self) -> usize {
        match self {
            Self::Broadcast(BroadcastKind::Plain) => 0,
            Self::Broadcast(BroadcastKind::Causal) => 1,
            Self::Broadcast(BroadcastKind::Atomic) => 2,
            Self::Broadcast(BroadcastKind::Epidemic) => 3,
            Self::Topic => 4,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Broadcast(kind) => kind.name(),
            Self::Topic => "topic",
        }
    }
}

/// A broadcast or publication of the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Addressed {
    /// As its sender says; it is counted so.
    pub(super) sort: Sort,
    pub(super) channel: String,
    /// The mailbox, or the topic.
    pub(super) to: String,
    pub(super) payload: Bytes,
}

impl Addressed {
    /// As one piece of bytes. Names are of at most 255 bytes.
    pub(super) fn write(sort: Sort, channel: &str, to: &str, payload: &[u8]) -> Bytes {
        let length = MARK.len() + 3 + channel.len() + to.len() + payload.len();
        let mut bytes = BytesMut::with_capacity(length);
        bytes.put_slice(&MARK);
        bytes.put_u8(u8::try_from(sort.index()).unwrap_or(u8::MAX));
        for name in [channel, to] {
            put_name(&mut bytes, name);
        }
        bytes.put_slice(payload);
        bytes.freeze()
    }

    /// What a payload is and its channel; none if it is not the application's, or not well formed.
    pub(super) fn glance(body: &[u8]) -> Option<(Sort, &str)> {
        let (sort, rest) = take_sort(body)?;
        let (channel, _) = take_name(rest)?;
        Some((sort, channel))
    }

    /// Reads a payload; its bytes share memory with `body`. None if it is not well formed.
    pub(super) fn read(body: &Bytes) -> Option<Self> {
        let (sort, rest) = take_sort(body)?;
        let (channel, rest) = take_name(rest)?;
        let (to, rest) = take_name(rest)?;
        Some(Self {
            sort,
            channel: channel.to_owned(),
            to: to.to_owned(),
            payload: body.slice_ref(rest),
        })
    }
}

fn take_sort(body: &[u8]) -> Option<(Sort, &[u8])> {
    let (sort, rest) = body.strip_prefix(&MARK)?.split_first()?;
    Some((*Sort::ALL.get(usize::from(*sort))?, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_payload_is_read_as_it_was_written_without_a_copy() {
        for (index, sort) in Sort::ALL.into_iter().enumerate() {
            assert_eq!(sort.index(), index);
            let body = Addressed::write(sort, "data", "in", b"hello");
            assert_eq!(Addressed::glance(&body), Some((sort, "data")));
            let read = Addressed::read(&body).unwrap();
            assert_eq!((read.sort, &*read.channel, &*read.to), (sort, "data", "in"));
            assert_eq!(&read.payload[..], b"hello");
            assert_eq!(read.payload.as_ptr(), body[body.len() - 5..].as_ptr());
        }
    }

    #[test]
    fn what_is_cut_short_or_of_another_layer_is_none() {
        let body = Addressed::write(Sort::Topic, "data", "in", b"");
        for length in 0..body.len() {
            assert_eq!(Addressed::read(&body.slice(..length)), None);
        }
        assert!(Addressed::read(&body).is_some());
        assert_eq!(Addressed::glance(&body[1..]), None);
        let bad = Addressed::write(Sort::Topic, "da\nta", "in", b"");
        assert_eq!(Addressed::read(&bad), None);
        let mut unknown = body.to_vec();
        unknown[MARK.len()] = 5;
        assert_eq!(Addressed::read(&unknown.into()), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let marked = [&MARK[..], &bytes].concat();
            for bytes in [bytes, marked] {
                if let Some(read) = Addressed::read(&bytes.clone().into()) {
                    let again = Addressed::write(read.sort, &read.channel, &read.to, &read.payload);
                    prop_assert_eq!(&again[..], &bytes[..]);
                }
            }
        }
    }
}
