//! Flows of guaranteed messages, one from each node to another: begun, ended, and held against what came.
//!
//! Called by the runs that do something to a cluster meanwhile (`switching`, `pausing`); a sender is a number that the
//! run gives to a node, and what comes of it is counted at the receiver by that number.

use std::collections::BTreeMap;
use std::time::Duration;

use super::nodes::{Nodes, name, unexpected};
use super::protocol::{Command, Flow, Got, Reply, STEADY};
use crate::error::Outcome;

/// How long what is under way at the end may take.
const SETTLE_WITHIN: Duration = Duration::from_secs(60);

/// What all flows came to.
#[derive(Debug, Default)]
pub(super) struct Sums {
    pub(super) accepted: u64,
    pub(super) acknowledged: u64,
    pub(super) delivered: u64,
    pub(super) reported: u64,
    pub(super) duplicates: u64,
    pub(super) out_of_order: u64,
    /// The longest time that a sender was kept from sending, or a receiver waited, of flows that nothing was done to.
    pub(super) longest_gap_ms: u64,
    /// What is wrong, each in a sentence.
    pub(super) faults: Vec<String>,
}

impl Nodes {
    /// A node sends to another, as that sender.
    pub(super) fn begin_flow(
        &mut self,
        from: usize,
        to: usize,
        sender: u32,
        hz: u32,
    ) -> Outcome<()> {
        let to = name(to);
        let flow = Command::BeginFlow { to, sender, hz };
        self.ask(from, &flow).map(drop)
    }

    /// Ends all flows, and adds up what became of them. Of those of the `touched` senders, messages may have been
    /// reported, and gaps do not count.
    pub(super) fn end_flows(
        &mut self,
        sender_of: impl Fn(usize) -> u32,
        touched: &[u32],
    ) -> Outcome<Sums> {
        let mut flows: BTreeMap<u32, Flow> = BTreeMap::new();
        let numbers: Vec<usize> = self.running.keys().copied().collect();
        for number in numbers {
            match self.ask(number, &Command::EndFlow)? {
                Reply::Flow(flow) => drop(flows.insert(sender_of(number), flow)),
                other => return Err(unexpected(&other)),
            }
        }
        let accounts = self.settled_accounts(STEADY, SETTLE_WITHIN)?;
        let mut got: BTreeMap<u32, Got> = BTreeMap::new();
        for reply in self.ask_all(&Command::Got)? {
            match reply {
                Reply::Got(streams) => got.extend(streams),
                other => return Err(unexpected(&other)),
            }
        }
        let mut sums = Sums::default();
        for account in &accounts {
            let fault = account.sender_fault();
            sums.faults
                .extend(fault.map(|fault| format!("to {}: {fault}", account.peer)));
            sums.accepted += account.accepted;
            sums.acknowledged += account.acknowledged;
            sums.reported += account.reported;
        }
        for (sender, flow) in &flows {
            let got = got.get(sender).cloned().unwrap_or_default();
            sums.add(*sender, flow, &got, touched.contains(sender));
        }
        if sums.duplicates + sums.out_of_order > 0 {
            sums.faults
                .push("messages came twice, or out of order".to_owned());
        }
        Ok(sums)
    }
}

impl Sums {
    fn add(&mut self, sender: u32, flow: &Flow, got: &Got, is_touched: bool) {
        self.delivered += got.delivered;
        self.duplicates += got.duplicates;
        self.out_of_order += got.out_of_order;
        if is_touched {
            return;
        }
        let gap = flow.longest_gap_ns.max(got.longest_gap_ns);
        self.longest_gap_ms = self.longest_gap_ms.max(gap / 1_000_000);
        if got.delivered != flow.accepted || got.missing > 0 {
            self.faults.push(format!(
                "of {} messages of sender {sender}, whose receiver lived on, {} came",
                flow.accepted, got.delivered
            ));
        }
    }
}
