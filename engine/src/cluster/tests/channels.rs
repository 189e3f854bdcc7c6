//! Channels that are changed on all nodes of a world, each of which makes the changes as the control shard would.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use overlane_overlays::epoch::OverlayKind;

use super::{KINDS, World, world};
use crate::cluster::channels::agreed::{AgreedChannels, Operation, Taken};
use crate::cluster::channels::change::{CHANGED_MAX, Change};
use crate::cluster::channels::goal::{Before, Goal, goal};
use crate::cluster::channels::orders::{OrderEnd, Tally, Wish};
use crate::cluster::driver::Happening;
use crate::cluster::identity::NodeId;
use crate::config::{ChannelConfig, Reliability, differences, retunable};
use crate::error::ChannelError;
use crate::events::Event;

/// The channels of a node.
#[derive(Debug)]
pub(super) struct Table {
    channels: BTreeMap<String, ChannelConfig>,
    before: BTreeMap<String, Before>,
}

impl Table {
    pub(super) fn new(channels: &[ChannelConfig]) -> Self {
        let channels = channels.iter();
        Self {
            channels: channels.map(|it| (it.name.clone(), it.clone())).collect(),
            before: BTreeMap::new(),
        }
    }

    /// Makes a change at once. What the driver is to hear of it.
    pub(super) fn make(&mut self, change: &Change) -> Happening {
        let name = &change.channel;
        let before = self.before.entry(name.clone()).or_default();
        if before.made.is_none() {
            before.own = self.channels.get(name).cloned();
        }
        let goal = goal(self.channels.get(name), before, change);
        let outcome = goal.and_then(|goal| self.reach(name, goal));
        if outcome.is_ok() {
            let before = self.before.get_mut(name).expect("it was looked at");
            before.made = Some(change.clone());
        }
        Happening::ChannelChanged {
            channel: name.clone(),
            epoch: change.epoch,
            outcome,
        }
    }
}

impl Table {
    /// As the control shard does.
    fn reach(&mut self, name: &str, goal: Goal) -> Result<(), ChannelError> {
        match goal {
            Goal::Nothing => {}
            Goal::Remove => drop(self.channels.remove(name)),
            Goal::Retune(to) => {
                let here = self.channels.get_mut(name).expect("it is there");
                let mut fixed = differences(here, &to).into_iter();
                let fixed = fixed.find(|(parameter, ..)| retunable(parameter).is_none());
                if let Some((parameter, is, wanted)) = fixed {
                    let name = name.to_owned();
                    return Err(ChannelError::Fixed {
                        name,
                        parameter,
                        is,
                        wanted,
                    });
                }
                *here = to;
            }
            Goal::Add(to) | Goal::Replace(to) => {
                self.channels.insert(name.to_owned(), to);
            }
        }
        Ok(())
    }
}

fn settings(text: &str) -> Vec<(String, String)> {
    let settings = text.split_whitespace().filter_map(|it| it.split_once('='));
    settings
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

impl World {
    fn change(&mut self, by: &str, token: u64, channel: &str, operation: Operation) {
        let wish = Wish {
            token,
            channel: channel.to_owned(),
            operation,
            within: Duration::from_secs(10),
        };
        self.happen(by, Happening::ChangeChannel(wish));
    }

    fn set(&mut self, by: &str, token: u64, channel: &str, text: &str) {
        self.change(by, token, channel, Operation::Set(settings(text)));
    }

    fn tally(&self, by: &str, token: u64) -> Tally {
        match self.nodes[by].ordered.get(&token) {
            Some(OrderEnd::Ended(tally)) => tally.clone(),
            other => panic!("order {token} of {by}: {other:?}"),
        }
    }

    fn assert_made_everywhere(&self, by: &str, token: u64) {
        let tally = self.tally(by, token);
        let made: BTreeSet<_> = tally.made.into_iter().collect();
        let all = self.nodes.keys().map(|name| NodeId::of(name)).collect();
        assert_eq!((made, tally.refused, tally.silent), (all, vec![], vec![]));
    }

    /// That channel, the same on all nodes.
    fn channel(&self, name: &str) -> Option<ChannelConfig> {
        let mut tables = self.nodes.iter();
        let (_, first) = tables.next().expect("a node");
        let first = first.table.channels.get(name);
        for (node, other) in tables {
            assert_eq!(other.table.channels.get(name), first, "at {node}");
        }
        first.cloned()
    }
}

#[test]
fn a_change_is_made_on_every_node_and_the_report_says_so() {
    for (seed, kind) in (300..).zip(KINDS) {
        let mut world = world(seed, 14, kind);
        world.set("n3", 1, "data", "priority=2");
        world.set("n3", 2, "data", "dscp=10");
        world.change("n5", 1, "extra", Operation::Add(settings("parallelism=4")));
        world.run_for(Duration::from_secs(2));
        world.assert_made_everywhere("n3", 1);
        world.assert_made_everywhere("n3", 2);
        world.assert_made_everywhere("n5", 1);
        let data = ChannelConfig::new("data").priority(2).dscp(10);
        assert_eq!(world.channel("data"), Some(data));
        let extra = ChannelConfig::new("extra").parallelism(4);
        assert_eq!(world.channel("extra"), Some(extra));
        world.change("n9", 1, "data", Operation::Remove { wait_ms: 1 });
        world.run_for(Duration::from_secs(2));
        world.assert_made_everywhere("n9", 1);
        assert_eq!(world.channel("data"), None);
        for node in world.nodes.values() {
            let ordered = |event: &Event| {
                matches!(event, Event::ChannelOrdered { by, change, .. }
                    if **by == *"n9" && **change == *"remove")
            };
            assert_eq!(node.told.iter().filter(|event| ordered(event)).count(), 1);
            assert_eq!(node.accused, 0);
        }
    }
}

#[test]
fn who_joins_later_or_starts_again_learns_what_was_ordered() {
    let mut world = world(310, 8, OverlayKind::HyParView);
    world.set("n1", 1, "data", "priority=2");
    world.run_for(Duration::from_secs(1));
    world.set("n2", 1, "data", "dscp=10");
    world.change(
        "n2",
        2,
        "new",
        Operation::Add(settings("reliability=guaranteed")),
    );
    world.run_for(Duration::from_secs(1));
    world.change("n4", 1, "new", Operation::Remove { wait_ms: 0 });
    world.run_for(Duration::from_secs(1));
    world.change(
        "n4",
        2,
        "new",
        Operation::Add(settings("ordering=unordered")),
    );
    world.run_for(Duration::from_secs(1));
    // Its own configuration has a channel of that name, which was removed meanwhile.
    world
        .channels
        .push(ChannelConfig::new("new").reliability(Reliability::Guaranteed));
    world.start(8, OverlayKind::HyParView, Some(0));
    world.kill("n2");
    world.start(2, OverlayKind::HyParView, Some(0));
    world.run_for(Duration::from_secs(30));
    let data = ChannelConfig::new("data").priority(2).dscp(10);
    assert_eq!(world.channel("data"), Some(data));
    let new = world.channel("new").expect("it was added again");
    assert_eq!(new.reliability, Reliability::Reliable);
    // What the one that was started again orders comes after what it did before.
    world.set("n2", 9, "data", "priority=7");
    world.run_for(Duration::from_secs(2));
    world.assert_made_everywhere("n2", 9);
    assert_eq!(world.channel("data").map(|it| it.priority), Some(7.into()));
}

#[test]
fn a_member_that_missed_a_change_learns_it_though_no_lane_ended() {
    let mut world = world(315, 6, OverlayKind::FullMesh);
    // What is sent to it is lost, and no lane ends.
    world.parts.insert("n3".into(), 1);
    let wish = Wish {
        token: 1,
        channel: "data".to_owned(),
        operation: Operation::Set(settings("priority=2")),
        within: Duration::from_millis(50),
    };
    world.happen("n1", Happening::ChangeChannel(wish));
    world.run_for(Duration::from_millis(100));
    world.parts.clear();
    world.run_for(Duration::from_millis(400));
    assert_eq!(world.tally("n1", 1).silent, [NodeId::of("n3")]);
    let priority = |world: &World| world.nodes["n3"].table.channels["data"].priority;
    let before = priority(&world);
    assert_ne!(before, 2.into());
    world.run_for(Duration::from_secs(150));
    assert_eq!(priority(&world), 2.into());
}

#[test]
fn of_two_orders_at_once_one_counts_everywhere_and_the_other_is_told() {
    for seed in 320..350 {
        let kind = KINDS[usize::try_from(seed).unwrap() % 3];
        let mut world = world(seed, 9, kind);
        world.set("n2", 1, "data", "priority=2 queue_messages_max=77");
        world.set("n6", 1, "data", "priority=6 dscp=10");
        world.run_for(Duration::from_secs(3));
        let data = world.channel("data").expect("it is there");
        let (winner, loser, wanted) = match data.dscp {
            None => (
                "n2",
                "n6",
                ChannelConfig::new("data")
                    .priority(2)
                    .queue_messages_max(77),
            ),
            Some(_) => ("n6", "n2", ChannelConfig::new("data").priority(6).dscp(10)),
        };
        assert_eq!(data, wanted, "what has lost left nothing");
        world.assert_made_everywhere(winner, 1);
        let by = winner.into();
        assert_eq!(world.nodes[loser].ordered[&1], OrderEnd::Outrun { by });
    }
}

#[test]
fn a_node_that_cannot_says_why_and_a_mistake_stays_at_home() {
    let mut world = world(351, 6, OverlayKind::FullMesh);
    world.node("n4").table.channels.clear();
    world.node("n5").table.channels.insert(
        "extra".to_owned(),
        ChannelConfig::new("extra").parallelism(7),
    );
    world.set("n1", 1, "data", "priority=2");
    world.change("n1", 2, "extra", Operation::Add(settings("parallelism=2")));
    world.set("n1", 3, "data", "parallelism=2");
    world.set("n1", 4, "nothing", "priority=2");
    world.run_for(Duration::from_secs(2));
    // One that was added by an order has fixed parameters too.
    world.set("n1", 5, "extra", "parallelism=9");
    world.run_for(Duration::from_secs(2));
    for (token, member, said) in [
        (1, "n4", "no channel named `data`"),
        (2, "n5", "is 7 as long"),
    ] {
        let tally = world.tally("n1", token);
        let [(refused, why)] = &tally.refused[..] else {
            panic!("{:?}", tally.refused);
        };
        assert_eq!((*refused, tally.made.len()), (NodeId::of(member), 5));
        assert!(why.contains(said), "{why}");
        let told = |event: &Event| matches!(event, Event::ChannelChangeRefused { why, .. } if why.contains(said));
        assert!(world.nodes[member].told.iter().any(told));
    }
    for token in [3, 4, 5] {
        let end = &world.nodes["n1"].ordered[&token];
        let refused = |error: &ChannelError| {
            matches!(
                error,
                ChannelError::Fixed { .. } | ChannelError::NotHere { .. }
            )
        };
        assert!(
            matches!(end, OrderEnd::Refused(error) if refused(error)),
            "{end:?}"
        );
    }
    let epochs: BTreeSet<_> = world
        .nodes
        .values()
        .map(|node| node.driver.channel_changes().len())
        .collect();
    assert_eq!(epochs, BTreeSet::from([2]), "nobody heard of the mistakes");
}

#[test]
fn a_node_that_is_gone_is_not_waited_for_and_one_that_is_cut_off_is_named() {
    let mut world = world(352, 6, OverlayKind::FullMesh);
    world.parts.insert("n5".into(), 1);
    world.set("n1", 1, "data", "priority=2");
    world.run_for(Duration::from_millis(900));
    assert!(world.nodes["n1"].ordered.is_empty(), "n5 is a member still");
    world.run_for(Duration::from_secs(30));
    let tally = world.tally("n1", 1);
    let is_gone = tally.silent.is_empty() || tally.silent == [NodeId::of("n5")];
    assert!(is_gone && tally.made.len() == 5, "{tally:?}");
    world.parts.clear();
    world.run_for(Duration::from_secs(60));
    assert_eq!(world.channel("data").map(|it| it.priority), Some(2.into()));
}

#[test]
fn both_sides_of_a_partition_change_a_channel_and_agree_when_it_has_healed() {
    for (seed, kind) in (360..).zip(KINDS.into_iter().cycle().take(9)) {
        let mut world = world(seed, 10, kind);
        for number in 0..10 {
            let name = format!("n{number}").into();
            world.parts.insert(name, u16::from(number < 4));
        }
        world.run_for(Duration::from_secs(45));
        world.set("n1", 1, "data", "priority=1");
        world.set("n8", 1, "data", "priority=7 dscp=10");
        world.run_for(Duration::from_secs(2));
        // One more on the smaller side: its number is the greater one.
        world.set("n2", 2, "data", "queue_messages_max=77");
        world.change("n9", 2, "other", Operation::Add(settings("parallelism=3")));
        world.run_for(Duration::from_secs(1));
        world.change("n3", 3, "other", Operation::Add(settings("parallelism=2")));
        world.change("n7", 3, "third", Operation::Add(vec![]));
        world.run_for(Duration::from_secs(3));
        world.parts.clear();
        world.run_for(Duration::from_secs(60));
        let data = ChannelConfig::new("data")
            .priority(1)
            .queue_messages_max(77);
        assert_eq!(world.channel("data"), Some(data), "{kind}");
        assert_eq!(world.channel("other").map(|it| it.parallelism), Some(2));
        assert_eq!(world.channel("third"), Some(ChannelConfig::new("third")));
    }
}

/// Orders of all kinds by all nodes, which are killed, started again and cut off meanwhile: in the end all have the same.
#[test]
fn whatever_is_ordered_all_nodes_come_to_have_the_same_channels() {
    let seed = fastrand::u64(..);
    for (seed, kind) in (seed..).zip(KINDS) {
        let mut world = world(seed, 10, kind);
        for step in 0..60 {
            let names: Vec<_> = world.nodes.keys().cloned().collect();
            let by = names[world.random.usize(..names.len())].clone();
            let channel = ["data", "x", "y"][world.random.usize(..3)];
            let operation = match world.random.u8(..6) {
                0 => Operation::Remove { wait_ms: 0 },
                1 => Operation::Add(settings("reliability=guaranteed")),
                2 => Operation::Add(settings("parallelism=2 dscp=1")),
                3 => Operation::Set(settings("dscp=2")),
                4 => Operation::Set(settings("priority=1 queue_messages_max=77")),
                _ => Operation::Set(settings("priority=5")),
            };
            world.change(&by, 1_000 + step, channel, operation);
            match world.random.u8(..12) {
                0 if by.as_ref() != "n0" => {
                    let number = by[1..].parse().expect("its number");
                    world.kill(&by);
                    world.start(number, kind, Some(0));
                }
                1 => drop(world.parts.insert(by, 1)),
                2 => world.parts.clear(),
                _ => {}
            }
            let pause = world.random.u64(0..3_000);
            world.run_for(Duration::from_millis(pause));
        }
        world.parts.clear();
        world.run_for(Duration::from_secs(90));
        world.assert_agreed();
        for channel in ["x", "y"] {
            world.channel(channel);
        }
        let changes = |node: &super::Node| {
            let changes = node.driver.channel_changes().into_iter();
            let known = changes.map(|known| (known.channel, known.epoch, known.by, known.change));
            known.collect::<Vec<_>>()
        };
        let all: BTreeSet<_> = world.nodes.values().map(changes).collect();
        assert_eq!(all.len(), 1, "{all:?}");
    }
}

#[test]
fn what_is_kept_is_bounded_and_what_was_forgotten_does_not_come_back() {
    let mut agreed = AgreedChannels::default();
    let order = |agreed: &mut AgreedChannels, channel: &str, operation| {
        agreed.propose(channel, operation, "n1", 1)
    };
    let mut first = None;
    for number in 0..3 * CHANGED_MAX {
        let channel = format!("c{number}");
        let added = order(&mut agreed, &channel, Operation::Add(vec![]));
        assert_eq!(agreed.take(&added, None), Taken::New);
        first.get_or_insert(added);
        let removed = order(&mut agreed, &channel, Operation::Remove { wait_ms: 0 });
        assert_eq!(agreed.take(&removed, None), Taken::New);
    }
    assert_eq!(agreed.all().count(), CHANGED_MAX);
    let mut away = AgreedChannels::default();
    let first = first.expect("one");
    assert_eq!(away.take(&first, None), Taken::New);
    assert_eq!(agreed.take(&first, None), Taken::Refused);
    let (lacking, is_behind) = agreed.compare(&away.heads(false));
    assert_eq!((lacking.len(), is_behind), (CHANGED_MAX, false));
    for number in 0..CHANGED_MAX {
        let channel = format!("k{number}");
        let added = order(&mut agreed, &channel, Operation::Add(vec![]));
        assert_eq!(agreed.take(&added, None), Taken::New);
    }
    let more = order(&mut agreed, "more", Operation::Add(vec![]));
    assert_eq!(agreed.take(&more, None), Taken::Refused);
}

/// Of channels with names that are used once, removals are forgotten; what is there is learned all the same, however old.
#[test]
fn who_joins_after_much_was_forgotten_learns_what_is_there_and_can_order() {
    let mut world = world(370, 3, OverlayKind::FullMesh);
    world.change("n1", 0, "old", Operation::Add(settings("parallelism=3")));
    world.run_for(Duration::from_secs(1));
    let mut tokens = 1..;
    for batch in 0..CHANGED_MAX / 16 + 1 {
        for number in 0..16 {
            let channel = format!("once-{batch}-{number}");
            for operation in [Operation::Add(vec![]), Operation::Remove { wait_ms: 0 }] {
                let token = tokens.next().expect("endless");
                world.change("n1", token, &channel, operation);
            }
        }
        world.run_for(Duration::from_secs(1));
    }
    world.start(3, OverlayKind::FullMesh, Some(0));
    world.run_for(Duration::from_secs(20));
    assert_eq!(world.channel("old").map(|it| it.parallelism), Some(3));
    world.change("n3", 1, "new", Operation::Add(vec![]));
    world.run_for(Duration::from_secs(2));
    world.assert_made_everywhere("n3", 1);
    // Nor does it take what was removed long ago and forgotten.
    let mut newcomer = AgreedChannels::default();
    let mut source = AgreedChannels::default();
    let mut removed_long_ago = None;
    for number in 0..=CHANGED_MAX {
        let channel = format!("c{number}");
        let added = source.propose(&channel, Operation::Add(vec![]), "n1", 1);
        source.take(&added, None);
        removed_long_ago.get_or_insert(added);
        let removed = source.propose(&channel, Operation::Remove { wait_ms: 0 }, "n1", 1);
        source.take(&removed, None);
    }
    assert!(newcomer.compare(&source.heads(false)).1);
    for change in source.compare(&newcomer.heads(true)).0 {
        assert_eq!(newcomer.take(&change, None), Taken::New);
    }
    assert_eq!(newcomer.compare(&source.heads(true)), (vec![], false));
    let removed_long_ago = removed_long_ago.expect("the first");
    assert_eq!(newcomer.take(&removed_long_ago, None), Taken::Refused);
    let own = newcomer.propose("new", Operation::Add(vec![]), "n2", 1);
    assert_eq!(newcomer.take(&own, None), Taken::New);
}

#[test]
fn an_order_for_which_there_is_no_room_is_not_tried() {
    let mut world = world(371, 2, OverlayKind::FullMesh);
    for number in 0..=CHANGED_MAX as u64 {
        world.change("n1", number, &format!("c{number}"), Operation::Add(vec![]));
        if number % 16 == 0 {
            world.run_for(Duration::from_secs(1));
        }
    }
    world.run_for(Duration::from_secs(2));
    let ordered = &world.nodes["n1"].ordered;
    let refused = ordered.iter().filter(|(_, end)| **end == OrderEnd::Full);
    let refused: Vec<_> = refused.map(|(token, _)| *token).collect();
    // They come to the driver in any order.
    let [refused] = refused[..] else {
        panic!("{refused:?} of {}", ordered.len());
    };
    assert_eq!(ordered.len(), CHANGED_MAX + 1);
    assert_eq!(world.channel(&format!("c{refused}")), None);
}
