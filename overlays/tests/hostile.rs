//! Any script of inputs, with any bytes as messages: no protocol breaks a promise. The same checks
//! run under the fuzzer; see `fuzz/checks.rs`.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use overlane_overlays::anti_entropy::{self, Digest, Entry, Range};
use overlane_overlays::atomic_broadcast::{self, Says, View};
use overlane_overlays::broadcast_kinds;
use overlane_overlays::broadcasts::{self, Broadcasts};
use overlane_overlays::causal_broadcast::{self, Again, Counts, Round};
use overlane_overlays::causal_unicast::{self, Ack, Data, Need};
use overlane_overlays::direct::{self, Head};
use overlane_overlays::epidemic;
use overlane_overlays::epoch::{Epoch, OverlayKind, Proposal, Sampling, Trial};
use overlane_overlays::full_mesh;
use overlane_overlays::hyparview::{self, XbotMessage};
use overlane_overlays::membership::Membership;
use overlane_overlays::plumtree::{self, Announcement, Gossip};
use overlane_overlays::stack::Half;
use overlane_overlays::switching::{self, Conductor, Switch};
use overlane_overlays::{Count, DecodeError, Gap, Life, Mark, Message, MessageId, decode, encode};
use overlane_overlays::{Protocol, Stack};
use proptest::prelude::*;

#[path = "../fuzz/checks.rs"]
mod checks;

/// What nodes say to each other whose overlay can be switched.
type WholeMessage = <Stack<
    Stack<Stack<Switch<u32>, Broadcasts<u32>>, Membership<u32>>,
    Conductor<u32>,
> as Protocol<u32>>::Message;

fn peer() -> impl Strategy<Value = u32> {
    0_u32..14
}

fn part() -> impl Strategy<Value = hyparview::Part<u32>> {
    (peer(), any::<u64>()).prop_map(|(root, count)| hyparview::Part { root, count })
}

fn xbot() -> impl Strategy<Value = XbotMessage<u32>> {
    let accepted = any::<bool>();
    prop_oneof![
        any::<u64>().prop_map(|nonce| XbotMessage::Ping { nonce }),
        any::<u64>().prop_map(|nonce| XbotMessage::Pong { nonce }),
        peer().prop_map(|old| XbotMessage::Optimize { old }),
        (peer(), peer()).prop_map(|(initiator, old)| XbotMessage::Replace { initiator, old }),
        (peer(), peer()).prop_map(|(initiator, candidate)| XbotMessage::Switch {
            initiator,
            candidate
        }),
        (peer(), peer(), accepted).prop_map(|(initiator, candidate, accepted)| {
            XbotMessage::SwitchReply {
                initiator,
                candidate,
                accepted,
            }
        }),
        (peer(), peer(), any::<bool>()).prop_map(|(initiator, old, accepted)| {
            XbotMessage::ReplaceReply {
                initiator,
                old,
                accepted,
            }
        }),
        (peer(), any::<bool>())
            .prop_map(|(old, accepted)| XbotMessage::OptimizeReply { old, accepted }),
    ]
}

fn hyparview() -> impl Strategy<Value = hyparview::Message<u32>> {
    use hyparview::Message;
    let peers = || prop::collection::vec(peer(), 0..10);
    prop_oneof![
        Just(Message::Join),
        (peer(), 0_u8..8).prop_map(|(newcomer, hops)| Message::ForwardJoin { newcomer, hops }),
        (any::<bool>(), part()).prop_map(|(high_priority, part)| Message::Neighbor {
            high_priority,
            part
        }),
        part().prop_map(|part| Message::Accept { part }),
        Just(Message::Refuse),
        (any::<bool>(), prop::option::of(peer()))
            .prop_map(|(leaving, instead)| Message::Disconnect { leaving, instead }),
        part().prop_map(|part| Message::Present { part }),
        Just(Message::Hail),
        (prop::option::of(part()), peers()).prop_map(|(part, peers)| Message::Here { part, peers }),
        (peer(), peers(), 0_u8..8).prop_map(|(origin, peers, hops)| Message::Shuffle {
            origin,
            peers,
            hops
        }),
        peers().prop_map(|peers| Message::ShuffleReply { peers }),
        xbot().prop_map(Message::Xbot),
    ]
}

fn plumtree() -> impl Strategy<Value = plumtree::Message<u32>> {
    use plumtree::Message;
    let id = || (0_u64..3, 0_u64..6).prop_map(|(sender, number)| MessageId { sender, number });
    let announcement = (id(), 0_u16..20, any::<bool>()).prop_map(|(id, hops, late)| Announcement {
        id,
        hops,
        late,
    });
    let mark = (any::<u32>(), any::<u32>()).prop_map(|(round, spread_micros)| Mark {
        round,
        spread_micros,
    });
    let mark = prop::option::of(mark);
    prop_oneof![
        (id(), 0_u16..20, mark, any::<bool>()).prop_map(|(id, hops, mark, late)| Message::Gossip(
            Gossip {
                sender: 5,
                id,
                hops,
                mark,
                late,
                payload: Bytes::from_static(&[0, 1, 2]).into()
            }
        )),
        prop::collection::vec(announcement, 0..4).prop_map(Message::Ihave),
        prop::collection::vec(id(), 0..4).prop_map(|ids| Message::Graft { ids }),
        prop::collection::vec(id(), 0..4).prop_map(|ids| Message::Want { ids }),
        Just(Message::Prune),
    ]
}

fn epoch() -> impl Strategy<Value = Epoch<u32>> {
    (0_u64..4, prop::option::of(peer())).prop_map(|(number, proposer)| Epoch {
        number,
        proposer,
        nonce: 0,
    })
}

fn proposal() -> impl Strategy<Value = Proposal<u32>> {
    let servers = prop::collection::vec(peer(), 0..4);
    let trial = (prop::collection::vec(peer(), 0..4), any::<u32>());
    let trial = trial.prop_map(|(part, span_ms)| Trial { part, span_ms });
    let trial = prop::option::of(trial);
    (epoch(), 0_usize..4, servers, trial).prop_map(|(epoch, kind, servers, trial)| Proposal {
        epoch,
        kind: OverlayKind::ALL[kind],
        servers,
        trial,
    })
}

fn sampling() -> impl Strategy<Value = Sampling<u32>> {
    (epoch(), epoch(), any::<u32>()).prop_map(|(overlay, trial, round)| Sampling {
        overlay,
        trial,
        round,
    })
}

fn switching() -> impl Strategy<Value = switching::Message<u32>> {
    use switching::{AnyMessage, Message};
    prop_oneof![
        (epoch(), hyparview()).prop_map(|(epoch, message)| Message::Overlay {
            epoch,
            message: AnyMessage::HyParView(message)
        }),
        (proposal(), prop::option::of(proposal()))
            .prop_map(|(current, next)| Message::State { current, next }),
        epoch().prop_map(Message::Apart),
        (epoch(), any::<u32>()).prop_map(|(epoch, round)| Message::Probe { epoch, round }),
        (sampling(), any::<u8>()).prop_map(|(sampling, hops)| Message::Sample { sampling, hops }),
        (sampling(), peer(), any::<u8>()).prop_map(|(sampling, peer, hops)| Message::Sampled {
            sampling,
            peer,
            hops,
            copies: hops,
        }),
        (epoch(), prop::collection::vec(peer(), 0..5))
            .prop_map(|(epoch, peers)| Message::Reached { epoch, peers }),
    ]
}

/// What the causal layers stand on in these tests.
type Below = Half<hyparview::Message<u32>, plumtree::Message<u32>>;

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0_u64..6, 1 => any::<u64>(), 1 => u64::MAX - 2..=u64::MAX]
}

fn life() -> impl Strategy<Value = Life<u32>> {
    (peer(), 0_u64..3).prop_map(|(peer, incarnation)| Life { peer, incarnation })
}

fn count() -> impl Strategy<Value = Count<u32>> {
    (life(), number()).prop_map(|(life, count)| Count { life, count })
}

fn causal_broadcast() -> impl Strategy<Value = causal_broadcast::Message<u32>> {
    use causal_broadcast::Message;
    let counts = || prop::collection::vec(count(), 0..5);
    let gap =
        (life(), number(), number()).prop_map(|(life, first, last)| Gap { life, first, last });
    let no_such =
        (life(), number(), number()).prop_map(|(life, first, last)| Gap { life, first, last });
    let payload = || Bytes::from_static(&[0, 1, 2]).into();
    let again = (life(), number(), number(), counts(), any::<bool>());
    let heard = prop::collection::vec(any::<u8>(), 0..3);
    prop_oneof![
        prop::option::of(life()).prop_map(|after| Message::AskCounts { after }),
        (counts(), any::<bool>(), number(), number()).prop_map(
            |(counts, more, clock, open_from)| Message::Counts(Counts {
                counts,
                more,
                clock,
                open_from,
            })
        ),
        prop::collection::vec(gap, 0..4).prop_map(|gaps| Message::Ask { gaps }),
        no_such.prop_map(Message::NoSuch),
        again.prop_map(
            move |(life, number, stamp, needs, is_message)| Message::Again(Again {
                life,
                number,
                stamp,
                needs,
                is_message,
                hops: 3,
                payload: payload(),
            })
        ),
        (any::<u64>(), number(), number(), heard, counts(), counts()).prop_map(
            |(view, number, clock, heard, counts, stable)| Message::Round(Round {
                view,
                number,
                clock,
                heard,
                own: counts.clone(),
                counts,
                stable,
            })
        ),
    ]
}

fn causal_unicast() -> impl Strategy<Value = causal_unicast::Message<u32>> {
    use causal_unicast::Message;
    let need = (peer(), count()).prop_map(|(to, of)| Need { to, of });
    let needs = prop::collection::vec(need, 0..5);
    let numbers = (0_u64..3, 0_u64..3, number(), number());
    let ranges = prop::collection::vec((number(), number()), 0..3);
    let held = prop::collection::vec(number(), 0..4);
    prop_oneof![
        3 => (numbers, needs).prop_map(
            |((incarnation, to_incarnation, number, base), needs)| Message::Data(Data {
                incarnation,
                to_incarnation,
                number,
                base,
                needs,
                payload: Bytes::from_static(&[0, 1]),
            })
        ),
        1 => (0_u64..3, 0_u64..3, number(), held, ranges).prop_map(
            |(incarnation, by_incarnation, count, held, missed)| Message::Ack(Ack {
                incarnation,
                by_incarnation,
                count,
                held,
                missed,
            })
        ),
        1 => (0_u64..3, number(), number()).prop_map(|(incarnation, first, last)| Message::Ask {
            incarnation,
            first,
            last,
        }),
        1 => (0_u64..3).prop_map(|incarnation| Message::Hello { incarnation }),
        1 => prop::collection::vec(count(), 0..4).prop_map(|counts| Message::Have { counts }),
        1 => prop::collection::vec(count(), 0..4).prop_map(|counts| Message::Settled { counts }),
        1 => (0_u64..3, number()).prop_map(|(incarnation, base)| Message::Base {
            incarnation,
            base,
        }),
        1 => (0_u64..3, number(), number()).prop_map(|(incarnation, first, last)| {
            Message::NoSuch {
                incarnation,
                first,
                last,
            }
        }),
    ]
}

fn id() -> impl Strategy<Value = MessageId> {
    (0_u64..3, 0_u64..6).prop_map(|(sender, number)| MessageId { sender, number })
}

fn direct() -> impl Strategy<Value = direct::Message<u32>> {
    use direct::Message;
    let number = || prop_oneof![8 => 0_u64..8, 1 => any::<u64>()];
    let head = (0_u64..3, peer(), number(), any::<u32>(), number()).prop_map(
        |(stream, sender, next, back, floor)| Head {
            stream,
            sender,
            next,
            back,
            floor,
        },
    );
    let ids = || prop::collection::vec(id(), 0..6);
    prop_oneof![
        (peer(), id(), any::<u32>(), 0_u16..20, any::<bool>()).prop_map(
            |(sender, id, back, hops, late)| Message::Gossip(direct::Gossip {
                sender,
                id,
                back,
                hops,
                late,
                payload: Bytes::from_static(&[0, 1, 2]).into()
            })
        ),
        (prop::collection::vec(head, 0..4), any::<bool>())
            .prop_map(|(heads, again)| Message::Heads { heads, again }),
        ids().prop_map(|ids| Message::Want { ids }),
        ids().prop_map(|ids| Message::Lacks { ids }),
    ]
}

fn epidemic() -> impl Strategy<Value = epidemic::Message<u32>> {
    (peer(), id(), 0_u16..20, 0_u16..20).prop_map(|(sender, id, hops, ttl)| epidemic::Message {
        sender,
        id,
        hops,
        ttl,
        payload: Bytes::from_static(&[0, 1, 2]).into(),
    })
}

fn broadcasts() -> impl Strategy<Value = broadcasts::Message<u32>> {
    prop_oneof![
        plumtree().prop_map(broadcasts::Message::Tree),
        direct().prop_map(broadcasts::Message::Direct),
        epidemic().prop_map(broadcasts::Message::Epidemic),
    ]
}

fn atomic() -> impl Strategy<Value = atomic_broadcast::Message<u32>> {
    let view = || {
        prop::collection::btree_map(0_u32..5, 1_u64..3, 1..5)
            .prop_map(|members| View::new(members.into_iter().collect()).expect("a view"))
    };
    let ballot = || prop_oneof![8 => 0_u32..6, 1 => Just(atomic_broadcast::BALLOT_MAX)];
    let commit = any::<bool>;
    let says = prop_oneof![
        4 => view().prop_map(|view| Says::Prepare { view, payload: vec![7; 3].into() }),
        1 => commit().prop_map(|prepared| Says::Vote { prepared }),
        2 => (ballot(), view()).prop_map(|(ballot, view)| Says::Ask { ballot, view }),
        1 => (ballot(), prop::option::of((ballot(), commit())))
            .prop_map(|(ballot, accepted)| Says::Promise { ballot, accepted }),
        1 => (ballot(), commit()).prop_map(|(ballot, commit)| Says::Accept { ballot, commit }),
        1 => ballot().prop_map(|ballot| Says::Accepted { ballot }),
        1 => ballot().prop_map(|ballot| Says::Outranked { ballot }),
        1 => (ballot(), commit()).prop_map(|(ballot, commit)| Says::Decide { ballot, commit }),
        1 => Just(Says::Done),
        1 => (0_u64..4).prop_map(|incarnation| Says::Stranger { incarnation }),
        1 => Just(Says::Forgotten),
    ];
    (id(), says).prop_map(|(id, says)| atomic_broadcast::Message { id, says })
}

fn anti_entropy() -> impl Strategy<Value = anti_entropy::Message> {
    use anti_entropy::Message;
    let range = || {
        (0_u8..=4, any::<u64>()).prop_map(|(depth, prefix)| Range {
            depth,
            prefix: prefix & ((1 << (4 * u32::from(depth))) - 1),
        })
    };
    let digest = (0_u64..200, any::<u64>()).prop_map(|(keys, sum)| Digest { keys, sum });
    let key = || prop::collection::vec(0_u8..4, 0..3).prop_map(Bytes::from);
    let version = || prop_oneof![8 => 0_u64..9, 1 => any::<u64>()];
    let entry = (key(), version(), key()).prop_map(|(key, version, value)| Entry {
        key,
        version,
        value,
    });
    let items = prop::collection::vec((key(), version()), 0..8);
    prop_oneof![
        prop::collection::vec((range(), digest), 0..8).prop_map(Message::Compare),
        (range(), any::<bool>(), items).prop_map(|(range, complete, items)| Message::Items {
            range,
            complete,
            items
        }),
        prop::collection::vec(key(), 0..8).prop_map(Message::Want),
        prop::collection::vec(entry, 0..8).prop_map(Message::Values),
    ]
}

/// One entry of a script: something that happens, or a message.
fn entry<M: Message>(message: impl Strategy<Value = M>) -> impl Strategy<Value = Vec<u8>> {
    let happening = (0_u8..10, any::<u8>()).prop_map(|(what, who)| vec![what, who]);
    let received = (any::<u8>(), message).prop_map(|(who, message)| {
        let bytes = encode(&message);
        let length = u8::try_from(bytes.len()).unwrap_or(0);
        [&[10, who, length], bytes.as_slice()].concat()
    });
    prop_oneof![1 => happening, 2 => received]
}

fn script<M: Message>(message: impl Strategy<Value = M>) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(entry(message), 0..120).prop_map(|entries| entries.concat())
}

/// The scripts that the fuzzer kept, because each went where no other did.
#[test]
fn the_corpus_of_the_fuzz_target_is_survived() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/protocols");
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut scripts = 0;
    for entry in entries {
        let path = entry.expect("a readable entry").path();
        checks::protocols(&fs::read(&path).expect("a readable file"));
        scripts += 1;
    }
    assert!(scripts > 50, "{folder:?} has lost its files");
}

proptest! {
    #[test]
    fn any_bytes_are_survived(data in prop::collection::vec(any::<u8>(), 0..400)) {
        checks::protocols(&data);
    }

    #[test]
    fn hyparview_survives_any_messages(x_bot in any::<bool>(), script in script(hyparview())) {
        let choice = if x_bot { 1 } else { 2 };
        checks::protocols(&[&[choice], script.as_slice()].concat());
    }

    #[test]
    fn a_switch_survives_any_messages(choice in 240_u8..248, script in script(switching())) {
        checks::protocols(&[&[choice], script.as_slice()].concat());
    }

    #[test]
    fn a_switch_under_all_layers_survives_any_messages(
        choice in 248_u8..=255,
        script in script(prop_oneof![
            3 => switching().prop_map(|message| Half::Lower(Half::Lower(Half::Lower(message)))),
            1 => broadcasts().prop_map(|message| Half::Lower(Half::Lower(Half::Upper(message)))),
        ].prop_map(|message: WholeMessage| message))
    ) {
        checks::protocols(&[&[choice], script.as_slice()].concat());
    }

    #[test]
    fn plumtree_over_hyparview_survives_any_messages(
        script in script(prop_oneof![
            hyparview().prop_map(Half::Lower),
            plumtree().prop_map(Half::Upper),
        ])
    ) {
        checks::protocols(&[&[3], script.as_slice()].concat());
    }
}

proptest! {
    #[test]
    fn causal_broadcast_survives_any_messages(
        script in script(causal_broadcast().prop_map(Half::<Below, _>::Upper))
    ) {
        checks::protocols(&[&[8], script.as_slice()].concat());
    }

    #[test]
    fn all_kinds_of_broadcast_side_by_side_survive_any_messages(
        script in script(prop_oneof![
            2 => plumtree().prop_map(|message| Half::Lower(Half::Upper(message))),
            1 => causal_broadcast().prop_map(|message| Half::Upper(Half::Lower(message))),
            1 => atomic().prop_map(|message| Half::Upper(Half::Upper(message))),
        ].prop_map(|message: Half<Below, broadcast_kinds::Message<u32>>| message))
    ) {
        checks::protocols(&[&[239], script.as_slice()].concat());
    }

    #[test]
    fn causal_unicast_survives_any_messages(
        script in script(causal_unicast().prop_map(Half::<Below, _>::Upper))
    ) {
        checks::protocols(&[&[9], script.as_slice()].concat());
    }

    #[test]
    fn the_layers_over_a_full_mesh_survive_any_messages(
        direct in script(direct().prop_map(Half::<full_mesh::Message<u32>, _>::Upper)),
        atomic in script(atomic().prop_map(Half::<full_mesh::Message<u32>, _>::Upper)),
        state in script(anti_entropy().prop_map(Half::<full_mesh::Message<u32>, _>::Upper)),
    ) {
        for (choice, script) in [(236, direct), (237, atomic), (238, state)] {
            checks::protocols(&[&[choice], script.as_slice()].concat());
        }
    }
}

/// Found by the fuzzer: membership kept what the overlay told after a goodbye to itself.
#[test]
fn a_goodbye_is_told_through_every_layer() {
    let script = [7, 5, 119, 12, 0, 3, 0, 0, 0, 7, 0];
    checks::protocols(&script);
}

#[test]
fn a_message_is_refused_for_its_length_before_it_is_read() {
    let long = vec![0; hyparview::Message::<u32>::BYTES_MAX + 1];
    let refused = decode::<hyparview::Message<u32>>(&long);
    assert!(
        matches!(refused, Err(DecodeError::TooLong { .. })),
        "{refused:?}"
    );
}

#[test]
fn lists_and_counts_out_of_bounds_and_left_over_bytes_are_refused() {
    use hyparview::Message;
    let long = Message::ShuffleReply {
        peers: vec![1_u32; hyparview::SHUFFLE_PEERS_MAX + 1],
    };
    let refused = decode::<Message<u32>>(&encode(&long));
    assert_eq!(refused, Err(DecodeError::Invalid { field: "peers" }));
    let far = Message::ForwardJoin {
        newcomer: 1_u32,
        hops: hyparview::WALK_HOPS_MAX + 1,
    };
    let refused = decode::<Message<u32>>(&encode(&far));
    assert_eq!(refused, Err(DecodeError::Invalid { field: "hops" }));
    let mut trailing = encode(&Message::<u32>::Join);
    trailing.push(0);
    assert_eq!(
        decode::<Message<u32>>(&trailing),
        Err(DecodeError::Malformed)
    );
}
