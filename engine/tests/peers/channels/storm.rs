//! Channels that come and go in great numbers, and from several threads at once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use overlane::config::{ChannelConfig, Overflow, Reliability};
use overlane::{ChannelError, SendError};

use super::{LONG, Load, channel, pair};
use crate::support::accounting::{all_acknowledged, check_accounting};
use crate::support::child::{in_child, resident_bytes};
use crate::support::drained;

#[test]
fn a_thousand_channels_come_and_go_and_nothing_of_them_stays() {
    let test = "channels::storm::a_thousand_channels_come_and_go_and_nothing_of_them_stays";
    in_child(test, a_thousand_channels_come_and_go);
}

fn a_thousand_channels_come_and_go() {
    let (a, b, count) = pair();
    let to = a.destination("b", "in").expect("names");
    let load = Load::start(a.channel("base").expect("there"), to.clone(), 50);
    let mut sent = 0;
    let mut before = 0;
    for round in 0..1000_u64 {
        let reliability = [Reliability::Reliable, Reliability::Guaranteed][(round % 2) as usize];
        let name = format!("c{}", round % 7);
        let lanes = u16::try_from(round % 5 + 1).expect("small");
        let config = || {
            channel(&name, reliability)
                .parallelism(lanes)
                .ring_bytes(65_536_usize)
        };
        let sending = a.add_channel(config()).expect("there is room");
        if round % 10 == 0 {
            b.add_channel(config()).expect("there is room");
            for key in 0..5 {
                sending.try_send(&to.with_key(key), b"x").expect("room");
            }
            sent += 5;
        }
        let outcome = a.remove_channel(&name, LONG).expect("it is there");
        assert!(outcome.is_drained(), "{round}: {outcome:?}");
        if round % 10 == 0 {
            b.remove_channel(&name, LONG).expect("it is there");
        }
        if round == 200 {
            before = resident_bytes();
        }
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 24 << 20, "800 channels left {grown} bytes");
    let base = load.end();
    let metrics = check_accounting(&[&a, &b]);
    all_acknowledged(&metrics[0], "b", "base", base);
    assert_eq!(count.load(Ordering::Relaxed), base + sent);
    let removed: u64 = metrics[0].removed.iter().map(|out| out.acknowledged).sum();
    assert_eq!(removed, sent);
    assert!(metrics[0].identity_holds());
    let peer = a.peers().remove(0);
    assert_eq!(peer.lanes, 2, "of `base` and of the engine");
}

/// More names than are told apart: the oldest are summed up.
#[test]
fn counters_of_many_removed_channels_are_summed_up() {
    let (a, b, _) = pair();
    let to = a.destination("a", "self").expect("names");
    let (handler, _) = crate::support::counting_handler();
    a.handle("self", handler).expect("a mailbox");
    for round in 0..100 {
        let name = format!("c{round}");
        let config = ChannelConfig::new(&name).ring_bytes(65_536_usize);
        let sending = a.add_channel(config).expect("there is room");
        sending.try_send(&to, b"x").expect("room");
        a.remove_channel(&name, LONG).expect("it is there");
    }
    let metrics = a.metrics();
    assert!(metrics.removed.len() <= 2 * 65, "{}", metrics.removed.len());
    let accepted: u64 = metrics.removed.iter().map(|out| out.accepted).sum();
    assert_eq!(accepted, 100);
    assert!(metrics.identity_holds());
    check_accounting(&[&a, &b]);
}

/// Several threads add, retune, remove and send at once, on a few names. What each is told is true.
#[test]
fn threads_add_remove_and_send_at_once() {
    let (a, b, count) = pair();
    let names = ["x", "y", "z"];
    for name in names {
        b.add_channel(channel(name, Reliability::Guaranteed))
            .expect("new");
    }
    let to = a.destination("b", "in").expect("names");
    let accepted = AtomicU64::new(0);
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (a, accepted, to) = (&a, &accepted, &to);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed ^ thread);
                for _ in 0..150 {
                    let name = names[random.usize(..3)];
                    match random.u8(..6) {
                        0 | 1 => {
                            let config = channel(name, Reliability::Guaranteed)
                                .overflow(Overflow::Block)
                                .ring_bytes(65_536_usize);
                            match a.add_channel(config) {
                                Ok(_)
                                | Err(ChannelError::Exists { .. } | ChannelError::Leaving { .. }) =>
                                    {}
                                Err(error) => panic!("{error}"),
                            }
                        }
                        2 => match a.remove_channel(name, LONG) {
                            Ok(outcome) => assert!(outcome.is_drained(), "{outcome:?}"),
                            Err(ChannelError::Unknown { .. } | ChannelError::Leaving { .. }) => {}
                            Err(error) => panic!("{error}"),
                        },
                        3 => {
                            let priority = random.u8(1..8);
                            match a.retune_channel(name, |is| is.priority(priority)) {
                                Ok(())
                                | Err(
                                    ChannelError::Unknown { .. } | ChannelError::Leaving { .. },
                                ) => {}
                                Err(error) => panic!("{error}"),
                            }
                        }
                        _ => {
                            let Ok(channel) = a.channel(name) else {
                                continue;
                            };
                            for key in 0..20 {
                                match channel.try_send(&to.with_key(key), vec![1; 300]) {
                                    Ok(()) => {
                                        accepted.fetch_add(1, Ordering::Relaxed);
                                    }
                                    Err(unsent) => assert!(
                                        [SendError::Full, SendError::ChannelRemoved]
                                            .contains(&unsent.error),
                                        "{}",
                                        unsent.error
                                    ),
                                }
                            }
                        }
                    }
                }
            });
        }
    });
    // What the other node counts on a name is of all channels that had it here.
    let metrics = drained(&a);
    let out = metrics.lanes.iter().chain(&metrics.removed);
    let out: Vec<_> = out.filter(|out| names.contains(&&*out.channel)).collect();
    let total =
        |of: fn(&overlane::ChannelMetrics) -> u64| out.iter().map(|out| of(out)).sum::<u64>();
    let accepted = accepted.load(Ordering::Relaxed);
    assert_eq!(total(|out| out.accepted), accepted);
    assert_eq!(total(|out| out.acknowledged), accepted);
    assert_eq!(count.load(Ordering::Relaxed), accepted);
}
