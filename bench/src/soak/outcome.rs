//! What a soak came to: its figures, what is wrong with them, and how they are printed.
//!
//! Arithmetic alone; the parent gathers what it is made of.

use serde::Serialize;

use super::flags::Reliability;
use super::gaps::{Gaps, Told, down, longest_untold_ns};
use super::ledger::Entry;
use crate::accounts::Account;
use crate::sample::figure;
use crate::shown::show;
use crate::table;

/// Everything that was counted.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) reliability: Reliability,
    /// Within this time, a pause must have been told.
    pub(super) untold_ms_max: u64,
    /// The sender's counters.
    pub(super) account: Account,
    /// What each process of the receiver has got, by sender, in the order of the processes.
    pub(super) lives: Vec<Vec<Entry>>,
    /// Messages that were not as they were sent.
    pub(super) damaged: u64,
    /// What the receiver's node says it has delivered, if it is the first one.
    pub(super) engine_delivered: Option<u64>,
    pub(super) gaps: Gaps,
    pub(super) told: Vec<(u64, Told)>,
}

/// The figures; their names are a promise to scripts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Figures {
    accepted: u64,
    acknowledged: u64,
    /// Different messages.
    delivered: u64,
    reported: u64,
    dropped: u64,
    duplicates: u64,
    out_of_order: u64,
    longest_unreported_gap_ms: u64,
}

impl Counted {
    pub(super) fn figures(&self) -> Figures {
        let sum = |of: fn(&Entry) -> u64| self.lives.iter().flatten().map(of).sum::<u64>();
        let again = self.delivered_again();
        Figures {
            accepted: self.account.accepted,
            acknowledged: self.account.acknowledged,
            delivered: sum(|entry| entry.delivered) - again,
            reported: self.account.reported,
            dropped: self.account.dropped,
            duplicates: sum(|entry| entry.duplicates) + again,
            out_of_order: sum(|entry| entry.out_of_order),
            longest_unreported_gap_ms: longest_untold_ns(&self.gaps, &self.told) / 1_000_000,
        }
    }

    /// Messages that a process got and its successor too.
    fn delivered_again(&self) -> u64 {
        let pairs = self.lives.windows(2);
        pairs
            .flat_map(|lives| lives[0].iter().zip(&lives[1]))
            .filter(|(_, new)| new.delivered > 0)
            .map(|(old, new)| old.next.saturating_sub(new.first).min(new.delivered))
            .sum()
    }

    /// How fast messages were accepted, and how long the lane was away, for people.
    pub(super) fn sentence(&self, seconds: u32) -> String {
        let (times, total_ns) = down(&self.told);
        format!(
            "accepted {} messages/s; the lane went down {} times, for {} s in all",
            table::number(figure(self.account.accepted) / f64::from(seconds)),
            times,
            table::number(figure(total_ns) / 1e9)
        )
    }

    /// What is wrong, each in a sentence.
    pub(super) fn faults(&self) -> Vec<String> {
        let figures = self.figures();
        let mut faults = Vec::new();
        faults.extend(self.account.sender_fault());
        faults.extend(self.account.receiver_fault(figures.delivered));
        if self.damaged > 0 {
            faults.push(format!(
                "{} messages are not as they were sent",
                self.damaged
            ));
        }
        if figures.duplicates > 0 && self.reliability != Reliability::AtLeastOnce {
            faults.push(format!("{} messages came twice", figures.duplicates));
        }
        if figures.out_of_order > 0 {
            faults.push(format!(
                "{} messages came out of order",
                figures.out_of_order
            ));
        }
        let came = figures.delivered + figures.duplicates + self.damaged;
        if let Some(delivered) = self.engine_delivered
            && delivered != came
        {
            faults.push(format!("the node delivered {delivered}, and {came} came"));
        }
        let untold_ms = figures.longest_unreported_gap_ms;
        if untold_ms > self.untold_ms_max {
            faults.push(format!(
                "for {untold_ms} ms nothing came, and nobody was told why"
            ));
        }
        faults
    }
}

impl Figures {
    pub(super) fn json_line(&self) -> String {
        serde_json::to_string(self).expect("figures are numbers")
    }

    pub(super) fn print(&self) {
        let row = |name: &str, value: u64| vec![name.to_owned(), table::count(value)];
        let rows = [
            row("accepted", self.accepted),
            row("acknowledged", self.acknowledged),
            row("delivered", self.delivered),
            row("reported", self.reported),
            row("dropped", self.dropped),
            row("duplicates", self.duplicates),
            row("out of order", self.out_of_order),
            row("longest unreported gap, ms", self.longest_unreported_gap_ms),
        ];
        show!("{}", table::of(&["messages", "count"], &rows));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(first: u64, next: u64) -> Entry {
        Entry {
            first,
            next,
            delivered: next - first,
            ..Entry::default()
        }
    }

    fn counted(accepted: u64, reported: u64, lives: Vec<Vec<Entry>>) -> Counted {
        Counted {
            reliability: Reliability::Guaranteed,
            untold_ms_max: 1_000,
            account: Account {
                reliable: true,
                accepted,
                acknowledged: accepted - reported,
                reported,
                ..Account::default()
            },
            lives,
            damaged: 0,
            engine_delivered: None,
            gaps: Gaps::default(),
            told: Vec::new(),
        }
    }

    #[test]
    fn all_delivered_is_well_and_one_missing_is_not() {
        let well = counted(30, 0, vec![vec![entry(0, 10), entry(0, 20)]]);
        assert_eq!(well.faults(), Vec::<String>::new());
        assert_eq!(well.figures().delivered, 30);
        let lost = counted(31, 0, vec![vec![entry(0, 10), entry(0, 20)]]);
        assert_eq!(lost.faults().len(), 1, "{:?}", lost.faults());
        let more = counted(29, 0, vec![vec![entry(0, 10), entry(0, 20)]]);
        assert_eq!(more.faults().len(), 1, "{:?}", more.faults());
    }

    #[test]
    fn after_a_restart_what_was_not_delivered_must_be_reported() {
        let lives = || vec![vec![entry(0, 10)], vec![entry(14, 20)]];
        assert_eq!(counted(20, 4, lives()).faults(), Vec::<String>::new());
        // Delivered, and its acknowledgement lost.
        assert_eq!(counted(20, 6, lives()).faults(), Vec::<String>::new());
        assert_eq!(counted(20, 3, lives()).faults().len(), 1);
    }

    #[test]
    fn what_two_processes_got_is_a_duplicate() {
        let lives = vec![vec![entry(0, 10)], vec![entry(8, 20)]];
        let twice = counted(20, 0, lives);
        let figures = twice.figures();
        assert_eq!((figures.delivered, figures.duplicates), (20, 2));
        assert_eq!(twice.faults(), ["2 messages came twice"]);
        let allowed = Counted {
            reliability: Reliability::AtLeastOnce,
            ..twice
        };
        assert_eq!(allowed.faults(), Vec::<String>::new());
    }

    #[test]
    fn each_other_fault_is_named() {
        let well = || counted(10, 0, vec![vec![entry(0, 10)]]);
        let mut gaps = Gaps::default();
        [1, 1_002_000_001]
            .into_iter()
            .for_each(|at| gaps.delivered(at));
        let out_of_order = Entry {
            out_of_order: 1,
            ..entry(0, 10)
        };
        for (counted, said) in [
            (Counted { gaps, ..well() }, "for 1002 ms"),
            (
                Counted {
                    damaged: 1,
                    ..well()
                },
                "not as they were sent",
            ),
            (
                Counted {
                    engine_delivered: Some(9),
                    ..well()
                },
                "delivered 9",
            ),
            (
                Counted {
                    lives: vec![vec![out_of_order]],
                    ..well()
                },
                "out of order",
            ),
        ] {
            let faults = counted.faults();
            assert!(faults.len() == 1 && faults[0].contains(said), "{faults:?}");
        }
    }

    #[test]
    fn the_keys_are_the_promised_ones() {
        let line = counted(1, 0, vec![vec![entry(0, 1)]]).figures().json_line();
        assert_eq!(
            line,
            r#"{"accepted":1,"acknowledged":1,"delivered":1,"reported":0,"dropped":0,"duplicates":0,"out_of_order":0,"longest_unreported_gap_ms":0}"#
        );
    }
}
