//! Presets: several parameters set at once, for nodes of one kind; what is given otherwise counts more.
//!
//! Called where a configuration is finished: by `layers`, which knows what was given where, and by the builder, for which what
//! is not at its default was given. Owns which values a preset has; nothing else knows a preset.

use super::channel::CHANNEL_PARAMETERS;
use super::choices::Preset;
use super::node::{Config, NODE_PARAMETERS};
use super::parameter::Parameter;

/// Of a small node: one thread for all, which looks for nothing, and the least of rings and buffers that carries messages
/// well below a hundred MB/s.
const SMALL: &[(&str, &str)] = &[
    ("shards", "1"),
    ("control", "shared"),
    ("spin_us", "0"),
    ("receive_buffer_bytes", "4KiB"),
    ("receive_quantum_bytes", "16KiB"),
    ("send_quantum_bytes", "16KiB"),
    ("turn_bytes_max", "64KiB"),
    ("data_ring_entries", "64"),
    ("inbox_bytes", "64KiB"),
    ("peers_max", "128"),
    ("connections_max", "1024"),
    ("pending_handshakes_max", "32"),
    ("stream_chunk_bytes", "32KiB"),
    ("stream_window_bytes", "128KiB"),
    ("streams_max", "16"),
    ("events_queue_max", "128"),
    ("plumtree_messages_max", "8192"),
    ("plumtree_payload_bytes_max", "2MiB"),
    ("plumtree_fresh_bytes_max", "8MiB"),
    ("recorder_entries", "256"),
];

/// Of each of its channels.
const SMALL_CHANNEL: &[(&str, &str)] = &[("ring_bytes", "64KiB")];

impl Preset {
    /// The parameters of a node that it sets, with their values.
    #[must_use]
    pub const fn values(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::None => &[],
            Self::Small => SMALL,
        }
    }

    /// Those of each channel.
    #[must_use]
    pub const fn channel_values(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::None => &[],
            Self::Small => SMALL_CHANNEL,
        }
    }
}

impl Config {
    /// Sets what the preset says and nobody else does: `is_given` is asked with the name of a parameter, or with
    /// `channel.NAME.` and that of a channel's. The parameters that were set.
    pub(super) fn fill_in(&mut self, is_given: impl Fn(&str) -> bool) -> Vec<String> {
        let preset = self.preset;
        let mut set = Vec::new();
        for (name, value) in preset.values() {
            if !is_given(name) && write(NODE_PARAMETERS, self, name, value) {
                set.push((*name).to_owned());
            }
        }
        for channel in &mut self.channels {
            for (name, value) in preset.channel_values() {
                let path = format!("channel.{}.{name}", channel.name);
                if !is_given(&path) && write(CHANNEL_PARAMETERS, channel, name, value) {
                    set.push(path);
                }
            }
        }
        set
    }

    /// The same for a configuration made in code, in which what is at its default is taken for not given.
    pub(super) fn fill_in_defaults(&mut self) {
        let given = self.clone();
        self.fill_in(|path| match path.strip_prefix("channel.") {
            None => is_changed(NODE_PARAMETERS, &given, path),
            Some(path) => path.rsplit_once('.').is_some_and(|(channel, name)| {
                let mut channels = given.channels.iter();
                let channel = channels.find(|known| known.name == channel);
                channel.is_some_and(|channel| is_changed(CHANNEL_PARAMETERS, channel, name))
            }),
        });
    }
}

fn find<S>(table: &'static [Parameter<S>], name: &str) -> Option<&'static Parameter<S>> {
    table.iter().find(|known| known.name == name)
}

fn write<S: Default>(
    table: &'static [Parameter<S>],
    settings: &mut S,
    name: &str,
    value: &str,
) -> bool {
    find(table, name).is_some_and(|parameter| parameter.set(settings, value).is_ok())
}

fn is_changed<S: Default>(table: &'static [Parameter<S>], settings: &S, name: &str) -> bool {
    find(table, name).is_some_and(|parameter| parameter.get(settings) != parameter.default_text())
}

#[cfg(test)]
mod tests {
    use super::super::channel::ChannelConfig;
    use super::*;

    #[test]
    fn each_value_of_a_preset_is_one_of_a_parameter_and_not_its_default() {
        for preset in Preset::ALL {
            for (name, value) in preset.values() {
                let mut config = Config::default();
                assert!(
                    write(NODE_PARAMETERS, &mut config, name, value),
                    "{name} = {value}"
                );
                assert!(
                    is_changed(NODE_PARAMETERS, &config, name),
                    "{name} = {value}"
                );
            }
            for (name, value) in preset.channel_values() {
                let mut channel = ChannelConfig::new("data");
                assert!(
                    write(CHANNEL_PARAMETERS, &mut channel, name, value),
                    "{name} = {value}"
                );
                assert!(
                    is_changed(CHANNEL_PARAMETERS, &channel, name),
                    "{name} = {value}"
                );
            }
        }
    }

    #[test]
    fn in_code_what_was_set_stays_in_whatever_order() {
        let channels = || {
            [
                ChannelConfig::new("data"),
                ChannelConfig::new("bulk").ring_bytes(1 << 21),
            ]
        };
        let [data, bulk] = channels();
        let first = Config::builder()
            .preset(Preset::Small)
            .spin_us(7)
            .channel(data)
            .channel(bulk);
        let [data, bulk] = channels();
        let last = Config::builder()
            .channel(data)
            .channel(bulk)
            .spin_us(7)
            .preset(Preset::Small);
        let config = first.build().expect("it is valid");
        assert_eq!(config, last.build().expect("it is valid"));
        assert_eq!((config.shards, config.spin_us), (1, 7));
        let rings: Vec<_> = config
            .channels
            .iter()
            .map(|known| known.ring_bytes)
            .collect();
        assert_eq!(rings, [64 << 10, 1 << 21]);
        let plain = Config::builder().build().expect("it is valid");
        assert_eq!(plain, Config::default());
    }
}
