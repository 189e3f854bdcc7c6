//! The driver's part in judging the topology: pings and counts when a look is due, and the switch that comes of it.

use overlane_overlays::epoch::{OverlayKind, WhyBack};
use overlane_overlays::membership::Status;
use overlane_overlays::{Command, Input, Refusal, Time};

use super::{Deed, Driver};
use crate::cluster::identity::NodeId;
use crate::cluster::machine::{MachineEvent, Readings as _};
use crate::cluster::topology::{
    Analysis, Due, Facts, OrderedBy, Standing, SwitchRecord, TopologyError, TrialPlan,
};
use crate::cluster::words::Word;
use crate::config::TopologyConfig;

impl Driver {
    /// Looks, if it is time.
    pub(super) fn look(&mut self, now: Time, out: &mut Vec<Deed>) {
        match self.topology.take_due(now) {
            Some(Due::Measure) => {
                let lanes = self.lanes.keys().copied().collect();
                let pings = self.topology.begin_look(now, &lanes, &mut self.random);
                for (peer, number) in pings {
                    self.send_word(peer, Word::of_ping(number), None, out);
                }
                out.push(Deed::Measure);
            }
            Some(Due::Judge) => {
                let (facts, standing) = (self.facts(), self.standing());
                if let Some((kind, by)) = self.topology.judge(now, &facts, &standing) {
                    let trial = self.topology.trial_of_rules();
                    self.switch(kind, Vec::new(), trial, by, out);
                }
            }
            None => {}
        }
    }

    /// Orders a switch of the protocols. Servers that nobody names are chosen.
    pub(super) fn switch(
        &mut self,
        kind: OverlayKind,
        mut servers: Vec<NodeId>,
        trial: Option<TrialPlan>,
        by: OrderedBy,
        out: &mut Vec<Deed>,
    ) {
        let chooses = kind == OverlayKind::ClientServer && servers.is_empty();
        if chooses && self.machine.overlay().kind != kind {
            servers = self.serving.choose(self.machine.members());
            if servers.is_empty() {
                let command = Box::new(Command::SwitchOverlay {
                    kind,
                    servers,
                    trial: None,
                });
                let why = Refusal::NoServers;
                out.push(Deed::Refuse { command, why });
                return;
            }
        }
        self.topology.ordered(by);
        let trial = trial.map(|plan| Box::new(self.topology.trial_terms(plan)));
        let command = Command::SwitchOverlay {
            kind,
            servers,
            trial,
        };
        self.give(Input::Command(command), None);
    }

    pub(super) fn answer_ping(
        &mut self,
        now: Time,
        peer: NodeId,
        number: u64,
        out: &mut Vec<Deed>,
    ) {
        let report = self.topology.report(now, &self.facts());
        self.send_word(peer, Word::of_pong(number, report), None, out);
    }

    /// Notes what the protocols tell, as far as it says something of the topology.
    pub(super) fn note(&mut self, event: &MachineEvent, now: Time) {
        match event {
            MachineEvent::Switching { epoch, kind, step } => {
                let book = &self.book;
                let name = |id| book.name(id).to_string();
                self.topology.switching(now, *epoch, *kind, *step, name);
            }
            MachineEvent::Tried { epoch, report } => self.topology.tried(*epoch, report),
            MachineEvent::Partitioned { .. } => {
                self.topology.partitioned(now);
                let end = Command::GiveUpTrial(WhyBack::Parted);
                self.give(Input::Command(end), None);
            }
            MachineEvent::Healed { .. } => self.topology.healed(),
            MachineEvent::Delivered(delivery) => self.topology.broadcast(delivery.hops.into()),
            MachineEvent::Refused {
                command: Command::SwitchOverlay { .. },
                ..
            } => self.topology.refused(),
            _ => {}
        }
    }

    fn facts(&self) -> Facts {
        let members = self.machine.members();
        let is_suspect = |status| status == Status::Suspect;
        let suspects = members.iter().filter(|entry| is_suspect(entry.status));
        Facts {
            members: members.live(),
            suspects: suspects.count(),
            lanes: self.lanes.len(),
            wanted: self.kept.len(),
            wanted_up: self
                .kept
                .iter()
                .filter(|peer| self.lanes.contains_key(peer))
                .count(),
        }
    }

    fn standing(&self) -> Standing {
        let overlay = self.machine.overlay();
        let coordinator = self.machine.coordinator();
        Standing {
            current: overlay.kind,
            next: self.machine.next_overlay().map(|next| next.kind),
            is_first: overlay.epoch.number == 0,
            is_joined: self.is_joined(),
            is_coordinator: coordinator == Some(self.me),
            coordinator: coordinator.map(|id| self.book.name(id).to_string()),
        }
    }
}

/// What applications ask and order of the topology.
impl Driver {
    pub(in crate::cluster) fn analyze(&self, now: Time) -> Analysis {
        let name = |id| self.book.name(id).to_string();
        self.topology
            .analyze(now, &self.facts(), &self.standing(), name)
    }

    pub(in crate::cluster) fn switches(&self, now: Time) -> Vec<SwitchRecord> {
        self.topology.records(now)
    }

    pub(in crate::cluster) const fn rules(&self) -> &TopologyConfig {
        self.topology.rules()
    }

    pub(in crate::cluster) fn set_rules(
        &mut self,
        now: Time,
        rules: TopologyConfig,
    ) -> Result<(), TopologyError> {
        let set = self.topology.set_rules(now, rules);
        set.map_err(|error| TopologyError::Rules(Box::new(error)))
    }

    pub(in crate::cluster) fn set_gauge(&mut self, name: String, value: u64) -> bool {
        self.topology.set_gauge(name, value)
    }

    /// Chooses a workload. The switch to be ordered for it; none if its overlay is in force.
    pub(in crate::cluster) fn choose_workload(
        &mut self,
        now: Time,
        workload: Option<String>,
    ) -> Result<Option<(OverlayKind, OrderedBy)>, TopologyError> {
        let overlay = self.topology.choose_workload(now, workload.as_deref())?;
        let current = self.machine.overlay().kind;
        let wanted = overlay.filter(|kind| *kind != current).zip(workload);
        Ok(wanted.map(|(kind, workload)| (kind, OrderedBy::Workload { workload })))
    }

    /// The switch that rules ask for now.
    pub(in crate::cluster) fn choose_by_rules(
        &self,
        now: Time,
    ) -> Result<(OverlayKind, OrderedBy), TopologyError> {
        let (facts, standing) = (self.facts(), self.standing());
        self.topology.choose(now, &facts, &standing)
    }
}
