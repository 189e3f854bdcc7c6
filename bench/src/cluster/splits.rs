//! What nodes tell of splits, and how it is seen that a network is whole again. Called by `partition` and `one_way`.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::nodes::{Nodes, unexpected};
use super::protocol::{Command, Reply, Split};
use crate::error::Outcome;

/// Broadcasts after the healing.
pub(super) const BROADCASTS: u32 = 50;
/// Bytes of each.
pub(super) const PAYLOAD_BYTES: usize = 64;
/// How long after all agree again the last of them may tell so.
const TOLD_WITHIN: Duration = Duration::from_secs(30);

/// Those of the `waiting` that have not told of the healing in time.
pub(super) fn unhealed(nodes: &mut Nodes, mut waiting: BTreeSet<usize>) -> Outcome<Vec<String>> {
    let deadline = Instant::now() + TOLD_WITHIN;
    while !waiting.is_empty() && Instant::now() < deadline {
        for (number, splits) in nodes.splits()? {
            // It is told when most are back, and says who is not.
            if splits
                .iter()
                .any(|split| matches!(split, Split::Healed { .. }))
            {
                waiting.remove(&number);
            }
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let fault = |number| format!("n{number} did not tell that the cluster has healed");
    Ok(waiting.into_iter().map(fault).collect())
}

impl Nodes {
    /// What each node told of splits since it was asked last.
    pub(super) fn splits(&mut self) -> Outcome<Vec<(usize, Vec<Split>)>> {
        let numbers: Vec<usize> = self.running.keys().copied().collect();
        let replies = self.ask_all(&Command::Splits)?.into_iter();
        let told = numbers
            .into_iter()
            .zip(replies)
            .map(|(number, reply)| match reply {
                Reply::Splits(splits) => Ok((number, splits)),
                other => Err(unexpected(&other)),
            });
        told.collect()
    }
}
