//! Receipts: what became of one message, for whoever sent it.
//!
//! A message with a receipt goes the way of any message and carries the receipt's number in its extension,
//! which receivers pass over. Whatever settles the message tells `receipt_book`.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use event_listener::{EventListener, Listener};

use crate::attributes::Attributes;
use crate::channel::{Channel, Prepared, Waiting};
use crate::config::Reliability;
use crate::deadline::deadline_in;
use crate::error::{Reported, SendError, Unsent};
use crate::fabric::Fabric;
use crate::message::Destination;
use crate::payload::{IntoPayload, Payload};
use crate::receipt_book::{RECEIPTS_MAX, ReceiptWaiter};
use crate::spans::Spans;
use crate::threads;

/// What became of one message: a future, or [`wait`](Self::wait) for a thread that may block.
///
/// `Ok` once the peer has acknowledged the message, which means that a handler or an inbox there has it;
/// [`Reported`] with the reason if that is not so, or not known. Dropping it changes nothing for the
/// message.
#[derive(Debug)]
#[must_use = "a receipt that nobody waits for costs memory in vain: send without one"]
pub struct Receipt {
    fabric: Arc<Fabric>,
    number: u64,
    waiter: ReceiptWaiter,
    /// While it is polled.
    listener: Option<EventListener>,
    outcome: Option<Result<(), Reported>>,
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if self.outcome.is_none() {
            self.fabric.receipts.cancel(self.number);
        }
    }
}

impl Future for Receipt {
    type Output = Result<(), Reported>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            if let Some(outcome) = self.look() {
                return Poll::Ready(outcome);
            }
            // Looked at again between listening and waiting.
            let Some(listener) = &mut self.listener else {
                self.listener = Some(self.waiter.listen());
                continue;
            };
            if pin!(listener).poll(context).is_pending() {
                return Poll::Pending;
            }
            self.listener = None;
        }
    }
}

impl Receipt {
    /// What became of the message, if that is known by now. Stays known.
    pub fn outcome(&mut self) -> Option<Result<(), Reported>> {
        self.look()
    }

    /// Waits until it is known what became of the message, blocking the thread, for `timeout` at most. `None`
    /// if that passed: then the message is still open, and so is the receipt.
    ///
    /// On a thread of the engine, in a handler or a task, it does not wait: the shard would wait for itself.
    pub fn wait(&mut self, timeout: Duration) -> Option<Result<(), Reported>> {
        let deadline = deadline_in(timeout);
        loop {
            let done = self.waiter.listen();
            let outcome = self.look();
            if outcome.is_some() || threads::is_own() {
                return outcome;
            }
            if done.wait_deadline(deadline).is_none() {
                return self.look();
            }
        }
    }

    fn look(&mut self) -> Option<Result<(), Reported>> {
        if self.outcome.is_none() {
            self.outcome = self.waiter.take();
        }
        self.outcome
    }
}

impl Channel {
    /// [`try_send`](Self::try_send) with a [`Receipt`] for the message. The payload is copied, and the peer
    /// has to speak version 2 of the wire. Policies that drop refuse it with [`SendError::Full`] when there
    /// is no room, as somebody waits for it; `drop_oldest` may still drop it later.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send); [`SendError::NoReceipts`] on a best-effort channel,
    /// [`SendError::TooManyReceipts`] above [`RECEIPTS_MAX`] open ones.
    pub fn try_send_with_receipt<'a, P: IntoPayload<'a>>(
        &self,
        to: &Destination,
        payload: P,
    ) -> Result<Receipt, P::Error> {
        let (receipt, prepared) = self.prepare_with_receipt(to, payload)?;
        let sent = self.try_send_prepared(to, prepared);
        sent.map(|()| receipt).map_err(P::unsent)
    }

    /// [`send`](Self::send) with a [`Receipt`] for the message, as
    /// [`try_send_with_receipt`](Self::try_send_with_receipt).
    ///
    /// # Errors
    /// As [`try_send_with_receipt`](Self::try_send_with_receipt); never [`SendError::Full`] under `block`.
    pub async fn send_with_receipt<'a, P: IntoPayload<'a>>(
        &self,
        to: &Destination,
        payload: P,
    ) -> Result<Receipt, P::Error> {
        let (receipt, prepared) = self.prepare_with_receipt(to, payload)?;
        let sent = self.send_prepared(to, prepared).await;
        sent.map(|()| receipt).map_err(P::unsent)
    }

    /// [`send_blocking`](Self::send_blocking) with a [`Receipt`] for the message, as
    /// [`try_send_with_receipt`](Self::try_send_with_receipt).
    ///
    /// # Errors
    /// As [`send_with_receipt`](Self::send_with_receipt) and [`send_blocking`](Self::send_blocking).
    pub fn send_blocking_with_receipt<'a, P: IntoPayload<'a>>(
        &self,
        to: &Destination,
        payload: P,
    ) -> Result<Receipt, P::Error> {
        let (receipt, prepared) = self.prepare_with_receipt(to, payload)?;
        let sent = self.send_blocking_prepared(to, prepared);
        sent.map(|()| receipt).map_err(P::unsent)
    }

    /// Opens a receipt, and puts the message together, on the channel that it is led to.
    fn prepare_with_receipt<'a, P: IntoPayload<'a>>(
        &self,
        to: &Destination,
        payload: P,
    ) -> Result<(Receipt, Prepared<'a>), P::Error> {
        if !self.may_steer(&payload) {
            return self.prepare_with_receipt_as_named(to, payload);
        }
        let (channel, message) = self.steer(to, payload)?;
        let prepared = channel.prepare_with_receipt_as_named(to, message);
        let (receipt, prepared) = prepared.map_err(P::unsent)?;
        let steered = Some(channel);
        Ok((
            receipt,
            Prepared {
                steered,
                ..prepared
            },
        ))
    }

    /// The same on this very channel, whatever rules say.
    pub(crate) fn prepare_with_receipt_as_named<'a, P: IntoPayload<'a>>(
        &self,
        to: &Destination,
        payload: P,
    ) -> Result<(Receipt, Prepared<'a>), P::Error> {
        let attributes = self.attributes(to, &payload).unwrap_or_default();
        let payload = payload.into_payload();
        match self.with_receipt(to, attributes, &payload) {
            Ok((receipt, waiting)) => Ok((
                receipt,
                Prepared {
                    steered: None,
                    waiting,
                    original: Some(payload),
                },
            )),
            Err(error) => Err(P::unsent(Unsent { error, payload })),
        }
    }

    /// Opens a receipt, and puts the message together that carries its number.
    fn with_receipt(
        &self,
        to: &Destination,
        attributes: Attributes<'_>,
        payload: &Payload<'_>,
    ) -> Result<(Receipt, Waiting<'static>), SendError> {
        if self.entry.reliability == Reliability::BestEffort {
            return Err(SendError::NoReceipts);
        }
        let attributes = self.with_trace(to, attributes, payload.len());
        let recorded = self.is_recorded(Some(&attributes)).then(Spans::number);
        let waiter = ReceiptWaiter::default();
        let Some(number) = self.fabric.receipts.open(&waiter, recorded) else {
            let receipts_max = RECEIPTS_MAX;
            return Err(SendError::TooManyReceipts { receipts_max });
        };
        let receipt = Receipt {
            fabric: Arc::clone(&self.fabric),
            number,
            waiter,
            listener: None,
            outcome: None,
        };
        let attributes = attributes.receipt(number);
        let mut message = self.extend_to_wait(to, None, &attributes, payload)?;
        message.way.is_awaited = true;
        Ok((receipt, message))
    }
}
