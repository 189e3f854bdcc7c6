//! Sends spans by OpenTelemetry's protocol over HTTP (OTLP, `http/protobuf`), behind the feature `otlp`.
//!
//! A [`SpanSink`] of the node's span thread, which is the only one that waits for the receiver: nothing here touches a message. What could
//! not be sent waits, bounded, and is tried again (`outgoing`); what is said is in `encode`, how it is sent in `post`.

mod encode;
mod headers;
mod outgoing;
mod post;

use std::time::{Duration, Instant};

use prost::Message;

use crate::config::Config;
use crate::spans::{Span, SpanSink};
use encode::Describer;
use outgoing::{Answer, Counted, Outgoing};
use post::Post;

/// How long an answer may take: healthy receivers take milliseconds, and spans wait meanwhile.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Spans of one request: some 200 KB.
const BATCH_SPANS: usize = 512;

/// What is needed to send, made before the node starts, so that what is wrong with it is told at once.
pub(crate) struct Prepared {
    post: Post,
    describer: Describer,
    spans_max: usize,
}

impl Prepared {
    /// `None` if spans go nowhere.
    ///
    /// # Errors
    /// `trace_ca_file` or `trace_headers_file` cannot be used: what is wrong with it.
    pub(crate) fn new(config: &Config) -> Result<Option<Self>, String> {
        let Some(url) = config.trace.endpoint.url() else {
            return Ok(None);
        };
        Ok(Some(Self {
            post: Post::new(url, &config.trace)?,
            describer: Describer::new(config),
            spans_max: config.trace.buffer_spans,
        }))
    }

    /// As a sink, which says how many spans it has sent, and how many it never will.
    pub(crate) fn counting(self, count: impl Fn(u64, u64) + Send + 'static) -> Exporter {
        Exporter {
            outgoing: Outgoing::new(self.spans_max),
            post: self.post,
            describer: self.describer,
            count: Box::new(count),
            is_told: false,
        }
    }
}

/// See the module's text.
pub(crate) struct Exporter {
    outgoing: Outgoing,
    post: Post,
    describer: Describer,
    count: Box<dyn Fn(u64, u64) + Send>,
    /// That spans cannot be sent was told in the log since they could be.
    is_told: bool,
}

impl Exporter {
    /// Sends what may be sent now, until the receiver says that it is enough.
    fn send(&mut self, answer_by: impl Fn() -> Duration) {
        while let Some(batch) = self.outgoing.next(Instant::now(), BATCH_SPANS) {
            let body = self.describer.request(batch).encode_to_vec();
            let answer = self.post.send(&body, answer_by());
            self.tell(&answer);
            let counted = self
                .outgoing
                .answered(answer, Instant::now(), fastrand::u64(..));
            self.note(counted);
        }
    }

    fn note(&self, Counted { exported, failed }: Counted) {
        (self.count)(exported, failed);
    }

    /// Once for each time that it stops working: a receiver that is down is down for minutes.
    fn tell(&mut self, answer: &Answer) {
        match answer {
            Answer::Taken { .. } => self.is_told = false,
            Answer::Later { why, .. } | Answer::Never { why } if !self.is_told => {
                self.is_told = true;
                tracing::warn!(
                    url = self.post.url(),
                    why,
                    "spans cannot be sent; metrics count them from here on"
                );
            }
            Answer::Later { .. } | Answer::Never { .. } => {}
        }
    }
}

impl SpanSink for Exporter {
    fn take(&mut self, spans: &[Span]) {
        let counted = self.outgoing.add(spans);
        self.note(counted);
        self.send(|| ANSWER_MAX);
    }

    fn flush(&mut self, deadline: Instant) {
        self.outgoing.try_now();
        if Instant::now() < deadline {
            self.send(|| {
                let left = deadline.saturating_duration_since(Instant::now());
                left.min(ANSWER_MAX)
            });
        }
        let counted = self.outgoing.give_up();
        self.note(counted);
    }
}
