//! Each fault seen to happen, on real sockets; without faults, bytes as they were.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroU64;
use std::thread;
use std::time::{Duration, Instant};

use overlane_proxy::{Act, Direction, Plan, Proxy};

/// How long anything may take on a loaded machine.
const GENEROUS: Duration = Duration::from_secs(60);
/// Long enough to see that nothing comes.
const A_WHILE: Duration = Duration::from_millis(100);
const MIB: usize = 1 << 20;

/// A target that accepts, and the proxy before it.
fn target() -> (TcpListener, Proxy) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let proxy = Proxy::start(listener.local_addr().expect("it is bound")).expect("a free port");
    (listener, proxy)
}

/// A connection through the proxy: the dialling end, and the target's.
fn connected(listener: &TcpListener, proxy: &Proxy) -> (TcpStream, TcpStream) {
    let before = proxy.counts().connections;
    let client = TcpStream::connect(proxy.address()).expect("the proxy listens");
    let (server, _) = listener.accept().expect("the proxy dials on");
    // The target's kernel has answered before the proxy knows that.
    wait_until("it is joined", || proxy.counts().connections > before);
    for end in [&client, &server] {
        end.set_read_timeout(Some(GENEROUS)).expect("a time");
        end.set_nodelay(true).expect("an option");
    }
    (client, server)
}

fn pair() -> (TcpStream, TcpStream, Proxy) {
    let (listener, proxy) = target();
    let (client, server) = connected(&listener, &proxy);
    (client, server, proxy)
}

/// Bytes of which no two stretches are alike.
fn bytes(seed: u64, count: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| random.u8(..))
        .take(count)
        .collect()
}

fn all_that_comes(mut from: TcpStream) -> Vec<u8> {
    let mut came = Vec::new();
    from.read_to_end(&mut came).expect("it ends");
    came
}

fn nothing_comes(from: &mut TcpStream) {
    from.set_read_timeout(Some(A_WHILE)).expect("a time");
    let read = from.read(&mut [0; 1]);
    let kind = read.as_ref().map_err(std::io::Error::kind);
    assert_eq!(kind.err(), Some(ErrorKind::WouldBlock), "{read:?}");
    from.set_read_timeout(Some(GENEROUS)).expect("a time");
}

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + GENEROUS;
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not come true");
        thread::yield_now();
    }
}

/// Bytes both ways at once, in pieces of any size, each end closed by its writer alone.
fn passes_unchanged(proxy: &Proxy, listener: &TcpListener, count: usize) {
    let (client, server) = connected(listener, proxy);
    thread::scope(|scope| {
        for (seed, end) in [(1, &client), (2, &server)] {
            scope.spawn(move || {
                let (bytes, mut random) = (bytes(seed, count), fastrand::Rng::with_seed(seed));
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    let (piece, others) = rest.split_at(random.usize(1..=rest.len().min(100_000)));
                    (&*end).write_all(piece).expect("the other end reads");
                    rest = others;
                }
                end.shutdown(Shutdown::Write).expect("it is open");
            });
        }
        let at = |end: &TcpStream| end.try_clone().expect("a descriptor");
        let [to_client, to_server] = [at(&client), at(&server)];
        let came = scope.spawn(|| all_that_comes(to_client));
        assert!(
            all_that_comes(to_server) == bytes(1, count),
            "to the target"
        );
        assert!(came.join().expect("no panic") == bytes(2, count), "back");
    });
}

#[test]
fn bytes_pass_unchanged_both_ways_and_each_end_closes_for_itself() {
    let (listener, proxy) = target();
    passes_unchanged(&proxy, &listener, 5 * MIB);
    for direction in Direction::BOTH {
        proxy.set_delay(direction, Duration::from_millis(5));
        proxy.set_rate(direction, NonZeroU64::new(40_000_000));
    }
    passes_unchanged(&proxy, &listener, MIB);
    wait_until("the connections are forgotten", || proxy.counts().open == 0);
    let counts = proxy.counts();
    assert_eq!((counts.connections, counts.cut), (2, 0), "{counts:?}");
    assert_eq!(counts.bytes_to_target, 6 * MIB as u64);
    assert_eq!(counts.bytes_from_target, 6 * MIB as u64);
    assert_eq!(counts.corrupted_bytes, 0);
}

#[test]
fn a_delay_takes_its_time_each_way() {
    let (mut client, mut server, proxy) = pair();
    proxy.set_delay(Direction::ToTarget, Duration::from_millis(40));
    proxy.set_delay(Direction::FromTarget, Duration::from_millis(20));
    let echo = thread::spawn(move || {
        let mut one = [0; 1];
        server.read_exact(&mut one).expect("it comes");
        let there = Instant::now();
        server.write_all(&one).expect("it is open");
        (there, server)
    });
    let sent = Instant::now();
    client.write_all(&[7]).expect("it is open");
    client.read_exact(&mut [0; 1]).expect("it comes");
    let back = Instant::now();
    let (there, _server) = echo.join().expect("no panic");
    assert!(
        there - sent >= Duration::from_millis(40),
        "{:?}",
        there - sent
    );
    assert!(
        back - there >= Duration::from_millis(20),
        "{:?}",
        back - there
    );
}

#[test]
fn a_delay_keeps_the_bandwidth_because_what_is_under_way_does_not_wait_for_one_another() {
    let (mut client, mut server, proxy) = pair();
    proxy.set_delay(Direction::ToTarget, Duration::from_secs(3_600));
    // All of it leaves the sender, although none of it has come.
    client.write_all(&vec![1; 12 * MIB]).expect("it is open");
    nothing_comes(&mut server);
}

#[test]
fn a_throttled_link_passes_its_rate_and_no_more_over_all_connections() {
    let (listener, proxy) = target();
    proxy.set_rate(Direction::ToTarget, NonZeroU64::new(20_000_000));
    let begin = Instant::now();
    thread::scope(|scope| {
        for _ in 0..2 {
            let (mut client, server) = connected(&listener, &proxy);
            scope.spawn(move || client.write_all(&vec![1; 2_000_000]).expect("it is open"));
            scope.spawn(move || assert_eq!(all_that_comes(server).len(), 2_000_000));
        }
    });
    let took = begin.elapsed();
    assert!(
        took >= Duration::from_millis(190),
        "{took:?} for 4 MB at 20 MB/s"
    );
}

#[test]
fn a_stall_holds_everything_and_loses_nothing() {
    let (mut client, mut server, proxy) = pair();
    proxy.stall(true);
    proxy.stall(true);
    client.write_all(b"to").expect("it is open");
    server.write_all(b"from").expect("it is open");
    nothing_comes(&mut server);
    nothing_comes(&mut client);
    client.shutdown(Shutdown::Write).expect("it is open");
    nothing_comes(&mut server);
    proxy.stall(false);
    let mut from = [0; 4];
    client.read_exact(&mut from).expect("it comes");
    assert_eq!((&from, &all_that_comes(server)[..]), (b"from", &b"to"[..]));
    assert_eq!(proxy.counts().stalls, 1);
}

#[test]
fn a_cut_ends_both_ends_at_once_stalled_or_not() {
    let (listener, proxy) = target();
    for stalled in [false, true] {
        let (mut client, mut server) = connected(&listener, &proxy);
        proxy.stall(stalled);
        client.write_all(&[1]).expect("it is open");
        proxy.cut();
        for end in [&mut client, &mut server] {
            // What had come already may be read, and then it is over.
            let read = end.read_to_end(&mut Vec::new());
            assert!(read.is_ok_and(|bytes| bytes <= 1), "stalled {stalled}");
        }
        assert_eq!(proxy.counts().open, 0);
    }
    assert_eq!(proxy.counts().cut, 2);
}

#[test]
fn a_connection_is_cut_after_as_many_bytes_as_it_may_have() {
    let (mut client, server, proxy) = pair();
    proxy.cut_each_after(100_001);
    // It may be cut before all is written.
    drop(client.write_all(&bytes(1, 300_000)));
    assert!(all_that_comes(server) == bytes(1, 300_000)[..100_001]);
    wait_until("the cut is counted", || proxy.counts().cut == 1);
}

#[test]
fn damage_is_counted_and_follows_from_the_seed() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let target = listener.local_addr().expect("it is bound");
    let damaged = |seed| {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let proxy = Proxy::listen(any, target, seed).expect("a free port");
        proxy.set_corrupt_every(NonZeroU64::new(10_000));
        let (mut client, server) = connected(&listener, &proxy);
        let (sent, sending) = (bytes(1, MIB), bytes(1, MIB));
        let writing = thread::spawn(move || client.write_all(&sending).expect("it is open"));
        let came = all_that_comes(server);
        writing.join().expect("no panic");
        assert_eq!(came.len(), sent.len());
        let places: Vec<usize> = (0..came.len())
            .filter(|at| came[*at] != sent[*at])
            .collect();
        assert_eq!(proxy.counts().corrupted_bytes, places.len() as u64);
        places
    };
    let places = damaged(5);
    assert!((30..300).contains(&places.len()), "{}", places.len());
    assert_eq!(places, damaged(5));
    assert_ne!(places, damaged(6));
}

#[test]
fn an_end_that_closes_half_open_is_told_to_nobody() {
    let (client, mut server, proxy) = pair();
    proxy.keep_half_open();
    drop(client);
    nothing_comes(&mut server);
    drop(proxy);
    assert_eq!(all_that_comes(server), b"");
}

#[test]
fn a_target_that_does_not_read_stops_the_sender() {
    for delay in [Duration::ZERO, Duration::from_millis(1)] {
        let (mut client, _server, proxy) = pair();
        proxy.set_delay(Direction::ToTarget, delay);
        client.set_write_timeout(Some(A_WHILE)).expect("a time");
        let mut taken = 0;
        while let Ok(bytes) = client.write(&vec![1; MIB]) {
            taken += bytes;
            assert!(taken < 128 * MIB, "the proxy takes whatever comes");
        }
        let passed = proxy.counts().bytes_to_target;
        assert!(passed > 0, "the target's kernel takes some");
    }
}

#[test]
fn a_target_that_is_not_there_closes_the_connection_until_another_is_named() {
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let at = nobody.local_addr().expect("it is bound");
    drop(nobody);
    let proxy = Proxy::start(at).expect("a free port");
    let client = TcpStream::connect(proxy.address()).expect("the proxy listens");
    assert_eq!(all_that_comes(client), b"");
    wait_until("it is counted", || proxy.counts().unreachable == 1);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    proxy.set_target(listener.local_addr().expect("it is bound"));
    passes_unchanged(&proxy, &listener, 1_000);
}

#[test]
fn a_plan_is_carried_out_and_leaves_nothing_stalled() {
    let (mut client, mut server, proxy) = pair();
    let second = Duration::from_secs(1);
    let begin = Instant::now();
    let plan = Plan::new(9, Some(second), Some(second), second).take(30);
    let mut waits = Vec::new();
    // Its time is not waited for: it is the caller's.
    proxy.play(plan, |at| {
        waits.push(at);
        true
    });
    assert_eq!(waits.len(), 30);
    assert!(waits.is_sorted() && waits[0] >= begin);
    assert!(client.read_to_end(&mut Vec::new()).is_ok());
    assert!(server.read_to_end(&mut Vec::new()).is_ok());
    let counts = proxy.counts();
    assert_eq!((counts.cut, counts.stalls), (1, 10), "{counts:?}");
    let mut asked = 0;
    proxy.play([(second, Act::Stall), (second, Act::Cut)], |_| {
        asked += 1;
        asked < 2
    });
    assert_eq!(proxy.counts().stalls, 11, "and then it was told to stop");
}
