//! A cluster forms by itself over real sockets: join, members, broadcasts, goodbyes, switches of the overlay.

#[path = "../../../discovery/tests/servers/real/mod.rs"]
mod real;
#[path = "../../../discovery/tests/servers/stand_in/mod.rs"]
mod stand_in;
#[path = "../support/mod.rs"]
mod support;

mod broadcasts;
mod channels;
mod discovery;
mod discovery_on_networks;
mod hosts;
mod joining;
mod libcluster;
mod nodes;
mod partitions;
mod relaying;
mod switching;
mod topics;
mod topology;
