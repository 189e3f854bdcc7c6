//! The requests to an API server: lists, page by page, and watches.

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::tls::{TlsConfig, TlsProvider};
use ureq::typestate::WithoutBody;
use ureq::{Agent, BodyReader, RequestBuilder};

use super::Settings;
use super::account::{Account, certificates};
use super::objects::{Change, List, Lookup, Table};
use crate::found::Failure;
use crate::http::{self, Refused, object};
use crate::stop::Stop;

/// Objects of one page, as `kubectl` asks for them.
const PAGE: &str = "500";
/// Pages of one list: more objects than a table has.
const PAGES_MAX: usize = 20;
/// Largest page: 500 pods of 20 KiB each.
const PAGE_BYTES_MAX: u64 = 16 << 20;
/// Largest line of a watch: one object. etcd stores none above 1.5 MiB.
const LINE_BYTES_MAX: u64 = 2 << 20;
/// How long a watch lasts, by its own end at the server. A guess, below what proxies cut: five minutes as a rule.
const WATCH_S: u64 = 240;
/// How long a watch may be silent: a little longer than it lasts.
const SILENCE_MAX: Duration = Duration::from_secs(WATCH_S + 20);

/// What to look at when a request fails.
const RIGHT: &str = "look whether the service account has the role of docs/kubernetes/rbac.yaml, and its server is well";

/// See the module's text.
#[derive(Debug)]
pub(super) struct Api {
    base: String,
    account: Account,
    namespace: String,
    selector: String,
    lookup: Lookup,
    agent: Option<Agent>,
    /// The authority that the agent believes.
    authority: String,
}

impl Api {
    pub(super) fn new(settings: &Settings) -> Result<Self, Failure> {
        let account = Account::new(&settings.account);
        let namespace = match &settings.namespace {
            Some(namespace) => namespace.clone(),
            None => account.namespace()?,
        };
        Ok(Self {
            base: settings.url.clone().unwrap_or_else(url_of_environment),
            account,
            namespace,
            selector: settings.selector.clone(),
            lookup: settings.lookup,
            agent: None,
            authority: String::new(),
        })
    }

    /// Takes another authority, if there is one now.
    pub(super) fn refresh(&mut self, stop: &Stop) -> Result<(), Failure> {
        if !self.is_secure() {
            self.agent
                .get_or_insert_with(|| http::agent(http::settings(), stop));
            return Ok(());
        }
        let authority = self.account.authority()?;
        if self.agent.is_none() || authority != self.authority {
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let tls = TlsConfig::builder()
                .provider(TlsProvider::Rustls)
                .unversioned_rustls_crypto_provider(provider)
                .root_certs(certificates(&authority)?);
            let settings = http::settings().tls_config(tls.build());
            self.agent = Some(http::agent(settings, stop));
            self.authority = authority;
        }
        Ok(())
    }

    fn is_secure(&self) -> bool {
        self.base.starts_with("https://")
    }

    /// A request about the objects, by whoever the account is now.
    fn request(&self) -> Result<RequestBuilder<WithoutBody>, Failure> {
        let agent = self.agent.as_ref();
        let agent =
            agent.ok_or_else(|| Failure::new("there is no connection to the API server"))?;
        let (group, objects) = self.lookup.path();
        let namespace = &self.namespace;
        let url = format!("{}/{group}/namespaces/{namespace}/{objects}", self.base);
        let request = agent.get(&url).query("labelSelector", &self.selector);
        let token = self.account.token()?;
        Ok(request.header("authorization", format!("Bearer {}", token.as_str())))
    }

    /// All objects, and the version from which to watch.
    pub(super) fn list(&self, stop: &Stop) -> Result<(Table, String), Failure> {
        let failed = |refused: Refused| refused.of(&self.base, RIGHT);
        let mut table = Table::default();
        let mut next = String::new();
        for _ in 0..PAGES_MAX {
            let mut request = self.request()?.query("limit", PAGE);
            if !next.is_empty() {
                request = request.query("continue", &next);
            }
            let list: List = object(request, PAGE_BYTES_MAX).map_err(failed)?;
            let (version, more) = table.add(list, self.lookup);
            next = more;
            if next.is_empty() || stop.is_stopped() {
                return Ok((table, version));
            }
        }
        Err(Failure::new(format!(
            "{} lists more objects than a node wants to know; give a narrower selector",
            self.base
        )))
    }

    /// Watches from that version on.
    pub(super) fn watch(&self, version: &str) -> Result<Watch, Refused> {
        let request = self
            .request()
            .map_err(|failure| Refused::Failed(failure.to_string()))?;
        let request = request
            .query("watch", "1")
            .query("allowWatchBookmarks", "true")
            .query("resourceVersion", version)
            .query("timeoutSeconds", WATCH_S.to_string())
            .config()
            .timeout_per_read(Some(SILENCE_MAX))
            .build();
        let response = http::send(request)?;
        let body = response.into_body().into_with_config().limit(u64::MAX);
        Ok(Watch {
            lines: BufReader::new(body.reader()),
            begun: Instant::now(),
            brought_any: false,
        })
    }
}

/// Where a pod finds the API server.
fn url_of_environment() -> String {
    let of = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    match (of("KUBERNETES_SERVICE_HOST"), of("KUBERNETES_SERVICE_PORT")) {
        (Some(host), Some(port)) if host.contains(':') => format!("https://[{host}]:{port}"),
        (Some(host), Some(port)) => format!("https://{host}:{port}"),
        _ => "https://kubernetes.default.svc".to_owned(),
    }
}

/// A watch under way.
pub(super) struct Watch {
    lines: BufReader<BodyReader<'static>>,
    begun: Instant,
    brought_any: bool,
}

impl fmt::Debug for Watch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Watch")
            .field("begun", &self.begun)
            .finish_non_exhaustive()
    }
}

impl Watch {
    pub(super) fn age(&self) -> Duration {
        self.begun.elapsed()
    }

    pub(super) const fn brought_any(&self) -> bool {
        self.brought_any
    }

    /// What changed next; nothing at the end.
    pub(super) fn next(&mut self, lookup: Lookup) -> Result<Option<Change>, String> {
        let mut line = Vec::new();
        let mut bounded = (&mut self.lines).take(LINE_BYTES_MAX);
        bounded
            .read_until(b'\n', &mut line)
            .map_err(|error| error.to_string())?;
        if line.is_empty() {
            return Ok(None);
        }
        if !line.ends_with(b"\n") && line.len() as u64 >= LINE_BYTES_MAX {
            return Err(format!("an object has more than {LINE_BYTES_MAX} bytes"));
        }
        self.brought_any = true;
        Change::read(&line, lookup).map(Some)
    }
}
