//! The accounting identity: what one node says it sent, held against what the other says it got.
//!
//! Pure arithmetic over counters that nodes answered with. Used by every test of this harness; a fault
//! found here ends the run with exit code 1.

use serde::{Deserialize, Serialize};

use crate::error::{BenchError, Outcome};
use crate::table::count;

/// The counters of one channel between a node and one of its peers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Account {
    /// The other node.
    pub(crate) peer: String,
    /// The channel.
    pub(crate) channel: String,
    /// Whether the channel acknowledges.
    pub(crate) reliable: bool,
    /// Messages that `try_send` and its like accepted.
    pub(crate) accepted: u64,
    /// Messages that the peer acknowledged.
    pub(crate) acknowledged: u64,
    /// Messages whose lane ended before their acknowledgement.
    pub(crate) reported: u64,
    /// Messages that were handed to the kernel.
    pub(crate) sent: u64,
    /// Messages that were given up for lack of room or of a peer.
    pub(crate) dropped: u64,
    /// Messages of the peer that reached a handler or inbox here.
    pub(crate) delivered: u64,
    /// Messages that are accepted and have not ended.
    pub(crate) under_way: u64,
    /// Bytes sent, with the headers of their frames.
    pub(crate) sent_bytes: u64,
}

impl Account {
    /// Whether each accepted message has ended.
    pub(crate) fn is_settled(&self) -> bool {
        self.under_way == 0 && self.accepted == self.ended()
    }

    fn ended(&self) -> u64 {
        if self.reliable {
            self.acknowledged + self.reported
        } else {
            self.sent + self.dropped
        }
    }

    /// What is wrong with the sender's side, if anything.
    pub(crate) fn sender_fault(&self) -> Option<String> {
        if self.is_settled() {
            return None;
        }
        let kinds = if self.reliable {
            "acknowledged + reported"
        } else {
            "sent + dropped"
        };
        Some(format!(
            "accepted {} is not {kinds} {} ({} under way)",
            self.accepted,
            self.ended(),
            self.under_way
        ))
    }

    /// What is wrong with what `delivered` at the other side, if anything.
    pub(crate) fn receiver_fault(&self, delivered: u64) -> Option<String> {
        let (least, most) = if self.reliable {
            (self.acknowledged, self.acknowledged + self.reported)
        } else {
            (0, self.sent)
        };
        if (least..=most).contains(&delivered) {
            return None;
        }
        Some(format!(
            "delivered {delivered} is not within {least} to {most}"
        ))
    }
}

/// The accounts of one node.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct NodeAccounts {
    /// The node.
    pub(crate) node: String,
    /// One account for each peer and channel.
    pub(crate) accounts: Vec<Account>,
}

impl NodeAccounts {
    /// Whether nothing is under way from this node.
    pub(crate) fn is_settled(&self) -> bool {
        self.accounts.iter().all(Account::is_settled)
    }

    /// The account with a peer on a channel.
    pub(crate) fn find(&self, peer: &str, channel: &str) -> Option<&Account> {
        self.accounts
            .iter()
            .find(|account| account.peer == peer && account.channel == channel)
    }
}

/// One direction of one channel between two nodes, both sides of it.
#[derive(Debug, Clone)]
pub(crate) struct Flow {
    /// The sending node.
    pub(crate) from: String,
    /// The sender's counters; its `peer` is the receiving node.
    pub(crate) account: Account,
    /// What the receiving node delivered.
    pub(crate) delivered: u64,
    /// What is wrong, if anything.
    pub(crate) fault: Option<String>,
}

/// Every direction of every channel between the given nodes.
pub(crate) fn flows(nodes: &[NodeAccounts]) -> Vec<Flow> {
    let mut flows = Vec::new();
    for node in nodes {
        for account in &node.accounts {
            let other = nodes.iter().find(|other| other.node == account.peer);
            let Some(other) = other else { continue };
            let there = other.find(&node.node, &account.channel);
            let delivered = there.map_or(0, |there| there.delivered);
            let fault = account
                .sender_fault()
                .or_else(|| account.receiver_fault(delivered));
            let (from, account) = (node.node.clone(), account.clone());
            flows.push(Flow {
                from,
                account,
                delivered,
                fault,
            });
        }
    }
    flows
}

/// One direction of one channel out of all.
pub(crate) fn between(flows: Vec<Flow>, from: &str, to: &str, channel: &str) -> Outcome<Flow> {
    let wanted = |flow: &Flow| {
        flow.from == from && flow.account.peer == to && flow.account.channel == channel
    };
    flows.into_iter().find(wanted).ok_or_else(|| {
        BenchError::CheckFailed(format!(
            "no counters for channel {channel} from {from} to {to}"
        ))
    })
}

impl Flow {
    /// Whether the other side has got all that it can get.
    pub(crate) fn has_arrived(&self) -> bool {
        self.account.reliable || self.delivered == self.account.sent
    }

    /// Both directions as if they were one.
    pub(crate) fn and(mut self, other: &Self) -> Self {
        self.account.accepted += other.account.accepted;
        self.account.acknowledged += other.account.acknowledged;
        self.account.reported += other.account.reported;
        self.account.sent += other.account.sent;
        self.account.dropped += other.account.dropped;
        self.delivered += other.delivered;
        self.fault = self.fault.or_else(|| other.fault.clone());
        self
    }

    /// The identity with its numbers, for people.
    pub(crate) fn sentence(&self) -> String {
        let Account {
            accepted,
            acknowledged,
            reported,
            sent,
            dropped,
            ..
        } = &self.account;
        let ended = if self.account.reliable {
            format!(
                "acknowledged {} + reported {}",
                count(*acknowledged),
                count(*reported)
            )
        } else {
            format!("sent {} + dropped {}", count(*sent), count(*dropped))
        };
        let verdict = if self.fault.is_none() {
            "exact"
        } else {
            "NOT exact"
        };
        let delivered = count(self.delivered);
        format!(
            "accepted {} = {ended}, delivered {delivered}: {verdict}",
            count(*accepted)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reliable(accepted: u64, acknowledged: u64, reported: u64) -> Account {
        Account {
            reliable: true,
            accepted,
            acknowledged,
            reported,
            ..Account::default()
        }
    }

    #[test]
    fn a_reliable_channel_ends_each_message_one_way_or_the_other() {
        assert_eq!(reliable(10, 8, 2).sender_fault(), None);
        assert!(
            reliable(10, 8, 1)
                .sender_fault()
                .unwrap()
                .contains("accepted 10")
        );
        assert_eq!(
            reliable(10, 8, 2).receiver_fault(9),
            None,
            "unknown may have arrived"
        );
        assert!(
            reliable(10, 8, 2).receiver_fault(7).is_some(),
            "acknowledged but not delivered"
        );
        assert!(
            reliable(10, 8, 2).receiver_fault(11).is_some(),
            "delivered twice"
        );
    }

    #[test]
    fn best_effort_counts_what_it_drops() {
        let account = Account {
            accepted: 10,
            sent: 7,
            dropped: 3,
            ..Account::default()
        };
        assert_eq!(
            (account.sender_fault(), account.receiver_fault(5)),
            (None, None)
        );
        assert!(account.receiver_fault(8).is_some());
        assert!(
            Account {
                accepted: 11,
                ..account
            }
            .sender_fault()
            .is_some()
        );
    }

    #[test]
    fn each_direction_is_held_against_the_other_node() {
        let node = |name: &str, peer: &str, delivered| NodeAccounts {
            node: name.into(),
            accounts: vec![Account {
                peer: peer.into(),
                channel: "data".into(),
                delivered,
                ..reliable(5, 5, 0)
            }],
        };
        let flows = flows(&[node("a", "b", 5), node("b", "a", 4)]);
        assert_eq!(flows.len(), 2);
        assert_eq!(
            (flows[0].delivered, flows[0].fault.is_some()),
            (4, true),
            "a to b"
        );
        assert_eq!(
            (flows[1].delivered, flows[1].fault.is_some()),
            (5, false),
            "b to a"
        );
    }
}
