//! Spans of messages that carry a sampled trace: what is open, what has ended and waits to be taken out, what was counted.
//!
//! Senders open messages (`channel`), shards say where they are and how they ended (`receipt_book` for most ends) and note deliveries, readers of
//! inboxes end those; the node's span thread takes the records out. Nobody waits here: what finds no room is dropped and counted. Off, and for
//! messages without an extension, nothing of this is called.

mod deliveries;
mod open_message;
mod record;
mod sampler;
mod span;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::num::NonZeroU16;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use crossbeam_queue::ArrayQueue;

use crate::config::TraceConfig;
use crate::error::{EXPIRED, LATE, Reported};
use crate::mailboxes::MailboxId;
use crate::wire::TraceContext;
use crate::wire::extension::{Extension, extension_block_bytes};
use deliveries::{Deliveries, OpenDelivery};
pub(crate) use deliveries::{place_bits, place_in};
use open_message::OpenMessage;
pub(crate) use record::{Record, Standing, Subject, Wall};
pub(crate) use sampler::Sampler;
pub use span::{Span, SpanKind, SpanSink, SpanStatus};

/// In the number of a receipt: it is that of a recorded message, and the number of the span of its lane.
const RECORDED: u64 = 1 << 63;

/// What became of the spans of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct SpanMetrics {
    /// Spans that have ended and found room.
    pub recorded: u64,
    /// Spans that found none: of messages when too many were open, or when too many waited to be taken.
    pub dropped: u64,
    /// Spans that the receiver at `trace_endpoint` has taken.
    pub exported: u64,
    /// Spans that it has refused, or that waited too long for it.
    pub failed: u64,
    /// Messages whose spans are open now.
    pub open: usize,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Spans {
    is_on: bool,
    sampler: Sampler,
    /// Messages of this node's own that have not ended, by the span of their lane.
    open: Mutex<HashMap<u64, OpenMessage>>,
    deliveries: Mutex<Deliveries>,
    ended: ArrayQueue<Record>,
    open_max: usize,
    recorded: AtomicU64,
    dropped: AtomicU64,
    exported: AtomicU64,
    failed: AtomicU64,
    /// To wake the thread that takes them out before its time.
    wake: (Sender<()>, Receiver<()>),
}

impl Spans {
    /// `is_on` if anybody takes them.
    pub(crate) fn new(config: &TraceConfig, is_on: bool) -> Self {
        let places = if is_on { config.buffer_spans } else { 1 };
        Self {
            is_on,
            sampler: Sampler::new(if is_on { config.sample_ppm } else { 0 }),
            open: Mutex::default(),
            deliveries: Mutex::new(Deliveries::new(places)),
            ended: ArrayQueue::new(places),
            open_max: places,
            recorded: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            exported: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            wake: bounded(1),
        }
    }

    /// Whether anything is recorded.
    #[inline]
    pub(crate) const fn is_on(&self) -> bool {
        self.is_on
    }

    /// Whether messages without a trace get one.
    #[inline]
    pub(crate) const fn begins_traces(&self) -> bool {
        self.sampler.begins_traces()
    }

    /// The root of a trace for a message without one, if it gets one.
    #[cold]
    pub(crate) fn begin(&self) -> Option<TraceContext> {
        self.sampler.begin(|| fastrand::u64(..))
    }

    /// A number for the span of a lane, which is also that of a receipt.
    pub(crate) fn number() -> u64 {
        RECORDED | fastrand::u64(..)
    }

    /// Whether a receipt of that number is of a recorded message.
    #[inline]
    pub(crate) const fn is_recorded(number: u64) -> bool {
        number & RECORDED != 0
    }

    /// A message is about to be sent. `None` if too many are open, or its number is another's.
    pub(crate) fn open(
        self: &Arc<Self>,
        number: u64,
        parent: TraceContext,
        is_root_here: bool,
        subject: Subject,
    ) -> Option<OpenSpan> {
        let message = OpenMessage::new(parent, is_root_here, subject, Instant::now());
        let mut open = self.lock();
        let has_room = open.len() < self.open_max;
        match open.entry(number) {
            Entry::Vacant(place) if has_room => drop(place.insert(message)),
            _ => {
                drop(open);
                self.dropped.fetch_add(1, Ordering::Relaxed);
                return None;
            }
        }
        let spans = Arc::clone(self);
        Some(OpenSpan {
            spans,
            number: Some(number),
        })
    }

    /// Its shard has taken that message, which begins with an extension.
    #[cold]
    pub(crate) fn taken(&self, bytes: &[u8]) {
        let Some(number) = number_in(bytes) else {
            return;
        };
        let mut open = self.lock();
        let message = open.get_mut(&number);
        let record = message.and_then(|open| open.taken(random_id(), Instant::now()));
        drop(open);
        self.note_all(record);
    }

    /// The message with that number goes to the kernel.
    #[cold]
    pub(crate) fn sent(&self, number: u64, now: Instant) {
        if let Some(message) = self.lock().get_mut(&number) {
            message.sent(now);
        }
    }

    /// The message with that number has ended.
    #[cold]
    pub(crate) fn ended(&self, number: u64, status: SpanStatus) {
        let message = self.lock().remove(&number);
        if let Some(message) = message {
            let (last, root) = message.ended(number.to_be_bytes(), Instant::now(), status);
            self.note_all([Some(last), root].into_iter().flatten());
        }
    }

    /// The overflow policy has dropped that message, which begins with an extension, when it was sent.
    #[cold]
    pub(crate) fn dropped(&self, bytes: &[u8]) {
        if let Some(number) = number_in(bytes) {
            let why = "its lane had no room, or no connection, and its channel drops such".into();
            self.ended(
                number,
                SpanStatus::Failed {
                    what: "dropped",
                    why,
                },
            );
        }
    }

    /// The node has ended, and settles nothing any more.
    pub(crate) fn node_ended(&self) {
        let numbers: Vec<_> = self.lock().keys().copied().collect();
        let why = "the node has stopped";
        for number in numbers {
            self.ended(number, status_of(&Err(Reported::Unknown { why })));
        }
    }

    /// A message with that extension, empty if it has none, is handed over: where its delivery stands, if it is recorded.
    #[inline]
    pub(crate) fn arriving(&self, block: &[u8]) -> Option<Standing> {
        if block.is_empty() || !self.is_on {
            return None;
        }
        let trace = Extension::in_block(block).trace()?;
        trace.is_sampled().then(|| Standing {
            trace_id: trace.trace_id,
            span_id: random_id(),
            parent: Some(trace.span_id),
            flags: trace.flags,
        })
    }

    /// It was handed over, since `start` until now.
    #[cold]
    pub(crate) fn delivered(
        &self,
        standing: Standing,
        subject: Subject,
        start: Instant,
        status: SpanStatus,
    ) {
        let span = (start, Instant::now());
        self.note_all([Record::of_delivery(standing, subject, span, status)]);
    }

    /// It is put into the inbox of that mailbox now; the number goes with it. `None` if there are too many.
    #[cold]
    pub(crate) fn put(
        &self,
        standing: Standing,
        mailbox: MailboxId,
        subject: Subject,
    ) -> Option<NonZeroU16> {
        let place = self.deliveries().put(OpenDelivery {
            standing,
            mailbox,
            subject,
            put: Instant::now(),
        });
        if place.is_none() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        place
    }

    /// It was not put there after all.
    #[cold]
    pub(crate) fn take_back(&self, place: NonZeroU16) {
        drop(self.deliveries().take(place));
    }

    /// The application has it: returns the span of its delivery.
    #[cold]
    pub(crate) fn read(&self, place: NonZeroU16) -> Option<[u8; 8]> {
        let delivery = self.deliveries().take(place)?;
        let span_id = delivery.standing.span_id;
        self.note_all([delivery.ended(Instant::now(), SpanStatus::Ok)]);
        Some(span_id)
    }

    /// The inbox of that mailbox is gone, with what nobody has read.
    pub(crate) fn inbox_gone(&self, mailbox: MailboxId) {
        if !self.is_on {
            return;
        }
        let unread = self.deliveries().take_of(mailbox);
        let now = Instant::now();
        let status = SpanStatus::Failed {
            what: "unread",
            why: "its inbox was dropped before it was read".into(),
        };
        self.note_all(unread.into_iter().map(|it| it.ended(now, status.clone())));
    }

    fn note_all(&self, records: impl IntoIterator<Item = Record>) {
        for record in records {
            let counted = match self.ended.push(record) {
                Ok(()) => &self.recorded,
                Err(_) => &self.dropped,
            };
            counted.fetch_add(1, Ordering::Relaxed);
        }
        if self.ended.len() >= self.ended.capacity() / 2 {
            // If it is told already, it is awake.
            let _ = self.wake.0.try_send(());
        }
    }

    /// Waits until it is worth taking them out, for `longest` at most, or until `end` says something or is gone.
    pub(crate) fn wait<T>(
        &self,
        end: &Receiver<T>,
        longest: Duration,
    ) -> Result<T, RecvTimeoutError> {
        crossbeam_channel::select! {
            recv(end) -> told => told.map_err(|_| RecvTimeoutError::Disconnected),
            recv(self.wake.1) -> _ => Err(RecvTimeoutError::Timeout),
            default(longest) => Err(RecvTimeoutError::Timeout),
        }
    }

    /// What has ended, oldest first, at most `spans_max`.
    pub(crate) fn take(&self, wall: &Wall, spans_max: usize) -> Vec<Span> {
        let records = std::iter::from_fn(|| self.ended.pop());
        records.take(spans_max).map(|it| it.at(wall)).collect()
    }

    /// So many were exported, and so many were not and will not be.
    #[cfg(feature = "otlp")]
    pub(crate) fn count_exported(&self, exported: u64, failed: u64) {
        self.exported.fetch_add(exported, Ordering::Relaxed);
        self.failed.fetch_add(failed, Ordering::Relaxed);
    }

    pub(crate) fn metrics(&self) -> SpanMetrics {
        SpanMetrics {
            recorded: self.recorded.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            exported: self.exported.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            open: self.lock().len() + self.deliveries().len(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, OpenMessage>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn deliveries(&self) -> MutexGuard<'_, Deliveries> {
        self.deliveries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A recorded message that is about to be sent, or a request that is open. Dropped before anything became of it, it was given up.
#[derive(Debug)]
pub(crate) struct OpenSpan {
    spans: Arc<Spans>,
    number: Option<u64>,
}

impl OpenSpan {
    /// The message was accepted: shards say what becomes of it.
    pub(crate) fn accepted(mut self) {
        self.number = None;
    }

    /// It has ended, as whoever sent it says.
    pub(crate) fn ended(mut self, status: SpanStatus) {
        if let Some(number) = self.number.take() {
            self.spans.ended(number, status);
        }
    }

    /// What sending it came to.
    pub(crate) fn tried<E: ToString>(self, refused: Option<E>) {
        match refused {
            None => self.accepted(),
            Some(error) => self.ended(SpanStatus::Failed {
                what: "not_accepted",
                why: error.to_string().into(),
            }),
        }
    }
}

impl Drop for OpenSpan {
    fn drop(&mut self) {
        if let Some(number) = self.number.take() {
            let why = "whoever sent it has not waited any longer".into();
            let what = "given_up";
            self.spans.ended(number, SpanStatus::Failed { what, why });
        }
    }
}

/// The number of the span of its lane, of a message that begins with an extension.
fn number_in(bytes: &[u8]) -> Option<u64> {
    let block = bytes.get(..extension_block_bytes(bytes))?;
    let trace = Extension::in_block(block).trace()?;
    Some(u64::from_be_bytes(trace.span_id))
}

fn random_id() -> [u8; 8] {
    fastrand::u64(1..).to_be_bytes()
}

/// What became of a message, as the status of its span.
pub(crate) fn status_of(outcome: &Result<(), Reported>) -> SpanStatus {
    let Err(reported) = outcome else {
        return SpanStatus::Ok;
    };
    let what = match reported {
        Reported::Undelivered { why } if [EXPIRED, LATE].contains(why) => "expired",
        Reported::Undelivered { .. } => "undelivered",
        Reported::Refused => "refused",
        Reported::Replaced => "replaced",
        Reported::Unknown { .. } => "unknown",
    };
    let why = reported.to_string().into();
    SpanStatus::Failed { what, why }
}

#[cfg(test)]
mod tests;
