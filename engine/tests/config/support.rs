//! What the configuration tests share: sources without the process's environment, and values.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Command;
use overlane::config::{Allowed, Config, Flags, Parameter, Sources, augment};

/// A configuration file that is removed when the test is done with it.
pub(crate) struct FileText(PathBuf);

impl FileText {
    /// Writes the text to a file of its own.
    pub(crate) fn new(text: impl AsRef<[u8]>) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("config-{}-{number}.toml", std::process::id());
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&path, text.as_ref()).expect("the temporary folder can be written");
        Self(path)
    }

    /// Its path as messages have it.
    pub(crate) fn path(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for FileText {
    fn drop(&mut self) {
        // A file that stays behind harms no test.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The sources of a program with that file, those variables and those arguments.
pub(crate) fn sources(
    file: Option<&FileText>,
    environment: &[(String, String)],
    arguments: &[&str],
) -> Sources {
    let line = ["program"].iter().chain(arguments);
    let matches = augment(Command::new("program")).try_get_matches_from(line);
    let matches = matches.unwrap_or_else(|error| panic!("{error}"));
    Sources {
        defaults: Vec::new(),
        environment: environment.to_vec(),
        flags: Flags::of(&matches),
        file_default: file.map(|file| PathBuf::from(file.path())),
    }
}

/// Only variables.
pub(crate) fn environment(variables: &[(String, String)]) -> Sources {
    sources(None, variables, &[])
}

/// Only arguments.
pub(crate) fn flags(arguments: &[&str]) -> Sources {
    sources(None, &[], arguments)
}

/// Loads what must be right.
pub(crate) fn load(sources: &Sources) -> Config {
    sources.load().unwrap_or_else(|error| panic!("{error}"))
}

/// The message about what must be wrong.
pub(crate) fn error_of(sources: &Sources) -> String {
    match sources.load() {
        Ok(config) => panic!("accepted: {config:?}"),
        Err(error) => error.to_string(),
    }
}

/// A value that is accepted and is not the default.
pub(crate) fn sample<S: Default + PartialEq>(parameter: &Parameter<S>) -> String {
    let candidates = match (parameter.name, parameter.allowed) {
        ("node_name" | "cluster", _) => vec!["other".to_string()],
        ("listen", _) => vec!["127.0.0.1:7999".to_string()],
        ("revoked" | "tls_certificate" | "tls_key" | "tls_authorities" | "psk_secret_file", _) => {
            vec!["/etc/overlane/a".to_string()]
        }
        ("tls_names" | "peers_allowed" | "mailboxes_allowed", _) => vec!["web-*+db".to_string()],
        ("zone", _) => vec!["eu-west-1b".to_string()],
        ("admin_read", _) => vec!["/run/overlane/a.read.sock".to_string()],
        ("admin", _) => vec!["/run/overlane/a.sock".to_string()],
        ("http", _) => vec!["127.0.0.1:7480".to_string()],
        ("trace_endpoint", _) => vec!["http://127.0.0.1:4318".to_string()],
        ("trace_ca_file" | "trace_headers_file", _) => vec!["/etc/overlane/a".to_string()],
        ("trace_resource", _) => vec!["team=a&deployment.environment.name=test".to_string()],
        ("http_token_file", _) => vec!["/etc/overlane/http.token".to_string()],
        ("seeds", _) => vec!["node-1.example:7400,[::1]:7401".to_string()],
        ("advertise", _) => vec!["10.0.0.1:7400,[fd00::1]:7400".to_string()],
        ("topology_gauges", _) => vec!["session_ms>500=full_mesh".to_string()],
        ("topology_workloads", _) => {
            vec!["gaming=full_mesh+cooldown_s=60,feeds=pub_sub".to_string()]
        }
        ("servers", _) => vec!["a+b".to_string()],
        ("cores", _) => vec!["1,0".to_string()],
        ("peers", _) => vec!["b=127.0.0.1:7001,c=[::1]:7002".to_string()],
        ("priority", _) => vec!["high".to_string()],
        ("hosts", _) => vec!["a.example:7400+[::1]:7401".to_string()],
        ("file" | "directory" | "secret_file" | "account" | "recorder_dir", _) => {
            vec!["/run/overlane/b".to_string()]
        }
        ("query" | "service" | "namespace" | "domain" | "port_name", _) => {
            vec!["other.example".to_string()]
        }
        ("server", _) => vec!["10.0.0.53:53+[::1]:53".to_string()],
        ("group", _) => vec!["239.1.2.3:4589".to_string()],
        ("interface", _) => vec!["eth0".to_string()],
        ("secret_env", _) => vec!["CLUSTER_SECRET".to_string()],
        ("selector", _) => vec!["app=overlane&tier=core".to_string()],
        ("url", _) => vec!["http://127.0.0.1:8001".to_string()],
        ("hints" | "named", _) => vec!["urgent".to_string()],
        ("message_type", _) => vec!["order.*".to_string()],
        ("metadata", _) => vec!["tenant=7&region=eu".to_string()],
        ("peer", _) => vec!["db-*".to_string()],
        // TLS needs three files.
        ("security", Allowed::Words(words)) if words.contains(&"psk") => vec!["psk".to_string()],
        (_, Allowed::Words(words)) => words.iter().map(|word| (*word).to_string()).collect(),
        (_, Allowed::Number(least, most) | Allowed::PowerOfTwo(least, most)) => {
            let default: u64 =
                overlane::config::number(&parameter.default_text(), parameter.unit).unwrap_or(0);
            // Near the default, so that what parameters must agree on still holds.
            [
                default + 1,
                default * 2,
                default.saturating_sub(1),
                least,
                most,
            ]
            .map(|number| number.to_string())
            .to_vec()
        }
        (name, Allowed::Described(_)) => panic!("no value is known for {name}"),
    };
    let other = candidates.into_iter().find(|text| {
        let mut settings = S::default();
        parameter.set(&mut settings, text).is_ok() && settings != S::default()
    });
    other.unwrap_or_else(|| panic!("{} has no other value", parameter.name))
}
