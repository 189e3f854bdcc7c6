//! Who may have a lane that is there already: duplicates, replays, restarts.

use std::net::TcpListener;
use std::sync::atomic::Ordering;

use overlane::wire::{CloseReason, FrameKind, Hello};

use crate::honest::Honest;
use crate::stranger::{Stranger, control_hello, encoded, good_frame, gossip_hello, hello, letter};
use crate::support::{CONTROL, counting_handler, reliable, wait_until};

fn of_incarnation(hello: Hello, incarnation: u64) -> Hello {
    Hello {
        incarnation,
        ..hello
    }
}

/// That the lane answers.
fn assert_up(stranger: &mut Stranger) {
    assert!(stranger.say(&good_frame(FrameKind::Ping, 77, &[])));
    // The node may ask, too.
    let mut frames = std::iter::from_fn(|| stranger.next_frame());
    let answer = frames.find(|(kind, ..)| *kind != FrameKind::Ping);
    let (kind, word, _) = answer.expect("an answer");
    assert_eq!((kind, word), (FrameKind::Pong, 77));
}

#[test]
fn a_hello_said_again_replaces_the_lane_that_the_peer_dialled() {
    let honest = Honest::start(|config| config);
    let address = honest.target.local_addr();
    let mut first = Stranger::lane(address, hello("alice"));
    assert_up(&mut first);
    for count in 1..=5 {
        let mut second = Stranger::lane(address, hello("alice"));
        first.ends();
        honest.closed("alice", "data", CloseReason::Replaced, count);
        assert_up(&mut second);
        first = second;
    }
    // A Hello on a lane that is up is no frame.
    first.say(&encoded(&hello("alice")));
    first.ends();
    honest.closed("alice", "data", CloseReason::UnknownFrame, 1);
    honest.finish();
}

/// What another process of that name, of that incarnation, is told.
fn refusal_of(honest: &Honest, name: &str, incarnation: u64) -> CloseReason {
    let mut other = Stranger::connect(honest.target.local_addr());
    other.say(&encoded(&of_incarnation(hello(name), incarnation)));
    other.refusal()
}

#[test]
fn another_process_of_a_name_gets_no_lane_while_the_first_answers() {
    let honest = Honest::start(|config| config);
    let address = honest.target.local_addr();
    let mut first = [
        Stranger::lane(address, of_incarnation(hello("alice"), 5)),
        Stranger::lane(address, of_incarnation(gossip_hello("alice"), 5)),
    ];
    for _ in 0..3 {
        assert_eq!(refusal_of(&honest, "alice", 6), CloseReason::NameTaken);
        assert_eq!(
            refusal_of(&honest, "alice", u64::MAX),
            CloseReason::NameTaken
        );
        assert_eq!(
            refusal_of(&honest, "alice", 4),
            CloseReason::StaleIncarnation
        );
        first.iter_mut().for_each(assert_up);
    }
    honest.refused(CloseReason::NameTaken, 6);
    // As long as one lane leads to it, the name is taken.
    let [data, gossip] = first;
    drop(data);
    honest.closed("alice", "data", CloseReason::PeerClosed, 1);
    assert_eq!(refusal_of(&honest, "alice", 6), CloseReason::NameTaken);
    drop(gossip);
    honest.closed("alice", "gossip", CloseReason::PeerClosed, 1);
    let mut next = Stranger::lane(address, of_incarnation(hello("alice"), 1));
    assert_up(&mut next);
    assert_eq!(refusal_of(&honest, "alice", 5), CloseReason::NameTaken);
    honest.finish();
}

/// Its host has lost power: nobody has closed its connections, and nobody answers on them.
/// Whichever of the two has the greater number: a clock may have been set back since, and a stranger may
/// have chosen the greatest there is.
#[test]
fn a_process_that_does_not_answer_leaves_its_name_to_the_next() {
    let honest = Honest::start(|config| config.idle_timeout_ms(8_000_u64));
    let address = honest.target.local_addr();
    // Silent as well, but nobody doubts it.
    let quiet = Stranger::lane(address, hello("quiet"));
    honest.up("quiet");
    let rivals = [
        ("alice", 5, 6, CloseReason::NameTaken),
        ("bob", 5, 4, CloseReason::StaleIncarnation),
        ("carol", u64::MAX, 1, CloseReason::StaleIncarnation),
    ];
    let _silent = rivals.map(|(name, first, ..)| {
        [hello(name), gossip_hello(name)]
            .map(|hello| Stranger::lane(address, of_incarnation(hello, first)))
    });
    for (name, _, next, refused) in rivals {
        assert_eq!(refusal_of(&honest, name, next), refused, "{name}");
    }
    for (name, _, next, _) in rivals {
        let mut came = None;
        let dial = || {
            let mut stranger = Stranger::connect(address);
            stranger.say(&encoded(&of_incarnation(hello(name), next)));
            stranger
                .is_welcome()
                .then(|| came = Some(stranger))
                .is_some()
        };
        wait_until("the next process is let in", dial, |welcome| *welcome);
        honest.closed(name, "data", CloseReason::IdleTimeout, 1);
        honest.closed(name, "gossip", CloseReason::IdleTimeout, 1);
        assert_up(&mut came.expect("it was let in"));
    }
    let metrics = honest.target.metrics();
    let undoubted = metrics.channel("quiet", "data").expect("it is up");
    assert!(undoubted.closes.is_empty(), "{undoubted:#?}");
    drop(quiet);
    honest.finish();
}

#[test]
fn a_lane_that_the_node_dialled_is_not_given_up_for_a_dial_of_the_same_start() {
    let honest = Honest::with(vec![reliable("data")], |config| config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let there = listener.local_addr().expect("it is bound");
    honest.target.connect("alice", there).expect("a name");
    let (mut dialled, said) = Stranger::accept_as_older(&listener);
    assert_eq!(said.node.as_str(), "target");
    dialled.welcome("alice", 5);
    assert_up(&mut dialled);

    let mut again = Stranger::connect(honest.target.local_addr());
    again.say(&encoded(&of_incarnation(hello("alice"), 5)));
    assert_eq!(again.refusal(), CloseReason::AlreadyUp);
    assert_up(&mut dialled);
    honest.finish();
}

/// What came on a connection just before another took its lane is of that connection: it is
/// delivered, or lost with it.
/// It is served before all channels, so messages on it would pass them all.
#[test]
fn a_message_on_the_control_lane_ends_it() {
    let honest = Honest::start(|config| config);
    let (handler, count) = counting_handler();
    honest.target.handle("mine", handler).expect("a mailbox");
    let mut mallory = Stranger::lane(honest.target.local_addr(), control_hello("mallory"));
    mallory.say(&letter("mine", b"first of all"));
    mallory.ends();
    honest.closed("mallory", CONTROL, CloseReason::BadMailbox, 1);
    assert_eq!(count.load(Ordering::Relaxed), 0);
    honest.goes_on();
    honest.finish();
}

#[test]
fn a_connection_never_gets_the_bytes_of_the_one_before_it() {
    let honest = Honest::with(vec![reliable("data")], |config| {
        config.pending_handshakes_max(6)
    });
    let (handler, _) = counting_handler();
    honest.target.handle("in", handler).expect("a mailbox");
    let address = honest.target.local_addr();
    // Read from anywhere but its beginning, this is a frame of an unknown kind.
    let strangers: Vec<_> = (0..6)
        .map(|number| {
            let name = format!("alice-{}", number % 3);
            let (lane, letter) = (encoded(&hello(&name)), letter("in", &[7; 5000]));
            std::thread::spawn(move || {
                for _ in 0..1500 {
                    let mut stranger = Stranger::connect(address);
                    stranger.say(&lane);
                    stranger.say(&letter);
                }
            })
        })
        .collect();
    strangers
        .into_iter()
        .for_each(|stranger| stranger.join().expect("it ends"));
    wait_until("all are gone", || honest.connections(), |count| *count == 2);
    let metrics = honest.target.metrics();
    let ends = [
        CloseReason::Replaced,
        CloseReason::PeerClosed,
        CloseReason::Reset,
    ];
    for lane in metrics
        .lanes
        .iter()
        .filter(|lane| lane.peer.starts_with("alice"))
    {
        let closes = &lane.closes;
        assert!(
            closes.keys().all(|reason| ends.contains(reason)),
            "{closes:?}"
        );
    }
    honest.finish();
}
