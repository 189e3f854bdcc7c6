//! Streams: an ordered sequence of bytes from one node to a mailbox of another, with flow control of its own.
//!
//! What an application touches: [`StreamWriter`] and [`StreamReader`], one of each for a stream, and [`Streams`],
//! which accepts those that come to a mailbox. They hash, cut into chunks and wait; what is open and what may be
//! sent is in the book of streams, and what goes next on a lane is the shard's matter.

mod accept;
mod reader;
#[cfg(feature = "tokio")]
mod tokio_io;
mod writer;

use std::io;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::thread;

use crate::admission::{check_partition, lane_offset};
use crate::channel::Channel;
use crate::error::{SendError, StreamError};
use crate::message::Destination;
use crate::ring::gate::GateState;
use crate::stream_book::Owed;
use crate::threads;
use crate::wire::stream::Word;
pub use accept::Streams;
pub use reader::{ReadProgress, StreamReader};
pub use writer::{StreamWriter, WriteProgress};

impl Channel {
    /// Opens a stream to a mailbox of another node (or of this one), where somebody accepts it with
    /// [`Node::streams`](crate::Node::streams). Returns at once: what is written waits in this node, two chunks of it at most,
    /// until the other node has let the stream in. Of parallel lanes it takes the one of the destination's
    /// key, or without a key any one, and stays on it.
    ///
    /// On a channel of `guaranteed` or `at_least_once` it goes on over lost connections; on one of `reliable` it
    /// ends with its lane.
    ///
    /// # Errors
    /// [`StreamError::NotReliable`] on a channel that may drop messages, [`StreamError::Causal`] on a causal one,
    /// [`StreamError::TooMany`] at
    /// `streams_max` open ones to that peer, [`StreamError::Send`] if the peer is not connected or runs an old version,
    /// the destination is of another node, a partition keeps the channel from sending, or this node stops.
    pub fn open_stream(&self, to: &Destination) -> Result<StreamWriter, StreamError> {
        if to.home != self.home {
            return Err(SendError::OtherNode.into());
        }
        let channel = &self.entry;
        if channel.is_removed() {
            return Err(SendError::ChannelRemoved.into());
        }
        check_partition(channel, &to.peer)?;
        if channel.causal.is_some() {
            let channel = channel.name.to_string();
            return Err(StreamError::Causal { channel });
        }
        if !channel.carries_streams() {
            let channel = channel.name.to_string();
            return Err(StreamError::NotReliable { channel });
        }
        let offset_of = |id: u64| {
            let to = to.with_key(to.key.unwrap_or(id));
            lane_offset(channel, &to)
        };
        let streams = &self.fabric.streams;
        let stream = streams.open(&to.peer, &self.fabric.mailboxes, offset_of)?;
        let lane = to.peer.lane(stream.offset);
        let writer = StreamWriter::new(Arc::clone(&self.fabric), Arc::clone(&stream));
        match lane.gate.state() {
            // Looked at behind its registration: either the shard that ends the channel's streams finds it,
            // or this finds that the channel is gone.
            _ if channel.is_removed() => return Err(SendError::ChannelRemoved.into()),
            GateState::Open if lane.takes_extensions() => {}
            GateState::Open => return Err(SendError::OldPeer.into()),
            GateState::Down => return Err(SendError::Unreachable.into()),
            GateState::Closed => return Err(SendError::Closed.into()),
        }
        self.fabric.owe_stream(Owed::Word {
            peer: Arc::clone(&to.peer),
            offset: stream.offset,
            word: Word::Open {
                id: stream.id,
                mailbox: to.mailbox.name().into(),
            },
        });
        Ok(writer)
    }
}

/// Waits on this thread until `poll` is ready.
fn wait<T>(mut poll: impl FnMut(&Waker) -> Poll<Result<T, StreamError>>) -> Result<T, StreamError> {
    if threads::is_own() {
        return Err(StreamError::WouldDeadlock);
    }
    let waker = threads::waker();
    loop {
        match poll(&waker) {
            Poll::Ready(outcome) => return outcome,
            Poll::Pending => thread::park(),
        }
    }
}

/// The same as an outcome of I/O.
fn as_io<T>(poll: Poll<Result<T, StreamError>>) -> Poll<io::Result<T>> {
    poll.map(|outcome| outcome.map_err(io::Error::from))
}
