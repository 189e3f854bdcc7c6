//! Channels that are changed on all nodes while messages go over them.

use std::time::Duration;

use overlane::config::{ChannelConfig, OverlayChoice, Priority, Reliability};
use overlane::{ChannelChangeError, ChannelError, Event};

use crate::nodes::{CHANNEL, MAILBOX, Member, agree, cluster, name};
use crate::support::accounting::check_accounting;
use crate::support::wait_until;

const PATIENCE: Duration = Duration::from_secs(60);

fn names(members: &[Member]) -> Vec<String> {
    let names = members.iter().map(|member| member.node.name().to_owned());
    names.collect()
}

#[test]
fn a_channel_is_added_set_and_removed_on_all_nodes_and_on_those_that_come_later() {
    let mut members = cluster(4, OverlayChoice::HyParView);
    let events = members[3].node.events();
    let orders = ChannelConfig::new("orders").reliability(Reliability::Guaranteed);
    let made = members[1].cluster().add_channel(&orders, PATIENCE);
    let made = made.expect("they can");
    assert_eq!((made.epoch, made.made), (1, names(&members)));
    assert!(made.refused.is_empty() && made.silent.is_empty());
    wait_until(
        "it is told",
        || events.try_recv(),
        |event| {
            matches!(event, Some(Event::ChannelOrdered { by, change, .. })
                if **by == *"n01" && **change == *"add reliability=guaranteed")
        },
    );

    // It is there on all of them when the call comes back: nothing that is sent now is refused.
    for from in 0..members.len() {
        let to = (from + 1) % members.len();
        let receiver = members[to].node.name().to_owned();
        let channel = members[from].node.channel("orders").expect("it is there");
        let to_it = members[from].node.destination(&receiver, MAILBOX);
        let to_it = to_it.expect("a member");
        let sent = channel.send_blocking(&to_it, b"one".as_slice());
        sent.expect("there is room");
        let came = members[to].inbox.recv_timeout(PATIENCE);
        assert_eq!(came.expect("it came").payload(), b"one");
    }

    let set = members[2].cluster();
    let set = set.set_channel("orders", &[("priority", "2")], PATIENCE);
    assert_eq!(set.expect("they can").made, names(&members));
    let seed = members[0].node.local_addr();
    members.push(Member::start(&name(4), OverlayChoice::HyParView, &[seed]));
    agree(&members);
    for member in &members {
        wait_until(
            "the newcomer has it too",
            || member.node.channel_config("orders").ok(),
            |channel| {
                channel.as_ref().is_some_and(|channel| {
                    channel.priority == Priority::from(2)
                        && channel.reliability == Reliability::Guaranteed
                })
            },
        );
    }

    let removed = members[4].cluster();
    let removed = removed.remove_channel("orders", Duration::from_secs(10), PATIENCE);
    assert_eq!(removed.expect("they can").made, names(&members));
    for member in &members {
        assert!(member.node.channel("orders").is_err());
        let changes = member.cluster().channel_changes().expect("it answers");
        let [change] = &changes[..] else {
            panic!("{changes:?}");
        };
        assert_eq!((&*change.change, change.is_made), ("remove", true));
    }
    let nodes: Vec<_> = members.iter().map(|member| &member.node).collect();
    check_accounting(&nodes);
}

#[test]
fn what_is_wrong_is_said_and_nobody_hears_of_it() {
    let members = cluster(3, OverlayChoice::FullMesh);
    let cluster = members[0].cluster();
    let fixed = cluster.set_channel(CHANNEL, &[("parallelism", "3")], PATIENCE);
    let is_fixed = |error: &ChannelChangeError| {
        matches!(
            error,
            ChannelChangeError::Channel(ChannelError::Fixed { .. })
        )
    };
    assert!(fixed.as_ref().is_err_and(is_fixed), "{fixed:?}");
    let unknown = cluster.remove_channel("nothing", PATIENCE, PATIENCE);
    let said = unknown.expect_err("there is none").to_string();
    assert!(said.contains("those there are now are data"), "{said}");
    let exists = cluster.add_channel(&ChannelConfig::new(CHANNEL).priority(1), PATIENCE);
    let said = exists.expect_err("there is one").to_string();
    assert!(said.contains("already"), "{said}");
    assert!(
        cluster
            .set_channel(CHANNEL, &[("colour", "red")], PATIENCE)
            .is_err()
    );
    for member in &members {
        let changes = member.cluster().channel_changes();
        assert_eq!(changes.expect("it answers"), []);
    }

    // One node has another channel of that name by itself.
    let own = ChannelConfig::new("own").parallelism(3);
    members[2].node.add_channel(own).expect("it can");
    let added = cluster.add_channel(&ChannelConfig::new("own"), PATIENCE);
    let report = added.expect("the others can");
    assert_eq!(report.made, [name(0), name(1)]);
    let [(member, why)] = &report.refused[..] else {
        panic!("{report:?}");
    };
    assert!(*member == name(2) && why.contains("parallelism"), "{why}");
}

/// All nodes order something of one channel at once: one order counts, and is made everywhere.
#[test]
fn of_many_orders_at_once_one_counts_on_all_nodes() {
    let members = cluster(4, OverlayChoice::FullMesh);
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let orders = members.iter().enumerate().map(|(number, member)| {
            let cluster = member.cluster().clone();
            scope.spawn(move || {
                let value = (1000 + number).to_string();
                cluster.set_channel(CHANNEL, &[("queue_messages_max", &value)], PATIENCE)
            })
        });
        let orders: Vec<_> = orders.collect();
        let ended = orders.into_iter().map(|order| order.join());
        ended.map(|ended| ended.expect("no panic")).collect()
    });
    for outcome in &outcomes {
        match outcome {
            Ok(report) => assert!(report.refused.is_empty() && report.silent.is_empty()),
            Err(error) => assert!(matches!(error, ChannelChangeError::Outrun { .. })),
        }
    }
    assert!(outcomes.iter().any(Result::is_ok), "{outcomes:?}");
    wait_until(
        "all have the same",
        || {
            let changes = members.iter().map(|member| {
                let changes = member.cluster().channel_changes().expect("it answers");
                let channel = member.node.channel_config(CHANNEL).expect("it is there");
                (changes, channel)
            });
            changes.collect::<Vec<_>>()
        },
        |seen| {
            let (changes, channel) = &seen[0];
            let ordered = format!("set queue_messages_max={}", channel.queue_messages_max);
            seen.iter().all(|other| other == &seen[0])
                && changes.len() == 1
                && changes[0].change == ordered
                && changes[0].is_made
        },
    );
}
