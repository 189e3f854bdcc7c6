//! One result as one JSON object on one line.
//!
//! The keys are a promise to scripts: they are written down in docs/benchmarks.md and pinned by a test
//! here. A key that does not apply to a test is left out; figures are rounded to what they can mean.

use serde::Serialize;

use crate::accounts::{Account, Flow};
use crate::flags::{Consumer, LoopKind, Producer};
use crate::sample::CpuShare;

/// A result. Every key but `test` is left out where it does not apply.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Record {
    pub(crate) test: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) producer: Option<Producer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) consumer: Option<Consumer>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "loop")]
    pub(crate) loop_kind: Option<LoopKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) payload_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "whole")]
    pub(crate) messages_per_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "fine")]
    pub(crate) mib_per_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "fine")]
    pub(crate) p50_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "fine")]
    pub(crate) p99_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "fine")]
    pub(crate) p999_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "whole")]
    pub(crate) raw_messages_per_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "fine")]
    pub(crate) raw_p50_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "fine")]
    pub(crate) ratio_to_raw: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) accepted: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) acknowledged: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) delivered: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reported: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dropped: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "fine")]
    pub(crate) cpu_ns_per_message: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "fine")]
    pub(crate) near_user_percent: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "fine")]
    pub(crate) near_system_percent: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "fine")]
    pub(crate) far_user_percent: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "fine")]
    pub(crate) far_system_percent: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "exact")]
    pub(crate) syscalls_per_message: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "exact")]
    pub(crate) allocations_per_message: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "fine")]
    pub(crate) idle_p50_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "fine")]
    pub(crate) idle_p99_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "fine")]
    pub(crate) loaded_p50_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "fine")]
    pub(crate) loaded_p99_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "fine")]
    pub(crate) loaded_p999_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "fine")]
    pub(crate) loaded_from_due_p99_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "fine")]
    pub(crate) shared_lane_p99_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "fine")]
    pub(crate) bulk_mib_per_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "fine")]
    pub(crate) bulk_alone_mib_per_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "fine")]
    pub(crate) raw_loaded_p50_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "fine")]
    pub(crate) raw_loaded_p99_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "fine")]
    pub(crate) raw_loaded_p999_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "fine")]
    pub(crate) raw_bulk_mib_per_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "fine")]
    pub(crate) raw_bulk_alone_mib_per_s: Option<f64>,
}

impl Record {
    /// With the counters of the direction that was measured.
    pub(crate) fn with_account(mut self, flow: &Flow) -> Self {
        let Account {
            accepted,
            acknowledged,
            reported,
            dropped,
            reliable,
            ..
        } = flow.account;
        self.accepted = Some(accepted);
        self.acknowledged = reliable.then_some(acknowledged);
        self.reported = reliable.then_some(reported);
        self.dropped = Some(dropped);
        self.delivered = Some(flow.delivered);
        self
    }

    /// With what the near and the far process used of a core.
    pub(crate) fn with_cpu(mut self, [near, far]: [CpuShare; 2]) -> Self {
        self.near_user_percent = Some(near.user_percent);
        self.near_system_percent = Some(near.system_percent);
        self.far_user_percent = Some(far.user_percent);
        self.far_system_percent = Some(far.system_percent);
        self
    }

    /// The object, without a line break.
    pub(crate) fn json_line(&self) -> String {
        serde_json::to_string(self).expect("a record holds numbers and one string")
    }
}

fn rounded<S: serde::Serializer>(value: f64, scale: f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((value * scale).round() / scale)
}

fn whole<S: serde::Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    rounded(value.unwrap_or_default(), 1.0, serializer)
}

fn fine<S: serde::Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    rounded(value.unwrap_or_default(), 1e3, serializer)
}

fn exact<S: serde::Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    rounded(value.unwrap_or_default(), 1e6, serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Record {
        let (some, figure) = (Some(1_u64), Some(1.0));
        Record {
            test: "throughput".into(),
            producer: Some(Producer::App),
            consumer: Some(Consumer::Inbox),
            loop_kind: Some(LoopKind::Open),
            payload_bytes: some,
            messages_per_s: figure,
            mib_per_s: figure,
            p50_us: figure,
            p99_us: figure,
            p999_us: figure,
            raw_messages_per_s: figure,
            raw_p50_us: figure,
            ratio_to_raw: figure,
            accepted: some,
            acknowledged: some,
            delivered: some,
            reported: some,
            dropped: some,
            cpu_ns_per_message: figure,
            near_user_percent: figure,
            near_system_percent: figure,
            far_user_percent: figure,
            far_system_percent: figure,
            syscalls_per_message: figure,
            allocations_per_message: figure,
            idle_p50_us: figure,
            idle_p99_us: figure,
            loaded_p50_us: figure,
            loaded_p99_us: figure,
            loaded_p999_us: figure,
            loaded_from_due_p99_us: figure,
            shared_lane_p99_us: figure,
            bulk_mib_per_s: figure,
            bulk_alone_mib_per_s: figure,
            raw_loaded_p50_us: figure,
            raw_loaded_p99_us: figure,
            raw_loaded_p999_us: figure,
            raw_bulk_mib_per_s: figure,
            raw_bulk_alone_mib_per_s: figure,
        }
    }

    #[test]
    fn the_keys_are_the_promised_ones() {
        let value: serde_json::Value = serde_json::from_str(&full().json_line()).unwrap();
        let mut keys: Vec<&str> = value
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        keys.sort_unstable();
        let mut promised = vec![
            "test",
            "producer",
            "consumer",
            "loop",
            "payload_bytes",
            "messages_per_s",
            "mib_per_s",
            "p50_us",
            "p99_us",
            "p999_us",
            "raw_messages_per_s",
            "raw_p50_us",
            "ratio_to_raw",
            "accepted",
            "acknowledged",
            "delivered",
            "reported",
            "dropped",
            "cpu_ns_per_message",
            "near_user_percent",
            "near_system_percent",
            "far_user_percent",
            "far_system_percent",
            "syscalls_per_message",
            "allocations_per_message",
            "idle_p50_us",
            "idle_p99_us",
            "loaded_p50_us",
            "loaded_p99_us",
            "loaded_p999_us",
            "loaded_from_due_p99_us",
            "shared_lane_p99_us",
            "bulk_mib_per_s",
            "bulk_alone_mib_per_s",
            "raw_loaded_p50_us",
            "raw_loaded_p99_us",
            "raw_loaded_p999_us",
            "raw_bulk_mib_per_s",
            "raw_bulk_alone_mib_per_s",
        ];
        promised.sort_unstable();
        assert_eq!(keys, promised);
    }

    #[test]
    fn keys_that_do_not_apply_are_left_out() {
        let record = Record {
            test: "raw".into(),
            p50_us: Some(6.70049),
            ..Record::default()
        };
        assert_eq!(record.json_line(), r#"{"test":"raw","p50_us":6.7}"#);
    }
}
