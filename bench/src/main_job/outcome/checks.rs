//! What had to hold in a main job.

use super::Run;
use crate::main_job::cluster::{NAMES, RECEIVER};
use crate::main_job::protocol::{COORDINATION, DATA, GOSSIP, Progress};
use crate::report::{Check, HeartbeatCost, Held, Verdict};
use crate::table;

impl Run {
    /// All checks, in the order in which they are shown.
    pub(super) fn checks(&self) -> Vec<Check> {
        let mut checks = vec![self.file_check()];
        checks.extend([DATA, COORDINATION, GOSSIP].map(|channel| self.identity_check(channel)));
        checks.push(self.order_check());
        checks.push(self.heartbeat_check());
        checks
    }

    /// What the file costs the heartbeats.
    pub(super) fn heartbeat_cost(&self) -> HeartbeatCost {
        let (before, beside, plain) = (&self.before, &self.beside, &self.plain);
        HeartbeatCost::of(before, beside, plain, self.heartbeat_bound_us)
    }

    fn file_check(&self) -> Check {
        let what = format!(
            "the file of {} bytes has the same BLAKE3 on {}'s disk",
            table::count(self.file.bytes),
            NAMES[RECEIVER]
        );
        Check::of(what, self.on_disk.clone())
    }

    fn identity_check(&self, channel: &str) -> Check {
        let flows = self
            .flows
            .iter()
            .filter(|flow| flow.account.channel == channel);
        let identity = if channel == GOSSIP {
            "accepted = sent + dropped"
        } else {
            "accepted = acknowledged + reported"
        };
        let fault = flows.clone().find_map(|flow| {
            let fault = flow.fault.as_ref()?;
            Some(format!("{} to {}: {fault}", flow.from, flow.account.peer))
        });
        let ways = flows.count();
        let missing = (ways != 6).then(|| format!("{ways} of 6 directions were counted"));
        let what = format!("{identity} on {channel}, all six directions, and what was delivered");
        Check::of(what, fault.or(missing))
    }

    fn order_check(&self) -> Check {
        let sum = |of: fn(&Progress) -> u64| self.last.iter().map(of).sum::<u64>();
        let (refused, out_of_order) = (sum(|node| node.refused), sum(|node| node.out_of_order));
        let lost = (refused + out_of_order > 0)
            .then(|| format!("{refused} were not accepted, {out_of_order} came out of order"));
        Check::of("every heartbeat came, in order".to_owned(), lost)
    }

    fn heartbeat_check(&self) -> Check {
        let cost = self.heartbeat_cost();
        let held = match cost.verdict() {
            Verdict::Held => Held::Yes,
            Verdict::Missed => Held::No(cost.sentence()),
            Verdict::NotJudged => Held::NotJudged(cost.sentence()),
        };
        Check {
            what: cost.what(),
            held,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;
    use crate::main_job::file_source::FileSource;

    fn run_with_heartbeats(before_us: u64, beside_us: u64) -> Run {
        let file = FileSource {
            path: "file".into(),
            bytes: 1,
            hash: blake3::hash(b""),
        };
        let mut run = Run::new(file, String::new(), 400);
        for _ in 0..2_000 {
            run.before.record(before_us * 1_000);
            run.beside.record(beside_us * 1_000);
        }
        run
    }

    #[test]
    fn late_heartbeats_fail_the_run_and_the_report_says_so() {
        let late = run_with_heartbeats(350, 4_500);
        let report = late.report();
        assert!(!report.passed());
        let error = super::super::failure(&report, "report.html".as_ref()).unwrap();
        assert_eq!(error.exit(), Exit::Failed);
        let heartbeats = Check {
            what: late.heartbeat_cost().what(),
            held: Held::No(late.heartbeat_cost().sentence()),
        };
        assert!(report.checks.contains(&heartbeats), "{:?}", report.checks);
    }

    #[test]
    fn heartbeats_within_the_bound_hold() {
        let checks = run_with_heartbeats(350, 700).checks();
        assert_eq!(checks.last().unwrap().held, Held::Yes);
    }
}
