//! That no order of events breaks the rules of a lane's state.

use proptest::prelude::*;

use super::*;

/// Something that can happen to a lane at any moment.
#[derive(Clone, Debug)]
enum Happening {
    Wanted,
    Banned,
    DialDue,
    DialFails,
    ComesUp,
    PeerDials { incarnation: u64, is_lost: bool },
    Ends,
    HearsBye,
    Flushes,
    Drains,
    DrainsLate,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        Just(Happening::Wanted),
        Just(Happening::Banned),
        Just(Happening::DialDue),
        Just(Happening::DialFails),
        Just(Happening::ComesUp),
        (1_u64..4, any::<bool>()).prop_map(|(incarnation, is_lost)| Happening::PeerDials {
            incarnation,
            is_lost
        }),
        Just(Happening::Ends),
        Just(Happening::HearsBye),
        Just(Happening::Flushes),
        Just(Happening::Drains),
        Just(Happening::DrainsLate),
    ]
}

/// What the actions of a lane come to: what its owner would hold.
#[derive(Default)]
struct Owner {
    wish: Option<Wish>,
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
                Action::Open => self.opened += 1,
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
        Happening::Wanted | Happening::Banned => {
            let mut wish = owner.wish.unwrap_or_else(Wish::none);
            wish.refused = matches!(happening, Happening::Banned);
            wish.address = (!wish.refused).then(address);
            wish.ending += u64::from(wish.refused);
            wish.dial += u64::from(!wish.refused);
            owner.wish = Some(wish);
            lane.state.follow(wish, at)
        }
        Happening::DialDue => {
            if owner.dial_at.take().is_some() && lane.state.dial_due().is_some() {
                let connection = owner.connect();
                lane.state.dialing(connection);
            }
            return;
        }
        Happening::DialFails => {
            let Stage::Dialing { connection } = lane.state.stage() else {
                return;
            };
            owner.close(connection);
            let failed = lane.state.dial_failed(Some(connection), at);
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
        Happening::Drains => lane.state.drain(true),
        Happening::DrainsLate => lane.state.drain_deadline(true, at),
    };
    owner.carry_out(actions);
}

proptest! {
    /// At most one connection is open for a lane, what was opened is settled exactly once, and there
    /// is at most one deadline to dial, set only while the peer is wanted.
    #[test]
    fn whatever_happens_a_lane_has_one_connection_and_is_settled_once(
        script in prop::collection::vec(happening(), 1..60),
    ) {
        let mut lane = Lane::new();
        let mut owner = Owner::default();
        for happening in &script {
            lane.pass(Duration::from_millis(100));
            happen(&mut lane, &mut owner, happening);
            let has_connection = lane.state.stage() != Stage::Idle;
            prop_assert_eq!(owner.open.len(), usize::from(has_connection));
            prop_assert_eq!(owner.opened, owner.settled + u32::from(lane.state.is_up()));
            if let Stage::Up(carrier) = lane.state.stage() {
                prop_assert_eq!(&owner.open, &[carrier.connection]);
            }
        }
    }
}
