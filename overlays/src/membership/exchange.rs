//! Anti-entropy: two neighbors compare their tables and repair what differs, in bounded messages.
//!
//! Who begins keeps a [`Session`], one at a time; who answers keeps nothing. Equal tables cost one
//! message of a few bytes. Otherwise the sums of the buckets come back, the beginner lists the
//! members of those that differ, a batch at a time, and each listing is answered with what it lacked
//! and what it knew better. Only what a table *says* is exchanged; [`super::rules`] decides what to
//! make of it.

use std::collections::BTreeMap;

use super::message::{LISTED_GOAL, Listed, Message, STATEMENTS_MAX, WANTED_MAX};
use super::record::{Claim, Statement, Status, Version};
use super::table::{BUCKETS, Entry, Table, bucket_of};
use crate::event::Peer;
use crate::time::Time;

/// How often one batch is listed again because its answer did not fit. 32 answers hold more than
/// two buckets full to their bound; a peer that always says "more" is left then.
const REPEATS_MAX: u8 = 32;

/// One comparison that this node began.
#[derive(Debug)]
pub(super) struct Session<P> {
    with: P,
    /// When the other last said something.
    progress: Time,
    /// What the other's table sums up to; empty until it says so.
    theirs: Vec<u32>,
    /// Members that the other has in one bucket, on average.
    their_bucket_members: usize,
    /// First bucket of the batch that is being listed, and the first after it.
    batch: (usize, usize),
    repeats: u8,
}

impl<P: Peer> Session<P> {
    pub(super) const fn begin(now: Time, with: P) -> Self {
        Self {
            with,
            progress: now,
            theirs: Vec::new(),
            their_bucket_members: 0,
            batch: (0, 0),
            repeats: 0,
        }
    }

    pub(super) const fn with(&self) -> &P {
        &self.with
    }

    pub(super) const fn progress(&self) -> Time {
        self.progress
    }

    /// The other differed, and there is more to compare. Until then it may just have had nothing to
    /// say.
    pub(super) const fn is_listing(&self) -> bool {
        !self.theirs.is_empty()
    }

    /// The sums came: the first listing, or none if nothing differs any more.
    pub(super) fn sums_came(
        &mut self,
        now: Time,
        sums: Vec<u32>,
        members: u32,
        table: &Table<P>,
    ) -> Option<Message<P>> {
        if self.is_listing() {
            return None;
        }
        self.progress = now;
        self.theirs = sums;
        self.their_bucket_members = usize::try_from(members).unwrap_or(0) / BUCKETS;
        self.list_from(0, table)
    }

    /// An answer came and was applied: the next listing, or none if this was the last.
    pub(super) fn answer_came(
        &mut self,
        now: Time,
        more: bool,
        table: &Table<P>,
    ) -> Option<Message<P>> {
        if !self.is_listing() {
            return None;
        }
        self.progress = now;
        let (start, end) = self.batch;
        if more && self.repeats < REPEATS_MAX {
            self.repeats += 1;
            return self.list_from(start, table);
        }
        self.repeats = 0;
        self.list_from(end, table)
    }

    fn list_from(&mut self, start: usize, table: &Table<P>) -> Option<Message<P>> {
        let ours = table.bucket_sums();
        let mut buckets = Vec::new();
        let mut members = Vec::new();
        let mut expected = 0;
        let mut at = start;
        while at < BUCKETS && expected < LISTED_GOAL {
            let index = u8::try_from(at).ok()?;
            if ours[at] != self.theirs[at] {
                let own = table.bucket(index);
                if !buckets.is_empty() && members.len() + own.len() > LISTED_GOAL {
                    break;
                }
                let sure = own.iter().filter(|entry| !table.is_doubted(&entry.peer));
                members.extend(sure.map(|entry| Listed {
                    peer: entry.peer,
                    version: entry.version,
                    status: entry.status,
                }));
                expected += own.len().max(self.their_bucket_members).max(1);
                buckets.push(index);
            }
            at += 1;
        }
        self.batch = (start, at);
        (!buckets.is_empty()).then_some(Message::Listing { buckets, members })
    }
}

/// What follows from a listing.
#[derive(Debug, PartialEq)]
pub(super) struct Comparison<P> {
    /// What the other lacks.
    pub(super) statements: Vec<Statement<P>>,
    /// What the other knows better, and has to be asked for.
    pub(super) wanted: Vec<P>,
    /// Deaths that the listing itself tells.
    pub(super) deaths: Vec<Statement<P>>,
    /// Not everything had room.
    pub(super) more: bool,
}

/// Compares a listing with the table.
pub(super) fn compare<P: Peer>(
    table: &Table<P>,
    buckets: &[u8],
    listed: &[Listed<P>],
) -> Comparison<P> {
    let mut found = Comparison {
        statements: Vec::new(),
        wanted: Vec::new(),
        deaths: Vec::new(),
        more: false,
    };
    let mut named = [false; BUCKETS];
    for index in buckets {
        named[usize::from(*index)] = true;
    }
    let mut theirs: BTreeMap<P, (Version, Status)> = BTreeMap::new();
    for member in listed {
        if named[usize::from(bucket_of(&member.peer))] {
            theirs.insert(member.peer, (member.version, member.status));
        }
    }
    for index in buckets {
        // Each once, however often it is named.
        if !std::mem::take(&mut named[usize::from(*index)]) {
            continue;
        }
        for entry in table.bucket(*index) {
            let sure = !table.is_doubted(&entry.peer);
            if sure && is_news(entry, theirs.get(&entry.peer)) {
                if found.statements.len() < STATEMENTS_MAX {
                    found.statements.push(statement_of(entry));
                } else {
                    found.more = true;
                }
            }
        }
    }
    for (peer, (version, status)) in theirs {
        want(table, peer, version, status, &mut found);
    }
    found
}

/// Whether the other, who knows `theirs` of this member, is to hear what the table has.
///
/// Suspicion does not travel this way: it is spread by broadcast, and either ends in a death or in a
/// new version.
fn is_news<P: Peer>(entry: &Entry<P>, theirs: Option<&(Version, Status)>) -> bool {
    match theirs {
        None => entry.status.is_live(),
        Some((version, status)) => {
            let death = !entry.status.is_live() && status.is_live();
            entry.version > *version || (entry.version == *version && death)
        }
    }
}

fn want<P: Peer>(
    table: &Table<P>,
    peer: P,
    version: Version,
    status: Status,
    found: &mut Comparison<P>,
) {
    let known = table.get_sure(&peer);
    let newer = known.is_none_or(|entry| version > entry.version);
    let death = known.is_some_and(|entry| {
        !status.is_live() && version >= entry.version && entry.status.is_live()
    });
    if death {
        let claim = if status == Status::Left {
            Claim::Left
        } else {
            Claim::Down
        };
        found.deaths.push(Statement {
            about: peer,
            version,
            claim,
        });
    } else if newer && status.is_live() {
        if found.wanted.len() < WANTED_MAX {
            found.wanted.push(peer);
        } else {
            found.more = true;
        }
    }
}

/// The statement that tells what the table has of one member.
pub(super) fn statement_of<P: Peer>(entry: &Entry<P>) -> Statement<P> {
    Statement {
        about: entry.peer,
        version: entry.version,
        claim: match entry.status {
            Status::Alive | Status::Suspect => Claim::Alive(entry.details.clone()),
            Status::Down => Claim::Down,
            Status::Left => Claim::Left,
        },
    }
}
