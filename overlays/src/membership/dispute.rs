//! Members that were accused and refuted it: how long they are to be left in peace.
//!
//! A member that some can reach and others cannot is accused, refutes, and is accused again, each time
//! by broadcasts to all. So each refutation doubles the time until this node may accuse the member
//! again, up to a bound. Owns these times only; every node reckons them from the refutations that it
//! saw, so that all of them hold back alike.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::event::Peer;
use crate::time::Time;

/// Refutations in a row that lengthen the peace. 4: eight times the shortest.
const DOUBLINGS_MAX: u32 = 4;
/// Most members remembered. 4,096: where more refute within the peace, it is the network that fails.
const DISPUTES_MAX: usize = 4_096;

#[derive(Debug)]
struct Dispute {
    refutations: u32,
    /// Nobody is to be accused before.
    until: Time,
    /// When the next refutation counts as the first again.
    forget_at: Time,
}

/// The members in dispute at one node.
#[derive(Debug)]
pub(super) struct Disputes<P> {
    disputes: BTreeMap<P, Dispute>,
    shortest: Duration,
}

impl<P: Peer> Disputes<P> {
    /// `shortest`: how long one refutation protects.
    pub(super) const fn new(shortest: Duration) -> Self {
        Self {
            disputes: BTreeMap::new(),
            shortest,
        }
    }

    /// A suspect refuted.
    pub(super) fn refuted(&mut self, now: Time, peer: P) {
        if self.disputes.len() >= DISPUTES_MAX && !self.disputes.contains_key(&peer) {
            self.disputes.retain(|_, dispute| dispute.forget_at > now);
            if self.disputes.len() >= DISPUTES_MAX {
                return;
            }
        }
        let known = self.disputes.get(&peer);
        let refutations = match known {
            Some(known) if known.forget_at > now => known.refutations.saturating_add(1),
            _ => 1,
        };
        let peace = self.shortest * (1 << (refutations - 1).min(DOUBLINGS_MAX));
        let until = now + peace;
        let dispute = Dispute {
            refutations,
            until,
            forget_at: until + peace * 2,
        };
        self.disputes.insert(peer, dispute);
    }

    /// Whether this member is to be left in peace.
    pub(super) fn is_protected(&self, now: Time, peer: &P) -> bool {
        let dispute = self.disputes.get(peer);
        dispute.is_some_and(|dispute| now < dispute.until)
    }

    /// Whether this member refuted a while ago: others need not look into an accusation at once.
    pub(super) fn is_remembered(&self, now: Time, peer: &P) -> bool {
        let dispute = self.disputes.get(peer);
        dispute.is_some_and(|dispute| now < dispute.forget_at)
    }

    /// Its life is over: the next one begins without a record.
    pub(super) fn forget(&mut self, peer: &P) {
        self.disputes.remove(peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> Time {
        Time::ZERO + SECOND * u32::try_from(seconds).expect("small")
    }

    #[test]
    fn each_refutation_doubles_the_peace_up_to_a_bound() {
        let mut disputes = Disputes::new(4 * SECOND);
        let mut now = 0;
        let mut lengths = Vec::new();
        for _ in 0..7 {
            disputes.refuted(at(now), 9_u32);
            let length = (0..).find(|after| !disputes.is_protected(at(now + after), &9));
            let length = length.expect("it ends");
            lengths.push(length);
            now += length;
        }
        assert_eq!(lengths, [4, 8, 16, 32, 64, 64, 64]);
        assert!(!disputes.is_protected(at(now), &8), "of others nothing");
    }

    #[test]
    fn who_is_not_accused_for_twice_its_peace_begins_anew() {
        let mut disputes = Disputes::new(4 * SECOND);
        disputes.refuted(at(0), 9_u32);
        disputes.refuted(at(5), 9);
        assert!(disputes.is_protected(at(12), &9) && !disputes.is_protected(at(13), &9));
        assert!(disputes.is_remembered(at(28), &9) && !disputes.is_remembered(at(29), &9));
        disputes.refuted(at(29), 9);
        assert!(disputes.is_protected(at(32), &9) && !disputes.is_protected(at(33), &9));
    }

    #[test]
    fn another_life_begins_without_a_record() {
        let mut disputes = Disputes::new(4 * SECOND);
        disputes.refuted(at(0), 9_u32);
        disputes.forget(&9);
        assert!(!disputes.is_protected(at(0), &9));
    }

    #[test]
    fn however_many_refute_few_are_remembered() {
        let mut disputes = Disputes::new(4 * SECOND);
        for peer in 0..10_000_u32 {
            disputes.refuted(at(0), peer);
        }
        assert_eq!(disputes.disputes.len(), DISPUTES_MAX);
        disputes.refuted(at(100), 20_000);
        assert!(
            disputes.is_protected(at(100), &20_000),
            "old ones make room"
        );
    }
}
