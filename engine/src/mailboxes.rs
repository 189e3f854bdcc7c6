//! The names of mailboxes on one node, and the numbers it gave them.
//!
//! Asked when a name is looked up, announced or given a receiver, never for a message: messages
//! carry the numbers. A name is there for as long as somebody holds a [`Mailbox`]; after that it is
//! given back as soon as no message in a ring can carry its number any more (`retired`). A number is
//! never used for a second name.

mod retired;

use std::collections::HashMap;
use std::fmt;
use std::hash::BuildHasherDefault;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::error::NameError;
use crate::ring::Producer;
use crate::wire::mailbox_ids::NumberHasher;
use retired::Retired;

/// Mailboxes of one node, its own and those it sends to.
pub(crate) const MAILBOXES_MAX: usize = 1 << 20;

/// Names that nobody holds are looked through once there are so many of them.
const RETIRED_MANY: usize = 256;

/// The number a node gave to a mailbox name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct MailboxId(u64);

impl MailboxId {
    /// As two words, the low one first.
    #[inline]
    pub(crate) const fn to_words(self) -> (u32, u32) {
        #[expect(clippy::cast_possible_truncation, reason = "each word is a half")]
        let words = (self.0 as u32, (self.0 >> 32) as u32);
        words
    }

    /// As one number; a node never gives it to another name.
    #[inline]
    pub(crate) const fn number(self) -> u64 {
        self.0
    }

    #[inline]
    pub(crate) const fn from_words(low: u32, high: u32) -> Self {
        Self((high as u64) << 32 | low as u64)
    }
}

/// Anything by the number of a mailbox.
pub(crate) type ByMailbox<T> = HashMap<MailboxId, T, BuildHasherDefault<NumberHasher>>;

/// A mailbox name as one node knows it: to send to that mailbox of any node. Cheap to clone; the name
/// is the node's for as long as one clone, or a [`Destination`](crate::Destination) made with it, is
/// there.
#[derive(Clone)]
pub struct Mailbox {
    id: MailboxId,
    held: Arc<Held>,
}

/// What all clones of a mailbox share.
struct Held {
    id: MailboxId,
    name: Arc<str>,
    book: Arc<Book>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.book.retire(self.id);
    }
}

impl Mailbox {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.held.name
    }

    #[inline]
    pub(crate) const fn id(&self) -> MailboxId {
        self.id
    }

    /// The node that it is of.
    #[inline]
    pub(crate) fn home(&self) -> Home {
        Home::of(&self.held.book)
    }
}

impl PartialEq for Mailbox {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.home() == other.home()
    }
}

impl Eq for Mailbox {}

impl fmt::Debug for Mailbox {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("Mailbox")
            .field(&self.name())
            .finish()
    }
}

/// Tells the nodes of one process apart: what was looked up on one is of no use on another. Compared
/// only beside something of that node that keeps its names alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Home(usize);

impl Home {
    /// Of what was put together from parts of two nodes.
    pub(crate) const NOWHERE: Self = Self(0);

    fn of(book: &Arc<Book>) -> Self {
        Self(Arc::as_ptr(book) as usize)
    }
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Mailboxes {
    book: Arc<Book>,
}

struct Book {
    names: Mutex<Names>,
    /// Grows with each new name: tells a shard that a name it did not find may be there now.
    version: AtomicU64,
}

#[derive(Default)]
struct Names {
    by_name: HashMap<Arc<str>, MailboxId>,
    by_id: ByMailbox<Entry>,
    next: u64,
    /// All rings in which a message can carry a number.
    rings: Vec<Producer>,
    retired: Retired,
}

struct Entry {
    name: Arc<str>,
    held: Weak<Held>,
    has_receiver: bool,
    /// How often the last one who held it let go.
    retirements: u64,
}

impl Mailboxes {
    /// No names yet; `rings` are all that messages of this node pass.
    pub(crate) fn new(rings: Vec<Producer>) -> Self {
        let names = Names {
            rings,
            ..Names::default()
        };
        Self {
            book: Arc::new(Book {
                names: Mutex::new(names),
                version: AtomicU64::new(0),
            }),
        }
    }

    /// Messages of this node pass these rings too from now on, and those that are finished no more.
    pub(crate) fn add_rings(&self, rings: &[Producer]) {
        let mut names = self.book.lock();
        // Nothing is in those of channels that were removed.
        names.rings.retain(|ring| !ring.is_finished());
        names.rings.extend_from_slice(rings);
    }

    pub(crate) fn home(&self) -> Home {
        Home::of(&self.book)
    }

    pub(crate) fn version(&self) -> u64 {
        self.book.version.load(Ordering::Acquire)
    }

    /// A name, known from now on if it was not.
    pub(crate) fn get(&self, name: &str) -> Result<Mailbox, NameError> {
        crate::wire::name::check_name(name).map_err(|error| NameError::malformed(name, &error))?;
        let mut names = self.book.lock();
        if let Some(&id) = names.by_name.get(name)
            && let Some(entry) = names.by_id.get_mut(&id)
        {
            let held = self.held(id, entry);
            return Ok(Mailbox { id, held });
        }
        if names.by_id.len() >= MAILBOXES_MAX {
            names.give_back();
        }
        if names.by_id.len() >= MAILBOXES_MAX {
            return Err(NameError::TooMany {
                kind: "mailboxes in use",
                names_max: MAILBOXES_MAX,
                parameter: "nothing: it is fixed",
            });
        }
        let id = MailboxId(names.next);
        names.next += 1;
        let name: Arc<str> = Arc::from(name);
        let held = self.hold(id, &name);
        let entry = Entry {
            name: Arc::clone(&name),
            held: Arc::downgrade(&held),
            has_receiver: false,
            retirements: 0,
        };
        names.by_name.insert(name, id);
        names.by_id.insert(id, entry);
        self.book.version.fetch_add(1, Ordering::Release);
        Ok(Mailbox { id, held })
    }

    fn hold(&self, id: MailboxId, name: &Arc<str>) -> Arc<Held> {
        Arc::new(Held {
            id,
            name: Arc::clone(name),
            book: Arc::clone(&self.book),
        })
    }

    /// The number of a name, if it has one. For names that come from outside: they make no entry.
    pub(crate) fn find(&self, name: &str) -> Option<MailboxId> {
        self.book.lock().by_name.get(name).copied()
    }

    /// Holds the mailbox with that number, which a message carries.
    pub(crate) fn hold_on(&self, id: MailboxId) -> Option<Mailbox> {
        let mut names = self.book.lock();
        let entry = names.by_id.get_mut(&id)?;
        let held = self.held(id, entry);
        Some(Mailbox { id, held })
    }

    /// The mailbox of that name, if it has a receiver. For names that come from outside: they make no entry.
    pub(crate) fn received(&self, name: &str) -> Option<Mailbox> {
        let mut names = self.book.lock();
        let id = *names.by_name.get(name)?;
        let entry = names.by_id.get_mut(&id)?;
        entry.has_receiver.then(|| Mailbox {
            id,
            held: self.held(id, entry),
        })
    }

    fn held(&self, id: MailboxId, entry: &mut Entry) -> Arc<Held> {
        entry.held.upgrade().unwrap_or_else(|| {
            let held = self.hold(id, &entry.name);
            entry.held = Arc::downgrade(&held);
            held
        })
    }

    /// The name of a number that is held, or that a message in a ring carries.
    pub(crate) fn name(&self, id: MailboxId) -> Option<Arc<str>> {
        let names = self.book.lock();
        names.by_id.get(&id).map(|entry| Arc::clone(&entry.name))
    }

    /// A mailbox gets its receiver: once.
    pub(crate) fn take(&self, name: &str) -> Result<Mailbox, NameError> {
        let mailbox = self.get(name)?;
        let mut names = self.book.lock();
        match names.by_id.get_mut(&mailbox.id) {
            Some(entry) if !entry.has_receiver => entry.has_receiver = true,
            _ => {
                // Letting go of a mailbox takes the lock.
                drop(names);
                return Err(NameError::MailboxTaken {
                    name: name.to_owned(),
                });
            }
        }
        drop(names);
        Ok(mailbox)
    }

    /// The receiver of a mailbox is gone: the mailbox can get another.
    pub(crate) fn vacate(&self, mailbox: &Mailbox) {
        if let Some(entry) = self.book.lock().by_id.get_mut(&mailbox.id) {
            entry.has_receiver = false;
        }
    }
}

impl Book {
    fn lock(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody holds a name any more; but somebody may have asked for it again by now.
    fn retire(&self, id: MailboxId) {
        let mut names = self.lock();
        let Some(entry) = names.by_id.get_mut(&id) else {
            return;
        };
        if entry.held.strong_count() > 0 {
            return;
        }
        entry.retirements += 1;
        let retirement = entry.retirements;
        names.retired.add(id, retirement);
        if names.retired.waiting() >= RETIRED_MANY {
            names.give_back();
        }
    }
}

impl Names {
    /// Forgets the names that nobody holds and no message carries.
    fn give_back(&mut self) {
        for (id, retirement) in self.retired.take_settled(&self.rings) {
            // Whoever asked for it in between keeps it, or has retired it again since.
            if let Some(entry) = self.by_id.get(&id)
                && entry.held.strong_count() == 0
                && entry.retirements == retirement
            {
                self.by_name.remove(&entry.name);
                self.by_id.remove(&id);
            }
        }
    }
}

impl fmt::Debug for Book {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.lock();
        formatter
            .debug_struct("Book")
            .field("names", &names.by_id.len())
            .finish()
    }
}

#[cfg(all(test, not(overlane_loom)))]
mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use crate::ring::{Tag, byte_ring};

    fn push(ring: &Producer, mailbox: &Mailbox) {
        let (low, high) = mailbox.id().to_words();
        let tag = Tag {
            lane: 0,
            mailbox: low,
            extra: high,
        };
        ring.try_push(tag, b"x").expect("there is room");
    }

    #[test]
    fn a_name_has_one_number_for_as_long_as_it_is_held() {
        let mailboxes = Mailboxes::new(Vec::new());
        let first = mailboxes.get("a").expect("a name");
        assert_eq!(mailboxes.get("a").as_ref(), Ok(&first));
        assert_ne!(mailboxes.get("b").as_ref(), Ok(&first));
        assert_eq!(mailboxes.find("a"), Some(first.id()));
        assert_eq!(mailboxes.name(first.id()).as_deref(), Some("a"));
        assert_eq!(first.name(), "a");
    }

    #[test]
    fn names_that_nobody_holds_are_given_back() {
        let mailboxes = Mailboxes::new(Vec::new());
        let kept = mailboxes.get("kept").expect("a name");
        for number in 0..10 * RETIRED_MANY {
            let name = format!("r{number}");
            drop(mailboxes.get(&name).expect("names are given back"));
        }
        let names = mailboxes.book.lock().by_id.len();
        assert!(names <= RETIRED_MANY + 1, "{names} names are kept");
        assert_eq!(mailboxes.find("kept"), Some(kept.id()));
        assert_eq!(mailboxes.find("r0"), None);
    }

    #[test]
    fn a_name_that_a_message_carries_can_be_read_until_the_message_is_taken() {
        let (producer, mut consumer) = byte_ring(1 << 16);
        let mailboxes = Mailboxes::new(vec![producer.clone()]);
        let carried = mailboxes.get("carried").expect("a name");
        let id = carried.id();
        push(&producer, &carried);
        drop(carried);
        for number in 0..4 * RETIRED_MANY {
            drop(mailboxes.get(&format!("r{number}")).expect("a name"));
        }
        assert_eq!(mailboxes.name(id).as_deref(), Some("carried"));
        consumer.drain(usize::MAX, |tag, _| {
            assert_eq!(MailboxId::from_words(tag.mailbox, tag.extra), id);
            ControlFlow::Continue(())
        });
        for number in 0..4 * RETIRED_MANY {
            drop(mailboxes.get(&format!("s{number}")).expect("a name"));
        }
        assert_eq!(mailboxes.name(id), None);
    }

    #[test]
    fn a_name_asked_for_again_while_it_waits_is_kept() {
        let (producer, mut consumer) = byte_ring(1 << 16);
        let mailboxes = Mailboxes::new(vec![producer.clone()]);
        let first = mailboxes.get("a").expect("a name");
        push(&producer, &first);
        let id = first.id();
        drop(first);
        let again = mailboxes.get("a").expect("a name");
        assert_eq!(again.id(), id);
        consumer.drain(usize::MAX, |_, _| ControlFlow::Continue(()));
        for number in 0..4 * RETIRED_MANY {
            drop(mailboxes.get(&format!("r{number}")).expect("a name"));
        }
        assert_eq!(mailboxes.find("a"), Some(id));
    }

    #[test]
    fn a_mailbox_has_one_receiver_until_that_is_gone() {
        let mailboxes = Mailboxes::new(Vec::new());
        let taken = mailboxes.take("a").expect("it is free");
        let refused = NameError::MailboxTaken {
            name: "a".to_owned(),
        };
        assert_eq!(mailboxes.take("a"), Err(refused));
        mailboxes.vacate(&taken);
        assert!(mailboxes.take("a").is_ok());
    }

    #[test]
    fn mailboxes_of_two_nodes_are_not_equal() {
        let (one, other) = (Mailboxes::new(Vec::new()), Mailboxes::new(Vec::new()));
        assert_ne!(
            one.get("a").expect("a name"),
            other.get("a").expect("a name")
        );
        assert_ne!(one.home(), other.home());
    }
}
