//! Nodes that the API of Kubernetes names: pods, or the endpoints of Services, with given labels.
//!
//! They are listed once and then watched, so that a new one is found at once; where watching does not work they are
//! listed at the configured pace. `objects` is what the API says and what follows of it, `account` who asks, `api` the
//! requests. A token is read for each request, as Kubernetes replaces it while a pod runs.

mod account;
mod api;
mod objects;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::found::{Again, Failure, Found};
use crate::http::Refused;
use crate::{Stop, Strategy};
use api::{Api, Watch};
use objects::{Change, Table};

pub use objects::{Lookup, Mode, Naming, fuzz_line};

/// How long is listed instead after watching has failed. A guess: roles and proxies are not changed by the second.
const POLL_FOR: Duration = Duration::from_secs(300);

/// A watch that ends sooner, and without any event, was cut by something that does not let watches through.
const WATCH_MIN: Duration = Duration::from_secs(1);

/// Such watches in a row after which is listed instead.
const CUT_MAX: u32 = 3;

/// What is asked of which API server.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The server: none is as the environment of the pod says.
    pub url: Option<String>,
    /// The folder of the service account.
    pub account: PathBuf,
    /// None: the service account's.
    pub namespace: Option<String>,
    /// The label selector.
    pub selector: String,
    /// What is looked at.
    pub lookup: Lookup,
    /// How nodes are dialled.
    pub naming: Naming,
    /// Whether changes are watched.
    pub watch: bool,
}

/// See the module's text.
#[derive(Debug)]
pub struct Kubernetes {
    settings: Settings,
    api: Option<Api>,
    table: Table,
    /// The version of the list, from which watching goes on. None: it is to be listed.
    version: Option<String>,
    watch: Option<Watch>,
    /// Until then it is listed.
    poll_until: Option<Instant>,
    cut: u32,
}

impl Kubernetes {
    /// Asks nobody yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            api: None,
            table: Table::default(),
            version: None,
            watch: None,
            poll_until: None,
            cut: 0,
        }
    }

    fn api(&mut self, stop: &Stop) -> Result<&mut Api, Failure> {
        let api = match self.api.take() {
            Some(api) => api,
            None => Api::new(&self.settings)?,
        };
        let api = self.api.insert(api);
        api.refresh(stop)?;
        Ok(api)
    }

    fn watches(&mut self) -> bool {
        if self.poll_until.is_some_and(|until| until <= Instant::now()) {
            self.poll_until = None;
        }
        self.settings.watch && self.poll_until.is_none()
    }

    fn list(&mut self, stop: &Stop) -> Result<Found, Failure> {
        self.watch = None;
        self.version = None;
        let (table, version) = self.api(stop)?.list(stop)?;
        self.table = table;
        let again = if self.watches() {
            self.version = Some(version);
            Again::AtOnce
        } else {
            Again::ByPace
        };
        Ok(self.found(again))
    }

    /// Follows what changes, until some place does, the watch ends, or it is asked to stop.
    fn follow(&mut self, version: String, stop: &Stop) -> Result<Found, Failure> {
        let mut watch = match self.watch.take() {
            Some(watch) => watch,
            None => match self.api(stop)?.watch(&version) {
                Ok(watch) => watch,
                Err(Refused::Status(410, _)) => return Ok(self.list_again()),
                Err(refused) => return self.fall_back(&refused),
            },
        };
        loop {
            let lookup = self.settings.lookup;
            let change = watch.next(lookup).map_err(|why| {
                // What came meanwhile is missing: it is listed anew.
                self.version = None;
                Failure::new(format!(
                    "watching the API server of Kubernetes ended: {why}"
                ))
            })?;
            if stop.is_stopped() {
                return Ok(self.found(Again::AtOnce));
            }
            match change {
                Some(Change::Gone) => return Ok(self.list_again()),
                Some(Change::Refused(why)) => return self.fall_back(&Refused::Failed(why)),
                Some(change) => {
                    self.cut = 0;
                    self.version = change
                        .version()
                        .map(str::to_owned)
                        .or_else(|| self.version.take());
                    let before = self.table.places(&self.settings.naming);
                    self.table.apply(change);
                    if self.table.places(&self.settings.naming) != before {
                        self.watch = Some(watch);
                        return Ok(self.found(Again::AtOnce));
                    }
                }
                None => return self.ended(&watch),
            }
        }
    }

    /// A watch has come to its end: it is begun anew, unless it is cut each time.
    fn ended(&mut self, watch: &Watch) -> Result<Found, Failure> {
        let is_cut = watch.age() < WATCH_MIN && !watch.brought_any();
        self.cut = if is_cut { self.cut + 1 } else { 0 };
        if self.cut < CUT_MAX {
            return Ok(self.found(Again::AtOnce));
        }
        self.fall_back(&Refused::Failed("each watch is cut at once".to_owned()))
    }

    /// The version is too old for the server: what came since is not known any more.
    fn list_again(&mut self) -> Found {
        self.version = None;
        self.cut += 1;
        // A server that says so each time is not asked without a pause.
        let again = if self.cut < CUT_MAX {
            Again::AtOnce
        } else {
            Again::ByPace
        };
        self.found(again)
    }

    /// It is listed for a while: what is known stays true.
    fn fall_back(&mut self, why: &Refused) -> Result<Found, Failure> {
        tracing::warn!(
            ?why,
            "the API server of Kubernetes cannot be watched, so it is polled"
        );
        self.poll_until = Some(Instant::now() + POLL_FOR);
        self.version = None;
        self.watch = None;
        self.cut = 0;
        Ok(self.found(Again::ByPace))
    }

    fn found(&self, again: Again) -> Found {
        Found::of(self.table.places(&self.settings.naming)).again(again)
    }
}

impl Strategy for Kubernetes {
    fn look(&mut self, stop: &Stop) -> Result<Found, Failure> {
        match self.version.clone() {
            Some(version) if self.watches() => self.follow(version, stop),
            _ => self.list(stop),
        }
    }
}
