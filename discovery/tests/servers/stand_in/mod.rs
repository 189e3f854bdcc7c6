//! Servers that stand in for real ones.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test program uses a part of it"
)]

pub mod dns;
pub mod kubernetes;
pub mod web;
