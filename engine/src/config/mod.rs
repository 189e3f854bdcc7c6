//! One definition of each parameter: file, environment, flag, builder and documentation follow.
//!
//! `node.rs` and `channel.rs` hold the definitions; everything else here is driven by their tables.

mod allowed;
mod builder;
mod channel;
mod choices;
mod error;
mod node;
mod parameter;
mod setting;
mod validate;

pub use allowed::{Allowed, Unit, number, quantity};
pub use builder::ConfigBuilder;
pub use channel::{CHANNEL_PARAMETERS, ChannelConfig, MESSAGE_BYTES_MAX};
pub use choices::{ControlPlacement, Ordering, Overflow, Priority, Reliability};
pub use error::{ConfigError, Given, Place};
pub use node::{Config, NODE_PARAMETERS};
pub use parameter::Parameter;
pub use setting::{NAME_BYTES_MAX, is_name};
pub use validate::{CHANNELS_MAX, RESERVED_PREFIX};
