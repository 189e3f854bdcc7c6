//! The names of mailboxes: used for one message and never again, given back when nobody holds them,
//! and never in the way of a message that is still on its way.

use crate::support::accounting::{all_acknowledged, check_accounting};
use crate::support::child::{in_child, resident_bytes};
use crate::support::{GENEROUS, config, connect_both, drained, reliable, start, wait_until};
use overlane::{Inbox, Node};

/// More names than a node can hold at a time.
const NAMES: usize = (1 << 20) + 100_000;

fn node(name: &str) -> Node {
    start(config(name).channel(reliable("data").queue_messages_max(1 << 16)))
}

/// Enough names, used and let go, that others are looked through.
fn use_other_names(node: &Node) {
    for number in 0..2_000 {
        drop(node.mailbox(&format!("other-{number}")).expect("a name"));
    }
}

#[test]
fn a_node_that_uses_a_name_for_each_request_never_runs_out_of_them() {
    let a = node("a");
    let kept = a.mailbox("kept").expect("a name");
    for number in 0..NAMES {
        let name = format!("r{number}");
        drop(a.mailbox(&name).expect("names are given back"));
    }
    let mut inbox = a.inbox("kept").expect("there is room for more");
    let data = a.channel("data").expect("it is configured");
    let to = a.destination("a", "kept").expect("names");
    assert_eq!(to.mailbox(), &kept);
    data.try_send(&to, "x").expect("accepted");
    assert_eq!(
        inbox.recv_timeout(GENEROUS).expect("it comes").payload(),
        b"x"
    );
    check_accounting(&[&a]);
}

/// Each destination is dropped as soon as its message is accepted, which is long before the shard
/// announces the name to the peer.
#[test]
fn messages_arrive_although_nobody_holds_the_names_they_were_sent_to() {
    let (a, b) = (node("a"), node("b"));
    let mut inboxes: Vec<Inbox> = (0..2_000)
        .map(|number| b.inbox_of(&format!("in-{number}"), 128).expect("a mailbox"))
        .collect();
    connect_both(&a, &b);
    let data = a.channel("data").expect("it is configured");
    for peer in ["b", "a"] {
        for number in 0_u32..2_000 {
            let to = a.destination(peer, &format!("in-{number}")).expect("names");
            data.try_send(&to, &number.to_le_bytes())
                .expect("there is room");
        }
    }
    for (number, inbox) in (0_u32..).zip(&mut inboxes) {
        let message = inbox.recv_timeout(GENEROUS).expect("it arrives");
        assert_eq!(message.payload(), number.to_le_bytes());
        assert_eq!(message.mailbox().name(), format!("in-{number}"));
    }
    let metrics = check_accounting(&[&a, &b]);
    all_acknowledged(&metrics[0], "b", "data", 2_000);
    // This node has none of those mailboxes.
    let itself = metrics[0].channel("a", "data").expect("it was used");
    assert_eq!((itself.accepted, itself.refused), (2_000, 2_000));
}

#[test]
fn a_name_that_was_given_back_and_came_again_is_found_by_lanes_that_knew_it_before() {
    let (a, b) = (node("a"), node("b"));
    connect_both(&a, &b);
    let data = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    for round in 0_u32..3 {
        let mut inbox = b.inbox("in").expect("a mailbox");
        data.try_send(&to, &round.to_le_bytes()).expect("accepted");
        let message = inbox.recv_timeout(GENEROUS).expect("it comes");
        assert_eq!(message.payload(), round.to_le_bytes());
        drop(inbox);
        use_other_names(&b);
        data.try_send(&to, "for nobody").expect("accepted");
        let refused = u64::from(round) + 1;
        wait_until(
            "the message is refused",
            || drained(&a),
            |metrics| {
                let out = metrics.channel("b", "data").expect("it was used");
                (out.refused, out.reported) == (refused, refused)
            },
        );
    }
    check_accounting(&[&a, &b]);
}

#[test]
fn what_dropped_inboxes_held_is_given_back() {
    in_child("mailboxes::what_dropped_inboxes_held_is_given_back", || {
        let a = node("a");
        let data = a.channel("data").expect("it is configured");
        let mut after_the_first = 0;
        for number in 0..300 {
            let name = format!("in-{number}");
            let inbox = a.inbox_of(&name, 1 << 20).expect("a mailbox");
            let to = a.destination("a", &name).expect("names");
            for _ in 0..900 {
                while data.try_send(&to, &[7; 1000]).is_err() {
                    drained(&a);
                }
            }
            drained(&a);
            drop(inbox);
            if number == 9 {
                after_the_first = resident_bytes();
            }
        }
        let grown = resident_bytes().saturating_sub(after_the_first);
        assert!(
            grown < 32 << 20,
            "290 inboxes of 1 MiB, filled and dropped, left {grown} bytes"
        );
        check_accounting(&[&a]);
    });
}
