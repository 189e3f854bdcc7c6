//! The errors of the engine's boundaries, one file for each: starting, sending, naming. Each text says what to do, and their
//! `Debug` reads as their message, so that a `main` that returns one tells its user.
//!
//! The other boundaries have theirs beside them: `config::ConfigError`, `wire::DecodeError`,
//! `wire::HandshakeError`, `wire::CloseReason`.

mod change;
mod name;
mod request;
mod send;
mod start;
mod stream;
mod wait;

pub use change::{ChannelError, ReloadError};
pub use name::NameError;
pub use request::RequestError;
pub(crate) use send::{EXPIRED, LATE};
pub use send::{Reported, SendError, Unsent};
pub use start::{AdminError, SecurityError, StartError};
pub use stream::StreamError;
pub use wait::{NoPulse, NotConnected, RecvError, WaitError};
