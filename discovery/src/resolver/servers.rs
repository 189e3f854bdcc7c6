//! Whom a resolver asks, and under which names: `/etc/resolv.conf`, as resolv.conf(5) says.

use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use super::message::DnsName;
use crate::found::Failure;

/// Largest file: the system's own resolver reads far less.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// Servers that are asked, as the system's resolver does.
const SERVERS_MAX: usize = 3;
/// Names of the search list that are tried: what glibc once had, and Kubernetes fits into.
const SEARCH_MAX: usize = 8;
/// The port of DNS.
const PORT: u16 = 53;

/// See the module's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Servers {
    pub(super) addresses: Vec<SocketAddr>,
    /// How long an answer may take.
    pub(super) patience: Duration,
    /// How often each server is asked.
    pub(super) tries: u32,
    search: Vec<String>,
    /// A name with fewer dots is tried with the search list first.
    dots: usize,
}

impl Servers {
    /// These, without a search list.
    pub(super) const fn fixed(addresses: Vec<SocketAddr>) -> Self {
        Self {
            addresses,
            // As resolv.conf(5), but shorter: somebody waits for the node.
            patience: Duration::from_secs(3),
            tries: 2,
            search: Vec::new(),
            dots: 1,
        }
    }

    /// Those of the system.
    pub(super) fn of_system(path: &Path) -> Result<Self, Failure> {
        let mut text = String::new();
        let read =
            File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text));
        read.map_err(|error| {
            let path = path.display();
            Failure::new(format!(
                "{path} cannot be read: {error}; name DNS servers with `servers`"
            ))
        })?;
        Ok(Self::read(&text))
    }

    /// What a text in the form of resolv.conf(5) says. What is not understood is left out, as the system's resolver does.
    fn read(text: &str) -> Self {
        let mut servers = Self::fixed(Vec::new());
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let address = words.next().and_then(server);
                    let has_room = servers.addresses.len() < SERVERS_MAX;
                    servers.addresses.extend(address.filter(|_| has_room));
                }
                Some("search" | "domain") => {
                    servers.search = words.take(SEARCH_MAX).map(str::to_owned).collect();
                }
                Some("options") => words.for_each(|option| servers.option(option)),
                _ => {}
            }
        }
        if servers.addresses.is_empty() {
            // What resolv.conf(5) says of a file without any.
            servers.addresses.push((Ipv4Addr::LOCALHOST, PORT).into());
        }
        servers
    }

    fn option(&mut self, option: &str) {
        let Some((name, value)) = option.split_once(':') else {
            return;
        };
        let Ok(value) = value.parse::<u8>() else {
            return;
        };
        match name {
            "ndots" => self.dots = value.min(15).into(),
            "timeout" => self.patience = Duration::from_secs(value.clamp(1, 10).into()),
            "attempts" => self.tries = value.clamp(1, 5).into(),
            _ => {}
        }
    }

    /// The names that a text may stand for, in the order in which they are tried.
    pub(super) fn candidates(&self, text: &str) -> Result<Vec<DnsName>, Failure> {
        let absolute = |text: &str| {
            let name = text.parse::<DnsName>();
            name.map_err(|error| Failure::new(format!("`{text}` is no name of DNS: {error}")))
        };
        if text.ends_with('.') {
            return Ok(vec![absolute(text)?]);
        }
        let as_given = absolute(text)?;
        let mut names = Vec::new();
        for domain in &self.search {
            // One that becomes too long is no name, and the others may be.
            names.extend(absolute(&format!("{text}.{domain}")).ok());
        }
        if text.matches('.').count() >= self.dots {
            names.insert(0, as_given);
        } else {
            names.push(as_given);
        }
        Ok(names)
    }
}

/// The address of a server; one of version 6 may name its interface by number.
fn server(text: &str) -> Option<SocketAddr> {
    let scoped = || format!("[{text}]:{PORT}").parse().ok();
    let address = text.parse::<IpAddr>().ok();
    address.map(|ip| SocketAddr::new(ip, PORT)).or_else(scoped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_kubernetes_is_read() {
        let servers = Servers::read(
            "search prod.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\noptions ndots:5 timeout:1\n",
        );
        assert_eq!(servers.addresses, ["10.96.0.10:53".parse().unwrap()]);
        assert_eq!(servers.patience, Duration::from_secs(1));
        let names: Vec<_> = servers
            .candidates("web")
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            names,
            [
                "web.prod.svc.cluster.local",
                "web.svc.cluster.local",
                "web.cluster.local",
                "web"
            ]
        );
        assert_eq!(servers.candidates("web.").unwrap().len(), 1);
    }

    #[test]
    fn what_is_not_understood_is_left_out_and_servers_are_bounded() {
        let many: String = (1..9)
            .map(|last| format!("nameserver 10.0.0.{last}\n"))
            .collect();
        let text = format!(
            "; remark\nnameserver nonsense\nnameserver fe80::1%2\n{many}options ndots:99 rotate timeout:x\n"
        );
        let servers = Servers::read(&text);
        assert_eq!(servers.addresses.len(), SERVERS_MAX);
        assert_eq!(servers.dots, 15);
        assert_eq!(servers.patience, Duration::from_secs(3));
        assert_eq!(
            Servers::read("").addresses,
            ["127.0.0.1:53".parse().unwrap()]
        );
    }

    #[test]
    fn a_name_with_dots_is_tried_as_it_is_first() {
        let servers = Servers::read("search example\n");
        let names: Vec<_> = servers
            .candidates("a.b")
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(names, ["a.b", "a.b.example"]);
        for bad in ["", "a..b", &"a".repeat(64), &"a.".repeat(200)] {
            let error = servers.candidates(bad);
            assert!(error.is_err(), "{bad}: {error:?}");
        }
    }
}
