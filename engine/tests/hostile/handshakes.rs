//! Connections that never become a lane.

use std::time::Duration;

use overlane::wire::layout::HANDSHAKE_BODY_BYTES_MAX;
use overlane::wire::version::VERSION;
use overlane::wire::{CloseReason, Hello, Parameter, VersionRange};

use crate::honest::Honest;
use crate::stranger::{Stranger, encoded, hello, letter, name};
use crate::support::counting_handler;
use crate::support::wait_until;

/// The prefix of a handshake message that states a body of so many bytes.
fn prefix(body_bytes: u16) -> Vec<u8> {
    [b"OVLN\x02\x00".as_slice(), &body_bytes.to_le_bytes()].concat()
}

fn changed(change: impl FnOnce(&mut Hello)) -> Vec<u8> {
    let mut hello = hello("mallory");
    change(&mut hello);
    encoded(&hello)
}

/// Says each of `bytes` on a connection of its own; each is refused with that reason, and counted.
fn assert_refused(honest: &Honest, reason: CloseReason, sayings: &[(&str, Vec<u8>)]) {
    for (what, bytes) in sayings {
        let mut stranger = Stranger::connect(honest.target.local_addr());
        assert_eq!(stranger.refused_after(bytes), reason, "{what}");
    }
    honest.refused(reason, u64::try_from(sayings.len()).expect("a few"));
    honest.goes_on();
}

#[test]
fn what_is_no_handshake_is_refused_by_its_first_wrong_byte() {
    let honest = Honest::start(|config| config);
    let wrong_magic = [
        ("another protocol", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("one byte", vec![0]),
        ("zeros", vec![0; 5000]),
        ("all ones", vec![0xff; 5000]),
        ("almost right", b"OVLM\x01\x00\x00\x00".to_vec()),
    ];
    assert_refused(&honest, CloseReason::WrongMagic, &wrong_magic);
    let mut other_version = encoded(&hello("mallory"));
    other_version[4] = 3;
    let wrong_version = [
        ("a later version", other_version),
        ("version 0", b"OVLN\x00\x00".to_vec()),
        ("the last version", b"OVLN\xff\xff".to_vec()),
    ];
    assert_refused(&honest, CloseReason::WrongVersion, &wrong_version);
    honest.finish();
}

#[test]
fn a_handshake_over_its_limit_is_closed() {
    let honest = Honest::start(|config| config);
    // The prefix alone is enough: nothing of the body is waited for.
    let too_large = [HANDSHAKE_BODY_BYTES_MAX + 1, 0x8000, 0xffff]
        .map(|bytes| ("too long", prefix(u16::try_from(bytes).expect("two bytes"))));
    assert_refused(&honest, CloseReason::HandshakeTooLarge, &too_large);
    let most = u16::try_from(HANDSHAKE_BODY_BYTES_MAX).expect("two bytes");
    let malformed = [
        ("no body", prefix(0)),
        ("one byte", [prefix(1), vec![0]].concat()),
        (
            "as long as may be, and nonsense",
            [prefix(most), vec![7; usize::from(most)]].concat(),
        ),
        (
            "a name of 4 GiB",
            [prefix(8), vec![0, 1, 2, 0xff, 0xff, 0xff, 0xff, 0x0f]].concat(),
        ),
        ("an answer", [prefix(4), vec![1, 1, b'x', 1]].concat()),
    ];
    assert_refused(&honest, CloseReason::HandshakeMalformed, &malformed);
    honest.finish();
}

#[test]
fn a_hello_that_does_not_fit_is_refused_with_the_reason() {
    let honest = Honest::start(|config| config);
    let refused = |reason, what, bytes| assert_refused(&honest, reason, &[(what, bytes)]);
    let bytes = changed(|hello| hello.cluster = name("elsewhere"));
    refused(CloseReason::WrongCluster, "another cluster", bytes);
    let bytes = changed(|hello| hello.expected_node = Some(name("friend")));
    refused(CloseReason::WrongNode, "meant for another node", bytes);
    let bytes = changed(|hello| hello.channel = name("unheard_of"));
    refused(CloseReason::ChannelUnknown, "no such channel", bytes);
    let later = VersionRange {
        min: VERSION + 1,
        max: u16::MAX,
    };
    let bytes = changed(|hello| hello.versions = later);
    refused(CloseReason::WrongVersion, "later versions alone", bytes);
    let bytes = changed(|hello| hello.session = name("tls"));
    refused(CloseReason::SessionUnknown, "another session", bytes);
    let bytes = changed(|hello| hello.unknown.insert(later_parameter(true)).expect("room"));
    refused(
        CloseReason::ParameterUnknown,
        "a mandatory parameter",
        bytes,
    );
    let bytes = changed(|hello| hello.node = name("target"));
    refused(CloseReason::SelfDial, "the node's own name", bytes);
    let mismatches = [
        (
            "reliability",
            changed(|hello| hello.terms.reliability = name("none at all")),
        ),
        (
            "ordering",
            changed(|hello| hello.terms.ordering = name("random")),
        ),
        (
            "parallelism",
            changed(|hello| hello.terms.parallelism = u16::MAX),
        ),
        (
            "a larger limit in version 1, which knows no smaller",
            changed(|hello| {
                hello.versions = VersionRange::only(1);
                hello.terms.body_bytes_max = u32::MAX;
            }),
        ),
        (
            "compression in version 1, which agrees to nothing else",
            changed(|hello| {
                hello.versions = VersionRange::only(1);
                hello.terms.compression = name("zip");
            }),
        ),
    ];
    assert_refused(&honest, CloseReason::ChannelMismatch, &mismatches);
    honest.finish();
}

/// What a later version may add.
fn later_parameter(mandatory: bool) -> Parameter {
    Parameter {
        name: name("later"),
        mandatory,
        value: name("1"),
    }
}

#[test]
fn what_need_not_agree_makes_a_lane() {
    let honest = Honest::start(|config| config);
    let (handler, count) = counting_handler();
    honest.target.handle("in", handler).expect("a mailbox");
    let changes: [fn(&mut Hello); 5] = [
        |hello| hello.priority = 0,
        |hello| hello.terms.body_bytes_max = u32::MAX,
        |hello| hello.terms.body_bytes_max = 64,
        |hello| hello.versions.max = u16::MAX,
        |hello| hello.unknown.insert(later_parameter(false)).expect("room"),
    ];
    for (number, change) in (1..).zip(changes) {
        let mut other = hello("alice");
        change(&mut other);
        let mut stranger = Stranger::lane(honest.target.local_addr(), other);
        stranger.say(&letter("in", b"hello"));
        let came = || count.load(std::sync::atomic::Ordering::Relaxed);
        wait_until("the message", came, |came| *came == number);
    }
    honest.finish();
}

#[test]
fn a_lane_index_out_of_range_is_refused() {
    let honest = Honest::start(|config| config);
    let indexes =
        [1, 2, u16::MAX].map(|index| ("no such lane", changed(|hello| hello.lane = index)));
    assert_refused(&honest, CloseReason::LaneOutOfRange, &indexes);
    honest.finish();
}

#[test]
fn a_handshake_cut_off_anywhere_is_counted_and_forgotten() {
    let honest = Honest::start(|config| config);
    let whole = encoded(&hello("mallory"));
    for end in 0..whole.len() {
        let mut stranger = Stranger::connect(honest.target.local_addr());
        stranger.say(&whole[..end]);
        stranger.fall_silent();
        stranger.ends();
    }
    let cut_off = u64::try_from(whole.len()).expect("a few");
    honest.refused(CloseReason::PeerClosed, cut_off);
    honest.finish();
}

#[test]
fn a_handshake_in_any_pieces_makes_a_lane_and_what_follows_it_is_read() {
    let honest = Honest::start(|config| config);
    let (handler, count) = counting_handler();
    honest.target.handle("in", handler).expect("a mailbox");
    let handshake = encoded(&hello("alice"));
    // A dialer should wait for the answer. One that does not is served all the same.
    let all = [handshake, letter("in", b"early")].concat();
    for (number, cut) in (1..all.len()).enumerate() {
        let mut stranger = Stranger::connect(honest.target.local_addr());
        stranger.say(&all[..cut]);
        stranger.say(&all[cut..]);
        let came = || count.load(std::sync::atomic::Ordering::Relaxed);
        let expected = u64::try_from(number).expect("small") + 1;
        wait_until("the message", came, |came| *came == expected);
    }
    honest.finish();
}

#[test]
fn a_handshake_of_one_byte_per_second_is_closed() {
    // A second is 20 milliseconds here, and the handshake has a third of the time it would take.
    let honest = Honest::start(|config| config.handshake_deadline_ms(400));
    let slow: Vec<_> = (0..4)
        .map(|_| {
            let address = honest.target.local_addr();
            let bytes = encoded(&hello("mallory"));
            std::thread::spawn(move || {
                let mut stranger = Stranger::connect(address);
                let said = bytes.iter().all(|byte| {
                    std::thread::sleep(Duration::from_millis(20));
                    stranger.say(&[*byte])
                });
                stranger.ends();
                said
            })
        })
        .collect();
    // These say nothing at all.
    let mut silent: Vec<_> = (0..4)
        .map(|_| Stranger::connect(honest.target.local_addr()))
        .collect();
    honest.refused(CloseReason::HandshakeTimeout, 8);
    silent.iter_mut().for_each(Stranger::ends);
    for thread in slow {
        thread.join().expect("it does not panic");
    }
    honest.finish();
}
