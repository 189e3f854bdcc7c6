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
    for (loss, slow_ms) in [
        (0.05, 0),
        (0.0, 500),
        (0.0, 2000),
        (0.05, 2000),
        (0.0, 5000),
    ] {
        cluster.world.set_network(NetworkConfig {
            loss,
            ..NetworkConfig::default()
        });
        let slow = 3;
        cluster
            .world
            .slow_down(slow, Duration::from_millis(slow_ms));
        let before = (
            cluster.world.observer.errors(None),
            cluster.world.observer.errors(Some(slow)),
        );
        let accusations: u64 = cluster
            .world
            .state(slow)
            .map_or(0, |s| s.upper.counters().accusations);
        let cost = cluster.measure(Duration::from_secs(120));
        let after = (
            cluster.world.observer.errors(None),
            cluster.world.observer.errors(Some(slow)),
        );
        let accused = cluster
            .world
            .state(slow)
            .map_or(0, |s| s.upper.counters().accusations)
            - accusations;
        println!(
            "loss {loss} slow {slow_ms}: {cost:?} suspects all {} others {} downs all {} others {} slow accused {accused}",
            after.0.0 - before.0.0,
            after.1.0 - before.1.0,
            after.0.1 - before.0.1,
            after.1.1 - before.1.1
        );
        cluster.world.set_network(NetworkConfig::default());
        cluster.world.slow_down(slow, Duration::ZERO);
        println!("agrees after {:?}", cluster.periods_to_agree(60));
    }
    let total = cluster.world.totals().events;
    println!(
        "events {total} per s {:.0}",
        total as f64 / started.elapsed().as_secs_f64()
    );
}
