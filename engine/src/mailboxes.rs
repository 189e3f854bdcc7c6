//! The names of mailboxes on one node, and the numbers it gave them.
//!
//! Asked when a name is looked up, announced or given a receiver, never for a message: messages
//! carry the numbers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::control::routes::check_name;
use crate::error::NameError;
use crate::message::MailboxId;

/// The names of mailboxes and the numbers this node gave them.
#[derive(Debug)]
pub(crate) struct Mailboxes {
    names: Mutex<Names>,
    /// Grows with each new name: tells a shard that a name it did not find may be there now.
    version: AtomicU64,
}

#[derive(Debug, Default)]
struct Names {
    by_name: HashMap<Arc<str>, u32>,
    by_id: Vec<Arc<str>>,
    taken: Vec<bool>,
}

/// Mailboxes of one node, its own and those it sends to.
pub(crate) const MAILBOXES_MAX: usize = 1 << 20;

impl Mailboxes {
    pub(crate) fn new() -> Self {
        Self {
            names: Mutex::default(),
            version: AtomicU64::new(0),
        }
    }

    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The number of a name, given now if it had none.
    pub(crate) fn id(&self, name: &str) -> Result<MailboxId, NameError> {
        check_name(name)?;
        let mut names = self.lock();
        if let Some(&id) = names.by_name.get(name) {
            return Ok(MailboxId(id));
        }
        if names.by_id.len() >= MAILBOXES_MAX {
            return Err(NameError::TooMany {
                kind: "mailboxes",
                names_max: MAILBOXES_MAX,
                parameter: "nothing: it is fixed",
            });
        }
        let id = u32::try_from(names.by_id.len()).unwrap_or(u32::MAX);
        let name: Arc<str> = Arc::from(name);
        names.by_name.insert(Arc::clone(&name), id);
        names.by_id.push(name);
        names.taken.push(false);
        self.version.fetch_add(1, Ordering::Release);
        Ok(MailboxId(id))
    }

    /// The number of a name, if it has one. For names that come from outside: they make no entry.
    pub(crate) fn find(&self, name: &str) -> Option<MailboxId> {
        self.lock().by_name.get(name).copied().map(MailboxId)
    }

    pub(crate) fn name(&self, id: MailboxId) -> Option<Arc<str>> {
        self.lock().by_id.get(usize::try_from(id.0).ok()?).cloned()
    }

    /// A mailbox gets its receiver: once.
    pub(crate) fn take(&self, name: &str) -> Result<MailboxId, NameError> {
        let id = self.id(name)?;
        let mut names = self.lock();
        let taken = usize::try_from(id.0)
            .ok()
            .and_then(|index| names.taken.get_mut(index));
        match taken {
            Some(taken) if !*taken => {
                *taken = true;
                Ok(id)
            }
            _ => Err(NameError::MailboxTaken {
                name: name.to_owned(),
            }),
        }
    }

    /// The receiver of a mailbox is gone: it may have another.
    pub(crate) fn give_back(&self, id: MailboxId) {
        let mut names = self.lock();
        if let Some(taken) = names.taken.get_mut(id.0 as usize) {
            *taken = false;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
