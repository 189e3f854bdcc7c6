//! The nodes of a test cluster: started, connected, killed, started again, and taken down.
//!
//! Owns the nodes and the links between them. It sends nothing.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use super::accounting::{check_lives, wait_until};
use super::asked::{Asked, Formation};
use super::error::TestError;
use super::links::{Link, Links};
use crate::config::{Config, Seed};
use crate::detour::Detour;
use crate::metrics::Metrics;
use crate::node::Node;

/// Nodes in this process, on loopback, and the links between them: see [`testing`](super). Dropped, it ends them at
/// once; [`finish`](Self::finish) checks them first.
#[derive(Debug)]
pub struct TestCluster {
    name: String,
    asked: Asked,
    seats: Vec<Seat>,
    links: Arc<Links>,
}

/// A node's place: its name and address, whether it runs or not.
#[derive(Debug)]
struct Seat {
    name: String,
    /// Once it has been started.
    address: Option<SocketAddr>,
    incarnation: u64,
    node: Option<Node>,
    /// It has been killed, and what that process had counted is lost.
    was_killed: bool,
}

/// Clusters of this process so far: each has a name of its own, as tests run side by side.
static CLUSTERS: AtomicU64 = AtomicU64::new(0);

impl TestCluster {
    pub(super) fn start(asked: Asked) -> Result<Self, TestError> {
        let number = CLUSTERS.fetch_add(1, Ordering::Relaxed);
        let seat = |index| Seat {
            name: format!("n{index}"),
            address: None,
            incarnation: 0,
            node: None,
            was_killed: false,
        };
        let mut cluster = Self {
            name: format!("test-{}-{number}", std::process::id()),
            seats: (0..asked.nodes).map(seat).collect(),
            asked,
            links: Arc::default(),
        };
        for index in 0..cluster.seats.len() {
            cluster.start_node(index)?;
        }
        cluster.introduce_all()?;
        cluster.wait_formed()?;
        Ok(cluster)
    }

    /// A node.
    ///
    /// # Panics
    /// If there is no node of that number, or it does not run: as an index that is out of bounds.
    #[must_use]
    pub fn node(&self, index: usize) -> &Node {
        let seat = &self.seats[index];
        let node = seat.node.as_ref();
        node.unwrap_or_else(|| panic!("the node {} does not run", seat.name))
    }

    /// The nodes that run, and their numbers.
    pub fn nodes(&self) -> impl Iterator<Item = (usize, &Node)> {
        let seats = self.seats.iter().enumerate();
        seats.filter_map(|(index, seat)| Some((index, seat.node.as_ref()?)))
    }

    /// The link between two nodes.
    ///
    /// # Panics
    /// If there is no node of one of the numbers, or they are the same.
    #[must_use]
    pub fn link(&self, one: usize, other: usize) -> Link<'_> {
        let count = self.seats.len();
        assert!(
            one < count && other < count && one != other,
            "there is no link between the nodes {one} and {other} of {count}"
        );
        Link {
            links: &self.links,
            one,
            other,
        }
    }

    /// Severs the links between these nodes and all others.
    ///
    /// # Panics
    /// If there is no node of one of the numbers.
    pub fn split_off(&self, group: &[usize]) {
        for inside in group {
            for outside in 0..self.seats.len() {
                if !group.contains(&outside) {
                    self.link(*inside, outside).sever();
                }
            }
        }
    }

    /// All links are as at the start.
    pub fn mend(&self) {
        self.links.mend();
    }

    /// Ends a node without a goodbye, as `kill -9` does. What it had accepted, and what others had sent it, ends as it
    /// does when a process is gone. Nothing, if it does not run.
    ///
    /// # Panics
    /// If there is no node of that number.
    pub fn kill(&mut self, index: usize) {
        let seat = &mut self.seats[index];
        seat.was_killed |= seat.node.is_some();
        drop(seat.node.take());
    }

    /// Starts a node again that was killed, under its name, at its address, as a later process. The others are told
    /// as their formation has it.
    ///
    /// # Errors
    /// [`TestError::State`] if it runs, [`TestError::Start`].
    ///
    /// # Panics
    /// If there is no node of that number.
    pub fn start_again(&mut self, index: usize) -> Result<&Node, TestError> {
        if self.seats[index].node.is_some() {
            return Err(TestError::State {
                node: self.seats[index].name.clone(),
                is: "runs already: kill it first",
            });
        }
        self.start_node(index)?;
        self.introduce(index)?;
        Ok(self.node(index))
    }

    fn start_node(&mut self, index: usize) -> Result<(), TestError> {
        let config = self.config(index)?;
        let links = Arc::clone(&self.links);
        let builder = Node::builder(config).detour(Detour::by(move |to| links.way(index, to)));
        let node = (self.asked.prepare)(builder, index).start();
        let seat = &mut self.seats[index];
        let node = node.map_err(|why| TestError::Start {
            node: seat.name.clone(),
            why: Box::new(why),
        })?;
        seat.address = Some(node.local_addr());
        self.links.settle(index, node.local_addr());
        seat.incarnation = node.incarnation();
        seat.node = Some(node);
        Ok(())
    }

    fn config(&self, index: usize) -> Result<Config, TestError> {
        let seat = &self.seats[index];
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default().as_millis();
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        let mut config = Config::builder()
            .shards(1)
            .pin(false)
            .raise_open_files(true)
            .reconnect_base_ms(RECONNECT_BASE_MS)
            .reconnect_max_ms(RECONNECT_MAX_MS);
        for channel in &self.asked.channels {
            config = config.channel(channel.clone());
        }
        if let Formation::Joined(overlay) = self.asked.formation {
            config = config.overlay(overlay).seeds(self.seeds(index));
        }
        let config = (self.asked.configure)(config, index)
            .name(&seat.name)
            .cluster(&self.name)
            .listen(seat.address.unwrap_or(any_port))
            .incarnation(now.max(seat.incarnation + 1));
        config.build().map_err(|why| TestError::Config {
            node: seat.name.clone(),
            why: Box::new(why),
        })
    }

    /// Where a node joins: at the first other one that runs.
    fn seeds(&self, index: usize) -> Vec<Seed> {
        let mut others = self.nodes().filter(|(other, _)| *other != index);
        let seed = others.next().map(|(_, node)| node.local_addr());
        // Seeds are asked by another way than lanes are dialled.
        seed.map(|address| Seed::from(self.links.way(index, address)))
            .into_iter()
            .collect()
    }

    fn introduce_all(&self) -> Result<(), TestError> {
        for index in 0..self.seats.len() {
            self.introduce(index)?;
        }
        Ok(())
    }

    /// Tells a node of the others, and them of it.
    fn introduce(&self, index: usize) -> Result<(), TestError> {
        let node = self.node(index);
        for (_, other) in self.nodes().filter(|(other, _)| *other != index) {
            for (from, to) in [(node, other), (other, node)] {
                match self.asked.formation {
                    Formation::Connected => {
                        from.connect(to.name(), to.local_addr())?;
                    }
                    Formation::Reached => {
                        from.reach(to.name(), &[to.local_addr()])?;
                    }
                    Formation::Joined(_) | Formation::Apart => {}
                }
            }
        }
        Ok(())
    }

    /// Waits until all nodes that run know one another as their formation has it, and nobody else: after a start, or
    /// when links are mended.
    ///
    /// # Errors
    /// [`TestError`]: what did not come true in time.
    pub fn wait_formed(&self) -> Result<(), TestError> {
        let patience = self.asked.patience;
        match self.asked.formation {
            Formation::Connected => {
                self.each_pair(|node, other| node.wait_connected(other, patience))
            }
            Formation::Reached => {
                self.each_pair(|node, other| node.wait_reachable(other, patience))
            }
            Formation::Joined(_) => {
                self.wait_members()?;
                self.each_pair(|node, other| node.wait_reachable(other, patience))
            }
            Formation::Apart => Ok(()),
        }
    }

    fn each_pair(
        &self,
        wait: impl Fn(&Node, &str) -> Result<(), crate::error::WaitError>,
    ) -> Result<(), TestError> {
        for (index, node) in self.nodes() {
            for (_, other) in self.nodes().filter(|(other, _)| *other != index) {
                wait(node, other.name())?;
            }
        }
        Ok(())
    }

    fn wait_members(&self) -> Result<(), TestError> {
        let running = self.nodes();
        let running = running.map(|(_, node)| (node.name().to_owned(), node.incarnation()));
        let mut running: Vec<_> = running.collect();
        running.sort_unstable();
        let views = || {
            let views = self.nodes().map(|(_, node)| live_members(node));
            views.collect::<Vec<_>>()
        };
        wait_until(
            "that all nodes count each other, and nobody else, as members",
            self.asked.patience,
            views,
            |views| views.iter().all(|view| *view == running),
            |views| format!("{views:?}"),
        )
        .map(drop)
    }

    /// Waits until nothing is queued or under way on any node that runs, and checks that every message is accounted for:
    /// at its sender, and, between nodes that were never killed, at its receiver. Returns the counters of those that run,
    /// in their order.
    ///
    /// # Errors
    /// [`TestError::TimedOut`], [`TestError::Unaccounted`].
    pub fn check_accounting(&self) -> Result<Vec<Metrics>, TestError> {
        let nodes: Vec<_> = self.nodes().map(|(_, node)| node).collect();
        let lives: Vec<_> = self
            .nodes()
            .map(|(index, _)| !self.seats[index].was_killed)
            .collect();
        check_lives(&nodes, &lives, self.asked.patience)
    }

    /// Mends all links, checks that every message is accounted for ([`check_accounting`](Self::check_accounting)), and
    /// stops all nodes in order. Returns their last counters.
    ///
    /// # Errors
    /// [`TestError::TimedOut`], [`TestError::Unaccounted`].
    pub fn finish(mut self) -> Result<Vec<Metrics>, TestError> {
        self.mend();
        self.check_accounting()?;
        let mut last = Vec::new();
        for seat in &mut self.seats {
            let Some(node) = seat.node.take() else {
                continue;
            };
            let report = node.stop(self.asked.patience);
            if !report.drained {
                return Err(TestError::TimedOut {
                    what: format!("that the node {} stops", seat.name),
                    state: format!("{report:#?}"),
                });
            }
            if !report.metrics.identity_holds() {
                return Err(TestError::Unaccounted(format!("{:#?}", report.metrics)));
            }
            last.push(report.metrics);
        }
        Ok(last)
    }
}

/// Tests cut connections, and do not wait for them.
const RECONNECT_BASE_MS: u64 = 5;
const RECONNECT_MAX_MS: u64 = 50;

/// Names and incarnations, by name.
fn live_members(node: &Node) -> Vec<(String, u64)> {
    let members = node.cluster().map(|cluster| cluster.members());
    let members = members.unwrap_or_default().into_iter();
    let live = members.filter(|member| member.status.is_live());
    live.map(|member| (member.name, member.incarnation))
        .collect()
}
