//! One of the three node processes of the main job.
//!
//! Its main thread obeys the parent; heartbeats and rumours run on the node's shard, the file on a thread
//! of its own.

use std::time::{Duration, Instant};

use overlane::config::Seed;
use overlane::{Cluster, Node};

use super::protocol::{COORDINATION, Command, DATA, Progress, Reply, Specification};
use super::traffic::Traffic;
use super::transfer::{FILE_MAILBOX, Transfer};
use crate::child::Parent;
use crate::error::{BenchError, Outcome};
use crate::node::counters;

/// How long lanes may take to come up.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How often it is looked whether somebody has become a member.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Runs this process until the parent closes its pipe.
pub(crate) fn serve(mut parent: Parent) {
    let Some(specification) = parent.next::<Specification>() else {
        return;
    };
    match specification.and_then(|specification| MainJobNode::start(&specification)) {
        Ok(mut node) => {
            parent.answer(Ok(Reply::Listening(node.node.local_addr())));
            parent.serve(|command| node.obey(command));
        }
        Err(error) => parent.answer::<Reply>(Err(error)),
    }
}

struct MainJobNode {
    node: Node,
    traffic: Traffic,
    transfer: Option<Transfer>,
}

impl MainJobNode {
    fn start(specification: &Specification) -> Outcome<Self> {
        let config = specification.settings.config()?;
        let node = Node::start(config)?;
        for channel in [DATA, COORDINATION] {
            node.channel(channel).map_err(engine)?;
        }
        let rates = (specification.heartbeat_hz, specification.gossip_hz);
        let traffic = Traffic::install(&node, specification.number, rates)?;
        Ok(Self {
            node,
            traffic,
            transfer: None,
        })
    }

    fn cluster(&self) -> Outcome<&Cluster> {
        let cluster = self.node.cluster();
        cluster
            .ok_or_else(|| BenchError::Engine("the node is in no cluster: overlay is none".into()))
    }

    fn wait_for_members(&self, names: &[String]) -> Outcome<()> {
        let deadline = Instant::now() + CONNECT_WITHIN;
        let left = || deadline.saturating_duration_since(Instant::now());
        self.cluster()?.wait_joined(left()).map_err(engine)?;
        for name in names {
            while !self.is_live(name)? {
                if left().is_zero() {
                    let within = CONNECT_WITHIN.as_secs();
                    return Err(BenchError::Engine(format!(
                        "node {name} has not become a member within {within} s"
                    )));
                }
                std::thread::sleep(LOOK_EVERY);
            }
            self.node.wait_connected(name, left()).map_err(engine)?;
        }
        Ok(())
    }

    fn is_live(&self, name: &str) -> Outcome<bool> {
        let members = self.cluster()?.members();
        let live = |member: &overlane::Member| member.name == name && member.status.is_live();
        Ok(members.iter().any(live))
    }

    fn obey(&mut self, command: Command) -> Outcome<Reply> {
        match command {
            Command::Join(seed) => {
                let joined = self.cluster()?.begin_join(&[Seed::from(seed)]);
                joined.map(|()| Reply::Done).map_err(engine)
            }
            Command::WaitForMembers(names) => self.wait_for_members(&names).map(|()| Reply::Done),
            Command::StartTraffic(peers) => {
                self.traffic.start(&self.node, &peers).map(|()| Reply::Done)
            }
            Command::ReceiveFile(path) => {
                let inbox = self.node.inbox(FILE_MAILBOX).map_err(engine)?;
                self.transfer = Some(Transfer::receive(path, inbox)?);
                Ok(Reply::Done)
            }
            Command::SendFile {
                path,
                hash,
                to,
                chunk_bytes,
            } => {
                let hash = blake3::Hash::from_hex(&hash).map_err(engine)?;
                let channel = self.node.channel(DATA).map_err(engine)?;
                let to = self.node.destination(&to, FILE_MAILBOX).map_err(engine)?;
                self.transfer = Some(Transfer::send(path, hash, channel, to, chunk_bytes)?);
                Ok(Reply::Done)
            }
            Command::Poll => Ok(Reply::Progress(self.progress())),
            Command::StopTraffic => {
                self.traffic.stop();
                Ok(Reply::Done)
            }
            Command::Accounts => Ok(Reply::Accounts(counters::accounts(&self.node))),
        }
    }

    fn progress(&self) -> Progress {
        let (heartbeats, counts) = self.traffic.take();
        Progress {
            heartbeats,
            out_of_order: counts.out_of_order,
            refused: counts.refused,
            rumours: counts.rumours,
            file: self
                .transfer
                .as_ref()
                .map(Transfer::progress)
                .unwrap_or_default(),
        }
    }
}

fn engine(error: impl std::error::Error) -> BenchError {
    BenchError::Engine(error.to_string())
}
