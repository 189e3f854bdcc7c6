//! Who is told which summaries, and the newest of each member.
//!
//! Each period a node tells a few neighbors which summaries are new since it told them last (*heads*, 20 bytes each), hears the
//! same from them, and each asks the other for what it lacks: a summary goes over a link once, to whom it is new. Members make
//! theirs less often the more of them there are, so that what a period brings is bounded. What of others is held: the
//! newest of each live member, in its life as the member list has it. No I/O; time, members, neighbors and randomness are
//! arguments.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use overlane_overlays::Time;
use rand::seq::IteratorRandom;
use rand::{Rng, RngExt};

use super::messages::{
    AGE_MS_MAX, Head, Heads, IDS_MAX, NUMBER_MAX, PARTS_BYTES_MAX, Part, Version,
};
use super::summary::Summary;
use crate::cluster::identity::NodeId;

/// Neighbors that are told in one period, besides those that tell: each wakes a thread, and a server of hundreds must not
/// tell them all.
const NEIGHBORS_PER_PERIOD: usize = 2;

/// Summaries that all members together make in one period. Half of what one message names, so that nothing piles up.
const MADE_PER_PERIOD: usize = IDS_MAX / 2;

/// How long a summary that was asked for is waited for before another neighbor is asked. 3 s: as long as a word waits for
/// a lane.
const ASKED_FOR: Duration = Duration::from_secs(3);

/// How late an answer is still one: a lane may have to be made first, or made again. 60 s: a guess, twenty times as long.
const ANSWERED_FOR: Duration = Duration::from_secs(60);

/// Bytes of summaries that one peer gets in one period: twice what it can have been told of, where they are 1 KiB.
const SERVED_BYTES_MAX: usize = 256 << 10;

/// The newest summary of a member.
#[derive(Clone, Debug)]
pub(in crate::cluster) struct Holding {
    version: Version,
    summary: Bytes,
    /// When it came, and how old it was then.
    came: Time,
    age: Duration,
    /// Who has it for sure.
    from: NodeId,
    /// Its place in the order of what is new.
    place: u64,
}

/// What a period asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cluster) enum Round {
    /// Nothing is made.
    Off,
    /// Neighbors are to be told.
    Tell,
    /// The node is to be counted; then neighbors are to be told.
    Count,
}

/// See the module's text.
#[derive(Debug)]
pub(in crate::cluster) struct Spread {
    me: NodeId,
    life: u64,
    period: Duration,
    held: BTreeMap<NodeId, Holding>,
    /// Members by the place of theirs in the order of what is new.
    news: BTreeMap<u64, NodeId>,
    last_place: u64,
    /// Up to which place each neighbor was told.
    told: BTreeMap<NodeId, u64>,
    /// What was asked for, and when.
    asked: BTreeMap<NodeId, (Version, Time)>,
    /// Bytes that each peer got in this period.
    served: BTreeMap<NodeId, usize>,
    /// The last of this node.
    number: u64,
    /// Periods until the next of this node.
    own_in: usize,
    is_counting: bool,
    refused: u64,
}

impl Spread {
    /// Of a node that has none. Zero as the period: it makes none, holds none and answers nobody.
    pub(in crate::cluster) const fn new(me: NodeId, life: u64, period: Duration) -> Self {
        Self {
            me,
            life,
            period,
            held: BTreeMap::new(),
            news: BTreeMap::new(),
            last_place: 0,
            told: BTreeMap::new(),
            asked: BTreeMap::new(),
            served: BTreeMap::new(),
            number: 0,
            own_in: 0,
            is_counting: false,
            refused: 0,
        }
    }

    pub(in crate::cluster) const fn period(&self) -> Duration {
        self.period
    }

    /// Summaries that could not be read, or that this node had not asked for.
    pub(in crate::cluster) const fn refused(&self) -> u64 {
        self.refused
    }

    /// A period begins, with so many live members. `life_of`: the incarnation of a live member.
    pub(in crate::cluster) fn begin<R: Rng>(
        &mut self,
        now: Time,
        live: usize,
        life_of: impl Fn(NodeId) -> Option<u64>,
        neighbors: &[NodeId],
        random: &mut R,
    ) -> Round {
        if self.period.is_zero() {
            return Round::Off;
        }
        self.served.clear();
        self.told.retain(|peer, _| neighbors.contains(peer));
        self.asked
            .retain(|_, (_, at)| now.since(*at) < ANSWERED_FOR);
        let news = &mut self.news;
        self.held.retain(|member, holding| {
            let is_live = life_of(*member) == Some(holding.version.life);
            if !is_live {
                news.remove(&holding.place);
            }
            is_live
        });
        self.own_in = self.own_in.saturating_sub(1);
        if self.own_in > 0 {
            return Round::Tell;
        }
        let every = live.div_ceil(MADE_PER_PERIOD).max(1);
        // Every so many periods as a rule, and not all members in the same one.
        self.own_in = random.random_range(1..2 * every);
        // Who waits for counts that do not come passes on what others count all the same.
        if std::mem::replace(&mut self.is_counting, true) {
            return Round::Tell;
        }
        Round::Count
    }

    /// What this node says of itself now. False if that is no news: nobody waits for it.
    pub(in crate::cluster) fn counted(&mut self, now: Time, summary: &Summary) -> bool {
        if !std::mem::take(&mut self.is_counting) {
            return false;
        }
        self.number = (self.number + 1).min(NUMBER_MAX);
        let version = Version {
            life: self.life,
            number: self.number,
        };
        let (me, age) = (self.me, Duration::ZERO);
        self.hold(me, version, summary.write(), now, age, me);
        true
    }

    /// Whom to tell what now.
    pub(in crate::cluster) fn tell<R: Rng>(
        &mut self,
        neighbors: Vec<NodeId>,
        random: &mut R,
    ) -> Vec<(NodeId, Heads)> {
        let chosen = neighbors.into_iter().sample(random, NEIGHBORS_PER_PERIOD);
        let told = chosen.into_iter().map(|peer| {
            let heads = self.news_for(peer);
            let is_answer = false;
            (peer, Heads { is_answer, heads })
        });
        told.collect()
    }

    /// A neighbor said what is new there: what to ask it for, and what to answer it, if anything.
    pub(in crate::cluster) fn heard(
        &mut self,
        now: Time,
        from: NodeId,
        theirs: &Heads,
        is_neighbor: bool,
        life_of: impl Fn(NodeId) -> Option<u64>,
    ) -> (Vec<NodeId>, Option<Heads>) {
        if self.period.is_zero() {
            return (Vec::new(), None);
        }
        let mut wants = Vec::new();
        for head in &theirs.heads {
            if head.member == self.me {
                self.heard_own(head.version);
            } else if self.is_news(head, &life_of) && self.ask(now, head) {
                wants.push(head.member);
            }
        }
        let answers = is_neighbor && !theirs.is_answer;
        let heads = answers.then(|| self.news_for(from));
        let heads = heads.filter(|heads| !heads.is_empty());
        let is_answer = true;
        (wants, heads.map(|heads| Heads { is_answer, heads }))
    }

    /// A peer wants the summaries of these members: those that are held, in as many messages as it takes.
    pub(in crate::cluster) fn wanted(
        &mut self,
        now: Time,
        from: NodeId,
        members: &[NodeId],
    ) -> Vec<Vec<Part>> {
        let served = self.served.entry(from).or_default();
        let (mut messages, mut bytes) = (Vec::new(), 0);
        let mut parts: Vec<Part> = Vec::new();
        for member in members {
            let Some(holding) = self.held.get(member) else {
                continue;
            };
            let part = holding.part(*member, now);
            if *served + part.bytes() > SERVED_BYTES_MAX {
                break;
            }
            *served += part.bytes();
            if bytes + part.bytes() > PARTS_BYTES_MAX {
                messages.push(std::mem::take(&mut parts));
                bytes = 0;
            }
            bytes += part.bytes();
            parts.push(part);
        }
        messages.extend((!parts.is_empty()).then_some(parts));
        messages
    }

    /// Summaries came that were asked for: those that are new, can be read and are of members are held.
    pub(in crate::cluster) fn take(
        &mut self,
        now: Time,
        from: NodeId,
        parts: Vec<Part>,
        life_of: impl Fn(NodeId) -> Option<u64>,
    ) {
        for part in parts {
            let Head { member, version } = part.head;
            let asked = self.asked.get(&member);
            let is_asked = asked.is_some_and(|(asked, _)| *asked <= version);
            // Another neighbor knew a newer one before this came, or has brought it.
            let held = self.held.get(&member);
            let is_late = asked.is_some() || held.is_some_and(|held| held.version >= version);
            if Summary::read(&part.summary).is_err() || !is_asked && !is_late {
                self.refused += 1;
                continue;
            }
            if !is_asked {
                continue;
            }
            self.asked.remove(&member);
            if self.is_news(&part.head, &life_of) {
                let age = Duration::from_millis(part.age_ms);
                self.hold(member, version, part.summary, now, age, from);
            }
        }
    }

    /// A neighbor is new: it knows nothing, as far as this node knows.
    pub(in crate::cluster) fn neighbor_up(&mut self, peer: NodeId) {
        self.told.remove(&peer);
    }

    /// What a member said last in that life, and how long ago.
    pub(in crate::cluster) fn of(
        &self,
        member: NodeId,
        life: u64,
        now: Time,
    ) -> Option<(Duration, Bytes)> {
        let holding = self.held.get(&member)?;
        (holding.version.life == life).then(|| (holding.age(now), holding.summary.clone()))
    }

    fn is_news(&self, head: &Head, life_of: impl Fn(NodeId) -> Option<u64>) -> bool {
        let held = self.held.get(&head.member);
        life_of(head.member) == Some(head.version.life)
            && held.is_none_or(|held| held.version < head.version)
    }

    /// Notes that it is asked for. False if that was just done.
    fn ask(&mut self, now: Time, head: &Head) -> bool {
        let before = self.asked.get(&head.member);
        let is_open = before
            .is_some_and(|(version, at)| *version >= head.version && now.since(*at) < ASKED_FOR);
        if !is_open {
            self.asked.insert(head.member, (head.version, now));
        }
        !is_open
    }

    /// Others know one of this node that it has not made: its next one is newer.
    fn heard_own(&mut self, version: Version) {
        if version.life == self.life {
            self.number = self.number.max(version.number);
        }
    }

    /// What that neighbor was not told yet, as much as one message takes, but for what came from it.
    fn news_for(&mut self, peer: NodeId) -> Vec<Head> {
        let told = self.told.entry(peer).or_default();
        let mut heads = Vec::new();
        for (place, member) in self.news.range(*told + 1..) {
            if heads.len() >= IDS_MAX {
                break;
            }
            *told = *place;
            let holding = self.held.get(member);
            if let Some(holding) = holding.filter(|holding| holding.from != peer && *member != peer)
            {
                heads.push(Head {
                    member: *member,
                    version: holding.version,
                });
            }
        }
        heads
    }

    fn hold(
        &mut self,
        member: NodeId,
        version: Version,
        summary: Bytes,
        now: Time,
        age: Duration,
        from: NodeId,
    ) {
        self.last_place += 1;
        let holding = Holding {
            version,
            summary,
            came: now,
            age,
            from,
            place: self.last_place,
        };
        if let Some(before) = self.held.insert(member, holding) {
            self.news.remove(&before.place);
        }
        self.news.insert(self.last_place, member);
    }
}

impl Holding {
    fn age(&self, now: Time) -> Duration {
        self.age.saturating_add(now.since(self.came))
    }

    fn part(&self, member: NodeId, now: Time) -> Part {
        let age_ms = u64::try_from(self.age(now).as_millis()).unwrap_or(u64::MAX);
        Part {
            head: Head {
                member,
                version: self.version,
            },
            age_ms: age_ms.min(AGE_MS_MAX),
            summary: self.summary.clone(),
        }
    }
}
