//! A process of a cluster run: one node that joins, broadcasts when told to, and notes what it hears.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use overlane::config::Seed;
use overlane::{
    BroadcastError, BroadcastKind, Cluster, ClusterError, Event, HOPS_KEY, Message, Node,
    ShardContext,
};

use super::protocol::{
    CHANNEL, Command, Heard, Look, MAILBOX, RELAYED, Relayed, Reply, STEADY_MAILBOX, Specification,
    Split,
};
use super::traffic::{Receiving, Sending};
use crate::child::Parent;
use crate::clock;
use crate::error::{BenchError, Outcome};
use crate::latencies::Latencies;
use crate::machine;
use crate::node::counters;
use crate::sample::Cpu;

/// A switch of the overlay ends, or is given up, within this.
const SWITCH_WITHIN: Duration = Duration::from_secs(90);
/// A goodbye is said within this.
const LEAVE_WITHIN: Duration = Duration::from_secs(30);
/// What is relayed has ended within this.
const RELAYED_WITHIN: Duration = Duration::from_secs(55);
/// While the node takes no more broadcasts.
const BUSY_PAUSE: Duration = Duration::from_micros(200);
/// Bytes of a broadcast that say which it is and when it was sent.
pub(super) const HEAD_BYTES: usize = 12;

/// Runs this process until the parent closes its pipe.
pub(crate) fn serve(mut parent: Parent) {
    let Some(specification) = parent.next::<Specification>() else {
        return;
    };
    match specification.and_then(|settings| Host::start(&settings)) {
        Ok(mut host) => {
            parent.answer(Ok(Reply::Listening(host.node.local_addr())));
            parent.serve(|command| host.obey(command));
        }
        Err(error) => parent.answer::<Reply>(Err(error)),
    }
}

/// What was heard since it was asked last, and how much in all.
#[derive(Debug, Default)]
struct Notes {
    numbers: Vec<u32>,
    latencies: Latencies,
    hops_max: u32,
    all: u64,
}

struct Host {
    node: Node,
    notes: Arc<Mutex<Notes>>,
    receiving: Receiving,
    sending: Option<Sending>,
    events: overlane::Events,
    told_down: u64,
    splits: Vec<Split>,
}

fn engine(error: impl std::error::Error) -> BenchError {
    BenchError::Engine(error.to_string())
}

impl Host {
    fn start(settings: &Specification) -> Outcome<Self> {
        let notes = Arc::<Mutex<Notes>>::default();
        let noted = Arc::clone(&notes);
        let receiving = Receiving::default();
        let received = receiving.clone();
        let node = Node::builder(settings.config()?)
            .handle(
                MAILBOX,
                move |_: &mut ShardContext<'_>, message: Message<'_>| note(&noted, &message),
            )
            .handle(
                STEADY_MAILBOX,
                move |_: &mut ShardContext<'_>, message: Message<'_>| received.note(&message),
            )
            .start()?;
        Ok(Self {
            events: node.events(),
            node,
            notes,
            receiving,
            sending: None,
            told_down: 0,
            splits: Vec::new(),
        })
    }

    fn cluster(&self) -> Outcome<&Cluster> {
        let cluster = self.node.cluster();
        cluster.ok_or_else(|| BenchError::Engine("the node has no overlay".into()))
    }

    fn obey(&mut self, command: Command) -> Outcome<Reply> {
        match command {
            Command::Join(seed) => {
                let joined = self.cluster()?.begin_join(&[Seed::from(seed)]);
                joined.map(|()| Reply::Done).map_err(engine)
            }
            Command::Look => self.look().map(Reply::Look),
            Command::Members => {
                let members = self.cluster()?.members().into_iter();
                let live = members.filter(|member| member.status.is_live());
                Ok(Reply::Members(live.map(|member| member.name).collect()))
            }
            Command::Broadcast { numbers, bytes } => {
                let mut payload = vec![0; bytes.max(HEAD_BYTES)];
                for number in numbers {
                    payload[..4].copy_from_slice(&number.to_le_bytes());
                    payload[4..HEAD_BYTES].copy_from_slice(&clock::now_ns().to_le_bytes());
                    let sent = self.cluster()?.broadcast(CHANNEL, MAILBOX, &payload);
                    sent.map_err(engine)?;
                }
                Ok(Reply::Done)
            }
            Command::Relay {
                to,
                numbers,
                bytes,
                one_by_one,
            } => {
                let relayed = self.relay(&to, numbers, bytes, one_by_one)?;
                Ok(Reply::Relayed(relayed))
            }
            Command::Flood {
                numbers,
                bytes,
                kind,
            } => {
                let kind = kind.parse().map_err(engine)?;
                self.flood(numbers, bytes, kind)
            }
            Command::Heard => Ok(Reply::Heard(self.heard())),
            Command::BeginFlow { to, sender, hz } => {
                self.sending = Some(Sending::start(&self.node, &to, sender, hz)?);
                Ok(Reply::Done)
            }
            Command::EndFlow => {
                let stopped = self.sending.as_mut().map(Sending::stop).transpose()?;
                Ok(Reply::Flow(stopped.unwrap_or_default()))
            }
            Command::Got => Ok(Reply::Got(self.receiving.got())),
            Command::Splits => {
                self.follow_events();
                Ok(Reply::Splits(std::mem::take(&mut self.splits)))
            }
            Command::Leave => {
                let left = self.cluster()?.leave(LEAVE_WITHIN);
                left.map(|()| Reply::Done).map_err(engine)
            }
            Command::Accounts => Ok(Reply::Accounts(counters::accounts(&self.node))),
            Command::Switch(kind) => {
                let kind = kind.parse().map_err(engine)?;
                let switched = self.cluster()?.switch_overlay(kind, &[], SWITCH_WITHIN);
                Ok(Reply::Switched(
                    switched.map(drop).map_err(|error| error.to_string()),
                ))
            }
        }
    }

    /// Sends over others, and waits until nothing of it is open.
    fn relay(
        &self,
        to: &str,
        numbers: Range<u32>,
        bytes: usize,
        one_by_one: bool,
    ) -> Outcome<Relayed> {
        let channel = self.node.channel(RELAYED).map_err(engine)?;
        let to = self.node.destination(to, MAILBOX).map_err(engine)?;
        let cluster = self.cluster()?;
        let before = cluster.relay_counts();
        let began = Instant::now();
        let deadline = began + RELAYED_WITHIN;
        let wait = || {
            while cluster.relay_counts().open > 0 && Instant::now() < deadline {
                std::thread::sleep(Duration::from_micros(100));
            }
        };
        let mut payload = vec![0; bytes.max(HEAD_BYTES)];
        for number in numbers {
            payload[..4].copy_from_slice(&number.to_le_bytes());
            payload[4..HEAD_BYTES].copy_from_slice(&clock::now_ns().to_le_bytes());
            channel.send_blocking(&to, &payload).map_err(engine)?;
            if one_by_one {
                wait();
            }
        }
        wait();
        let after = cluster.relay_counts();
        let took = began.elapsed().as_nanos();
        Ok(Relayed {
            acknowledged: after.acknowledged - before.acknowledged,
            reported: after.reported - before.reported,
            took_ns: u64::try_from(took).unwrap_or(u64::MAX),
        })
    }

    fn flood(&self, numbers: Range<u32>, bytes: usize, kind: BroadcastKind) -> Outcome<Reply> {
        let cluster = self.cluster()?;
        let mut payload = vec![0; bytes.max(HEAD_BYTES)];
        for number in numbers {
            payload[..4].copy_from_slice(&number.to_le_bytes());
            payload[4..HEAD_BYTES].copy_from_slice(&clock::now_ns().to_le_bytes());
            loop {
                match cluster.broadcast_as(kind, CHANNEL, MAILBOX, &payload) {
                    Ok(()) => break,
                    Err(BroadcastError::Order(ClusterError::Busy)) => {
                        std::thread::sleep(BUSY_PAUSE)
                    }
                    Err(error) => return Err(engine(error)),
                }
            }
        }
        Ok(Reply::Done)
    }

    /// Notes what was told since this was called last.
    fn follow_events(&mut self) {
        let names = |names: &[Arc<str>]| names.iter().map(ToString::to_string).collect();
        while let Some(event) = self.events.try_recv() {
            match &event {
                Event::MemberDown { .. } => self.told_down += 1,
                Event::Partitioned { here, there } => self.splits.push(Split::Parted {
                    here: names(here),
                    there: names(there),
                }),
                Event::Healed { missing } => self.splits.push(Split::Healed {
                    missing: names(missing),
                }),
                _ => {}
            }
        }
    }

    fn look(&mut self) -> Outcome<Look> {
        self.follow_events();
        let cluster = self.cluster()?;
        let overlay = cluster.overlay();
        Ok(Look {
            live: cluster.live(),
            is_joined: cluster.is_joined(),
            neighbors: overlay.neighbors.len(),
            epoch: overlay.epoch,
            overlay: overlay.kind.name().to_owned(),
            is_changing: overlay.next.is_some(),
            resident_bytes: machine::resident_bytes()?,
            cpu_ns: Cpu::of_this_process().ns(),
            heard: self.notes().all,
            told_down: self.told_down,
        })
    }

    fn heard(&self) -> Heard {
        let mut notes = self.notes();
        let heard = Heard {
            numbers: std::mem::take(&mut notes.numbers),
            latencies: notes.latencies.buckets(),
            hops_max: notes.hops_max,
        };
        notes.latencies.reset();
        notes.hops_max = 0;
        heard
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn note(notes: &Mutex<Notes>, message: &Message<'_>) {
    let now = clock::now_ns();
    let payload = message.payload();
    let (Some(number), Some(sent)) = (payload.first_chunk(), payload.get(4..HEAD_BYTES)) else {
        return;
    };
    let sent = sent.try_into().map_or(now, u64::from_le_bytes);
    let hops = message.metadata(HOPS_KEY).and_then(<[u8]>::first_chunk);
    let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
    notes.numbers.push(u32::from_le_bytes(*number));
    notes.latencies.record(now.saturating_sub(sent));
    notes.hops_max = notes
        .hops_max
        .max(hops.map_or(0, |hops| u16::from_le_bytes(*hops).into()));
    notes.all += 1;
}
