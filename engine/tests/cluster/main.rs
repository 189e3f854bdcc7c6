//! A cluster forms by itself over real sockets: join, members, broadcasts, goodbyes, switches of the overlay.

#[path = "../support/mod.rs"]
mod support;

mod broadcasts;
mod joining;
mod nodes;
mod partitions;
mod relaying;
mod switching;
mod topics;
mod topology;
