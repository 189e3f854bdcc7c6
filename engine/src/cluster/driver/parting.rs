//! The driver's part in partitions: on which side this node is, for as long as one lasts.
//!
//! Called for each event of the protocols. What channels do about it is the control shard's.

use super::{Deed, Driver};
use crate::cluster::machine::MachineEvent;
use crate::cluster::parted::Parted;

impl Driver {
    /// Follows the sides of a partition, and says so when this node is on another one, or the partition is over.
    pub(super) fn follow_sides(&mut self, event: &MachineEvent, out: &mut Vec<Deed>) {
        let before = self.parted.as_ref().map(Parted::side);
        match (event, &mut self.parted) {
            (MachineEvent::Partitioned { here, there }, parted) => {
                *parted = Some(Parted::new(here, there));
            }
            (MachineEvent::Healed { .. }, parted) => *parted = None,
            (MachineEvent::MemberUp(id), Some(parted)) => parted.up(*id),
            (MachineEvent::MemberDown(id), Some(parted)) => parted.down(*id),
            (MachineEvent::MemberLeft(id), Some(parted)) => parted.left(*id),
            _ => return,
        }
        let side = self.parted.as_ref().map(Parted::side);
        if side != before {
            out.push(Deed::TakeSide(side));
        }
    }
}
