//! Overlay and membership protocols as pure state machines, and (feature `sim`) a simulator for them.
//!
//! Nothing in this crate has a clock, a socket or a thread. A *driver* (the engine's control shard,
//! or the simulator) hands a protocol its inputs together with the time and a random generator, and
//! carries out the outputs. The whole contract is on one screen: [`event`].
//!
//! # Layout
//!
//! - [`event`]: `Input`, `Output`, `Command`, `Event` and the trait [`Protocol`]
//! - [`message`]: bytes to messages and back, every size checked first; [`payload`]: what is broadcast
//! - [`time`]: the time that drivers hand in
//! - [`stack`]: one protocol on top of another, so that every layer works over every overlay
//! - overlays, who connects to whom: [`full_mesh`], [`hyparview`], [`client_server`],
//!   [`pub_sub`]
//! - [`switching`]: one of them in place of another while it carries; [`epoch`]: its words
//! - broadcast, over any overlay: [`plumtree`], [`epidemic`]; [`direct`], where all are neighbors;
//!   [`broadcasts`]: of these the one that fits, while the overlay is switched
//! - [`atomic_broadcast`], over any overlay: all members of a stated view deliver, or none
//! - [`anti_entropy`], over any overlay: the application's state alike on all nodes in the end
//! - [`membership`], over any broadcast: every member known everywhere; [`failure_detector`]: its ears
//! - [`causal_broadcast`], over any broadcast: each node delivers what a message depends on before it
//! - [`broadcast_kinds`]: plain, epidemic, causal and atomic broadcast side by side
//! - [`causal_unicast`], over anything: the same between single nodes, acknowledged or given back
//! - over membership: [`partitions`], which names both sides of a split, and [`coordinator`], the one
//!   member that all who reach each other agree on
//!
//! # Invariants worth naming
//!
//! - The same inputs, times and generator give the same outputs: collections are ordered, no
//!   protocol reads anything but its arguments.
//! - No input makes a protocol panic, whatever a peer sent. A message that breaks a bound is dropped.
//! - Every collection that a peer can make grow has a bound.
#![forbid(unsafe_code)]

mod alarm;
pub mod anti_entropy;
pub mod atomic_broadcast;
pub mod broadcast_kinds;
pub mod broadcasts;
pub mod causal_broadcast;
pub mod causal_unicast;
pub mod client_server;
pub mod coordinator;
pub mod direct;
pub mod epidemic;
pub mod epoch;
mod estimate;
pub mod event;
pub mod failure_detector;
pub mod full_mesh;
mod hash;
mod hold_back;
pub mod hyparview;
pub mod membership;
pub mod message;
mod pace;
mod pages;
pub mod partitions;
pub mod payload;
pub mod plumtree;
pub mod protocols;
pub mod pub_sub;
mod recent;
#[cfg(feature = "sim")]
pub mod sim;
pub mod stack;
mod store;
pub mod switching;
pub mod time;

pub use event::{
    AtomicOutcome, Command, Delivery, Event, Input, Output, Overlay, Peer, Protocol, Refusal,
    TopicId, WhyDown,
};
pub use hold_back::{Count, Gap, Life, Limits};
pub use message::{DecodeError, Encoded, Message, decode, decode_shared, encode, encode_shared};
pub use payload::Payload;
pub use stack::Stack;
pub use store::{Mark, MessageId, StoreConfig};
pub use time::Time;
