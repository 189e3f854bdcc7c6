//! Members under suspicion: who accused them, and until when they may refute it.
//!
//! One accuser may be wrong about a member, several hardly: the more have accused it independently,
//! the sooner a suspect is down (Lifeguard). Owns the accusations only; the status is the table's.

use std::collections::BTreeMap;
use std::time::Duration;

use super::record::Version;
use crate::event::Peer;
use crate::time::Time;

/// Accusers that make a suspicion as good as certain. 3: Lifeguard's K.
pub(super) const ACCUSERS_ENOUGH: usize = 3;

#[derive(Debug)]
struct Suspicion<P> {
    version: Version,
    /// At most [`ACCUSERS_ENOUGH`], distinct.
    accusers: Vec<P>,
    since: Time,
}

/// What an accusation changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accusation {
    /// It is the first against this version.
    First,
    /// Another accuser: it brings the end nearer.
    Confirmed,
    /// Nothing new.
    Known,
}

/// How long a suspect has, by the number of its accusers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grace {
    /// With enough accusers.
    pub(super) least: Duration,
    /// With one.
    pub(super) most: Duration,
    /// Accusers that there can be, at most [`ACCUSERS_ENOUGH`] count.
    pub(super) accusers_possible: usize,
}

impl Grace {
    fn span(self, accusers: usize) -> Duration {
        let enough = self.accusers_possible.clamp(1, ACCUSERS_ENOUGH);
        let missing = u32::try_from(enough.saturating_sub(accusers)).unwrap_or(0);
        let steps = u32::try_from(enough - 1).unwrap_or(0).max(1);
        self.least + self.most.saturating_sub(self.least) * missing / steps
    }
}

/// The suspects of one node. As many as there are members at most.
#[derive(Debug)]
pub(super) struct Suspicions<P> {
    suspects: BTreeMap<P, Suspicion<P>>,
}

impl<P: Peer> Suspicions<P> {
    pub(super) const fn new() -> Self {
        Self {
            suspects: BTreeMap::new(),
        }
    }

    /// Notes that `by` accuses this version of `suspect`.
    pub(super) fn accuse(&mut self, now: Time, suspect: P, version: Version, by: P) -> Accusation {
        if let Some(known) = self.suspects.get_mut(&suspect)
            && known.version >= version
        {
            let counts = known.version == version
                && known.accusers.len() < ACCUSERS_ENOUGH
                && !known.accusers.contains(&by);
            if !counts {
                return Accusation::Known;
            }
            known.accusers.push(by);
            return Accusation::Confirmed;
        }
        let suspicion = Suspicion {
            version,
            accusers: vec![by],
            since: now,
        };
        self.suspects.insert(suspect, suspicion);
        Accusation::First
    }

    /// The member is a suspect no more.
    pub(super) fn clear(&mut self, suspect: &P) {
        self.suspects.remove(suspect);
    }

    /// How long this suspect still has; zero if its time is over; none if it is no suspect.
    ///
    /// Who only heard of the suspicion waits for its accusers to tell, and decides itself only when all
    /// of them must have failed: after twice the longest time.
    pub(super) fn remaining(
        &self,
        now: Time,
        suspect: &P,
        me: &P,
        grace: Grace,
    ) -> Option<Duration> {
        let suspicion = self.suspects.get(suspect)?;
        let span = if suspicion.accusers.contains(me) {
            grace.span(suspicion.accusers.len())
        } else {
            grace.most * 2
        };
        let end = suspicion.since + span;
        Some(end.since(now))
    }

    /// Whether `me` is among those who accused this suspect.
    pub(super) fn is_accuser(&self, suspect: &P, me: &P) -> bool {
        let suspicion = self.suspects.get(suspect);
        suspicion.is_some_and(|suspicion| suspicion.accusers.contains(me))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Grace = Grace {
        least: Duration::from_secs(4),
        most: Duration::from_secs(12),
        accusers_possible: 100,
    };

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn each_new_accuser_brings_the_end_nearer() {
        let mut suspicions = Suspicions::new();
        let version = Version::first(1);
        let mut spans = Vec::new();
        for by in [1_u32, 2, 2, 3, 4] {
            suspicions.accuse(at(0), 9, version, by);
            let remaining = suspicions.remaining(at(0), &9, &1, GRACE);
            spans.push(remaining.expect("suspect").as_secs());
        }
        assert_eq!(spans, [12, 8, 8, 4, 4]);
    }

    #[test]
    fn who_only_heard_of_it_waits_for_its_accusers() {
        let mut suspicions = Suspicions::new();
        suspicions.accuse(at(0), 9_u32, Version::first(1), 1);
        let remaining = suspicions.remaining(at(5), &9, &2, GRACE);
        assert_eq!(remaining, Some(Duration::from_secs(19)));
    }

    #[test]
    fn two_nodes_left_do_not_wait_for_accusers_that_cannot_come() {
        let mut suspicions = Suspicions::new();
        suspicions.accuse(at(0), 9_u32, Version::first(1), 1);
        let grace = Grace {
            accusers_possible: 1,
            ..GRACE
        };
        let remaining = suspicions.remaining(at(0), &9, &1, grace);
        assert_eq!(remaining, Some(Duration::from_secs(4)));
    }

    #[test]
    fn an_accusation_of_a_newer_version_starts_anew() {
        let mut suspicions = Suspicions::new();
        let (old, new) = (Version::first(1), Version::first(2));
        assert_eq!(suspicions.accuse(at(0), 9_u32, old, 1), Accusation::First);
        assert_eq!(suspicions.accuse(at(0), 9, old, 2), Accusation::Confirmed);
        assert_eq!(suspicions.accuse(at(9), 9, new, 2), Accusation::First);
        assert_eq!(suspicions.accuse(at(9), 9, old, 3), Accusation::Known);
        assert!(!suspicions.is_accuser(&9, &1));
    }
}
