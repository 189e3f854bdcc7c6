//! Every single fault, at every step of the protocol: all or none of those who live deliver, and all of
//! them find out.

use super::*;

/// A round among `count` nodes, the sender in the middle of them, with mischief until it has ended.
fn run<'m>(count: u32, mut mischief: Mischief<'m>) -> (Net, MessageId) {
    let mut net = Net::new(count);
    let id = net.broadcast(count / 2, &mut mischief);
    net.run_for(LONG, &mut mischief);
    (net, id)
}

/// Messages of a round without any fault.
fn messages(count: u32) -> usize {
    let (net, id) = run(count, nothing());
    for life in net.living() {
        assert_eq!(net.told[&life].done, [id], "{count} nodes");
        assert_eq!(net.told[&life].aborted, []);
    }
    net.sent
}

fn first_lives(count: u32) -> BTreeSet<Life> {
    (0..count).map(|node| (node, 1)).collect()
}

fn prove(net: &Net, count: u32, scenario: &dyn std::fmt::Debug) {
    let lives = first_lives(count);
    let proven = net
        .check_agreement(&lives)
        .and_then(|()| net.check_ended(&lives));
    assert_eq!(proven, Ok(()), "{count} nodes, {scenario:?}");
}

#[test]
fn without_faults_all_deliver_for_five_messages_a_member_and_its_thanks() {
    let sent: Vec<usize> = (1..=5).map(messages).collect();
    assert_eq!(sent, [0, 6, 12, 18, 24]);
}

#[test]
fn every_single_lost_message_changes_nothing() {
    for count in 2..=5 {
        for lost in 0..messages(count) {
            let fate = |number| {
                if number == lost {
                    Fate::IsLost
                } else {
                    Fate::Arrives
                }
            };
            let (net, id) = run(count, Box::new(|_, number, _| fate(number)));
            prove(&net, count, &lost);
            for life in net.living() {
                assert_eq!(net.told[&life].done, [id], "{count} nodes, {lost} lost");
            }
        }
    }
}

#[test]
fn every_pair_of_lost_messages_and_every_link_that_loses_all_changes_no_agreement() {
    for count in 2..=4 {
        // Those that are sent again are lost too.
        let all = messages(count) + 6;
        for first in 0..all {
            for second in first + 1..all {
                let is_lost = move |number| number == first || number == second;
                let (net, _) = run(
                    count,
                    Box::new(move |_, number, _| {
                        if is_lost(number) {
                            Fate::IsLost
                        } else {
                            Fate::Arrives
                        }
                    }),
                );
                prove(&net, count, &(first, second));
            }
        }
    }
}

/// Every message that is sent is the last moment of its sender, or of any other node: between two
/// messages of one step too.
#[test]
fn every_single_crash_leaves_all_or_none() {
    for count in 3..=5 {
        for moment in 0..=messages(count) {
            for victim in 0..count {
                let (net, _) = run(
                    count,
                    Box::new(move |net, number, _| {
                        if number == moment {
                            net.crash(victim);
                        }
                        Fate::Arrives
                    }),
                );
                // Even who crashed did not deliver what others abort.
                prove(&net, count, &(moment, victim));
            }
        }
    }
}

#[test]
fn every_crash_with_every_lost_message_leaves_all_or_none() {
    for count in 3..=4 {
        let all = messages(count);
        for moment in 0..=all {
            for victim in 0..count {
                for lost in 0..all + 4 {
                    let (net, _) = run(
                        count,
                        Box::new(move |net, number, _| {
                            if number == moment {
                                net.crash(victim);
                            }
                            if number == lost {
                                Fate::IsLost
                            } else {
                                Fate::Arrives
                            }
                        }),
                    );
                    prove(&net, count, &(moment, victim, lost));
                }
            }
        }
    }
}

#[test]
fn two_crashes_of_five_leave_all_or_none() {
    let all = messages(5);
    for first in 0..all {
        for second in first..all {
            for victims in [[2, 0], [2, 3], [2, 4], [0, 2], [1, 4]] {
                let (net, _) = run(
                    5,
                    Box::new(move |net, number, _| {
                        for (moment, victim) in [first, second].into_iter().zip(victims) {
                            if number == moment {
                                net.crash(victim);
                            }
                        }
                        Fate::Arrives
                    }),
                );
                prove(&net, 5, &(first, second, victims));
            }
        }
    }
}

/// The crashed node comes back at once, with a new incarnation and no memory, while the messages for
/// its earlier life are still under way; all messages of the round come a second time, too.
#[test]
fn every_restart_with_a_second_copy_of_everything_leaves_all_or_none() {
    for count in 2..=5 {
        for moment in 0..=messages(count) {
            for victim in 0..count {
                for copy in [1, 40_000, 3_000_000] {
                    let (net, _) = run(
                        count,
                        Box::new(move |net, number, _| {
                            if number == moment {
                                net.crash(victim);
                                net.start(victim);
                            }
                            Fate::ArrivesTwice(copy)
                        }),
                    );
                    prove(&net, count, &(moment, victim, copy));
                }
            }
        }
    }
}

/// With all but one restarted, no majority is left that remembers; their lives are proven to be over.
#[test]
fn who_is_left_alone_ends_the_round_once_all_others_are_known_to_have_restarted() {
    for count in 2..=5 {
        for moment in 0..=messages(count) {
            for left in 0..count {
                for again in [true, false] {
                    let (net, _) = run(
                        count,
                        Box::new(move |net, number, _| {
                            if number == moment {
                                for other in (0..count).filter(|other| *other != left) {
                                    net.crash(other);
                                    if again {
                                        net.start(other);
                                    }
                                }
                            }
                            Fate::Arrives
                        }),
                    );
                    let lives = BTreeSet::from([(left, 1)]);
                    net.check_agreement(&lives).unwrap();
                    if again {
                        net.check_ended(&lives).unwrap();
                    } else if let Some(told) = net.told.get(&(left, 1)) {
                        // It may have to wait for them. It does not guess.
                        let sent_by_it = left == count / 2;
                        assert!(told.aborted.is_empty() || sent_by_it, "{told:?}");
                    }
                }
            }
        }
    }
}

/// One message of each step is so late that the round has long ended without it.
#[test]
fn every_message_that_comes_very_late_changes_nothing() {
    for count in 2..=5 {
        for late in 0..messages(count) {
            for by in [2_000_000, 7_000_000, 30_000_000] {
                let (net, _) = run(
                    count,
                    Box::new(move |_, number, _| {
                        if number == late {
                            Fate::IsLate(by)
                        } else {
                            Fate::Arrives
                        }
                    }),
                );
                prove(&net, count, &(late, by));
            }
        }
    }
}

/// A decision of somebody who is gone is still under way when those that are left have gone on.
#[test]
fn a_late_decision_of_the_dead_overrules_nobody() {
    for count in 2..=5 {
        let all = messages(count);
        for moment in 0..=all {
            for late in 0..all {
                for left in [[0, 1], [count - 1, 0], [count / 2, 0]] {
                    let (net, _) = run(
                        count,
                        Box::new(move |net, number, _| {
                            if number == moment {
                                for other in (0..count).filter(|other| !left.contains(other)) {
                                    net.crash(other);
                                    net.start(other);
                                }
                            }
                            if number == late {
                                Fate::IsLate(12_000_000)
                            } else {
                                Fate::Arrives
                            }
                        }),
                    );
                    let lives: BTreeSet<Life> = left.into_iter().map(|node| (node, 1)).collect();
                    net.check_agreement(&lives).unwrap();
                    net.check_ended(&lives).unwrap();
                }
            }
        }
    }
}

/// From each step on, for 20 s, a side of the cluster does not hear the other.
#[test]
fn every_partition_leaves_all_or_none_once_it_heals() {
    for count in 2..=5_u32 {
        for moment in 0..messages(count) {
            for side in 1..(1_u32 << count) - 1 {
                let is_in = move |node: u32| side & (1 << node) != 0;
                let mut healed_at = None;
                let mut net = Net::new(count);
                let mut mischief: Mischief<'_> = Box::new(move |net, number, to| {
                    if number == moment {
                        healed_at = Some(net.now + 20_000_000);
                    }
                    // Whoever is in the side is not heard outside of it: all that goes out of it is lost.
                    let is_cut = healed_at.is_some_and(|at| net.now < at);
                    if is_cut && is_in(to) {
                        Fate::IsLost
                    } else {
                        Fate::Arrives
                    }
                });
                net.broadcast(count / 2, &mut mischief);
                net.run_for(LONG, &mut mischief);
                prove(&net, count, &(moment, side));
            }
        }
    }
}
