//! What goes over a connection: bytes, handshakes, terms, names of mailboxes, and which of two connections stays.

#[path = "../support/mod.rs"]
mod support;

mod corpus;
mod golden;
mod handshake;
mod lane_choice;
mod mailboxes;
mod terms;
mod versions;
