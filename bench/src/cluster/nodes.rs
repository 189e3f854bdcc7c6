//! The processes of a cluster run: started, asked all at once, killed, started again.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use overlane::config::Config;
use overlane::{BroadcastKind, OverlayKind};

use super::flags::ClusterFlags;
use super::hosts::Hosts;
use super::protocol::{CHANNEL, Command, Heard, Look, RELAYED, ROLE, Reply, STEADY};
use crate::accounts::Account;
use crate::child::Child;
use crate::error::{BenchError, Outcome};
use crate::latencies::Latencies;
use crate::node::settings::{self, Defaults};
use crate::sample::figure;

/// Where nobody listens.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);
/// An answer of every node comes within this, also where hundreds share two cores.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// Nodes of the client-server overlay that are servers: one in fifty, three at least.
const NODES_PER_SERVER: usize = 50;

/// All nodes of a run, by number. Those that were killed are not among them.
pub(super) struct Nodes {
    common: Config,
    pub(super) running: BTreeMap<usize, Child>,
    seed: Option<SocketAddr>,
    /// Where they run, if not on this host: one after the other on each.
    hosts: Option<Hosts>,
    /// Nobody finds the nodes that are no servers at the address that they give: they dial, and are not dialled.
    hides_clients: bool,
}

/// What a series of broadcasts came to.
#[derive(Debug, Default)]
pub(super) struct Reach {
    pub(super) expected: u64,
    pub(super) came: u64,
    pub(super) duplicates: u64,
    pub(super) latencies: Latencies,
    pub(super) hops_max: u32,
}

impl Reach {
    pub(super) fn percent(&self) -> f64 {
        figure(self.came) * 100.0 / figure(self.expected.max(1))
    }
}

impl Nodes {
    /// The configuration of all nodes; no process yet.
    pub(super) fn new(flags: &ClusterFlags) -> Outcome<Self> {
        let overlay = flags.overlay()?;
        let servers = match overlay {
            OverlayKind::ClientServer => (flags.nodes / NODES_PER_SERVER).max(3).min(flags.nodes),
            _ => 0,
        };
        let servers: Vec<String> = (0..servers).map(name).collect();
        let channel = format!("{CHANNEL}:priority=medium");
        let relayed = flags.relays.then(|| {
            let definition = format!("{RELAYED}:reliability=guaranteed,overflow=block,reach=relay");
            settings::wide_enough(definition, flags.payload + 1_024)
        });
        let channel = settings::wide_enough(channel, flags.payload + 1_024);
        let steady = format!("{STEADY}:priority=medium,reliability=guaranteed,overflow=block");
        let channels = [Some(&channel), Some(&steady), relayed.as_ref()];
        let channels: Vec<&str> = channels.into_iter().flatten().map(String::as_str).collect();
        let common = settings::load(
            Defaults {
                places: false,
                node: &[
                    ("shards", "1"),
                    ("spin_us", "0"),
                    ("overlay", overlay.name()),
                    ("servers", &servers.join(",")),
                ],
                channels: &channels,
            },
            &flags.run.engine,
        )?;
        Ok(Self {
            common,
            running: BTreeMap::new(),
            seed: None,
            hosts: None,
            hides_clients: flags.relays,
        })
    }

    /// The same, over hosts.
    pub(super) fn on_hosts(mut self, hosts: Hosts) -> Self {
        self.hosts = Some(hosts);
        self
    }

    /// Cuts all hosts off from one another, or connects them again.
    pub(super) fn connect_hosts(&self, connected: bool) -> Outcome<()> {
        let Some(hosts) = &self.hosts else {
            return Ok(());
        };
        (0..hosts.count()).try_for_each(|host| hosts.connect(host, connected))
    }

    /// Of what the first host sends to the others, such a share is lost from now on; none with 0.
    pub(super) fn lose_from_first(&self, percent: usize) -> Outcome<()> {
        let Some(hosts) = &self.hosts else {
            return Ok(());
        };
        (1..hosts.count()).try_for_each(|host| hosts.lose_from(host, 0, percent))
    }

    /// Starts a node, which asks the first one to be let in.
    pub(super) fn start(&mut self, number: usize) -> Outcome<()> {
        let mut config = self.common.clone();
        if self.hides_clients && !config.servers.contains(&name(number)) {
            config.advertise = vec![NOWHERE];
        }
        let settings = settings::as_configured(&config, &name(number));
        let start = |settings: &_| Child::start(ROLE, &name(number), settings);
        let (mut child, reply) = match &self.hosts {
            None => start(&settings)?,
            Some(hosts) => hosts.inside(number % hosts.count(), |address| {
                start(&settings.listening_at(address)?)
            })??,
        };
        let Reply::Listening(address) = reply else {
            return Err(unexpected(&reply));
        };
        match self.seed {
            Some(seed) => drop(child.ask_within::<_, Reply>(&Command::Join(seed), ANSWER_WITHIN)?),
            None => self.seed = Some(address),
        }
        self.running.insert(number, child);
        Ok(())
    }

    /// Kills a node as `kill -9` does.
    pub(super) fn kill(&mut self, number: usize) -> Outcome<()> {
        match self.running.remove(&number) {
            Some(mut child) => child.kill(),
            None => Ok(()),
        }
    }

    /// Stops a node where it is: it is none of the running ones until [`Self::go_on`].
    pub(super) fn pause(&mut self, number: usize) -> Outcome<Child> {
        let child = self.running.remove(&number);
        let child = child.ok_or_else(|| not_running(number))?;
        child.set_running(false)?;
        Ok(child)
    }

    /// Lets a node go on that was stopped.
    pub(super) fn go_on(&mut self, number: usize, child: Child) -> Outcome<()> {
        child.set_running(true)?;
        self.running.insert(number, child);
        Ok(())
    }

    /// Asks one node.
    pub(super) fn ask(&mut self, number: usize, command: &Command) -> Outcome<Reply> {
        self.tell(number, command)?;
        self.answer(number, ANSWER_WITHIN)
    }

    /// Asks one node; its answer is to be fetched before anything else is asked.
    pub(super) fn tell(&mut self, number: usize, command: &Command) -> Outcome<()> {
        self.child(number)?.tell(command)
    }

    /// The answer of one node.
    pub(super) fn answer(&mut self, number: usize, within: Duration) -> Outcome<Reply> {
        self.child(number)?.answer(within)
    }

    fn child(&mut self, number: usize) -> Outcome<&mut Child> {
        let child = self.running.get_mut(&number);
        child.ok_or_else(|| not_running(number))
    }

    /// The accounts of all nodes on a channel, once nothing is under way or the time for that is over.
    pub(super) fn settled_accounts(
        &mut self,
        channel: &str,
        within: Duration,
    ) -> Outcome<Vec<Account>> {
        let deadline = Instant::now() + within;
        loop {
            let mut accounts = Vec::new();
            for reply in self.ask_all(&Command::Accounts)? {
                match reply {
                    Reply::Accounts(node) => accounts.extend(node.accounts),
                    other => return Err(unexpected(&other)),
                }
            }
            accounts.retain(|account| account.channel == channel);
            if accounts.iter().all(Account::is_settled) || Instant::now() > deadline {
                return Ok(accounts);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks every node the same; the answers by number.
    pub(super) fn ask_all(&mut self, command: &Command) -> Outcome<Vec<Reply>> {
        for child in self.running.values_mut() {
            child.tell(command)?;
        }
        let children = self.running.values_mut();
        children.map(|child| child.answer(ANSWER_WITHIN)).collect()
    }

    pub(super) fn look(&mut self) -> Outcome<Vec<Look>> {
        let replies = self.ask_all(&Command::Look)?.into_iter();
        let looks = replies.map(|reply| match reply {
            Reply::Look(look) => Ok(look),
            other => Err(unexpected(&other)),
        });
        looks.collect()
    }

    /// Members that were told down, over all nodes, since each started.
    pub(super) fn told_down(&mut self) -> Outcome<u64> {
        Ok(self.look()?.iter().map(|look| look.told_down).sum())
    }

    /// Waits until every node counts exactly the running ones as live. How long it took.
    pub(super) fn agree(&mut self, within: Duration) -> Outcome<Duration> {
        let began = Instant::now();
        let mut names: Vec<_> = self.running.keys().map(|number| name(*number)).collect();
        names.sort_unstable();
        loop {
            let looks = self.look()?;
            let live: Vec<usize> = looks.iter().map(|look| look.live).collect();
            if live.iter().all(|live| *live == names.len())
                && self.views()?.values().all(|view| *view == names)
            {
                return Ok(began.elapsed());
            }
            if began.elapsed() > within {
                let (least, most) = (
                    live.iter().min().unwrap_or(&0),
                    live.iter().max().unwrap_or(&0),
                );
                return Err(BenchError::CheckFailed(format!(
                    "{} nodes did not agree on who is a member within {} s: they count {least} to {most} live \
                     members; give more --patience, or fewer nodes",
                    names.len(),
                    within.as_secs()
                )));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The names that each node counts as live members, in order.
    pub(super) fn views(&mut self) -> Outcome<BTreeMap<usize, Vec<String>>> {
        let replies = self.ask_all(&Command::Members)?.into_iter();
        let views = replies.map(|reply| match reply {
            Reply::Members(mut names) => {
                names.sort_unstable();
                Ok(names)
            }
            other => Err(unexpected(&other)),
        });
        let views = views.collect::<Outcome<Vec<_>>>()?;
        Ok(self.running.keys().copied().zip(views).collect())
    }

    /// Broadcasts from one node after the other, and waits until what is to come has, or for `within`.
    pub(super) fn broadcast(
        &mut self,
        numbers: std::ops::Range<u32>,
        bytes: usize,
        within: Duration,
    ) -> Outcome<Reach> {
        self.ask_all(&Command::Heard)?;
        let before: u64 = self.look()?.iter().map(|look| look.heard).sum();
        let others = self.running.len() as u64 - 1;
        let expected = others * u64::from(numbers.end - numbers.start);
        let senders: Vec<usize> = self.running.keys().copied().collect();
        for (number, sender) in numbers.clone().zip(senders.iter().cycle()) {
            let numbers = number..number + 1;
            self.ask(*sender, &Command::Broadcast { numbers, bytes })?;
        }
        self.reach(&numbers, before, expected, within)
    }

    /// Broadcasts all of them from the first node, as fast as it takes them. What came of it, and how long it took until
    /// all had come.
    pub(super) fn flood(
        &mut self,
        numbers: std::ops::Range<u32>,
        bytes: usize,
        kind: BroadcastKind,
        within: Duration,
    ) -> Outcome<(Reach, Duration)> {
        self.ask_all(&Command::Heard)?;
        let before: u64 = self.look()?.iter().map(|look| look.heard).sum();
        let others = self.running.len() as u64 - 1;
        let expected = others * u64::from(numbers.end - numbers.start);
        let began = Instant::now();
        let flood = Command::Flood {
            numbers: numbers.clone(),
            bytes,
            kind: kind.name().to_owned(),
        };
        self.tell(0, &flood)?;
        self.answer(0, within)?;
        let reach = self.reach(
            &numbers,
            before,
            expected,
            within.saturating_sub(began.elapsed()),
        )?;
        Ok((reach, began.elapsed()))
    }

    /// Waits until what is to come has, or for `within`, and gathers it.
    fn reach(
        &mut self,
        numbers: &std::ops::Range<u32>,
        before: u64,
        expected: u64,
        within: Duration,
    ) -> Outcome<Reach> {
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            let heard: u64 = self.look()?.iter().map(|look| look.heard).sum();
            if heard >= before + expected {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut reach = Reach {
            expected,
            ..Reach::default()
        };
        for reply in self.ask_all(&Command::Heard)? {
            let Reply::Heard(heard) = reply else {
                return Err(unexpected(&reply));
            };
            reach.add(heard, numbers);
        }
        Ok(reach)
    }
}

impl Reach {
    /// A node that joined late may have heard what was broadcast before: that does not count.
    fn add(&mut self, heard: Heard, expected: &std::ops::Range<u32>) {
        let mut numbers = heard.numbers;
        numbers.retain(|number| expected.contains(number));
        let all = numbers.len() as u64;
        numbers.sort_unstable();
        numbers.dedup();
        self.came += numbers.len() as u64;
        self.duplicates += all - numbers.len() as u64;
        self.latencies.add(&heard.latencies);
        self.hops_max = self.hops_max.max(heard.hops_max);
    }
}

/// The name of a node.
pub(super) fn name(number: usize) -> String {
    format!("n{number}")
}

fn not_running(number: usize) -> BenchError {
    BenchError::Engine(format!("{} does not run", name(number)))
}

pub(super) fn unexpected(reply: &Reply) -> BenchError {
    BenchError::Engine(format!(
        "a process gave an answer to another question: {reply:?}"
    ))
}
