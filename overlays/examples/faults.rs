//! `faults FIRST COUNT`: runs seeds, prints failures.
use overlane_overlays::sim::faults::{Outcome, Plan};
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let first: u64 = args[1].parse().expect("first");
    let count: u64 = args[2].parse().expect("count");
    let started = std::time::Instant::now();
    let (mut worst, mut events, mut failed) = (0, 0, 0);
    for seed in first..first + count {
        let s = std::time::Instant::now();
        let r = Outcome::of(seed, Plan::default());
        println!(
            "{seed} {} {} mended {:?} {:?} events {} {:?} {:?}",
            r.overlay,
            r.membership,
            r.mended_ms,
            r.unwell,
            r.events,
            r.violation,
            s.elapsed()
        );
        if args.len() > 3 {
            continue;
        }
        match Outcome::proven(seed, Plan::default()) {
            Ok(outcome) => {
                let m = outcome.mended_ms.unwrap_or(0);
                if m > worst {
                    worst = m;
                    println!(
                        "worst so far {seed} {} mem {} {m} ms",
                        outcome.overlay, outcome.membership
                    );
                }
                events += 2 * outcome.events;
            }
            Err(what) => {
                failed += 1;
                println!("{what}");
            }
        }
    }
    println!(
        "{count} seeds, {failed} failed, {events} events, {:?}",
        started.elapsed()
    );
}
