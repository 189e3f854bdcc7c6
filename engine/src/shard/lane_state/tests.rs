//! What a lane's state decides, event by event.

mod demand;
mod model;

use super::*;
use crate::control::wishes::Addresses;

const LIMITS: BackoffLimits = BackoffLimits {
    base: Duration::from_secs(1),
    max: Duration::from_secs(8),
};

/// What waits for a lane that the peer makes waits so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Half of a back-off's ceiling.
const HALF: u64 = 1 << 63;

/// Why a dial fails.
const REFUSED: CloseReason = CloseReason::ConnectRefused;

const HALF_OF_BASE: Duration = Duration::from_millis(500);

fn address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 7400))
}

fn other_address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 7401))
}

fn wanted() -> Wish {
    Wish {
        addresses: addresses(&[address()]),
        keep: true,
        dial: 1,
        ..Wish::none()
    }
}

fn addresses(given: &[SocketAddr]) -> Addresses {
    Addresses::new("b", given).expect("addresses")
}

fn banned() -> Wish {
    Wish {
        refused: true,
        ending: 1,
        ..Wish::none()
    }
}

fn remote(incarnation: u64) -> RemoteNode<'static> {
    RemoteNode {
        name: "b",
        incarnation,
        live_incarnation: None,
    }
}

/// A lane and its clock.
struct Lane {
    state: LaneState,
    now: Instant,
}

impl Lane {
    fn new() -> Self {
        Self {
            state: LaneState::new(LIMITS, PATIENCE, false),
            now: Instant::now(),
        }
    }

    fn dialing(connection: u32) -> Self {
        let mut lane = Self::new();
        lane.state.follow(wanted(), true, lane.at());
        assert_eq!(lane.state.dial_due(lane.now), Due::Dial(address()));
        lane.state.dialing(connection);
        lane
    }

    fn up(connection: u32) -> Self {
        let mut lane = Self::dialing(connection);
        assert_eq!(lane.come_up(connection), [Action::Open]);
        lane
    }

    fn come_up(&mut self, connection: u32) -> Vec<Action> {
        self.state.up(Carrier {
            connection,
            dialed: true,
            incarnation: 1,
            since: self.now,
        })
    }

    fn at(&self) -> Moment {
        Moment {
            now: self.now,
            random: HALF,
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }
}

fn set_dial(at: Instant) -> Action {
    Action::SetDial { at }
}

fn settle(connection: u32, reason: CloseReason) -> Action {
    Action::Settle {
        connection: Some(connection),
        reason,
        at_rest: false,
    }
}

#[test]
fn a_wanted_peer_is_dialled_at_once_and_messages_are_taken_once_it_is_up() {
    let mut lane = Lane::new();
    let at = lane.at();
    assert_eq!(lane.state.follow(wanted(), true, at), [set_dial(lane.now)]);
    assert_eq!(lane.state.dial_due(lane.now), Due::Dial(address()));
    lane.state.dialing(7);
    assert!(!lane.state.takes_messages());
    assert_eq!(lane.come_up(7), [Action::Open]);
    assert!(lane.state.takes_messages());
    assert_eq!(lane.state.connection(), Some(7));
    assert_eq!(lane.state.dial_due(lane.now), Due::Nothing, "it is up");
}

#[test]
fn a_peer_without_an_address_is_not_dialled() {
    let mut lane = Lane::new();
    let wish = Wish {
        dial: 1,
        ..Wish::none()
    };
    let at = lane.at();
    assert_eq!(lane.state.follow(wish, true, at), []);
    assert_eq!(lane.state.dial_due(lane.now), Due::Nothing);
}

#[test]
fn a_failed_dial_is_tried_again_after_a_back_off_that_grows() {
    let mut lane = Lane::dialing(1);
    let at = lane.at();
    let failed = lane.state.dial_failed(Some(1), REFUSED, at);
    assert_eq!(
        failed,
        Some((HALF_OF_BASE, vec![set_dial(lane.now + HALF_OF_BASE)]))
    );
    lane.pass(HALF_OF_BASE);
    assert_eq!(lane.state.dial_due(lane.now), Due::Dial(address()));
    let at = lane.at();
    let Some((retry_in, _)) = lane.state.dial_failed(None, REFUSED, at) else {
        panic!("it failed before there was a connection, and counts");
    };
    assert_eq!(retry_in, HALF_OF_BASE * 2);
}

#[test]
fn the_failure_of_a_dial_that_was_given_up_does_not_count() {
    let mut lane = Lane::dialing(1);
    let at = lane.at();
    let room = lane.state.peer_dials("c", remote(1), at);
    assert_eq!(room, Ok(vec![Action::Close { connection: 1 }]));
    assert_eq!(lane.state.dial_failed(Some(1), REFUSED, at), None);
}

#[test]
fn a_new_address_takes_the_deadline_to_dial_back() {
    let mut lane = Lane::dialing(1);
    let at = lane.at();
    lane.state.dial_failed(Some(1), REFUSED, at);
    let waits_until = lane.now + HALF_OF_BASE;
    let wish = Wish {
        dial: 2,
        ending: 1,
        reason: CloseReason::Moved,
        ..wanted()
    };
    let actions = lane.state.follow(wish, true, at);
    assert_eq!(
        actions,
        [Action::CancelDial { at: waits_until }, set_dial(lane.now),]
    );
}

#[test]
fn of_two_dials_the_one_by_the_smaller_name_is_kept() {
    let mut lane = Lane::dialing(1);
    let at = lane.at();
    assert_eq!(
        lane.state.peer_dials("a", remote(1), at),
        Err(CloseReason::SimultaneousDial)
    );
    assert_eq!(lane.state.stage(), Stage::Dialing { connection: 1 });
    assert_eq!(
        lane.state.peer_dials("c", remote(1), at),
        Ok(vec![Action::Close { connection: 1 }])
    );
    assert_eq!(lane.state.stage(), Stage::Idle);
}

#[test]
fn another_process_of_the_peer_is_refused_while_the_lane_is_up() {
    let mut lane = Lane::up(3);
    let at = lane.at();
    let refused = Err(CloseReason::NameTaken);
    assert_eq!(lane.state.peer_dials("a", remote(2), at), refused);
    let refused = Err(CloseReason::StaleIncarnation);
    assert_eq!(lane.state.peer_dials("a", remote(0), at), refused);
    assert_eq!(lane.state.connection(), Some(3));
}

#[test]
fn a_connection_that_is_lost_before_the_lane_is_up_is_replaced_by_a_dial() {
    let mut lane = Lane::dialing(1);
    let at = lane.at();
    assert!(lane.state.peer_dials("c", remote(1), at).is_ok());
    assert_eq!(
        lane.state.peer_lost(at),
        [set_dial(lane.now + HALF_OF_BASE)]
    );
}

#[test]
fn an_ended_lane_is_settled_once_and_dialled_again() {
    let mut lane = Lane::up(1);
    let at = lane.at();
    assert_eq!(
        lane.state.ended(CloseReason::Reset, at),
        [
            settle(1, CloseReason::Reset),
            set_dial(lane.now + HALF_OF_BASE),
        ]
    );
    assert_eq!(lane.state.ended(CloseReason::Reset, at), []);
}

#[test]
fn a_connection_that_lived_long_clears_the_failures() {
    let mut lane = Lane::dialing(1);
    for _ in 0..3 {
        let at = lane.at();
        lane.state.dial_failed(Some(1), REFUSED, at);
        lane.state.dial_due(lane.now);
        lane.state.dialing(1);
    }
    lane.come_up(1);
    lane.pass(LIMITS.max);
    let at = lane.at();
    let actions = lane.state.ended(CloseReason::PeerClosed, at);
    assert_eq!(actions[1], set_dial(lane.now + HALF_OF_BASE));
}

#[test]
fn a_banned_peer_is_neither_dialled_nor_accepted() {
    let mut lane = Lane::up(1);
    let at = lane.at();
    assert_eq!(
        lane.state.follow(banned(), true, at),
        [settle(1, CloseReason::Disconnected)]
    );
    assert_eq!(lane.state.dial_due(lane.now), Due::Nothing);
    assert_eq!(
        lane.state.peer_dials("c", remote(1), at),
        Err(CloseReason::Disconnected)
    );
}

#[test]
fn a_bye_is_said_once_when_everything_is_settled_and_the_lane_ends_when_both_have_said_it() {
    let mut lane = Lane::up(1);
    assert_eq!(lane.state.drain(false), [Action::Flush]);
    assert!(lane.state.wants_bye());
    assert_eq!(lane.state.say_bye(false), None, "something is unsettled");
    assert!(
        lane.state.takes_messages(),
        "what is in the rings still goes"
    );
    assert_eq!(lane.state.say_bye(true), Some(CloseReason::LocalStop));
    assert_eq!(lane.state.say_bye(true), None, "said already");
    assert!(!lane.state.takes_messages());
    assert_eq!(lane.state.parted(), None);
    assert_eq!(
        lane.state.bye_heard(CloseReason::PeerStopped),
        [Action::Flush]
    );
    assert_eq!(lane.state.parted(), Some(CloseReason::LocalStop));
}

#[test]
fn the_bye_of_the_peer_shuts_the_lane_and_is_answered() {
    let mut lane = Lane::up(1);
    assert_eq!(
        lane.state.bye_heard(CloseReason::PeerStopped),
        [Action::Shut, Action::Flush]
    );
    assert!(!lane.state.takes_messages());
    assert_eq!(
        lane.state.reason_of_end(CloseReason::PeerClosed),
        CloseReason::PeerStopped
    );
    assert_eq!(lane.state.say_bye(true), Some(CloseReason::PeerStopped));
    assert_eq!(lane.state.parted(), Some(CloseReason::PeerStopped));
}

#[test]
fn a_new_connection_begins_without_a_farewell() {
    let mut lane = Lane::up(1);
    lane.state.bye_heard(CloseReason::PeerStopped);
    let at = lane.at();
    lane.state.ended(CloseReason::PeerStopped, at);
    lane.come_up(2);
    assert!(lane.state.takes_messages());
    assert!(!lane.state.wants_bye());
}

#[test]
fn a_stopping_node_calls_its_dials_off_and_turns_peers_away() {
    let mut lane = Lane::dialing(1);
    assert_eq!(lane.state.drain(true), [Action::Close { connection: 1 }]);
    let at = lane.at();
    assert_eq!(
        lane.state.peer_dials("c", remote(1), at),
        Err(CloseReason::LocalStop)
    );
    let mut waiting = Lane::new();
    waiting.state.follow(wanted(), true, at);
    assert_eq!(
        waiting.state.drain(true),
        [Action::CancelDial { at: at.now }]
    );
    assert_eq!(waiting.state.dial_due(lane.now), Due::Nothing);
}

#[test]
fn the_deadline_to_stop_ends_what_is_up_and_says_whether_all_was_settled() {
    for (settled, reason) in [
        (true, CloseReason::LocalStop),
        (false, CloseReason::DrainTimeout),
    ] {
        let mut lane = Lane::up(1);
        lane.state.drain(settled);
        let at = lane.at();
        assert_eq!(
            lane.state.drain_deadline(settled, at),
            [settle(1, reason)],
            "and it is not dialled again"
        );
    }
}

#[test]
fn a_lane_whose_channel_was_removed_parts_from_its_peer_for_that_reason() {
    let mut lane = Lane::up(1);
    lane.state.begin_leave();
    assert!(lane.state.takes_messages(), "what was accepted is sent");
    assert_eq!(lane.state.drain(false), [Action::Flush]);
    assert_eq!(lane.state.say_bye(false), None, "not before it is settled");
    assert_eq!(lane.state.say_bye(true), Some(CloseReason::ChannelRemoved));
    let at = lane.at();
    lane.state.ended(CloseReason::ChannelRemoved, at);
    let refused = Err(CloseReason::ChannelRemoved);
    assert_eq!(lane.state.peer_dials("a", remote(7), at), refused);
    assert_eq!(lane.state.summoned(at), refused);

    let mut late = Lane::up(1);
    late.state.begin_leave();
    late.state.drain(false);
    let at = late.at();
    let end = settle(1, CloseReason::DrainTimeout);
    assert_eq!(late.state.drain_deadline(false, at), [end]);
}

#[test]
fn the_lane_to_the_node_itself_is_up_at_once_and_ends_when_it_is_empty() {
    let settled = Action::Settle {
        connection: None,
        reason: CloseReason::LocalStop,
        at_rest: false,
    };
    let mut lane = Lane::new();
    assert_eq!(lane.state.loop_up(), [Action::Open]);
    assert!(lane.state.takes_messages());
    assert_eq!(lane.state.connection(), None);
    assert_eq!(lane.state.drain(false), []);
    assert_eq!(lane.state.drain(true), std::slice::from_ref(&settled));
    let mut late = Lane::new();
    late.state.loop_up();
    let at = late.at();
    assert_eq!(late.state.drain_deadline(false, at), [settled]);
}

#[test]
fn a_peer_of_an_older_version_is_dialled_again_at_once_and_offered_everything_the_next_time() {
    let mut lane = Lane::dialing(1);
    assert_eq!(lane.state.offers(), VersionRange::OURS);
    let close = Action::Close { connection: 1 };
    let again = lane.state.dial_again_in(1, 1, lane.now);
    assert_eq!(again, [close, set_dial(lane.now)]);
    assert_eq!(lane.state.dial_due(lane.now), Due::Dial(address()));
    assert_eq!(lane.state.offers(), VersionRange::only(1));
    lane.state.dialing(2);
    assert_eq!(lane.come_up(2), [Action::Open]);
    assert_eq!(
        lane.state.offers(),
        VersionRange::OURS,
        "it may be upgraded"
    );

    let mut lane = Lane::dialing(1);
    lane.state.dial_again_in(1, 1, lane.now);
    lane.state.dialing(2);
    let at = lane.at();
    assert!(lane.state.dial_failed(Some(2), REFUSED, at).is_some());
    assert_eq!(lane.state.offers(), VersionRange::OURS);

    // The connection that was refused is not the one that counts.
    let mut lane = Lane::dialing(2);
    let close = Action::Close { connection: 1 };
    assert_eq!(lane.state.dial_again_in(1, 1, lane.now), [close]);
    assert_eq!(lane.state.offers(), VersionRange::OURS);
}
