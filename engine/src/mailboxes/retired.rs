//! Names that nobody holds any more, until no message can carry their numbers.
//!
//! A message in a ring carries a number, and the shard that takes it out looks the name up. Nobody can
//! send to a name that nobody holds; so once each ring has been emptied up to where it was filled
//! then, the number is not in them. Used by `mailboxes` alone, under its lock.

use super::MailboxId;
use crate::ring::Producer;

/// A name that was let go, and which time that was.
type Retirement = (MailboxId, u64);

/// A ring, and how far it was filled.
type Filled = (Producer, usize);

#[derive(Default)]
pub(super) struct Retired {
    fresh: Vec<Retirement>,
    /// Those that wait, and how far each ring was filled since they were retired.
    settling: Option<(Vec<Retirement>, Vec<Filled>)>,
}

impl Retired {
    pub(super) fn add(&mut self, id: MailboxId, retirement: u64) {
        self.fresh.push((id, retirement));
    }

    /// Names that have not begun to settle.
    pub(super) fn waiting(&self) -> usize {
        self.fresh.len()
    }

    /// Takes out those that no message in `rings` can carry any more.
    pub(super) fn take_settled(&mut self, rings: &[Producer]) -> Vec<Retirement> {
        let mut settled = self.settle();
        if self.settling.is_none() && !self.fresh.is_empty() {
            let filled = rings.iter().map(|ring| (ring.clone(), ring.filled_to()));
            let filled = filled.collect();
            self.settling = Some((std::mem::take(&mut self.fresh), filled));
            // Often the rings are empty.
            settled.append(&mut self.settle());
        }
        settled
    }

    fn settle(&mut self) -> Vec<Retirement> {
        let is_settled = |(_, filled): &mut (_, Vec<Filled>)| {
            let mut filled = filled.iter();
            filled.all(|(ring, filled)| ring.emptied_to() >= *filled)
        };
        let settled = self.settling.take_if(is_settled);
        settled.map(|(settled, _)| settled).unwrap_or_default()
    }
}
