//! The thread that takes spans out and hands them to the program's sinks and to the exporter; there is none where nothing is recorded.
//!
//! It sleeps, and looks some times a second, or when many wait. Whatever a sink or a receiver does, messages go on: spans find no room
//! meanwhile, and are counted.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::config::Config;
use crate::error::StartError;
use crate::fabric::Fabric;
use crate::spans::{SpanSink, Spans, Wall};
use crate::threads;

/// How often spans are taken out: a trace can be looked at soon, and a node that does nothing wakes rarely.
const PERIOD: Duration = Duration::from_millis(250);

/// Spans that are handed over at once.
const SPANS_AT_ONCE: usize = 1024;

/// What sends spans to `trace_endpoint`, before there is a node.
#[cfg(feature = "otlp")]
pub(super) type Exporter = crate::otlp::Prepared;

/// There is none in this build.
#[cfg(not(feature = "otlp"))]
pub(super) enum Exporter {}

/// What `trace_endpoint` needs, if there is one.
#[cfg(feature = "otlp")]
pub(super) fn exporter(config: &Config) -> Result<Option<Exporter>, StartError> {
    if config.trace.endpoint.is_in_the_clear() {
        tracing::warn!(
            "trace_endpoint is beyond this host and not https: names of nodes, mailboxes and channels go there in the clear"
        );
    }
    crate::otlp::Prepared::new(config).map_err(|what| StartError::Machine {
        what,
        remedy: "correct the file that it names, or set trace_endpoint to off".to_owned(),
    })
}

/// The same in a build that cannot send any.
#[cfg(not(feature = "otlp"))]
pub(super) fn exporter(config: &Config) -> Result<Option<Exporter>, StartError> {
    match config.trace.endpoint.url() {
        None => Ok(None),
        Some(url) => Err(StartError::Machine {
            what: format!("trace_endpoint is {url}, and this build sends no spans"),
            remedy: "build with the feature `otlp`, or set trace_endpoint to off and take them with NodeBuilder::span_sink".to_owned(),
        }),
    }
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct SpanThread {
    handle: JoinHandle<()>,
    end: Sender<Instant>,
    ended: Receiver<()>,
}

impl SpanThread {
    /// Starts it, if anybody takes spans.
    pub(super) fn start(
        fabric: &Arc<Fabric>,
        mut sinks: Vec<Box<dyn SpanSink>>,
        exporter: Option<Exporter>,
    ) -> Result<Option<Self>, StartError> {
        let spans = Arc::clone(&fabric.spans);
        sinks.extend(exporter.map(|it| into_sink(it, &spans)));
        if sinks.is_empty() {
            return Ok(None);
        }
        let (end, told) = bounded(1);
        let (alive, ended) = bounded(0);
        let thread = std::thread::Builder::new().name("overlane-spans".to_owned());
        let life = move || {
            let _alive = alive;
            run(&spans, &mut sinks, &told);
        };
        let handle = thread.spawn(life).map_err(|error| StartError::Machine {
            what: format!("spans are not taken: no thread could be made ({error})"),
            remedy: "raise the limit of threads (ulimit -u)".to_owned(),
        })?;
        Ok(Some(Self { handle, end, ended }))
    }

    /// Hands on what there is, by the deadline, and ends it. A sink that does not come back by then is left to itself.
    pub(super) fn end(self, deadline: Instant) {
        // There is room for one, and nothing else is ever said.
        let _ = self.end.try_send(deadline);
        if threads::is_own() {
            return;
        }
        let ended = self.ended.recv_deadline(deadline + PERIOD);
        if ended == Err(RecvTimeoutError::Disconnected) {
            // One that panicked has said so in the log.
            drop(self.handle.join());
        } else {
            tracing::warn!(
                "spans of the last moments are lost: whoever takes them has not come back in time"
            );
        }
    }
}

#[cfg(feature = "otlp")]
fn into_sink(exporter: Exporter, spans: &Arc<Spans>) -> Box<dyn SpanSink> {
    let spans = Arc::clone(spans);
    Box::new(exporter.counting(move |exported, failed| spans.count_exported(exported, failed)))
}

#[cfg(not(feature = "otlp"))]
fn into_sink(exporter: Exporter, _: &Arc<Spans>) -> Box<dyn SpanSink> {
    match exporter {}
}

fn run(spans: &Spans, sinks: &mut [Box<dyn SpanSink>], told: &Receiver<Instant>) {
    let mut wall = Wall::new(Instant::now(), SystemTime::now());
    let deadline = loop {
        match spans.wait(told, PERIOD) {
            Ok(deadline) => break deadline,
            Err(RecvTimeoutError::Timeout) => {}
            // The node was dropped without being stopped.
            Err(RecvTimeoutError::Disconnected) => break Instant::now(),
        }
        wall.look(Instant::now(), SystemTime::now());
        hand_over(spans, sinks, &wall);
    };
    hand_over(spans, sinks, &wall);
    for sink in sinks {
        sink.flush(deadline);
    }
}

/// All there is; once if there is nothing.
fn hand_over(spans: &Spans, sinks: &mut [Box<dyn SpanSink>], wall: &Wall) {
    loop {
        let taken = spans.take(wall, SPANS_AT_ONCE);
        for sink in &mut *sinks {
            sink.take(&taken);
        }
        if taken.len() < SPANS_AT_ONCE {
            return;
        }
    }
}
