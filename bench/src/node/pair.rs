//! The parent's end of a sending and a receiving node in two processes.
//!
//! Offers the same measurements as raw/pair.rs does for plain sockets, so that the two can be
//! taken in turn.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use overlane::config::Config;

use super::protocol::{Command, Reply, RoundTripOrder, SendOrder};
use super::settings::{self, Settings};
use crate::accounts::{self, Flow, NodeAccounts};
use crate::error::{BenchError, Outcome};
use crate::ping::Timed;
use crate::remote::site::{Hosts, Site, Worker};
use crate::sample::{Sample, Window};

/// Longest wait for an answer that needs waiting: connecting, settling, draining.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// How long both nodes may take to have nothing left after the last message; then what is left is a fault.
const SETTLE_WITHIN: Duration = Duration::from_secs(15);

/// Name of the sending node.
pub(crate) const SENDER: &str = "a";
/// Name of the receiving node.
pub(crate) const RECEIVER: &str = "b";

/// A process that hosts nodes.
#[derive(Debug)]
pub(crate) struct NodeProcess {
    worker: Worker,
    /// Where its nodes listen.
    pub(crate) addresses: Vec<SocketAddr>,
}

impl NodeProcess {
    /// Starts several nodes in a process of their own on this host, without an application.
    pub(crate) fn of_many(name: &str, nodes: Vec<Settings>) -> Outcome<Self> {
        Self::of(Worker::start_nodes_here(name, nodes, false)?)
    }

    /// Starts a node in a process of its own, with the threads of an application or without.
    fn start(site: &Site, name: &str, settings: Settings, threads: bool) -> Outcome<Self> {
        Self::of(Worker::start_node(site, name, settings, threads)?)
    }

    /// Starts a node with the threads of an application, in a process of its own on this host.
    pub(crate) fn listening_at(address: IpAddr, name: &str, settings: Settings) -> Outcome<Self> {
        let site = Site::Here {
            listen: address,
            others: address,
        };
        Self::start(&site, name, settings, true)
    }

    fn of((worker, first): (Worker, Reply)) -> Outcome<Self> {
        match first {
            Reply::Listening(addresses) => Ok(Self { worker, addresses }),
            other => Err(unexpected(&other)),
        }
    }

    /// A command that is answered by [`Reply::Done`].
    pub(crate) fn order(&mut self, command: &Command) -> Outcome<()> {
        match self.worker.ask_within(command, ANSWER_WITHIN)? {
            Reply::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Counters up to now.
    pub(crate) fn sample(&mut self) -> Outcome<Sample> {
        match self.worker.ask(&Command::Sample)? {
            Reply::Sample(sample) => Ok(sample),
            other => Err(unexpected(&other)),
        }
    }

    /// Round trips from its first node.
    pub(crate) fn round_trips(&mut self, order: RoundTripOrder) -> Outcome<Timed> {
        let within = order.warm_up + order.measure + ANSWER_WITHIN;
        match self
            .worker
            .ask_within(&Command::RoundTrips(order), within)?
        {
            Reply::Timed(buckets) => Ok(Timed::from(&buckets)),
            other => Err(unexpected(&other)),
        }
    }

    /// The counters of its nodes, by peer and channel.
    pub(crate) fn accounts(&mut self) -> Outcome<Vec<NodeAccounts>> {
        match self.worker.ask(&Command::Accounts)? {
            Reply::Accounts(accounts) => Ok(accounts),
            other => Err(unexpected(&other)),
        }
    }

    /// Resident memory in bytes, and connections.
    pub(crate) fn memory(&mut self) -> Outcome<(u64, usize)> {
        match self.worker.ask(&Command::Memory)? {
            Reply::Memory {
                resident_bytes,
                connections,
            } => Ok((resident_bytes, connections)),
            other => Err(unexpected(&other)),
        }
    }
}

/// One window of one-way traffic from `sender` to `receiver`.
pub(crate) fn stream_between(
    sender: &mut NodeProcess,
    receiver: &mut NodeProcess,
    order: &SendOrder,
    (warm_up, measure): (Duration, Duration),
) -> Outcome<Window> {
    sender.order(&Command::StartSending(order.clone()))?;
    std::thread::sleep(warm_up);
    let before = (sender.sample()?, receiver.sample()?);
    std::thread::sleep(measure);
    let after = (sender.sample()?, receiver.sample()?);
    sender.order(&Command::StopSending)?;
    Ok(Window::between((before.0, after.0), (before.1, after.1)))
}

/// A sender and its receivers, connected.
#[derive(Debug)]
pub(crate) struct NodePair {
    /// The process with the sending node.
    pub(crate) sender: NodeProcess,
    /// The process with the receiving nodes.
    pub(crate) receiver: NodeProcess,
}

impl NodePair {
    /// Two nodes with one shard each on two cores, with all their lanes up.
    pub(crate) fn on_cores(hosts: &Hosts, common: &Config, cores: (usize, usize)) -> Outcome<Self> {
        let settings = |name, core| settings::on_core(common, name, core);
        let (sender, receiver) = (settings(SENDER, cores.0), settings(RECEIVER, cores.1));
        Self::start(hosts, sender, receiver, false)
    }

    /// Two nodes with as many shards as the configuration says, where it says, and the threads of an
    /// application beside them.
    pub(crate) fn as_configured(hosts: &Hosts, common: &Config) -> Outcome<Self> {
        let settings = |name| settings::as_configured(common, name);
        Self::start(hosts, settings(SENDER), settings(RECEIVER), true)
    }

    fn start(hosts: &Hosts, sender: Settings, receiver: Settings, threads: bool) -> Outcome<Self> {
        let receiver = NodeProcess::start(&hosts.far(), "receiver", receiver, threads)?;
        let mut sender = NodeProcess::start(&hosts.near(), "sender", sender, threads)?;
        let peers = receiver.addresses.iter();
        let peers = peers.map(|address| (RECEIVER.to_owned(), *address));
        sender.order(&Command::Connect {
            peers: peers.collect(),
        })?;
        Ok(Self { sender, receiver })
    }

    /// One window of one-way traffic.
    pub(crate) fn stream(
        &mut self,
        order: &SendOrder,
        warm_up: Duration,
        measure: Duration,
    ) -> Outcome<Window> {
        let times = (warm_up, measure);
        stream_between(&mut self.sender, &mut self.receiver, order, times)
    }

    /// Waits until both nodes have nothing left, and holds their counters against each other.
    pub(crate) fn settle(&mut self) -> Outcome<Vec<Flow>> {
        let deadline = Instant::now() + SETTLE_WITHIN;
        let nodes = loop {
            let mut nodes = self.sender.accounts()?;
            nodes.extend(self.receiver.accounts()?);
            // The last acknowledgement comes a moment after the last message.
            if nodes.iter().all(NodeAccounts::is_settled) || Instant::now() > deadline {
                break nodes;
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let flows = accounts::flows(&nodes);
        let fault = flows.iter().find_map(|flow| {
            let fault = flow.fault.as_ref()?;
            let Flow { from, account, .. } = flow;
            Some(format!(
                "channel {} {from} to {}: {fault}",
                account.channel, account.peer
            ))
        });
        fault.map_or(Ok(flows), |fault| Err(BenchError::CheckFailed(fault)))
    }
}

fn unexpected(reply: &Reply) -> BenchError {
    BenchError::Engine(format!(
        "a process with nodes answered {reply:?} to another question"
    ))
}
