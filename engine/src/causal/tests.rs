use super::*;

const A: &str = "a";
const B: &str = "b";
const C: &str = "c";

fn order(name: &str) -> CausalOrder {
    let node = Config {
        node_name: name.to_owned(),
        incarnation: Some(1),
        ..Config::default()
    };
    CausalOrder::new(&node, &ChannelConfig::new("data"))
}

fn life(name: &str) -> Life<u64> {
    Life {
        peer: node_number(name),
        incarnation: 1,
    }
}

/// Sends a message and returns it as it comes.
fn send(from: (&str, &CausalOrder), to: &str) -> Came {
    let mut causes = Vec::new();
    let sent = from.1.send(to, |stamp| {
        causes.clone_from(&stamp.causes);
        Ok::<_, ()>(())
    });
    sent.expect("there is room").expect("it is sent");
    came(life(from.0), &causes)
}

fn came(life: Life<u64>, causes: &[u8]) -> Came {
    let mut entries = [0; 2048];
    let mut writer = crate::wire::extension::ExtensionWriter::new(&mut entries);
    writer.causes(causes).expect("they are written so");
    Came::new(life, writer.finish().causes().expect("they are there"))
}

fn held(lane: u32) -> HeldMessage {
    HeldMessage {
        lane,
        mailbox: Box::from("in"),
        bytes: Bytes::from_static(b"held"),
        head: 0,
        came: Instant::now(),
    }
}

#[test]
fn what_a_message_follows_goes_first_and_only_then_is_it_ready() {
    let (a, b, c) = (order(A), order(B), order(C));
    let now = Instant::now();
    let (first, second) = (send((A, &a), B), send((A, &a), C));
    assert_eq!(c.arrive(&second, now), Arrival::Due);
    assert!(!c.delivered(&second, now).is_ready);
    let third = send((C, &c), B);
    assert_eq!(b.arrive(&third, now), Arrival::Early);
    let news = b.hold(third, held(7), now).expect("there is room");
    assert!(news.look.is_some(), "the first to look for");
    assert_eq!(b.next_ready(7, now).map(|(key, _)| key), None);
    assert_eq!(b.arrive(&first, now), Arrival::Due);
    assert!(b.delivered(&first, now).is_ready, "another");
    assert_eq!(b.ready_lanes(), [7]);
    let (key, _) = b.next_ready(7, now).expect("its turn has come");
    b.delivered_ready(key, now);
    assert_eq!((b.ready_lanes(), b.held()), (vec![], 0));
}

#[test]
fn what_is_acknowledged_is_no_cause_any_more() {
    let (a, c) = (order(A), order(C));
    let now = Instant::now();
    let first = send((A, &a), B);
    let second = send((A, &a), C);
    assert_eq!(second.needs.len(), 1);
    a.acknowledged(B, &[first.number]);
    a.acknowledged(C, &[second.number]);
    assert_eq!(send((A, &a), C).needs, []);
    // C has heard of the first from A, until it hears that it is settled.
    assert_eq!(c.arrive(&second, now), Arrival::Due);
    let third = send((C, &c), A);
    assert_eq!(third.needs.len(), 1, "that of A to B");
    assert_eq!(send((C, &c), A).needs.len(), 1, "its own go without saying");
}

#[test]
fn what_ends_otherwise_is_no_cause_either() {
    let a = order(A);
    let first = send((A, &a), B);
    let _second = send((A, &a), B);
    a.ended(B, &[first.number]);
    assert_eq!(send((A, &a), C).needs[0].of.count, 2, "up to the second");
    a.ended_all(B, || false);
    assert_eq!(send((A, &a), C).needs.len(), 1);
    a.ended_all(B, || true);
    a.ended_all(C, || true);
    assert_eq!(send((A, &a), C).needs, []);
}

#[test]
fn more_than_a_message_can_say_waits_for_acknowledgements() {
    let a = order(A);
    let names: Vec<String> = (0..200).map(|number| format!("node-{number}")).collect();
    let sent = names.iter().take_while(|name| {
        let sent = a.send(name, |_| Ok::<_, ()>(()));
        sent.is_some()
    });
    let sent = sent.count();
    assert!((64..200).contains(&sent), "{sent}");
    assert!(a.take_wanted() && !a.take_wanted());
    a.acknowledged(&names[0], &[1]);
    assert!(a.send(B, |_| Ok::<_, ()>(())).is_some());
}

#[test]
fn a_message_that_is_not_accepted_leaves_no_trace() {
    let a = order(A);
    assert!(
        a.send(B, |_| Err::<(), _>("full"))
            .is_some_and(|sent| sent.is_err())
    );
    let first = send((A, &a), B);
    assert_eq!((first.number, first.needs), (1, vec![]));
}

#[test]
fn a_sender_has_so_much_on_hold_and_no_more() {
    let (a, b, c) = (order(A), order(B), order(C));
    let now = Instant::now();
    let (_first, second) = (send((A, &a), B), send((A, &a), C));
    assert_eq!(c.arrive(&second, now), Arrival::Due);
    let bytes = b.held_bytes_max / 4;
    let message = || HeldMessage {
        bytes: Bytes::from(vec![0; bytes]),
        ..held(1)
    };
    let mut taken = 0;
    loop {
        let third = send((C, &c), B);
        assert_eq!(b.arrive(&third, now), Arrival::Early);
        match b.hold(third, message(), now) {
            Ok(_) => taken += 1,
            Err(NoRoom) => break,
        }
    }
    assert_eq!((taken, b.held()), (3, 3));
}

#[test]
fn what_does_not_come_is_given_up_and_refused_when_it_comes_after_all() {
    let (a, b, c) = (order(A), order(B), order(C));
    let now = Instant::now();
    let (first, second) = (send((A, &a), B), send((A, &a), C));
    assert_eq!(c.arrive(&second, now), Arrival::Due);
    let third = send((C, &c), B);
    assert_eq!(b.arrive(&third, now), Arrival::Early);
    let news = b.hold(third, held(7), now).expect("there is room");
    let look = news.look.expect("it is to be looked at");
    let looked = b.look(look);
    assert_eq!(
        (looked.given_up, looked.waited_for),
        (vec![], vec![life(A).peer])
    );
    assert!(looked.again > Some(look));
    let late = now + b.wait;
    let looked = b.look(late);
    assert_eq!((looked.waited_for, looked.again), (vec![], None));
    let gaps = looked.given_up;
    assert_eq!((gaps[0].life, gaps[0].first, gaps[0].last), (life(A), 1, 1));
    assert_eq!(b.ready_lanes(), [7]);
    assert_eq!(b.arrive(&first, late), Arrival::GivenUp);
}

#[test]
fn a_process_that_is_gone_is_not_waited_for() {
    let (a, b, c) = (order(A), order(B), order(C));
    let now = Instant::now();
    let (_first, second) = (send((A, &a), B), send((A, &a), C));
    assert_eq!(c.arrive(&second, now), Arrival::Due);
    let third = send((C, &c), B);
    assert_eq!(b.arrive(&third, now), Arrival::Early);
    b.hold(third, held(7), now).expect("there is room");
    let newer = Life {
        incarnation: 2,
        ..life(A)
    };
    assert_eq!(b.lives_as(newer, now).len(), 1);
    assert_eq!(b.ready_lanes(), [7]);
    assert_eq!(
        b.arrive(&send((C, &c), B), now),
        Arrival::Early,
        "behind it"
    );
    // Another node that never heard of the old process, either.
    let d = order("d");
    let (_fourth, fifth) = (send((A, &a), "d"), send((A, &a), C));
    c.arrive(&fifth, now);
    assert_eq!(d.lives_as(newer, now), []);
    assert_eq!(d.arrive(&send((C, &c), "d"), now), Arrival::Due);
}

#[test]
fn what_was_held_of_a_connection_that_ended_comes_again() {
    let (a, b, c) = (order(A), order(B), order(C));
    let now = Instant::now();
    let (first, second) = (send((A, &a), B), send((A, &a), C));
    assert_eq!(c.arrive(&second, now), Arrival::Due);
    let third = send((C, &c), B);
    b.hold(third.clone(), held(7), now).expect("there is room");
    b.let_go_of(life(C));
    assert_eq!(b.arrive(&first, now), Arrival::Due);
    assert!(!b.delivered(&first, now).is_ready, "nothing is held");
    assert_eq!(b.arrive(&third, now), Arrival::Due);
}

#[test]
fn a_sender_says_what_comes_no_more() {
    let (a, b, c) = (order(A), order(B), order(C));
    let now = Instant::now();
    let (first, second) = (send((A, &a), B), send((A, &a), C));
    assert_eq!(c.arrive(&second, now), Arrival::Due);
    let third = send((C, &c), B);
    assert_eq!(b.arrive(&third, now), Arrival::Early);
    b.hold(third, held(7), now).expect("there is room");
    assert_eq!(a.own_settled(B), None, "it is open");
    a.ended(B, &[first.number]);
    let settled = a.own_settled(B).into_iter();
    assert!(b.told(life(A), settled, now).is_ready);
    assert_eq!(b.ready_lanes(), [7]);
}

#[test]
fn what_others_have_got_is_found_out_by_asking_them() {
    let (a, b, c) = (order(A), order(B), order(C));
    let now = Instant::now();
    let (first, second) = (send((A, &a), B), send((A, &a), C));
    assert_eq!(c.arrive(&second, now), Arrival::Due);
    let look = c
        .delivered(&second, now)
        .look
        .expect("it carries what A told");
    let asked = c.look(look).questions;
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].0, life(B).peer);
    let ask = |order: &CausalOrder| order.answer(asked[0].1.iter().copied());
    c.told(life(B), ask(&b).into_iter(), look);
    assert_eq!(send((C, &c), A).needs.len(), 1, "B has not got it");
    assert_eq!(b.arrive(&first, now), Arrival::Due);
    b.delivered(&first, now);
    c.told(life(B), ask(&b).into_iter(), look);
    c.acknowledged(A, &[1]);
    assert_eq!(send((C, &c), A).needs, [], "now it has");
}
