//! Messages with answers, timed on the shard that sent them.
//!
//! The other node's handler sends each message back on the channel it came on. In a closed loop the
//! handler of an answer sends the next message. In an open loop messages are sent when they are due, and
//! the time that counts is the one at which a message was due, not the one at which it was sent.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use overlane::{
    Channel, Destination, Mailbox, Message, Node, SendError, ShardContext, ShardHandle,
};

use crate::clock;
use crate::error::{BenchError, Outcome};
use crate::heartbeat::{Heartbeat, Schedule};
use crate::latencies::Latencies;
use crate::ping::Timed;

/// Mailbox whose handler sends each message back.
pub(crate) const ECHO: &str = "echo";
/// Mailbox that answers come to.
const ANSWER: &str = "answer";
/// Shortest message that can carry its time.
pub(crate) const PAYLOAD_BYTES_MIN: usize = 16;
/// How long answers may take after the last message.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// The timing state of one node; its handlers and its control thread share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct RoundTrips(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    latencies: Latencies,
    begin_ns: u64,
    end_ns: u64,
    sent: u64,
    answered: u64,
    over: bool,
    fault: Option<String>,
    closed_loop: Option<Next>,
}

/// What a closed loop sends after an answer.
#[derive(Debug)]
struct Next {
    channel: Channel,
    to: Destination,
    message: Vec<u8>,
}

/// Makes `node` answer the round trips of others, and take the answers to its own.
pub(crate) fn install(node: &Node, channels: Vec<Channel>) -> Outcome<RoundTrips> {
    let failed = |error: overlane::NameError| BenchError::Engine(error.to_string());
    let round_trips = RoundTrips::default();
    let answers = round_trips.clone();
    node.handle(
        ANSWER,
        move |shard: &mut ShardContext<'_>, message: Message<'_>| {
            answers.state().take_answer(shard, message.payload());
        },
    )
    .map_err(failed)?;
    let answer: Mailbox = node.mailbox(ANSWER).map_err(failed)?;
    let errors = round_trips.clone();
    node.handle(
        ECHO,
        move |shard: &mut ShardContext<'_>, message: Message<'_>| {
            let channel = &channels[message.channel_index()];
            let sent = shard.try_send(channel, &message.reply_to(&answer), message.payload());
            if let Err(error) = sent {
                errors.state().fault = Some(error.to_string());
            }
        },
    )
    .map_err(failed)?;
    Ok(round_trips)
}

impl RoundTrips {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no holder of the timing state panics")
    }

    /// One message at a time, each after the answer to the one before.
    pub(crate) fn closed_loop(
        &self,
        channel: &Channel,
        to: &Destination,
        payload_bytes: usize,
        (warm_up, measure): (Duration, Duration),
    ) -> Outcome<Timed> {
        let message = vec![0x5a; payload_bytes];
        let next = Next {
            channel: channel.clone(),
            to: to.clone(),
            message: message.clone(),
        };
        let begin_ns = self.begin(warm_up, measure, Some(next));
        let mut first = message;
        Heartbeat {
            due_ns: begin_ns,
            sequence: 0,
        }
        .encode(&mut first);
        self.state().sent = 1;
        let sent = channel.try_send(to, &first);
        sent.map_err(|error| BenchError::Engine(error.to_string()))?;
        self.finish(warm_up + measure)
    }

    /// Messages at fixed times, whatever became of those before.
    pub(crate) fn open_loop(
        &self,
        node: &Node,
        beats: Beats,
        (warm_up, measure): (Duration, Duration),
    ) -> Outcome<Timed> {
        let schedule = Schedule::new(self.begin(warm_up, measure, None), beats.hz);
        let own = self.clone();
        let task = move |shard: ShardHandle| async move {
            own.over(beats.send(&shard, schedule, &own).await);
        };
        let spawned = node.spawn_on_shard(0, task);
        spawned.map_err(|error| BenchError::Engine(error.to_string()))?;
        self.finish(warm_up + measure)
    }

    /// No more messages will be sent.
    fn over(&self, outcome: Result<(), SendError>) {
        let mut state = self.state();
        state.over = true;
        // One that was noted before stays.
        if let Err(error) = outcome {
            state.fault = Some(error.to_string());
        }
    }

    /// Forgets the last run; the moment from which messages count is after the warm-up.
    fn begin(&self, warm_up: Duration, measure: Duration, closed_loop: Option<Next>) -> u64 {
        let now_ns = clock::now_ns();
        let begin_ns = now_ns + clock::nanoseconds(warm_up);
        let end_ns = begin_ns + clock::nanoseconds(measure);
        *self.state() = State {
            begin_ns,
            end_ns,
            closed_loop,
            ..State::default()
        };
        now_ns
    }

    /// Waits until the last message was sent and answered.
    fn finish(&self, lasts: Duration) -> Outcome<Timed> {
        std::thread::sleep(lasts);
        let deadline = clock::now_ns() + clock::nanoseconds(ANSWERS_WITHIN);
        loop {
            let state = self.state();
            if let Some(fault) = &state.fault {
                return Err(BenchError::Engine(format!("a timed message: {fault}")));
            }
            if state.over && state.answered == state.sent {
                return Ok(Timed::all_from_due(state.latencies.clone()));
            }
            if clock::now_ns() > deadline {
                let (sent, answered) = (state.sent, state.answered);
                return Err(BenchError::CheckFailed(format!(
                    "{answered} of {sent} timed messages were answered; the rest is lost"
                )));
            }
            drop(state);
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Messages of an open loop.
#[derive(Debug)]
pub(crate) struct Beats {
    /// The channel, both ways.
    pub(crate) channel: Channel,
    /// The mailbox that sends them back.
    pub(crate) to: Destination,
    /// Bytes of each.
    pub(crate) payload_bytes: usize,
    /// How many a second.
    pub(crate) hz: u32,
}

impl Beats {
    async fn send(
        &self,
        shard: &ShardHandle,
        mut schedule: Schedule,
        round_trips: &RoundTrips,
    ) -> Result<(), SendError> {
        let mut message = vec![0x5a; self.payload_bytes];
        let end_ns = round_trips.state().end_ns;
        while schedule.due_ns() < end_ns {
            let now_ns = clock::now_ns();
            if let Some(heartbeat) = schedule.take(now_ns) {
                heartbeat.encode(&mut message);
                round_trips.state().sent += 1;
                shard.send(&self.channel, &self.to, &message).await?;
            } else {
                let wait = Duration::from_nanos(schedule.due_ns() - now_ns);
                shard.sleep(wait).await;
            }
        }
        Ok(())
    }
}

impl State {
    #[inline]
    fn take_answer(&mut self, shard: &mut ShardContext<'_>, payload: &[u8]) {
        let Some(heartbeat) = Heartbeat::decode(payload) else {
            self.fault = Some("an answer that is too short".to_owned());
            return;
        };
        let now_ns = clock::now_ns();
        self.answered += 1;
        if heartbeat.due_ns >= self.begin_ns {
            self.latencies
                .record(now_ns.saturating_sub(heartbeat.due_ns));
        }
        let Some(next) = &mut self.closed_loop else {
            return;
        };
        if now_ns >= self.end_ns {
            self.over = true;
            return;
        }
        Heartbeat {
            due_ns: now_ns,
            sequence: self.sent,
        }
        .encode(&mut next.message);
        match shard.try_send(&next.channel, &next.to, &next.message) {
            Ok(()) => self.sent += 1,
            Err(error) => self.fault = Some(error.to_string()),
        }
    }
}
