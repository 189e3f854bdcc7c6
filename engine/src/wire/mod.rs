//! Bytes to frames and back: all that two nodes say to each other on a lane, without any I/O.
//!
//! A lane opens with one [`handshake`] (a [`hello`], answered), which settles the [`version`] and the
//! [`terms`]; it is kept or refused by [`lane_choice`], then carries [`frame`]s, some with an
//! [`extension`] and some in [`fragment`]s, until it ends with a [`close`] reason. Called by the
//! shards, and by tools that speak to nodes raw. Nothing here may read a socket or a clock,
//! buffer more than its stated bound, or panic on what a peer sent. `docs/wire.md` has each
//! layout with its bytes.
//!
//! How a tool brings up a lane and sends one message, with a socket's bytes in and out:
//!
//! ```
//! use overlane::wire::control::{append_mailbox, append_message};
//! use overlane::wire::hello::SESSION_PLAIN;
//! use overlane::wire::{
//!     ChannelTerms, DialProgress, Dialer, Hello, Name, Parameters, Progress, VersionRange,
//! };
//! # use overlane::wire::hello::{Agreed, HandshakeMessage};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let hello = Hello {
//!     versions: VersionRange::OURS,
//!     cluster: Name::new("prod")?,
//!     node: Name::new("tool-1")?,
//!     incarnation: 1,
//!     expected_node: None,
//!     channel: Name::new("data")?,
//!     lane: 0,
//!     priority: 4,
//!     session: Name::new(SESSION_PLAIN)?,
//!     progress: Progress::default(),
//!     terms: ChannelTerms {
//!         reliability: Name::new("reliable")?,
//!         ordering: Name::new("fifo")?,
//!         compression: Name::new("none")?,
//!         parallelism: 1,
//!         body_bytes_max: 1 << 20,
//!         mailboxes_max: 4096,
//!         fragments: true,
//!         large_bytes_max: 0,
//!     },
//!     unknown: Parameters::default(),
//! };
//! # let agreed = Agreed { version: 2, terms: hello.terms.clone() };
//! # let welcome = hello.welcome(Name::new("node-b")?, 7, Progress::default(), &agreed);
//! # let received = HandshakeMessage::Welcome(welcome).encode();
//! let (mut dialer, bytes_to_send) = Dialer::new(hello);
//! assert_eq!(&bytes_to_send[..4], b"OVLN");
//!
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
pub mod causes;
pub mod close;
pub mod codec;
pub mod compression;
pub mod control;
pub mod endings;
pub mod extension;
pub mod fragment;
pub mod frame;
pub mod handshake;
pub mod hello;
pub mod lane_choice;
pub mod layout;
pub mod mailbox;
pub mod mailbox_ids;
pub mod name;
pub mod parameters;
pub mod progress;
pub mod stream;
pub mod terms;
pub mod trace;
pub mod version;

pub use close::CloseReason;
pub use control::Ack;
pub use endings::Endings;
pub use extension::{Correlation, Entry, Extension, ExtensionError, ExtensionWriter, Role};
pub use frame::{
    BODY_BYTES_MAX, DecodeError, Frame, FrameKind, FrameLimits, HEADER_BYTES, MessageRun, Next,
    next_frame, put_extended_header, put_header,
};
pub use handshake::{
    AcceptProgress, Acceptor, DialProgress, Dialer, HandshakeError, RefusalReader,
};
pub use hello::{Agreed, HandshakeMessage, Hello, Refuse, Welcome};
pub use layout::{PSK_MAGIC, is_tls_record};
pub use name::{NAME_BYTES_MAX, Name, NameError};
pub use parameters::{Parameter, Parameters};
pub use progress::Progress;
pub use terms::ChannelTerms;
pub use trace::{BadTraceparent, TraceContext};
pub use version::VersionRange;
