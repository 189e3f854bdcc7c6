//! Overlane: a cluster networking engine for Linux servers.
pub mod config;
pub mod delivery;
mod io;
mod ring;
pub mod wire;

pub use io::preflight;
