//! What each kind of delivery promises, on real sockets: reliability, order, receipts, deadlines, requests, streams.

#[path = "../hostile/stranger.rs"]
#[allow(dead_code, reason = "some of what it can say is for other tests")]
mod stranger;
#[path = "../support/mod.rs"]
mod support;

mod absence;
mod anything;
mod caps;
mod causal;
mod compression;
mod deadlines;
mod faults;
mod fragments;
mod large;
mod lost_requests;
mod monotonic;
mod options;
mod ordering;
mod receipts;
mod requests;
mod resume;
mod rules;
mod spans;
mod streams;
mod traces;
mod typed;
