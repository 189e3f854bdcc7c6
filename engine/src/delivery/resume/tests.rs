use super::*;

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
    }
}

#[test]
fn what_the_peer_has_processed_is_not_sent_again() {
    let mut resume = Resume::new(1);
    assert_eq!(up(&mut resume, of(0, 0, 0), 0), Met::Fresh);
    resume.acknowledged(3, 1);
    let known = Met::Known {
        messages: 2,
        refused: 1,
    };
    assert_eq!(up(&mut resume, of(1, 5, 2), 4), known);
    let nothing_new = Met::Known {
        messages: 0,
        refused: 0,
    };
    assert_eq!(up(&mut resume, of(1, 5, 2), 2), nothing_new);
}

#[test]
fn a_process_that_is_gone_is_not_resumed_with_its_successor() {
    let mut resume = Resume::new(1);
    up(&mut resume, of(0, 0, 0), 0);
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
    let nothing_new = Met::Known {
        messages: 0,
        refused: 0,
    };
    assert_eq!(
        resume.meet(of(1, 4, 0), SAME, 3, false, RENEWED),
        Ok(nothing_new)
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
        let nothing_new = Met::Known {
            messages: 0,
            refused: 0,
        };
        let refused = u64::from(processed == 5);
        assert_eq!(up(&mut resume, of(1, processed, refused), 0), nothing_new);
        // The next connection goes on from there.
        let one = Met::Known {
            messages: 1,
            refused: 0,
        };
        assert_eq!(up(&mut resume, of(1, processed + 1, refused), 1), one);
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

/// Two ends with one log each way, over a network that cuts connections, loses handshake messages and
/// restarts the receiver; a model counts what each process has really processed.
#[test]
fn any_schedule_of_cuts_delivers_each_message_once_or_says_that_it_does_not_know() {
    for seed in 0..20_000 {
        run(seed);
    }
}

fn run(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut sender = Resume::new(1);
    let mut receiver = Resume::new(2);
    let (sender_incarnation, mut incarnation) = (3, 100);
    // Of the sender's messages: acknowledged, then sent on earlier connections, then the rest.
    let (mut settled, mut open, total) = (0_u64, 0_u64, random.u64(1..60));
    let (mut unknown, mut acknowledged, mut renewed) = (0, 0, RENEWED);
    let mut processed_by = vec![0_u32; usize::try_from(total).expect("small")];
    while settled < total {
        if random.u8(..) < 40 {
            renewed += 1;
            receiver = Resume::new(renewed);
            incarnation += 1;
        }
        let sender_dials = random.bool();
        renewed += 1;
        // The one that dials states first, and learns last.
        let (met, welcomed) = if sender_dials {
            let hello = sender.progress(None);
            let mut welcome = receiver.progress(Some(sender_incarnation));
            receiver
                .meet(hello, sender_incarnation, 0, false, renewed)
                .expect("honest");
            welcome.log = receiver.log();
            let arrives = random.u8(..) > 50;
            let met = arrives.then(|| sender.meet(welcome, incarnation, open, true, renewed));
            (met, arrives)
        } else {
            let hello = receiver.progress(None);
            let mut welcome = sender.progress(Some(incarnation));
            let met = sender.meet(hello, incarnation, open, false, renewed);
            welcome.log = sender.log();
            let arrives = random.u8(..) > 50;
            if arrives {
                receiver
                    .meet(welcome, sender_incarnation, 0, true, renewed)
                    .expect("honest");
            }
            (Some(met), arrives)
        };
        let Some(met) = met else { continue };
        match met.unwrap_or_else(|error| panic!("seed {seed}: {error}")) {
            Met::Known { messages, .. } => {
                settled += messages;
                acknowledged += messages;
                open -= messages;
            }
            Met::Fresh => {}
            Met::Lost => {
                settled += open;
                unknown += open;
                open = 0;
            }
        }
        // The connection: some are sent, some of those processed, some of those acknowledged.
        let sent = random.u64(0..=total - settled);
        let done = if welcomed { random.u64(0..=sent) } else { 0 };
        let acks = random.u64(0..=done);
        for message in settled..settled + done {
            processed_by[usize::try_from(message).expect("small")] += 1;
        }
        receiver.processed(done, 0);
        if acks > 0 {
            sender.acknowledged(acks, 0);
        }
        settled += acks;
        acknowledged += acks;
        open = open.saturating_sub(acks).max(sent - acks);
    }
    assert_eq!(acknowledged + unknown, total, "seed {seed}");
    assert!(
        processed_by.iter().all(|times| *times <= 1),
        "seed {seed}: processed twice: {processed_by:?}"
    );
    let processed = processed_by.iter().filter(|times| **times == 1).count() as u64;
    assert!(
        (acknowledged..=acknowledged + unknown).contains(&processed),
        "seed {seed}: {acknowledged} {processed} {unknown}"
    );
}
