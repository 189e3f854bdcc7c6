//! Topologies as tables of a configuration file, with remarks.

use std::fmt::Write as _;

use overlane::config::{
    DISCOVERY_PARAMETERS, DiscoveryConfig, LIBCLUSTER_FUNCTIONS, LIBCLUSTER_FUNCTIONS_REMARK,
    LibclusterValue, Printable, StrategyChoice, import_libcluster, is_name, libcluster_strategy,
};

use super::elixir::{Found, Topology, Value};

/// What is said of a strategy without a topology.
pub(super) const BARE: &str = "a strategy that belongs to no topology, as in libcluster 1: expected `topologies: [name: [strategy: ..., \
                               config: [...]]]`";

/// The text of the configuration, and whether all that was found is in it.
pub(super) fn printed(file: &str, found: &Found) -> (String, bool) {
    let mut text = format!(
        "# From {file}. Nodes of a cluster have the same overlay and cluster name.\noverlay = \"hyparview\"\n"
    );
    let mut is_whole = found.broken.is_empty() && found.bare.is_empty();
    for line in &found.broken {
        remark(
            &mut text,
            *line,
            "no Elixir: what is there may be missing here",
        );
    }
    for line in &found.bare {
        remark(&mut text, *line, BARE);
    }
    let mut names: Vec<String> = Vec::new();
    for topology in &found.topologies {
        let mut name = name_of(&topology.name);
        while names.contains(&name) {
            name.push('_');
        }
        names.push(name.clone());
        is_whole &= one(&mut text, &name, topology);
    }
    (text, is_whole)
}

/// One topology. False if something of it is missing.
fn one(text: &mut String, name: &str, topology: &Topology) -> bool {
    text.push('\n');
    if *name != topology.name {
        let what = format!("{}: the name is {name} here", topology.name);
        remark(text, topology.line, &what);
    }
    let strategy = match libcluster_strategy(&topology.strategy) {
        Ok(strategy) => strategy,
        Err(right) => {
            let what = format!(
                "{} {}: no counterpart; expected {right}",
                topology.name, topology.strategy
            );
            remark(text, topology.line, &what);
            return false;
        }
    };
    let mut is_whole = true;
    for (key, line) in &topology.others {
        let what = if LIBCLUSTER_FUNCTIONS.contains(&key.as_str()) {
            format!("{key}: no counterpart; {LIBCLUSTER_FUNCTIONS_REMARK}")
        } else {
            is_whole = false;
            format!("{key}: no counterpart; only running the file would tell what it is")
        };
        remark(text, *line, &what);
    }
    let mut config: Vec<(String, LibclusterValue)> = Vec::new();
    for setting in &topology.settings {
        match &setting.value {
            Value::Known(value, variable) => {
                if let Some(variable) = variable {
                    let what = format!(
                        "{}: of the environment variable {variable}, as it is now",
                        setting.key
                    );
                    remark(text, setting.line, &what);
                }
                config.push((setting.key.clone(), value.clone()));
            }
            Value::Unknown(written) => {
                is_whole = false;
                let what = format!(
                    "{}: only running the file would tell what `{written}` is",
                    setting.key
                );
                remark(text, setting.line, &what);
            }
        }
    }
    let line_of = |key: &str| {
        let found = topology.settings.iter().find(|setting| setting.key == key);
        found.map_or(topology.line, |setting| setting.line)
    };
    let import = import_libcluster(strategy, &config);
    for (key, right) in &import.mistakes {
        is_whole = false;
        remark(
            text,
            line_of(key),
            &format!("{key}: no counterpart; {right}"),
        );
    }
    for (key, what) in &import.remarks {
        remark(text, line_of(key), &format!("{key}: {what}"));
    }
    let _ = writeln!(text, "[discovery.{}]", key_of(name));
    let mut checked = DiscoveryConfig::new(name, StrategyChoice::Static);
    for (key, value) in &import.settings {
        let parameter = DISCOVERY_PARAMETERS.iter().find(|known| known.name == *key);
        match parameter.map(|parameter| parameter.set(&mut checked, value)) {
            Some(Ok(())) => {
                let _ = writeln!(text, "{key} = {}", value_of(key, value));
            }
            refused => {
                is_whole = false;
                let right = refused.and_then(Result::err).unwrap_or_default();
                remark(
                    text,
                    topology.line,
                    &format!("{key}: `{value}` is no value of it; expected {right}"),
                );
            }
        }
    }
    is_whole
}

fn remark(text: &mut String, line: usize, what: &str) {
    let _ = writeln!(text, "# line {line}: {}", Printable(what));
}

/// A name of a discovery, as near as may be.
fn name_of(name: &str) -> String {
    let allowed = |character: char| match character.to_ascii_lowercase() {
        character @ ('a'..='z' | '0'..='9' | '_' | '.' | '-') => character,
        _ => '_',
    };
    let name: String = name.chars().take(255).map(allowed).collect();
    if is_name(&name) {
        name
    } else {
        "topology".to_owned()
    }
}

/// A key of TOML.
fn key_of(name: &str) -> String {
    if name.contains('.') {
        quoted(name)
    } else {
        name.to_owned()
    }
}

fn value_of(key: &str, value: &str) -> String {
    let is_number =
        !value.is_empty() && value.len() < 10 && value.bytes().all(|byte| byte.is_ascii_digit());
    if key == "hosts" {
        let entries: Vec<_> = value.split('+').map(quoted).collect();
        return format!("[{}]", entries.join(", "));
    }
    if is_number || value == "true" || value == "false" {
        return value.to_owned();
    }
    quoted(value)
}

/// A text of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            character if character.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(character));
            }
            character => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}
