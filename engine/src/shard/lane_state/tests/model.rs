//! That no order of events breaks the rules of a lane's state.

use proptest::prelude::*;

use super::*;

/// Something that can happen to a lane at any moment.
#[derive(Clone, Debug)]
enum Happening {
    Wanted { kept: bool, reach: bool },
    Released,
    Connected,
    Banned,
    Demanded,
    Summoned,
    Declined,
    Proposed,
    Agreed,
    MessageComes,
    DialDue,
    DialFails { is_made_there: bool },
    ComesUp,
    PeerDials { incarnation: u64, is_lost: bool },
    Ends,
    HearsBye,
    Flushes,
    ChannelLeaves,
    Drains,
    DrainsLate,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        any::<(bool, bool)>().prop_map(|(kept, reach)| Happening::Wanted { kept, reach }),
        Just(Happening::Released),
        Just(Happening::Connected),
        Just(Happening::Banned),
        Just(Happening::Demanded),
        Just(Happening::Summoned),
        Just(Happening::Declined),
        Just(Happening::Proposed),
        Just(Happening::Agreed),
        Just(Happening::MessageComes),
        Just(Happening::DialDue),
        any::<bool>().prop_map(|is_made_there| Happening::DialFails { is_made_there }),
        Just(Happening::ComesUp),
        (1_u64..4, any::<bool>()).prop_map(|(incarnation, is_lost)| Happening::PeerDials {
            incarnation,
            is_lost
        }),
        Just(Happening::Ends),
        Just(Happening::HearsBye),
        Just(Happening::Flushes),
        Just(Happening::ChannelLeaves),
        Just(Happening::Drains),
        Just(Happening::DrainsLate),
    ]
}

/// What the actions of a lane come to: what its owner would hold.
#[derive(Default)]
struct Owner {
    wish: Option<Wish>,
    kept: bool,
    /// Messages that are held: told of as soon as the lane has a connection, or none.
    is_waiting: bool,
    failed: u32,
    /// Connections open for this lane.
    open: Vec<u32>,
    made: u32,
    opened: u32,
    settled: u32,
    dial_at: Option<Instant>,
}

impl Owner {
    fn connect(&mut self) -> u32 {
        self.made += 1;
        self.open.push(self.made);
        self.made
    }

    fn close(&mut self, connection: u32) {
        let before = self.open.len();
        self.open.retain(|open| *open != connection);
        assert_eq!(self.open.len() + 1, before, "{connection} closed twice");
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::SetDial { at } => {
                    assert_eq!(self.dial_at.replace(at), None, "two deadlines to dial");
                }
                Action::CancelDial { at } => {
                    assert_eq!(self.dial_at.take(), Some(at), "no such deadline");
                }
                Action::Close { connection } => self.close(connection),
                Action::Open => {
                    self.opened += 1;
                    self.is_waiting = false;
                }
                Action::Fail { .. } => {
                    self.failed += 1;
                    self.is_waiting = false;
                }
                Action::Summon | Action::Reach => {
                    assert!(self.open.is_empty(), "there is a connection");
                }
                Action::Settle { connection, .. } => {
                    self.settled += 1;
                    self.close(connection.expect("not the lane to the node itself"));
                }
                Action::Shut | Action::Flush => {}
            }
        }
    }
}

fn happen(lane: &mut Lane, owner: &mut Owner, happening: &Happening) {
    let at = lane.at();
    let actions = match happening {
        Happening::Wanted { .. } | Happening::Banned => {
            if let Happening::Wanted { kept, .. } = happening {
                owner.kept = *kept;
            }
            let mut wish = owner.wish.take().unwrap_or_else(Wish::none);
            wish.refused = matches!(happening, Happening::Banned);
            wish.addresses = match happening {
                Happening::Wanted { .. } => addresses(&[address(), other_address()]),
                _ => Addresses::default(),
            };
            wish.reach = matches!(happening, Happening::Wanted { reach: true, .. });
            wish.ending += u64::from(wish.refused);
            wish.dial += u64::from(!wish.refused);
            owner.wish = Some(wish.clone());
            lane.state.follow(wish, owner.kept, at)
        }
        Happening::Released => {
            owner.kept = false;
            let mut wish = owner.wish.take().unwrap_or_else(Wish::none);
            wish.release();
            owner.wish = Some(wish.clone());
            lane.state.follow(wish, false, at)
        }
        Happening::Connected => lane.state.connected(lane.now),
        Happening::Demanded if lane.state.holds_messages() => {
            owner.is_waiting = true;
            lane.state.demand(at)
        }
        Happening::Summoned => match lane.state.summoned(at) {
            Ok(actions) => actions,
            Err(_) => return,
        },
        Happening::Declined => lane.state.declined(REFUSED, lane.now),
        Happening::Proposed if lane.state.may_rest() => {
            lane.state.agree_to_rest();
            return;
        }
        Happening::Agreed if lane.state.is_resting_possible() => lane.state.rest(),
        Happening::MessageComes if lane.state.rests() && !lane.state.wants_bye() => {
            lane.state.wake();
            // What was held goes on the connection.
            owner.is_waiting = false;
            return;
        }
        Happening::Demanded | Happening::Proposed | Happening::Agreed | Happening::MessageComes => {
            return;
        }
        Happening::DialDue => {
            if owner.dial_at.take().is_none() {
                return;
            }
            match lane.state.dial_due(lane.now) {
                Due::Dial(_) => {
                    let connection = owner.connect();
                    lane.state.dialing(connection);
                    return;
                }
                Due::Ask => lane.state.ask_again(lane.now),
                Due::GiveUp => lane.state.given_up(REFUSED),
                Due::Nothing => return,
            }
        }
        Happening::DialFails { is_made_there } => {
            let Stage::Dialing { connection } = lane.state.stage() else {
                return;
            };
            owner.close(connection);
            let reason = if *is_made_there {
                CloseReason::SimultaneousDial
            } else {
                REFUSED
            };
            let failed = lane.state.dial_failed(Some(connection), reason, at);
            failed.expect("the dial that counts").1
        }
        Happening::ComesUp => {
            let Stage::Dialing { connection } = lane.state.stage() else {
                return;
            };
            lane.come_up(connection)
        }
        Happening::PeerDials {
            incarnation,
            is_lost,
        } => {
            let Ok(room) = lane.state.peer_dials("c", remote(*incarnation), at) else {
                return;
            };
            owner.carry_out(room);
            assert_eq!(lane.state.stage(), Stage::Idle, "there is room");
            if *is_lost {
                lane.state.peer_lost(at)
            } else {
                lane.state.up(Carrier {
                    connection: owner.connect(),
                    dialed: false,
                    incarnation: *incarnation,
                    since: lane.now,
                })
            }
        }
        Happening::Ends => lane.state.ended(CloseReason::Reset, at),
        Happening::HearsBye if lane.state.is_up() => lane.state.bye_heard(CloseReason::PeerStopped),
        Happening::HearsBye => return,
        Happening::Flushes => {
            lane.state.say_bye(true);
            match lane.state.parted() {
                Some(reason) if lane.state.is_up() => lane.state.ended(reason, at),
                _ => return,
            }
        }
        Happening::ChannelLeaves => {
            lane.state.begin_leave();
            return;
        }
        Happening::Drains => lane.state.drain(true),
        Happening::DrainsLate => lane.state.drain_deadline(true, at),
    };
    owner.carry_out(actions);
}

proptest! {
    /// At most one connection is open for a lane, what was opened is settled exactly once, and there
    /// is at most one deadline to dial. Whatever waits for the lane has a dial, a deadline or an end before
    /// it: it never waits for ever.
    #[test]
    fn whatever_happens_a_lane_has_one_connection_and_is_settled_once(
        is_control in any::<bool>(),
        script in prop::collection::vec(happening(), 1..60),
    ) {
        let mut lane = Lane::new();
        if is_control {
            lane.state.be_control();
        }
        let mut owner = Owner::default();
        for happening in &script {
            lane.pass(Duration::from_millis(100));
            happen(&mut lane, &mut owner, happening);
            let has_connection = lane.state.stage() != Stage::Idle;
            prop_assert_eq!(owner.open.len(), usize::from(has_connection));
            prop_assert_eq!(owner.opened, owner.settled + u32::from(lane.state.is_up()));
            if owner.is_waiting {
                prop_assert!(lane.state.is_demanded());
                let is_idle = lane.state.stage() == Stage::Idle;
                prop_assert!(!is_idle || owner.dial_at.is_some(), "nobody makes the lane");
            }
            if lane.state.bar.is_some() {
                prop_assert!(owner.dial_at.is_some(), "nothing is accepted for ever");
            }
            if let Stage::Up(carrier) = lane.state.stage() {
                prop_assert_eq!(&owner.open, &[carrier.connection]);
            }
        }
    }
}
