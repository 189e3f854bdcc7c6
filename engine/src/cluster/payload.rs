//! What the application broadcasts, as it travels: which channel and mailbox it is for, then its bytes.
//!
//! Membership and the conductor of switches broadcast over the same trees, in messages of the same form. So
//! a payload of the application begins with [`MARK`]: that is how a hop knows that a message belongs on a
//! channel's own lanes, with its priority and within its bounds, and not on the engine's. One that lies
//! about it is sent on that channel, and that is all.

use bytes::{BufMut, Bytes, BytesMut};

use crate::wire::name::check_name;

/// First bytes of every payload of the application; what other layers broadcast begins with a short length.
const MARK: [u8; 8] = *b"\xffOVLNapp";

/// A broadcast of the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Addressed {
    pub(super) channel: String,
    pub(super) mailbox: String,
    pub(super) payload: Bytes,
}

impl Addressed {
    /// As one piece of bytes. Names are of at most 255 bytes.
    pub(super) fn write(channel: &str, mailbox: &str, payload: &[u8]) -> Bytes {
        let length = MARK.len() + 2 + channel.len() + mailbox.len() + payload.len();
        let mut bytes = BytesMut::with_capacity(length);
        bytes.put_slice(&MARK);
        for name in [channel, mailbox] {
            bytes.put_u8(u8::try_from(name.len()).unwrap_or(u8::MAX));
            bytes.put_slice(name.as_bytes());
        }
        bytes.put_slice(payload);
        bytes.freeze()
    }

    /// The channel of a payload; none if it is not the application's, or not well formed.
    pub(super) fn channel_of(body: &[u8]) -> Option<&str> {
        let (channel, _) = take_name(body.strip_prefix(&MARK)?)?;
        Some(channel)
    }

    /// Reads a payload; its bytes share memory with `body`. None if it is not well formed.
    pub(super) fn read(body: &Bytes) -> Option<Self> {
        let (channel, rest) = take_name(body.strip_prefix(&MARK)?)?;
        let (mailbox, rest) = take_name(rest)?;
        Some(Self {
            channel: channel.to_owned(),
            mailbox: mailbox.to_owned(),
            payload: body.slice_ref(rest),
        })
    }
}

fn take_name(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*length))?;
    let name = str::from_utf8(name).ok()?;
    check_name(name).ok()?;
    Some((name, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_read_as_it_was_written_without_a_copy() {
        let body = Addressed::write("data", "in", b"hello");
        assert_eq!(Addressed::channel_of(&body), Some("data"));
        let read = Addressed::read(&body).unwrap();
        assert_eq!((&*read.channel, &*read.mailbox), ("data", "in"));
        assert_eq!(&read.payload[..], b"hello");
        assert_eq!(read.payload.as_ptr(), body[body.len() - 5..].as_ptr());
    }

    #[test]
    fn what_is_cut_short_or_of_another_layer_is_none() {
        let body = Addressed::write("data", "in", b"");
        for length in 0..body.len() {
            assert_eq!(Addressed::read(&body.slice(..length)), None);
        }
        assert!(Addressed::read(&body).is_some());
        assert_eq!(Addressed::channel_of(&body[1..]), None);
        let bad = Addressed::write("da\nta", "in", b"");
        assert_eq!(Addressed::read(&bad), None);
    }
}
