//! What discoveries find, on its way from their threads to the driver, and counted for whoever asks.
//!
//! Written by the threads of discoveries, one entry each, and read by any thread. Bounded: a discovery has at most
//! `PLACES_MAX` places.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use overlane_discovery::{Outcome, Place, Report};

use crate::config::DiscoveryConfig;
use crate::events::Event;
use crate::metrics::DiscoveryMetrics;

/// What came of one look, for the driver and for whoever follows events.
#[derive(Clone, Debug)]
pub(super) struct Sighting {
    pub(super) discovery: usize,
    /// The places, or why there are none.
    pub(super) found: Result<Vec<String>, String>,
    /// What is new in it.
    pub(super) event: Option<Event>,
}

/// The discoveries of a node, in the order of the configuration.
#[derive(Debug, Default)]
pub(super) struct Discoveries(Mutex<Vec<DiscoveryMetrics>>);

/// Why the places of an answer before are kept.
const LOST_ALL: &str = "the answer lists no place any more, so those of the one before are kept; look whether its source is well";

impl Discoveries {
    pub(super) fn new(configured: &[DiscoveryConfig]) -> Self {
        let of_one = |config: &DiscoveryConfig| DiscoveryMetrics {
            name: config.name.clone(),
            strategy: config.strategy.word().to_owned(),
            ..DiscoveryMetrics::default()
        };
        Self(Mutex::new(configured.iter().map(of_one).collect()))
    }

    pub(super) fn all(&self) -> Vec<DiscoveryMetrics> {
        self.lock().clone()
    }

    /// Counts a report of a discovery. None if there is no such.
    pub(super) fn count(&self, discovery: usize, report: Report) -> Option<Sighting> {
        let mut all = self.lock();
        let counted = all.get_mut(discovery)?;
        counted.looks += 1;
        counted.refused += report.refused;
        counted.left_out = report.left_out;
        let places: Vec<String> = report.places.iter().map(ToString::to_string).collect();
        let failure_before = counted.failure.take();
        let (found, event) = match report.outcome {
            Outcome::Answered { fresh, gone } => {
                let event = (!fresh.is_empty() || !gone.is_empty()).then(|| Event::Discovered {
                    discovery: counted.name.as_str().into(),
                    fresh: texts(&fresh),
                    gone: texts(&gone),
                });
                (Ok(places.clone()), event)
            }
            Outcome::LostAll { retry_in } => {
                counted.lost_all += 1;
                counted.failure = Some(LOST_ALL.to_owned());
                // Told once, however long it lasts.
                let is_new = counted.failure != failure_before;
                let event = is_new.then(|| failed(counted, LOST_ALL, retry_in));
                (Ok(places.clone()), event)
            }
            Outcome::Failed { why, retry_in } => {
                counted.failures += 1;
                let why = why.to_string();
                counted.failure = Some(why.clone());
                let event = failed(counted, &why, retry_in);
                (Err(why), Some(event))
            }
        };
        counted.places = places;
        Some(Sighting {
            discovery,
            found,
            event,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<DiscoveryMetrics>> {
        // Nothing is left half done under it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failed(counted: &DiscoveryMetrics, why: &str, retry_in: Duration) -> Event {
    Event::DiscoveryFailed {
        discovery: counted.name.as_str().into(),
        why: why.to_owned(),
        retry_in,
    }
}

fn texts(places: &[Place]) -> Arc<[String]> {
    places.iter().map(ToString::to_string).collect()
}
