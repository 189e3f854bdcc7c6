//! How a node protects its connections now: its certificate or secrets, and who is revoked.
//!
//! One for each node, shared by its threads: shards ask it for a session for each new connection, the control shard
//! has it look for files that have changed. Sessions that run are not touched by that: shards end those of the revoked
//! when `revocations` has grown, and make others anew when `epoch` has, or end those that are good no more. It never opens a connection.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use super::certificates::read_settings;
use super::error::SessionError;
use super::files::{Stamp, read_file, stamp};
use super::identity::Identity;
use super::psk::{Psk, PskKeys};
use super::revoked::Revoked;
use super::tls::{Tls, TlsSettings};
use super::{Guard, Session};
use crate::config::{Config, NamePatterns, Secrets, SecurityMode, TlsConfig};
use crate::error::SecurityError;
use crate::wire::Name;

/// What came of looking at the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reload {
    /// New connections go by what is in them now.
    Credentials,
    /// The list of the revoked is another one.
    Revoked,
    /// They cannot be used, so what counted before goes on.
    Failed(SecurityError),
}

/// What connections are protected with.
#[derive(Clone, Debug)]
enum Credentials {
    Plain,
    Tls(TlsSettings),
    Psk(Arc<PskKeys>),
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Security {
    sources: Sources,
    credentials: ArcSwap<Credentials>,
    epoch: AtomicU64,
    revoked: ArcSwap<Revoked>,
    revocations: AtomicU64,
    /// The files as they were when they were last looked at.
    seen: Mutex<Seen>,
}

/// Where credentials come from.
#[derive(Debug)]
struct Sources {
    mode: SecurityMode,
    tls: TlsConfig,
    secret_file: PathBuf,
    secrets: Secrets,
    revoked: PathBuf,
    cluster: Name,
    node: Name,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    credentials: Vec<Option<Stamp>>,
    revoked: Vec<Option<Stamp>>,
}

/// A session of a connection that was dialled, and the bytes with which it begins.
pub(crate) type Begun = (Box<Session>, Vec<u8>);

impl Security {
    /// Reads all that the configuration names.
    ///
    /// # Errors
    /// What cannot be read or used, and what to do.
    pub(crate) fn load(config: &Config) -> Result<Arc<Self>, SecurityError> {
        let name = |text: &str| {
            Name::new(text).map_err(|error| SecurityError {
                what: format!("`{text}` is no name: {error}"),
                remedy: "correct `node_name` and `cluster`".to_owned(),
            })
        };
        let sources = Sources {
            mode: config.security,
            tls: config.tls.clone(),
            secret_file: config.psk.secret_file.clone(),
            secrets: config.secrets.clone(),
            revoked: config.revoked.clone(),
            cluster: name(&config.cluster)?,
            node: name(&config.node_name)?,
        };
        let seen = sources.look();
        let credentials = sources.read_credentials()?;
        let revoked = sources.read_revoked()?;
        Ok(Arc::new(Self {
            credentials: ArcSwap::from_pointee(credentials),
            epoch: AtomicU64::new(0),
            revoked: ArcSwap::from_pointee(revoked),
            revocations: AtomicU64::new(0),
            seen: Mutex::new(seen),
            sources,
        }))
    }

    pub(crate) fn mode(&self) -> SecurityMode {
        self.sources.mode
    }

    /// A session for a connection that was accepted; `None` where it is plain.
    ///
    /// # Errors
    /// A session cannot begin.
    pub(crate) fn accept(&self) -> Result<Option<Box<Session>>, SessionError> {
        // First: a session is not taken for one with newer credentials than it has.
        let epoch = self.epoch();
        Ok(match &**self.credentials.load() {
            Credentials::Plain => None,
            Credentials::Tls(settings) => Some(Guard::Tls(Box::new(Tls::accept(settings)?))),
            Credentials::Psk(keys) => Some(Guard::Psk(Box::new(Psk::accept(keys)))),
        }
        .map(|guard| Box::new(Session::new(guard, epoch))))
    }

    /// A session for a connection that this node dials, and what is to be said first; `None` where it is plain.
    /// `expected` is the node that is meant, where its name is known.
    ///
    /// # Errors
    /// A session cannot begin.
    pub(crate) fn dial(&self, expected: Option<&str>) -> Result<Option<Begun>, SessionError> {
        let mut first = Vec::new();
        let epoch = self.epoch();
        let guard = match &**self.credentials.load() {
            Credentials::Plain => return Ok(None),
            Credentials::Tls(settings) => Guard::Tls(Box::new(Tls::dial(settings, &mut first)?)),
            Credentials::Psk(keys) => Guard::Psk(Box::new(Psk::dial(keys, expected, &mut first)?)),
        };
        Ok(Some((Box::new(Session::new(guard, epoch)), first)))
    }

    /// Whether the other end of a session may be the node of that name.
    ///
    /// # Errors
    /// Why it may not.
    pub(crate) fn check(&self, identity: &Identity, node: &str) -> Result<(), SessionError> {
        let patterns: &NamePatterns = &self.sources.tls.names;
        identity.check(node, patterns, &self.revoked.load())
    }

    /// Whether a session that runs could be made still: its secret is in use, its authority is trusted.
    ///
    /// # Errors
    /// What has been taken away.
    pub(crate) fn check_still_good(&self, session: &Session) -> Result<(), SessionError> {
        match (&**self.credentials.load(), &session.guard) {
            (Credentials::Psk(keys), Guard::Psk(psk)) => psk.check(keys),
            (Credentials::Tls(settings), Guard::Tls(tls)) => tls.check(settings),
            _ => Ok(()),
        }
    }

    /// How often the credentials have changed.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// How often the list of the revoked has changed.
    pub(crate) fn revocations(&self) -> u64 {
        self.revocations.load(Ordering::Acquire)
    }

    /// Whether there are files that can change.
    pub(crate) fn has_files(&self) -> bool {
        let files = self.sources.credential_files().len();
        files > 0 || !self.sources.revoked.as_os_str().is_empty()
    }

    /// Reads the files that have changed since they were last looked at. Where they cannot be used, what counted
    /// before goes on, and they are tried again when they have changed once more.
    pub(crate) fn reload(&self) -> Vec<Reload> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.sources.look();
        let mut told = Vec::new();
        if now.credentials != seen.credentials {
            told.push(match self.sources.read_credentials() {
                Ok(credentials) => {
                    self.credentials.store(Arc::new(credentials));
                    self.epoch.fetch_add(1, Ordering::Release);
                    Reload::Credentials
                }
                Err(error) => Reload::Failed(error),
            });
        }
        if now.revoked != seen.revoked {
            told.push(match self.sources.read_revoked() {
                Ok(revoked) => {
                    self.revoked.store(Arc::new(revoked));
                    self.revocations.fetch_add(1, Ordering::Release);
                    Reload::Revoked
                }
                Err(error) => Reload::Failed(error),
            });
        }
        *seen = now;
        told
    }
}

impl Sources {
    /// The files that credentials are in.
    fn credential_files(&self) -> Vec<&Path> {
        let TlsConfig {
            certificate,
            key,
            authorities,
            ..
        } = &self.tls;
        match self.mode {
            SecurityMode::Plain => Vec::new(),
            SecurityMode::Tls => vec![certificate, key, authorities],
            SecurityMode::Psk if self.secrets.is_empty() => vec![&self.secret_file],
            SecurityMode::Psk => Vec::new(),
        }
    }

    fn look(&self) -> Seen {
        let files = self.credential_files().into_iter();
        Seen {
            credentials: files.map(stamp).collect(),
            revoked: vec![stamp(&self.revoked)],
        }
    }

    fn read_credentials(&self) -> Result<Credentials, SecurityError> {
        Ok(match self.mode {
            SecurityMode::Plain => Credentials::Plain,
            SecurityMode::Tls => Credentials::Tls(read_settings(&self.tls)?),
            SecurityMode::Psk => {
                let (cluster, node) = (self.cluster.clone(), self.node.clone());
                let keys = if self.secrets.is_empty() {
                    PskKeys::new(&read_secrets(&self.secret_file)?, cluster, node)
                } else {
                    PskKeys::new(&self.secrets, cluster, node)
                };
                Credentials::Psk(Arc::new(keys))
            }
        })
    }

    fn read_revoked(&self) -> Result<Revoked, SecurityError> {
        if self.revoked.as_os_str().is_empty() {
            return Ok(Revoked::default());
        }
        let bytes = read_file(&self.revoked)?;
        let text = std::str::from_utf8(&bytes).map_err(|error| error.to_string());
        text.and_then(Revoked::read).map_err(|why| SecurityError {
            what: format!(
                "the list of the revoked, {}, cannot be used: {why}",
                self.revoked.display()
            ),
            remedy: "correct it, or give `revoked` another file".to_owned(),
        })
    }
}

fn read_secrets(path: &Path) -> Result<Secrets, SecurityError> {
    Secrets::of_file(path).map_err(|error| SecurityError {
        what: error.to_string(),
        remedy: "correct the file that `psk_secret_file` names, which the user of this process has to be able to read"
            .to_owned(),
    })
}
