//! Membership at scale. `membership report|heal OVERLAY NODES SEED [LOSS SLOW_MS]`.
use std::time::{Duration, Instant};

use overlane_overlays::sim::membership::{Healing, Report, Trouble};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let carrier = args[2].parse().expect("overlay");
    let nodes = args[3].parse().expect("nodes");
    let seed = args[4].parse().expect("seed");
    let started = Instant::now();
    if args[1] == "heal" {
        println!(
            "{:?}",
            Healing::of(carrier, nodes, seed, Duration::from_secs(60))
        );
    } else {
        let trouble = Trouble {
            loss: args.get(5).map_or(0.05, |a| a.parse().expect("loss")),
            slow: Duration::from_millis(args.get(6).map_or(2000, |a| a.parse().expect("slow"))),
            span: Duration::from_secs(120),
        };
        println!("{:?}", Report::of(carrier, nodes, seed, 4, trouble));
    }
    println!("{:?}", started.elapsed());
}
