//! What most programs use, to be taken in at once: `use overlane::prelude::*;`.
//!
//! # A request and its reply
//!
//! ```
//! use overlane::prelude::*;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let start = |name: &str| {
//!     let config = Config::builder().name(name).listen("127.0.0.1:0".parse()?);
//!     let config = config.channel(ChannelConfig::new("calls"));
//! #   let config = config.cluster(format!("prelude-{}", std::process::id())).shards(1).pin(false);
//!     Ok::<_, Box<dyn std::error::Error>>(Node::start(config.build()?)?)
//! };
//! let (alice, bob) = (start("alice")?, start("bob")?);
//! let calls = bob.channel("calls")?;
//! bob.handle("length", move |shard, message| {
//!     let length = message.payload().len().to_string();
//!     if let Some(asker) = message.reply_handle() {
//!         let answered = shard.try_reply(&calls, &asker, length.as_str());
//!         answered.unwrap_or_else(|error| eprintln!("not answered: {error}"));
//!     }
//! })?;
//!
//! alice.connect("bob", bob.local_addr())?;
//! alice.wait_connected("bob", Duration::from_secs(10))?;
//! let length = alice.destination("bob", "length")?;
//! // In a task: `request(..).await`. The deadline travels along.
//! match alice.channel("calls")?.request_blocking(&length, "hello", Duration::from_secs(10)) {
//!     Ok(reply) => assert_eq!(reply.payload(), b"5"),
//!     Err(RequestError::Undelivered { why }) => eprintln!("surely not carried out: {why}"),
//!     Err(error) => eprintln!("{error}"),
//! }
//! # Ok(())
//! # }
//! ```

pub use std::time::Duration;

pub use crate::config::{Overflow, Priority, Reliability};
pub use crate::{
    Channel, ChannelConfig, Config, Destination, Event, Events, Inbox, Mailbox, Message, Node,
    OwnedMessage, Received, ReplyHandle, RequestError, SendError, ShardContext, ShardHandle,
};
