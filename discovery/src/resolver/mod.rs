//! A small DNS resolver: A, AAAA and SRV by UDP, and by TCP where an answer does not fit.
//!
//! Not the system's: that one says neither how long an answer holds nor what services there are. It asks the name
//! servers of `/etc/resolv.conf`, or those it is given, and follows the search list there. `message` is what is asked
//! and answered, `servers` whom and how, `exchange` the sockets. Used by [`dns`](crate::dns).

mod exchange;
mod message;
mod servers;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use domain::base::Rtype;

use crate::found::Failure;
use crate::stop::Stop;
use message::Records;
use servers::Servers;

pub use message::{Service, fuzz_answer};

/// Most records of one answer that are used.
pub const RECORDS_MAX: usize = 1_024;

/// Largest answer, over TCP; what DNS itself allows.
pub const ANSWER_BYTES_MAX: usize = 65_535;

/// Where the system's name servers are named.
const SYSTEM: &str = "/etc/resolv.conf";

/// What a name stands for, and for how long that holds; nothing if there is no such name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<T> {
    /// The records.
    pub records: Vec<T>,
    /// How long they hold: the least of them.
    pub ttl: Option<Duration>,
}

/// See the module's text.
#[derive(Debug)]
pub struct Resolver {
    fixed: Vec<SocketAddr>,
    system: PathBuf,
    random: fastrand::Rng,
}

impl Resolver {
    /// Asks these servers; those of the system if there are none.
    #[must_use]
    pub fn new(servers: Vec<SocketAddr>) -> Self {
        Self {
            fixed: servers,
            system: SYSTEM.into(),
            random: fastrand::Rng::new(),
        }
    }

    /// The addresses of a host, of both versions.
    ///
    /// # Errors
    /// [`Failure`]: the name is none, or no server answers. A name that is not there is no failure.
    pub fn addresses(&mut self, host: &str, stop: &Stop) -> Result<Answer<IpAddr>, Failure> {
        let servers = self.servers()?;
        for name in servers.candidates(host)? {
            let mut answer = Answer::default();
            for kind in [Rtype::A, Rtype::AAAA] {
                if let Records::Addresses(found) = self.ask(&servers, &name, kind, stop)? {
                    answer.merge(found);
                }
            }
            if !answer.records.is_empty() {
                return Ok(answer);
            }
        }
        Ok(Answer::default())
    }

    /// Where a service is offered.
    ///
    /// # Errors
    /// As [`addresses`](Self::addresses).
    pub fn services(&mut self, name: &str, stop: &Stop) -> Result<Answer<Service>, Failure> {
        let servers = self.servers()?;
        for name in servers.candidates(name)? {
            if let Records::Services(found) = self.ask(&servers, &name, Rtype::SRV, stop)?
                && !found.records.is_empty()
            {
                return Ok(found);
            }
        }
        Ok(Answer::default())
    }

    fn servers(&self) -> Result<Servers, Failure> {
        if self.fixed.is_empty() {
            // Read each time: it changes when a host comes into another network.
            return Servers::of_system(&self.system);
        }
        Ok(Servers::fixed(self.fixed.clone()))
    }
}

impl<T> Default for Answer<T> {
    fn default() -> Self {
        Self {
            records: Vec::new(),
            ttl: None,
        }
    }
}

impl<T> Answer<T> {
    fn merge(&mut self, other: Self) {
        self.ttl = [self.ttl, other.ttl].into_iter().flatten().min();
        self.records.extend(other.records);
        self.records.truncate(RECORDS_MAX);
    }
}
