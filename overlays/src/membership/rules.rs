//! What a statement does to the table: the rules of precedence, suspicion, refutation and death.
//!
//! All changes of a member's status happen here and nowhere else, so that every change that an
//! application can see has its event and every death its date.

use std::sync::Arc;
use std::time::Duration;

use super::exchange::statement_of;
use super::message::Message;
use super::record::{Claim, Details, Statement, Status, Version};
use super::suspicion::{Accusation, Grace};
use super::table::{Entry, Table};
use super::{Membership, Out, Source, Timer};
use crate::event::{Event, Output, Peer};
use crate::time::Time;

/// How many members look for themselves at once when they hear of a suspicion: those that the suspect
/// follows on the ring, as everybody knows alike. Enough for the accusers that make it certain, one of
/// them lost.
const WITNESSES: usize = 4;

/// Least time until a timer that came too early comes again.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(10);

impl<P: Peer> Membership<P> {
    pub(super) fn apply_all(
        &mut self,
        now: Time,
        statements: Vec<Statement<P>>,
        source: Source,
        out: &mut Out<P>,
    ) {
        for statement in statements {
            self.apply(now, statement, source, out);
        }
    }

    fn apply(&mut self, now: Time, statement: Statement<P>, source: Source, out: &mut Out<P>) {
        let status = statement.status();
        let Statement {
            about,
            version,
            claim,
        } = statement;
        if about == self.me {
            self.about_me(version, status);
            return;
        }
        match (claim, self.table.get(&about).cloned()) {
            (Claim::Alive(details), None) => self.welcome(about, version, details, out),
            // Nothing to bury: the dead that this node does not know stay unknown.
            (_, None) => {}
            (Claim::Alive(details), Some(known)) => {
                self.renew(known, version, details, source, out);
            }
            (Claim::Suspect { by }, Some(known)) => {
                if by != self.me && known.version == version && known.status.is_live() {
                    self.hear_accusation(now, known, by, out);
                }
            }
            (Claim::Down, Some(known)) if source == Source::Exchange => {
                self.hear_of_death(now, known, version, out);
            }
            (Claim::Down, Some(known)) => self.die(now, known, version, Status::Down, out),
            (Claim::Left, Some(known)) => self.die(now, known, version, Status::Left, out),
        }
    }

    fn welcome(&mut self, about: P, version: Version, details: Arc<Details>, out: &mut Out<P>) {
        let entry = Entry {
            peer: about,
            version,
            status: Status::Alive,
            details,
        };
        match self.table.set(entry) {
            Ok(()) => out.push(Output::Event(Event::MemberUp(about))),
            Err(_) => self.counters.refused += 1,
        }
    }

    /// A known member says that it is alive: believed only in a newer version.
    fn renew(
        &mut self,
        known: Entry<P>,
        version: Version,
        details: Arc<Details>,
        source: Source,
        out: &mut Out<P>,
    ) {
        if version <= known.version {
            return;
        }
        let peer = known.peer;
        let restarted = version.incarnation != known.version.incarnation;
        if restarted && known.status.is_live() {
            // The life that was known is over, and whatever the application had there with it.
            out.push(Output::Event(Event::MemberDown(peer)));
        }
        if restarted || known.status != Status::Alive {
            out.push(Output::Event(Event::MemberUp(peer)));
        } else if known.details != details {
            out.push(Output::Event(Event::MemberChanged(peer)));
        }
        let accused = self.suspicions.is_accuser(&peer, &self.me);
        self.suspicions.clear(&peer);
        self.graveyard.raise(&peer);
        let details = if known.details == details {
            known.details
        } else {
            details
        };
        let entry = Entry {
            peer,
            version,
            status: Status::Alive,
            details,
        };
        if !restarted && (accused || known.status == Status::Down) {
            self.detector.be_lenient_with(peer);
        }
        if accused && source == Source::Exchange {
            // Told to this node alone, perhaps because its own broadcasts are slow: who spread the
            // suspicion spreads its end.
            self.news.push(statement_of(&entry));
        }
        self.put(entry);
    }

    /// This node's own probes failed. The member is told directly as well as by everybody: it may live
    /// and only be slow.
    pub(super) fn accuse(&mut self, now: Time, peer: P, out: &mut Out<P>) {
        let Some(known) = self.table.get(&peer).cloned() else {
            return;
        };
        if !known.status.is_live() {
            return;
        }
        self.counters.accusations += 1;
        let version = known.version;
        out.push(Output::Send {
            to: peer,
            message: Message::Accused(version),
        });
        self.spread_suspicion(now, known, out);
    }

    fn spread_suspicion(&mut self, now: Time, known: Entry<P>, out: &mut Out<P>) {
        let (about, version) = (known.peer, known.version);
        if self.suspect(now, known, self.me, out) != Accusation::Known {
            self.news.push(Statement {
                about,
                version,
                claim: Claim::Suspect { by: self.me },
            });
        }
    }

    fn hear_accusation(&mut self, now: Time, known: Entry<P>, by: P, out: &mut Out<P>) {
        let peer = known.peer;
        // Before it is under suspicion: then it follows nobody.
        let is_follower =
            (self.table.following(self.me).take(WITNESSES)).any(|other| other == peer);
        if self.suspect(now, known, by, out) == Accusation::First && is_follower {
            self.detector.probe_soon(peer);
        }
    }

    /// Somebody's table has it that a member is down that this node thinks alive.
    ///
    /// Either this node missed its death, or that table is of the other side of a partition, and the
    /// member does not know yet what it is thought to be. So it is asked first.
    fn hear_of_death(&mut self, now: Time, known: Entry<P>, version: Version, out: &mut Out<P>) {
        if version > known.version || !known.status.is_live() {
            self.die(now, known, version, Status::Down, out);
        } else if version == known.version && known.status == Status::Alive {
            self.spread_suspicion(now, known, out);
        }
    }

    /// Puts a live member under suspicion by `by`, at the version that is known.
    fn suspect(&mut self, now: Time, known: Entry<P>, by: P, out: &mut Out<P>) -> Accusation {
        let (suspect, version) = (known.peer, known.version);
        let accusation = self.suspicions.accuse(now, suspect, version, by);
        if accusation == Accusation::Known {
            return accusation;
        }
        if known.status == Status::Alive {
            self.put(Entry {
                status: Status::Suspect,
                ..known
            });
            out.push(Output::Event(Event::MemberSuspect(suspect)));
        }
        let remaining = self
            .suspicions
            .remaining(now, &suspect, &self.me, self.grace(&suspect));
        out.push(Output::SetTimer {
            id: Timer::Grace { suspect, version },
            after: remaining.unwrap_or_default(),
        });
        accusation
    }

    /// The time of a suspect may be over: it is down now, or the timer was of an earlier reckoning.
    pub(super) fn grace_over(&mut self, now: Time, suspect: P, version: Version, out: &mut Out<P>) {
        let Some(known) = self.table.get(&suspect).cloned() else {
            return;
        };
        if known.version != version || known.status != Status::Suspect {
            return;
        }
        let grace = self.grace(&suspect);
        let Some(remaining) = self.suspicions.remaining(now, &suspect, &self.me, grace) else {
            return;
        };
        if !remaining.is_zero() {
            // Another timer may run for it, set with a later accuser; this one looks again as well. A
            // timer can come a hair too early, and must not come back at once.
            out.push(Output::SetTimer {
                id: Timer::Grace { suspect, version },
                after: remaining.max(LOOK_AGAIN_AFTER),
            });
            return;
        }
        if self.suspicions.is_accuser(&suspect, &self.me) {
            self.news.push(Statement {
                about: suspect,
                version,
                claim: Claim::Down,
            });
        }
        self.die(now, known, version, Status::Down, out);
    }

    fn grace(&self, suspect: &P) -> Grace {
        let patience = self.detector.patience_with(suspect);
        Grace {
            least: self.config.grace_least * patience,
            most: self.config.grace_most * patience,
            accusers_possible: self.table.live().saturating_sub(1),
        }
    }

    /// A member is dead in this version.
    fn die(
        &mut self,
        now: Time,
        known: Entry<P>,
        version: Version,
        status: Status,
        out: &mut Out<P>,
    ) {
        if version < known.version || (version == known.version && status <= known.status) {
            return;
        }
        let peer = known.peer;
        if known.status.is_live() {
            out.push(Output::Event(if status == Status::Left {
                Event::MemberLeft(peer)
            } else {
                Event::MemberDown(peer)
            }));
            self.graveyard.bury(peer, now + self.config.forget_after);
        }
        self.suspicions.clear(&peer);
        self.put(Entry {
            version,
            status,
            ..known
        });
    }

    /// Somebody speaks of this node itself.
    pub(super) fn about_me(&mut self, version: Version, status: Status) {
        let Some(own) = self.table.get(&self.me).cloned() else {
            return;
        };
        let accused = version == own.version && status != Status::Alive;
        if version < own.version || (version == own.version && !accused) {
            return;
        }
        if let Some(version) = version.next() {
            self.counters.refutations += 1;
            self.announce = true;
            self.put(Entry { version, ..own });
        }
    }

    /// Gives this node other metadata.
    pub(super) fn set_metadata(&mut self, metadata: &[u8]) {
        let Some(own) = self.table.get(&self.me).cloned() else {
            return;
        };
        let details = Details {
            metadata: metadata.to_vec(),
            ..(*own.details).clone()
        };
        if let (Some(version), Ok(())) = (own.version.next(), details.validate()) {
            self.announce = true;
            self.put(Entry {
                version,
                details: Arc::new(details),
                ..own
            });
        }
    }

    /// Says goodbye: the last word of this incarnation.
    pub(super) fn leave(&mut self) {
        self.has_left = true;
        self.announce = false;
        let own = self.table.get(&self.me);
        if let Some(version) = own.and_then(|own| own.version.next()) {
            self.news.push(Statement {
                about: self.me,
                version,
                claim: Claim::Left,
            });
        }
    }

    /// Tells everybody about this node, at most twice per period however often it is accused, and
    /// not before there is a neighbor to hear it.
    pub(super) fn announce_if_due(&mut self, now: Time) {
        if !self.announce || now < self.announce_after || self.detector.neighbors().is_empty() {
            return;
        }
        self.announce = false;
        self.announce_after = now + self.config.detector.period / 2;
        if let Some(own) = self.table.get(&self.me) {
            self.news.push(statement_of(own));
        }
    }

    /// This node did not run for so long that others may have forgotten what it still believes:
    /// it starts again with itself alone, lest it bring the dead back.
    pub(super) fn drop_others(&mut self, out: &mut Out<P>) {
        let Some(own) = self.table.get(&self.me).cloned() else {
            return;
        };
        for entry in self.table.iter() {
            if entry.status.is_live() && entry.peer != self.me {
                out.push(Output::Event(Event::MemberDown(entry.peer)));
            }
            self.suspicions.clear(&entry.peer);
            self.graveyard.raise(&entry.peer);
        }
        self.exchange = None;
        self.announce = true;
        self.table = Table::new(self.config.members_max.max(1));
        self.put(own);
    }

    /// Stores an entry of a member that is known, for which there is always room.
    fn put(&mut self, entry: Entry<P>) {
        if self.table.set(entry).is_err() {
            self.counters.refused += 1;
        }
    }
}
