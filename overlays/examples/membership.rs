//! Membership at scale: detection, spread, false accusations, cost. Prints one JSON object per line.
use std::time::{Duration, Instant};

use overlane_overlays::hyparview::{self, HyParView};
use overlane_overlays::membership::Config;
use overlane_overlays::sim::NetworkConfig;
use overlane_overlays::sim::membership::Cluster;

fn main() {
    let mut args = std::env::args().skip(1);
    let count: u32 = args.next().map_or(100, |a| a.parse().expect("nodes"));
    let seed: u64 = args.next().map_or(7, |a| a.parse().expect("seed"));
    let started = Instant::now();
    let overlay = |node| HyParView::new(node, hyparview::Config::default());
    let mut cluster = Cluster::complete(
        seed,
        count,
        NetworkConfig::default(),
        Config::default(),
        Box::new(overlay),
    );
    cluster.join(Duration::from_millis(5));
    eprintln!("joined {:?} {:?}", started.elapsed(), cluster.world.now());
    let agree = cluster.periods_to_agree(120);
    cluster.world.run_for(Duration::from_secs(30));
    eprintln!(
        "agree {agree:?} connected {} {:?} {:?}",
        cluster.is_connected(),
        started.elapsed(),
        cluster.world.observer
    );
    let quiet = cluster.measure(Duration::from_secs(60));
    println!("quiet {quiet:?} {:?}", started.elapsed());
    for silent in [false, false, true, true] {
        let crash = cluster.crash(silent, 120);
        println!("crash silent {silent} {crash:?} {:?}", started.elapsed());
        cluster.world.run_for(Duration::from_secs(10));
    }
    println!("{:?}", cluster.world.observer);
    let network = NetworkConfig {
        loss: 0.05,
        ..NetworkConfig::default()
    };
    cluster.world.set_network(network);
    let slow = 3;
    cluster.world.slow_down(slow, Duration::from_secs(2));
    let lossy = cluster.measure(Duration::from_secs(120));
    println!(
        "lossy+slow {lossy:?} {:?} {:?}",
        cluster.world.observer,
        started.elapsed()
    );
    println!(
        "events {} per s {:.0}",
        cluster.world.totals().events,
        cluster.world.totals().events as f64 / started.elapsed().as_secs_f64()
    );
}
