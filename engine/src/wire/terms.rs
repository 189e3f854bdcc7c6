//! The parameters of a channel that both ends of a lane must share.
//!
//! Each node sends its own in the Hello; the acceptor compares and refuses the lane with the first
//! difference, so that both sides log which parameter to change. Values with names travel as their
//! names: a node that meets one it has never heard of can still print it.
use serde::{Deserialize, Serialize};

use super::name::Name;

/// What two nodes have to agree on before they share a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelTerms {
    /// 0 to 7; 0 is served first.
    pub priority: u8,
    /// `best_effort`, `reliable`, `at_least_once` or `guaranteed`.
    pub reliability: Name,
    /// `fifo`, `monotonic`, `causal` or `unordered`.
    pub ordering: Name,
    /// Lanes of this channel to each peer.
    pub parallelism: u16,
    /// The largest payload, in bytes.
    pub body_bytes_max: u32,
    /// `none`, `lz4` or `zstd`.
    pub compression: Name,
}

impl ChannelTerms {
    /// The first parameter that differs, with both values; `None` if the nodes agree.
    ///
    /// `self` is the acceptor's, `dialer` what came in the Hello: the text says so, and therefore
    /// reads the same in the logs of both.
    #[must_use]
    pub fn mismatch(&self, dialer: &Self) -> Option<String> {
        fn differ(
            parameter: &str,
            acceptor: &dyn ToString,
            dialer: &dyn ToString,
        ) -> Option<String> {
            let (acceptor, dialer) = (acceptor.to_string(), dialer.to_string());
            (acceptor != dialer).then(|| {
                format!("{parameter} is {acceptor} at the acceptor, {dialer} at the dialer")
            })
        }
        differ("priority", &self.priority, &dialer.priority)
            .or_else(|| differ("reliability", &self.reliability, &dialer.reliability))
            .or_else(|| differ("ordering", &self.ordering, &dialer.ordering))
            .or_else(|| differ("parallelism", &self.parallelism, &dialer.parallelism))
            .or_else(|| {
                differ(
                    "body_bytes_max",
                    &self.body_bytes_max,
                    &dialer.body_bytes_max,
                )
            })
            .or_else(|| differ("compression", &self.compression, &dialer.compression))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).expect("a good name")
    }

    fn terms() -> ChannelTerms {
        ChannelTerms {
            priority: 4,
            reliability: name("reliable"),
            ordering: name("fifo"),
            parallelism: 2,
            body_bytes_max: 1 << 20,
            compression: name("none"),
        }
    }

    #[test]
    fn equal_terms_agree() {
        assert_eq!(terms().mismatch(&terms()), None);
    }

    #[test]
    fn each_parameter_is_compared_and_named_with_both_values() {
        let differing = [
            (
                ChannelTerms {
                    priority: 1,
                    ..terms()
                },
                "priority is 4 at the acceptor, 1 at",
            ),
            (
                ChannelTerms {
                    reliability: name("guaranteed"),
                    ..terms()
                },
                "reliability is reliable at the acceptor, guaranteed at",
            ),
            (
                ChannelTerms {
                    ordering: name("causal"),
                    ..terms()
                },
                "ordering is fifo at the acceptor, causal at",
            ),
            (
                ChannelTerms {
                    parallelism: 3,
                    ..terms()
                },
                "parallelism is 2 at the acceptor, 3 at",
            ),
            (
                ChannelTerms {
                    body_bytes_max: 9,
                    ..terms()
                },
                "body_bytes_max is 1048576 at the acceptor, 9 at",
            ),
            (
                ChannelTerms {
                    compression: name("lz4"),
                    ..terms()
                },
                "compression is none at the acceptor, lz4 at",
            ),
        ];
        for (dialer, expected) in differing {
            let text = terms().mismatch(&dialer).expect("they differ");
            assert!(text.starts_with(expected), "{text}");
        }
    }
}
