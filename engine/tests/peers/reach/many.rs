//! A node that knows a thousand members and uses few of them.

use overlane::{ChannelMetrics, NameError};

use crate::reach::{dead_address, has_connections, reach, send};
use crate::support::accounting::{all_acknowledged, check_accounting};
use crate::support::child::{descriptors, in_child, resident_bytes};
use crate::support::{GENEROUS, config, counting_handler, drained, reliable, start, wait_until};

/// What a member may cost that is reached and has no lanes, with eight channels.
const BYTES_EACH_MAX: usize = 8 << 10;

#[test]
fn a_member_that_has_no_lanes_costs_little() {
    in_child(
        "reach::many::a_member_that_has_no_lanes_costs_little",
        || {
            const MEMBERS: usize = 1000;
            let mut of_hub = config("hub").shards(2);
            for number in 0..8 {
                of_hub = of_hub.channel(reliable(&format!("channel-{number}")));
            }
            let hub = start(of_hub);
            let there = dead_address();
            let sockets = descriptors().get("socket").copied();
            hub.reach("first", &[there]).expect("names");
            hub.wait_reachable("first", GENEROUS)
                .expect("it is reached");
            let before = resident_bytes();
            for number in 1..MEMBERS {
                let name = format!("member-{number}");
                hub.reach(&name, &[there]).expect("names");
            }
            let last = format!("member-{}", MEMBERS - 1);
            hub.wait_reachable(&last, GENEROUS)
                .expect("all are reached");
            let each = resident_bytes().saturating_sub(before) / MEMBERS;
            println!("{each} bytes for each member");
            assert!(each < BYTES_EACH_MAX, "{each} bytes for each member");
            assert_eq!(descriptors().get("socket").copied(), sockets);
            assert_eq!(hub.peers().len(), MEMBERS);
            // One more is used.
            let member = start(config("used").channel(reliable("channel-3")));
            let (handler, _) = counting_handler();
            member.handle("in", handler).expect("a mailbox");
            reach(&hub, "used", &[member.local_addr()]);
            send(&hub, "used", "channel-3", b"x");
            let metrics = check_accounting(&[&hub, &member]);
            all_acknowledged(&metrics[0], "used", "channel-3", 1);
            has_connections(&hub, 2);
        },
    );
}

/// Places are few, and members come and go: each gets one, and nothing that was accepted is lost with it.
#[test]
fn members_that_are_let_go_make_room_for_others() {
    const PLACES: usize = 3;
    let a = config("a").peers_max(PLACES).shards(2);
    let a = start(a.channel(reliable("data")));
    let there = dead_address();
    let mut accepted = 0;
    for number in 0..100 {
        let name = format!("member-{number}");
        if number >= PLACES {
            let error = a.reach(&name, &[there]).expect_err("there are as many");
            assert!(matches!(error, NameError::TooMany { .. }), "{error}");
            let gone = format!("member-{}", number - PLACES);
            a.release(&gone).expect("a name");
        }
        // Until a place is free.
        let placed = wait_until(
            "a place",
            || {
                a.reach(&name, &[there]).expect("there is room for a wish");
                a.wait_reachable(&name, std::time::Duration::from_millis(20))
            },
            Result::is_ok,
        );
        placed.expect("it has one");
        let to = a.destination(&name, "in").expect("names");
        let channel = a.channel("data").expect("it is configured");
        accepted += u64::from(channel.try_send(&to, b"x").is_ok());
    }
    drained(&a);
    // A peer that parts is with neither, for a moment, while its shards are asked one after the other.
    let counted = |count: fn(&ChannelMetrics) -> u64| {
        let metrics = a.metrics();
        let all = metrics.lanes.iter().chain(&metrics.departed);
        all.map(count).sum::<u64>()
    };
    wait_until(
        "all are counted",
        || (counted(|out| out.accepted), counted(|out| out.reported)),
        |counts| *counts == (accepted, accepted),
    );
    assert!(accepted >= 90, "nearly all were accepted: {accepted}");
}
