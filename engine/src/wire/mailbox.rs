//! Mailbox ids of one lane: a name is sent once, then four bytes stand for it.
//!
//! The sender (`mailbox_ids.rs`) gives ids from 0 upwards in order of first use and announces each
//! before it uses it; when all are given, it announces one again with another name. Here is the
//! receiving side: it takes new ids only in that order and only up to a bound, so a peer can neither
//! leave holes nor fill memory. Each direction of a connection has its own ids, which end with it.
//! Called by the lanes of the shard.
use super::close::CloseReason;
use super::frame::Frame;
use super::name::{NameError, read_name};

/// An announcement or a use of a mailbox that breaks the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailboxError {
    /// The announced id is not the next one, nor one to be used again.
    #[error("mailbox id {id} was announced where {expected} is the next")]
    OutOfOrder {
        /// The id that came.
        id: u32,
        /// The next new id.
        expected: u32,
    },
    /// More mailboxes were announced than a lane may have.
    #[error("more than {limit} mailboxes were announced on one lane: use fewer mailbox names")]
    TooMany {
        /// The bound.
        limit: u32,
    },
    /// The announced name is none.
    #[error("a mailbox was announced under a bad name: {0}")]
    Name(#[from] NameError),
    /// A message is for an id that was never announced.
    #[error("a message is for mailbox id {id} but only ids below {announced} were announced")]
    NotAnnounced {
        /// The id in the message.
        id: u32,
        /// How many ids were announced before it.
        announced: u32,
    },
}

impl MailboxError {
    /// The reason to close the lane with.
    #[must_use]
    pub const fn close_reason(&self) -> CloseReason {
        CloseReason::BadMailbox
    }
}

/// The receiving side: what each announced id of a lane stands for, as a `T` of the caller
/// (a handler, an inbox, or a note that there is no such mailbox here).
#[derive(Clone, Debug)]
pub struct AnnouncedMailboxes<T> {
    by_id: Vec<T>,
    limit: u32,
    reuses: bool,
}

/// What an announcement did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announced {
    /// The id is new on this lane.
    New,
    /// The id has another name now; what it stood for is gone.
    Renamed,
}

impl<T> AnnouncedMailboxes<T> {
    /// No mailboxes yet, and at most `limit` of them; `reuses` if an id can be announced again,
    /// which it cannot on a lane of version 1.
    #[must_use]
    pub const fn new(limit: u32, reuses: bool) -> Self {
        Self {
            by_id: Vec::new(),
            limit,
            reuses,
        }
    }

    /// Takes an announcement, a frame of kind [`super::FrameKind::Mailbox`]; `resolve` turns the
    /// name into what messages to it need.
    ///
    /// # Errors
    /// [`MailboxError`] if the id is not the next one, there are too many, or the name is bad.
    pub fn announce(
        &mut self,
        frame: &Frame<'_>,
        resolve: impl FnOnce(&str) -> T,
    ) -> Result<Announced, MailboxError> {
        let expected = self.announced();
        if frame.word < expected && self.reuses {
            let name = read_name(frame.body)?;
            *self.get_mut(frame.word)? = resolve(name);
            return Ok(Announced::Renamed);
        }
        if frame.word != expected {
            return Err(MailboxError::OutOfOrder {
                id: frame.word,
                expected,
            });
        }
        if expected >= self.limit {
            return Err(MailboxError::TooMany { limit: self.limit });
        }
        let name = read_name(frame.body)?;
        self.by_id.push(resolve(name));
        Ok(Announced::New)
    }

    /// What a message's mailbox id stands for.
    ///
    /// # Errors
    /// [`MailboxError::NotAnnounced`] if the peer never announced it.
    #[inline]
    pub fn get(&self, id: u32) -> Result<&T, MailboxError> {
        match self.by_id.get(id as usize) {
            Some(mailbox) => Ok(mailbox),
            None => Err(MailboxError::NotAnnounced {
                id,
                announced: self.announced(),
            }),
        }
    }

    /// The same, to change it: for a mailbox that appears or goes after it was announced.
    ///
    /// # Errors
    /// [`MailboxError::NotAnnounced`] if the peer never announced it.
    pub fn get_mut(&mut self, id: u32) -> Result<&mut T, MailboxError> {
        let announced = self.announced();
        self.by_id
            .get_mut(id as usize)
            .ok_or(MailboxError::NotAnnounced { id, announced })
    }

    /// How many ids were announced.
    #[must_use]
    pub fn announced(&self) -> u32 {
        // `announce` stops at a limit that is a u32.
        u32::try_from(self.by_id.len()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Extension, FrameKind};

    fn announcement(id: u32, name: &[u8]) -> Frame<'_> {
        Frame {
            kind: FrameKind::Mailbox,
            word: id,
            extension: Extension::NONE,
            body: name,
        }
    }

    #[test]
    fn announcements_are_taken_in_order_and_up_to_the_limit() {
        let mut mailboxes = AnnouncedMailboxes::new(2, false);
        let error = MailboxError::OutOfOrder { id: 1, expected: 0 };
        assert_eq!(
            mailboxes.announce(&announcement(1, b"b"), str::len),
            Err(error)
        );
        assert_eq!(
            mailboxes.announce(&announcement(0, b"a"), str::len),
            Ok(Announced::New)
        );
        let error = MailboxError::OutOfOrder { id: 0, expected: 1 };
        assert_eq!(
            mailboxes.announce(&announcement(0, b"a"), str::len),
            Err(error)
        );
        assert_eq!(
            mailboxes.announce(&announcement(1, b"bbb"), str::len),
            Ok(Announced::New)
        );
        let error = MailboxError::TooMany { limit: 2 };
        assert_eq!(
            mailboxes.announce(&announcement(2, b"c"), str::len),
            Err(error)
        );
        assert_eq!((mailboxes.get(0), mailboxes.get(1)), (Ok(&1), Ok(&3)));
    }

    #[test]
    fn an_id_that_is_announced_again_stands_for_the_new_name_alone() {
        let mut mailboxes = AnnouncedMailboxes::new(2, true);
        for (id, name, expected) in [
            (0, &b"a"[..], Announced::New),
            (1, b"bb", Announced::New),
            (0, b"ccc", Announced::Renamed),
            (0, b"dddd", Announced::Renamed),
        ] {
            let announced = mailboxes.announce(&announcement(id, name), str::len);
            assert_eq!(announced, Ok(expected));
        }
        assert_eq!((mailboxes.get(0), mailboxes.get(1)), (Ok(&4), Ok(&2)));
        assert_eq!(mailboxes.announced(), 2);
        let error = MailboxError::TooMany { limit: 2 };
        let announced = mailboxes.announce(&announcement(2, b"e"), str::len);
        assert_eq!(announced, Err(error), "a new id is none that is used again");
        let bad = mailboxes.announce(&announcement(1, b"a\nb"), str::len);
        assert!(matches!(bad, Err(MailboxError::Name(_))));
        assert_eq!(mailboxes.get(1), Ok(&2), "a bad name changes nothing");
    }

    #[test]
    fn a_message_for_an_id_never_announced_is_an_error() {
        let mailboxes = AnnouncedMailboxes::<()>::new(8, true);
        let error = MailboxError::NotAnnounced {
            id: 0,
            announced: 0,
        };
        assert_eq!(mailboxes.get(0), Err(error));
        assert_eq!(error.close_reason(), CloseReason::BadMailbox);
        assert!(mailboxes.get(u32::MAX).is_err());
    }

    #[test]
    fn a_bad_name_announces_nothing() {
        let mut mailboxes = AnnouncedMailboxes::new(8, true);
        let long = [b'x'; 256];
        for name in [&b""[..], b"\xff", b"a\nb", &long] {
            let result = mailboxes.announce(&announcement(0, name), str::len);
            assert!(matches!(result, Err(MailboxError::Name(_))), "{name:?}");
        }
        assert_eq!(mailboxes.announced(), 0);
    }
}
