//! A message on its way over other nodes, as it travels on its channel: whose it is, whom it is for, how many hops it may
//! go on; and what comes back, that it has arrived or why it has not.
//!
//! A few fixed bytes, names with their lengths, then the payload. Read within bounds, without allocating for what a length
//! claims. It knows no way.

use bytes::{BufMut, Bytes, BytesMut};

use crate::cluster::names::{put_name, take_name};
use crate::wire::name::NAME_BYTES_MAX;

/// Hops that anything goes at most, whatever its sender says.
pub(in crate::cluster) const TTL_MAX: u8 = 64;

/// The most bytes of it before the payload.
pub(in crate::cluster) const ENVELOPE_BYTES_MAX: usize = FIXED_BYTES + 3 * (1 + NAME_BYTES_MAX);

const FIXED_BYTES: usize = 3 + 8;
const TTL_AT: usize = 1;
const HOPS_AT: usize = 2;

/// Why one was not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::cluster) enum TurnedBack {
    /// A node on its way knows no way to its receiver.
    NoWay = 1,
    /// It went as many hops as it may.
    TooFar = 2,
    /// Its receiver has no such mailbox.
    NoMailbox = 3,
    /// A node on its way has no such channel.
    NoChannel = 4,
    /// A node on its way holds as much as it may.
    NoRoom = 5,
}

impl TurnedBack {
    const ALL: [Self; 5] = [
        Self::NoWay,
        Self::TooFar,
        Self::NoMailbox,
        Self::NoChannel,
        Self::NoRoom,
    ];

    /// For the event that reports it.
    pub(in crate::cluster) const fn sentence(self) -> &'static str {
        match self {
            Self::NoWay => "no way to the member over other nodes is known",
            Self::TooFar => "it is more hops away than relay_ttl",
            Self::NoMailbox => "the member has no such mailbox",
            Self::NoChannel => {
                "a node on the way has no such channel, or refuses what is as large on it"
            }
            Self::NoRoom => "a node on the way holds as much as it may of what is relayed",
        }
    }
}

/// What it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cluster) enum Kind {
    /// A message of the application.
    Message {
        /// Its receiver is to say that it has it.
        is_awaited: bool,
    },
    /// The receiver has the message of that number.
    Receipt,
    /// It was not delivered.
    TurnedBack(TurnedBack),
}

/// See the module's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cluster) struct Envelope {
    pub(in crate::cluster) kind: Kind,
    /// Hops that it may still go.
    pub(in crate::cluster) ttl: u8,
    /// Those that it has gone.
    pub(in crate::cluster) hops: u8,
    /// The number that the sender of the message has given it.
    pub(in crate::cluster) number: u64,
    /// Who sent this.
    pub(in crate::cluster) from: String,
    pub(in crate::cluster) to: String,
    /// Of a message.
    pub(in crate::cluster) mailbox: String,
    pub(in crate::cluster) payload: Bytes,
}

impl Envelope {
    /// As one piece of bytes.
    pub(in crate::cluster) fn write(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(ENVELOPE_BYTES_MAX + self.payload.len());
        bytes.put_u8(match self.kind {
            Kind::Message { is_awaited } => u8::from(is_awaited),
            Kind::Receipt => 2,
            Kind::TurnedBack(why) => 2 + why as u8,
        });
        bytes.put_u8(self.ttl);
        bytes.put_u8(self.hops);
        bytes.put_u64_le(self.number);
        for name in [&self.from, &self.to, &self.mailbox] {
            put_name(&mut bytes, name);
        }
        bytes.put_slice(&self.payload);
        bytes.freeze()
    }

    /// Reads what came; the payload shares its memory. None if it is not well formed.
    pub(in crate::cluster) fn read(bytes: &Bytes) -> Option<Self> {
        let (fixed, rest) = bytes.split_at_checked(FIXED_BYTES)?;
        let number = u64::from_le_bytes(fixed[3..].try_into().ok()?);
        let kind = match fixed[0] {
            0 => Kind::Message { is_awaited: false },
            1 => Kind::Message { is_awaited: true },
            2 => Kind::Receipt,
            why => Kind::TurnedBack(
                TurnedBack::ALL
                    .into_iter()
                    .find(|known| 2 + *known as u8 == why)?,
            ),
        };
        let (from, rest) = take_name(rest)?;
        let (to, rest) = take_name(rest)?;
        let (mailbox, rest) = match kind {
            Kind::Message { .. } => take_name(rest)?,
            _ if rest == [0] => ("", &rest[1..]),
            _ => return None,
        };
        Some(Self {
            kind,
            ttl: fixed[TTL_AT].min(TTL_MAX),
            hops: fixed[HOPS_AT],
            number,
            from: from.to_owned(),
            to: to.to_owned(),
            mailbox: mailbox.to_owned(),
            payload: bytes.slice_ref(rest),
        })
    }

    /// The bytes of one, a hop further: in place, if nobody else holds them.
    pub(in crate::cluster) fn a_hop_on(&self, bytes: Bytes) -> Bytes {
        let mut onward = bytes
            .try_into_mut()
            .unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        onward[TTL_AT] = self.ttl.saturating_sub(1);
        onward[HOPS_AT] = self.hops.saturating_add(1);
        onward.freeze()
    }

    /// What goes back to the sender of a message, which may be as many hops away as it came, and a few.
    pub(in crate::cluster) fn answer(&self, me: &str, kind: Kind) -> Self {
        Self {
            kind,
            ttl: self.hops.saturating_add(ANSWER_HOPS_MORE).min(TTL_MAX),
            hops: 0,
            number: self.number,
            from: me.to_owned(),
            to: self.from.clone(),
            mailbox: String::new(),
            payload: Bytes::new(),
        }
    }
}

/// The way back may be another one by now. 4: a guess.
const ANSWER_HOPS_MORE: u8 = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn envelope(kind: Kind) -> Envelope {
        let is_message = matches!(kind, Kind::Message { .. });
        Envelope {
            kind,
            ttl: 7,
            hops: 1,
            number: u64::MAX - 1,
            from: "a".to_owned(),
            to: "some.other".to_owned(),
            mailbox: if is_message { "in" } else { "" }.to_owned(),
            payload: if is_message {
                Bytes::from_static(b"hello")
            } else {
                Bytes::new()
            },
        }
    }

    fn kinds() -> impl Iterator<Item = Kind> {
        let others = [
            Kind::Message { is_awaited: false },
            Kind::Message { is_awaited: true },
            Kind::Receipt,
        ];
        let back = TurnedBack::ALL.map(Kind::TurnedBack);
        others.into_iter().chain(back)
    }

    #[test]
    fn it_is_read_as_it_was_written_and_a_hop_on_it_has_one_less() {
        for kind in kinds() {
            let sent = envelope(kind);
            let bytes = sent.write();
            assert_eq!(Envelope::read(&bytes), Some(sent.clone()));
            let on = Envelope::read(&sent.a_hop_on(bytes)).expect("well formed");
            assert_eq!((on.ttl, on.hops), (6, 2));
            assert_eq!(
                Envelope {
                    ttl: 7,
                    hops: 1,
                    ..on
                },
                sent
            );
        }
    }

    #[test]
    fn what_is_cut_short_or_says_too_much_is_none_or_bounded() {
        let bytes = envelope(Kind::Message { is_awaited: true }).write();
        for length in 0..bytes.len() - b"hello".len() {
            assert_eq!(Envelope::read(&bytes.slice(..length)), None);
        }
        let mut far = envelope(Kind::Receipt);
        far.ttl = 255;
        let read = Envelope::read(&far.write()).expect("well formed");
        assert_eq!(read.ttl, TTL_MAX);
        let mut long = envelope(Kind::Message { is_awaited: true }).answer("b", Kind::Receipt);
        assert_eq!((long.to.as_str(), long.ttl), ("a", 5));
        long.payload = Bytes::from_static(b"x");
        assert_eq!(
            Envelope::read(&long.write()),
            None,
            "an answer has no payload"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let bytes = Bytes::from(bytes);
            if let Some(read) = Envelope::read(&bytes) {
                let _ = read.a_hop_on(bytes);
            }
        }
    }
}
