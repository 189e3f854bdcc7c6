//! Whom a full mesh dials, remembers and forgets, input by input.

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::*;

struct Bench {
    mesh: FullMesh<u32>,
    now: Time,
    random: SmallRng,
}

type Out = Vec<Output<u32, Message<u32>, PeriodOver>>;

impl Bench {
    fn new(peers_max: usize) -> Self {
        let config = Config {
            peers_max,
            ..Config::default()
        };
        Self {
            mesh: FullMesh::new(1, config),
            now: Time::ZERO,
            random: SmallRng::seed_from_u64(3),
        }
    }

    fn input(&mut self, input: Input<u32, Message<u32>, PeriodOver>) -> Out {
        let mut out = Vec::new();
        self.mesh
            .handle(self.now, input, &mut self.random, &mut out);
        out
    }

    fn down(&mut self, peer: u32, why: WhyDown) -> Out {
        self.input(Input::PeerDown { peer, why })
    }

    /// A period passes. Whom it dials, each of them in vain.
    fn period(&mut self) -> Vec<u32> {
        self.now = self.now + Config::default().period;
        let out = self.input(Input::Timer(PeriodOver));
        let dialed = dialed(&out);
        for peer in &dialed {
            self.down(*peer, WhyDown::TimedOut);
        }
        dialed
    }
}

fn dialed(out: &Out) -> Vec<u32> {
    let dialed = out.iter().filter_map(|output| match output {
        Output::Connect(peer) => Some(*peer),
        _ => None,
    });
    dialed.collect()
}

fn told(out: &Out) -> Vec<u32> {
    let told = out.iter().filter_map(|output| match output {
        Output::Send {
            message: Message::Peers(peers),
            ..
        } => Some(peers.clone()),
        _ => None,
    });
    told.flatten().collect()
}

#[test]
fn a_lost_node_is_dialed_ever_more_rarely_and_never_given_up() {
    let mut bench = Bench::new(10);
    bench.input(Input::PeerUp(2));
    bench.down(2, WhyDown::Lost);
    let dialed: Vec<usize> = (0..700).filter(|_| !bench.period().is_empty()).collect();
    let waits: Vec<usize> = dialed.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(waits[..9], [1, 2, 4, 8, 16, 32, 64, 128, 128]);
    bench.input(Input::PeerUp(2));
    bench.down(2, WhyDown::Lost);
    assert_eq!(bench.period(), [2], "at once, after it was there again");
}

#[test]
fn a_newcomer_takes_the_place_of_the_one_dialed_in_vain_most_often() {
    let mut bench = Bench::new(3);
    for peer in [2, 3, 4] {
        bench.input(Input::PeerUp(peer));
    }
    bench.down(2, WhyDown::Lost);
    bench.period();
    bench.down(3, WhyDown::Lost);
    let up = bench.input(Input::PeerUp(5));
    assert!(up.contains(&Output::Event(Event::NeighborUp(5))));
    assert_eq!(bench.period(), [3], "2 is forgotten");
    bench.input(Input::PeerUp(3));
    let refused = bench.input(Input::PeerUp(6));
    assert_eq!(refused, [Output::Disconnect(6)], "neighbors stay");
    assert_eq!(bench.mesh.neighbors(), [3, 4, 5]);
}

#[test]
fn hearsay_takes_the_place_of_the_hopeless_only() {
    let mut bench = Bench::new(2);
    for peer in [2, 3] {
        bench.input(Input::PeerUp(peer));
    }
    bench.down(2, WhyDown::Lost);
    let hear = |bench: &mut Bench| {
        let message = Message::Peers(vec![7]);
        dialed(&bench.input(Input::Received { from: 3, message }))
    };
    let mut vain = 0;
    while hear(&mut bench).is_empty() {
        vain += bench.period().len();
    }
    assert_eq!(vain, 3);
    assert_eq!(bench.period(), [0_u32; 0], "2 is forgotten");
}

#[test]
fn nobody_is_told_of_the_lost() {
    let mut bench = Bench::new(10);
    for peer in [2, 3, 4] {
        bench.input(Input::PeerUp(peer));
    }
    bench.down(2, WhyDown::Lost);
    assert_eq!(told(&bench.input(Input::PeerUp(5))), [3, 4]);
    let mut sample = told(&bench.input(Input::Timer(PeriodOver)));
    sample.sort_unstable();
    assert_eq!(sample, [3, 4, 5]);
}

#[test]
fn those_lost_just_now_are_dialed_before_the_long_lost() {
    let mut bench = Bench::new(1_000);
    for peer in 100..800 {
        bench.input(Input::PeerUp(peer));
        bench.down(peer, WhyDown::Lost);
    }
    for _ in 0..200 {
        bench.period();
    }
    bench.input(Input::PeerUp(5));
    bench.down(5, WhyDown::Lost);
    let next = bench.period();
    assert_eq!(next.len(), 8);
    assert!(next.contains(&5));
}

#[test]
fn who_said_goodbye_is_not_dialed() {
    let mut bench = Bench::new(10);
    bench.input(Input::PeerUp(2));
    let message = Message::Leave;
    let out = bench.input(Input::Received { from: 2, message });
    assert_eq!(out, [Output::Event(Event::NeighborDown(2))]);
    bench.down(2, WhyDown::Lost);
    assert!((0..300).all(|_| bench.period().is_empty()));
}

#[test]
fn a_busy_node_is_dialed_again_as_soon_as_before() {
    let mut bench = Bench::new(10);
    bench.input(Input::PeerUp(2));
    bench.down(2, WhyDown::Lost);
    for _ in 0..5 {
        bench.now = bench.now + Config::default().period;
        let out = bench.input(Input::Timer(PeriodOver));
        assert_eq!(dialed(&out), [2]);
        bench.down(2, WhyDown::Busy);
    }
}

#[test]
fn one_that_had_no_room_is_left_alone_for_some_periods() {
    let mut bench = Bench::new(10);
    bench.input(Input::PeerUp(2));
    bench.down(2, WhyDown::AskedFor);
    let waited = (0..).find(|_| !bench.period().is_empty());
    assert_eq!(waited, Some(3));
}
