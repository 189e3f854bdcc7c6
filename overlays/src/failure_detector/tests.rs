//! The rules of one detector, input by input.

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::DEAF_PERIODS;
use super::probing::PROBES_MAX;
use super::{Action, Config, Detector, Message, Timer, Watched};
use crate::time::Time;

/// Everybody lives; 90 follows on the ring, then 91 and so on; nobody else is near.
struct All;

impl Watched<u32> for All {
    fn is_live(&self, _peer: &u32) -> bool {
        true
    }
    fn following(&self, peer: u32) -> Option<u32> {
        Some(if peer < 90 { 90 } else { peer + 1 })
    }
    fn near(&self, _random: u64) -> Option<u32> {
        None
    }
}

struct Bench {
    detector: Detector<u32>,
    random: SmallRng,
    now: Time,
}

impl Bench {
    fn with_neighbors(neighbors: &[u32]) -> Self {
        let mut random = SmallRng::seed_from_u64(7);
        let mut detector = Detector::new(1, Config::default());
        for peer in neighbors {
            detector.neighbor_up(*peer, &mut random);
        }
        Self {
            detector,
            random,
            now: Time::ZERO,
        }
    }

    fn timer(&mut self, after: Duration, id: Timer) -> Vec<Action<u32>> {
        self.now = self.now + after;
        let mut out = Vec::new();
        self.detector
            .timer(self.now, id, &All, &mut self.random, &mut out);
        out
    }

    fn received(&mut self, from: u32, message: Message<u32>) -> Vec<Action<u32>> {
        let mut out = Vec::new();
        self.detector.received(self.now, from, &message, &mut out);
        out
    }

    /// Lets one probe begin and run into its direct wait; returns target, number and helpers.
    fn unanswered(&mut self) -> (u32, u32, Vec<u32>) {
        self.detector.probes.clear();
        self.detector.width = 1;
        self.detector.period_due = self.now;
        let out = self.timer(Duration::ZERO, Timer::Period);
        let (target, number) = pinged(&out).expect("a ping");
        let wait = self.direct_wait();
        let out = self.timer(wait, Timer::Direct(number));
        (target, number, helpers(&out))
    }

    fn direct_wait(&self) -> Duration {
        Config::default().direct_wait * self.detector.patience()
    }

    fn verdict(&mut self, number: u32) -> Vec<Action<u32>> {
        let wait = Config::default().indirect_wait * self.detector.patience();
        self.timer(wait, Timer::Verdict(number))
    }

    /// The verdict after all waves of help.
    fn last_verdict(&mut self, number: u32) -> Vec<Action<u32>> {
        let waves = (0..10).map(|_| self.verdict(number));
        let last = waves.into_iter().find(|out| pings(out).is_empty());
        last.expect("a verdict after a few waves")
    }
}

fn pinged(out: &[Action<u32>]) -> Option<(u32, u32)> {
    pings(out).first().copied()
}

fn helpers(out: &[Action<u32>]) -> Vec<u32> {
    let asked = out.iter().filter_map(|action| match action {
        Action::Send {
            to,
            message: Message::PingFor { .. },
        } => Some(*to),
        _ => None,
    });
    asked.collect()
}

fn pings(out: &[Action<u32>]) -> Vec<(u32, u32)> {
    let pings = out.iter().filter_map(|action| match action {
        Action::Send {
            to,
            message: Message::Ping(number),
        } => Some((*to, *number)),
        _ => None,
    });
    pings.collect()
}

#[test]
fn every_neighbor_is_probed_once_per_round_and_the_ring_now_and_then() {
    let mut bench = Bench::with_neighbors(&[2, 3, 4, 5]);
    let mut targets = Vec::new();
    for _ in 0..10 {
        bench.detector.period_due = bench.now;
        let out = bench.timer(Duration::from_millis(700), Timer::Period);
        let (target, number) = pinged(&out).expect("a ping");
        bench.received(target, Message::Ack(number));
        let wait = bench.direct_wait();
        bench.timer(wait, Timer::Direct(number));
        targets.push(target);
    }
    let mut first: Vec<u32> = targets[..4].to_vec();
    first.sort_unstable();
    assert_eq!(first, [2, 3, 4, 5]);
    assert_eq!((targets[4], targets[9]), (90, 90));
}

#[test]
fn silence_is_an_accusation_only_when_those_asked_were_heard() {
    let mut bench = Bench::with_neighbors(&[2, 3, 4, 5]);
    let (target, number, helpers) = bench.unanswered();
    assert_eq!(helpers.len(), 3);
    for helper in helpers {
        bench.received(helper, Message::Silent(number));
    }
    assert_eq!(bench.verdict(number), [Action::Accuse(target)]);
    assert_eq!(bench.detector.patience(), 1);
}

#[test]
fn who_hears_nobody_blames_itself_and_grows_patient() {
    let mut bench = Bench::with_neighbors(&[2, 3, 4, 5]);
    let began = bench.now;
    let (_, number, _) = bench.unanswered();
    assert_eq!(bench.last_verdict(number), []);
    assert_eq!(bench.detector.patience(), 2);
    let (target, number, _) = bench.unanswered();
    assert_eq!(
        bench.last_verdict(number),
        [Action::Accuse(target)],
        "not for ever: it is cut off, or all others are gone"
    );
    assert!(bench.now.since(began) >= bench.detector.config.period * DEAF_PERIODS);
    assert_eq!(
        bench.detector.patience(),
        1,
        "nobody is there to be slow to"
    );
}

#[test]
fn who_is_pinged_goes_on_blaming_itself() {
    let mut bench = Bench::with_neighbors(&[2, 3, 4, 5]);
    let mut accusations = 0;
    for _ in 0..8 {
        bench.received(2, Message::Ping(7));
        let (_, number, _) = bench.unanswered();
        accusations += bench.last_verdict(number).len();
    }
    assert_eq!(accusations, 0);
    assert_eq!(bench.detector.patience(), 9);
    let (target, number, _) = bench.unanswered();
    assert_eq!(bench.last_verdict(number), [Action::Accuse(target)]);
}

#[test]
fn an_answer_through_a_helper_acquits() {
    let mut bench = Bench::with_neighbors(&[2, 3, 4, 5]);
    let (_, number, helpers) = bench.unanswered();
    bench.received(helpers[0], Message::Heard(number));
    assert_eq!(bench.verdict(number), []);
}

#[test]
fn a_stranger_cannot_answer_for_the_target_or_for_a_helper() {
    let mut bench = Bench::with_neighbors(&[2, 3, 4, 5]);
    let (target, number, helpers) = bench.unanswered();
    bench.received(77, Message::Ack(number));
    bench.received(77, Message::Heard(number));
    for helper in helpers {
        bench.received(helper, Message::Silent(number));
        bench.received(helper, Message::Heard(number));
    }
    assert_eq!(bench.verdict(number), [Action::Accuse(target)]);
}

#[test]
fn a_node_that_slept_through_the_verdict_does_not_accuse() {
    let mut bench = Bench::with_neighbors(&[2, 3, 4, 5]);
    let (_, number, helpers) = bench.unanswered();
    for helper in helpers {
        bench.received(helper, Message::Silent(number));
    }
    assert_eq!(
        bench.timer(Duration::from_secs(5), Timer::Verdict(number)),
        []
    );
    assert_eq!(bench.detector.patience(), 2);
}

#[test]
fn a_helper_tells_what_came_of_it() {
    let mut bench = Bench::with_neighbors(&[2, 3]);
    let ask = Message::PingFor {
        number: 40,
        target: 3,
    };
    let out = bench.received(2, ask.clone());
    let (to, number) = pinged(&out).expect("a ping");
    assert_eq!(to, 3);
    let heard = Action::Send {
        to: 2,
        message: Message::Heard(40),
    };
    assert_eq!(bench.received(3, Message::Ack(number)), [heard]);
    let out = bench.received(2, ask);
    let (_, number) = pinged(&out).expect("a ping");
    let silent = Action::Send {
        to: 2,
        message: Message::Silent(40),
    };
    assert_eq!(
        bench.timer(Duration::from_millis(300), Timer::Relay(number)),
        [silent]
    );
    assert_eq!(bench.received(3, Message::Ack(number)), []);
}

#[test]
fn one_asker_cannot_use_up_a_helper() {
    let mut bench = Bench::with_neighbors(&[2, 3]);
    let ask = |number| Message::PingFor { number, target: 3 };
    let answered = (0..1_000).filter(|number| !bench.received(2, ask(*number)).is_empty());
    assert_eq!(answered.count(), PROBES_MAX);
    assert!(!bench.received(4, ask(0)).is_empty());
}

#[test]
fn a_lost_lane_is_looked_into_first() {
    let mut bench = Bench::with_neighbors(&[2, 3, 4, 5]);
    bench.detector.neighbor_down(4);
    let out = bench.timer(Duration::ZERO, Timer::Period);
    assert_eq!(pinged(&out).map(|(to, _)| to), Some(4));
}

#[test]
fn who_was_wrongly_accused_gets_more_time_until_it_is_prompt_again() {
    let mut bench = Bench::with_neighbors(&[2]);
    bench.detector.be_lenient_with(2);
    let waits = |bench: &mut Bench, answer_after: u64| {
        bench.detector.period_due = bench.now;
        let out = bench.timer(Duration::ZERO, Timer::Period);
        let (target, number) = pinged(&out).expect("a ping");
        let wait = out.iter().find_map(|action| match action {
            Action::SetTimer {
                id: Timer::Direct(_),
                after,
            } => Some(*after),
            _ => None,
        });
        let wait = wait.expect("a wait");
        bench.now = bench.now + Duration::from_millis(answer_after);
        bench.received(target, Message::Ack(number));
        let rest = wait.saturating_sub(Duration::from_millis(answer_after));
        bench.timer(rest, Timer::Direct(number));
        wait.as_millis()
    };
    assert_eq!(waits(&mut bench, 500), 600);
    assert_eq!(waits(&mut bench, 100), 600);
    assert_eq!(waits(&mut bench, 100), 300);
    assert!(
        bench.detector.lenient.is_empty(),
        "strangers are not remembered"
    );
}

#[test]
fn with_nobody_to_ask_it_takes_three_failures() {
    let mut bench = Bench::with_neighbors(&[2]);
    let mut verdicts = Vec::new();
    for _ in 0..4 {
        let (_, number, helpers) = bench.unanswered();
        assert_eq!(helpers, [0_u32; 0]);
        verdicts.push(bench.verdict(number).len());
    }
    assert_eq!(verdicts, [0, 0, 1, 1]);
}

#[test]
fn silence_of_those_asked_makes_it_ask_others_and_more_of_them() {
    let neighbors: Vec<u32> = (2..40).collect();
    let mut bench = Bench::with_neighbors(&neighbors);
    let (target, number, mut asked) = bench.unanswered();
    let mut sizes = vec![asked.len()];
    for _ in 0..10 {
        let out = bench.verdict(number);
        let wave = helpers(&out);
        if wave.is_empty() {
            assert_eq!(out, [], "it blames itself");
            break;
        }
        assert_eq!(pings(&out), [(target, number)], "and pings again");
        sizes.push(wave.len());
        asked.extend(wave);
    }
    assert_eq!(sizes, [3, 6, 9]);
    asked.sort_unstable();
    asked.dedup();
    assert_eq!(asked.len(), 18, "nobody twice");
    assert!(!asked.contains(&target));
}

#[test]
fn one_of_the_last_asked_is_enough_to_accuse() {
    let neighbors: Vec<u32> = (2..40).collect();
    let mut bench = Bench::with_neighbors(&neighbors);
    let (target, number, _) = bench.unanswered();
    let wave = helpers(&bench.verdict(number));
    bench.received(wave[4], Message::Silent(number));
    assert_eq!(bench.verdict(number), [Action::Accuse(target)]);
}

/// A probe whose ping is lost but whose target answers a helper.
fn lost_ping(bench: &mut Bench) {
    let (_, number, helpers) = bench.unanswered();
    bench.received(helpers[0], Message::Heard(number));
    assert_eq!(bench.verdict(number), []);
}

#[test]
fn where_pings_get_lost_silence_has_to_be_confirmed_twice_more() {
    let neighbors: Vec<u32> = (2..40).collect();
    let mut bench = Bench::with_neighbors(&neighbors);
    let waves_until_accused = |bench: &mut Bench| {
        let (target, number, mut wave) = bench.unanswered();
        for waves in 1..10 {
            for helper in wave {
                bench.received(helper, Message::Silent(number));
            }
            let out = bench.verdict(number);
            if out == [Action::Accuse(target)] {
                return waves;
            }
            wave = helpers(&out);
        }
        0
    };
    assert_eq!(waves_until_accused(&mut bench), 1);
    lost_ping(&mut bench);
    assert_eq!(waves_until_accused(&mut bench), 2);
    lost_ping(&mut bench);
    assert_eq!(waves_until_accused(&mut bench), 3);
    for _ in 0..9 {
        lost_ping(&mut bench);
    }
    assert_eq!(waves_until_accused(&mut bench), 3);
    for _ in 0..16 {
        answered_ping(&mut bench);
    }
    assert_eq!(waves_until_accused(&mut bench), 1);
}

/// A probe that is answered at once. All that began are.
fn answered_ping(bench: &mut Bench) {
    bench.detector.period_due = bench.now;
    let out = bench.timer(Duration::ZERO, Timer::Period);
    for (target, number) in pings(&out) {
        bench.received(target, Message::Ack(number));
        bench.timer(Duration::from_millis(20), Timer::Direct(number));
    }
}

#[test]
fn each_accusation_doubles_the_probes_and_each_answer_halves_them() {
    let neighbors: Vec<u32> = (2..6).collect();
    let mut bench = Bench::with_neighbors(&neighbors);
    let began = |bench: &mut Bench| {
        bench.detector.period_due = bench.now;
        pings(&bench.timer(Duration::ZERO, Timer::Period))
    };
    let mut widths = Vec::new();
    for _ in 0..6 {
        let begun = began(&mut bench);
        widths.push(begun.len());
        let mut targets: Vec<u32> = begun.iter().map(|(target, _)| *target).collect();
        targets.sort_unstable();
        targets.dedup();
        assert_eq!(targets.len(), begun.len(), "each target once");
        bench.now = bench.now + bench.direct_wait();
        for (number_of, (_, number)) in begun.iter().enumerate() {
            let out = bench.timer(Duration::ZERO, Timer::Direct(*number));
            if number_of > 0 {
                bench.detector.probes.remove(number);
                continue;
            }
            for helper in helpers(&out) {
                bench.received(helper, Message::Silent(*number));
            }
            assert_eq!(bench.verdict(*number).len(), 1);
        }
    }
    assert_eq!(widths, [1, 2, 4, 8, 8, 8]);
    answered_ping(&mut bench);
    assert_eq!(began(&mut bench).len(), 1);
}

#[test]
fn who_slept_forgets_its_probes_and_trusts_itself_least() {
    let mut bench = Bench::with_neighbors(&[2, 3, 4, 5]);
    let (_, number, helpers) = bench.unanswered();
    for helper in helpers {
        bench.received(helper, Message::Silent(number));
    }
    bench.now = bench.now + Duration::from_secs(600);
    bench.detector.slept(bench.now);
    assert_eq!(bench.timer(Duration::ZERO, Timer::Verdict(number)), []);
    assert_eq!(bench.detector.patience(), 9);
}

#[test]
fn few_wait_for_a_probe_out_of_turn_and_each_once() {
    let mut bench = Bench::with_neighbors(&[2]);
    for peer in (10..100).chain(10..100) {
        bench.detector.probe_soon(peer);
    }
    bench.detector.probe_soon(1);
    let expected: Vec<u32> = (10..26).collect();
    assert_eq!(bench.detector.urgent, expected);
    bench.detector.urgent.truncate(3);
    bench.detector.probe_soon(11);
    assert_eq!(bench.detector.urgent, [10, 11, 12]);
}

/// Whom the probes of the next period go to, which is in time.
fn begun(bench: &mut Bench) -> Vec<u32> {
    bench.detector.period_due = bench.now;
    let out = bench.timer(Duration::ZERO, Timer::Period);
    pings(&out).iter().map(|(target, _)| *target).collect()
}

#[test]
fn a_probe_that_needs_help_a_second_time_runs_on_beside_a_new_one() {
    let neighbors: Vec<u32> = (2..40).collect();
    let mut bench = Bench::with_neighbors(&neighbors);
    let (target, number, _) = bench.unanswered();
    assert_eq!(begun(&mut bench), [0_u32; 0], "one at a time");
    assert!(!helpers(&bench.verdict(number)).is_empty());
    let begun = begun(&mut bench);
    assert!(matches!(begun[..], [other] if other != target), "{begun:?}");
}

#[test]
fn who_is_probed_is_not_probed_a_second_time_meanwhile() {
    let mut bench = Bench::with_neighbors(&[2]);
    bench.detector.width = 2;
    assert_eq!(begun(&mut bench), [2, 90]);
    bench.detector.width = 4;
    assert_eq!(begun(&mut bench), [91, 92]);
}

/// As [`All`], but the neighbors are gone.
struct NoNeighbors;

impl Watched<u32> for NoNeighbors {
    fn is_live(&self, peer: &u32) -> bool {
        *peer >= 90
    }
    fn following(&self, peer: u32) -> Option<u32> {
        All.following(peer)
    }
    fn near(&self, random: u64) -> Option<u32> {
        All.near(random)
    }
}

#[test]
fn a_neighbor_that_is_no_member_any_more_is_not_probed() {
    let mut bench = Bench::with_neighbors(&[2, 3]);
    let mut out = Vec::new();
    let id = Timer::Period;
    let random = &mut bench.random;
    (bench.detector).timer(bench.now, id, &NoNeighbors, random, &mut out);
    assert_eq!(pinged(&out).map(|(to, _)| to), Some(90));
}

#[test]
fn a_timer_that_is_late_by_more_than_a_direct_wait_is_blamed_on_this_node() {
    let wait = Config::default().direct_wait;
    for (late_by, patience) in [(wait, 1), (wait + Duration::from_millis(1), 2)] {
        let mut bench = Bench::with_neighbors(&[2, 3]);
        bench.detector.period_due = bench.now;
        bench.timer(late_by, Timer::Period);
        assert_eq!(bench.detector.patience(), patience, "{late_by:?}");
    }
}

#[test]
fn who_is_heard_but_has_nobody_to_ask_accuses_after_three_failures() {
    let mut bench = Bench::with_neighbors(&[2]);
    let mut verdicts = Vec::new();
    for _ in 0..4 {
        // So it is not cut off.
        bench.received(50, Message::Ping(7));
        let (_, number, helpers) = bench.unanswered();
        assert_eq!(helpers, [0_u32; 0]);
        verdicts.push(bench.verdict(number).len());
    }
    assert_eq!(verdicts, [0, 0, 0, 1]);
}
