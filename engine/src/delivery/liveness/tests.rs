//! The liveness of a connection on a clock of its own.
use super::*;

const IDLE: Duration = Duration::from_millis(1200);

fn limits() -> LivenessLimits {
    LivenessLimits::new(IDLE)
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Looks each 10 ms until it is dead; when it asked and when it died, in milliseconds after `start`.
fn life(liveness: &mut Liveness, start: Instant, random: u64) -> (Vec<u128>, u128) {
    let mut asked = Vec::new();
    for step in 1.. {
        let now = start + ms(10) * step;
        match liveness.look(now, &limits(), random) {
            Verdict::Alive => {}
            Verdict::Ask => asked.push((now - start).as_millis()),
            Verdict::Dead => return (asked, (now - start).as_millis()),
        }
    }
    unreachable!("a silent peer dies")
}

#[test]
fn a_silent_peer_is_asked_twice_or_more_and_dies_at_the_idle_timeout() {
    let start = Instant::now();
    for random in [0, 1 << 62, u64::MAX] {
        let mut liveness = Liveness::new(start, &limits(), random);
        let (asked, died) = life(&mut liveness, start, random);
        assert!((2..=3).contains(&asked.len()), "{random}: {asked:?}");
        assert!((300..=400).contains(&asked[0]), "{random}: {asked:?}");
        assert_eq!(died, IDLE.as_millis(), "{random}");
    }
}

#[test]
fn lanes_of_one_moment_are_asked_at_different_moments() {
    let start = Instant::now();
    let first = |random| life(&mut Liveness::new(start, &limits(), random), start, 0).0[0];
    // It is looked at each 10 ms.
    assert_eq!((first(0), first(1 << 63), first(u64::MAX)), (400, 350, 310));
}

#[test]
fn no_question_is_asked_while_both_ends_talk() {
    let start = Instant::now();
    let mut liveness = Liveness::new(start, &limits(), 0);
    let mut now = start;
    for _ in 0..100 {
        now += ms(290);
        assert_eq!(liveness.look(now, &limits(), u64::MAX), Verdict::Alive);
        liveness.heard(now);
        liveness.said(now);
    }
    assert_eq!(life(&mut liveness, now, 0).1, IDLE.as_millis());
}

#[test]
fn an_end_that_only_listens_and_one_that_only_talks_both_ask() {
    let start = Instant::now();
    for hears in [true, false] {
        let mut liveness = Liveness::new(start, &limits(), 0);
        let mut asked = 0;
        for step in 1..=100 {
            let now = start + ms(10) * step;
            if hears {
                liveness.heard(now);
            } else {
                liveness.said(now);
            }
            asked += u32::from(liveness.look(now, &limits(), 0) == Verdict::Ask);
        }
        assert_eq!(asked, 2, "it hears: {hears}");
    }
}

#[test]
fn a_host_that_answers_keeps_the_lane_but_is_asked_all_the_same() {
    let start = Instant::now();
    let mut liveness = Liveness::new(start, &limits(), 0);
    let mut asked = 0;
    for step in 1..=1000 {
        let now = start + ms(10) * step;
        liveness.host_answered(now, ms(5));
        match liveness.look(now, &limits(), 0) {
            Verdict::Alive => {}
            Verdict::Ask => asked += 1,
            Verdict::Dead => panic!("its host answered"),
        }
    }
    assert_eq!(asked, 25);
    let now = start + ms(10_000);
    // Older news is no news.
    liveness.host_answered(now, ms(500));
    assert_eq!(liveness.silence(now), ms(5));
    assert_eq!(life(&mut liveness, now, 0).1, IDLE.as_millis());
}

#[test]
fn a_doubted_peer_has_less_time_unless_it_speaks() {
    let start = Instant::now();
    let mut liveness = Liveness::new(start, &limits(), 0);
    assert!(liveness.doubt(start));
    assert_eq!(liveness.look(start + ms(299), &limits(), 0), Verdict::Alive);
    // Doubt upon doubt does not give it more time.
    assert!(!liveness.doubt(start + ms(200)));
    assert_eq!(liveness.look(start + ms(300), &limits(), 0), Verdict::Dead);
    let mut liveness = Liveness::new(start, &limits(), 0);
    assert!(liveness.doubt(start));
    liveness.heard(start + ms(10));
    let (_, died) = life(&mut liveness, start, 0);
    assert_eq!(died, IDLE.as_millis() + 10);
}

#[test]
fn time_in_which_nobody_looked_is_no_silence() {
    let start = Instant::now();
    let every = limits().look_every;
    let mut watch = Watch::new(start);
    let mut liveness = Liveness::new(start, &limits(), 0);
    assert_eq!(watch.look(start + every, every), Duration::ZERO);
    // Stopped for ten seconds.
    let now = start + every * 2 + ms(10_000);
    let away = watch.look(now, every);
    assert_eq!(away, ms(10_000));
    liveness.forgive(now, away);
    assert_eq!(liveness.silence(now), every * 2);
    // What was heard just before is not put into the future.
    liveness.heard(now);
    liveness.forgive(now, away);
    assert_eq!(liveness.silence(now), Duration::ZERO);
}
