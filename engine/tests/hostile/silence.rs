//! Peers that stop: reading, answering, in the middle of a frame, or without a word.

use std::io::{self, Write};
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::time::Duration;

use overlane::wire::{CloseReason, FrameKind};

use crate::honest::Honest;
use crate::stranger::{Stranger, encoded, frame, good_frame, hello, letter};
use crate::support::{reliable, wait_until};

/// The shortest that can be configured; a lane that is only slow has this long too.
const IDLE_TIMEOUT_MS: u64 = 1000;

/// From now on nothing that is sent to this socket arrives, and so nothing is answered: its host
/// might as well have lost its power.
fn unplug(stranger: &Stranger) {
    let mut drop_all = [libc::sock_filter {
        code: u16::try_from(libc::BPF_RET | libc::BPF_K).expect("an operation has 16 bits"),
        jt: 0,
        jf: 0,
        k: 0,
    }];
    let program = libc::sock_fprog {
        len: 1,
        filter: drop_all.as_mut_ptr(),
    };
    let length = libc::socklen_t::try_from(size_of_val(&program)).expect("small");
    // SAFETY: the program and its instruction are alive for the call, which copies them.
    let set = unsafe {
        libc::setsockopt(
            stranger.stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            length,
        )
    };
    assert_eq!(set, 0, "{}", io::Error::last_os_error());
}

#[test]
fn a_peer_that_stops_answering_is_closed() {
    let honest = Honest::start(|config| config.idle_timeout_ms(IDLE_TIMEOUT_MS));
    let address = honest.target.local_addr();
    let channel = honest.target.channel("data").expect("it is configured");

    // Nothing is said on this lane, so that only keep-alive can notice.
    let quiet = Stranger::lane(address, hello("quiet"));
    unplug(&quiet);
    // Something is sent to this one, and nobody acknowledges the segment.
    let dead = Stranger::lane(address, hello("dead"));
    unplug(&dead);
    honest.up("dead");
    let to = honest.target.destination("dead", "in").expect("names");
    channel
        .try_send(&to, b"are you there?")
        .expect("there is room");
    // This one is alive, but never reads.
    let deaf = Stranger::lane(address, hello("deaf"));
    honest.up("deaf");
    let to = honest.target.destination("deaf", "in").expect("names");
    while channel.try_send(&to, vec![7; 60_000]).is_ok() {}

    for peer in ["quiet", "dead", "deaf"] {
        println!("{peer}");
        honest.closed(peer, "data", CloseReason::IdleTimeout, 1);
    }
    drop((quiet, dead, deaf));
    honest.finish();
}

#[test]
fn a_frame_of_one_byte_per_second_is_closed() {
    let honest = Honest::start(|config| config.idle_timeout_ms(IDLE_TIMEOUT_MS));
    let address = honest.target.local_addr();
    // Half a frame that came with the Hello, half a header, and a body in single bytes.
    let mut with_hello = Stranger::connect(address);
    let early = [encoded(&hello("a")), frame(1, 100, 0, &[])].concat();
    with_hello.say(&early);
    let mut header = Stranger::lane(address, hello("b"));
    header.say(&frame(1, 100, 0, &[])[..5]);
    let mut body = Stranger::lane(address, hello("c"));
    body.say(&letter("in", b"a whole message"));
    body.say(&frame(1, 1 << 20, 0, &[]));
    let trickle = std::thread::spawn(move || {
        while body.say(&[7]) {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    for peer in ["a", "b", "c"] {
        honest.closed(peer, "data", CloseReason::TooSlow, 1);
    }
    trickle.join().expect("it does not panic");
    honest.finish();
}

#[test]
fn a_lane_that_waits_for_its_reader_is_not_called_slow() {
    // One shard, which looks over all lanes at once.
    let honest = Honest::start(|config| config.idle_timeout_ms(IDLE_TIMEOUT_MS).shards(1));
    let mut inbox = honest.target.inbox_of("in", 64 << 10).expect("a mailbox");
    let mut stranger = Stranger::lane(honest.target.local_addr(), hello("alice"));
    let size = 40_000;
    let message = good_frame(FrameKind::Message, 0, &vec![7; size]);
    stranger.say(&letter("in", &vec![7; size]));
    // In two halves, the second when the inbox is full.
    stranger.say(&message[..100]);
    let came = || {
        honest
            .target
            .metrics()
            .channel("alice", "data")
            .map_or(0, |lane| lane.bytes_received)
    };
    let so_far = size as u64 + 100;
    wait_until("the first half", came, |bytes| *bytes > so_far);
    stranger.say(&message[100..]);
    // Two peers that are slow, one after the other, are found out meanwhile.
    for peer in ["slow", "slower"] {
        let mut slow = Stranger::lane(honest.target.local_addr(), hello(peer));
        slow.say(&frame(1, 100, 0, &[])[..5]);
        honest.closed(peer, "data", CloseReason::TooSlow, 1);
    }
    let closes = honest
        .target
        .metrics()
        .channel("alice", "data")
        .expect("it is up")
        .closes
        .clone();
    assert!(closes.is_empty(), "{closes:?}");
    for _ in 0..2 {
        assert_eq!(
            inbox
                .recv_timeout(crate::support::GENEROUS)
                .expect("it comes")
                .len(),
            size
        );
    }
    honest.finish();
}

/// Messages to an inbox that nobody reads, until the socket takes no more.
fn fill_unread(stranger: &mut Stranger) {
    let wait = |timeout| {
        let set = stranger.stream.set_write_timeout(Some(timeout));
        set.expect("a socket takes a timeout");
    };
    wait(Duration::from_millis(50));
    let mut bytes = good_frame(FrameKind::Mailbox, 0, b"unread");
    let message = good_frame(FrameKind::Message, 0, &vec![7; 30_000]);
    while (&stranger.stream).write_all(&bytes).is_ok() {
        bytes.clone_from(&message);
    }
    wait(crate::support::GENEROUS);
}

#[test]
fn peers_that_go_while_an_unread_inbox_stops_their_lanes_are_found_out() {
    let honest = Honest::start(|config| config.idle_timeout_ms(IDLE_TIMEOUT_MS));
    let inbox = honest.target.inbox_of("unread", 64 << 10);
    let mut inbox = inbox.expect("a mailbox");
    let up = |name: &str| {
        let mut stranger = Stranger::lane(honest.target.local_addr(), hello(name));
        fill_unread(&mut stranger);
        stranger
    };
    // One closes, so that the node hears it, one breaks off, and one loses its power.
    let mut closes = Stranger::lane(honest.target.local_addr(), hello("closes"));
    closes.say(&letter("unread", &vec![7; 60_000]));
    closes.say(&good_frame(FrameKind::Message, 0, &vec![7; 60_000]));
    closes.fall_silent();
    let breaks = up("breaks");
    let linger = socket2::SockRef::from(&breaks.stream).set_linger(Some(Duration::ZERO));
    linger.expect("a socket takes it");
    drop(breaks);
    let dead = up("dead");
    unplug(&dead);
    // Many exit, as processes do.
    let many: Vec<_> = (0..40).map(|number| format!("exits-{number}")).collect();
    let strangers: Vec<_> = many.iter().map(|name| up(name)).collect();
    drop(strangers);

    for (peer, reason) in [
        ("closes", CloseReason::PeerClosed),
        ("breaks", CloseReason::Reset),
        ("dead", CloseReason::IdleTimeout),
    ] {
        println!("{peer}");
        honest.closed(peer, "data", reason, 1);
    }
    let lanes_up = || {
        let metrics = honest.target.metrics();
        let lanes = many.iter().filter_map(|name| metrics.channel(name, "data"));
        lanes.map(|lane| lane.lanes_up).sum::<u32>()
    };
    wait_until("the end of all lanes", lanes_up, |lanes| *lanes == 0);
    wait_until(
        "no connection but the honest ones",
        || honest.connections(),
        |count| *count == 2,
    );
    drop((closes, dead));
    while inbox.try_recv().is_some() {}
    honest.finish();
}

#[test]
fn a_lane_that_its_peer_dials_anew_has_to_answer_at_once_or_makes_room() {
    let honest = Honest::with(vec![reliable("data")], |config| {
        config.idle_timeout_ms(16 * IDLE_TIMEOUT_MS)
    });
    // Silent as well, but nobody doubts it.
    let quiet = Stranger::lane(honest.target.local_addr(), hello("quiet"));
    honest.up("quiet");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let there = listener.local_addr().expect("it is bound");
    honest.target.connect("alice", there).expect("a name");
    let (mut dialled, _) = Stranger::accept_as_older(&listener);
    dialled.welcome("alice", 1);
    honest.up("alice");
    // Its host has lost the connection, and says nothing on it.
    let mut again = Stranger::connect(honest.target.local_addr());
    again.say(&encoded(&hello("alice")));
    assert_eq!(again.refusal(), CloseReason::AlreadyUp);
    let (kind, ..) = dialled.next_frame().expect("it is asked");
    assert_eq!(kind, FrameKind::Ping);
    honest.closed("alice", "data", CloseReason::IdleTimeout, 1);
    let metrics = honest.target.metrics();
    let quiet_lane = metrics.channel("quiet", "data").expect("it is up");
    assert!(quiet_lane.closes.is_empty(), "{quiet_lane:#?}");
    let (mut dialled, _) = Stranger::accept_as_older(&listener);
    dialled.welcome("alice", 1);
    honest.up("alice");
    drop((quiet, dialled));
    honest.finish();
}

#[test]
fn a_connection_that_breaks_is_told_as_that_and_the_books_stay_exact() {
    let honest = Honest::start(|config| config);
    let channel = honest.target.channel("data").expect("it is configured");
    // Idle, in the middle of a frame, and with more under way to it than it reads.
    for (number, said) in [&b""[..], b"\x64\0\0", b""].into_iter().enumerate() {
        let name = format!("peer-{number}");
        let mut stranger = Stranger::lane(honest.target.local_addr(), hello(&name));
        honest.up(&name);
        stranger.say(said);
        let to = honest.target.destination(&name, "in").expect("names");
        let mut accepted = 0;
        while number == 2 && channel.try_send(&to, vec![7; 60_000]).is_ok() {
            accepted += 1;
        }
        // Without a delay, closing is a reset.
        let linger = socket2::SockRef::from(&stranger.stream).set_linger(Some(Duration::ZERO));
        linger.expect("a socket takes it");
        drop(stranger);
        honest.closed(&name, "data", CloseReason::Reset, 1);
        let metrics = honest.target.metrics();
        let lane = metrics.channel(&name, "data").expect("it was up");
        assert_eq!(
            (lane.accepted, lane.reported),
            (accepted, accepted),
            "{lane:#?}"
        );
        assert!(lane.is_drained());
    }
    honest.finish();
}
