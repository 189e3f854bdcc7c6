//! The flight recorder: what each thread of a node did last, kept in a fixed amount of memory until somebody wants to see it.
//!
//! Shards (`shard::recording`) and the control shard write their own tracks, of which nobody else holds the lock for longer than a copy takes; events
//! are kept as they are told. `Node::recording` copies it all out. What is to be written by itself is left as a wish for the
//! node's recording thread: no shard writes a file.

pub(crate) mod track;

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::config::RecorderConfig;
use crate::events::Event;
use crate::wire::CloseReason;
use track::Track;

/// Wishes that wait: more than that say nothing new.
const WISHES_MAX: usize = 4;

/// Why a recording is written by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A handler, a task or a shard panicked.
    Panic,
    /// A lane ended with messages of which it is not known what became of them, or because of what the peer sent.
    Lane,
    /// A turn took longer than `recorder_turn_us`.
    Turn,
}

impl Cause {
    pub(crate) const ALL: [Self; 3] = [Self::Panic, Self::Lane, Self::Turn];

    /// In the name of a file.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::Lane => "lane",
            Self::Turn => "turn",
        }
    }

    /// In the recording.
    pub(crate) const fn sentence(self) -> &'static str {
        match self {
            Self::Panic => "a handler, a task or a shard panicked",
            Self::Lane => "a lane ended badly",
            Self::Turn => "a turn took longer than recorder_turn_us",
        }
    }
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Recorder {
    shards: Vec<Track>,
    control: Track,
    events: Mutex<Events>,
    wishes: (Sender<Cause>, Receiver<Cause>),
    /// Somebody writes what is wished.
    is_written: bool,
    /// What an event is called, and what it says.
    describe: Describe,
    config: RecorderConfig,
}

/// Makes text of an event: kept as it is, it would keep its peer.
pub(crate) type Describe = fn(&Event) -> Described;

/// An event in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Described {
    /// Its name.
    pub(crate) event: String,
    /// What it says.
    pub(crate) said: String,
}

#[derive(Debug, Default)]
struct Events {
    kept: VecDeque<(Instant, Described)>,
    overwritten: u64,
}

impl Recorder {
    pub(crate) fn new(config: &RecorderConfig, shards: usize, describe: Describe) -> Self {
        let track = || Track::new(config.entries);
        Self {
            shards: (0..shards).map(|_| track()).collect(),
            control: track(),
            events: Mutex::default(),
            wishes: bounded(WISHES_MAX),
            is_written: !config.dir.as_os_str().is_empty(),
            describe,
            config: config.clone(),
        }
    }

    /// Whether anything is recorded.
    pub(crate) const fn is_on(&self) -> bool {
        self.config.entries > 0
    }

    /// From when on a handler is slow.
    pub(crate) const fn slow_handler(&self) -> Duration {
        Duration::from_micros(self.config.slow_handler_us)
    }

    /// Above which a turn has a recording written; none: it never has.
    pub(crate) fn turn_limit(&self) -> Option<Duration> {
        let us = self.config.turn_us;
        (us > 0).then(|| Duration::from_micros(us))
    }

    pub(crate) fn shards(&self) -> &[Track] {
        &self.shards
    }

    pub(crate) const fn control(&self) -> &Track {
        &self.control
    }

    /// Something happened. Called by the control shard for each event.
    pub(crate) fn note_event(&self, event: &Event) {
        if !self.is_on() {
            return;
        }
        let described = (self.describe)(event);
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        if events.kept.len() >= self.config.entries {
            events.kept.pop_front();
            events.overwritten += 1;
        }
        events.kept.push_back((Instant::now(), described));
        drop(events);
        if is_bad(event) {
            self.want(Cause::Lane);
        }
    }

    /// What happened, oldest first, and how much of it is kept no more.
    pub(crate) fn events(&self) -> (Vec<(Instant, Described)>, u64) {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = events.kept.iter().cloned().collect();
        (kept, events.overwritten)
    }

    /// A recording is worth being written now.
    pub(crate) fn want(&self, cause: Cause) {
        if self.is_written && self.is_on() {
            // As many wait already as anybody reads.
            let _ = self.wishes.0.try_send(cause);
        }
    }

    /// What is wished comes out there.
    pub(crate) fn wishes(&self) -> Receiver<Cause> {
        self.wishes.1.clone()
    }
}

/// Whether it is the end of a lane that somebody will want to understand.
fn is_bad(event: &Event) -> bool {
    let Event::LaneDown {
        reason, unknown, ..
    } = event
    else {
        return false;
    };
    *unknown > 0 || is_of_what_came(*reason)
}

/// Reasons that the bytes of a peer gave: frames, acknowledgements, sessions.
fn is_of_what_came(reason: CloseReason) -> bool {
    OF_WHAT_CAME.contains(&reason.code()) || reason == CloseReason::SessionBroken
}

/// The codes of frames, budgets, streams, compression, and of peers that are silent or slow (`wire::close`).
const OF_WHAT_CAME: RangeInclusive<u16> = 60..=81;

#[cfg(test)]
mod tests {
    use super::*;

    fn recorder(entries: usize) -> Recorder {
        let config = RecorderConfig {
            entries,
            dir: "/tmp/x".into(),
            ..RecorderConfig::default()
        };
        Recorder::new(&config, 2, |event| Described {
            event: String::new(),
            said: format!("{event:?}"),
        })
    }

    #[test]
    fn events_are_kept_up_to_the_bound_the_newest() {
        let recorder = recorder(3);
        for id in 0..5 {
            recorder.note_event(&Event::Missed { events: id });
        }
        let (kept, overwritten) = recorder.events();
        let kept: Vec<_> = kept.iter().map(|(_, event)| event.said.as_str()).collect();
        let expected = [
            "Missed { events: 2 }",
            "Missed { events: 3 }",
            "Missed { events: 4 }",
        ];
        assert_eq!((kept.as_slice(), overwritten), (&expected[..], 2));
    }

    #[test]
    fn a_recorder_that_is_off_keeps_and_wishes_nothing() {
        let recorder = recorder(0);
        recorder.note_event(&Event::Left);
        recorder.want(Cause::Panic);
        assert!(recorder.events().0.is_empty() && recorder.wishes().is_empty());
    }

    #[test]
    fn what_a_peer_sent_is_told_from_what_somebody_wanted() {
        for reason in [
            CloseReason::BadAck,
            CloseReason::SessionBroken,
            CloseReason::IdleTimeout,
        ] {
            assert!(is_of_what_came(reason), "{reason:?}");
        }
        for reason in [
            CloseReason::Idle,
            CloseReason::LocalStop,
            CloseReason::PeerClosed,
            CloseReason::ConnectRefused,
            CloseReason::NameTaken,
        ] {
            assert!(!is_of_what_came(reason), "{reason:?}");
        }
    }
}
