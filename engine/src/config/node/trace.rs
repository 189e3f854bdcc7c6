//! The parameters of traces: which messages are recorded, and where their spans go.

use std::path::PathBuf;

use super::super::allowed::{Allowed, Unit};
use super::super::parameter::{Group, Parameter, group};
use super::super::pattern::Metadata;
use super::super::setting::Setting;
use super::super::trace::{ENDPOINTS, TraceEndpoint};
use super::Config;

group! {
    /// Traces: the spans of messages, for a receiver of OpenTelemetry's protocol.
    pub struct TraceConfig in trace as TRACE;
    /// Where spans are sent, by OTLP over HTTP (`http/protobuf`); a URL without a path gets `/v1/traces`.
    endpoint: TraceEndpoint = TraceEndpoint::Off;
        Unit::None, Allowed::Described(ENDPOINTS);
        origin "a library sends nothing that it was not asked for";
        cost "a thread; some microseconds for each message that is recorded; whoever is there learns names of nodes, mailboxes and channels";
    /// File with the certificates (PEM) that a receiver with https is checked against; empty: those of the system.
    ca_file: PathBuf = PathBuf::new();
        Unit::None, Allowed::Described("the path of a file, with a / in it, such as /etc/overlane/collector-ca.pem");
        origin "collectors of one's own mostly have certificates of one's own";
        cost "none";
    /// File with headers for the receiver, `Name: value` on each line, such as `Authorization: Bearer` and its token; empty: none. Read when the node starts.
    headers_file: PathBuf = PathBuf::new();
        Unit::None, Allowed::Described("the path of a file, with a / in it, such as /etc/overlane/collector.headers");
        origin "a collector of one's own mostly asks for nothing";
        cost "none";
    /// How many of a million messages that carry no trace context begin a trace. Those that carry one are recorded as it says.
    sample_ppm: u32 = 0;
        Unit::Count("messages of a million"), Allowed::Number(0, 1_000_000);
        origin "the application knows where a trace begins";
        cost "each has 39 bytes more on the wire, is copied once more if it is large, and does not go in a run with others";
    /// Spans that wait to be taken, and besides those messages whose spans are open, at most.
    buffer_spans: usize = 8192;
        Unit::Count("spans"), Allowed::Number(16, 1_048_576);
        origin "guess: a second of 3,000 messages that are recorded";
        cost "some 300 bytes each where spans are recorded; what is beyond is dropped and counted";
    /// What spans say of the node besides its name, as attributes of the resource.
    resource: Metadata = Metadata::default();
        Unit::None, Allowed::Described("at most 8 pairs key=value with & between, such as deployment.environment.name=test&team=a");
        origin "the name of a node may say it all";
        cost "none";
}
