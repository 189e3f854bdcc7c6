//! What a gate promises whoever sends and whoever waits for room.

use event_listener::Listener;

use super::*;

fn new_gate(messages_max: u64, bytes_max: u64) -> Gate {
    Gate::new(GateLimits {
        messages_max,
        bytes_max,
        high_percent: 80,
        low_percent: 20,
    })
}

fn open_gate(messages_max: u64, bytes_max: u64) -> Gate {
    let gate = new_gate(messages_max, bytes_max);
    gate.open(OpenFor::Lane);
    gate
}

#[test]
fn a_gate_without_a_lane_lets_nothing_through() {
    let gate = new_gate(10, 1000);
    assert_eq!(gate.reserve(1), Err(Refusal::Down));
    gate.close();
    assert_eq!(gate.reserve(1), Err(Refusal::Closed));
    assert_eq!(gate.queued(), (0, 0));
}

#[test]
fn a_gate_is_open_for_its_lane_or_its_peer_until_it_is_closed() {
    let gate = new_gate(10, 1000);
    gate.open(OpenFor::Peer);
    gate.open(OpenFor::Lane);
    gate.shut(OpenFor::Lane);
    assert_eq!((gate.reserve(1), gate.has_lane()), (Ok(()), false));
    gate.open(OpenFor::Lane);
    gate.shut(OpenFor::Peer);
    assert_eq!((gate.reserve(1), gate.has_lane()), (Ok(()), true));
    gate.shut(OpenFor::Lane);
    assert_eq!(gate.reserve(1), Err(Refusal::Down));
    gate.close();
    gate.open(OpenFor::Peer);
    assert_eq!(gate.reserve(1), Err(Refusal::Closed));
}

#[test]
fn both_bounds_hold_and_a_refused_reservation_leaves_no_trace() {
    let gate = open_gate(3, 100);
    assert_eq!(gate.reserve(40), Ok(()));
    assert_eq!(gate.reserve(40), Ok(()));
    assert_eq!(gate.reserve(40), Err(Refusal::Full));
    assert_eq!(gate.reserve(20), Ok(()));
    assert_eq!(gate.reserve(0), Err(Refusal::Full));
    assert_eq!(gate.queued(), (3, 100));
    gate.release(3, 100);
    assert_eq!(gate.queued(), (0, 0));
}

#[test]
fn one_message_above_the_byte_bound_passes_when_it_is_alone() {
    let gate = open_gate(3, 100);
    assert_eq!(gate.reserve(5000), Ok(()));
    assert_eq!(gate.reserve(1), Err(Refusal::Full));
    gate.release(1, 5000);
    assert_eq!(gate.reserve(1), Ok(()));
}

#[test]
fn a_message_that_fits_is_never_refused_because_a_larger_one_is_being_tried() {
    let gate = open_gate(10, 100);
    assert_eq!(gate.reserve(20), Ok(()));
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                assert_eq!(gate.reserve(90), Err(Refusal::Full));
            }
        });
        let refused = (0..500_000)
            .filter(|_| {
                let reserved = gate.reserve(50);
                gate.release(u64::from(reserved.is_ok()), 50);
                reserved.is_err()
            })
            .count();
        ended.store(true, Ordering::Relaxed);
        assert_eq!(refused, 0, "reservations of 50 bytes with 80 bytes free");
    });
}

#[test]
fn whoever_was_refused_because_of_a_reservation_taken_back_is_woken() {
    let gate = open_gate(1, 100);
    gate.reserve(1).expect("an empty gate has room");
    let listener = gate.listen();
    assert_eq!(gate.reserve(1), Err(Refusal::Full));
    gate.take_back(1, 1);
    assert!(
        listener
            .wait_timeout(std::time::Duration::from_secs(30))
            .is_some()
    );
}

#[test]
fn a_queue_that_may_go_over_its_bounds_stops_at_twice_its_bytes() {
    let gate = open_gate(2, 100);
    for _ in 0..20 {
        assert_eq!(gate.reserve_over(10), Ok(()));
    }
    assert!(gate.is_over());
    assert_eq!(gate.reserve_over(1), Err(Refusal::Full));
    assert_eq!(gate.queued(), (20, 200));
}

#[test]
fn a_gate_is_overloaded_from_the_high_watermark_to_the_low_one() {
    for bytes in [10, 1] {
        // By bytes: 80 and 20 of 100; by messages: 8 and 2 of 10.
        let gate = open_gate(if bytes == 1 { 10 } else { 1000 }, 100);
        for _ in 0..7 {
            gate.reserve(bytes).expect("there is room");
            assert!(!gate.is_overloaded());
        }
        gate.reserve(bytes).expect("there is room");
        assert!(gate.is_overloaded());
        gate.release(5, 5 * bytes);
        assert!(gate.is_overloaded(), "three are left");
        let eased = gate.listen_for_ease();
        gate.release(1, bytes);
        assert!(!gate.is_overloaded(), "two are left");
        let long = std::time::Duration::from_secs(30);
        assert!(eased.wait_timeout(long).is_some());
        assert_eq!(gate.overloads(), 1);
    }
}

#[test]
fn a_reservation_taken_back_ends_the_overload_that_it_began() {
    let gate = open_gate(10, 100);
    gate.reserve(90).expect("there is room");
    assert!(gate.is_overloaded());
    gate.take_back(1, 90);
    assert!(!gate.is_overloaded());
}

#[test]
fn what_streams_reserve_stands_in_nobodys_way() {
    let gate = open_gate(10, 100);
    assert_eq!(gate.reserve_beside(5000), Ok(()));
    assert_eq!(gate.reserve(70), Ok(()));
    assert!(!gate.is_overloaded(), "by messages alone");
    assert_eq!(gate.reserve(20), Ok(()));
    assert!(gate.is_overloaded());
    gate.release(2, 90);
    assert!(!gate.is_overloaded());
    assert_eq!(gate.reserve(500), Ok(()), "it is alone but for a stream");
    assert_eq!(gate.reserve(60), Err(Refusal::Full));
    gate.release(1, 500);
    assert_eq!(gate.reserve(60), Ok(()));
    assert_eq!(gate.reserve(60), Err(Refusal::Full));
    assert_eq!(gate.queued(), (2, 5060));
    gate.release(1, 5000);
    gate.left_beside(5000);
    assert_eq!(gate.reserve(50), Err(Refusal::Full));
    assert_eq!(gate.reserve(40), Ok(()));
    gate.shut(OpenFor::Lane);
    assert_eq!(gate.reserve_beside(1), Err(Refusal::Down));
    gate.open(OpenFor::Lane);
    assert_eq!(gate.reserve(1), Err(Refusal::Full), "nothing was left over");
    assert_eq!(gate.queued(), (2, 100));
    gate.close();
    assert_eq!(
        (gate.reserve_beside(1), gate.reserve(0)),
        (Ok(()), Err(Refusal::Closed))
    );
}

#[test]
fn who_waits_is_woken_when_half_of_the_queue_has_left() {
    let gate = open_gate(4, 400);
    gate.reserve_many(4, 400).expect("an empty gate has room");
    let early = gate.listen();
    gate.release(1, 100);
    let now = std::time::Duration::ZERO;
    assert!(early.wait_timeout(now).is_none(), "three of four are left");
    let listener = gate.listen();
    gate.release(1, 100);
    assert!(listener.wait_timeout(now).is_some());
    // Above its bound, a single message has to leave first.
    gate.release(2, 200);
    gate.reserve(5000).expect("it is alone");
    let listener = gate.listen();
    gate.release(1, 5000);
    assert!(listener.wait_timeout(now).is_some());
}

#[test]
fn who_waits_is_woken_though_others_fill_what_becomes_empty() {
    let gate = open_gate(4, 400);
    gate.reserve_many(4, 400).expect("an empty gate has room");
    let listener = gate.listen();
    for _ in 0..2 {
        gate.release(1, 100);
        gate.reserve(100).expect("one has left");
    }
    let now = std::time::Duration::ZERO;
    assert!(listener.wait_timeout(now).is_some(), "half of it has left");
    let early = gate.listen();
    gate.release(1, 100);
    assert!(early.wait_timeout(now).is_none(), "counted from there on");
}

#[test]
fn whoever_listened_before_the_release_is_woken() {
    let gate = open_gate(1, 100);
    gate.reserve(1).expect("an empty gate has room");
    let listener = gate.listen();
    gate.release(1, 1);
    assert!(
        listener
            .wait_timeout(std::time::Duration::from_secs(30))
            .is_some()
    );
}
