//! Handshakes of sessions that somebody on the way alters, sends again or sends back: none of them comes to a lane,
//! each is counted for its own reason, and honest traffic beside it goes on.
//!
//! Every bit of a dialer's message to a node with `psk` is flipped here; of what costs a dial or a signature each, some. The sessions'
//! own tests flip all of them without sockets (`engine/src/session/tests/altered.rs`).

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use overlane::config::ConfigBuilder;
use overlane::wire::CloseReason;
use overlane::{Event, Events, Node};

use crate::honest::Honest;
use crate::sessions::{
    SECRET, dialer_of_tls, failed_dial, finish, trap, with_certificates, with_secret,
};
use crate::stranger::Stranger;
use crate::support::authority::Certified;
use crate::support::{
    GENEROUS, config, reliable, start, wait_for_event, wait_until, with_secrets, with_tls,
};

/// Bytes of the messages of a handshake with `psk`: `docs/wire.md`.
const DIALERS: usize = 6 + 32 + 3 * 256 + 16;
const ACCEPTORS: usize = 6 + 32 + 2 * 256 + 16;

fn flipped(message: &[u8], bit: usize) -> Vec<u8> {
    let mut message = message.to_vec();
    message[bit / 8] ^= 1 << (bit % 8);
    message
}

/// Why a message of `psk` is refused of which a bit of that byte is another: magic, version and number are in clear.
fn reason_of_byte(byte: usize) -> CloseReason {
    match byte {
        0..4 => CloseReason::WrongMagic,
        4..6 => CloseReason::SessionBroken,
        _ => CloseReason::SecretWrong,
    }
}

/// A place where somebody waits in place of the target.
fn waylay() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let there = listener.local_addr().expect("it is bound");
    (listener, there)
}

/// A node that dials the target there.
fn dialer(config: ConfigBuilder, there: SocketAddr) -> (Node, Events) {
    let node = start(config.channel(reliable("data")));
    let events = node.events();
    node.connect("target", there).expect("a name");
    (node, events)
}

fn read_exactly(stream: &mut TcpStream, bytes: usize) -> Vec<u8> {
    stream.set_read_timeout(Some(GENEROUS)).expect("a socket");
    let mut read = vec![0; bytes];
    stream.read_exact(&mut read).expect("it says as much");
    read
}

/// What both ends of an honest connection said until it was up.
struct Recorded {
    dialer: Vec<u8>,
    acceptor: Vec<u8>,
}

/// Somebody on the way of an honest node that dials the target hands on what both say, and keeps it.
fn recorded(honest: &Honest, config: ConfigBuilder) -> Recorded {
    let (listener, there) = waylay();
    let (node, _events) = dialer(config, there);
    let (came, _) = listener.accept().expect("it dials");
    let target = TcpStream::connect(honest.target.local_addr()).expect("the node listens");
    let copied = |from: &TcpStream, to: &TcpStream| {
        let (mut from, mut to) = (
            from.try_clone().expect("a socket"),
            to.try_clone().expect("a socket"),
        );
        thread::spawn(move || {
            let (mut said, mut buffer) = (Vec::new(), [0; 4096]);
            while let Ok(bytes) = from.read(&mut buffer)
                && bytes > 0
                && to.write_all(&buffer[..bytes]).is_ok()
            {
                said.extend_from_slice(&buffer[..bytes]);
            }
            // The other end may have closed.
            drop(to.shutdown(Shutdown::Write));
            said
        })
    };
    let (forth, back) = (copied(&came, &target), copied(&target, &came));
    let connected = || node.wait_connected("target", GENEROUS);
    connected().expect("what is handed on as it was is a lane");
    drop(node);
    Recorded {
        dialer: forth.join().expect("no panic"),
        acceptor: back.join().expect("no panic"),
    }
}

/// Says that to the target, reads to the end.
fn says(honest: &Honest, bytes: &[u8]) {
    let mut stranger = Stranger::connect(honest.target.local_addr());
    stranger.say(bytes);
    stranger.fall_silent();
    stranger.ends();
}

/// The next failed dial of a node, and why.
fn next_failure(events: &Events) -> CloseReason {
    wait_for_event(events, "a failed dial", |event| match event {
        Event::DialFailed { reason, .. } => Some(*reason),
        _ => None,
    })
}

#[test]
fn every_bit_of_a_dialers_message_counts() {
    let honest = with_secret();
    let caught = trap(&honest);
    let (listener, there) = waylay();
    let (node, _events) = dialer(with_secrets(config("mallory"), &[SECRET]), there);
    let (mut came, _) = listener.accept().expect("it dials");
    let message = read_exactly(&mut came, DIALERS);
    drop((node, came, listener));
    let mut expected = BTreeMap::new();
    for bit in 0..message.len() * 8 {
        let reason = reason_of_byte(bit / 8);
        let mut stranger = Stranger::connect(honest.target.local_addr());
        let said = stranger.refused_after(&flipped(&message, bit));
        assert_eq!(said, reason, "bit {bit}");
        *expected.entry(reason).or_insert(0) += 1;
    }
    for (reason, count) in expected {
        honest.refused(reason, count);
    }
    finish(honest, &caught);
}

/// The answer of the target to an honest dialer, of which one bit is another at each dial.
#[test]
fn bits_of_an_acceptors_message_count() {
    /// So that bits of all places in a byte are among them.
    const STEP: usize = 29;
    let honest = with_secret();
    let caught = trap(&honest);
    let (listener, there) = waylay();
    let quick = with_secrets(config("dialer"), &[SECRET])
        .reconnect_base_ms(1)
        .reconnect_max_ms(1);
    let (_node, events) = dialer(quick, there);
    let mut altered = 0;
    for bit in (0..ACCEPTORS * 8).step_by(STEP) {
        let (mut came, _) = listener.accept().expect("it dials");
        let first = read_exactly(&mut came, DIALERS);
        let mut target = TcpStream::connect(honest.target.local_addr()).expect("it listens");
        target.write_all(&first).expect("it is taken");
        let answer = read_exactly(&mut target, ACCEPTORS);
        came.write_all(&flipped(&answer, bit)).expect("it is taken");
        assert_eq!(next_failure(&events), reason_of_byte(bit / 8), "bit {bit}");
        altered += 1;
    }
    honest.refused(CloseReason::PeerClosed, altered);
    finish(honest, &caught);
}

/// A dialer with a good certificate that goes through with its handshake, of which one bit is another: of the first thing that it says, or of the
/// second.
fn altered_handshake(to: SocketAddr, shown: &Certified, flight: usize, bit: usize) -> bool {
    let mut tls = dialer_of_tls(Some(shown));
    let mut socket = TcpStream::connect(to).expect("the node listens");
    socket.set_read_timeout(Some(GENEROUS)).expect("a socket");
    let mut is_altered = false;
    let mut is_over = false;
    for number in 0.. {
        let mut said = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut said).expect("memory takes it");
        }
        if number == flight && bit / 8 < said.len() {
            said = flipped(&said, bit);
            is_altered = true;
        }
        // The node may have closed before it has read all.
        let is_taken = said.is_empty() || socket.write_all(&said).is_ok();
        if !is_taken || is_over || (number > 0 && !tls.is_handshaking()) {
            break;
        }
        is_over = loop {
            match tls.read_tls(&mut socket) {
                Ok(0) | Err(_) => break true,
                // What it says of an error goes out, and then it is over.
                Ok(_) if tls.process_new_packets().is_err() => break true,
                Ok(_) if tls.wants_write() => break false,
                Ok(_) => {}
            }
        };
    }
    // The node may have closed first.
    drop(socket.shutdown(Shutdown::Write));
    drop(socket.read_to_end(&mut Vec::new()));
    is_altered
}

#[test]
fn bits_of_a_dialers_handshake_with_tls_count() {
    const STEP: usize = 67;
    let (honest, ours, _folder) = with_certificates();
    let caught = trap(&honest);
    let mallory = ours.certify("mallory");
    let mut altered = 0;
    for flight in 0..2 {
        let mut bits = (0..).step_by(STEP);
        while altered_handshake(
            honest.target.local_addr(),
            &mallory,
            flight,
            bits.next().expect("there are more"),
        ) {
            altered += 1;
        }
    }
    // The last of either flight was behind its end: a handshake as it should be, and nothing said within.
    let refused = || honest.target.metrics().refused_connections;
    let refused = wait_until("each is refused", refused, |refused| {
        refused.values().sum::<u64>() == altered + 2
    });
    println!("of {altered} altered handshakes: {refused:?}");
    let allowed = [
        // A record that cannot be read, or is none.
        CloseReason::SessionBroken,
        CloseReason::SessionMismatch,
        CloseReason::WrongMagic,
        // A version, a certificate or a signature that was altered.
        CloseReason::TlsVersion,
        CloseReason::CertificateBad,
        CloseReason::CertificateMissing,
        CloseReason::CertificateUntrusted,
        // A length that was altered: it waits for more, which does not come.
        CloseReason::PeerClosed,
        CloseReason::HandshakeTimeout,
    ];
    assert!(
        refused.keys().all(|reason| allowed.contains(reason)),
        "{refused:?}"
    );
    assert!(
        refused[&CloseReason::SessionBroken] > altered / 2,
        "{refused:?}"
    );
    assert!(honest.target.metrics().channel("mallory", "data").is_none());
    finish(honest, &caught);
}

/// What somebody has recorded of an honest dial opens nothing when it is sent again, neither at the node that was dialled nor at
/// one that dials.
#[test]
fn a_recorded_handshake_opens_nothing() {
    let (with_tls_too, ours, folder) = with_certificates();
    for (honest, kind) in [(with_secret(), "psk"), (with_tls_too, "tls")] {
        let caught = trap(&honest);
        let protected = |name: &str| match kind {
            "psk" => with_secrets(config(name), &[SECRET]),
            _ => with_tls(config(name), &folder, &ours.certify(name), &ours),
        };
        let recorded = recorded(&honest, protected("dialer"));
        let refused = || honest.target.metrics().refused_connections;
        assert!(refused().is_empty(), "{kind}: it was honest");
        says(&honest, &recorded.dialer);
        honest.refused(CloseReason::SessionBroken, 1);
        // And what the target said, to another dialer.
        let (listener, there) = waylay();
        let (_node, events) = dialer(protected("another"), there);
        let (mut came, _) = listener.accept().expect("it dials");
        came.write_all(&recorded.acceptor).expect("it is taken");
        let expected = match kind {
            // That it was altered on the way is the same to a dialer as another secret.
            "psk" => CloseReason::SecretWrong,
            _ => CloseReason::SessionBroken,
        };
        assert_eq!(next_failure(&events), expected, "{kind}");
        finish(honest, &caught);
    }
}

/// What a node says comes back to it: to the dial that said it, to its own port, and what it answered to where it answered.
#[test]
fn what_is_sent_back_to_its_sender_opens_nothing() {
    let (with_tls, _, _folder) = with_certificates();
    for (honest, kind) in [(with_secret(), "psk"), (with_tls, "tls")] {
        let events = honest.target.events();
        // To the dial that said it.
        let (listener, there) = waylay();
        honest.target.connect("victim", there).expect("a name");
        let (mut came, _) = listener.accept().expect("it dials");
        let mut said = [0; 4096];
        let bytes = came.read(&mut said).expect("it says something");
        came.write_all(&said[..bytes]).expect("it is taken");
        assert_eq!(next_failure(&events), CloseReason::SessionBroken, "{kind}");
        // To its own port, and what that answers to the dial.
        let (mut came, _) = listener.accept().expect("it dials again");
        let mut target = TcpStream::connect(honest.target.local_addr()).expect("it listens");
        let (mut forth, mut back) = (
            came.try_clone().expect("a socket"),
            target.try_clone().expect("a socket"),
        );
        let answers = thread::spawn(move || drop(std::io::copy(&mut back, &mut came)));
        let questions = thread::spawn(move || drop(std::io::copy(&mut forth, &mut target)));
        let expected = match kind {
            "psk" => CloseReason::SelfDial,
            // Whoever answers has another name than the one that was dialled.
            _ => CloseReason::NameNotProven,
        };
        assert_eq!(next_failure(&events), expected, "{kind}");
        honest.refused(expected, 1);
        honest.target.disconnect("victim").expect("a name");
        drop(listener);
        answers.join().expect("no panic");
        questions.join().expect("no panic");
        // What it answered, to where it answered.
        let mut stranger = Stranger::connect(honest.target.local_addr());
        stranger.say(&said[..bytes]);
        if kind == "tls" {
            let answer = stranger.read_some().expect("it answers");
            stranger.say(&answer);
            stranger.ends();
            honest.refused(CloseReason::SessionBroken, 1);
        }
        honest.finish();
    }
}

/// In the middle of a rotation both secrets are good; after it the old one is a stranger's.
#[test]
fn the_old_secret_opens_in_a_rotation_and_not_after_it() {
    const NEW: &str = "the secret that comes after it";
    let rotating = || {
        Honest::protected(|name, config| match name {
            "target" => with_secrets(config, &[NEW, SECRET]),
            _ => with_secrets(config, &[NEW]),
        })
    };
    let honest = rotating();
    let caught = trap(&honest);
    let late = start(with_secrets(config("late"), &[SECRET]).channel(reliable("data")));
    late.connect("target", honest.target.local_addr())
        .expect("a name");
    late.wait_connected("target", GENEROUS)
        .expect("the old secret is good still");
    drop(late);
    assert!(honest.target.metrics().refused_connections.is_empty());
    finish(honest, &caught);
    let honest = Honest::protected(|_, config| with_secrets(config, &[NEW]));
    let caught = trap(&honest);
    let late = with_secrets(config("late"), &[SECRET]);
    assert_eq!(failed_dial(late, &honest), CloseReason::SecretWrong);
    crate::sessions::counted(&honest, CloseReason::SecretWrong);
    finish(honest, &caught);
}
