//! What control shards say to one another: messages of protocols, and who is who.
//!
//! One byte says which, then postcard. A length is checked before anything is allocated for it. Read and
//! written by `driver`; carried by the engine's own channel, or, where a message carries a payload of the
//! application, by the payload's channel (`payload`).

use std::net::SocketAddr;

use bytes::{BufMut, Bytes, BytesMut};
use overlane_overlays::epoch::OverlayKind;
use overlane_overlays::membership::ADDRESSES_MAX;
use overlane_overlays::message::at_most;
use overlane_overlays::{DecodeError, Message, Peer, decode_shared, encode_shared};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::channels::change::{Answered, Change, ChangeHeads};
use super::decisions::{Batch, HEADS_MAX, Head};
use super::identity::NodeId;
use super::machine::{MACHINE_BYTES_MAX, MachineMessage};
use super::relay::router::{Find, Found};
use super::summaries;
use super::topology::Report;
use crate::wire::name::{NAME_BYTES_MAX, check_name};

/// Most nodes in one message of who is who.
pub(super) const NODES_MAX: usize = 64;

/// Most bytes of any word: of a message of protocols, which are the longest.
const WORD_BYTES_MAX: usize = 1 + MACHINE_BYTES_MAX;

const MACHINE: u8 = 0;
const NODES: u8 = 1;
const WHO_IS: u8 = 2;
const GREETING: u8 = 3;
const PING: u8 = 4;
const PONG: u8 = 5;
const HEADS: u8 = 16;
const DECISIONS: u8 = 17;
const FIND: u8 = 18;
const FOUND: u8 = 19;
const EVICT: u8 = 20;
const CHANGE: u8 = 21;
const ANSWERED: u8 = 22;
const CHANGE_HEADS: u8 = 23;
const SUMMARY_HEADS: u8 = 24;
const SUMMARY_WANTS: u8 = 25;
const SUMMARIES: u8 = 26;

/// Most bytes of what is said of a way: two identities and three numbers.
const WAY_BYTES_MAX: usize = 2 * NodeId::BYTES_MAX + 3 * NUMBER_BYTES_MAX;

/// Most bytes of a number.
const NUMBER_BYTES_MAX: usize = 10;

/// A node that somebody may want to dial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Introduction {
    pub(super) name: String,
    /// Where it listens, best first; at most [`ADDRESSES_MAX`].
    pub(super) addresses: Vec<SocketAddr>,
}

/// What a node says first on a lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Greeting {
    /// The overlay that the cluster began with, as this node is configured: all nodes must agree on it.
    pub(super) first: OverlayKind,
    /// Who speaks.
    pub(super) node: Introduction,
}

/// What came.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Word {
    /// Of the protocols.
    Machine(MachineMessage),
    /// Who is at the other end of the lane.
    Greeting(Greeting),
    /// These nodes, which were asked for, are to be found there.
    Nodes(Vec<Introduction>),
    /// Where are these?
    WhoIs(Vec<NodeId>),
    /// A question that only its answer's time matters of, with its number.
    Ping(u64),
    /// The answer to the one of that number, with what the other node measures of itself.
    Pong(u64, Report),
    /// How far decisions are known there.
    Heads(Vec<Head>),
    /// Decisions of one node.
    Decisions(Batch),
    /// Who knows a way to that member?
    Find(Find),
    /// A way is known.
    Found(Found),
    /// Say goodbye to the cluster.
    Evict,
    /// A channel is to be changed on every node.
    Change(Change),
    /// How a member did with that.
    Answered(Answered),
    /// Which changes of channels are known there.
    ChangeHeads(ChangeHeads),
    /// Which summaries of members are new there.
    SummaryHeads(summaries::Heads),
    /// The summaries of these members are wanted.
    SummaryWants(Vec<NodeId>),
    /// Here they are.
    Summaries(Vec<summaries::Part>),
}

impl Word {
    /// The bytes of a message of the protocols: its header and its tail in one piece, once for all receivers.
    pub(super) fn of_machine(message: &MachineMessage) -> Bytes {
        let encoded = encode_shared(message);
        let mut bytes = BytesMut::with_capacity(1 + encoded.header.len() + encoded.tail.len());
        bytes.put_u8(MACHINE);
        bytes.put_slice(&encoded.header);
        bytes.put_slice(&encoded.tail);
        bytes.freeze()
    }

    /// The bytes of a greeting.
    pub(super) fn of_greeting(greeting: &Greeting) -> Bytes {
        encode(GREETING, greeting)
    }

    /// The bytes of introductions. At most [`NODES_MAX`].
    pub(super) fn of_nodes(nodes: &[Introduction]) -> Bytes {
        encode(NODES, &nodes)
    }

    /// The bytes of a question. At most [`NODES_MAX`].
    pub(super) fn who_is(ids: &[NodeId]) -> Bytes {
        encode(WHO_IS, &ids)
    }

    /// The bytes of a ping.
    pub(super) fn of_ping(number: u64) -> Bytes {
        encode(PING, &number)
    }

    /// The bytes of the answer to it.
    pub(super) fn of_pong(number: u64, report: Report) -> Bytes {
        encode(PONG, &(number, report))
    }

    /// The bytes of heads. At most [`HEADS_MAX`].
    pub(super) fn of_heads(heads: &[Head]) -> Bytes {
        encode(HEADS, &heads)
    }

    /// The bytes of a question for a way.
    pub(super) fn of_find(find: &Find) -> Bytes {
        encode(FIND, find)
    }

    /// The bytes of its answer.
    pub(super) fn of_found(found: &Found) -> Bytes {
        encode(FOUND, found)
    }

    /// The bytes of an eviction.
    pub(super) const fn of_evict() -> Bytes {
        Bytes::from_static(&[EVICT])
    }

    /// The bytes of decisions.
    pub(super) fn of_decisions(batch: &Batch) -> Bytes {
        encode(DECISIONS, batch)
    }

    /// The bytes of a change of a channel.
    pub(super) fn of_change(change: &Change) -> Bytes {
        encode(CHANGE, change)
    }

    /// The bytes of how a member did with it.
    pub(super) fn of_answered(answered: &Answered) -> Bytes {
        encode(ANSWERED, answered)
    }

    /// The bytes of which summaries are new. At most [`summaries::IDS_MAX`].
    pub(super) fn of_summary_heads(heads: &summaries::Heads) -> Bytes {
        encode(SUMMARY_HEADS, heads)
    }

    /// The bytes of which are wanted. At most [`summaries::IDS_MAX`].
    pub(super) fn of_summary_wants(members: &[NodeId]) -> Bytes {
        encode(SUMMARY_WANTS, &members)
    }

    /// The bytes of summaries.
    pub(super) fn of_summaries(parts: &[summaries::Part]) -> Bytes {
        encode(SUMMARIES, &parts)
    }

    /// The bytes of which changes are known.
    pub(super) fn of_change_heads(heads: &ChangeHeads) -> Bytes {
        encode(CHANGE_HEADS, heads)
    }

    /// Reads what a peer sent.
    ///
    /// # Errors
    /// [`DecodeError`] says what is wrong with it.
    pub(super) fn read(bytes: &Bytes) -> Result<Self, DecodeError> {
        if bytes.len() > WORD_BYTES_MAX {
            return Err(DecodeError::TooLong {
                bytes: bytes.len(),
                bytes_max: WORD_BYTES_MAX,
            });
        }
        let (kind, body) = match bytes.first() {
            Some(kind) => (*kind, bytes.slice(1..)),
            None => return Err(DecodeError::Malformed),
        };
        match kind {
            MACHINE => decode_shared(&body).map(Self::Machine),
            NODES => read_nodes(&body).map(Self::Nodes),
            GREETING => read_greeting(&body).map(Self::Greeting),
            PING => read_within(&body, NUMBER_BYTES_MAX).map(Self::Ping),
            PONG => read_within(&body, NUMBER_BYTES_MAX + Report::BYTES_MAX)
                .map(|(number, report)| Self::Pong(number, report)),
            EVICT if body.is_empty() => Ok(Self::Evict),
            EVICT => Err(DecodeError::Malformed),
            WHO_IS => read_list(&body, NodeId::BYTES_MAX).map(Self::WhoIs),
            HEADS => read_heads(&body).map(Self::Heads),
            DECISIONS => read_checked(&body, Batch::BYTES_MAX, Batch::check).map(Self::Decisions),
            FIND => read_within(&body, WAY_BYTES_MAX).map(Self::Find),
            FOUND => read_within(&body, WAY_BYTES_MAX).map(Self::Found),
            CHANGE => read_checked(&body, Change::BYTES_MAX, Change::check).map(Self::Change),
            ANSWERED => read_within(&body, Answered::BYTES_MAX).map(Self::Answered),
            CHANGE_HEADS => read_checked(&body, ChangeHeads::BYTES_MAX, ChangeHeads::check)
                .map(Self::ChangeHeads),
            SUMMARY_HEADS => {
                read_checked(&body, summaries::Heads::BYTES_MAX, summaries::Heads::check)
                    .map(Self::SummaryHeads)
            }
            SUMMARY_WANTS => read_wants(&body).map(Self::SummaryWants),
            SUMMARIES => read_checked(&body, summaries::Part::ALL_BYTES_MAX, |parts: &Vec<_>| {
                summaries::Part::check_all(parts)
            })
            .map(Self::Summaries),
            _ => Err(DecodeError::Invalid { field: "kind" }),
        }
    }
}

fn encode<T: Serialize>(kind: u8, body: &T) -> Bytes {
    postcard::to_extend(body, vec![kind])
        .expect("lists of names and numbers can be encoded")
        .into()
}

/// Introductions: names and addresses as long as they may be.
const INTRODUCTION_BYTES_MAX: usize = 2 + NAME_BYTES_MAX + 1 + ADDRESSES_MAX * 20;

impl Introduction {
    fn check(&self) -> Result<(), DecodeError> {
        check_name(&self.name).map_err(|_| DecodeError::Invalid { field: "name" })?;
        at_most(&self.addresses, ADDRESSES_MAX, "addresses")
    }
}

fn read_nodes(body: &Bytes) -> Result<Vec<Introduction>, DecodeError> {
    let nodes: Vec<Introduction> = read_list(body, INTRODUCTION_BYTES_MAX)?;
    nodes.iter().try_for_each(Introduction::check)?;
    Ok(nodes)
}

fn read_greeting(body: &Bytes) -> Result<Greeting, DecodeError> {
    let greeting: Greeting = read_within(body, 1 + INTRODUCTION_BYTES_MAX)?;
    greeting.node.check()?;
    Ok(greeting)
}

fn read_heads(body: &Bytes) -> Result<Vec<Head>, DecodeError> {
    let heads: Vec<Head> = read_within(body, 2 + HEADS_MAX * (NodeId::BYTES_MAX + 20))?;
    at_most(&heads, HEADS_MAX, "heads")?;
    Ok(heads)
}

fn read_wants(body: &Bytes) -> Result<Vec<NodeId>, DecodeError> {
    let wants: Vec<NodeId> = read_within(body, 2 + summaries::IDS_MAX * NodeId::BYTES_MAX)?;
    at_most(&wants, summaries::IDS_MAX, "wants")?;
    Ok(wants)
}

/// Something of at most so many bytes that is held against its other bounds.
fn read_checked<T: DeserializeOwned>(
    body: &Bytes,
    bytes_max: usize,
    check: impl Fn(&T) -> Result<(), DecodeError>,
) -> Result<T, DecodeError> {
    let value = read_within(body, bytes_max)?;
    check(&value)?;
    Ok(value)
}

/// A list of at most [`NODES_MAX`] entries of at most so many bytes each.
fn read_list<T: DeserializeOwned>(
    body: &Bytes,
    entry_bytes_max: usize,
) -> Result<Vec<T>, DecodeError> {
    let list: Vec<T> = read_within(body, 2 + NODES_MAX * entry_bytes_max)?;
    at_most(&list, NODES_MAX, "nodes")?;
    Ok(list)
}

/// Something of at most so many bytes: what is longer is not looked at.
fn read_within<T: DeserializeOwned>(body: &Bytes, bytes_max: usize) -> Result<T, DecodeError> {
    if body.len() > bytes_max {
        return Err(DecodeError::TooLong {
            bytes: body.len(),
            bytes_max,
        });
    }
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        _ => Err(DecodeError::Malformed),
    }
}

const _: () = assert!(MachineMessage::BYTES_MAX < 1 << 20);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cluster::channels::change::{CHANGE_BYTES_MAX, CHANGED_MAX, ChangeEpoch, Wanted};
    use crate::cluster::decisions::DecisionLog;

    fn introduction(name: &str) -> Introduction {
        Introduction {
            name: name.to_owned(),
            addresses: vec![SocketAddr::from(([127, 0, 0, 1], 7400))],
        }
    }

    #[test]
    fn words_are_read_as_they_were_written() {
        let nodes = vec![introduction("a"), introduction("b.c")];
        assert_eq!(Word::read(&Word::of_nodes(&nodes)), Ok(Word::Nodes(nodes)));
        let greeting = Greeting {
            first: OverlayKind::HyParView,
            node: introduction("a"),
        };
        let read = Word::read(&Word::of_greeting(&greeting));
        assert_eq!(read, Ok(Word::Greeting(greeting)));
        let ids = vec![NodeId::of("a"), NodeId::of("b")];
        assert_eq!(Word::read(&Word::who_is(&ids)), Ok(Word::WhoIs(ids)));
        assert_eq!(Word::read(&Word::of_ping(7)), Ok(Word::Ping(7)));
        let report = Report {
            rtt_p99_us: Some(u64::MAX),
            connectivity_percent: Some(u64::MAX),
            lane_losses: Some(u64::MAX),
            cpu_percent: Some(u64::MAX),
            bytes_per_second: Some(u64::MAX),
        };
        let pong = Word::of_pong(u64::MAX, report);
        assert_eq!(Word::read(&pong), Ok(Word::Pong(u64::MAX, report)));
        let (from, to) = (NodeId::of("a"), NodeId::of("b"));
        let find = Find {
            from,
            number: u64::MAX,
            to,
            ttl: 255,
            hops: 255,
        };
        assert_eq!(Word::read(&Word::of_find(&find)), Ok(Word::Find(find)));
        let found = Found {
            from,
            to,
            hops: 255,
            ttl: 255,
        };
        assert_eq!(Word::read(&Word::of_found(&found)), Ok(Word::Found(found)));
    }

    #[test]
    fn decisions_are_read_as_they_were_written_within_their_bounds() {
        let mut log = DecisionLog::new("a".into(), u64::MAX);
        for _ in 0..40 {
            log.decide(Some(true), Bytes::from_static(&[7; 600]));
        }
        let (batches, _) = log.compare(&[]);
        let batch = batches.into_iter().next().unwrap();
        let word = Word::of_decisions(&batch);
        assert_eq!(Word::read(&word), Ok(Word::Decisions(batch.clone())));
        assert_eq!(
            Word::read(&Word::of_heads(&log.heads())),
            Ok(Word::Heads(log.heads()))
        );
        let mut many = batch.clone();
        many.decisions = vec![batch.decisions[0].clone(); 33];
        let mut large = batch.clone();
        large.decisions[0].payload = Bytes::from(vec![0; 4097]);
        let mut nameless = batch;
        nameless.by.clear();
        for bad in [many, large, nameless] {
            assert!(Word::read(&Word::of_decisions(&bad)).is_err());
        }
        let heads = vec![log.heads()[0]; HEADS_MAX + 1];
        assert!(Word::read(&Word::of_heads(&heads)).is_err());
    }

    #[test]
    fn changes_of_channels_are_read_as_they_were_written_within_their_bounds() {
        let change = |settings: usize, bytes: usize| Change {
            channel: "a".repeat(255),
            epoch: ChangeEpoch::after(u64::MAX >> 3, NodeId::of("n1"), u64::MAX),
            by: "n1".to_owned(),
            life: u64::MAX >> 2,
            wanted: Wanted::Present {
                added: Some(ChangeEpoch::after(
                    u64::MAX >> 3,
                    NodeId::of("n1"),
                    u64::MAX,
                )),
                settings: vec![("k".to_owned(), "v".repeat(bytes)); settings],
            },
        };
        for good in [
            change(0, 0),
            change(128, 63),
            change(1, CHANGE_BYTES_MAX - 1),
        ] {
            let word = Word::of_change(&good);
            assert_eq!(Word::read(&word), Ok(Word::Change(good)));
        }
        let forged = Change {
            by: "n2".to_owned(),
            ..change(1, 1)
        };
        let mut endless = change(1, 1);
        endless.epoch.number = u64::MAX;
        let immortal = Change {
            life: u64::MAX,
            ..change(1, 1)
        };
        let too_large = [change(129, 0), change(1, CHANGE_BYTES_MAX)];
        for bad in too_large.into_iter().chain([forged, endless, immortal]) {
            assert!(Word::read(&Word::of_change(&bad)).is_err());
        }
        let epoch = change(0, 0).epoch;
        let long = "\u{e9}".repeat(400);
        let answered = Answered::new("c", epoch, NodeId::of("n3"), Some(&long));
        assert_eq!(answered.why_not.as_ref().map(String::len), Some(512));
        let word = Word::of_answered(&answered);
        assert_eq!(Word::read(&word), Ok(Word::Answered(answered)));
        let heads = |count: usize| ChangeHeads {
            is_answer: true,
            forgotten: u64::MAX >> 2,
            heads: vec![("c".repeat(255), epoch); count],
        };
        let most = heads(CHANGED_MAX);
        let word = Word::of_change_heads(&most);
        assert_eq!(Word::read(&word), Ok(Word::ChangeHeads(most)));
        let mut forgets_all = heads(1);
        forgets_all.forgotten = u64::MAX;
        let mut endless = heads(1);
        endless.heads[0].1.number = u64::MAX;
        for bad in [heads(CHANGED_MAX + 1), forgets_all, endless] {
            assert!(Word::read(&Word::of_change_heads(&bad)).is_err());
        }
    }

    #[test]
    fn bounds_are_checked() {
        let many: Vec<_> = (0..=NODES_MAX)
            .map(|n| NodeId::of(&n.to_string()))
            .collect();
        assert!(Word::read(&Word::who_is(&many)).is_err());
        let bad = |name: &str| Word::read(&Word::of_nodes(&[introduction(name)]));
        assert!(bad("").is_err() && bad("a\u{1b}").is_err() && bad(&"a".repeat(256)).is_err());
        let mut far = introduction("a");
        far.addresses = vec![far.addresses[0]; ADDRESSES_MAX + 1];
        assert!(Word::read(&Word::of_nodes(&[far])).is_err());
        assert!(Word::read(&Bytes::from(vec![MACHINE; WORD_BYTES_MAX + 1])).is_err());
        assert!(Word::read(&Bytes::new()).is_err());
        assert_eq!(Word::read(&Word::of_evict()), Ok(Word::Evict));
        assert!(Word::read(&Bytes::from_static(&[EVICT, 0])).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Word::read(&bytes.into());
        }
    }
}
