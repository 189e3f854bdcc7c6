//! All of it at once: many strangers, each doing the next thing at random.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use fastrand::Rng;
use overlane::wire::{FrameKind, Hello};

use crate::honest::Honest;
use crate::stranger::{Stranger, encoded, frame, good_frame, hello, letter};
use crate::support::{config, counting_handler, ends, reliable, start, wait_until};

/// Strangers at a time, and what each does before it goes.
const STRANGERS: usize = 6;
const DEEDS: usize = 1500;

fn noise(random: &mut Rng, bytes_max: usize) -> Vec<u8> {
    let mut bytes = vec![0; random.usize(..bytes_max)];
    random.fill(&mut bytes);
    bytes
}

/// A lane of one of a few names, so that strangers take one another's; `None` if it was refused.
fn lane(address: SocketAddr, random: &mut Rng, hello: &Hello) -> Stranger {
    let mut hello = hello.clone();
    hello.node = crate::stranger::name(&format!("mallory-{}", random.u8(..3)));
    hello.incarnation = random.u64(1..4);
    let mut stranger = Stranger::connect(address);
    stranger.say(&encoded(&hello));
    if random.bool() {
        // Waits for the answer, whatever it is.
        stranger.read_some();
    }
    stranger
}

/// One thing that a stranger does.
fn deed(address: SocketAddr, random: &mut Rng, hello: &Hello) {
    let kind = random.u8(..9);
    let mut stranger = match kind {
        0..3 => Stranger::connect(address),
        _ => lane(address, random, hello),
    };
    match kind {
        0 => drop(stranger.say(&noise(random, 5000))),
        1 => {
            let whole = encoded(hello);
            stranger.say(&whole[..random.usize(..whole.len())]);
        }
        2 => {}
        3 => drop(stranger.say(&noise(random, 50_000))),
        4 => {
            let bytes = letter("in", &noise(random, 100_000));
            stranger.say(&bytes[..random.usize(..bytes.len())]);
        }
        5 => {
            let length = random.u32(..1 << 24);
            stranger.say(&frame(
                random.u8(..),
                length,
                random.u32(..),
                &noise(random, 500),
            ));
        }
        6 => drop(stranger.say(&good_frame(FrameKind::Ping, 7, &[]).repeat(500))),
        7 => drop(stranger.say(&good_frame(FrameKind::Bye, random.u32(..), &[]))),
        _ => drop(stranger.say(&letter("in", &[7; 2000]))),
    }
    match random.u8(..3) {
        0 => stranger.fall_silent(),
        1 => {
            let linger = socket2::SockRef::from(&stranger.stream).set_linger(Some(Duration::ZERO));
            linger.expect("a socket takes it");
        }
        _ => {}
    }
}

#[test]
fn everything_at_once_harms_nobody_else() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let honest = Honest::start(|config| config.handshake_deadline_ms(1000));
    let (handler, _) = counting_handler();
    honest.target.handle("in", handler).expect("a mailbox");
    let (address, good) = (honest.target.local_addr(), hello("mallory"));
    let strangers: Vec<_> = (0..STRANGERS)
        .map(|number| {
            let good = good.clone();
            std::thread::spawn(move || {
                let mut random = Rng::with_seed(seed.wrapping_add(number as u64));
                (0..DEEDS).for_each(|_| deed(address, &mut random, &good));
            })
        })
        .collect();
    while strangers.iter().any(|stranger| !stranger.is_finished()) {
        honest.goes_on();
    }
    for stranger in strangers {
        stranger.join().expect("a stranger does not panic");
    }
    // Two are the friend's lanes.
    wait_until("all are gone", || honest.connections(), |count| *count == 2);
    let metrics = honest.target.metrics();
    assert!(metrics.identity_holds(), "{metrics:#?}");
    for lane in metrics
        .lanes
        .iter()
        .filter(|lane| lane.peer.starts_with("mallory"))
    {
        assert!(lane.is_drained() && lane.lanes_up == 0, "{lane:#?}");
    }
    honest.finish();
}

#[test]
fn a_node_stops_in_the_middle_of_it() {
    for shards in [1, 2] {
        let node = start(config("target").shards(shards).channel(reliable("data")));
        let (handler, count) = counting_handler();
        node.handle("in", handler).expect("a mailbox");
        let address = node.local_addr();
        let strangers: Vec<_> = (0..4)
            .map(|number| {
                let lane = encoded(&hello(&format!("mallory-{number}")));
                std::thread::spawn(move || {
                    // Until nobody listens there any more.
                    while let Ok(stream) = TcpStream::connect(address) {
                        let mut stranger = Stranger::from(stream);
                        stranger.say(&lane);
                        stranger.say(&letter("in", &[7; 5000]));
                    }
                })
            })
            .collect();
        let came = || count.load(std::sync::atomic::Ordering::Relaxed);
        wait_until("the storm", came, |came| *came > 10);
        let report = ends("the stop", move || node.stop(Duration::from_secs(3600)));
        assert!(report.drained && report.metrics.identity_holds());
        strangers
            .into_iter()
            .for_each(|stranger| stranger.join().expect("it ends"));
    }
}
