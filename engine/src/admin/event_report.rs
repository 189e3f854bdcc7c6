//! An event as a line of the admin protocol: its name, and what it says by name.
//!
//! The one place that knows how each event reads. Commands print what is there, whatever the event.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::events::Event;

/// An event of a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventReport {
    /// When the server took it, in milliseconds since 1970.
    pub time_ms: u64,
    /// Which kind of event it is, such as `peer_up`.
    pub event: String,
    /// What it says, in the order to be shown.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

impl EventReport {
    /// Of an event that was taken now.
    #[must_use]
    pub fn now(event: &Event) -> Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let (name, fields) = described(event);
        Self {
            time_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            event: name.to_owned(),
            fields: match fields {
                Value::Object(fields) => fields,
                _ => Map::new(),
            },
        }
    }
}

fn described(event: &Event) -> (&'static str, Value) {
    match event {
        Event::PeerUp { peer, incarnation } => (
            "peer_up",
            json!({"peer": peer.name(), "incarnation": incarnation}),
        ),
        Event::PeerDown { peer, reason } => (
            "peer_down",
            json!({"peer": peer.name(), "reason": reason.name()}),
        ),
        Event::Reported {
            peer,
            channel,
            undelivered,
            unknown,
            why,
        } => (
            "reported",
            json!({
                "peer": peer.name(),
                "channel": &**channel,
                "undelivered": undelivered,
                "unknown": unknown,
                "why": why,
            }),
        ),
        Event::Refused {
            address,
            reason,
            detail,
        } => (
            "refused",
            json!({"address": address, "reason": reason.name(), "detail": detail}),
        ),
        Event::Missed { events } => ("missed", json!({"events": events})),
        Event::LaneUp { .. } | Event::LaneDown { .. } | Event::DialFailed { .. } => of_lane(event),
        Event::ChannelAdded { .. }
        | Event::ChannelRetuned { .. }
        | Event::ChannelRemoved { .. } => of_channel(event),
    }
}

fn of_lane(event: &Event) -> (&'static str, Value) {
    match event {
        Event::LaneUp {
            peer,
            channel,
            lane,
            dialed,
        } => (
            "lane_up",
            json!({"peer": peer.name(), "channel": &**channel, "lane": lane, "dialed": dialed}),
        ),
        Event::LaneDown {
            peer,
            channel,
            lane,
            reason,
            undelivered,
            unknown,
        } => (
            "lane_down",
            json!({
                "peer": peer.name(),
                "channel": &**channel,
                "lane": lane,
                "reason": reason.name(),
                "undelivered": undelivered,
                "unknown": unknown,
            }),
        ),
        Event::DialFailed {
            peer,
            channel,
            lane,
            reason,
            detail,
            retry_in,
        } => (
            "dial_failed",
            json!({
                "peer": peer.name(),
                "channel": &**channel,
                "lane": lane,
                "reason": reason.name(),
                "detail": detail,
                "retry_in_ms": u64::try_from(retry_in.as_millis()).unwrap_or(u64::MAX),
            }),
        ),
        _ => ("other", Value::Null),
    }
}

fn of_channel(event: &Event) -> (&'static str, Value) {
    match event {
        Event::ChannelAdded { channel } => ("channel_added", json!({"channel": &**channel})),
        Event::ChannelRetuned {
            channel,
            parameters,
        } => (
            "channel_retuned",
            json!({"channel": &**channel, "parameters": &**parameters}),
        ),
        Event::ChannelRemoved {
            channel,
            reported,
            dropped,
        } => (
            "channel_removed",
            json!({"channel": &**channel, "reported": reported, "dropped": dropped}),
        ),
        _ => ("other", Value::Null),
    }
}
