//! Nodes of the same service, by the metadata service of Rancher 1.
//!
//! `GET /latest/self/service` says which containers the service has and at which addresses, as its documentation and
//! libcluster have it.

use serde::Deserialize;

use crate::found::{Failure, Found, Place};
use crate::http::{self, object};
use crate::{Stop, Strategy};

/// Where a container finds the service.
pub const URL: &str = "http://rancher-metadata";

/// Largest answer: a thousand containers take some hundred KiB.
const BYTES_MAX: u64 = 4 << 20;

#[derive(Debug, Deserialize)]
struct Service {
    #[serde(default)]
    containers: Vec<Container>,
}

#[derive(Debug, Deserialize)]
struct Container {
    #[serde(default)]
    ips: Vec<String>,
}

/// See the module's text.
#[derive(Debug)]
pub struct Rancher {
    url: String,
    port: u16,
    agent: Option<ureq::Agent>,
}

impl Rancher {
    /// Asks there; nodes listen on that port.
    #[must_use]
    pub const fn new(url: String, port: u16) -> Self {
        Self {
            url,
            port,
            agent: None,
        }
    }
}

impl Strategy for Rancher {
    fn look(&mut self, stop: &Stop) -> Result<Found, Failure> {
        let agent = self
            .agent
            .get_or_insert_with(|| http::agent(http::settings(), stop));
        let url = format!("{}/latest/self/service", self.url);
        let service: Service = object(agent.get(&url), BYTES_MAX).map_err(|refused| {
            refused.of(
                &url,
                "look whether this is a container of Rancher 1, or give its url",
            )
        })?;
        let first = service
            .containers
            .iter()
            .filter_map(|container| container.ips.first());
        Ok(Found::of(
            first.filter_map(|ip| Place::of_host(ip, self.port)),
        ))
    }
}
