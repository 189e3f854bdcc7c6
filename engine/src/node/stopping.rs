//! Stopping: what was accepted is sent and acknowledged by the deadline, or reported; then the threads
//! end, in the order in which nobody waits for one that is gone.
//!
//! Nobody waits for ever: a shard that code of the application holds is left to end by itself, and so
//! are all of them when the node is stopped, or its last handle dropped, on a thread of the engine.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, unbounded};
use event_listener::Event;

use super::Node;
use crate::control::link::Notice;
use crate::deadline::deadline_in;
use crate::events;
use crate::metrics::Metrics;
use crate::shard::command::Command;
use crate::shard::report::ShardReport;
use crate::threads;
use crate::wire::CloseReason;

/// How long a goodbye to the cluster may take. 2 s: a guess; it is a broadcast to neighbors.
const GOODBYE_MAX: Duration = Duration::from_secs(2);

/// How a node stopped.
#[derive(Clone, Debug)]
pub struct StopReport {
    /// Whether everything accepted was settled before the deadline.
    pub drained: bool,
    /// The final counters, without those of the shards in `unfinished`.
    pub metrics: Metrics,
    /// Shards that had not ended when the stop came back. They end by themselves as soon as they can,
    /// and what they had accepted is reported then.
    pub unfinished: Vec<UnfinishedShard>,
}

/// A shard that had not ended when [`Node::stop`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnfinishedShard {
    /// Which, from 0.
    pub shard: usize,
    /// Why it was not waited for.
    pub cause: UnfinishedCause,
}

/// Why a stop did not wait for a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnfinishedCause {
    /// At the deadline a handler or a task had kept it from going on for a second.
    Stuck,
    /// The stop was called on a thread of the engine, in a handler or a task, which cannot wait for
    /// shards.
    StoppedFromWithin,
}

impl fmt::Display for UnfinishedShard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shard = self.shard;
        match self.cause {
            UnfinishedCause::Stuck => write!(
                formatter,
                "shard {shard} has not ended: a handler or a task keeps it busy or waits for \
                 something; it must return soon and never block"
            ),
            UnfinishedCause::StoppedFromWithin => write!(
                formatter,
                "shard {shard} was not waited for: the node was stopped in a handler or a task, \
                 which cannot wait for shards; stop it on a thread of the application"
            ),
        }
    }
}

impl Node {
    /// Stops: accepts no more messages, sends and gets acknowledged what was accepted, parts from
    /// every peer, ends the threads. What is not settled by the deadline is reported.
    ///
    /// It comes back soon after the deadline, whatever handlers and tasks do: a shard that one of
    /// them keeps from going on for a second is left to end by itself, and named in
    /// [`StopReport::unfinished`]. In a handler or a task it does not wait at all.
    #[must_use]
    pub fn stop(mut self, deadline: Duration) -> StopReport {
        self.shut_down(deadline)
    }

    /// Takes no new peers and no new lanes from now on, and goes on with those there are, until it is stopped: what is to be
    /// spread over nodes goes elsewhere meanwhile. `/readyz` says no, and [`Event::LameDuck`](crate::Event::LameDuck) is told. Messages are
    /// sent and taken as before; a lane that had been up is made again when its connection is lost, and so are those that
    /// messages of this node wait for. How long that is to last, the caller decides: `overlane node` goes by
    /// [`Config::lame_duck_ms`](crate::Config::lame_duck_ms).
    pub fn be_lame_duck(&self) {
        if !self.fabric.is_lame_duck() {
            self.fabric.be_lame_duck();
            self.control_link
                .tell(Notice::Event(events::Event::LameDuck));
        }
    }

    /// [`stop`](Self::stop) awaited in a task of any runtime: a thread of its own waits meanwhile. The
    /// stop goes on if the future is dropped.
    pub async fn stop_async(self, deadline: Duration) -> StopReport {
        let handover = Arc::new(Handover {
            node: Mutex::new(Some(self)),
            report: Mutex::new(None),
            stopped: Event::new(),
        });
        let waiting = Arc::clone(&handover);
        let thread = thread::Builder::new().name("overlane-stop".to_owned());
        if thread.spawn(move || waiting.stop(deadline)).is_err() {
            // No thread is left to wait on but this one.
            handover.stop(deadline);
        }
        loop {
            let stopped = handover.stopped.listen();
            if let Some(report) = lock(&handover.report).take() {
                return report;
            }
            stopped.await;
        }
    }

    fn shut_down(&mut self, deadline: Duration) -> StopReport {
        self.fabric.retire();
        let discovery = self.discovery.take();
        if let Some(discovery) = &discovery {
            discovery.stop();
        }
        self.say_goodbye(deadline);
        let (asked, deadline) = (Instant::now(), deadline_in(deadline));
        let admin = std::mem::take(&mut self.admin);
        admin.iter().for_each(crate::admin::Server::close);
        let reports = self.begin_stop(deadline);
        let unfinished = if threads::is_own() {
            self.leave_to_themselves()
        } else {
            self.await_end(asked, deadline)
        };
        admin.into_iter().for_each(crate::admin::Server::end);
        if let Some(recorder) = self.recorder.take() {
            recorder.end();
        }
        if let Some(spans) = self.spans.take() {
            spans.end(deadline);
        }
        // Until here it told whoever asked that the node is stopping.
        if let Some(http) = self.http.take() {
            http.close();
            http.end();
        }
        if let Some(discovery) = discovery
            && !threads::is_own()
        {
            discovery.join();
        }
        let metrics = Metrics::merge(&self.fabric, &reports.try_iter().collect::<Vec<_>>());
        let unsettled = metrics
            .lanes
            .iter()
            .any(|lane| lane.closes.contains_key(&CloseReason::DrainTimeout));
        StopReport {
            drained: !unsettled && metrics.is_drained() && unfinished.is_empty(),
            metrics,
            unfinished,
        }
    }

    /// Members learn that this node leaves rather than find out that it is gone. A node that is to stop at once does
    /// not.
    fn say_goodbye(&self, deadline: Duration) {
        if let Some(cluster) = &self.cluster
            && cluster.live() > 1
            && !deadline.is_zero()
            && let Err(error) = cluster.leave(deadline.min(GOODBYE_MAX))
        {
            tracing::info!(%error, "the node stops without a goodbye to its cluster");
        }
    }

    /// Accepts no more, and tells the shards. Their final reports come out of the receiver.
    fn begin_stop(&self, deadline: Instant) -> Receiver<ShardReport> {
        self.fabric.close();
        let (reports, gathered) = unbounded();
        for shard in self.commands.iter() {
            shard.send(Command::Stop {
                deadline,
                reports: reports.clone(),
            });
        }
        gathered
    }

    /// The last shard to end says that the node has.
    fn leave_to_themselves(&mut self) -> Vec<UnfinishedShard> {
        self.control = None;
        let shards = self.threads.drain(..).enumerate();
        shards
            .map(|(shard, _)| UnfinishedShard {
                shard,
                cause: UnfinishedCause::StoppedFromWithin,
            })
            .collect()
    }

    fn await_end(&mut self, asked: Instant, deadline: Instant) -> Vec<UnfinishedShard> {
        let fabric = Arc::clone(&self.fabric);
        let mut unfinished = Vec::new();
        for (shard, thread) in self.threads.drain(..).enumerate() {
            let steps = || fabric.shards[shard].stop_steps.load(Ordering::Relaxed);
            // A shard that failed has said so in the log; its counters are missing in the report.
            if !thread.join_by(asked, deadline, steps) {
                unfinished.push(UnfinishedShard {
                    shard,
                    cause: UnfinishedCause::Stuck,
                });
                tracing::error!("{}", unfinished[unfinished.len() - 1]);
            }
        }
        fabric.end();
        if let Some(control) = self.control.take() {
            self.control_link.end();
            control.join_by(asked, deadline, || 0);
        }
        unfinished
    }
}

/// A node on its way to the thread that stops it, and the report on its way back.
struct Handover {
    node: Mutex<Option<Node>>,
    report: Mutex<Option<StopReport>>,
    stopped: Event,
}

impl Handover {
    fn stop(&self, deadline: Duration) {
        let node = lock(&self.node).take();
        *lock(&self.report) = node.map(|node| node.stop(deadline));
        self.stopped.notify(usize::MAX);
    }
}

fn lock<T>(value: &Mutex<Option<T>>) -> MutexGuard<'_, Option<T>> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Node {
    fn drop(&mut self) {
        // Not whether the node has ended: it has when one shard failed, and then the others run on.
        if !self.threads.is_empty() || self.control.is_some() {
            drop(self.shut_down(Duration::ZERO));
        }
    }
}
