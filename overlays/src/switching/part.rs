//! Which nodes a trial is held on: those that are named, or a share of the members, the same for everybody who knows the
//! same members.

use std::collections::BTreeSet;

use crate::client_server::SERVERS_MAX;
use crate::event::{Peer, Refusal};

/// Most nodes on which an overlay is tried. 128: as many servers as there may be, and as many others.
pub const PART_MAX: usize = 2 * SERVERS_MAX;

/// Least nodes that are chosen, if there are so many: of two, an overlay is a lane.
const CHOSEN_MIN: usize = 3;
/// Most that are chosen.
const CHOSEN_MAX: usize = 64;

/// What a part is chosen of.
#[derive(Debug)]
pub(super) struct Members<'m, P> {
    /// The proposer, which is always in it.
    pub(super) me: P,
    /// Other live members, in order.
    pub(super) others: Vec<P>,
    /// Servers of the overlay, which are in it too.
    pub(super) servers: &'m [P],
}

/// The nodes that are named, or a share of the members spread evenly over their order.
///
/// # Errors
/// [`Refusal::Part`] if one of them is no live member, or there are too many, or nobody but the proposer.
pub(super) fn choose<P: Peer>(
    members: &Members<'_, P>,
    named: &[P],
    percent: u8,
) -> Result<Vec<P>, Refusal> {
    let Members {
        me,
        others,
        servers,
    } = members;
    let refused = Refusal::Part { most: PART_MAX };
    let mut part: BTreeSet<P> = [*me].into_iter().chain(servers.iter().copied()).collect();
    if named.is_empty() {
        let share = (others.len() + 1) * usize::from(percent);
        let wanted = share.div_ceil(100).clamp(CHOSEN_MIN, CHOSEN_MAX);
        // Of servers alone nothing is learned of their clients.
        let more = wanted
            .saturating_sub(part.len())
            .max(usize::from(!servers.is_empty()));
        let left: Vec<P> = (others.iter().copied())
            .filter(|peer| !part.contains(peer))
            .collect();
        let more = more.min(left.len());
        part.extend((0..more).map(|nth| left[nth * left.len() / more]));
    } else {
        part.extend(named);
    }
    let is_live = |peer: &P| peer == me || others.contains(peer);
    let fits = (2..=PART_MAX).contains(&part.len()) && part.iter().all(is_live);
    if fits {
        Ok(part.into_iter().collect())
    } else {
        Err(refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(others: u32, servers: &[u32], named: &[u32], percent: u8) -> Result<Vec<u32>, Refusal> {
        let members = Members {
            me: 0,
            others: (1..=others).collect(),
            servers,
        };
        choose(&members, named, percent)
    }

    #[test]
    fn a_share_is_spread_over_the_members_and_always_the_same() {
        assert_eq!(part(9, &[], &[], 40), Ok(vec![0, 1, 4, 7]));
        assert_eq!(part(9, &[], &[], 1), Ok(vec![0, 1, 5]), "three at least");
        assert_eq!(part(1, &[], &[], 20), Ok(vec![0, 1]));
        assert_eq!(part(4, &[], &[], 100), Ok(vec![0, 1, 2, 3, 4]));
        assert_eq!(part(999, &[], &[], 20).map(|part| part.len()), Ok(64));
        assert_eq!(part(9, &[1, 2, 3], &[], 20), Ok(vec![0, 1, 2, 3, 4]));
    }

    #[test]
    fn who_is_named_is_taken_with_the_proposer_and_strangers_are_refused() {
        assert_eq!(part(9, &[], &[7, 3], 20), Ok(vec![0, 3, 7]));
        let refused = Err(Refusal::Part { most: PART_MAX });
        assert_eq!(part(9, &[], &[10], 20), refused);
        assert_eq!(part(0, &[], &[], 20), refused);
        assert_eq!(part(9, &[], &[0], 20), refused, "nobody but itself");
        let many: Vec<u32> = (1..=128).collect();
        assert_eq!(part(200, &[], &many, 20), refused);
    }
}
