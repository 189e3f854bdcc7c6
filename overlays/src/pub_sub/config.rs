//! Settings of publish-subscribe, with the origin of each default.

use std::time::Duration;

use crate::store::StoreConfig;
use crate::{hyparview, plumtree};

/// Settings of a [`super::PubSub`].
#[derive(Clone, Debug)]
pub struct Config {
    /// Of the overlay that all nodes are part of.
    pub base_overlay: hyparview::Config,
    /// Of the broadcast to all nodes.
    pub base_broadcast: plumtree::Config,
    /// Of the overlay among the subscribers of one topic.
    pub topic_overlay: hyparview::Config,
    /// Of the broadcast to the subscribers of one topic. Keeps less than the base, as there is one for
    /// each topic: 1 MiB of payloads, 4,096 messages, 256 senders; a guess.
    pub topic_broadcast: plumtree::Config,
    /// Most topics that a node subscribes to; more are refused. 64: a guess; with the broadcast's
    /// store that is about 100 MiB at worst, and 64 times the lanes of one overlay.
    pub topics_max: usize,
    /// Most topics of others that a node remembers contacts for; a random one goes when there is no
    /// room. 1,024: a guess, about 100 KiB.
    pub topics_known_max: usize,
    /// Least time between two announcements of one topic, by all its subscribers together. 60 s: a
    /// guess; each is one broadcast to all nodes.
    pub announce_every: Duration,
    /// How long a subscriber without neighbors in its topic waits before it announces itself again;
    /// doubled each time up to `announce_every`. 5 s: a guess.
    pub lonely_every: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            base_overlay: hyparview::Config::default(),
            base_broadcast: plumtree::Config::default(),
            topic_overlay: hyparview::Config::default(),
            topic_broadcast: plumtree::Config {
                store: StoreConfig {
                    messages_max: 1 << 12,
                    payload_bytes_max: 1 << 20,
                    fresh_bytes_max: 16 << 20,
                    senders_max: 256,
                    ..StoreConfig::default()
                },
                ..plumtree::Config::default()
            },
            topics_max: 64,
            topics_known_max: 1_024,
            announce_every: Duration::from_secs(60),
            lonely_every: Duration::from_secs(5),
        }
    }
}
