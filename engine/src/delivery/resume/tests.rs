use super::*;
use crate::delivery::refusals::REFUSALS_MAX;
use crate::delivery::schedules::seeds;

const SAME: u64 = 7;
/// What a log is called that begins anew.
const RENEWED: u64 = 50;

fn up(resume: &mut Resume, theirs: Progress, open: u64) -> Met {
    resume
        .meet(theirs, SAME, open, true, RENEWED)
        .expect("the peer is honest")
}

fn of(log: u64, processed: u64, refused: u64) -> Progress {
    Progress {
        log: 9,
        peer_log: log,
        processed,
        refused,
        endings: Endings::NONE,
    }
}

/// The same, and how the latest ended.
fn telling(progress: Progress, endings: &str) -> Progress {
    let endings = Endings::read(endings).expect("it can be read");
    Progress {
        endings,
        ..progress
    }
}

/// So many messages were processed, and so many of those refused.
fn known(messages: u64, refused: u64) -> Met {
    Met::Known(vec![run(messages, refused, 0)])
}

const fn run(messages: u64, refused: u64, late: u64) -> Acknowledged {
    Acknowledged {
        messages,
        refused,
        late,
    }
}

const NOTHING_NEW: Met = Met::Known(Vec::new());

#[test]
fn what_the_peer_has_processed_is_not_sent_again() {
    let mut resume = Resume::new(1);
    assert_eq!(up(&mut resume, of(0, 0, 0), 0), Met::Fresh);
    resume.acknowledged(3, 1);
    assert_eq!(up(&mut resume, of(1, 5, 2), 4), known(2, 1));
    assert_eq!(up(&mut resume, of(1, 5, 2), 2), NOTHING_NEW);
}

#[test]
fn a_process_that_is_gone_is_not_resumed_with_its_successor() {
    let mut resume = Resume::new(1);
    assert_eq!(resume.incarnation(), None);
    up(&mut resume, of(0, 0, 0), 0);
    assert_eq!(resume.incarnation(), Some(SAME));
    assert_eq!(
        resume.meet(of(0, 0, 0), SAME + 1, 5, true, RENEWED),
        Ok(Met::Lost)
    );
    // What the successor claims of its predecessor's counts is not believed either.
    assert_eq!(
        resume.meet(of(1, 5, 0), SAME + 2, 5, true, RENEWED),
        Ok(Met::Lost)
    );
    assert_eq!(resume.progress(Some(SAME + 3)).peer_log, 0);
    assert_eq!(resume.progress(Some(SAME + 2)).peer_log, 9);
}

#[test]
fn a_welcome_that_got_lost_costs_nothing() {
    let mut resume = Resume::new(1);
    assert_eq!(
        resume.meet(of(0, 0, 0), SAME, 0, false, RENEWED),
        Ok(Met::Fresh)
    );
    // Five messages went out with it; the peer has heard of none.
    assert_eq!(
        resume.meet(of(0, 0, 0), SAME, 5, false, RENEWED),
        Ok(Met::Fresh)
    );
    resume.acknowledged(1, 0);
    assert_eq!(
        resume.meet(of(0, 0, 0), SAME, 4, false, RENEWED),
        Ok(Met::Lost),
        "it had heard of it"
    );
}

#[test]
fn an_overtaken_hello_takes_nothing_back() {
    let mut resume = Resume::new(1);
    up(&mut resume, of(0, 0, 0), 0);
    resume.acknowledged(10, 0);
    assert_eq!(
        resume.meet(of(1, 4, 0), SAME, 3, false, RENEWED),
        Ok(NOTHING_NEW)
    );
    assert_eq!(
        resume.meet(of(1, 4, 0), SAME, 3, true, RENEWED),
        Ok(Met::Lost)
    );
}

#[test]
fn what_was_given_up_may_have_been_processed_and_counts_on() {
    for processed in [3, 4, 5] {
        let mut resume = Resume::new(1);
        up(&mut resume, of(0, 0, 0), 0);
        resume.acknowledged(3, 0);
        resume.give_up(2);
        // It had ended already, whatever became of it.
        let refused = u64::from(processed == 5);
        assert_eq!(up(&mut resume, of(1, processed, refused), 0), NOTHING_NEW);
        // The next connection goes on from there.
        let next = up(&mut resume, of(1, processed + 1, refused), 1);
        assert_eq!(next, known(1, 0));
        let forged = resume.meet(of(1, processed + 2, refused), SAME, 0, true, RENEWED);
        assert!(forged.is_err(), "given up once, it is in the count");
    }
    let mut resume = Resume::new(1);
    up(&mut resume, of(0, 0, 0), 0);
    resume.acknowledged(3, 0);
    resume.give_up(2);
    let forged = resume
        .meet(of(1, 6, 0), SAME, 0, true, RENEWED)
        .unwrap_err();
    assert_eq!((forged.acknowledged, forged.open), (3, 2));
}

#[test]
fn forged_counts_are_refused_and_change_nothing() {
    let mut resume = Resume::new(1);
    up(&mut resume, of(0, 0, 0), 0);
    resume.acknowledged(10, 5);
    for forged in [of(1, 14, 5), of(1, 12, 4), of(1, 12, 8), of(0, 1, 0)] {
        let before = format!("{resume:?}");
        let error = resume
            .meet(forged, SAME, 3, true, RENEWED)
            .expect_err("more than was sent");
        assert_eq!(error.acknowledged, 10);
        assert_eq!(format!("{resume:?}"), before);
    }
}

#[test]
fn each_message_ends_as_the_peer_says_of_it() {
    let mut resume = Resume::new(1);
    up(&mut resume, of(0, 0, 0), 0);
    resume.acknowledged(10, 1);
    let theirs = telling(of(1, 20, 6), "r1d11r3d3l2");
    let runs = vec![run(2, 0, 0), run(3, 3, 0), run(3, 0, 0), run(2, 2, 2)];
    assert_eq!(up(&mut resume, theirs, 10), Met::Known(runs));
    // Of some it says nothing: one of the first two was refused.
    let theirs = telling(of(1, 24, 8), "r1d1");
    let runs = vec![run(2, 1, 0), run(1, 1, 0), run(1, 0, 0)];
    assert_eq!(up(&mut resume, theirs, 4), Met::Known(runs));
    // Those that were given up went first.
    resume.give_up(2);
    let theirs = telling(of(1, 27, 9), "r1d2");
    assert_eq!(up(&mut resume, theirs, 1), known(1, 0));
}

#[test]
fn a_peer_that_tells_apart_what_it_does_not_count_is_refused() {
    let mut resume = Resume::new(1);
    up(&mut resume, of(0, 0, 0), 0);
    resume.acknowledged(10, 5);
    // Of the three that are new one was refused, as it counts.
    for endings in ["d3", "d1r2", "d2r2d1l1", "r4"] {
        let forged = telling(of(1, 13, 6), endings);
        let before = format!("{resume:?}");
        let met = resume.meet(forged, SAME, 3, true, RENEWED);
        assert!(met.is_err(), "{endings}: {met:?}");
        assert_eq!(format!("{resume:?}"), before);
    }
    let honest = telling(of(1, 13, 6), "d1r1d1");
    assert!(resume.meet(honest, SAME, 3, true, RENEWED).is_ok());
}

/// Two ends with one log each way, over a network that cuts connections, loses handshake messages, stays away too long and
/// restarts the receiver; a model counts what each process has really processed, and how it ended.
#[test]
fn any_schedule_of_cuts_delivers_each_message_once_or_says_that_it_does_not_know() {
    for seed in seeds(0, 20_000) {
        Schedule::new(seed).run();
    }
}

struct Schedule {
    seed: u64,
    random: fastrand::Rng,
    sender: Resume,
    receiver: Resume,
    /// The id of the log that was made last.
    logs: u64,
    incarnation: u64,
    /// Of the sender's messages: ended, then sent on earlier connections, then the rest.
    settled: u64,
    open: u64,
    total: u64,
    acknowledged: u64,
    unknown: u64,
    /// Of the open ones those that were given up while there was no connection: ended as well.
    given_up: u64,
    processed_by: Vec<u32>,
    /// How the messages ended that the receiver's process has processed, and how many of those the sender knows.
    ended: Vec<Ending>,
    known: usize,
    /// Of 256 that are processed, so many begin to end otherwise.
    changes: u8,
}

const SENDER: u64 = 3;

impl Schedule {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let total = random.u64(1..120);
        Self {
            seed,
            sender: Resume::new(1),
            receiver: Resume::new(2),
            logs: 2,
            incarnation: 100,
            settled: 0,
            open: 0,
            total,
            acknowledged: 0,
            unknown: 0,
            given_up: 0,
            processed_by: vec![0; usize::try_from(total).expect("small")],
            ended: Vec::new(),
            known: 0,
            changes: random.u8(..),
            random,
        }
    }

    fn run(mut self) {
        let seed = self.seed;
        while self.settled < self.total {
            self.between_connections();
            let (met, is_welcomed) = self.shake_hands();
            if let Some(met) = met {
                self.follow(met.unwrap_or_else(|error| panic!("seed {seed}: {error}")));
                self.connection(is_welcomed);
            }
        }
        assert_eq!(self.acknowledged + self.unknown, self.total, "seed {seed}");
        assert!(
            self.processed_by.iter().all(|times| *times <= 1),
            "seed {seed}: processed twice: {:?}",
            self.processed_by
        );
        let processed = self.processed_by.iter().filter(|times| **times == 1);
        let processed = processed.count() as u64;
        let bounds = self.acknowledged..=self.acknowledged + self.unknown;
        assert!(
            bounds.contains(&processed),
            "seed {seed}: {processed} of {bounds:?}"
        );
    }

    /// The receiver may be started again, or stay away for so long that what was sent is reported.
    fn between_connections(&mut self) {
        if self.random.u8(..) < 40 {
            self.logs += 1;
            self.receiver = Resume::new(self.logs);
            self.incarnation += 1;
            self.ended.clear();
            self.known = 0;
        }
        if self.random.u8(..) < 20 {
            self.sender.give_up(self.open);
            self.given_up += self.open;
            self.settled += self.open;
            self.unknown += self.open;
            self.open = 0;
        }
    }

    /// The one that dials states first, and learns last. Returns what the sender met with, if it learned of it, and whether the
    /// receiver has its Welcome or has sent one.
    fn shake_hands(&mut self) -> (Option<Result<Met, BadProgress>>, bool) {
        let arrives = self.random.u8(..) > 50;
        self.logs += 1;
        let renewed = self.logs;
        if self.random.bool() {
            let hello = self.sender.progress(None);
            let mut welcome = stated(self.receiver.progress(Some(SENDER)));
            let met = self.receiver.meet(hello, SENDER, 0, false, renewed);
            met.expect("honest");
            welcome.log = self.receiver.log();
            let meet = || {
                self.sender
                    .meet(welcome, self.incarnation, self.open, true, renewed)
            };
            (arrives.then(meet), arrives)
        } else {
            let hello = stated(self.receiver.progress(None));
            let mut welcome = self.sender.progress(Some(self.incarnation));
            let met = self
                .sender
                .meet(hello, self.incarnation, self.open, false, renewed);
            welcome.log = self.sender.log();
            if arrives {
                let met = self.receiver.meet(welcome, SENDER, 0, true, renewed);
                met.expect("honest");
            }
            (Some(met), arrives)
        }
    }

    fn follow(&mut self, met: Met) {
        let given_up = std::mem::take(&mut self.given_up);
        match met {
            Met::Known(runs) => self.compare(&runs, given_up),
            // What was counted before is not heard of again.
            Met::Fresh => self.known = self.ended.len(),
            Met::Lost => {
                self.known = self.ended.len();
                self.settled += self.open;
                self.unknown += self.open;
                self.open = 0;
            }
        }
    }

    /// What the sender takes for true of the messages that were processed is true, and nothing is missing unless too much is to
    /// be told.
    fn compare(&mut self, runs: &[Acknowledged], given_up: u64) {
        let seed = self.seed;
        let ended_before = usize::try_from(given_up).expect("small");
        let news = &self.ended[self.known..];
        let mut open = &news[ended_before.min(news.len())..];
        self.known = self.ended.len();
        let changes = self.ended.windows(2).filter(|pair| pair[0] != pair[1]);
        let fits = changes.count() < REFUSALS_MAX;
        for run in runs {
            let messages = usize::try_from(run.messages).expect("small");
            let (these, rest) = open.split_at(messages);
            open = rest;
            let of = |ending| these.iter().filter(|ended| **ended == ending).count() as u64;
            let (refused, late) = (of(Ending::Refused), of(Ending::Late));
            let is_mixed = run.refused != 0 && run.refused != run.messages;
            if is_mixed || (!fits && run.late == 0) {
                assert!(!fits, "seed {seed}: {run:?} of {these:?}");
                continue;
            }
            assert_eq!(
                (run.refused, run.late),
                (refused + late, late),
                "seed {seed}: {these:?}"
            );
        }
        assert_eq!(open, [], "seed {seed}: all that were processed");
        let messages: u64 = runs.iter().map(|run| run.messages).sum();
        self.settled += messages;
        self.acknowledged += messages;
        self.open -= messages;
    }

    /// Some are sent, some of those processed, some of those acknowledged.
    fn connection(&mut self, is_welcomed: bool) {
        let sent = self.random.u64(0..=self.total - self.settled);
        let done = if is_welcomed {
            self.random.u64(0..=sent)
        } else {
            0
        };
        let acks = self.random.u64(0..=done);
        let mut refusals = Refusals::default();
        let (mut refused, mut refused_acknowledged) = (0, 0);
        for place in 0..done {
            let message = usize::try_from(self.settled + place).expect("small");
            self.processed_by[message] += 1;
            let ending = self.next_ending();
            self.ended.push(ending);
            if ending != Ending::Delivered {
                refusals.note(place, 1, ending);
                refused += 1;
                refused_acknowledged += u64::from(place < acks);
            }
        }
        self.receiver.processed(done, refused, &refusals);
        if acks > 0 {
            self.sender.acknowledged(acks, refused_acknowledged);
            self.known += usize::try_from(acks).expect("small");
        }
        self.settled += acks;
        self.acknowledged += acks;
        self.open = self.open.saturating_sub(acks).max(sent - acks);
    }

    fn next_ending(&mut self) -> Ending {
        let last = self.ended.last().copied();
        if self.random.u8(..) >= self.changes {
            return last.unwrap_or(Ending::Delivered);
        }
        self.random
            .choice([Ending::Delivered, Ending::Refused, Ending::Late])
            .expect("there are three")
    }
}

/// As it is read at the other end.
fn stated(progress: Progress) -> Progress {
    assert!(progress.is_consistent(), "{progress:?}");
    let text = progress.endings.to_string();
    let endings = Endings::read(&text).expect("it is written so");
    Progress {
        endings,
        ..progress
    }
}
