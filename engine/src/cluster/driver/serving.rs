//! The driver's part in who is a server: losses noted, and a switch ordered when servers are gone for long.
//!
//! Called for each event of the protocols, and by its timer, which runs while a server is gone. Only the coordinator orders, and
//! nobody while the cluster is parted, as each side would.

use overlane_overlays::Time;
use overlane_overlays::epoch::{OverlayKind, Step};

use super::{Deed, Driver, Timer};
use crate::cluster::machine::{MachineEvent, Readings as _};
use crate::cluster::topology::OrderedBy;

impl Driver {
    /// Notes who was lost, and who is gone or back among the servers.
    pub(super) fn note_servers(&mut self, event: &MachineEvent, now: Time) {
        match event {
            MachineEvent::MemberSuspect(id) => self.serving.lost(*id),
            MachineEvent::MemberDown(id) => {
                self.serving.lost(*id);
                self.look_at_servers(now);
            }
            MachineEvent::MemberUp(_)
            | MachineEvent::MemberLeft(_)
            | MachineEvent::Switching {
                step: Step::Committed,
                ..
            } => self.look_at_servers(now),
            _ => {}
        }
    }

    /// Sets the timer, unless it runs or nobody is gone.
    fn look_at_servers(&mut self, now: Time) {
        let overlay = self.machine.overlay();
        let after = self.serving.replace_after();
        if overlay.kind != OverlayKind::ClientServer || after.is_zero() {
            return;
        }
        let members = self.machine.members();
        self.serving.gone_too_long(now, members, &overlay.servers);
        self.time_servers(now);
    }

    fn time_servers(&mut self, now: Time) {
        if let Some(wait) = self.serving.set_timer(now) {
            self.timers.set_after(now, wait, Timer::Servers);
        }
    }

    /// Orders the switch, if it is for this node to do, and looks again as long as a server is gone.
    pub(super) fn replace_servers(&mut self, now: Time, out: &mut Vec<Deed>) {
        let overlay = self.machine.overlay();
        let (kind, servers) = (overlay.kind, overlay.servers.clone());
        let servers = if kind == OverlayKind::ClientServer {
            servers
        } else {
            Vec::new()
        };
        let members = self.machine.members();
        let gone = self.serving.gone_too_long(now, members, &servers);
        self.serving.timer_is_over();
        self.time_servers(now);
        let is_for_us = self.machine.coordinator() == Some(self.me) && self.is_joined();
        let is_quiet = self.parted.is_none() && self.machine.next_overlay().is_none();
        if gone.is_empty() || !is_for_us || !is_quiet {
            return;
        }
        let members = self.machine.members();
        if let Some(servers) = self.serving.replace(members, &servers, &gone) {
            let names = gone.iter().map(|id| self.book.name(*id).to_string());
            let gone = names.collect();
            self.switch(kind, servers, None, OrderedBy::Replacement { gone }, out);
        }
    }
}
