//! Overlane: a cluster networking engine for Linux servers.
pub mod config;
pub mod delivery;
mod ring;
pub mod wire;
