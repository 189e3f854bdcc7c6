//! What most programs use, to be taken in at once: `use overlane::prelude::*;`.

pub use std::time::Duration;

pub use crate::config::{Overflow, Priority, Reliability};
pub use crate::{
    Channel, ChannelConfig, Config, Destination, Event, Events, Inbox, Mailbox, Message, Node,
    OwnedMessage, Received, SendError, ShardContext, ShardHandle,
};
