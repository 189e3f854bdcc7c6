//! The same windows over plain blocking sockets: heartbeats on a connection of their own, bulk on another.
//!
//! Processes and threads are those of the engine's windows: one process sends heartbeats and reads
//! bulk, the other answers and floods; nothing is pinned.

use std::time::Duration;

use super::Plan;
use crate::error::Outcome;
use crate::ping::Timed;
use crate::progress::Progress;
use crate::raw::pair::{self, RawProcess};
use crate::raw::protocol::{PingOrder, SendOrder};
use crate::remote::site::Hosts;
use crate::sample::Window;

/// Two processes and what they are asked.
pub(super) struct Plain {
    near: RawProcess,
    far: RawProcess,
    bulk: SendOrder,
    beats: PingOrder,
}

/// The windows of one round.
pub(super) struct PlainRound {
    pub(super) loaded: Timed,
    pub(super) bulk: Window,
    pub(super) bulk_alone: Window,
}

impl Plain {
    /// How many windows a round has.
    pub(super) const WINDOWS: u64 = 2;

    pub(super) fn start(hosts: &Hosts, plan: &Plan<'_>) -> Outcome<Self> {
        let flags = &plan.flags.pair;
        let near = RawProcess::start(&hosts.near(), "near", None)?;
        let far = RawProcess::start(&hosts.far(), "far", None)?;
        let bulk = SendOrder {
            to: near.address,
            payload_bytes: plan.flags.bulk_payload,
            batch_bytes: pair::batch_bytes_of_thread(plan.flags.bulk_payload, flags.raw_batch_kib),
        };
        let beats = PingOrder {
            to: far.address,
            payload_bytes: plan.heartbeat_bytes,
            busy: false,
            pace: plan.pace,
            warm_up: flags.warm_up(),
            measure: flags.measure(),
        };
        Ok(Self {
            near,
            far,
            bulk,
            beats,
        })
    }

    pub(super) fn round(&mut self, progress: &Progress) -> Outcome<PlainRound> {
        progress.say("plain sockets, beside bulk");
        let (loaded, bulk) = self.beside_bulk()?;
        progress.step();
        progress.say("plain sockets, bulk alone");
        let times: (Duration, Duration) = (self.beats.warm_up, self.beats.measure);
        let bulk_alone = pair::stream_between(&mut self.far, &mut self.near, &self.bulk, times)?;
        progress.step();
        Ok(PlainRound {
            loaded,
            bulk,
            bulk_alone,
        })
    }

    fn beside_bulk(&mut self) -> Outcome<(Timed, Window)> {
        self.far.start_sending(&self.bulk)?;
        std::thread::sleep(self.beats.warm_up);
        let before = (self.far.sample()?, self.near.sample()?);
        let timed = self.near.ping(&self.beats)?;
        let after = (self.far.sample()?, self.near.sample()?);
        self.far.stop_sending()?;
        let window = Window::between((before.0, after.0), (before.1, after.1));
        Ok((timed, window))
    }
}
