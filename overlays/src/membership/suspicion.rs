//! Members under suspicion: who accused them, and until when they may refute it.
//!
//! One accuser may be wrong about a member, several hardly: the more have accused it independently,
//! the sooner a suspect is down (Lifeguard). Where most of a cluster died there may be no second
//! accuser, so an accuser that probes again, with other helpers, counts again; and one that hears
//! the suspect after all counts no more. A death that is told without an accusation before it may be
//! old news, kept on its way while the member was welcomed again: then the suspect has the shortest
//! time to say so. Owns the accusations only; the status is the table's.

use std::collections::BTreeMap;
use std::time::Duration;

use super::record::Version;
use crate::event::Peer;
use crate::time::Time;

/// Accusers that make a suspicion as good as certain. 3: Lifeguard's K.
pub(super) const ACCUSERS_ENOUGH: usize = 3;

/// How much too early a timer can come.
pub(super) const EARLY_MAX: Duration = Duration::from_millis(10);

#[derive(Debug)]
struct Suspicion<P> {
    version: Version,
    /// Distinct, this node among them; those beyond [`ACCUSERS_ENOUGH`] are not noted.
    accusers: Vec<P>,
    /// Probes of this node that failed since it accused the suspect itself, at most
    /// [`ACCUSERS_ENOUGH`].
    confirmed: usize,
    /// This node heard the suspect after it had accused it.
    withdrawn: bool,
    /// Its death was told before this node heard of any accusation.
    condemned: bool,
    /// From when the time of the suspect counts.
    since: Time,
    /// When a timer comes to look at the suspect; none yet if zero.
    look_at: Time,
}

impl<P: Peer> Suspicion<P> {
    /// Whether `me`, this node, stands by an accusation of its own.
    fn is_of(&self, me: &P) -> bool {
        self.accusers.contains(me) && !self.withdrawn
    }

    fn begin_again(&mut self, now: Time) {
        self.withdrawn = true;
        self.condemned = false;
        self.confirmed = 0;
        self.since = now;
    }
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
            confirmed: 0,
            withdrawn: false,
            condemned: false,
            since: now,
            look_at: Time::ZERO,
        };
        self.suspects.insert(suspect, suspicion);
        Accusation::First
    }

    /// Notes that this version of `suspect` was told dead. False if somebody is known to have accused it,
    /// so that it had its time; else it has the shortest from now on, however often it is told.
    pub(super) fn condemn(&mut self, now: Time, suspect: P, version: Version) -> bool {
        if let Some(known) = self.suspects.get(&suspect)
            && known.version == version
        {
            return known.accusers.is_empty();
        }
        let suspicion = Suspicion {
            version,
            accusers: Vec::new(),
            confirmed: 0,
            withdrawn: false,
            condemned: true,
            since: now,
            look_at: Time::ZERO,
        };
        self.suspects.insert(suspect, suspicion);
        true
    }

    /// Another probe of `me`, this node, failed. True if it had accused this version of the suspect
    /// before: everybody knows, and it is as good as one accuser more.
    pub(super) fn confirm(&mut self, suspect: &P, version: Version, me: &P) -> bool {
        let Some(suspicion) = self.suspects.get_mut(suspect) else {
            return false;
        };
        if suspicion.version != version || !suspicion.accusers.contains(me) {
            return false;
        }
        if !std::mem::take(&mut suspicion.withdrawn) {
            suspicion.confirmed = (suspicion.confirmed + 1).min(ACCUSERS_ENOUGH);
        }
        true
    }

    /// The suspect is to be looked at in `after`. True if that needs a timer: none comes as early.
    pub(super) fn look_again(&mut self, now: Time, suspect: &P, after: Duration) -> bool {
        let Some(suspicion) = self.suspects.get_mut(suspect) else {
            return false;
        };
        let at = now + after;
        let needed = suspicion.look_at <= now || at < suspicion.look_at;
        if needed {
            suspicion.look_at = at;
        }
        needed
    }

    /// The suspects, each in the version that is suspected.
    pub(super) fn all(&self) -> Vec<(P, Version)> {
        let suspects = self.suspects.iter();
        suspects
            .map(|(peer, suspicion)| (*peer, suspicion.version))
            .collect()
    }

    /// Whether a timer that comes now was overtaken: another one will come.
    pub(super) fn is_overtaken(&self, now: Time, suspect: &P) -> bool {
        let suspicion = self.suspects.get(suspect);
        suspicion.is_some_and(|suspicion| now + EARLY_MAX < suspicion.look_at)
    }

    /// This node heard the suspect itself: it takes its accusation back, and gives the suspect the time
    /// to refute that of others.
    pub(super) fn heard(&mut self, now: Time, suspect: &P) {
        if let Some(suspicion) = self.suspects.get_mut(suspect) {
            suspicion.begin_again(now);
        }
    }

    /// This node did not run for some time, so that it may have missed any refutation: it takes back
    /// what it accused others of, and gives them all their time again.
    pub(super) fn slept(&mut self, now: Time) {
        for suspicion in self.suspects.values_mut() {
            suspicion.begin_again(now);
        }
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
        let span = if suspicion.condemned {
            grace.least
        } else if suspicion.is_of(me) {
            grace.span(suspicion.accusers.len() + suspicion.confirmed)
        } else {
            grace.most * 2
        };
        let end = suspicion.since + span;
        Some(end.since(now))
    }

    /// Whether `me` is among those who accused this suspect.
    pub(super) fn is_accuser(&self, suspect: &P, me: &P) -> bool {
        let suspicion = self.suspects.get(suspect);
        suspicion.is_some_and(|suspicion| suspicion.is_of(me))
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
    fn probes_that_fail_again_count_as_accusers() {
        let mut suspicions = Suspicions::new();
        suspicions.accuse(at(0), 9_u32, Version::first(1), 1);
        let spans: Vec<u64> = (0..3)
            .map(|_| {
                assert!(suspicions.confirm(&9, Version::first(1), &1));
                let remaining = suspicions.remaining(at(0), &9, &1, GRACE);
                remaining.expect("suspect").as_secs()
            })
            .collect();
        assert_eq!(spans, [8, 4, 4]);
    }

    #[test]
    fn who_hears_the_suspect_takes_its_accusation_back() {
        let mut suspicions = Suspicions::new();
        suspicions.accuse(at(0), 9_u32, Version::first(1), 1);
        suspicions.confirm(&9, Version::first(1), &1);
        suspicions.heard(at(3), &9);
        assert!(!suspicions.is_accuser(&9, &1));
        let remaining = suspicions.remaining(at(3), &9, &1, GRACE);
        assert_eq!(remaining, Some(Duration::from_secs(24)));
        suspicions.confirm(&9, Version::first(1), &1);
        let remaining = suspicions.remaining(at(5), &9, &1, GRACE);
        assert_eq!(
            remaining,
            Some(Duration::from_secs(10)),
            "from when it was heard"
        );
    }

    #[test]
    fn only_an_accuser_of_this_version_confirms() {
        let mut suspicions = Suspicions::new();
        suspicions.accuse(at(0), 9_u32, Version::first(1), 2);
        assert!(!suspicions.confirm(&9, Version::first(1), &1));
        assert!(!suspicions.confirm(&9, Version::first(2), &2));
        assert!(!suspicions.confirm(&8, Version::first(1), &2));
    }

    #[test]
    fn one_timer_runs_for_a_suspect_and_an_earlier_one_overtakes_it() {
        let mut suspicions = Suspicions::new();
        suspicions.accuse(at(0), 9_u32, Version::first(1), 1);
        let second = Duration::from_secs(1);
        assert!(suspicions.look_again(at(0), &9, 12 * second));
        assert!(!suspicions.look_again(at(1), &9, 20 * second));
        assert!(suspicions.look_again(at(1), &9, 4 * second));
        assert!(!suspicions.is_overtaken(at(5), &9));
        assert!(
            suspicions.look_again(at(5), &9, 10 * second),
            "the timer came"
        );
        assert!(
            suspicions.is_overtaken(at(12), &9),
            "that of 15 s will come"
        );
    }

    #[test]
    fn who_slept_gives_all_suspects_their_time_again() {
        let mut suspicions = Suspicions::new();
        suspicions.accuse(at(0), 8_u32, Version::first(1), 1);
        suspicions.accuse(at(0), 9, Version::first(1), 2);
        suspicions.slept(at(600));
        for suspect in [8, 9] {
            let remaining = suspicions.remaining(at(600), &suspect, &1, GRACE);
            assert_eq!(remaining, Some(Duration::from_secs(24)));
        }
    }

    #[test]
    fn who_only_heard_of_it_waits_for_its_accusers() {
        let mut suspicions = Suspicions::new();
        suspicions.accuse(at(0), 9_u32, Version::first(1), 1);
        let remaining = suspicions.remaining(at(5), &9, &2, GRACE);
        assert_eq!(remaining, Some(Duration::from_secs(19)));
    }

    #[test]
    fn who_is_told_dead_before_any_accusation_has_the_shortest_time_to_object() {
        let mut suspicions = Suspicions::new();
        let version = Version::first(1);
        assert!(suspicions.condemn(at(0), 9_u32, version));
        assert!(suspicions.condemn(at(3), 9, version), "told again");
        let remaining = suspicions.remaining(at(3), &9, &1, GRACE);
        assert_eq!(remaining, Some(Duration::from_secs(1)));
        suspicions.heard(at(3), &9);
        let remaining = suspicions.remaining(at(3), &9, &1, GRACE);
        assert_eq!(remaining, Some(Duration::from_secs(24)), "it spoke");
    }

    #[test]
    fn who_was_accused_before_had_its_time() {
        let mut suspicions = Suspicions::new();
        suspicions.accuse(at(0), 9_u32, Version::first(1), 2);
        assert!(!suspicions.condemn(at(1), 9, Version::first(1)));
        assert!(
            suspicions.condemn(at(1), 9, Version::first(2)),
            "not in this"
        );
        assert!(!suspicions.is_accuser(&9, &2));
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
