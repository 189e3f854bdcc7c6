//! What a node does that has nothing to do: each wake-up is a thread that runs, on a host that may run hundreds of nodes.

use std::time::Duration;

use overlane_overlays::epoch::OverlayKind;

use super::{KINDS, World, world};

const MINUTE: Duration = Duration::from_secs(60);

/// The most of what its nodes do in a minute in which nothing happens: steps in all, steps for timers, new views.
fn idle_minute(world: &mut World) -> (u64, u64, u64) {
    // What follows the joins has its time first.
    world.run_for(2 * MINUTE);
    for node in world.nodes.values_mut() {
        (node.steps, node.timer_steps, node.views) = (0, 0, 0);
    }
    world.run_for(MINUTE);
    let nodes = || world.nodes.values();
    (
        nodes().map(|node| node.steps).max().unwrap_or(0),
        nodes().map(|node| node.timer_steps).max().unwrap_or(0),
        nodes().map(|node| node.views).max().unwrap_or(0),
    )
}

#[test]
fn an_idle_node_wakes_a_few_times_a_second_and_shows_nothing_new() {
    for (seed, overlay) in (130..).zip(KINDS) {
        let mut world = world(seed, 24, overlay);
        let (steps, timers, views) = idle_minute(&mut world);
        println!(
            "{overlay}: {steps} steps in a minute, {timers} of them for timers, {views} views"
        );
        // A probe each second, its answer, the answer to another one's, and what the overlay has to say.
        assert!(timers <= 300, "{overlay}: {timers} timers");
        assert!(steps <= 750, "{overlay}: {steps} steps");
        assert_eq!(views, 0, "{overlay}: nothing has changed");
    }
}

#[test]
fn a_node_alone_wakes_hardly_at_all() {
    let mut world = World::new(140);
    world.start(0, OverlayKind::HyParView, None);
    let (steps, _, views) = idle_minute(&mut world);
    println!("alone: {steps} steps in a minute");
    assert!(steps <= 250, "{steps} steps");
    assert_eq!(views, 0);
}
