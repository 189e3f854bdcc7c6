//! Sessions of `tls`.

use std::path::PathBuf;

use super::authority::{Authority, Certified, Folder, Valid};
use super::*;
use crate::config::{NamePatterns, TlsConfig};

/// A node of that name with that certificate.
pub(super) struct Node {
    pub(super) folder: Folder,
    pub(super) security: Arc<Security>,
}

pub(super) fn node(name: &str, certified: &Certified, trusts: &Authority) -> Node {
    node_with(name, certified, trusts, |_| {})
}

/// Certificate, key and authorities of a node of that name.
pub(super) fn with_files(name: &str, [certificate, key, authorities]: [PathBuf; 3]) -> Config {
    let mut config = config(name, SecurityMode::Tls);
    config.tls = TlsConfig {
        certificate,
        key,
        authorities,
        ..TlsConfig::default()
    };
    config
}

pub(super) fn node_with(
    name: &str,
    certified: &Certified,
    trusts: &Authority,
    change: impl FnOnce(&mut Config),
) -> Node {
    let folder = Folder::new();
    let mut config = with_files(name, folder.node("node", certified, trusts));
    change(&mut config);
    Node {
        security: security(config),
        folder,
    }
}

pub(super) fn found(a: &Node, b: &Node) -> Found {
    talk(
        &mut End::dial(&a.security, None),
        &mut End::accept(&b.security),
    )
}

#[test]
fn bytes_come_through_as_they_were_said() {
    let authority = Authority::new("ours");
    let (a, b) = (
        node("a", &authority.certify("a"), &authority),
        node("b", &authority.certify("b"), &authority),
    );
    carries(&a.security, &b.security);
    notices_what_was_altered(&a.security, &b.security);
}

#[test]
fn certificates_are_good_for_the_node_whose_name_they_have() {
    let authority = Authority::new("ours");
    let name = "app@10.0.0.1";
    let (a, b) = (
        node("a", &authority.certify("a"), &authority),
        node(name, &authority.certify(name), &authority),
    );
    let (dialer, acceptor) = established(&a.security, &b.security);
    let identity = |end: &End| end.session.identity().cloned().expect("it is established");
    assert_eq!(a.security.check(&identity(&dialer), name), Ok(()));
    assert_eq!(b.security.check(&identity(&acceptor), "a"), Ok(()));
    let error = b.security.check(&identity(&acceptor), "b").expect_err("b");
    assert_eq!(error.reason, CloseReason::NameNotProven);
    assert!(error.text.contains("its certificate is for a"), "{error}");
}

#[test]
fn a_pattern_makes_a_certificate_good_for_others() {
    let authority = Authority::new("ours");
    let patterns = |patterns: [&str; 1]| {
        let names = NamePatterns::from(patterns);
        node_with("b", &authority.certify("b"), &authority, |config| {
            config.tls.names = names;
        })
    };
    let a = node("a", &authority.certify("a.cluster"), &authority);
    for (pattern, name, is_good) in [
        ("{node}.cluster", "a", true),
        ("{node}.cluster", "c", false),
        ("*.cluster", "c", true),
        ("*.other", "a", false),
    ] {
        let b = patterns([pattern]);
        let (_, acceptor) = established(&a.security, &b.security);
        let identity = acceptor.session.identity().expect("it is established");
        let checked = b.security.check(identity, name);
        assert_eq!(checked.is_ok(), is_good, "{pattern} {name}");
    }
}

#[test]
fn each_wrong_certificate_has_its_own_reason_at_both_ends() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let good = node("good", &ours.certify("good"), &ours);
    use CloseReason as Reason;
    for (certified, found_by_us, told_as) in [
        (
            ours.sign("a", Valid::Past, 1),
            Reason::CertificateExpired,
            Reason::CertificateExpired,
        ),
        (
            // The alert of TLS is the same as for one that has expired.
            ours.sign("a", Valid::Future, 1),
            Reason::CertificateNotYetValid,
            Reason::CertificateExpired,
        ),
        (
            theirs.certify("a"),
            Reason::CertificateUntrusted,
            Reason::CertificateUntrusted,
        ),
    ] {
        let bad = node("a", &certified, &ours);
        let expected = Found::Acceptor(found_by_us, Some(told_as));
        assert_eq!(found(&bad, &good), expected, "as dialer");
        assert_eq!(
            found(&good, &bad),
            Found::Dialer(found_by_us),
            "as acceptor"
        );
    }
}

#[test]
fn nothing_is_kept_of_who_does_not_stop_talking() {
    let authority = Authority::new("ours");
    let b = node("b", &authority.certify("b"), &authority);
    let mut acceptor = End::accept(&b.security);
    // A handshake message of 60,000 bytes, in records.
    let mut said = vec![0x16, 3, 1, 0x40, 0, 1, 0, 0xea, 0x60];
    said.resize(5 + 0x4000, 0);
    let error = (0..10)
        .find_map(|_| acceptor.hear(&said).err())
        .expect("too much");
    assert!(acceptor.plain.is_empty(), "{error}");
}

#[test]
fn who_speaks_something_else_is_told_apart() {
    let authority = Authority::new("ours");
    let a = node("a", &authority.certify("a"), &authority);
    for (bytes, reason) in [
        (&b"GET / HTTP/1.1\r\n"[..], CloseReason::WrongMagic),
        (b"OVLN\x02\x00\x10\x00", CloseReason::SessionMismatch),
        (b"OVLP\x01", CloseReason::SessionMismatch),
    ] {
        let mut acceptor = End::accept(&a.security);
        let error = acceptor.hear(bytes).expect_err("it is no dialer");
        assert_eq!(error.reason, reason, "{error}");
        let mut dialer = End::dial(&a.security, None);
        dialer
            .hear(&acceptor.take_out())
            .expect_err("a refusal in clear");
    }
}

#[test]
fn nodes_of_different_security_tell_each_other() {
    let authority = Authority::new("ours");
    let tls = node("a", &authority.certify("a"), &authority);
    let secret = psk("b", &[SECRET]);
    let mismatch = || {
        let reason = CloseReason::SessionMismatch;
        Found::Acceptor(reason, Some(reason))
    };
    let talked = |a: &Security, b: &Security| talk(&mut End::dial(a, None), &mut End::accept(b));
    assert_eq!(talked(&tls.security, &secret), mismatch());
    assert_eq!(talked(&secret, &tls.security), mismatch());
}

#[test]
fn the_revoked_are_refused_by_name_and_by_serial() {
    let authority = Authority::new("ours");
    let a = node("a", &authority.sign("a", Valid::Now, 0xabc), &authority);
    let lists = Folder::new();
    let path = lists.write("revoked", "nobody");
    let b = node_with("b", &authority.certify("b"), &authority, |config| {
        config.revoked.clone_from(&path);
    });
    let (_, acceptor) = established(&a.security, &b.security);
    let identity = acceptor.session.identity().expect("it is established");
    assert_eq!(b.security.check(identity, "a"), Ok(()));
    for list in ["a", "serial:abc", "serial:0A:BC # lost"] {
        lists.write("revoked", list);
        assert_eq!(b.security.reload(), [super::super::Reload::Revoked]);
        let error = b.security.check(identity, "a").expect_err(list);
        assert_eq!(error.reason, CloseReason::Revoked);
    }
    lists.write("revoked", "serial:nonsense");
    let told = b.security.reload();
    assert!(
        matches!(told[..], [super::super::Reload::Failed(_)]),
        "{told:?}"
    );
    b.security
        .check(identity, "a")
        .expect_err("the last good list counts");
    assert!(b.security.reload().is_empty(), "it is not said again");
}

#[test]
fn new_sessions_go_by_new_files() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let folder = Folder::new();
    let [certificate, key, authorities] = folder.node("b", &old.certify("b"), &old);
    let mut config = config("b", SecurityMode::Tls);
    config.tls = TlsConfig {
        certificate,
        key,
        authorities,
        ..TlsConfig::default()
    };
    let b = Node {
        security: security(config),
        folder,
    };
    let newcomer = node("a", &new.certify("a"), &new);
    assert_ne!(found(&newcomer, &b), Found::Both);
    let folder = &b.folder;
    // Half of a change: the key is of another certificate.
    let certified = new.certify("b");
    folder.write("b.key", &certified.key);
    let told = b.security.reload();
    assert!(
        matches!(told[..], [super::super::Reload::Failed(_)]),
        "{told:?}"
    );
    folder.node("b", &certified, &new);
    assert_eq!(b.security.reload(), [super::super::Reload::Credentials]);
    assert_eq!(found(&newcomer, &b), Found::Both);
}
