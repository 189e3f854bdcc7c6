//! Any value that a parameter of a protocol allows is one that the protocols run with.

use std::time::Duration;

use overlane_overlays::Command;
use overlane_overlays::epoch::OverlayKind;

use super::World;
use crate::cluster::machine::MachineConfig;
use crate::config::{Allowed, Config, NODE_GROUPS};

#[test]
fn the_protocols_run_with_both_ends_of_every_parameter() {
    for group in NODE_GROUPS {
        for parameter in group.parameters {
            let Allowed::Number(least, most) = parameter.allowed else {
                continue;
            };
            for end in [least, most] {
                println!("{} = {end}", parameter.name);
                let mut config = Config::default();
                parameter
                    .set(&mut config, &end.to_string())
                    .expect("an end of its range");
                run(&config);
            }
        }
    }
}

/// Four nodes join, switch, subscribe and lose one; whether they agree depends on the parameter.
fn run(config: &Config) {
    let mut world = World::new(1);
    world.config = MachineConfig::of(config);
    world.start(0, OverlayKind::PubSub, None);
    for number in 1..4 {
        world.start(number, OverlayKind::PubSub, Some(0));
    }
    world.run_for(Duration::from_secs(3));
    world.order("n1", Command::Subscribe(7));
    world.broadcast("n2", b"hello");
    world.run_for(Duration::from_secs(3));
    world.switch("n3", OverlayKind::ClientServer);
    world.kill("n0");
    world.run_for(Duration::from_secs(10));
    assert_eq!(world.nodes["n1"].accused, 0);
}
