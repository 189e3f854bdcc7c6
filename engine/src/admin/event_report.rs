//! An event as a line of the admin protocol: its name, and what it says by name.
//!
//! The one place that knows how each event reads. Commands print what is there, whatever the event.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::cluster::{AtomicOutcome, OverlayStep, WhyBack};
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
        Event::GivenUp {
            channel,
            sender,
            incarnation,
            messages,
        } => (
            "given_up",
            json!({
                "channel": &**channel,
                "sender": sender.as_deref(),
                "incarnation": incarnation,
                "messages": messages,
            }),
        ),
        Event::Missed { events } => ("missed", json!({"events": events})),
        Event::LaneUp { .. } | Event::LaneDown { .. } | Event::DialFailed { .. } => of_lane(event),
        Event::ChannelAdded { .. }
        | Event::ChannelRetuned { .. }
        | Event::ChannelOrdered { .. }
        | Event::ChannelChangeRefused { .. }
        | Event::ChannelRestrained { .. }
        | Event::ChannelRemoved { .. } => of_channel(event),
        Event::MemberUp { .. }
        | Event::MemberChanged { .. }
        | Event::MemberSuspect { .. }
        | Event::MemberDown { .. }
        | Event::MemberLeft { .. }
        | Event::Coordinator { .. }
        | Event::Evicted { .. }
        | Event::Left => of_members(event),
        Event::LameDuck => ("lame_duck", json!({})),
        Event::FaultAdded { id, fault, lasts } => (
            "fault_added",
            json!({"id": id, "fault": &**fault, "lasts_ms": u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX)}),
        ),
        Event::FaultEnded { id, fault, done } => (
            "fault_ended",
            json!({
                "id": id,
                "fault": &**fault,
                "dropped": done.dropped,
                "delayed": done.delayed,
                "cut": done.cut,
                "dials_failed": done.dials_failed,
            }),
        ),
        Event::NeighborUp { .. }
        | Event::NeighborDown { .. }
        | Event::Overlay { .. }
        | Event::OverlayTried { .. }
        | Event::OtherOverlay { .. }
        | Event::Partitioned { .. }
        | Event::Healed { .. } => of_overlay(event),
        Event::BroadcastsMissed { sender, messages } => (
            "broadcasts_missed",
            json!({"sender": sender.as_deref(), "messages": messages}),
        ),
        Event::AtomicEnded { sender, outcome } => {
            let (outcome, missing) = match outcome {
                AtomicOutcome::Committed => ("committed", Vec::new()),
                AtomicOutcome::Aborted { missing } => ("aborted", names(missing)),
                AtomicOutcome::Unknown => ("unknown", Vec::new()),
            };
            (
                "atomic_ended",
                json!({"sender": &**sender, "outcome": outcome, "missing": missing}),
            )
        }
        Event::Discovered { .. } | Event::DiscoveryFailed { .. } => of_discovery(event),
    }
}

fn names(names: &[Arc<str>]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
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
        Event::ChannelOrdered {
            channel,
            epoch,
            by,
            change,
        } => (
            "channel_ordered",
            json!({"channel": &**channel, "epoch": epoch, "by": &**by, "change": &**change}),
        ),
        Event::ChannelChangeRefused {
            channel,
            epoch,
            why,
        } => (
            "channel_change_refused",
            json!({"channel": &**channel, "epoch": epoch, "why": &**why}),
        ),
        Event::ChannelRestrained { channel, restraint } => (
            "channel_restrained",
            json!({"channel": &**channel, "restraint": restraint.word()}),
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

fn of_members(event: &Event) -> (&'static str, Value) {
    match event {
        Event::MemberUp {
            member,
            incarnation,
        } => (
            "member_up",
            json!({"member": &**member, "incarnation": incarnation}),
        ),
        Event::Evicted { by } => ("evicted", json!({"by": &**by})),
        Event::MemberChanged { member } => ("member_changed", json!({"member": &**member})),
        Event::MemberSuspect { member } => ("member_suspect", json!({"member": &**member})),
        Event::MemberDown { member } => ("member_down", json!({"member": &**member})),
        Event::MemberLeft { member } => ("member_left", json!({"member": &**member})),
        Event::Coordinator { member } => ("coordinator", json!({"member": &**member})),
        _ => ("left", json!({})),
    }
}

fn of_overlay(event: &Event) -> (&'static str, Value) {
    match event {
        Event::NeighborUp { node } => ("neighbor_up", json!({"node": &**node})),
        Event::NeighborDown { node } => ("neighbor_down", json!({"node": &**node})),
        Event::Overlay { epoch, kind, step } => {
            let (step, why) = step_words(*step);
            let mut said = json!({"epoch": epoch, "overlay": kind.name(), "step": step});
            if let Some(why) = why {
                said["why"] = why.into();
            }
            ("overlay", said)
        }
        Event::OverlayTried { epoch, report } => (
            "overlay_tried",
            json!({
                "epoch": epoch,
                "adopted": report.adopted,
                "nodes": report.nodes,
                "reasons": report.reasons,
                "candidate": report.candidate,
                "present": report.present,
            }),
        ),
        Event::OtherOverlay { node, theirs, ours } => (
            "other_overlay",
            json!({"node": &**node, "theirs": theirs.name(), "ours": ours.name()}),
        ),
        Event::Partitioned { here, there } => (
            "partitioned",
            json!({"here": names(here), "there": names(there)}),
        ),
        Event::Healed { missing } => ("healed", json!({"missing": names(missing)})),
        _ => ("other", Value::Null),
    }
}

fn of_discovery(event: &Event) -> (&'static str, Value) {
    match event {
        Event::Discovered {
            discovery,
            fresh,
            gone,
        } => (
            "discovered",
            json!({"discovery": &**discovery, "fresh": &**fresh, "gone": &**gone}),
        ),
        Event::DiscoveryFailed {
            discovery,
            why,
            retry_in,
        } => (
            "discovery_failed",
            json!({
                "discovery": &**discovery,
                "why": why,
                "retry_in_ms": u64::try_from(retry_in.as_millis()).unwrap_or(u64::MAX),
            }),
        ),
        _ => ("other", Value::Null),
    }
}

/// A step of a switch, and why it was taken back if it was.
const fn step_words(step: OverlayStep) -> (&'static str, Option<&'static str>) {
    match step {
        OverlayStep::Announced => ("announced", None),
        OverlayStep::Prepared => ("prepared", None),
        OverlayStep::Trying => ("trying", None),
        OverlayStep::Adopted => ("adopted", None),
        OverlayStep::Verified => ("verified", None),
        OverlayStep::Committed => ("committed", None),
        OverlayStep::Retired => ("retired", None),
        OverlayStep::RolledBack(WhyBack::Deadline) => ("rolled_back", Some("deadline")),
        OverlayStep::RolledBack(WhyBack::Overtaken) => ("rolled_back", Some("overtaken")),
        OverlayStep::RolledBack(WhyBack::ProposerGone) => ("rolled_back", Some("proposer_gone")),
        OverlayStep::RolledBack(WhyBack::TrialFailed) => ("rolled_back", Some("trial_failed")),
        OverlayStep::RolledBack(WhyBack::TrialNodeGone) => ("rolled_back", Some("trial_node_gone")),
        OverlayStep::RolledBack(WhyBack::Parted) => ("rolled_back", Some("parted")),
    }
}
