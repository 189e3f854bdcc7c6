//! Hosts of a cluster run: network namespaces on one switch, each of which can be cut off.

use std::net::{IpAddr, Ipv4Addr};

use crate::error::{BenchError, Outcome};
use crate::namespace::{Namespace, run};

/// Most hosts: one byte of their addresses.
pub(super) const HOSTS_MAX: usize = 200;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Hosts {
    home: Namespace,
    /// Where the switch is.
    middle: Namespace,
    hosts: Vec<Namespace>,
}

impl Hosts {
    /// So many hosts, all connected. On the main thread, which starts processes on them.
    pub(super) fn make(count: usize) -> Outcome<Self> {
        let home = Namespace::own().map_err(failed)?;
        let made = Self::make_away(count, &home);
        home.enter().map_err(failed)?;
        made.map_err(failed)
    }

    fn make_away(count: usize, home: &Namespace) -> Result<Self, String> {
        let middle = Namespace::new()?;
        run("ip", &["link", "add", "switch", "type", "bridge"])?;
        run("ip", &["link", "set", "switch", "up"])?;
        let mut hosts = Vec::new();
        for number in 0..count.min(HOSTS_MAX) {
            let host = Namespace::new()?;
            middle.enter()?;
            let (port, path) = (port(number), host.path());
            run(
                "ip",
                &[
                    "link", "add", &port, "type", "veth", "peer", "name", "wire", "netns", &path,
                ],
            )?;
            run("ip", &["link", "set", &port, "master", "switch", "up"])?;
            host.enter()?;
            let address = format!("{}/24", address(number));
            run("ip", &["address", "add", &address, "dev", "wire"])?;
            for device in ["lo", "wire"] {
                run("ip", &["link", "set", device, "up"])?;
            }
            hosts.push(host);
        }
        Ok(Self {
            home: home.again()?,
            middle,
            hosts,
        })
    }

    pub(super) const fn count(&self) -> usize {
        self.hosts.len()
    }

    /// Does `work` on a host: processes that it starts stay there. It gets the host's address.
    pub(super) fn inside<T>(&self, host: usize, work: impl FnOnce(IpAddr) -> T) -> Outcome<T> {
        self.hosts[host].enter().map_err(failed)?;
        let done = work(IpAddr::V4(address(host)));
        self.home.enter().map_err(failed)?;
        Ok(done)
    }

    /// Of what comes to a host from another one, such a share is lost from now on, as on a wire: who sent it is not
    /// told. None with 0.
    pub(super) fn lose_from(&self, host: usize, from: usize, percent: usize) -> Outcome<()> {
        self.hosts[host].enter().map_err(failed)?;
        let set = lose(address(from), percent);
        self.home.enter().map_err(failed)?;
        set.map_err(failed)
    }

    /// Cuts a host off from all others, or connects it again.
    pub(super) fn connect(&self, host: usize, connected: bool) -> Outcome<()> {
        self.middle.enter().map_err(failed)?;
        let state = if connected { "up" } else { "down" };
        let set = run("ip", &["link", "set", &port(host), state]);
        self.home.enter().map_err(failed)?;
        set.map_err(failed)
    }
}

/// On the host of this thread.
fn lose(from: Ipv4Addr, percent: usize) -> Result<(), String> {
    // Made anew each time: the table is this file's own.
    run("nft", &["add", "table", "ip", "loss"])?;
    run("nft", &["flush", "table", "ip", "loss"])?;
    if percent == 0 {
        return Ok(());
    }
    let hook = "{ type filter hook input priority 0; }";
    run("nft", &["add", "chain", "ip", "loss", "arrivals", hook])?;
    let lost = match percent {
        100 => "drop".to_owned(),
        share => format!("numgen random mod 100 < {share} drop"),
    };
    let rule = format!("add rule ip loss arrivals ip saddr {from} {lost}");
    run("nft", &[&rule])
}

fn failed(why: String) -> BenchError {
    BenchError::Machine(format!("a network namespace: {why}"))
}

/// The switch's end of a host's wire.
fn port(host: usize) -> String {
    format!("port{host}")
}

/// Seen inside the namespaces only.
fn address(host: usize) -> Ipv4Addr {
    let last = u8::try_from(host + 1).unwrap_or(u8::MAX);
    Ipv4Addr::new(10, 231, 8, last)
}
