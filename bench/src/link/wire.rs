//! A wire between two network namespaces, limited by `tc tbf`.
//!
//! The kernel removes it with the last process that uses it (`namespace`).

use std::net::{IpAddr, Ipv4Addr};

use overlane_proxy::Rate;

use crate::error::{BenchError, Outcome};
use crate::namespace::{Namespace, run};

/// One end of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Near,
    Far,
}

impl End {
    /// Seen inside the namespaces only.
    fn address(self) -> Ipv4Addr {
        match self {
            Self::Near => Ipv4Addr::new(10, 231, 7, 1),
            Self::Far => Ipv4Addr::new(10, 231, 7, 2),
        }
    }
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Wire {
    home: Namespace,
    near: Namespace,
    far: Namespace,
}

impl Wire {
    /// Makes it; on the main thread, which starts processes inside it.
    ///
    /// # Errors
    /// Why this process may not, or this machine cannot.
    pub(super) fn make(rate: Rate, queue_ms: u32) -> Result<Self, String> {
        let home = Namespace::own()?;
        let made = Self::make_away(rate, queue_ms, &home);
        home.enter()?;
        made
    }

    fn make_away(rate: Rate, queue_ms: u32, home: &Namespace) -> Result<Self, String> {
        let [near, far] = [Namespace::new()?, Namespace::new()?];
        let home = home.again()?;
        let wire = Self { home, near, far };
        wire.near.enter()?;
        let far = wire.far.path();
        run(
            "ip",
            &[
                "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", &far,
            ],
        )?;
        for end in [End::Near, End::Far] {
            wire.namespace(end).enter()?;
            let address = format!("{}/24", end.address());
            run("ip", &["address", "add", &address, "dev", "wire"])?;
            for device in ["lo", "wire"] {
                run("ip", &["link", "set", device, "up"])?;
            }
            let (rate, queue) = (format!("{}bit", rate.bits_per_s()), format!("{queue_ms}ms"));
            run(
                "tc",
                &[
                    "qdisc", "add", "dev", "wire", "root", "tbf", "rate", &rate, "burst", "32kb",
                    "latency", &queue,
                ],
            )?;
        }
        Ok(wire)
    }

    fn namespace(&self, end: End) -> &Namespace {
        match end {
            End::Near => &self.near,
            End::Far => &self.far,
        }
    }

    /// Does `work` at one end: processes that it starts stay there. It gets the address of that end.
    pub(super) fn inside<T>(&self, end: End, work: impl FnOnce(IpAddr) -> T) -> Outcome<T> {
        let failed = |why: String| BenchError::Machine(format!("a network namespace: {why}"));
        self.namespace(end).enter().map_err(failed)?;
        let done = work(IpAddr::V4(end.address()));
        self.home.enter().map_err(failed)?;
        Ok(done)
    }
}
