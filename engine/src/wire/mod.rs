//! Bytes to frames and back: all that two nodes say to each other on a lane, without any I/O.
//!
//! A lane opens with one [`handshake`] (a [`hello`], answered), is kept or refused by
//! [`lane_choice`], then carries [`frame`]s until it ends with a [`close`] reason. Called by the
//! shards, and by tools that speak to nodes raw. Nothing here may read a socket or a clock,
//! buffer more than its stated bound, or panic on what a peer sent. `docs/wire.md` has each
//! layout with its bytes.
pub mod close;
pub mod control;
pub mod frame;
pub mod handshake;
pub mod hello;
pub mod lane_choice;
pub mod mailbox;
pub mod name;
pub mod terms;

pub use close::CloseReason;
pub use control::Ack;
pub use frame::{
    BODY_BYTES_MAX, DecodeError, Frame, FrameKind, FrameLimits, HEADER_BYTES, Next, next_frame,
    put_header,
};
pub use handshake::{AcceptProgress, Acceptor, DialProgress, Dialer, HandshakeError};
pub use hello::{HandshakeMessage, Hello, Refuse, Welcome};
pub use name::{Name, NameError};
pub use terms::ChannelTerms;
