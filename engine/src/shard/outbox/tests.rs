//! What goes into an outbox comes out of it, in which memory it waits, and what may overtake.

use bytes::Bytes;

use proptest::prelude::*;

use super::*;

proptest! {
    /// Also while a large message waits, and where little may be under way.
    #[test]
    fn a_run_goes_out_as_its_messages_one_by_one(
        lengths in prop::collection::vec(prop_oneof![0..200_usize, 0..30_000_usize], 1..80),
        depth in prop_oneof![Just(u64::MAX), 16_000..200_000_u64],
        has_fragments: bool,
        notes: bool,
        waits in prop::option::of(0..60_000_usize),
    ) {
        let mut pool = ChunkPool::default();
        let payloads: Vec<Vec<u8>> = lengths.iter().zip(0..).map(|(&length, byte)| vec![byte; length]).collect();
        let to = (MailboxId::from_words(3, 1), OrderTag::WITHOUT_KEY);
        let message = |bytes| OutgoingMessage {
            mailbox: to.0,
            order: to.1,
            is_extended: false,
            payload: Payload::Borrowed(bytes),
        };
        let waiting = waits.map(|bytes| vec![0xff; bytes]);
        let [mut single, mut run] = [(); 2].map(|()| {
            let mut outbox = if notes { Outbox::noting_mailboxes() } else { Outbox::default() };
            outbox.set_depth(depth);
            outbox.set_fragments(has_fragments.then_some(Fragments { above_bytes: 16 << 10, keeps_order: true }));
            waiting.iter().for_each(|bytes| outbox.push_message(&mut pool, 7, message(bytes)));
            outbox
        });
        payloads.iter().for_each(|bytes| single.push_message(&mut pool, 7, message(bytes)));
        let slices: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
        run.push_run(&mut pool, 7, to, &slices);
        let mut sent = [Vec::new(), Vec::new()];
        for (outbox, sent) in [&mut single, &mut run].into_iter().zip(&mut sent) {
            prop_assert_eq!(outbox.messages(), (slices.len() + usize::from(waits.is_some())) as u64);
            while outbox.messages() > 0 {
                let mut batch = Batch::default();
                outbox.fill(&mut batch, 64 << 10, Moment(0));
                for chunk in batch.chunks() {
                    chunk.each_piece(|bytes| sent.extend_from_slice(bytes));
                    chunk.each_message(|taken| {
                        let noted = taken.mailbox.map_or(u64::MAX, MailboxId::number);
                        sent.extend_from_slice(&noted.to_le_bytes());
                    });
                }
                batch.finish(&mut pool);
            }
            prop_assert_eq!(outbox.payload_bytes(), 0);
        }
        let [single, run] = sent;
        prop_assert!(single == run, "{} and {} bytes", single.len(), run.len());
    }
}

#[test]
fn a_chunk_that_absorbs_another_holds_the_messages_of_both_in_order() {
    let mut pool = ChunkPool::default();
    let mut all = Vec::new();
    let mut chunk = |payloads: &[Payload<'static>]| {
        let mut outbox = Outbox::default();
        for payload in payloads {
            all.push(payload.as_slice().to_vec());
            let message = OutgoingMessage {
                mailbox: MailboxId::from_words(0, 0),
                order: OrderTag::WITHOUT_KEY,
                is_extended: false,
                payload: payload.clone(),
            };
            outbox.push_message(&mut pool, 0, message);
        }
        outbox.chunks.pop_front().expect("they fit into one")
    };
    let large = |byte| Payload::Shared(Bytes::from(vec![byte; 5_000]));
    let mut older = chunk(&[Payload::Borrowed(b"1"), large(2), Payload::Borrowed(b"")]);
    let mut newer = chunk(&[large(4), Payload::Borrowed(b"five"), large(6)]);
    let full = vec![7; CHUNK_BYTES - 60].leak();
    let mut huge = chunk(&[Payload::Borrowed(full)]);
    all.pop();
    assert!(older.absorb(&mut newer));
    assert!(!older.absorb(&mut huge), "there is no room");
    assert_eq!((older.messages(), newer.messages()), (6, 0));
    let mut found = Vec::new();
    older.each_message(|message| found.push(message.payload.as_slice().to_vec()));
    assert_eq!(found, all);
    let bytes: usize = found.iter().map(Vec::len).sum();
    assert_eq!(older.payload_bytes(), bytes as u64);
    assert_eq!(huge.messages(), 1);
}

/// Small messages, then a large one, with the same tag and of ids that were announced among them.
#[test]
fn a_large_message_goes_behind_what_was_there_before_it() {
    let mut pool = ChunkPool::default();
    let mut outbox = Outbox::default();
    outbox.set_depth(64 << 10);
    outbox.set_fragments(Some(Fragments {
        above_bytes: 16 << 10,
        keeps_order: true,
    }));
    let mut put = |byte: u8, bytes: usize| {
        let message = OutgoingMessage {
            mailbox: MailboxId::from_words(0, 0),
            order: OrderTag::WITHOUT_KEY,
            is_extended: false,
            payload: Payload::Borrowed(vec![byte; bytes].leak()),
        };
        outbox.push_message(&mut pool, 0, message);
    };
    (0..20).for_each(|number| put(number, 8 << 10));
    put(20, 17 << 10);
    let mut came = Vec::new();
    while outbox.messages() > 0 {
        let mut batch = Batch::default();
        outbox.fill(&mut batch, 64 << 10, Moment(0));
        for chunk in batch.chunks() {
            chunk.each_message(|message| came.push(message.payload.as_slice()[0]));
        }
        batch.finish(&mut pool);
    }
    assert!(came.iter().copied().eq(0..=20), "{came:?}");
}

#[test]
fn what_waits_takes_little_more_memory_than_it_is_charged_for_where_little_may_be_under_way() {
    let mut pool = ChunkPool::default();
    let mut outbox = Outbox::default();
    outbox.set_depth(16 << 10);
    for _ in 0..1000 {
        let message = OutgoingMessage {
            mailbox: MailboxId::from_words(0, 0),
            order: OrderTag::WITHOUT_KEY,
            is_extended: false,
            payload: Payload::Borrowed(&[7; 1000]),
        };
        outbox.push_message(&mut pool, 0, message);
    }
    let room = outbox.chunks.iter().map(Chunk::room_bytes);
    let whole = (CHUNKS_WHOLE_MAX + 1) * CHUNK_BYTES;
    let (room, charged) = (room.sum::<usize>(), outbox.payload_bytes());
    assert_eq!(charged, 1_000_000);
    assert!(room < 1_100_000 + whole, "{room} bytes for {charged}");
}

/// Lanes to many peers, with a message for each now and then.
#[test]
fn a_chunk_with_little_in_it_holds_a_small_buffer_and_one_with_much_a_large_one() {
    let mut pool = ChunkPool::default();
    let mut outbox = Outbox::default();
    let to = (MailboxId::from_words(0, 0), OrderTag::WITHOUT_KEY);
    let run = |count| vec![&[7; 500][..]; count];
    outbox.push_run(&mut pool, 0, to, &run(2));
    outbox.push_run(&mut pool, 0, to, &run(1));
    assert_eq!(outbox.chunks[0].room_bytes(), SMALL_BYTES);
    assert_eq!(pool.room_bytes(), 0);
    outbox.push_run(&mut pool, 0, to, &run(100));
    assert_eq!(outbox.chunks.len(), 1, "it is the same chunk");
    assert_eq!(outbox.chunks[0].room_bytes(), CHUNK_BYTES);
    assert_eq!(pool.room_bytes(), SMALL_BYTES, "for the next");
    let mut sent = 0;
    outbox.chunks[0].each_message(|taken| {
        assert_eq!(taken.payload.as_slice(), [7; 500]);
        sent += 1;
    });
    assert_eq!(sent, 103);
}
