//! The parent's hold on the three node processes of the main job.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use overlane::config::Config;

use super::file_source::FileSource;
use super::protocol::{Command, Progress, ROLE, Reply, Specification};
use crate::accounts::{self, Flow, NodeAccounts};
use crate::child::Child;
use crate::error::{BenchError, Outcome};
use crate::flags::MainJobFlags;
use crate::node::settings;

/// The names of the nodes; the first sends the file to the second.
pub(crate) const NAMES: [&str; 3] = ["a", "b", "c"];
/// Place of the node that sends the file.
pub(crate) const SENDER: usize = 0;
/// Place of the node that receives the file.
pub(crate) const RECEIVER: usize = 1;

/// How long everything that is under way may take to arrive after the traffic stopped.
const SETTLE_WITHIN: Duration = Duration::from_secs(5);

/// Three nodes, members of one cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    nodes: Vec<Child>,
    /// What their configurations have in common, for the report.
    pub(crate) differences: String,
}

impl Cluster {
    /// Starts the processes, each of which asks the first to be let in, and waits until all are members and
    /// connected.
    pub(crate) fn start(common: &Config, flags: &MainJobFlags) -> Outcome<Self> {
        let mut nodes = Vec::new();
        let mut seed: Option<SocketAddr> = None;
        let mut differences = String::new();
        for (number, name) in (0_u8..).zip(NAMES) {
            let settings = settings::on_core(common, name, 0);
            differences = settings.differences();
            let specification = Specification {
                settings,
                number,
                heartbeat_hz: flags.heartbeat_hz,
                gossip_hz: flags.gossip_hz,
            };
            let (mut node, reply) = Child::start(ROLE, name, &specification)?;
            let Reply::Listening(address) = reply else {
                return Err(unexpected(&reply));
            };
            match seed {
                Some(seed) => done(node.ask(&Command::Join(seed))?)?,
                None => seed = Some(address),
            }
            nodes.push(node);
        }
        let mut cluster = Self { nodes, differences };
        cluster.each(Command::WaitForMembers)?;
        Ok(cluster)
    }

    /// Begins heartbeats and rumours among all nodes.
    pub(crate) fn start_traffic(&mut self) -> Outcome<()> {
        self.each(Command::StartTraffic)
    }

    /// Starts no more heartbeats and rumours.
    pub(crate) fn stop_traffic(&mut self) -> Outcome<()> {
        self.each(|_| Command::StopTraffic)
    }

    /// Begins the transfer of the file.
    pub(crate) fn start_file(
        &mut self,
        file: &FileSource,
        into: &Path,
        chunk_bytes: usize,
    ) -> Outcome<()> {
        done(self.nodes[RECEIVER].ask(&Command::ReceiveFile(into.to_owned()))?)?;
        let order = Command::SendFile {
            path: file.path.clone(),
            hash: file.hash.to_string(),
            to: NAMES[RECEIVER].to_owned(),
            chunk_bytes,
        };
        done(self.nodes[SENDER].ask(&order)?)
    }

    /// What happened on each node since the last time.
    pub(crate) fn poll(&mut self) -> Outcome<Vec<Progress>> {
        let ask = |node: &mut Child| match node.ask(&Command::Poll)? {
            Reply::Progress(progress) => Ok(progress),
            other => Err(unexpected(&other)),
        };
        self.nodes.iter_mut().map(ask).collect()
    }

    /// The counters of all directions, once nothing is under way or the time for that is over.
    pub(crate) fn settle(&mut self) -> Outcome<Vec<Flow>> {
        let deadline = Instant::now() + SETTLE_WITHIN;
        loop {
            let nodes = self.accounts()?;
            let flows = accounts::flows(&nodes);
            let arrived = flows
                .iter()
                .all(|flow| flow.fault.is_none() && flow.has_arrived());
            if arrived || Instant::now() > deadline {
                return Ok(flows);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn accounts(&mut self) -> Outcome<Vec<NodeAccounts>> {
        let ask = |node: &mut Child| match node.ask(&Command::Accounts)? {
            Reply::Accounts(accounts) => Ok(accounts),
            other => Err(unexpected(&other)),
        };
        self.nodes.iter_mut().map(ask).collect()
    }

    /// Gives each node a command made from the names of the others.
    fn each(&mut self, command: impl Fn(Vec<String>) -> Command) -> Outcome<()> {
        for (place, node) in self.nodes.iter_mut().enumerate() {
            let others = NAMES
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != place);
            let others = others.map(|(_, name)| (*name).to_owned()).collect();
            done(node.ask(&command(others))?)?;
        }
        Ok(())
    }
}

fn done(reply: Reply) -> Outcome<()> {
    match reply {
        Reply::Done => Ok(()),
        other => Err(unexpected(&other)),
    }
}

fn unexpected(reply: &Reply) -> BenchError {
    BenchError::Engine(format!(
        "a node of the main job answered {reply:?} to another question"
    ))
}
