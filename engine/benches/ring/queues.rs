//! The queues that are compared, each behind two closures: push up to so many records, and take
//! out some. Every record has a tag of three words; each end copies or reads the whole payload.

use std::hint::black_box;
use std::ops::ControlFlow;
use std::sync::Arc;

use bbqueue::nicknames::GogiGui;
use bytes::Bytes;
use crossbeam_queue::ArrayQueue;

use crate::ring::{Drained, Tag, byte_ring};
use crate::{Effort, Figures, measure, measure_shared};

/// For rings of bytes; queues of values have the same room for records.
const CAPACITY_BYTES: usize = 1 << 19;

/// As much as a data shard takes out of a ring in one go.
const DRAIN_BYTES_MAX: usize = 64 * 1024;

/// And as many records together.
const DRAIN_RUN_MAX: usize = 16;

/// Records in one claim, where a queue can do that.
const BATCH: usize = 16;

/// One queue and how to measure it.
pub(crate) struct Queue {
    pub(crate) name: &'static str,
    pub(crate) measure: fn(Effort) -> Figures,
}

/// All of them, ours first.
pub(crate) fn queues<const N: usize>() -> Vec<Queue> {
    vec![
        Queue {
            name: "overlane ring",
            measure: ours::<N>,
        },
        Queue {
            name: "overlane ring, 16 in a claim",
            measure: ours_many::<N>,
        },
        Queue {
            name: "overlane ring, Bytes handed over",
            measure: ours_shared::<N>,
        },
        Queue {
            name: "nexus-logbuf mpsc",
            measure: nexus_logbuf::<N>,
        },
        Queue {
            name: "crossbeam ArrayQueue, array",
            measure: array_queue::<N>,
        },
        Queue {
            name: "crossbeam ArrayQueue, copied Bytes",
            measure: array_queue_bytes::<N>,
        },
        Queue {
            name: "crossbeam-channel, array",
            measure: channel::<N>,
        },
        Queue {
            name: "crossbeam-channel, copied Bytes",
            measure: channel_bytes::<N>,
        },
        Queue {
            name: "rtrb of bytes (one producer)",
            measure: rtrb_bytes::<N>,
        },
        Queue {
            name: "bbqueue framed (one producer)",
            measure: bbqueue_framed::<N>,
        },
    ]
}

/// A record as queues of values hold it when nothing is to be allocated: the longest payload.
struct Inline<const N: usize> {
    tag: Tag,
    len: u32,
    payload: [u8; N],
}

impl<const N: usize> Inline<N> {
    fn new(payload: &[u8]) -> Self {
        let mut inline = Self {
            tag: tag(),
            len: length(payload),
            payload: [0; N],
        };
        inline.payload[..payload.len()].copy_from_slice(payload);
        inline
    }
}

fn tag() -> Tag {
    black_box(Tag {
        lane: 1,
        mailbox: 2,
        extra: 3,
    })
}

fn length(payload: &[u8]) -> u32 {
    u32::try_from(payload.len()).expect("payloads are short here")
}

/// What the application sends: its length is not known when the bench is compiled.
fn payload<const N: usize>() -> Vec<u8> {
    vec![7; black_box(N)]
}

/// What a consumer does with each record.
fn consume(tag: Tag, payload: &[u8]) {
    black_box(tag);
    black_box(
        payload
            .iter()
            .step_by(64)
            .map(|byte| u32::from(*byte))
            .sum::<u32>(),
    );
}

/// As many records as fit the rings of bytes.
fn slots<const N: usize>() -> usize {
    CAPACITY_BYTES / (N + size_of::<Tag>())
}

fn ours<const N: usize>(effort: Effort) -> Figures {
    measure_shared(effort, || {
        let (producer, mut consumer) = byte_ring(CAPACITY_BYTES);
        let payload = payload::<N>();
        let push = move |_: usize| usize::from(producer.try_push(tag(), &payload).is_ok());
        let take = move || {
            consumer.drain_runs::<DRAIN_RUN_MAX>(DRAIN_BYTES_MAX, |tag, drained| {
                if let Drained::Copied(payloads) = drained {
                    payloads.iter().for_each(|payload| consume(tag, payload));
                }
                ControlFlow::Continue(())
            })
        };
        (push, take)
    })
}

fn ours_many<const N: usize>(effort: Effort) -> Figures {
    measure_shared(effort, || {
        let (producer, mut consumer) = byte_ring(CAPACITY_BYTES);
        let payload = payload::<N>();
        let push = move |count: usize| {
            let payloads = [payload.as_slice(); BATCH];
            producer
                .try_push_many(tag(), &payloads[..count.min(BATCH)])
                .unwrap_or(0)
        };
        let take = move || {
            consumer.drain_runs::<DRAIN_RUN_MAX>(DRAIN_BYTES_MAX, |tag, drained| {
                if let Drained::Copied(payloads) = drained {
                    payloads.iter().for_each(|payload| consume(tag, payload));
                }
                ControlFlow::Continue(())
            })
        };
        (push, take)
    })
}

fn ours_shared<const N: usize>(effort: Effort) -> Figures {
    measure_shared(effort, || {
        let (producer, mut consumer) = byte_ring(CAPACITY_BYTES);
        // Static: neither its allocation nor its reference count belongs to the ring.
        let payload = Bytes::from_static(&[7; N]);
        let push =
            move |_: usize| usize::from(producer.try_push_shared(tag(), payload.clone()).is_ok());
        let take = move || {
            consumer.drain_runs::<DRAIN_RUN_MAX>(DRAIN_BYTES_MAX, |tag, drained| {
                if let Drained::Shared(shared) = drained {
                    consume(tag, &shared.take());
                }
                ControlFlow::Continue(())
            })
        };
        (push, take)
    })
}

/// The tag goes before the payload, as bytes.
fn tag_bytes(tag: Tag) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&tag.lane.to_ne_bytes());
    bytes[4..8].copy_from_slice(&tag.mailbox.to_ne_bytes());
    bytes[8..].copy_from_slice(&tag.extra.to_ne_bytes());
    bytes
}

fn consume_framed(record: &[u8]) {
    let word = |at: usize| u32::from_ne_bytes([0, 1, 2, 3].map(|place| record[at + place]));
    consume(
        Tag {
            lane: word(0),
            mailbox: word(4),
            extra: word(8),
        },
        &record[12..],
    );
}

fn nexus_logbuf<const N: usize>(effort: Effort) -> Figures {
    measure_shared(effort, || {
        let (mut producer, mut consumer) = nexus_logbuf::queue::mpsc::new(CAPACITY_BYTES);
        let payload = payload::<N>();
        let push = move |_: usize| match producer.try_claim(12 + payload.len()) {
            Ok(mut claim) => {
                claim[..12].copy_from_slice(&tag_bytes(tag()));
                claim[12..].copy_from_slice(&payload);
                claim.commit();
                1
            }
            Err(_) => 0,
        };
        let take = move || match consumer.try_claim() {
            Some(claim) => {
                consume_framed(&claim);
                1
            }
            None => 0,
        };
        (push, take)
    })
}

fn array_queue<const N: usize>(effort: Effort) -> Figures {
    measure_shared(effort, || {
        let queue = Arc::new(ArrayQueue::<Inline<N>>::new(slots::<N>()));
        let from = Arc::clone(&queue);
        let payload = payload::<N>();
        let push = move |_: usize| usize::from(queue.push(Inline::new(&payload)).is_ok());
        let take = move || {
            from.pop().map_or(0, |record| {
                consume(record.tag, &record.payload[..record.len as usize]);
                1
            })
        };
        (push, take)
    })
}

fn array_queue_bytes<const N: usize>(effort: Effort) -> Figures {
    measure_shared(effort, || {
        let queue = Arc::new(ArrayQueue::<(Tag, Bytes)>::new(slots::<N>()));
        let from = Arc::clone(&queue);
        let payload = payload::<N>();
        let push = move |_: usize| {
            usize::from(
                queue
                    .push((tag(), Bytes::copy_from_slice(&payload)))
                    .is_ok(),
            )
        };
        let take = move || {
            from.pop().map_or(0, |(tag, payload)| {
                consume(tag, &payload);
                1
            })
        };
        (push, take)
    })
}

fn channel<const N: usize>(effort: Effort) -> Figures {
    measure_shared(effort, || {
        let (sender, receiver) = crossbeam_channel::bounded::<Inline<N>>(slots::<N>());
        let payload = payload::<N>();
        let push = move |_: usize| usize::from(sender.try_send(Inline::new(&payload)).is_ok());
        let take = move || {
            receiver.try_recv().map_or(0, |record| {
                consume(record.tag, &record.payload[..record.len as usize]);
                1
            })
        };
        (push, take)
    })
}

fn channel_bytes<const N: usize>(effort: Effort) -> Figures {
    measure_shared(effort, || {
        let (sender, receiver) = crossbeam_channel::bounded::<(Tag, Bytes)>(slots::<N>());
        let payload = payload::<N>();
        let push = move |_: usize| {
            usize::from(
                sender
                    .try_send((tag(), Bytes::copy_from_slice(&payload)))
                    .is_ok(),
            )
        };
        let take = move || {
            receiver.try_recv().map_or(0, |(tag, payload)| {
                consume(tag, &payload);
                1
            })
        };
        (push, take)
    })
}

/// A header of length and tag, then the payload, each read by its length, as a stream of bytes.
fn rtrb_bytes<const N: usize>(effort: Effort) -> Figures {
    measure(effort, || {
        let (mut producer, mut consumer) = rtrb::RingBuffer::<u8>::new(CAPACITY_BYTES);
        let payload = payload::<N>();
        let mut record = vec![0; 16 + N];
        let push = move |_: usize| {
            let bytes = 16 + payload.len();
            record[..4].copy_from_slice(&length(&payload).to_ne_bytes());
            record[4..16].copy_from_slice(&tag_bytes(tag()));
            record[16..bytes].copy_from_slice(&payload);
            usize::from(producer.push_entire_slice(&record[..bytes]).is_ok())
        };
        let take = move || {
            let mut header = [0; 4];
            if consumer.pop_entire_slice(&mut header).is_err() {
                return 0;
            }
            let bytes = 12 + u32::from_ne_bytes(header) as usize;
            let chunk = consumer
                .read_chunk(bytes)
                .expect("pushed together with its header");
            let (first, second) = chunk.as_slices();
            if second.is_empty() {
                consume_framed(first);
            } else {
                consume_framed(&[first, second].concat());
            }
            chunk.commit_all();
            1
        };
        (push, take)
    })
}

fn bbqueue_framed<const N: usize>(effort: Effort) -> Figures {
    measure(effort, || {
        let storage = bbqueue::traits::storage::BoxedSlice::new(CAPACITY_BYTES);
        let queue = GogiGui::new_with_storage(storage);
        let (producer, consumer) = (queue.framed_producer(), queue.framed_consumer());
        let payload = payload::<N>();
        let push = move |_: usize| {
            let bytes = u16::try_from(12 + payload.len()).expect("payloads are short here");
            match producer.grant(bytes) {
                Ok(mut grant) => {
                    grant[..12].copy_from_slice(&tag_bytes(tag()));
                    grant[12..usize::from(bytes)].copy_from_slice(&payload);
                    grant.commit(bytes);
                    1
                }
                Err(_) => 0,
            }
        };
        let take = move || match consumer.read() {
            Ok(grant) => {
                consume_framed(&grant);
                grant.release();
                1
            }
            Err(_) => 0,
        };
        (push, take)
    })
}
