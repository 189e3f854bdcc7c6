//! What must hold whatever peers send, and in whatever order things happen to a node.
//!
//! Used by the fuzz target beside this file, and by `tests/hostile.rs` in the normal test run. Bytes
//! are read as a script of inputs for one protocol; the functions panic where a promise is broken:
//! a protocol never panics, everything it sends is within its bounds and decodes to the same
//! message, it never sends to itself, and neighbors are exactly those it told.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use overlane_overlays::anti_entropy::{self, AntiEntropy, Memory};
use overlane_overlays::atomic_broadcast::{self, AtomicBroadcast};
use overlane_overlays::broadcast_kinds::{self, BroadcastKinds};
use overlane_overlays::broadcasts::{self, Broadcasts};
use overlane_overlays::causal_broadcast::{self, CausalBroadcast};
use overlane_overlays::causal_unicast::{self, CausalUnicast};
use overlane_overlays::client_server::{self, ClientServer};
use overlane_overlays::direct::{self, Direct};
use overlane_overlays::epidemic::{self, Epidemic};
use overlane_overlays::epoch::OverlayKind;
use overlane_overlays::full_mesh::{self, FullMesh};
use overlane_overlays::hyparview::{self, HyParView, XbotConfig};
use overlane_overlays::membership::{self, Details, Membership};
use overlane_overlays::plumtree::{self, Plumtree};
use overlane_overlays::pub_sub::{self, PubSub};
use overlane_overlays::switching::{Conductor, ConductorConfig, Switch, SwitchConfig};
use overlane_overlays::{
    Command, Encoded, Event, Input, Message, Output, Overlay, Protocol, Stack, Time, WhyDown,
    decode, decode_shared, encode, encode_shared,
};
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

/// The node under test; peers are small numbers, so that scripts meet the same ones again.
pub(crate) const ME: u32 = 0;

/// Most timers kept for later; a script is short, so a node that sets more sets them without end.
const TIMERS_MAX: usize = 1 << 16;

/// The first byte chooses the protocol, the rest is the script.
pub(crate) fn protocols(data: &[u8]) {
    let Some((choice, script)) = data.split_first() else {
        return;
    };
    let xbot = || hyparview::Config {
        xbot: Some(XbotConfig::default()),
        ..Default::default()
    };
    let plumtree = || {
        let config = plumtree::Config {
            missing_max: 64,
            ..Default::default()
        };
        Plumtree::new(ME, config)
    };
    let mesh = || FullMesh::new(ME, full_mesh::Config::default());
    let kind_of = |choice: u8| {
        let kinds = OverlayKind::ALL;
        kinds[usize::from(choice) % kinds.len()]
    };
    let switch = |choice: u8| Switch::new(ME, kind_of(choice), vec![1, 2], SwitchConfig::default());
    let hyparview = || Stack::new(HyParView::new(ME, xbot()), plumtree());
    // These came late, and the scripts that are kept mean the others.
    match choice {
        8 => {
            let config = causal_broadcast::Config::default();
            let layer = CausalBroadcast::new(ME, 1, config);
            return overlay(Stack::new(hyparview(), layer), script);
        }
        9 => {
            let layer = CausalUnicast::new(ME, 1, causal_unicast::Config::default());
            return overlay(Stack::new(hyparview(), layer), script);
        }
        236 => {
            let layer = Direct::new(ME, direct::Config::default());
            return overlay(Stack::new(mesh(), layer), script);
        }
        237 => {
            let layer = AtomicBroadcast::new(ME, 1, atomic_broadcast::Config::default());
            return overlay(Stack::new(mesh(), layer), script);
        }
        238 => {
            let layer = AntiEntropy::new(anti_entropy::Config::default(), Memory::default());
            return overlay(Stack::new(mesh(), layer), script);
        }
        239 => {
            let layer = BroadcastKinds::new(ME, 1, broadcast_kinds::Config::default());
            return overlay(Stack::new(hyparview(), layer), script);
        }
        240..=247 => return overlay(switch(*choice), script),
        248..=255 => {
            let broadcasts = Broadcasts::new(ME, kind_of(*choice), broadcasts::Config::default());
            let below = Stack::new(switch(*choice), broadcasts);
            let config = membership::Config::default();
            let layer = Membership::new(ME, 1, Details::default(), config);
            let members = Stack::new(below, layer.expect("no details"));
            let kind = OverlayKind::HyParView;
            let conductor = Conductor::new(ME, kind, vec![1, 2], ConductorConfig::default());
            return overlay(Stack::new(members, conductor), script);
        }
        _ => {}
    }
    match choice % 8 {
        0 => overlay(mesh(), script),
        1 => overlay(HyParView::new(ME, xbot()), script),
        2 => overlay(HyParView::new(ME, hyparview::Config::default()), script),
        3 => overlay(hyparview(), script),
        4 => {
            let broadcast = Epidemic::new(ME, epidemic::Config::default());
            overlay(Stack::new(mesh(), broadcast), script);
        }
        5 => {
            let config = client_server::Config::server(vec![1, 2]);
            overlay(ClientServer::new(ME, config), script);
        }
        6 => overlay(PubSub::new(ME, pub_sub::Config::default()), script),
        _ => {
            let below = hyparview();
            let config = membership::Config::default();
            let layer = Membership::new(ME, 1, Details::default(), config);
            overlay(Stack::new(below, layer.expect("no details")), script);
        }
    }
}

/// Runs a script on an overlay, with or without layers.
pub(crate) fn overlay<X: Overlay<u32>>(node: X, script: &[u8]) {
    let mut subject = Subject {
        node,
        random: Xoshiro256PlusPlus::seed_from_u64(1),
        now: Time::ZERO,
        timers: VecDeque::new(),
        neighbors: BTreeSet::new(),
    };
    subject.step(Input::Start);
    let mut script = script;
    while let Some(input) = subject.next_input(&mut script) {
        subject.step(input);
    }
}

/// All of what became of a lane.
const WHY: [WhyDown; 5] = [
    WhyDown::Lost,
    WhyDown::Refused,
    WhyDown::TimedOut,
    WhyDown::Busy,
    WhyDown::AskedFor,
];

/// What must hold of every message that a protocol sends.
fn check_sent<M: Message>(to: &[u32], message: &M) {
    let different: BTreeSet<&u32> = to.iter().collect();
    assert!(!to.is_empty() && different.len() == to.len(), "{to:?}");
    assert!(!to.contains(&ME), "sent to itself: {message:?}");
    let bytes = encode(message);
    assert!(bytes.len() <= M::BYTES_MAX, "too long: {message:?}");
    assert_eq!(decode(&bytes).as_ref(), Ok(message));
    let Encoded { header, tail } = encode_shared(message);
    assert_eq!([header, tail].concat(), bytes);
    assert_eq!(decode_shared(&bytes.into()).as_ref(), Ok(message));
}

struct Subject<X: Protocol<u32>> {
    node: X,
    random: Xoshiro256PlusPlus,
    now: Time,
    timers: VecDeque<X::Timer>,
    neighbors: BTreeSet<u32>,
}

impl<X: Overlay<u32>> Subject<X> {
    /// Reads one input: what, who, and for a message its length and bytes.
    fn next_input(&mut self, script: &mut &[u8]) -> Option<Input<u32, X::Message, X::Timer>> {
        loop {
            let [what, who, rest @ ..] = *script else {
                return None;
            };
            *script = rest;
            let peer = u32::from(who % 12) + 1;
            let payload = || Bytes::copy_from_slice(&[*what, *who]);
            return Some(match what % 16 {
                0 => Input::PeerUp(peer),
                1 => Input::PeerDown {
                    peer,
                    why: WHY[usize::from(*who / 12) % WHY.len()],
                },
                2 => Input::Command(Command::Join(peer)),
                3 => Input::Command(Command::Broadcast(payload().into())),
                4 if *what >= 128 => Input::Command(Command::Relay {
                    to: peer,
                    payload: payload(),
                }),
                4 => Input::Command(Command::Publish(u64::from(peer), payload())),
                5 => Input::Command(Command::Subscribe(u64::from(peer))),
                6 => Input::Command(Command::Unsubscribe(u64::from(peer))),
                7 if peer == 2 => Input::Command(Command::Write {
                    key: payload(),
                    version: u64::from(*who),
                    value: payload(),
                }),
                7 if peer == 3 => Input::Command(Command::AtomicBroadcast {
                    view: vec![(ME, 1), (peer, 1), (u32::from(who % 7) + 5, 2)],
                    payload: payload().into(),
                }),
                7 if peer == 1 => Input::Command(Command::Leave),
                7 if *who > 250 => {
                    let kind = OverlayKind::ALL[usize::from(*who) % 4];
                    let servers = vec![peer];
                    Input::Command(Command::SwitchOverlay {
                        kind,
                        servers,
                        trial: None,
                    })
                }
                8 if *who > 250 => Input::Congested(peer),
                9 if *who > 250 => Input::Drained(peer),
                7..=9 => {
                    self.now = self.now + Duration::from_millis(u64::from(*who));
                    match self.timers.pop_front() {
                        Some(id) => Input::Timer(id),
                        None => continue,
                    }
                }
                _ => {
                    let [length, rest @ ..] = *script else {
                        return None;
                    };
                    let length = usize::from(*length).min(rest.len());
                    let (bytes, rest) = rest.split_at(length);
                    *script = rest;
                    match decode(bytes) {
                        Ok(message) => Input::Received {
                            from: peer,
                            message,
                        },
                        Err(_) => continue,
                    }
                }
            });
        }
    }

    fn step(&mut self, input: Input<u32, X::Message, X::Timer>) {
        let mut out = Vec::new();
        self.node
            .handle(self.now, input, &mut self.random, &mut out);
        for output in out {
            match output {
                Output::Send { to, message } => check_sent(&[to], &message),
                Output::SendAll { to, message } => check_sent(&to, &message),
                Output::SetTimer { id, .. } => {
                    assert!(self.timers.len() < TIMERS_MAX, "timers without end");
                    self.timers.push_back(id);
                }
                Output::Event(Event::NeighborUp(peer)) => {
                    assert!(self.neighbors.insert(peer), "{peer} told up twice");
                }
                Output::Event(Event::NeighborDown(peer)) => {
                    assert!(
                        self.neighbors.remove(&peer),
                        "{peer} told down, but was not up"
                    );
                }
                _ => {}
            }
        }
        let neighbors = self.node.neighbors();
        assert!(
            neighbors
                .iter()
                .copied()
                .eq(neighbors.iter().copied().filter(|peer| *peer != ME))
        );
        assert_eq!(
            neighbors.iter().copied().collect::<BTreeSet<_>>(),
            self.neighbors
        );
    }
}
