//! Nodes behind a name of DNS: addresses of a host (A, AAAA), or of the hosts that offer a service (SRV).
//!
//! Also for Kubernetes' headless services, which are such names.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::time::Duration;

use crate::found::{Again, Failure, Found, Place};
use crate::resolver::Resolver;
use crate::{Stop, Strategy};

/// Hosts of one service whose addresses are asked for. A guess, more than are needed; the rest is found by its neighbors.
const HOSTS_MAX: usize = 128;

/// Addresses of a name, all with the same port.
#[derive(Debug)]
pub struct Dns {
    resolver: Resolver,
    name: String,
    port: u16,
}

impl Dns {
    /// Nodes at that name and port.
    #[must_use]
    pub const fn new(resolver: Resolver, name: String, port: u16) -> Self {
        Self {
            resolver,
            name,
            port,
        }
    }
}

impl Strategy for Dns {
    fn look(&mut self, stop: &Stop) -> Result<Found, Failure> {
        let answer = self.resolver.addresses(&self.name, stop)?;
        let found = Found::of(answer.records.iter().filter_map(|ip| place(*ip, self.port)));
        Ok(found.again(within(answer.ttl)))
    }
}

/// Hosts that offer a service, each with the port that its record says.
#[derive(Debug)]
pub struct DnsSrv {
    resolver: Resolver,
    name: String,
    /// In place of port 0, which some servers say for ports without a name.
    port: u16,
}

impl DnsSrv {
    /// Nodes that offer that service; `port` is for records that name none.
    #[must_use]
    pub const fn new(resolver: Resolver, name: String, port: u16) -> Self {
        Self {
            resolver,
            name,
            port,
        }
    }
}

impl Strategy for DnsSrv {
    fn look(&mut self, stop: &Stop) -> Result<Found, Failure> {
        let answer = self.resolver.services(&self.name, stop)?;
        let mut ttl = answer.ttl;
        let mut found = Found::default();
        let mut addresses: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
        let mut failure = None;
        for service in answer.records {
            if stop.is_stopped()
                || (addresses.len() >= HOSTS_MAX && !addresses.contains_key(&service.host))
            {
                break;
            }
            if !addresses.contains_key(&service.host) {
                // Absolute: the search list is not for what a server says.
                let host = format!("{}.", service.host);
                match self.resolver.addresses(&host, stop) {
                    Ok(of_host) => {
                        ttl = [ttl, of_host.ttl].into_iter().flatten().min();
                        addresses.insert(service.host.clone(), of_host.records);
                    }
                    Err(error) => {
                        failure = Some(error);
                        addresses.insert(service.host.clone(), Vec::new());
                    }
                }
            }
            let port = if service.port == 0 {
                self.port
            } else {
                service.port
            };
            for ip in addresses.get(&service.host).into_iter().flatten() {
                if let Some(place) = place(*ip, port) {
                    found.add(place);
                }
            }
        }
        match failure {
            Some(failure) if found.places().is_empty() => Err(failure),
            _ => Ok(found.again(within(ttl))),
        }
    }
}

fn place(ip: IpAddr, port: u16) -> Option<Place> {
    Place::of_address(SocketAddr::new(ip, port))
}

fn within(ttl: Option<Duration>) -> Again {
    ttl.map_or(Again::ByPace, Again::Within)
}
