//! Messages between applications: the face of the library, queues and inboxes, priorities, and who stops whom.

#[path = "../support/mod.rs"]
mod support;

mod api;
mod broadcast;
mod capacity;
mod fairness;
mod forever;
mod handlers;
mod inbox;
mod isolation;
mod itself;
mod mailboxes;
mod messages;
mod metrics;
mod misuse;
mod overflow;
mod priorities;
mod recordings;
mod tasks;
mod waiting;
