//! `overlane-bench soak`: two nodes in two processes, a proxy between them that cuts and stalls, and every
//! message held against what became of it.
//!
//! - flags.rs: what may be asked; protocol.rs: what the processes are asked
//! - process.rs: a process, with sending.rs or receiving.rs
//! - message.rs, sequences.rs, gaps.rs, ledger.rs: what a receiver checks and keeps
//! - run.rs: the run in its steps; outcome.rs: what it came to

mod flags;
mod gaps;
mod ledger;
mod message;
mod outcome;
pub(crate) mod process;
pub(crate) mod protocol;
mod receiving;
mod run;
mod sending;
mod sequences;

pub(crate) use flags::SoakFlags;
pub(crate) use message::{MESSAGE_BYTES_MIN, Place};
pub(crate) use run::run;
pub(crate) use sequences::Sequences;
