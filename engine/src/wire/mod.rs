//! Bytes to frames and back: all that two nodes say to each other on a lane, without any I/O.
//!
//! A lane opens with one [`handshake`] (a [`hello`], answered), is kept or refused by
//! [`lane_choice`], then carries [`frame`]s until it ends with a [`close`] reason. Called by the
//! shards, and by tools that speak to nodes raw. Nothing here may read a socket or a clock,
//! buffer more than its stated bound, or panic on what a peer sent. `docs/wire.md` has each
//! layout with its bytes.
//!
//! How a tool brings up a lane and sends one message, with a socket's bytes in and out:
//!
//! ```
//! use overlane::wire::control::{append_mailbox, append_message};
//! use overlane::wire::{ChannelTerms, DialProgress, Dialer, Hello, Name};
//! # use overlane::wire::{HandshakeMessage, Welcome};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (mut dialer, bytes_to_send) = Dialer::new(Hello {
//!     cluster: Name::new("prod")?,
//!     node: Name::new("tool-1")?,
//!     incarnation: 1,
//!     expected_node: None,
//!     channel: Name::new("data")?,
//!     terms: ChannelTerms {
//!         priority: 4,
//!         reliability: Name::new("reliable")?,
//!         ordering: Name::new("fifo")?,
//!         parallelism: 1,
//!         body_bytes_max: 1 << 20,
//!         compression: Name::new("none")?,
//!     },
//!     lane: 0,
//! });
//! assert_eq!(&bytes_to_send[..4], b"OVLN");
//!
//! # let received = HandshakeMessage::Welcome(Welcome {
//! #     node: Name::new("node-b")?,
//! #     incarnation: 7,
//! # }).encode();
//! match dialer.receive(&received)? {
//!     DialProgress::Welcomed { welcome, .. } => println!("up to {}", welcome.node),
//!     DialProgress::Refused { refuse, .. } => return Err(refuse.text().into()),
//!     DialProgress::NeedMore => println!("read more from the socket"),
//! }
//! let mut batch = Vec::new();
//! append_mailbox(&mut batch, 0, "inbox");
//! append_message(&mut batch, 0, b"hello");
//! # Ok(())
//! # }
//! ```
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
