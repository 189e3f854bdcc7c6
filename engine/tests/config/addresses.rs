//! Addresses that cannot be: refused in every source, with the reason and what would be right.

use overlane::config::Config;

use crate::support::{FileText, environment, error_of, flags, load, sources};

/// Addresses that are none of one host, with a word of the reason.
const OF_NO_HOST: [(&str, &str); 4] = [
    ("224.0.0.1:7400", "multicast"),
    ("[ff02::1]:7400", "multicast"),
    ("[::ffff:239.1.2.3]:7400", "multicast"),
    ("255.255.255.255:7400", "broadcast"),
];

fn assert_refused(error: &str, address: &str, reason: &str) {
    for part in [address, reason, "127.0.0.1:7400"] {
        assert!(error.contains(part), "{error:?} lacks {part:?}");
    }
}

#[test]
fn an_address_of_no_host_is_refused_for_listening() {
    let link_local = ("[fe80::1]:7400", "[fe80::1%2]:7400");
    for (address, reason) in OF_NO_HOST.into_iter().chain([link_local]) {
        let file = FileText::new(format!("listen = \"{address}\""));
        let variable = ("OVERLANE_LISTEN".to_string(), address.to_string());
        for error in [
            error_of(&sources(Some(&file), &[], &[])),
            error_of(&environment(&[variable])),
            error_of(&flags(&["--listen", address])),
        ] {
            assert_refused(&error, address, reason);
        }
        let listen = address.parse().expect("an address");
        let in_code = Config::builder().listen(listen).build();
        assert_refused(&in_code.expect_err(address).to_string(), "listen", reason);
    }
}

#[test]
fn an_address_that_no_peer_can_have_is_refused() {
    let others = [
        ("127.0.0.1:0", "port 0"),
        ("0.0.0.0:7400", "all addresses"),
        ("[::]:7400", "all addresses"),
        ("[::ffff:0.0.0.0]:7400", "all addresses"),
        ("[fe80::1]:7400", "[fe80::1%2]:7400"),
    ];
    for (address, reason) in OF_NO_HOST.into_iter().chain(others) {
        let entry = format!("b={address}");
        let file = FileText::new(format!("[peers]\nb = \"{address}\""));
        let variable = ("OVERLANE_PEERS".to_string(), entry.clone());
        for error in [
            error_of(&sources(Some(&file), &[], &[])),
            error_of(&environment(&[variable])),
            error_of(&flags(&["--peer", &entry])),
        ] {
            assert!(error.contains(&entry), "{error:?} lacks {entry:?}");
            assert!(error.contains(reason), "{error:?} lacks {reason:?}");
        }
        let in_code = Config::builder().peer("b", address.parse().expect("an address"));
        let error = in_code.build().expect_err(address).to_string();
        assert!(error.contains(reason), "{error:?} lacks {reason:?}");
    }
}

#[test]
fn addresses_of_hosts_are_accepted() {
    for address in [
        "0.0.0.0:7400",
        "[::]:0",
        "127.0.0.1:0",
        "192.0.2.1:65535",
        "[::1]:7400",
        "[fe80::1%2]:7400",
    ] {
        assert_eq!(
            load(&flags(&["--listen", address, "--insecure", "true"])).listen,
            address.parse().expect("an address")
        );
    }
    for address in ["127.0.0.1:1", "[::1]:7400", "[fe80::1%2]:7400"] {
        let config = load(&flags(&["--peer", &format!("b={address}")]));
        assert_eq!(config.peers["b"], address.parse().expect("an address"));
    }
}

/// Beyond loopback a node is protected, or somebody has asked for the contrary.
#[test]
fn beyond_loopback_nothing_is_plain_unless_asked_for() {
    for address in [
        "0.0.0.0:7400",
        "192.0.2.1:0",
        "[::]:0",
        "[::ffff:192.0.2.1]:1",
    ] {
        let error = error_of(&flags(&["--listen", address]));
        for part in [address, "security = plain", "psk", "insecure"] {
            assert!(error.contains(part), "{error:?} lacks {part:?}");
        }
        let secret = (
            "OVERLANE_PSK_SECRET".to_string(),
            "0123456789abcdef".to_string(),
        );
        let protected = ["--listen", address, "--security", "psk"];
        load(&sources(None, &[secret], &protected));
    }
    for address in [
        "127.0.0.1:0",
        "127.9.9.9:1",
        "[::1]:0",
        "[::ffff:127.0.0.1]:1",
    ] {
        load(&flags(&["--listen", address]));
    }
}
