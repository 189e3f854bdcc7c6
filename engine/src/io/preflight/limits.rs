//! Raises soft limits of this process for as long as a node needs that, and lowers them again.
//!
//! A limit belongs to the whole process and is inherited by the programs that it starts, so that it
//! is raised no further and no longer than needed. Called by a start; `doctor` changes nothing.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Limit;

/// A resource whose soft limit can be raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resource {
    /// Open files: needed for as long as a node runs.
    OpenFiles,
    /// Locked memory: looked at only while shards are set up.
    LockedMemory,
}

/// A limit that is raised until the last of those who asked for it is dropped.
#[derive(Debug)]
pub(crate) struct Raised {
    resource: Resource,
}

/// Who has raised a limit, and what it was and has become.
#[derive(Debug)]
struct Raising {
    holders: usize,
    before: u64,
    after: u64,
}

static RAISINGS: [Mutex<Option<Raising>>; 2] = [Mutex::new(None), Mutex::new(None)];

impl Raised {
    /// Raises the soft limit to `wanted`, or to the hard one if that is lower. `None` if it is as
    /// high already, or cannot be raised: the checks then judge by what there is.
    pub(crate) fn to(resource: Resource, wanted: u64) -> Option<Self> {
        let mut raising = resource.raising();
        let limit = resource.limit();
        let after = wanted.min(limit.hard);
        // Who comes later may need it as long as the first: even where nothing is left to raise.
        if after <= limit.soft && raising.is_none() {
            return None;
        }
        if after > limit.soft && !resource.set_soft(after) {
            return None;
        }
        let known = raising.get_or_insert(Raising {
            holders: 0,
            before: limit.soft,
            after,
        });
        known.holders += 1;
        known.after = known.after.max(after);
        Some(Self { resource })
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        let mut raising = self.resource.raising();
        let Some(known) = raising.as_mut() else {
            return;
        };
        known.holders -= 1;
        if known.holders == 0 {
            // A limit that the application has changed meanwhile is its own.
            if self.resource.limit().soft == known.after {
                self.resource.set_soft(known.before);
            }
            *raising = None;
        }
    }
}

impl Resource {
    /// What holds for this process now.
    pub(crate) fn limit(self) -> Limit {
        super::readings::limit(self.number())
    }

    const fn number(self) -> libc::__rlimit_resource_t {
        match self {
            Self::OpenFiles => libc::RLIMIT_NOFILE,
            Self::LockedMemory => libc::RLIMIT_MEMLOCK,
        }
    }

    fn raising(self) -> MutexGuard<'static, Option<Raising>> {
        RAISINGS[self as usize]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn set_soft(self, soft: u64) -> bool {
        let changed = libc::rlimit {
            rlim_cur: soft,
            rlim_max: self.limit().hard,
        };
        // SAFETY: `changed` is a valid rlimit that outlives the call.
        unsafe { libc::setrlimit(self.number(), &raw const changed) == 0 }
    }
}
