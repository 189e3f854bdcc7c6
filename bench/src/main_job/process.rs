//! One of the three node processes of the main job.
//!
//! Its main thread obeys the parent; heartbeats and rumours run on the node's shard, the file on a thread
//! of its own.

use std::time::{Duration, Instant};

use overlane::Node;

use super::protocol::{COORDINATION, Command, DATA, Progress, Reply, Specification};
use super::traffic::Traffic;
use super::transfer::{FILE_MAILBOX, Transfer};
use crate::child::Parent;
use crate::error::{BenchError, Outcome};
use crate::node::counters;

/// How long lanes may take to come up.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

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

    fn obey(&mut self, command: Command) -> Outcome<Reply> {
        match command {
            Command::Connect(peers) => {
                for (name, address) in &peers {
                    self.node.connect(name, *address).map_err(engine)?;
                }
                Ok(Reply::Done)
            }
            Command::WaitConnected(peers) => {
                let deadline = Instant::now() + CONNECT_WITHIN;
                for peer in &peers {
                    let left = deadline.saturating_duration_since(Instant::now());
                    self.node.wait_connected(peer, left).map_err(engine)?;
                }
                Ok(Reply::Done)
            }
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
