//! Messages that are recorded and lie in an inbox, until the application takes them.
//!
//! Opened by the shard that puts one into an inbox, closed by whoever reads it; the number of its place travels beside the message. Bounded;
//! plain data behind the lock of `mod`.

use std::num::NonZeroU16;
use std::time::Instant;

use super::record::{Record, Standing, Subject};
use super::span::SpanStatus;
use crate::mailboxes::MailboxId;

/// Places that a message's tag can name.
pub(crate) const PLACES_MAX: usize = (1 << 15) - 1;

/// Where a place stands in the word beside a message in an inbox.
const PLACE_SHIFT: u32 = 16;

/// A place as it stands there; 0 for none.
pub(crate) fn place_bits(place: Option<NonZeroU16>) -> u32 {
    place.map_or(0, |place| u32::from(place.get()) << PLACE_SHIFT)
}

/// The place that stands there, if there is one.
pub(crate) fn place_in(extra: u32) -> Option<NonZeroU16> {
    // The highest bit is not the place's.
    let bits = (extra >> PLACE_SHIFT) & 0x7fff;
    u16::try_from(bits).ok().and_then(NonZeroU16::new)
}

/// One of them.
#[derive(Debug)]
pub(crate) struct OpenDelivery {
    pub(crate) standing: Standing,
    pub(crate) mailbox: MailboxId,
    pub(crate) subject: Subject,
    pub(crate) put: Instant,
}

impl OpenDelivery {
    /// It is over.
    pub(crate) fn ended(self, now: Instant, status: SpanStatus) -> Record {
        Record::of_delivery(self.standing, self.subject, (self.put, now), status)
    }
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Deliveries {
    places: Vec<Option<OpenDelivery>>,
    free: Vec<u16>,
    places_max: usize,
}

impl Deliveries {
    pub(crate) fn new(places_max: usize) -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
            places_max: places_max.min(PLACES_MAX),
        }
    }

    /// A place for it; `None` if there are none left.
    pub(crate) fn put(&mut self, delivery: OpenDelivery) -> Option<NonZeroU16> {
        let index = match self.free.pop() {
            Some(index) => index,
            None if self.places.len() < self.places_max => {
                self.places.push(None);
                u16::try_from(self.places.len() - 1).ok()?
            }
            None => return None,
        };
        self.places[usize::from(index)] = Some(delivery);
        NonZeroU16::new(index + 1)
    }

    /// It is not there any more.
    pub(crate) fn take(&mut self, place: NonZeroU16) -> Option<OpenDelivery> {
        let index = place.get() - 1;
        let delivery = self.places.get_mut(usize::from(index))?.take()?;
        self.free.push(index);
        Some(delivery)
    }

    /// All that wait in that mailbox's inbox, which is gone.
    pub(crate) fn take_of(&mut self, mailbox: MailboxId) -> Vec<OpenDelivery> {
        let mut gone = Vec::new();
        for (index, place) in self.places.iter_mut().enumerate() {
            if let Some(delivery) = place.take_if(|open| open.mailbox == mailbox) {
                gone.push(delivery);
                self.free.extend(u16::try_from(index));
            }
        }
        gone
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(mailbox: u32) -> OpenDelivery {
        OpenDelivery {
            standing: Standing {
                trace_id: [1; 16],
                span_id: [2; 8],
                parent: Some([3; 8]),
                flags: 1,
            },
            mailbox: MailboxId::from_words(mailbox, 0),
            subject: Subject {
                peer: "b".into(),
                channel: "data".into(),
                mailbox: "in".into(),
                bytes: 3,
            },
            put: Instant::now(),
        }
    }

    #[test]
    fn places_are_bounded_and_used_again() {
        let mut open = Deliveries::new(2);
        let first = open.put(delivery(1)).expect("there is room");
        let second = open.put(delivery(2)).expect("there is room");
        assert!(open.put(delivery(3)).is_none() && first != second);
        assert!(open.take(first).is_some() && open.take(first).is_none());
        assert_eq!(open.put(delivery(3)), Some(first));
        assert_eq!(open.len(), 2);
    }

    #[test]
    fn a_place_stands_beside_a_channel_and_a_mark() {
        let most = u16::try_from(PLACES_MAX).ok().and_then(NonZeroU16::new);
        for place in [None, NonZeroU16::new(1), most] {
            let extra = place_bits(place) | (1 << 31) | 0xffff;
            assert_eq!(place_in(extra), place);
            assert_eq!(extra & 0xffff, 0xffff);
        }
    }

    #[test]
    fn an_inbox_that_is_gone_takes_along_what_was_in_it_and_nothing_else() {
        let mut open = Deliveries::new(8);
        let kept = open.put(delivery(1)).expect("there is room");
        open.put(delivery(2)).expect("there is room");
        open.put(delivery(2)).expect("there is room");
        assert_eq!(open.take_of(MailboxId::from_words(2, 0)).len(), 2);
        assert_eq!(open.len(), 1);
        assert!(open.take(kept).is_some());
        assert_eq!(open.len(), 0);
    }
}
