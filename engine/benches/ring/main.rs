//! What it costs to push a record, to take it out, and to do both at once: our byte ring beside
//! queues that other crates have.
//!
//! `cargo bench -p overlane --bench ring`. Each round runs every queue in turn; printed are the
//! medians of the rounds' figures and of each round's ratio to our own. Two cores are needed: with
//! fewer, the figures mean nothing.

mod queues;
#[allow(
    dead_code,
    unused_imports,
    reason = "the ring is private to the crate; a part of it is measured, and its tests are not run"
)]
#[path = "../../src/ring/mod.rs"]
mod ring;

use std::hint::spin_loop;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use queues::{Queue, queues};

/// How much is measured; far less when this runs as a test.
#[derive(Clone, Copy)]
struct Effort {
    rounds: usize,
    phases: usize,
    chunks: usize,
}

const BENCH: Effort = Effort {
    rounds: 7,
    phases: 200,
    chunks: 100,
};
const TEST: Effort = Effort {
    rounds: 1,
    phases: 2,
    chunks: 2,
};

/// Records pushed, and then taken out, in one phase: less than any of the queues holds.
const PHASE_RECORDS: usize = 200;

/// Records timed together while both ends run. The median of many such times leaves out those in
/// which the machine gave the core to someone else.
const CHUNK_RECORDS: usize = 5000;

/// Nanoseconds a record.
#[derive(Clone, Copy, Default)]
struct Figures {
    /// Pushing while nobody takes out; the memory was last touched by the other core.
    push: f64,
    /// Taking out while nobody pushes; the memory was last touched by the other core.
    take: f64,
    /// Both at once, one producer.
    stream: f64,
    /// Pushing by two producers at once, each on its core; the sum of both.
    contended: Option<f64>,
}

impl Figures {
    fn columns(self) -> [Option<f64>; 4] {
        [
            Some(self.push),
            Some(self.take),
            Some(self.stream),
            self.contended,
        ]
    }
}

fn main() {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    assert!(
        cores.len() >= 2,
        "two cores are needed, and {} may be used",
        cores.len()
    );
    let bench = std::env::args().any(|argument| argument == "--bench");
    let effort = if bench { BENCH } else { TEST };
    report::<64>(effort);
    report::<1024>(effort);
}

fn report<const PAYLOAD_BYTES: usize>(effort: Effort) {
    let queues = queues::<PAYLOAD_BYTES>();
    let mut rounds: Vec<Vec<Figures>> = Vec::new();
    for _ in 0..effort.rounds {
        rounds.push(queues.iter().map(|queue| (queue.measure)(effort)).collect());
    }
    println!(
        "\n{PAYLOAD_BYTES}-byte payloads, ns a record, median of {} rounds",
        rounds.len()
    );
    println!(
        "(in parentheses: median ratio to `{}` in the same round)\n",
        queues[0].name
    );
    println!(
        "{:36}{:>16}{:>16}{:>16}{:>18}",
        "queue", "push", "take", "stream", "push, 2 threads"
    );
    for (place, Queue { name, .. }) in queues.iter().enumerate() {
        print!("{name:36}");
        for (column, width) in [16, 16, 16, 18].into_iter().enumerate() {
            let figure = median(&rounds, |round| round[place].columns()[column]);
            let ratio = median(&rounds, |round| {
                Some(round[place].columns()[column]? / round[0].columns()[column]?)
            });
            match figure.zip(ratio) {
                Some((figure, ratio)) => {
                    let text = format!("{figure:.1} ({ratio:.2})");
                    print!("{text:>width$}");
                }
                None => print!("{:>width$}", "-"),
            }
        }
        println!();
    }
}

fn median(rounds: &[Vec<Figures>], of: impl Fn(&[Figures]) -> Option<f64>) -> Option<f64> {
    middle(rounds.iter().filter_map(|round| of(round)).collect())
}

fn middle(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

fn pin(core: usize) {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    assert!(
        core_affinity::set_for_current(cores[core]),
        "cannot pin to core {core}"
    );
}

fn ns_per(records: usize, started: Instant) -> f64 {
    started.elapsed().as_secs_f64() * 1e9 / records as f64
}

/// Measures one queue: `push` puts in up to as many records as it is told, `take` takes out some;
/// both return how many (0 when full, or empty).
fn measure<Push, Take>(effort: Effort, make: impl Fn() -> (Push, Take)) -> Figures
where
    Push: FnMut(usize) -> usize + Send,
    Take: FnMut() -> usize + Send,
{
    let (push, take) = make();
    let (push, take) = in_phases(effort, push, take);
    let (push_streaming, take_streaming) = make();
    let stream = streaming(effort, push_streaming, take_streaming);
    Figures {
        push,
        take,
        stream,
        contended: None,
    }
}

/// As [`measure`], for queues that take more than one producer.
fn measure_shared<Push, Take>(effort: Effort, make: impl Fn() -> (Push, Take)) -> Figures
where
    Push: FnMut(usize) -> usize + Clone + Send,
    Take: FnMut() -> usize + Send,
{
    let (push, take) = make();
    let contended = contended(effort, push.clone(), push, take);
    Figures {
        contended: Some(contended),
        ..measure(effort, make)
    }
}

/// Pushes `count` records, with patience.
fn push_all(push: &mut impl FnMut(usize) -> usize, count: usize) {
    let mut left = count;
    while left > 0 {
        match push(left) {
            0 => spin_loop(),
            pushed => left -= pushed,
        }
    }
}

/// Takes at least `count` records out, with patience; returns how many more.
fn take_all(take: &mut impl FnMut() -> usize, count: usize) -> usize {
    let mut taken = 0;
    while taken < count {
        match take() {
            0 => spin_loop(),
            more => taken += more,
        }
    }
    taken - count
}

/// One thread fills, then the other empties, again and again. Returns nanoseconds for each.
fn in_phases(
    effort: Effort,
    mut push: impl FnMut(usize) -> usize + Send,
    mut take: impl FnMut() -> usize + Send,
) -> (f64, f64) {
    let turn = AtomicUsize::new(0);
    let wait_for = |phase: usize| {
        while turn.load(Ordering::Acquire) != phase {
            spin_loop();
        }
    };
    let timed = |core: usize, first: usize, work: &mut (dyn FnMut() + Send)| {
        pin(core);
        let mut nanoseconds: Vec<f64> = Vec::with_capacity(effort.phases);
        for phase in 0..effort.phases {
            wait_for(2 * phase + first);
            let started = Instant::now();
            work();
            nanoseconds.push(ns_per(PHASE_RECORDS, started));
            turn.fetch_add(1, Ordering::Release);
        }
        middle(nanoseconds).unwrap_or_default()
    };
    thread::scope(|scope| {
        let timed = &timed;
        let pushing = scope.spawn(move || timed(0, 0, &mut || push_all(&mut push, PHASE_RECORDS)));
        let taking = scope.spawn(move || {
            timed(1, 1, &mut || {
                take_all(&mut take, PHASE_RECORDS);
            })
        });
        (
            pushing.join().expect("pushes"),
            taking.join().expect("takes"),
        )
    })
}

/// Both at once, as fast as they can.
fn streaming(
    effort: Effort,
    mut push: impl FnMut(usize) -> usize + Send,
    mut take: impl FnMut() -> usize + Send,
) -> f64 {
    let start = Barrier::new(2);
    thread::scope(|scope| {
        scope.spawn(|| {
            pin(0);
            start.wait();
            push_all(&mut push, effort.chunks * CHUNK_RECORDS);
        });
        let taking = scope.spawn(|| {
            pin(1);
            start.wait();
            let mut nanoseconds = Vec::with_capacity(effort.chunks);
            let mut ahead = 0;
            for _ in 0..effort.chunks {
                let started = Instant::now();
                let records = CHUNK_RECORDS - ahead;
                ahead = take_all(&mut take, records);
                nanoseconds.push(ns_per(records + ahead, started));
            }
            middle(nanoseconds).unwrap_or_default()
        });
        taking.join().expect("takes")
    })
}

/// Two producers at once, half a phase each; what they pushed is taken out untimed.
fn contended(
    effort: Effort,
    mut push: impl FnMut(usize) -> usize + Send,
    mut other_push: impl FnMut(usize) -> usize + Send,
    mut take: impl FnMut() -> usize + Send,
) -> f64 {
    let pushed = AtomicUsize::new(0);
    let phase = AtomicUsize::new(0);
    let wait_for = |word: &AtomicUsize, value: usize| {
        while word.load(Ordering::Acquire) != value {
            spin_loop();
        }
    };
    let mut nanoseconds: Vec<f64> = Vec::with_capacity(effort.phases);
    thread::scope(|scope| {
        scope.spawn(|| {
            pin(0);
            for number in 1..=effort.phases {
                wait_for(&phase, number);
                push_all(&mut other_push, PHASE_RECORDS / 2);
                pushed.fetch_add(1, Ordering::Release);
            }
        });
        scope.spawn(|| {
            pin(1);
            for number in 1..=effort.phases {
                phase.store(number, Ordering::Release);
                let started = Instant::now();
                push_all(&mut push, PHASE_RECORDS / 2);
                wait_for(&pushed, number);
                nanoseconds.push(ns_per(PHASE_RECORDS, started));
                take_all(&mut take, PHASE_RECORDS);
            }
        });
    });
    middle(nanoseconds).unwrap_or_default()
}
