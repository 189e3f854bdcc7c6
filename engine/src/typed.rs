//! Channels and inboxes of one type: values in place of payloads, through a codec.
//!
//! Made by applications from a [`Channel`] or an [`Inbox`], which do everything else. It encodes and decodes;
//! it never decides what becomes of a message.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use crate::channel::{Broadcast, Channel};
#[cfg(feature = "codec-json")]
pub use crate::codec::Json;
#[cfg(feature = "codec-postcard")]
pub use crate::codec::Postcard;
#[cfg(feature = "codec-protobuf")]
pub use crate::codec::Protobuf;
pub use crate::codec::{Codec, CodecError};
use crate::error::{RecvError, RequestError, SendError};
use crate::inbox::{Inbox, Received};
use crate::mailboxes::Mailbox;
use crate::message::{Destination, OwnedMessage, ReplyHandle};
use crate::peer::Peer;

/// A channel that sends values of `T`. Cheap to clone if its codec is.
#[doc = include_str!("../doc/typed.md")]
pub struct TypedChannel<T, C> {
    channel: Channel,
    codec: C,
    sends: PhantomData<fn(T)>,
}

/// An inbox that receives values of `T`.
pub struct TypedInbox<T, C> {
    inbox: Inbox,
    codec: C,
    receives: PhantomData<fn() -> T>,
}

/// A value that came. It derefs to the value.
#[derive(Clone, Debug)]
pub struct Typed<T> {
    value: T,
    from: Arc<Peer>,
    mailbox: Mailbox,
    reply_handle: Option<ReplyHandle>,
}

/// Why a value was not sent. It is the caller's still.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TypedSendError {
    /// It has no encoding.
    #[error(transparent)]
    Encode(#[from] CodecError),
    /// Its message was not accepted.
    #[error(transparent)]
    Send(#[from] SendError),
}

/// Why a request of a typed channel brought no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TypedRequestError {
    /// The request, or its reply: see [`CodecError::what`].
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// It got no reply.
    #[error(transparent)]
    Request(#[from] RequestError),
}

/// Why a typed inbox brought no value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TypedRecvError {
    /// There is no message.
    #[error(transparent)]
    Recv(#[from] RecvError),
    /// There is one, and it is not the encoding of a value: it has left the inbox, and is here.
    #[error("a message from `{}`: {error}", .message.from().name())]
    Undecodable {
        /// What is wrong with it.
        error: CodecError,
        /// The message as it came.
        message: Box<OwnedMessage>,
    },
}

impl<T, C: Codec<T>> TypedChannel<T, C> {
    /// Sends on `channel` what `codec` makes of values.
    #[must_use]
    pub fn new(channel: Channel, codec: C) -> Self {
        Self {
            channel,
            codec,
            sends: PhantomData,
        }
    }

    /// The channel.
    #[must_use]
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// See [`Channel::try_send`].
    ///
    /// # Errors
    /// [`TypedSendError`]
    pub fn try_send(&self, to: &Destination, value: &T) -> Result<(), TypedSendError> {
        let payload = self.encode(value)?;
        Ok(self
            .channel
            .try_send(to, payload)
            .map_err(SendError::from)?)
    }

    /// See [`Channel::send`].
    ///
    /// # Errors
    /// [`TypedSendError`]
    pub async fn send(&self, to: &Destination, value: &T) -> Result<(), TypedSendError> {
        let payload = self.encode(value)?;
        let sent = self.channel.send(to, payload).await;
        Ok(sent.map_err(SendError::from)?)
    }

    /// See [`Channel::send_blocking`].
    ///
    /// # Errors
    /// [`TypedSendError`]
    pub fn send_blocking(&self, to: &Destination, value: &T) -> Result<(), TypedSendError> {
        let payload = self.encode(value)?;
        let sent = self.channel.send_blocking(to, payload);
        Ok(sent.map_err(SendError::from)?)
    }

    /// See [`Channel::send_to_all`].
    ///
    /// # Errors
    /// [`TypedSendError`]
    pub fn send_to_all<'d>(
        &self,
        destinations: impl IntoIterator<Item = &'d Destination>,
        value: &T,
    ) -> Result<Broadcast, TypedSendError> {
        let payload = self.encode(value)?;
        Ok(self.channel.send_to_all(destinations, payload)?)
    }

    /// Sends a value as a request, and reads a value of `R` from its reply; see [`Channel::request`].
    ///
    /// # Errors
    /// [`TypedRequestError`]
    pub async fn request<R>(
        &self,
        to: &Destination,
        value: &T,
        deadline: Duration,
    ) -> Result<R, TypedRequestError>
    where
        C: Codec<R>,
    {
        let payload = self.encode(value)?;
        let reply = self.channel.request(to, payload, deadline).await?;
        Ok(self.codec.decode(reply.payload())?)
    }

    /// [`request`](Self::request) for a thread that may block; see [`Channel::request_blocking`].
    ///
    /// # Errors
    /// [`TypedRequestError`]
    pub fn request_blocking<R>(
        &self,
        to: &Destination,
        value: &T,
        deadline: Duration,
    ) -> Result<R, TypedRequestError>
    where
        C: Codec<R>,
    {
        let payload = self.encode(value)?;
        let reply = self.channel.request_blocking(to, payload, deadline)?;
        Ok(self.codec.decode(reply.payload())?)
    }

    /// Answers a request with a value; see [`Channel::try_reply`].
    ///
    /// # Errors
    /// [`TypedSendError`]
    pub fn try_reply(&self, to: &ReplyHandle, value: &T) -> Result<(), TypedSendError> {
        let payload = self.encode(value)?;
        Ok(self
            .channel
            .try_reply(to, payload)
            .map_err(SendError::from)?)
    }

    fn encode(&self, value: &T) -> Result<Vec<u8>, CodecError> {
        let mut payload = Vec::new();
        self.codec.encode(value, &mut payload)?;
        Ok(payload)
    }
}

impl<T, C: Codec<T>> TypedInbox<T, C> {
    /// Reads values from `inbox`.
    #[must_use]
    pub fn new(inbox: Inbox, codec: C) -> Self {
        Self {
            inbox,
            codec,
            receives: PhantomData,
        }
    }

    /// The next value, waiting for it without blocking the thread; `None` once there never will be one. See
    /// [`Inbox::recv`].
    pub async fn recv(&mut self) -> Option<Result<Typed<T>, TypedRecvError>> {
        let message = self.inbox.recv().await?;
        Some(decode(&self.codec, &message))
    }

    /// The next value if there is a message; see [`Inbox::try_recv`].
    pub fn try_recv(&mut self) -> Option<Result<Typed<T>, TypedRecvError>> {
        let message = self.inbox.try_recv()?;
        Some(decode(&self.codec, &message))
    }

    /// The next value, blocking the thread until it comes; see [`Inbox::recv_blocking`].
    ///
    /// # Errors
    /// [`TypedRecvError`]
    pub fn recv_blocking(&mut self) -> Result<Typed<T>, TypedRecvError> {
        decode(&self.codec, &self.inbox.recv_blocking()?)
    }

    /// The next value, blocking the thread for `timeout` at most; see [`Inbox::recv_timeout`].
    ///
    /// # Errors
    /// [`TypedRecvError`]
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Typed<T>, TypedRecvError> {
        decode(&self.codec, &self.inbox.recv_timeout(timeout)?)
    }
}

fn decode<T>(codec: &impl Codec<T>, message: &Received<'_>) -> Result<Typed<T>, TypedRecvError> {
    match codec.decode(message.payload()) {
        Ok(value) => Ok(Typed {
            value,
            from: Arc::clone(message.from()),
            mailbox: message.mailbox().clone(),
            reply_handle: message.reply_handle(),
        }),
        Err(error) => Err(TypedRecvError::Undecodable {
            error,
            message: Box::new(message.to_owned()),
        }),
    }
}

impl<T> Typed<T> {
    /// The value, without the rest.
    pub fn into_value(self) -> T {
        self.value
    }

    /// The node that sent it.
    #[must_use]
    pub fn from(&self) -> &Arc<Peer> {
        &self.from
    }

    /// Where an answer goes: a mailbox on the node this value came from.
    #[must_use]
    pub fn reply_to(&self, mailbox: &Mailbox) -> Destination {
        Destination::for_answer(Arc::clone(&self.from), &self.mailbox, mailbox)
    }

    /// What answers it, if it is a request.
    #[must_use]
    pub fn reply_handle(&self) -> Option<&ReplyHandle> {
        self.reply_handle.as_ref()
    }
}

impl<T> std::ops::Deref for Typed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T, C: Clone> Clone for TypedChannel<T, C> {
    fn clone(&self) -> Self {
        Self {
            channel: self.channel.clone(),
            codec: self.codec.clone(),
            sends: PhantomData,
        }
    }
}

impl<T, C: fmt::Debug> fmt::Debug for TypedChannel<T, C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TypedChannel")
            .field("channel", &self.channel.name())
            .field("codec", &self.codec)
            .finish_non_exhaustive()
    }
}

impl<T, C: fmt::Debug> fmt::Debug for TypedInbox<T, C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TypedInbox")
            .field("mailbox", self.inbox.mailbox())
            .field("codec", &self.codec)
            .finish_non_exhaustive()
    }
}
