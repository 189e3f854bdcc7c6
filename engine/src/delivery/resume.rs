//! How two ends of a lane find out, on a new connection, what the old one left: a state machine without
//! I/O.
//!
//! Owned by the log of a lane whose channel keeps messages until they are acknowledged (`at_least_once`,
//! `guaranteed`). The shard states [`Resume::progress`] in its handshake message, hands what the peer
//! stated to [`Resume::meet`], and acts on the answer; it calls [`Resume::acknowledged`] and
//! [`Resume::processed`] as the counts move, and [`Resume::give_up`] when it waits no longer. It knows neither messages nor connections.
//!
//! Both directions of a lane are apart: each end has a log of its own, with an id that no other log of
//! this process has, and counts what it has processed of the peer's log. Counts are those of one process
//! at each end: a peer that was started again has processed nothing of anything.

use super::outgoing::Acknowledged;
use super::refusals::Refusals;
use crate::wire::Progress;
use crate::wire::endings::{Ending, Endings};

/// What a peer says that no peer can mean: it has processed more than was sent, or less than it has
/// acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the peer says that it has processed {processed} messages, {refused} of them refused, where \
     {acknowledged} are acknowledged and at most {open} more were sent, or tells them apart otherwise than \
     it counts them"
)]
pub struct BadProgress {
    /// What the peer has processed of this log, as it says.
    pub processed: u64,
    /// How many of those it refused, as it says.
    pub refused: u64,
    /// What it had acknowledged before.
    pub acknowledged: u64,
    /// What was sent after that, and may have been processed: given up or not.
    pub open: u64,
}

/// What is to be done with the messages that were sent on earlier connections and not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Met {
    /// The first of them have been processed after all, as acknowledgements would say it: in order, and each of messages that
    /// ended alike, but for the first of all if the peer does not say which of those it refused. The rest is sent again.
    Known(Vec<Acknowledged>),
    /// The peer has never heard of this log: everything is sent, from its first open message on.
    Fresh,
    /// The process that was sent to is gone, or has forgotten this node: what became of them is not known.
    Lost,
}

/// See the module's text.
#[derive(Clone, Debug)]
pub struct Resume {
    /// The id of this node's log.
    log: u64,
    /// The process of the peer that the counts below are of; 0 before the first connection.
    incarnation: u64,
    /// The peer is known to have heard of this log.
    confirmed: bool,
    /// Messages of this log that it has acknowledged, refused ones included.
    acknowledged: u64,
    refused: u64,
    /// Messages sent after those that were given up while there was no connection: the peer may have processed
    /// them all the same, and then counts them.
    given_up: u64,
    /// The peer's log.
    peer_log: u64,
    /// Messages of it processed on connections that have ended, refused ones included.
    processed: u64,
    processed_refused: u64,
    /// Which of those were refused.
    refusals: Refusals,
}

impl Resume {
    /// Nothing sent and nothing received. `log` is an id that this node has never stated before, not 0.
    #[must_use]
    pub fn new(log: u64) -> Self {
        Self {
            log,
            incarnation: 0,
            confirmed: false,
            acknowledged: 0,
            refused: 0,
            given_up: 0,
            peer_log: 0,
            processed: 0,
            processed_refused: 0,
            refusals: Refusals::default(),
        }
    }

    /// What to state in a Hello, or in a Welcome to the process of that incarnation. No connection carries
    /// the lane.
    #[must_use]
    pub fn progress(&self, to: Option<u64>) -> Progress {
        let is_known = match to {
            Some(incarnation) => incarnation == self.incarnation,
            None => true,
        };
        if !is_known || self.peer_log == 0 {
            return Progress {
                log: self.log,
                ..Progress::default()
            };
        }
        Progress {
            log: self.log,
            peer_log: self.peer_log,
            processed: self.processed,
            refused: self.processed_refused,
            endings: self.refusals.endings(self.processed),
        }
    }

    /// A connection to the process of that incarnation is up, and the peer has stated `theirs`. `open`
    /// messages were sent on earlier connections and are not acknowledged. `dialed` says that the peer's
    /// was the answer; otherwise it may have been stated some time ago.
    ///
    /// `renewed` is the id of a new log, for the case that counts have to begin anew.
    ///
    /// # Errors
    /// [`BadProgress`]; then the connection has to end, and nothing has changed.
    pub fn meet(
        &mut self,
        theirs: Progress,
        incarnation: u64,
        open: u64,
        dialed: bool,
        renewed: u64,
    ) -> Result<Met, BadProgress> {
        let is_same = incarnation == self.incarnation;
        let bad = BadProgress {
            processed: theirs.processed,
            refused: theirs.refused,
            acknowledged: self.acknowledged,
            open: self.given_up + open,
        };
        if !theirs.is_consistent() {
            return Err(bad);
        }
        let met = match theirs.processed_of(self.log) {
            Some(processed)
                if is_same && processed >= self.acknowledged && (dialed || self.given_up == 0) =>
            {
                let news = processed - self.acknowledged;
                let refused = theirs.refused.checked_sub(self.refused).ok_or(bad)?;
                if news > self.given_up + open || !tells_apart(&theirs.endings, news, refused) {
                    return Err(bad);
                }
                self.acknowledged = processed;
                self.refused = theirs.refused;
                // Those went first, and have ended.
                let messages = news.saturating_sub(self.given_up);
                Met::Known(as_acknowledged(&theirs.endings, messages, refused))
            }
            // Said before the peer processed what it has acknowledged since, on a dial that was overtaken; unless its own log is
            // a newer one, and it has forgotten this.
            Some(_) if is_same && !dialed && self.given_up == 0 && theirs.log <= self.peer_log => {
                Met::Known(Vec::new())
            }
            _ if open == 0 || (!self.confirmed && (is_same || self.incarnation == 0)) => Met::Fresh,
            _ => Met::Lost,
        };
        self.take_outcome(&met, dialed, renewed);
        self.given_up = 0;
        self.take_log(theirs.log, is_same, dialed);
        self.incarnation = incarnation;
        Ok(met)
    }

    /// Counts go on, or begin anew. What a Hello says may be older than what the peer has processed since: where the peer's
    /// count cannot be told from it, the log gets a new id, so that what is counted from here on is counted of that.
    fn take_outcome(&mut self, met: &Met, dialed: bool, renewed: u64) {
        if let Met::Known(_) = met {
            self.confirmed = true;
            return;
        }
        if !dialed && (self.confirmed || self.given_up > 0) {
            self.log = renewed;
        }
        self.acknowledged = 0;
        self.refused = 0;
        // A Welcome that was sent may have been lost.
        self.confirmed = dialed;
    }

    /// What the peer sends is counted of this log of its from here on. Ids of a process go up: a Hello with an earlier one was
    /// overtaken, and nothing comes on its connection.
    fn take_log(&mut self, log: u64, is_same: bool, dialed: bool) {
        let is_overtaken = !dialed && log < self.peer_log;
        if is_same && (log == self.peer_log || is_overtaken) {
            return;
        }
        self.peer_log = log;
        self.processed = 0;
        self.processed_refused = 0;
        self.refusals = Refusals::default();
    }

    /// The process of the peer that the counts are of, once there is one.
    #[must_use]
    pub const fn incarnation(&self) -> Option<u64> {
        match self.incarnation {
            0 => None,
            incarnation => Some(incarnation),
        }
    }

    /// The id of the log.
    #[must_use]
    pub const fn log(&self) -> u64 {
        self.log
    }

    /// The peer acknowledged `messages` more, `refused` of them refused.
    #[inline]
    pub const fn acknowledged(&mut self, messages: u64, refused: u64) {
        self.confirmed = true;
        self.acknowledged += messages;
        self.refused += refused;
    }

    /// Of what was sent and not acknowledged, `messages` have been reported, and none is open any more: there is no
    /// connection, and there was none for too long.
    pub const fn give_up(&mut self, messages: u64) {
        self.given_up += messages;
    }

    /// A connection has ended on which `messages` were processed, `refused` of them refused: those that `refusals` knows.
    pub fn processed(&mut self, messages: u64, refused: u64, refusals: &Refusals) {
        self.refusals.append(self.processed, refusals);
        self.processed += messages;
        self.processed_refused += refused;
    }
}

/// Whether what is said of the latest messages can be true of `messages` of which `refused` were refused.
fn tells_apart(endings: &Endings, messages: u64, refused: u64) -> bool {
    let said = endings.of_latest(messages);
    let unsaid = messages - said.messages();
    let refused_before = refused.checked_sub(said.refused());
    refused_before.is_some_and(|refused| refused <= unsaid)
}

/// What has become of the latest `messages`, of which, and of others ahead of them, `refused` were refused.
fn as_acknowledged(endings: &Endings, messages: u64, refused: u64) -> Vec<Acknowledged> {
    let said = endings.of_latest(messages);
    let unsaid = messages - said.messages();
    let mixed = (unsaid > 0).then(|| Acknowledged {
        messages: unsaid,
        refused: (refused - said.refused()).min(unsaid),
        late: 0,
    });
    let runs = said.runs().map(|run| {
        let if_so = |is_so: bool| u64::from(is_so) * run.messages;
        Acknowledged {
            messages: run.messages,
            refused: if_so(run.ending != Ending::Delivered),
            late: if_so(run.ending == Ending::Late),
        }
    });
    mixed.into_iter().chain(runs).collect()
}

#[cfg(test)]
mod network_tests;
#[cfg(test)]
mod tests;
