//! Lanes that are made when something waits for them, and come to rest when idle.

use super::*;

/// A lane on demand to a peer whose address is known.
fn unused() -> Lane {
    let mut lane = Lane::new();
    let at = lane.at();
    assert_eq!(lane.state.follow(wanted(), false, at), []);
    lane
}

fn used() -> Lane {
    let mut lane = unused();
    let at = lane.at();
    assert_eq!(lane.state.demand(at), [set_dial(lane.now)]);
    assert_eq!(lane.state.dial_due(lane.now), Due::Dial(address()));
    lane.state.dialing(1);
    assert_eq!(lane.come_up(1), [Action::Open]);
    lane
}

fn settled_at_rest(connection: u32) -> Action {
    Action::Settle {
        connection: Some(connection),
        reason: CloseReason::Idle,
        at_rest: true,
    }
}

#[test]
fn a_lane_is_dialled_by_its_first_message_and_not_again_when_it_ends() {
    let mut lane = used();
    let at = lane.at();
    let ended = lane.state.ended(CloseReason::Reset, at);
    assert_eq!(ended, [settle(1, CloseReason::Reset)]);
    // The next message waits for the back-off of a lane that broke.
    assert_eq!(lane.state.demand(at), [set_dial(lane.now + HALF_OF_BASE)]);
    assert_eq!(lane.state.demand(at), [], "it is on its way");
}

#[test]
fn what_waits_ends_when_neither_side_can_dial_and_the_next_message_waits_for_the_back_off() {
    let mut lane = unused();
    let at = lane.at();
    lane.state.demand(at);
    lane.state.dial_due(lane.now);
    lane.state.dialing(1);
    let (retry_in, actions) = lane
        .state
        .dial_failed(Some(1), REFUSED, at)
        .expect("it counts");
    assert_eq!(retry_in, HALF_OF_BASE);
    // It may be connected from elsewhere.
    let give_up = lane.now + PATIENCE;
    assert_eq!(actions, [Action::Summon, set_dial(give_up)]);
    let declined = lane.state.declined(CloseReason::Unreachable, lane.now);
    let cancelled = Action::CancelDial { at: give_up };
    assert_eq!(declined, [cancelled, Action::Fail { reason: REFUSED }]);
    assert!(!lane.state.is_demanded());
    assert_eq!(lane.state.demand(at), [set_dial(lane.now + retry_in)]);
}

#[test]
fn what_waits_waits_on_for_a_lane_that_the_peer_is_making() {
    for reason in [CloseReason::SimultaneousDial, CloseReason::AlreadyUp] {
        let mut lane = unused();
        let at = lane.at();
        lane.state.demand(at);
        lane.state.dial_due(lane.now);
        lane.state.dialing(1);
        let failed = lane.state.dial_failed(Some(1), reason, at);
        let redial = set_dial(lane.now + HALF_OF_BASE);
        assert_eq!(failed, Some((HALF_OF_BASE, vec![redial])));
        lane.pass(PATIENCE);
        lane.state.dial_due(lane.now);
        lane.state.dialing(2);
        let at = lane.at();
        let (_, actions) = lane
            .state
            .dial_failed(Some(2), reason, at)
            .expect("it counts");
        let give_up = set_dial(lane.now + PATIENCE);
        assert_eq!(actions, [Action::Summon, give_up], "it has waited enough");
        assert_eq!(lane.state.dial_due(lane.now), Due::GiveUp);
    }
}

#[test]
fn a_peer_without_an_address_is_asked_for_the_lane_and_given_up_in_time() {
    let mut lane = Lane::new();
    let at = lane.at();
    let asked = lane.state.demand(at);
    assert_eq!(asked, [Action::Summon, set_dial(lane.now + PATIENCE)]);
    lane.pass(PATIENCE);
    assert_eq!(lane.state.dial_due(lane.now), Due::GiveUp);
    let reason = CloseReason::ConnectTimeout;
    assert_eq!(lane.state.given_up(reason), [Action::Fail { reason }]);

    let at = lane.at();
    lane.state.demand(at);
    let reason = CloseReason::ChannelUnknown;
    let cancelled = Action::CancelDial {
        at: lane.now + PATIENCE,
    };
    let declined = lane.state.declined(reason, lane.now);
    assert_eq!(declined, [cancelled, Action::Fail { reason }]);
}

#[test]
fn a_lane_that_the_peer_asks_for_is_dialled_if_this_node_can() {
    let mut lane = unused();
    let at = lane.at();
    assert_eq!(lane.state.summoned(at), Ok(vec![set_dial(lane.now)]));
    // If it cannot, it does not ask in turn.
    lane.state.dial_due(lane.now);
    lane.state.dialing(1);
    let failed = lane.state.dial_failed(Some(1), REFUSED, at);
    assert_eq!(
        failed.map(|(_, actions)| actions),
        Some(vec![Action::Fail { reason: REFUSED }])
    );
    assert!(lane.state.take_summoned() && !lane.state.take_summoned());
    let mut lane = Lane::new();
    let no = Err(CloseReason::Unreachable);
    assert_eq!(lane.state.summoned(at), no);
    let mut stopping = unused();
    stopping.state.drain(true);
    let no = Err(CloseReason::LocalStop);
    assert_eq!(stopping.state.summoned(at), no);
}

#[test]
fn the_side_that_agreed_holds_its_messages_and_reopens_for_them() {
    let mut lane = used();
    assert!(lane.state.may_rest());
    lane.state.agree_to_rest();
    assert!(!lane.state.takes_messages() && lane.state.holds_messages());
    let at = lane.at();
    assert_eq!(lane.state.demand(at), [], "the end of the connection comes");
    let heard = lane.state.bye_heard(CloseReason::Idle);
    assert_eq!(heard, [Action::Flush], "the gate stays open");
    assert_eq!(lane.state.say_bye(true), Some(CloseReason::Idle));
    let reason = lane.state.parted().expect("both have said it");
    let ended = lane.state.ended(reason, at);
    assert_eq!(ended, [settled_at_rest(1), set_dial(lane.now)]);
}

#[test]
fn the_side_that_says_bye_for_idleness_holds_its_messages_too() {
    let mut lane = used();
    assert_eq!(lane.state.rest(), [Action::Flush]);
    assert!(!lane.state.takes_messages() && lane.state.holds_messages());
    assert_eq!(lane.state.say_bye(true), Some(CloseReason::Idle));
    lane.state.bye_heard(CloseReason::Idle);
    let at = lane.at();
    let ended = lane.state.ended(CloseReason::Idle, at);
    assert_eq!(ended, [settled_at_rest(1)], "nothing waits");
}

#[test]
fn a_message_that_crosses_the_agreement_wakes_the_lane() {
    let mut lane = used();
    lane.state.agree_to_rest();
    let at = lane.at();
    lane.state.demand(at);
    lane.state.wake();
    assert!(lane.state.takes_messages() && !lane.state.is_demanded());
    assert!(lane.state.may_rest());
}

#[test]
fn a_peer_that_has_said_bye_and_dials_anew_is_let_in() {
    let mut lane = used();
    lane.state.agree_to_rest();
    lane.state.bye_heard(CloseReason::Idle);
    let at = lane.at();
    let room = lane.state.peer_dials("c", remote(1), at);
    assert_eq!(room, Ok(vec![settled_at_rest(1)]));
}

#[test]
fn a_kept_lane_never_rests() {
    assert!(!Lane::up(1).state.may_rest());
}

#[test]
fn a_node_that_stops_makes_the_lanes_that_messages_wait_for() {
    let mut lane = unused();
    let at = lane.at();
    lane.state.demand(at);
    assert_eq!(lane.state.drain(false), []);
    assert_eq!(lane.state.dial_due(lane.now), Due::Dial(address()));
    lane.state.dialing(1);
    let failed = Action::Fail {
        reason: CloseReason::DrainTimeout,
    };
    let late = lane.state.drain_deadline(false, at);
    assert_eq!(late, [failed, Action::Close { connection: 1 }]);
    assert!(!lane.state.holds_messages());
}

#[test]
fn what_waits_for_a_peer_that_is_not_wanted_any_more_ends() {
    let mut lane = unused();
    let at = lane.at();
    lane.state.demand(at);
    let followed = lane.state.follow(banned(), false, at);
    let cancelled = Action::CancelDial { at: lane.now };
    let failed = Action::Fail {
        reason: CloseReason::Disconnected,
    };
    assert_eq!(followed, [cancelled, failed]);
}

/// A lane on demand to a peer that is reached at those addresses.
fn reached_at(given: &[SocketAddr], is_control: bool) -> Lane {
    let mut lane = Lane::new();
    if is_control {
        lane.state.be_control();
    }
    let at = lane.at();
    assert_eq!(lane.state.follow(reaching(given, 1), false, at), []);
    lane
}

fn reaching(given: &[SocketAddr], dial: u64) -> Wish {
    Wish {
        addresses: addresses(given),
        reach: true,
        dial,
        ..Wish::none()
    }
}

/// The lane dials that address now.
fn dials(lane: &mut Lane, there: SocketAddr, connection: u32) {
    assert_eq!(lane.state.dial_due(lane.now), Due::Dial(there));
    lane.state.dialing(connection);
}

fn fails(lane: &mut Lane, connection: u32) -> (Duration, Vec<Action>) {
    let at = lane.at();
    let failed = lane.state.dial_failed(Some(connection), REFUSED, at);
    failed.expect("it counts")
}

#[test]
fn a_lane_to_a_peer_that_is_reached_is_dialled_once_the_peer_is_connected() {
    let mut lane = reached_at(&[address()], false);
    let at = lane.at();
    let give_up = lane.now + PATIENCE * 2;
    assert_eq!(lane.state.demand(at), [Action::Reach, set_dial(give_up)]);
    let cancelled = Action::CancelDial { at: give_up };
    assert_eq!(
        lane.state.connected(lane.now),
        [cancelled.clone(), set_dial(lane.now)]
    );
    dials(&mut lane, address(), 1);
    // As with any peer that is connected, it is asked if it does not answer.
    let (_, actions) = fails(&mut lane, 1);
    assert_eq!(actions[0], Action::Summon);
    let declined = lane.state.declined(CloseReason::Unreachable, lane.now);
    assert_eq!(declined[1], Action::Fail { reason: REFUSED });
    // The next one has the peer connected first again.
    let at = lane.at();
    assert_eq!(lane.state.demand(at), [Action::Reach, set_dial(give_up)]);
    let declined = lane.state.declined(REFUSED, lane.now);
    assert_eq!(declined, [cancelled, Action::Fail { reason: REFUSED }]);
}

#[test]
fn all_addresses_are_tried_before_what_waits_ends() {
    let given = [address(), other_address()];
    let mut control = reached_at(&given, true);
    let at = control.at();
    assert_eq!(control.state.demand(at), [set_dial(control.now)]);
    dials(&mut control, given[0], 1);
    let next = (Duration::ZERO, vec![set_dial(control.now)]);
    assert_eq!(fails(&mut control, 1), next);
    dials(&mut control, given[1], 2);
    let failed = Action::Fail { reason: REFUSED };
    let opens = set_dial(control.now + HALF_OF_BASE);
    assert_eq!(fails(&mut control, 2), (HALF_OF_BASE, vec![failed, opens]));
    assert!(!control.state.is_reachable(), "nothing is accepted");
    control.pass(HALF_OF_BASE);
    control.state.end_bar();
    assert_eq!(control.state.dial_due(control.now), Due::Nothing);
    assert!(control.state.is_reachable());
    // Where a lane came up is dialled first, and the other one after it.
    let at = control.at();
    control.state.demand(at);
    control.state.prefer(given[1]);
    dials(&mut control, given[1], 3);
    assert_eq!(fails(&mut control, 3).0, Duration::ZERO);
    control.state.prefer(given[1]);
    dials(&mut control, given[0], 4);
    assert_eq!(control.come_up(4), [Action::Open]);
}

#[test]
fn a_peer_that_moved_is_dialled_at_its_new_address_at_once() {
    let mut control = reached_at(&[address()], true);
    let at = control.at();
    control.state.demand(at);
    dials(&mut control, address(), 1);
    let moved = reaching(&[other_address()], 2);
    let abandoned = Action::Close { connection: 1 };
    let again = set_dial(control.now);
    let cancelled = Action::CancelDial { at: control.now };
    assert_eq!(
        control.state.follow(moved.clone(), false, at),
        [abandoned, again.clone(), cancelled, again.clone()]
    );
    dials(&mut control, other_address(), 2);
    fails(&mut control, 2);
    assert!(!control.state.is_reachable());
    // Said again, it is there now.
    let moved = Wish { dial: 3, ..moved };
    let opens = control.now + HALF_OF_BASE;
    let at = control.at();
    assert_eq!(
        control.state.follow(moved, false, at),
        [Action::CancelDial { at: opens }]
    );
    assert!(control.state.is_reachable());
    assert_eq!(control.state.demand(at), [again]);
}

#[test]
fn lanes_that_are_up_stay_when_a_peer_is_kept_no_more() {
    let mut control = Lane::up(1);
    control.state.be_control();
    let at = control.at();
    let reached = reaching(&[other_address()], 2);
    assert_eq!(control.state.follow(reached, false, at), []);
    assert!(control.state.takes_messages() && control.state.may_rest());
    assert_eq!(control.state.follow(Wish::none(), false, at), []);
    assert!(control.state.takes_messages() && control.state.may_rest());
    assert_eq!(control.state.follow(wanted(), true, at), []);
    assert!(!control.state.may_rest());
}

#[test]
fn what_waits_for_a_peer_that_is_released_is_asked_of_it() {
    let mut lane = reached_at(&[address()], false);
    let at = lane.at();
    lane.state.demand(at);
    let give_up = lane.now + PATIENCE * 2;
    // Its control lane is made still.
    assert_eq!(lane.state.follow(Wish::none(), false, at), []);
    let asked = [
        Action::CancelDial { at: give_up },
        Action::Summon,
        set_dial(lane.now + PATIENCE),
    ];
    assert_eq!(lane.state.connected(lane.now), asked);

    let mut control = reached_at(&[address()], true);
    let at = control.at();
    control.state.demand(at);
    let reason = CloseReason::Unreachable;
    assert_eq!(
        control.state.follow(Wish::none(), false, at),
        [
            Action::Fail { reason },
            Action::CancelDial { at: control.now }
        ]
    );
}
