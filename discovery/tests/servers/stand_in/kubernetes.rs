//! A stand-in for the API server of Kubernetes, by its documentation ("Kubernetes API Concepts"): lists in pages, watches
//! with bookmarks, 410 Gone, tokens, and all that can go wrong.

use std::fs;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use rustls::ServerConfig;

use super::web::{Answering, Asked, WebServer};

/// An event of a watch: its version, and its line.
type Event = (u64, String);

#[derive(Debug, Default)]
pub struct State {
    /// EndpointSlices: name and ready addresses.
    slices: Vec<(String, Vec<String>)>,
    version: u64,
    events: Vec<Event>,
    /// Versions below it are gone.
    oldest: u64,
    pub token: String,
    /// What requests are answered instead, if anything: lists, watches.
    pub list_status: Option<u16>,
    pub watch_status: Option<u16>,
    /// Slices of a page.
    pub page: usize,
    /// Watches are cut at once.
    pub cut: bool,
    /// Nothing is answered.
    pub silent: bool,
    /// Every version is too old.
    pub forgets: bool,
    /// The server is being stopped.
    ended: bool,
}

/// The state, and word of each change of it.
#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with it")
    }

    /// Waits for the next change.
    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let waited = self.changed.wait(state);
        waited.expect("nobody panics with it")
    }
}

/// The state while it is changed: whoever waits for that goes on afterwards.
pub struct Changing<'a> {
    state: Option<MutexGuard<'a, State>>,
    changed: &'a Condvar,
}

impl Deref for Changing<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        self.state
            .as_ref()
            .expect("it is there until it is dropped")
    }
}

impl DerefMut for Changing<'_> {
    fn deref_mut(&mut self) -> &mut State {
        self.state
            .as_mut()
            .expect("it is there until it is dropped")
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        drop(self.state.take());
        self.changed.notify_all();
    }
}

#[derive(Debug, Default)]
pub struct Counts {
    /// Requests of any kind.
    pub requests: AtomicU32,
    pub lists: AtomicU32,
    pub watches: AtomicU32,
    pub bookmarks: AtomicU32,
    pub unauthorized: AtomicU32,
}

pub struct ApiServer {
    server: WebServer,
    shared: Arc<Shared>,
    pub counts: Arc<Counts>,
    account: PathBuf,
}

impl ApiServer {
    /// With a service account in a folder of that name.
    pub fn start(folder: &Path, name: &str) -> Self {
        Self::start_with(folder, name, None)
    }

    /// Over TLS, if that is said.
    pub fn start_with(folder: &Path, name: &str, tls: Option<Arc<ServerConfig>>) -> Self {
        let account = folder.join(format!("account-{name}-{}", std::process::id()));
        fs::create_dir_all(&account).expect("the temporary folder can be written");
        fs::write(account.join("namespace"), "prod\n").expect("a file");
        let state = State {
            version: 100,
            page: 2,
            ..State::default()
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let counts = Arc::<Counts>::default();
        let (serving, counted) = (Arc::clone(&shared), Arc::clone(&counts));
        let server = WebServer::start_with(tls, move |asked, answering| {
            answer(&serving, &counted, asked, answering);
        });
        let this = Self {
            server,
            shared,
            counts,
            account,
        };
        this.set_token("first");
        this
    }

    pub fn url(&self) -> String {
        self.server.url()
    }

    pub fn account(&self) -> &Path {
        &self.account
    }

    /// Another token is valid from now on, and mounted.
    pub fn set_token(&self, token: &str) {
        self.state().token = token.to_owned();
        fs::write(self.account.join("token"), format!("{token}\n")).expect("a file");
    }

    /// Mounts the authority whose certificates are to be believed.
    pub fn set_authority(&self, pem: &str) {
        fs::write(self.account.join("ca.crt"), pem).expect("a file");
    }

    pub fn state(&self) -> Changing<'_> {
        Changing {
            state: Some(self.shared.lock()),
            changed: &self.shared.changed,
        }
    }

    /// An event that is told to all who watch, as it stands.
    pub fn tell(&self, line: &str) {
        let mut state = self.state();
        state.version += 1;
        let event = (state.version, format!("{line}\n"));
        state.events.push(event);
    }

    /// A slice of that name has these addresses; none: it is deleted.
    pub fn set(&self, name: &str, addresses: &[&str]) {
        let mut state = self.state();
        state.version += 1;
        let version = state.version;
        let known = state.slices.iter().position(|(known, _)| known == name);
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let kind = match (known, addresses.is_empty()) {
            (Some(index), true) => {
                state.slices.remove(index);
                "DELETED"
            }
            (Some(index), false) => {
                state.slices[index].1.clone_from(&addresses);
                "MODIFIED"
            }
            (None, _) => {
                state.slices.push((name.to_owned(), addresses.clone()));
                "ADDED"
            }
        };
        let object = slice(name, &addresses, version);
        let line = format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n");
        state.events.push((version, line));
    }

    /// A bookmark is sent to all who watch.
    pub fn bookmark(&self) {
        let mut state = self.state();
        state.version += 1;
        let version = state.version;
        let line = format!(
            "{{\"type\":\"BOOKMARK\",\"object\":{{\"kind\":\"EndpointSlice\",\"metadata\":{{\"resourceVersion\":\"{version}\"}}}}}}\n"
        );
        state.events.push((version, line));
    }

    /// What was before is forgotten, as etcd does when it is compacted; watches end.
    pub fn compact(&self) {
        let mut state = self.state();
        state.version += 1;
        state.oldest = state.version;
        state.events.clear();
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.state().ended = true;
        let _ = fs::remove_dir_all(&self.account);
    }
}

fn slice(name: &str, addresses: &[String], version: u64) -> String {
    let endpoint = |address: &String| {
        format!("{{\"addresses\":[\"{address}\"],\"conditions\":{{\"ready\":true}}}}")
    };
    let endpoints: Vec<_> = addresses.iter().map(endpoint).collect();
    format!(
        "{{\"metadata\":{{\"name\":\"{name}\",\"namespace\":\"prod\",\"resourceVersion\":\"{version}\"}},\"addressType\":\"IPv4\",\"endpoints\":[{}]}}",
        endpoints.join(",")
    )
}

fn status(code: u16, message: &str) -> String {
    format!(
        "{{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"status\":\"Failure\",\"message\":\"{message}\",\"code\":{code}}}"
    )
}

fn answer(shared: &Shared, counts: &Counts, asked: &Asked, answering: &mut Answering<'_>) {
    assert_eq!(
        asked.path,
        "/apis/discovery.k8s.io/v1/namespaces/prod/endpointslices"
    );
    assert_eq!(
        asked.of_query("labelSelector"),
        Some("app=overlane,tier in (core)")
    );
    counts.requests.fetch_add(1, Ordering::SeqCst);
    let mut state = shared.lock();
    while state.silent && !state.ended {
        state = shared.wait(state);
    }
    if asked.header("authorization") != Some(&format!("Bearer {}", state.token)) {
        counts.unauthorized.fetch_add(1, Ordering::SeqCst);
        return answering.whole(401, &status(401, "Unauthorized"));
    }
    if asked.of_query("watch").is_some() {
        counts.watches.fetch_add(1, Ordering::SeqCst);
        drop(state);
        return watch(shared, counts, asked, answering);
    }
    counts.lists.fetch_add(1, Ordering::SeqCst);
    if let Some(code) = state.list_status {
        return answering.whole(code, &status(code, "the stand-in says no"));
    }
    let first: usize = asked
        .of_query("continue")
        .and_then(|first| first.parse().ok())
        .unwrap_or(0);
    let page = state.slices.iter().skip(first).take(state.page);
    let items: Vec<_> = page
        .map(|(name, addresses)| slice(name, addresses, state.version))
        .collect();
    let next = first + items.len();
    let more = if next < state.slices.len() {
        next.to_string()
    } else {
        String::new()
    };
    let body = format!(
        "{{\"kind\":\"EndpointSliceList\",\"metadata\":{{\"resourceVersion\":\"{}\",\"continue\":\"{more}\"}},\"items\":[{}]}}",
        state.version,
        items.join(",")
    );
    answering.whole(200, &body);
}

fn watch(shared: &Shared, counts: &Counts, asked: &Asked, answering: &mut Answering<'_>) {
    assert_eq!(asked.of_query("allowWatchBookmarks"), Some("true"));
    let mut from: u64 = asked
        .of_query("resourceVersion")
        .and_then(|from| from.parse().ok())
        .expect("a version");
    let mut state = shared.lock();
    if let Some(code) = state.watch_status {
        return answering.whole(code, &status(code, "the stand-in says no"));
    }
    answering.begin();
    if state.cut {
        return answering.end();
    }
    while !state.ended {
        if from < state.oldest || state.forgets {
            let gone = format!(
                "{{\"type\":\"ERROR\",\"object\":{}}}\n",
                status(410, "too old resource version")
            );
            answering.piece(&gone);
            return answering.end();
        }
        let is_new = |(version, _): &&Event| *version > from;
        let new: Vec<Event> = state.events.iter().filter(is_new).cloned().collect();
        if new.is_empty() {
            state = shared.wait(state);
            continue;
        }
        drop(state);
        for (version, line) in new {
            from = version;
            if line.contains("BOOKMARK") {
                counts.bookmarks.fetch_add(1, Ordering::SeqCst);
            }
            if !answering.piece(&line) {
                return;
            }
        }
        state = shared.lock();
    }
    answering.end();
}
