//! The main job.
mod file_message;
mod file_source;
mod gossip;
