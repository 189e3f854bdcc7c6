//! What can be asked of a node over its admin socket, and the line that says so.
//!
//! Written by the client, read by the server. Reading decides only whether a line is a request within its bounds;
//! what it asks for is the desk's matter.

use std::net::SocketAddr;
use std::time::Duration;

use overlane_overlays::switching::{TRIAL_MAX, TRIAL_MIN};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::PROTOCOL_VERSION;
use super::answer::{Refusal, RefusalKind};
use crate::config::Printable;

/// The most bytes of the line of a request, its end left out.
pub const REQUEST_BYTES_MAX: usize = 1 << 20;

/// The longest that a request may wait for other nodes.
pub const WAIT_MS_MAX: u64 = 600_000;

/// How long an atomic broadcast is waited for where nobody says so. 10 s: as long as votes are waited for, and told.
pub(crate) const ATOMIC_WAIT_MS: u64 = 10_000;

/// The most payload bytes of a ping.
pub const PING_BYTES_MAX: usize = 64 << 10;

/// How long a node may take beyond what a request allows: it asks its shards, which have 10 s.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where and for how long an overlay is tried.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrialRequest {
    /// Names of members; none: a share of them.
    #[serde(default)]
    pub nodes: Vec<String>,
    /// That share, in percent; 20 if it is not said.
    #[serde(default)]
    pub percent: Option<u8>,
    /// How long; as `topology_trial_s` says if it is not said.
    #[serde(default)]
    pub for_ms: Option<u64>,
}

/// The longest trial that can be asked for.
pub const TRIAL_MS_MAX: u64 = TRIAL_MAX.as_secs() * 1_000;
/// The shortest.
pub const TRIAL_MS_MIN: u64 = TRIAL_MIN.as_secs() * 1_000;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Request {
    /// What the node is and how it is.
    Status {},
    /// The peers that it knows.
    Peers {},
    /// The members of the cluster that it knows.
    Members {},
    /// The overlay that it is in.
    Overlay {},
    /// Gives all nodes of the cluster another overlay, and waits until it is in force here.
    SwitchOverlay {
        /// Which: full_mesh, hyparview, client_server or pub_sub.
        overlay: String,
        /// Names of members that are servers, for client_server; none: the node chooses.
        servers: Vec<String>,
        /// Try it on a part of the cluster first; none: all nodes get it at once.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trial: Option<TrialRequest>,
        /// How long to wait.
        wait_ms: u64,
    },
    /// What rules for switching the overlay would do now, and why.
    Analysis {},
    /// What became of switches of the overlay.
    SwitchHistory {},
    /// The rules for switching the overlay, as this node has them.
    TopologyRules {},
    /// Changes some of them on this node.
    SetTopologyRules {
        /// Each as `name=value`.
        rules: Vec<String>,
    },
    /// Has another member say goodbye to the cluster.
    Evict {
        /// Its name.
        member: String,
        /// How long that may take.
        wait_ms: u64,
    },
    /// Says goodbye to the cluster.
    Leave {
        /// How long that may take.
        wait_ms: u64,
    },
    /// Sends a message to a mailbox of every other member.
    Broadcast {
        /// The mailbox there.
        mailbox: String,
        /// The channel; otherwise the only one is taken.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        channel: Option<String>,
        /// plain, causal, atomic or epidemic; otherwise plain. The answer to an atomic one waits until it is decided.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kind: Option<String>,
        /// How long the answer to an atomic one may take; 10 s if it is not said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wait_ms: Option<u64>,
        /// What is sent.
        payload: Content,
    },
    /// Sends a message to every other node that subscribes to a topic.
    Publish {
        /// The topic.
        topic: String,
        /// The channel; otherwise the only one is taken.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        channel: Option<String>,
        /// What is sent.
        payload: Content,
    },
    /// Has what is published to a topic come to a mailbox of the node.
    Subscribe {
        /// The topic.
        topic: String,
        /// The mailbox.
        mailbox: String,
    },
    /// Ends that.
    Unsubscribe {
        /// The topic.
        topic: String,
    },
    /// Reads the node's configuration again and follows it.
    Reload {
        /// How long what was accepted on channels that are gone may take to be delivered.
        wait_ms: u64,
    },
    /// What happens from now on, a line each, until the client goes.
    Events {},
    /// Its counters.
    Metrics {
        /// Only those of that peer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        peer: Option<String>,
        /// Only those of that channel.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        channel: Option<String>,
    },
    /// The counters of all live members of its cluster, added up.
    ClusterMetrics {},
    /// Its channels and their parameters.
    Channels {},
    /// Adds a channel.
    AddChannel {
        /// `name` or `name:key=value,...`.
        channel: String,
    },
    /// Changes parameters of a channel.
    SetChannel {
        /// `name:key=value,...`.
        channel: String,
    },
    /// Removes a channel.
    RemoveChannel {
        /// Its name.
        channel: String,
        /// How long what was accepted may take to be delivered.
        wait_ms: u64,
    },
    /// Adds a channel to every node of the cluster.
    AddClusterChannel {
        /// `name` or `name:key=value,...`.
        channel: String,
        /// How long members may take to answer.
        wait_ms: u64,
    },
    /// Changes parameters of a channel on every node of the cluster.
    SetClusterChannel {
        /// `name:key=value,...`.
        channel: String,
        /// How long members may take to answer.
        wait_ms: u64,
    },
    /// Removes a channel from every node of the cluster.
    RemoveClusterChannel {
        /// Its name.
        channel: String,
        /// How long what was accepted may take to be delivered.
        drain_ms: u64,
        /// How long members may take to answer besides.
        wait_ms: u64,
    },
    /// The changes of channels that are in force in the cluster.
    ChannelChanges {},
    /// The routing rules and how often each was used.
    Rules {},
    /// The parameters that the node was started with.
    Parameters {},
    /// What the threads of the node did last.
    Recording {},
    /// Faults on purpose that are open.
    Faults {},
    /// Begins a fault on purpose.
    AddFault {
        /// Only to that peer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        peer: Option<String>,
        /// Only on that channel.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        channel: Option<String>,
        /// Messages that are dropped, of a million.
        #[serde(default)]
        drop_ppm: u32,
        /// How long each message is held back, in microseconds.
        #[serde(default)]
        delay_us: u64,
        /// Whether links are cut.
        #[serde(default)]
        cut: bool,
        /// How long it lasts.
        lasts_ms: u64,
        /// What decides which messages are dropped.
        #[serde(default)]
        seed: u64,
    },
    /// Ends a fault before its time.
    RemoveFault {
        /// Its number.
        id: u64,
    },
    /// Replaces the routing rules.
    SetRules {
        /// Each as `channel` or `channel:key=value,...`.
        rules: Vec<String>,
    },
    /// Connects to a node, and keeps it connected.
    Connect {
        /// Its name.
        peer: String,
        /// Where it listens.
        address: SocketAddr,
        /// How long to wait until it is connected; 0 does not.
        wait_ms: u64,
    },
    /// Ends the lanes to a node, and refuses its dials.
    Disconnect {
        /// Its name.
        peer: String,
    },
    /// Takes back what was asked of a node.
    Forget {
        /// Its name.
        peer: String,
    },
    /// One round trip to a node, through the engine.
    Ping {
        /// Its name.
        peer: String,
        /// The channel to take; otherwise the most urgent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        channel: Option<String>,
        /// Payload, there and back.
        bytes: usize,
        /// How long to wait for the answer.
        timeout_ms: u64,
    },
    /// Sends a message, and waits until it is known what became of it.
    Send {
        /// The node it goes to.
        peer: String,
        /// The mailbox there.
        mailbox: String,
        /// The channel; otherwise the rules choose, or the only one is taken.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        channel: Option<String>,
        /// What is sent.
        payload: Content,
        /// How long to wait for what becomes of it.
        timeout_ms: u64,
    },
}

/// A payload in a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// Text, in UTF-8.
    Text(String),
    /// Any bytes, as numbers.
    Bytes(Vec<u8>),
}

impl Content {
    /// The bytes that are sent.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.into_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// Shorter as text, where it is text.
impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        String::from_utf8(bytes).map_or_else(|error| Self::Bytes(error.into_bytes()), Self::Text)
    }
}

impl Request {
    /// Reads the line of a request.
    ///
    /// # Errors
    /// What is wrong with it, as it is answered.
    pub fn read(line: &[u8]) -> Result<Self, Refusal> {
        let mut object: Map<String, Value> = serde_json::from_slice(line)
            .map_err(|error| malformed(&format!("the line is no JSON object ({error})")))?;
        match object.remove("version") {
            Some(version) if version == PROTOCOL_VERSION => {}
            Some(version) => {
                let version = version.to_string();
                let text = format!(
                    "version {} of the admin protocol is not spoken here: this node, overlane {}, speaks version {PROTOCOL_VERSION}",
                    Printable(&version),
                    env!("CARGO_PKG_VERSION")
                );
                return Err(Refusal::new(RefusalKind::Unsupported, text));
            }
            None => {
                let text = format!("it does not name the version: \"version\":{PROTOCOL_VERSION}");
                return Err(malformed(&text));
            }
        }
        let request: Self = serde_json::from_value(Value::Object(object))
            .map_err(|error| malformed(&error.to_string()))?;
        request.check()?;
        Ok(request)
    }

    /// Its line, without the end.
    #[must_use]
    pub fn line(&self) -> String {
        #[derive(Serialize)]
        struct Line<'a> {
            version: u32,
            #[serde(flatten)]
            request: &'a Request,
        }
        let line = Line {
            version: PROTOCOL_VERSION,
            request: self,
        };
        serde_json::to_string(&line).unwrap_or_default()
    }

    /// How long its answer may take before the node is given up.
    #[must_use]
    pub fn patience(&self) -> Duration {
        PATIENCE.saturating_add(Duration::from_millis(self.wait_ms()))
    }

    fn wait_ms(&self) -> u64 {
        match self {
            Self::RemoveChannel { wait_ms, .. }
            | Self::AddClusterChannel { wait_ms, .. }
            | Self::SetClusterChannel { wait_ms, .. }
            | Self::Connect { wait_ms, .. }
            | Self::SwitchOverlay { wait_ms, .. }
            | Self::Evict { wait_ms, .. }
            | Self::Reload { wait_ms }
            | Self::Leave { wait_ms } => *wait_ms,
            Self::RemoveClusterChannel {
                drain_ms, wait_ms, ..
            } => drain_ms.saturating_add(*wait_ms),
            Self::Ping { timeout_ms, .. } | Self::Send { timeout_ms, .. } => *timeout_ms,
            Self::Broadcast { wait_ms, .. } => wait_ms.unwrap_or(ATOMIC_WAIT_MS),
            _ => 0,
        }
    }

    /// The bounds that its types do not have.
    fn check(&self) -> Result<(), Refusal> {
        let wait_ms = self.wait_ms();
        if wait_ms > WAIT_MS_MAX {
            let text = format!("a wait of {wait_ms} ms is too long: at most {WAIT_MS_MAX}");
            return Err(Refusal::new(RefusalKind::Invalid, text));
        }
        match self {
            Self::Ping { bytes, .. } if *bytes > PING_BYTES_MAX => {
                let text =
                    format!("a ping of {bytes} bytes is too large: at most {PING_BYTES_MAX}");
                Err(Refusal::new(RefusalKind::Invalid, text))
            }
            Self::SwitchOverlay {
                trial: Some(trial), ..
            } => trial.check(),
            _ => Ok(()),
        }
    }
}

impl TrialRequest {
    /// The bounds that its types do not have.
    fn check(&self) -> Result<(), Refusal> {
        let percent = self.percent.unwrap_or(1);
        if !(1..=100).contains(&percent) {
            let text = format!("a trial on {percent} % of the members: give 1 to 100");
            return Err(Refusal::new(RefusalKind::Invalid, text));
        }
        let for_ms = self.for_ms.unwrap_or(TRIAL_MS_MIN);
        if !(TRIAL_MS_MIN..=TRIAL_MS_MAX).contains(&for_ms) {
            let text = format!("a trial for {for_ms} ms: give {TRIAL_MS_MIN} to {TRIAL_MS_MAX}");
            return Err(Refusal::new(RefusalKind::Invalid, text));
        }
        Ok(())
    }
}

fn malformed(why: &str) -> Refusal {
    let text = format!(
        "not a request of the admin protocol, as overlane {} speaks it: {}",
        env!("CARGO_PKG_VERSION"),
        Printable(why)
    );
    Refusal::new(RefusalKind::Malformed, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_goes_there_and_back() {
        for request in [
            Request::Status {},
            Request::Metrics {
                peer: Some("b".to_owned()),
                channel: None,
            },
            Request::SetRules {
                rules: vec!["data:peer=b".to_owned()],
            },
            Request::SwitchOverlay {
                overlay: "hyparview".to_owned(),
                servers: Vec::new(),
                trial: Some(TrialRequest {
                    nodes: vec!["b".to_owned()],
                    percent: None,
                    for_ms: Some(TRIAL_MS_MIN),
                }),
                wait_ms: 5,
            },
            Request::Send {
                peer: "b".to_owned(),
                mailbox: "in".to_owned(),
                channel: None,
                payload: Content::from(vec![0xff, 0]),
                timeout_ms: 5,
            },
        ] {
            let line = request.line();
            assert_eq!(Request::read(line.as_bytes()), Ok(request), "{line}");
        }
    }

    #[test]
    fn text_is_sent_as_text() {
        assert_eq!(
            Content::from(b"\"hi\"\n".to_vec()),
            Content::Text("\"hi\"\n".to_owned())
        );
        let line = r#"{"version":1,"request":"send","peer":"b","mailbox":"m","payload":{"text":"hi"},"timeout_ms":1}"#;
        let request = Request::read(line.as_bytes()).expect("it is one");
        assert_eq!(Request::read(request.line().as_bytes()), Ok(request));
    }

    #[test]
    fn what_is_no_request_is_refused_with_what_would_be_right() {
        let deep = "[".repeat(100_000);
        for (line, kind, said) in [
            ("", RefusalKind::Malformed, "JSON object"),
            ("[1]", RefusalKind::Malformed, "JSON object"),
            (&*deep, RefusalKind::Malformed, "JSON object"),
            (
                r#"{"request":"status"}"#,
                RefusalKind::Malformed,
                r#""version":1"#,
            ),
            (
                r#"{"version":2,"request":"status"}"#,
                RefusalKind::Unsupported,
                "speaks version 1",
            ),
            (
                r#"{"version":1,"request":"reboot"}"#,
                RefusalKind::Malformed,
                "expected one of `status`",
            ),
            (
                r#"{"version":1,"request":"status","x":1}"#,
                RefusalKind::Malformed,
                "unknown field `x`",
            ),
            (
                r#"{"version":1,"request":"ping","peer":"b"}"#,
                RefusalKind::Malformed,
                "missing field `bytes`",
            ),
            (
                r#"{"version":1,"request":"ping","peer":"b","bytes":9999999,"timeout_ms":1}"#,
                RefusalKind::Invalid,
                "at most 65536",
            ),
            (
                r#"{"version":1,"request":"ping","peer":"b","bytes":1,"timeout_ms":600001}"#,
                RefusalKind::Invalid,
                "at most 600000",
            ),
            (
                "{\"version\":1,\"request\":\"\\u001b[2J\"}",
                RefusalKind::Malformed,
                "\\u{1b}[2J",
            ),
        ] {
            let refusal = Request::read(line.as_bytes()).expect_err("it is none");
            assert_eq!(refusal.kind, kind, "{refusal:?}");
            assert!(refusal.text.contains(said), "{refusal:?} lacks {said}");
        }
    }
}
