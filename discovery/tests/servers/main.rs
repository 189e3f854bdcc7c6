//! Strategies against servers: stand-ins written here from the documentation of the real ones, and real name servers
//! where they are installed.

mod corpus;
mod dns;
mod kubernetes;
mod kubernetes_tls;
mod manifests;
mod multicast;
mod name_servers;
mod rancher;
mod real;
mod stand_in;

use std::time::{Duration, Instant};

/// How long any condition may take on a loaded machine.
const GENEROUS: Duration = Duration::from_secs(60);

/// The places that a look found, as text.
fn texts(found: &overlane_discovery::Found) -> Vec<&str> {
    found
        .places()
        .iter()
        .map(overlane_discovery::Place::text)
        .collect()
}

/// Waits until it `is_so`.
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + GENEROUS;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not in time");
        std::thread::yield_now();
    }
}

/// Looks until what is found `holds`.
fn look_until(
    strategy: &mut dyn overlane_discovery::Strategy,
    what: &str,
    holds: impl Fn(&[&str]) -> bool,
) {
    let stop = overlane_discovery::Stop::default();
    let deadline = Instant::now() + GENEROUS;
    loop {
        let found = strategy.look(&stop);
        let is_so = found.as_ref().is_ok_and(|found| holds(&texts(found)));
        if is_so {
            return;
        }
        assert!(Instant::now() < deadline, "{what}: {found:?}");
        // A server that has to read its files has a moment of the processor for it.
        std::thread::yield_now();
    }
}
