//! Variables that Kubernetes sets for a Service named `overlane` or `overlane-...`.
//!
//! They have the prefix of the engine's variables and are none. Told by name and value together, so
//! that a mistyped variable of the engine is still found.

use std::net::IpAddr;

/// Whether it is such a variable; `stem` is its name without the prefix.
pub(super) fn is_service_link(stem: &str, value: &str) -> bool {
    let words: Vec<&str> = stem.split('_').collect();
    let is_address = value.parse::<IpAddr>().is_ok();
    let is_port = value.parse::<u16>().is_ok();
    let is_url = value
        .split_once("://")
        .is_some_and(|(protocol, _)| is_protocol(protocol));
    match words.as_slice() {
        [.., "SERVICE", "HOST"] => is_address,
        [.., "SERVICE", "PORT"] => is_port,
        [.., "PORT", number, protocol] if is_end(number, protocol) => is_url,
        [.., "PORT", number, protocol, "PROTO"] if is_end(number, protocol) => is_protocol(value),
        [.., "PORT", number, protocol, "PORT"] if is_end(number, protocol) => is_port,
        [.., "PORT", number, protocol, "ADDR"] if is_end(number, protocol) => is_address,
        [.., "PORT"] => is_url,
        // SERVICE_PORT_NAME, where the name of the port can have several words.
        words => {
            is_port
                && words
                    .windows(3)
                    .any(|three| three[..2] == ["SERVICE", "PORT"])
        }
    }
}

/// The middle of `PORT_7400_TCP_ADDR`.
fn is_end(number: &str, protocol: &str) -> bool {
    number.parse::<u16>().is_ok() && is_protocol(protocol)
}

fn is_protocol(word: &str) -> bool {
    ["tcp", "udp", "sctp"].contains(&&*word.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::is_service_link;

    #[test]
    fn all_that_kubernetes_sets_is_known_by_name_and_value() {
        for (stem, value) in [
            ("SERVICE_HOST", "10.96.0.7"),
            ("SERVICE_HOST", "fd00::7"),
            ("SERVICE_PORT", "7400"),
            ("SERVICE_PORT_LANES", "7400"),
            ("SERVICE_PORT_LANES_TLS", "7400"),
            ("PORT", "tcp://10.96.0.7:7400"),
            ("PORT_7400_TCP", "tcp://10.96.0.7:7400"),
            ("PORT_7400_TCP_PROTO", "tcp"),
            ("PORT_7400_TCP_PORT", "7400"),
            ("PORT_7400_TCP_ADDR", "10.96.0.7"),
            ("PORT_53_UDP", "udp://[fd00::7]:53"),
            ("ADMIN_SERVICE_HOST", "10.96.0.8"),
            ("ADMIN_UI_PORT_80_TCP_ADDR", "10.96.0.8"),
            ("ADMIN_SERVICE_PORT_HTTP", "80"),
        ] {
            assert!(is_service_link(stem, value), "{stem}={value}");
        }
    }

    #[test]
    fn a_name_or_a_value_alone_is_not_enough() {
        for (stem, value) in [
            ("PORT", "7400"),
            ("PORT", "ftp://10.96.0.7"),
            ("HOST", "10.96.0.7"),
            ("SERVICE_HOST", "overlane"),
            ("SERVICE_PORT", "70000"),
            ("SERVICE", "7400"),
            ("PORTS_7400_TCP", "tcp://10.96.0.7:7400"),
            ("PORT_X_TCP", "tcp://10.96.0.7:7400"),
            ("SPIN_US", "7400"),
            ("", ""),
        ] {
            assert!(!is_service_link(stem, value), "{stem}={value}");
        }
    }
}
