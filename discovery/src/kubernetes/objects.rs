//! What the API says: objects, lists of them and changes, and where nodes are by them. No I/O.
//!
//! Read as the API's documentation has it: lists and conditions may be missing or null, and a condition that is missing
//! counts as ready.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;

use crate::found::{PLACES_MAX, Place};

/// Most objects that are remembered.
const OBJECTS_MAX: usize = 4_096;

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// EndpointSlices, by group `discovery.k8s.io/v1`.
    EndpointSlices,
    /// Endpoints, which Kubernetes 1.33 has deprecated.
    Endpoints,
    /// Pods that run.
    Pods,
}

impl Lookup {
    /// The group and the name of the objects in a URL.
    pub(super) const fn path(self) -> (&'static str, &'static str) {
        match self {
            Self::EndpointSlices => ("apis/discovery.k8s.io/v1", "endpointslices"),
            Self::Endpoints => ("api/v1", "endpoints"),
            Self::Pods => ("api/v1", "pods"),
        }
    }
}

/// How a node is dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// At its address.
    Ip,
    /// At the name that DNS has for its address.
    Dns,
    /// At the name of its host in its Service.
    Hostname,
}

/// From an address and a host name to a place.
#[derive(Clone, Debug)]
pub struct Naming {
    /// How.
    pub mode: Mode,
    /// Of the nodes.
    pub port: u16,
    /// Of the Kubernetes cluster, such as `cluster.local`.
    pub domain: String,
    /// The headless Service; for [`Mode::Hostname`].
    pub service: String,
}

impl Naming {
    fn place(&self, host: &Host, namespace: &str) -> Option<Place> {
        let domain = &self.domain;
        match self.mode {
            Mode::Ip => Place::of_host(&host.ip, self.port),
            Mode::Dns => {
                let ip: IpAddr = host.ip.parse().ok()?;
                let dashed = ip.to_string().replace(['.', ':'], "-");
                Place::of_host(&format!("{dashed}.{namespace}.pod.{domain}"), self.port)
            }
            Mode::Hostname => {
                let (name, service) = (host.name.as_ref()?, &self.service);
                Place::of_host(
                    &format!("{name}.{service}.{namespace}.svc.{domain}"),
                    self.port,
                )
            }
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ObjectMeta {
    name: String,
    namespace: String,
    resource_version: String,
    deletion_timestamp: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ListMeta {
    #[serde(rename = "resourceVersion")]
    resource_version: String,
    #[serde(rename = "continue")]
    more: String,
}

/// An object of any of the three kinds; what another kind has is missing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Object {
    metadata: ObjectMeta,
    endpoints: Option<Vec<Endpoint>>,
    subsets: Option<Vec<Subset>>,
    spec: Option<PodSpec>,
    status: Option<PodStatus>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Endpoint {
    addresses: Option<Vec<String>>,
    conditions: Option<Conditions>,
    hostname: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Conditions {
    ready: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Subset {
    addresses: Option<Vec<Address>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Address {
    ip: String,
    hostname: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PodSpec {
    hostname: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PodStatus {
    phase: Option<String>,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
}

/// A list, or a page of one.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct List {
    metadata: ListMeta,
    items: Option<Vec<Object>>,
}

/// Where a node may be.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Host {
    ip: String,
    name: Option<String>,
}

impl Object {
    fn hosts(self, lookup: Lookup) -> Vec<Host> {
        let hosts: Vec<Host> = match lookup {
            Lookup::EndpointSlices => {
                let endpoints = self.endpoints.unwrap_or_default().into_iter();
                let ready = endpoints.filter(Endpoint::is_ready);
                // All addresses of an endpoint stand for the same pod.
                ready.filter_map(Endpoint::host).collect()
            }
            Lookup::Endpoints => {
                let subsets = self.subsets.unwrap_or_default().into_iter();
                let addresses = subsets.flat_map(|subset| subset.addresses.unwrap_or_default());
                let host = |address: Address| Host {
                    ip: address.ip,
                    name: address.hostname,
                };
                addresses.map(host).collect()
            }
            Lookup::Pods => self.pod().into_iter().collect(),
        };
        hosts.into_iter().take(PLACES_MAX).collect()
    }

    /// The host of a pod that runs and is not on its way out.
    fn pod(self) -> Option<Host> {
        let status = self.status?;
        let has_ended = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
        if has_ended || self.metadata.deletion_timestamp.is_some() {
            return None;
        }
        let named = self.spec.and_then(|spec| spec.hostname);
        Some(Host {
            ip: status.pod_ip.filter(|ip| !ip.is_empty())?,
            name: named.or(Some(self.metadata.name)),
        })
    }
}

impl Endpoint {
    fn is_ready(&self) -> bool {
        let ready = self
            .conditions
            .as_ref()
            .and_then(|conditions| conditions.ready);
        ready.unwrap_or(true)
    }

    fn host(self) -> Option<Host> {
        Some(Host {
            ip: self.addresses.unwrap_or_default().into_iter().next()?,
            name: self.hostname,
        })
    }
}

/// What a watch says.
#[derive(Debug)]
pub(super) enum Change {
    /// An object is there, or is another one.
    Is(Entry),
    /// It is not any more.
    IsNot(Entry),
    /// Nothing changed up to that version.
    Bookmark(String),
    /// The version is too old: it is to be listed again.
    Gone,
    /// The server ended it, and why.
    Refused(String),
}

/// What an object comes to.
#[derive(Debug)]
pub(super) struct Entry {
    /// Namespace and name.
    key: (String, String),
    version: String,
    hosts: Vec<Host>,
}

impl Entry {
    fn of(mut object: Object, lookup: Lookup) -> Self {
        let metadata = &mut object.metadata;
        let namespace = std::mem::take(&mut metadata.namespace);
        Self {
            key: (namespace, metadata.name.clone()),
            version: std::mem::take(&mut metadata.resource_version),
            hosts: object.hosts(lookup),
        }
    }
}

#[derive(Deserialize)]
struct Line<'a> {
    r#type: &'a str,
    #[serde(borrow)]
    object: &'a serde_json::value::RawValue,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    code: u16,
    message: String,
}

impl Change {
    /// What a line of a watch says, or what is wrong with it.
    pub(super) fn read(line: &[u8], lookup: Lookup) -> Result<Self, String> {
        let wrong = |error: serde_json::Error| format!("a line of it is not as expected: {error}");
        let line: Line<'_> = serde_json::from_slice(line).map_err(wrong)?;
        let text = line.object.get();
        let object = || serde_json::from_str::<Object>(text).map_err(wrong);
        Ok(match line.r#type {
            "ADDED" | "MODIFIED" => Self::Is(Entry::of(object()?, lookup)),
            "DELETED" => Self::IsNot(Entry::of(object()?, lookup)),
            "BOOKMARK" => Self::Bookmark(object()?.metadata.resource_version),
            "ERROR" => {
                let status: Status = serde_json::from_str(text).map_err(wrong)?;
                match status.code {
                    410 => Self::Gone,
                    code => Self::Refused(format!("{code} {}", status.message)),
                }
            }
            other => return Err(format!("a line of it has the unknown type {other}")),
        })
    }

    /// The version that is reached with it.
    pub(super) fn version(&self) -> Option<&str> {
        let version = match self {
            Self::Is(entry) | Self::IsNot(entry) => &entry.version,
            Self::Bookmark(version) => version,
            Self::Gone | Self::Refused(_) => return None,
        };
        Some(version.as_str()).filter(|version| !version.is_empty())
    }
}

/// The objects, and the hosts of each.
#[derive(Debug, Default)]
pub(super) struct Table {
    objects: BTreeMap<(String, String), Vec<Host>>,
}

impl Table {
    /// Adds a page of a list. The version of the list, and where it goes on, if it does.
    pub(super) fn add(&mut self, list: List, lookup: Lookup) -> (String, String) {
        for object in list.items.unwrap_or_default() {
            self.insert(Entry::of(object, lookup));
        }
        (list.metadata.resource_version, list.metadata.more)
    }

    pub(super) fn apply(&mut self, change: Change) {
        match change {
            Change::Is(entry) => self.insert(entry),
            Change::IsNot(entry) => drop(self.objects.remove(&entry.key)),
            Change::Bookmark(_) | Change::Gone | Change::Refused(_) => {}
        }
    }

    fn insert(&mut self, entry: Entry) {
        if self.objects.len() < OBJECTS_MAX || self.objects.contains_key(&entry.key) {
            self.objects.insert(entry.key, entry.hosts);
        }
    }

    /// Where nodes are by them: at most as many places as may be found, and one.
    pub(super) fn places(&self, naming: &Naming) -> Vec<Place> {
        let places = self.objects.iter().flat_map(|((namespace, _), hosts)| {
            hosts
                .iter()
                .filter_map(|host| naming.place(host, namespace))
        });
        places.take(PLACES_MAX + 1).collect()
    }
}

/// Reads arbitrary bytes as a line of a watch, and as a list: it must not panic, and holds no more than it may.
#[doc(hidden)]
pub fn fuzz_line(bytes: &[u8]) {
    for lookup in [Lookup::EndpointSlices, Lookup::Endpoints, Lookup::Pods] {
        let mut table = Table::default();
        if let Ok(change) = Change::read(bytes, lookup) {
            table.apply(change);
        }
        if let Ok(list) = serde_json::from_slice(bytes) {
            table.add(list, lookup);
        }
        let naming = Naming {
            mode: Mode::Dns,
            port: 1,
            domain: "cluster.local".to_owned(),
            service: String::new(),
        };
        assert!(table.places(&naming).len() <= PLACES_MAX + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SLICE: &str = r#"{"metadata":{"name":"web-abc","namespace":"prod","resourceVersion":"7"},"addressType":"IPv4",
        "endpoints":[
            {"addresses":["10.1.0.1"],"conditions":{"ready":true},"hostname":"web-0"},
            {"addresses":["10.1.0.2"],"conditions":{"ready":false}},
            {"addresses":["10.1.0.3"],"conditions":{"ready":null}},
            {"addresses":["10.1.0.4"]}]}"#;

    fn naming(mode: Mode) -> Naming {
        Naming {
            mode,
            port: 7400,
            domain: "cluster.local".into(),
            service: "web".into(),
        }
    }

    fn places(lookup: Lookup, mode: Mode, object: &str) -> Vec<String> {
        let mut table = Table::default();
        let list = format!(r#"{{"metadata":{{"resourceVersion":"9"}},"items":[{object}]}}"#);
        let version = table.add(serde_json::from_str(&list).unwrap(), lookup);
        assert_eq!(version, ("9".into(), String::new()));
        table
            .places(&naming(mode))
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn endpoints_that_are_ready_count_and_those_that_say_nothing_are() {
        assert_eq!(
            places(Lookup::EndpointSlices, Mode::Ip, SLICE),
            ["10.1.0.1:7400", "10.1.0.3:7400", "10.1.0.4:7400"]
        );
        assert_eq!(
            places(Lookup::EndpointSlices, Mode::Hostname, SLICE),
            ["web-0.web.prod.svc.cluster.local:7400"],
            "the others have no host name"
        );
        assert_eq!(
            places(Lookup::EndpointSlices, Mode::Dns, SLICE)[0],
            "10-1-0-1.prod.pod.cluster.local:7400"
        );
        let empty = r#"{"metadata":{"name":"web","namespace":"prod"},"endpoints":null}"#;
        assert!(places(Lookup::EndpointSlices, Mode::Ip, empty).is_empty());
    }

    #[test]
    fn endpoints_of_the_older_kind_and_pods_are_read() {
        let endpoints = r#"{"metadata":{"name":"web","namespace":"prod"},"subsets":[
            {"addresses":[{"ip":"10.1.0.1","hostname":"web-0"}],"notReadyAddresses":[{"ip":"10.1.0.2"}]},{"addresses":null}]}"#;
        assert_eq!(
            places(Lookup::Endpoints, Mode::Ip, endpoints),
            ["10.1.0.1:7400"]
        );
        let pod = |metadata: &str, phase: &str, ip: &str| {
            let text = format!(
                r#"{{"metadata":{{"name":"web-1","namespace":"prod"{metadata}}},"spec":{{}},"status":{{"phase":"{phase}"{ip}}}}}"#
            );
            places(Lookup::Pods, Mode::Hostname, &text)
        };
        let ip = r#","podIP":"10.1.0.9""#;
        assert_eq!(
            pod("", "Pending", ip),
            ["web-1.web.prod.svc.cluster.local:7400"]
        );
        assert!(pod("", "Pending", "").is_empty(), "it has no address yet");
        assert!(pod("", "Failed", ip).is_empty());
        let leaving = r#","deletionTimestamp":"2026-01-01T00:00:00Z""#;
        assert!(pod(leaving, "Running", ip).is_empty());
    }

    #[test]
    fn a_watch_adds_changes_and_removes_and_says_how_far_it_is() {
        let mut table = Table::default();
        let naming = naming(Mode::Ip);
        let mut follow = |line: &str| {
            let change = Change::read(line.as_bytes(), Lookup::EndpointSlices).unwrap();
            let version = change.version().map(str::to_owned);
            table.apply(change);
            (version, table.places(&naming).len())
        };
        let line = |kind: &str| format!(r#"{{"type":"{kind}","object":{SLICE}}}"#);
        assert_eq!(follow(&line("ADDED")), (Some("7".into()), 3));
        let fewer = r#"{"type":"MODIFIED","object":{"metadata":{"name":"web-abc","namespace":"prod","resourceVersion":"8"},
            "endpoints":[{"addresses":["10.1.0.1"]}]}}"#;
        assert_eq!(follow(fewer), (Some("8".into()), 1));
        let bookmark = r#"{"type":"BOOKMARK","object":{"kind":"EndpointSlice","metadata":{"resourceVersion":"12"}}}"#;
        assert_eq!(follow(bookmark), (Some("12".into()), 1));
        assert_eq!(follow(&line("DELETED")).1, 0);
    }

    #[test]
    fn a_version_that_is_gone_and_other_errors_are_told_apart() {
        let error = |code: u16| {
            let line = format!(
                r#"{{"type":"ERROR","object":{{"kind":"Status","code":{code},"message":"too old"}}}}"#
            );
            Change::read(line.as_bytes(), Lookup::Pods).unwrap()
        };
        assert!(matches!(error(410), Change::Gone));
        assert!(matches!(error(500), Change::Refused(why) if why == "500 too old"));
        for bad in [
            "",
            "{}",
            r#"{"type":"NEW","object":{}}"#,
            r#"{"type":"ADDED","object":5}"#,
        ] {
            assert!(Change::read(bad.as_bytes(), Lookup::Pods).is_err(), "{bad}");
        }
    }

    #[test]
    fn objects_are_bounded() {
        let mut table = Table::default();
        for number in 0..2 * OBJECTS_MAX {
            let line = format!(
                r#"{{"type":"ADDED","object":{{"metadata":{{"name":"{number}"}},"endpoints":[{{"addresses":["10.1.0.1"]}}]}}}}"#
            );
            table.apply(Change::read(line.as_bytes(), Lookup::EndpointSlices).unwrap());
        }
        assert_eq!(table.objects.len(), OBJECTS_MAX);
    }

    proptest! {
        #[test]
        fn no_line_panics(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            fuzz_line(&bytes);
        }

        #[test]
        fn no_line_that_was_damaged_panics(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        ) {
            let mut bytes = format!(r#"{{"type":"ADDED","object":{SLICE}}}"#).into_bytes();
            for (index, byte) in changes {
                let at = index.index(bytes.len());
                bytes[at] = byte;
            }
            fuzz_line(&bytes);
        }
    }
}
