//! A recording as a trace that Perfetto reads: a track for each thread, a slice for what has a length, a mark for what has none.
//!
//! The messages are the parts used here of Perfetto's `trace_packet.proto`, `track_event.proto`, `track_descriptor.proto` and
//! `debug_annotation.proto`, with their field numbers.

use overlane::{Recorded, RecordedEntry, Recording};
use prost::Message;

/// All packets are of one writer.
const SEQUENCE: u32 = 1;

/// `TrackEvent.Type`.
const SLICE_BEGIN: i32 = 1;
const SLICE_END: i32 = 2;
const INSTANT: i32 = 3;

/// The track of the process; those of its threads follow.
const PROCESS_TRACK: u64 = 1;

#[derive(Clone, PartialEq, Message)]
struct Trace {
    #[prost(message, repeated, tag = "1")]
    packet: Vec<TracePacket>,
}

#[derive(Clone, PartialEq, Message)]
struct TracePacket {
    /// Nanoseconds.
    #[prost(uint64, optional, tag = "8")]
    timestamp: Option<u64>,
    #[prost(uint32, optional, tag = "10")]
    trusted_packet_sequence_id: Option<u32>,
    #[prost(message, optional, tag = "11")]
    track_event: Option<TrackEvent>,
    #[prost(message, optional, tag = "60")]
    track_descriptor: Option<TrackDescriptor>,
}

#[derive(Clone, PartialEq, Message)]
struct TrackEvent {
    #[prost(message, repeated, tag = "4")]
    debug_annotations: Vec<DebugAnnotation>,
    #[prost(int32, optional, tag = "9")]
    r#type: Option<i32>,
    #[prost(uint64, optional, tag = "11")]
    track_uuid: Option<u64>,
    #[prost(string, repeated, tag = "22")]
    categories: Vec<String>,
    #[prost(string, optional, tag = "23")]
    name: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct DebugAnnotation {
    #[prost(uint64, optional, tag = "3")]
    uint_value: Option<u64>,
    #[prost(string, optional, tag = "6")]
    string_value: Option<String>,
    #[prost(string, optional, tag = "10")]
    name: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct TrackDescriptor {
    #[prost(uint64, optional, tag = "1")]
    uuid: Option<u64>,
    #[prost(string, optional, tag = "2")]
    name: Option<String>,
    #[prost(message, optional, tag = "3")]
    process: Option<ProcessDescriptor>,
    #[prost(message, optional, tag = "4")]
    thread: Option<ThreadDescriptor>,
    #[prost(uint64, optional, tag = "5")]
    parent_uuid: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct ProcessDescriptor {
    #[prost(int32, optional, tag = "1")]
    pid: Option<i32>,
    #[prost(string, optional, tag = "6")]
    process_name: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct ThreadDescriptor {
    #[prost(int32, optional, tag = "1")]
    pid: Option<i32>,
    #[prost(int32, optional, tag = "2")]
    tid: Option<i32>,
    #[prost(string, optional, tag = "5")]
    thread_name: Option<String>,
}

/// The bytes of the trace.
pub(super) fn trace(recording: &Recording) -> Vec<u8> {
    packets(recording).encode_to_vec()
}

fn packets(recording: &Recording) -> Trace {
    let pid = i32::try_from(recording.pid).unwrap_or(i32::MAX);
    let mut packet = vec![described(TrackDescriptor {
        uuid: Some(PROCESS_TRACK),
        process: Some(ProcessDescriptor {
            pid: Some(pid),
            process_name: Some(format!("overlane node {}", recording.node)),
        }),
        ..TrackDescriptor::default()
    })];
    for (place, thread) in recording.threads.iter().enumerate() {
        let place = u64::try_from(place).unwrap_or(u64::MAX);
        let track = PROCESS_TRACK + 1 + place;
        packet.push(described(TrackDescriptor {
            uuid: Some(track),
            name: Some(thread.thread.clone()),
            // Not the kernel's numbers, which are not recorded: they only tell threads apart.
            thread: Some(ThreadDescriptor {
                pid: Some(pid),
                tid: i32::try_from(track)
                    .ok()
                    .and_then(|tid| pid.checked_add(tid)),
                thread_name: Some(thread.thread.clone()),
            }),
            parent_uuid: Some(PROCESS_TRACK),
            ..TrackDescriptor::default()
        }));
        let mut marks = Vec::new();
        for entry in &thread.entries {
            push_marks(entry, track, &mut marks);
        }
        // Where several are at one moment, those that end go first, and of those that begin the longest.
        marks.sort_by_key(|mark| (mark.at_us, mark.rank));
        packet.extend(marks.into_iter().map(Mark::packet));
    }
    Trace { packet }
}

fn described(descriptor: TrackDescriptor) -> TracePacket {
    TracePacket {
        trusted_packet_sequence_id: Some(SEQUENCE),
        track_descriptor: Some(descriptor),
        ..TracePacket::default()
    }
}

/// An event with its moment, to be sorted.
struct Mark {
    at_us: u64,
    rank: (u8, u32),
    event: TrackEvent,
}

impl Mark {
    fn packet(self) -> TracePacket {
        TracePacket {
            timestamp: Some(self.at_us.saturating_mul(1000)),
            trusted_packet_sequence_id: Some(SEQUENCE),
            track_event: Some(self.event),
            ..TracePacket::default()
        }
    }
}

fn push_marks(entry: &RecordedEntry, track: u64, marks: &mut Vec<Mark>) {
    let (name, annotations) = named(&entry.what);
    let event = |kind: i32| TrackEvent {
        r#type: Some(kind),
        track_uuid: Some(track),
        ..TrackEvent::default()
    };
    let begun = |kind: i32| TrackEvent {
        debug_annotations: annotations.clone(),
        categories: vec!["overlane".to_owned()],
        name: Some(name.clone()),
        ..event(kind)
    };
    let at_us = entry.at_us;
    match entry.what.took_us() {
        Some(took_us) => {
            marks.push(Mark {
                at_us,
                rank: (2, u32::MAX - took_us),
                event: begun(SLICE_BEGIN),
            });
            marks.push(Mark {
                at_us: at_us.saturating_add(u64::from(took_us)),
                // A slice without a length ends behind its beginning.
                rank: if took_us == 0 { (3, 0) } else { (0, took_us) },
                event: event(SLICE_END),
            });
        }
        None => marks.push(Mark {
            at_us,
            rank: (1, 0),
            event: begun(INSTANT),
        }),
    }
}

fn named(what: &Recorded) -> (String, Vec<DebugAnnotation>) {
    match what {
        Recorded::Turns {
            turns,
            busy_us,
            longest_us,
            ..
        } => (
            "turns".to_owned(),
            vec![
                number("turns", *turns),
                number("busy_us", *busy_us),
                number("longest_us", *longest_us),
            ],
        ),
        Recorded::LongTurn { with_tasks, .. } => (
            "long turn".to_owned(),
            vec![number("with_tasks", u32::from(*with_tasks))],
        ),
        Recorded::SlowHandler {
            mailbox,
            from,
            channel,
            messages,
            ..
        } => (
            format!("slow handler of {mailbox}"),
            handed(mailbox, from, channel, *messages),
        ),
        Recorded::Behind {
            mailbox,
            from,
            channel,
            messages,
        } => (
            format!("{messages} for {mailbox} waited"),
            handed(mailbox, from, channel, *messages),
        ),
        Recorded::UnsentBehind { channel, bytes } => (
            format!("{bytes} bytes on {channel} waited to be sent"),
            vec![word("channel", channel)],
        ),
        Recorded::HandlerPanic { mailbox } => (
            format!("panic of the handler of {mailbox}"),
            vec![word("mailbox", mailbox)],
        ),
        Recorded::TaskPanic {} => ("panic of a task".to_owned(), Vec::new()),
        Recorded::Event { event, said } => (event.clone(), vec![word("said", said)]),
        other => (format!("{other:?}"), Vec::new()),
    }
}

fn handed(mailbox: &str, from: &str, channel: &str, messages: u32) -> Vec<DebugAnnotation> {
    vec![
        word("mailbox", mailbox),
        word("from", from),
        word("channel", channel),
        number("messages", messages),
    ]
}

fn word(name: &str, value: &str) -> DebugAnnotation {
    DebugAnnotation {
        name: Some(name.to_owned()),
        string_value: Some(value.to_owned()),
        ..DebugAnnotation::default()
    }
}

fn number(name: &str, value: u32) -> DebugAnnotation {
    DebugAnnotation {
        name: Some(name.to_owned()),
        uint_value: Some(value.into()),
        ..DebugAnnotation::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use overlane::RecordedThread;

    fn recording() -> Recording {
        let entry = |at_us, what| RecordedEntry { at_us, what };
        Recording {
            node: "a".to_owned(),
            cluster: "c".to_owned(),
            incarnation: 1,
            overlane: "0".to_owned(),
            pid: 77,
            cause: "asked for".to_owned(),
            taken_us: 9000,
            threads: vec![RecordedThread {
                thread: "shard 0".to_owned(),
                overwritten: 0,
                entries: vec![
                    entry(
                        1000,
                        Recorded::LongTurn {
                            took_us: 3000,
                            with_tasks: false,
                        },
                    ),
                    entry(
                        1000,
                        Recorded::SlowHandler {
                            took_us: 2500,
                            mailbox: "in".to_owned(),
                            from: "b".to_owned(),
                            channel: "data".to_owned(),
                            messages: 1,
                        },
                    ),
                    entry(4000, Recorded::TaskPanic {}),
                ],
            }],
        }
    }

    #[test]
    fn slices_nest_and_end_in_their_order() {
        let trace = Trace::decode(&trace(&recording())[..]).expect("it is one");
        let events = trace.packet.iter().filter_map(|packet| {
            let event = packet.track_event.as_ref()?;
            Some((packet.timestamp?, event.r#type?, event.name.as_deref()))
        });
        assert_eq!(
            events.collect::<Vec<_>>(),
            [
                (1_000_000, SLICE_BEGIN, Some("long turn")),
                (1_000_000, SLICE_BEGIN, Some("slow handler of in")),
                (3_500_000, SLICE_END, None),
                (4_000_000, SLICE_END, None),
                (4_000_000, INSTANT, Some("panic of a task")),
            ]
        );
        let tracks = trace.packet.iter().filter_map(|packet| {
            let track = packet.track_descriptor.as_ref()?;
            Some((track.uuid?, track.parent_uuid, track.name.as_deref()))
        });
        let tracks: Vec<_> = tracks.collect();
        assert_eq!(tracks, [(1, None, None), (2, Some(1), Some("shard 0"))]);
    }

    /// Bytes by the schema's wire format, written by hand: a packet with a timestamp, its writer, and an event that has a type, a
    /// track and a name.
    #[test]
    fn the_bytes_are_those_of_the_schema() {
        let packet = Mark {
            at_us: 1,
            rank: (0, 0),
            event: TrackEvent {
                r#type: Some(INSTANT),
                track_uuid: Some(2),
                name: Some("x".to_owned()),
                ..TrackEvent::default()
            },
        }
        .packet();
        let event = [9 << 3, 3, 11 << 3, 2, 0xba, 0x01, 1, b'x'];
        let mut expected = vec![8 << 3, 0xe8, 0x07, 10 << 3, 1, (11 << 3) | 2, 8];
        expected.extend_from_slice(&event);
        assert_eq!(packet.encode_to_vec(), expected);
    }
}
