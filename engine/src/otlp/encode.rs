//! Spans in OpenTelemetry's messages, with the names that its semantic conventions have for messaging.
//!
//! Called by the exporter for each batch. It says nothing of payloads.

use std::time::SystemTime;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, InstrumentationScope, KeyValue, any_value::Value,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1 as otlp;

use crate::config::Config;
use crate::spans::{Span, SpanKind, SpanStatus};

/// What all requests of a node say.
pub(super) struct Describer {
    resource: Resource,
    scope: InstrumentationScope,
}

impl Describer {
    pub(super) fn new(config: &Config) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let mut attributes = vec![
            text("service.name", &config.node_name),
            text("service.namespace", &config.cluster),
            text("telemetry.sdk.name", "overlane"),
            text("telemetry.sdk.language", "rust"),
            text("telemetry.sdk.version", &version),
        ];
        // What is given counts more: names are there once.
        for (key, value) in config.trace.resource.pairs() {
            attributes.retain(|known| known.key != key);
            attributes.push(text(key, value));
        }
        Self {
            resource: Resource {
                attributes,
                ..Resource::default()
            },
            scope: InstrumentationScope {
                name: "overlane".to_owned(),
                version,
                ..InstrumentationScope::default()
            },
        }
    }

    /// The request with these spans.
    pub(super) fn request(&self, spans: &[Span]) -> ExportTraceServiceRequest {
        ExportTraceServiceRequest {
            resource_spans: vec![otlp::ResourceSpans {
                resource: Some(self.resource.clone()),
                scope_spans: vec![otlp::ScopeSpans {
                    scope: Some(self.scope.clone()),
                    spans: spans.iter().map(encoded).collect(),
                    ..otlp::ScopeSpans::default()
                }],
                ..otlp::ResourceSpans::default()
            }],
        }
    }
}

fn encoded(span: &Span) -> otlp::Span {
    otlp::Span {
        trace_id: span.trace_id.to_vec(),
        span_id: span.span_id.to_vec(),
        parent_span_id: span.parent.map_or_else(Vec::new, |parent| parent.to_vec()),
        flags: u32::from(span.flags),
        name: span.kind.name().to_owned(),
        kind: kind(span.kind).into(),
        start_time_unix_nano: unix_nanos(span.start),
        end_time_unix_nano: unix_nanos(span.end),
        attributes: attributes(span),
        events: span.sent.into_iter().map(sent).collect(),
        status: Some(status(&span.status)),
        ..otlp::Span::default()
    }
}

/// What a receiver makes of it: who sends is a producer, who gets it a consumer.
fn kind(kind: SpanKind) -> otlp::span::SpanKind {
    match kind {
        SpanKind::Message | SpanKind::Lane => otlp::span::SpanKind::Producer,
        SpanKind::Queue => otlp::span::SpanKind::Internal,
        SpanKind::Delivery => otlp::span::SpanKind::Consumer,
    }
}

fn attributes(span: &Span) -> Vec<KeyValue> {
    let operation_type = match span.kind {
        SpanKind::Delivery => "process",
        SpanKind::Message | SpanKind::Queue | SpanKind::Lane => "send",
    };
    let bytes = i64::try_from(span.bytes).unwrap_or(i64::MAX);
    let mut attributes = vec![
        text("messaging.system", "overlane"),
        text("messaging.operation.name", span.kind.name()),
        text("messaging.operation.type", operation_type),
        text("messaging.destination.name", &span.mailbox),
        value("messaging.message.body.size", Value::IntValue(bytes)),
        text("overlane.channel", &span.channel),
        text("overlane.peer", &span.peer),
    ];
    if let SpanStatus::Failed { what, .. } = &span.status {
        attributes.push(text("error.type", what));
    }
    attributes
}

fn sent(at: SystemTime) -> otlp::span::Event {
    otlp::span::Event {
        time_unix_nano: unix_nanos(at),
        name: "sent".to_owned(),
        ..otlp::span::Event::default()
    }
}

/// What went well has no status of its own: saying so is an application's.
fn status(status: &SpanStatus) -> otlp::Status {
    match status {
        SpanStatus::Ok => otlp::Status::default(),
        SpanStatus::Failed { why, .. } => otlp::Status {
            message: why.to_string(),
            code: otlp::status::StatusCode::Error.into(),
        },
    }
}

fn text(key: &str, text: &str) -> KeyValue {
    value(key, Value::StringValue(text.to_owned()))
}

fn value(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn unix_nanos(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    let nanos = since.map_or(0, |since| since.as_nanos());
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Metadata;

    /// Some span.
    pub(in crate::otlp) fn span() -> Span {
        let start = SystemTime::UNIX_EPOCH + Duration::from_nanos(5_000_000_001);
        Span {
            kind: SpanKind::Lane,
            trace_id: [1; 16],
            span_id: [2; 8],
            parent: Some([3; 8]),
            flags: 1,
            start,
            end: start + Duration::from_nanos(9),
            sent: Some(start + Duration::from_nanos(4)),
            peer: "b".into(),
            channel: "data".into(),
            mailbox: "orders".into(),
            bytes: 64,
            status: SpanStatus::Failed {
                what: "undelivered",
                why: "the lane ended".into(),
            },
        }
    }

    fn said(attributes: &[KeyValue], key: &str) -> Option<Value> {
        let found = attributes.iter().find(|attribute| attribute.key == key)?;
        found.value.clone()?.value
    }

    fn words(text: &str) -> Option<Value> {
        Some(Value::StringValue(text.to_owned()))
    }

    #[test]
    fn a_span_says_what_the_conventions_name() {
        let encoded = encoded(&span());
        assert_eq!(encoded.name, "lane");
        assert_eq!(encoded.kind, otlp::span::SpanKind::Producer as i32);
        assert_eq!(encoded.start_time_unix_nano, 5_000_000_001);
        assert_eq!(encoded.end_time_unix_nano, 5_000_000_010);
        assert_eq!(encoded.parent_span_id, [3; 8]);
        assert_eq!(
            (
                encoded.events[0].name.as_str(),
                encoded.events[0].time_unix_nano
            ),
            ("sent", 5_000_000_005)
        );
        let status = encoded.status.expect("it has one");
        assert_eq!(
            (status.message.as_str(), status.code),
            ("the lane ended", 2)
        );
        let attributes = &encoded.attributes;
        for (key, text) in [
            ("messaging.system", "overlane"),
            ("messaging.operation.type", "send"),
            ("messaging.destination.name", "orders"),
            ("overlane.channel", "data"),
            ("overlane.peer", "b"),
            ("error.type", "undelivered"),
        ] {
            assert_eq!(said(attributes, key), words(text), "{key}");
        }
        let bytes = said(attributes, "messaging.message.body.size");
        assert_eq!(bytes, Some(Value::IntValue(64)));
        let root = Span {
            parent: None,
            status: SpanStatus::Ok,
            ..span()
        };
        let root = super::encoded(&root);
        assert!(root.parent_span_id.is_empty() && said(&root.attributes, "error.type").is_none());
        assert_eq!(root.status.map(|status| status.code), Some(0));
    }

    #[test]
    fn the_resource_is_the_node_and_what_the_configuration_adds() {
        let mut config = Config {
            node_name: "a".to_owned(),
            ..Config::default()
        };
        config.trace.resource = Metadata::from([("team", "x"), ("service.namespace", "y")]);
        let described = Describer::new(&config);
        let attributes = &described.resource.attributes;
        for (key, text) in [
            ("service.name", "a"),
            ("service.namespace", "y"),
            ("team", "x"),
        ] {
            assert_eq!(said(attributes, key), words(text), "{key}");
        }
        let mut keys: Vec<_> = attributes.iter().map(|known| &known.key).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), attributes.len());
    }
}
