//! The main job: three nodes in three processes, a real file, heartbeats and rumours, all checked.
//!
//! - run.rs: the run in its steps; cluster.rs: the parent's hold on the three processes
//! - process.rs: one node process, with traffic.rs (heartbeats and rumours) and transfer.rs (the file)
//! - plain.rs: heartbeats over a plain socket beside the engine's
//! - file_source.rs, file_message.rs, gossip.rs: what moves, without sockets
//! - run_folder.rs: where a run has its files, and what stays of them
//! - outcome/: what a run came to: checks, table, JSON, report

mod cluster;
mod file_message;
mod file_source;
mod gossip;
mod outcome;
mod plain;
pub(crate) mod process;
pub(crate) mod protocol;
mod run;
mod run_folder;
mod traffic;
mod transfer;

pub(crate) use run::run;
