//! What a statement does to the table: the rules of precedence, suspicion, refutation and death.
//!
//! All changes of a member's status happen here and nowhere else, so that every change that an
//! application can see has its event and every death its date.

use std::sync::Arc;

use super::exchange::statement_of;
use super::message::Message;
use super::record::{Claim, Details, Statement, Status, Version};
use super::suspicion::{Accusation, EARLY_MAX, Grace};
use super::table::{Entry, TableFull, bucket_of};
use super::{Membership, Out, Source, Timer};
use crate::event::{Event, Output, Peer};
use crate::time::Time;

/// How many members look for themselves at once when they hear of a suspicion: those that the suspect
/// follows on the ring, as everybody knows alike. Enough for the accusers that make it certain, one of
/// them lost.
const WITNESSES: usize = 4;

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
                self.renew(now, known, version, details, source, out);
            }
            (Claim::Suspect { by }, Some(known)) => {
                if by != self.me && known.version == version && known.status.is_live() {
                    self.hear_accusation(now, known, by, out);
                }
            }
            (Claim::Down, Some(known)) if source == Source::Exchange => {
                self.hear_of_death(now, known, version, out);
            }
            (Claim::Down, Some(known)) => self.hear_sentence(now, known, version, out),
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
        let zone = entry.details.zone.clone();
        match self.table.set(entry.clone()) {
            Ok(()) => {}
            Err(full) if self.make_room(&about, full) && self.table.set(entry).is_ok() => {}
            Err(_) => {
                self.counters.refused += 1;
                return;
            }
        }
        self.nearness.note(about, &zone);
        out.push(Output::Event(Event::MemberUp(about)));
    }

    /// Forgets the member that has been dead for longest, before its time, so that `newcomer` has a
    /// place. False if there is none.
    fn make_room(&mut self, newcomer: &P, full: TableFull) -> bool {
        let oldest = match full {
            TableFull::All => self.graveyard.next(),
            TableFull::Bucket => {
                let bucket = self.table.bucket(bucket_of(newcomer));
                self.graveyard
                    .next_of(bucket.iter().map(|entry| entry.peer))
            }
        };
        if let Some(oldest) = &oldest {
            self.forget(oldest);
        }
        oldest.is_some()
    }

    /// Nothing is known of this member any more.
    pub(super) fn forget(&mut self, peer: &P) {
        self.table.remove(peer);
        self.nearness.forget(peer);
        self.suspicions.clear(peer);
        self.graveyard.raise(peer);
        self.disputes.forget(peer);
    }

    /// A known member says that it is alive: believed only in a newer version.
    fn renew(
        &mut self,
        now: Time,
        known: Entry<P>,
        version: Version,
        details: Arc<Details>,
        source: Source,
        out: &mut Out<P>,
    ) {
        if version <= known.version {
            if version == known.version && known.status.is_live() {
                self.table.trust(&known.peer);
            }
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
        if restarted {
            self.disputes.forget(&peer);
        } else if known.status != Status::Alive {
            self.disputes.refuted(now, peer);
        }
        if accused && source == Source::Exchange {
            // Told to this node alone, perhaps because its own broadcasts are slow: who spread the
            // suspicion spreads its end.
            self.news.push(statement_of(&entry));
        }
        self.table.trust(&peer);
        self.put(entry);
    }

    /// This node's own probes failed. The member is told directly as well as by everybody: it may live
    /// and only be slow. While it may still refute, it is probed again, with the help of others.
    pub(super) fn accuse(&mut self, now: Time, peer: P, out: &mut Out<P>) {
        let Some(known) = self.table.get(&peer).cloned() else {
            return;
        };
        if !known.status.is_live() {
            return;
        }
        if known.status == Status::Alive && self.disputes.is_protected(now, &peer) {
            self.counters.held_back += 1;
            return;
        }
        let version = known.version;
        out.push(Output::Send {
            to: peer,
            message: Message::Accused(version),
        });
        self.detector.probe_soon(peer);
        if self.suspicions.confirm(&peer, version, &self.me) {
            self.look_again(now, peer, version, out);
            return;
        }
        self.counters.accusations += 1;
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
        let is_first = self.suspect(now, known, by, out) == Accusation::First;
        // One that refuted just now most likely does so again: its accuser alone looks on.
        if is_first && is_follower && !self.disputes.is_remembered(now, &peer) {
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

    /// Somebody tells everybody that a member is down.
    ///
    /// Who did not hear of an accusation before either missed it, or hears old news: a broadcast can be
    /// repaired long after it was sent, and this node may have welcomed the member since. So the member
    /// is a suspect for the shortest time first. It hears the same broadcast, and refutes it.
    fn hear_sentence(&mut self, now: Time, known: Entry<P>, version: Version, out: &mut Out<P>) {
        let in_its_life = version == known.version && known.status.is_live();
        if in_its_life && self.suspicions.condemn(now, known.peer, version) {
            self.set_suspect(now, known, out);
        } else {
            self.die(now, known, version, Status::Down, out);
        }
    }

    /// Puts a live member under suspicion by `by`, at the version that is known.
    fn suspect(&mut self, now: Time, known: Entry<P>, by: P, out: &mut Out<P>) -> Accusation {
        let accusation = (self.suspicions).accuse(now, known.peer, known.version, by);
        if accusation != Accusation::Known {
            self.set_suspect(now, known, out);
        }
        accusation
    }

    /// A suspicion of this live member has begun, or its end came nearer.
    fn set_suspect(&mut self, now: Time, known: Entry<P>, out: &mut Out<P>) {
        let (suspect, version) = (known.peer, known.version);
        if known.status == Status::Alive {
            self.put(Entry {
                status: Status::Suspect,
                ..known
            });
            out.push(Output::Event(Event::MemberSuspect(suspect)));
        }
        self.look_again(now, suspect, version, out);
    }

    /// Sets the timer that comes when the time of the suspect is over, if none comes before.
    fn look_again(&mut self, now: Time, suspect: P, version: Version, out: &mut Out<P>) {
        let grace = self.grace(&suspect);
        let remaining = self.suspicions.remaining(now, &suspect, &self.me, grace);
        // A timer can come a hair too early, and must not come back at once.
        let after = remaining.unwrap_or_default().max(EARLY_MAX);
        if self.suspicions.look_again(now, &suspect, after) {
            out.push(Output::SetTimer {
                id: Timer::Grace { suspect, version },
                after,
            });
        }
    }

    /// Their time was reckoned when this node trusted itself less than it may now.
    pub(super) fn look_at_suspects(&mut self, now: Time, out: &mut Out<P>) {
        for (suspect, version) in self.suspicions.all() {
            self.look_again(now, suspect, version, out);
        }
    }

    /// The time of a suspect may be over: it is down now, or the timer was of an earlier reckoning.
    pub(super) fn grace_over(&mut self, now: Time, suspect: P, version: Version, out: &mut Out<P>) {
        let Some(known) = self.table.get(&suspect).cloned() else {
            return;
        };
        if known.version != version || known.status != Status::Suspect {
            return;
        }
        if self.suspicions.is_overtaken(now, &suspect) {
            return;
        }
        let grace = self.grace(&suspect);
        let Some(remaining) = self.suspicions.remaining(now, &suspect, &self.me, grace) else {
            return;
        };
        if !remaining.is_zero() {
            self.look_again(now, suspect, version, out);
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
        let patience = self.detector.patience_with_suspect(suspect);
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

    /// Stores an entry of a member that is known, for which there is always room.
    pub(super) fn put(&mut self, entry: Entry<P>) {
        self.nearness.note(entry.peer, &entry.details.zone);
        let stored = self.table.set(entry);
        debug_assert!(stored.is_ok(), "only members that are known are put");
    }
}
