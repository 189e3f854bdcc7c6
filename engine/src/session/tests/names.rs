//! Certificates of every shape that authorities hand out: which of them prove which node's name, which lead to an authority.

use rcgen::string::Ia5String;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, SanType};

use super::authority::{Authority, Certified, Valid};
use super::tls::{found, node};
use super::*;

fn dns(name: &str) -> SanType {
    SanType::DnsName(Ia5String::try_from(name).expect("plain text"))
}

fn uri(uri: &str) -> SanType {
    SanType::URI(Ia5String::try_from(uri).expect("plain text"))
}

/// Whether a node with such names in its certificate is taken for the node of that name; why not, if it is not.
fn taken_for(names: Vec<SanType>, node_name: &str) -> Result<(), String> {
    let authority = Authority::new("ours");
    let certified = authority.sign_as("a", |params| {
        params
            .distinguished_name
            .push(DnType::CommonName, node_name);
        params.subject_alt_names = names;
    });
    let (a, b) = (
        node("a", &certified, &authority),
        node("b", &authority.certify("b"), &authority),
    );
    let (_, acceptor) = established(&a.security, &b.security);
    let identity = acceptor.session.identity().expect("it is established");
    let checked = b.security.check(identity, node_name);
    checked.map_err(|error| {
        assert_eq!(error.reason, CloseReason::NameNotProven);
        error.text
    })
}

#[test]
fn a_name_is_proven_by_itself_alone() {
    for (names, node_name) in [
        (vec![dns("a.example")], "a.example"),
        (vec![uri("overlane:App@10.0.0.1")], "App@10.0.0.1"),
        (
            vec![dns("x.example"), uri("https://a"), uri("overlane:a")],
            "a",
        ),
    ] {
        taken_for(names, node_name).expect(node_name);
    }
    for (names, node_name) in [
        // The common name has been no name since RFC 6125.
        (vec![], "a"),
        (vec![dns("*.example")], "a.example"),
        (vec![dns("*.example")], "example"),
        (vec![dns("a.example")], "a"),
        (vec![dns("a.example")], "b.a.example"),
        (vec![dns("a.example")], "A.example"),
        (vec![uri("overlane:")], "a"),
        (vec![uri("OVERLANE:a")], "a"),
        (vec![uri("overlane://a")], "a"),
        (vec![uri("overlane:a/b")], "a"),
        (vec![uri("https:a")], "a"),
        (vec![uri("overlane:*")], "a"),
        (vec![uri("overlane:{node}")], "a"),
        (vec![SanType::IpAddress([10, 0, 0, 1].into())], "10.0.0.1"),
        (
            vec![SanType::Rfc822Name(
                Ia5String::try_from("app@10.0.0.1").expect("text"),
            )],
            "app@10.0.0.1",
        ),
    ] {
        let shown = format!("{names:?} for {node_name}");
        let is_nameless = names.is_empty();
        let said = taken_for(names, node_name).expect_err(&shown);
        assert!(
            !is_nameless || said.contains("its certificate has no name"),
            "{said}"
        );
    }
}

/// With that chain in its file, to a node that trusts the root alone.
fn found_with(chain: &[&str], certified: &Certified, root: &Authority) -> [Found; 2] {
    let chained = Certified {
        certificate: [&[certified.certificate.as_str()], chain].concat().concat(),
        key: certified.key.clone(),
    };
    let a = node("a", &chained, root);
    let b = node("b", &root.certify("b"), root);
    [found(&a, &b), found(&b, &a)]
}

#[test]
fn a_chain_leads_to_an_authority_over_those_below_it() {
    let root = Authority::new("root");
    let middle = root.below("middle", Valid::Now);
    let certified = middle.certify("a");
    assert_eq!(
        found_with(&[middle.pem()], &certified, &root),
        [Found::Both, Found::Both]
    );
    // More than is needed, and in any order.
    let other = Authority::new("other");
    let chain = [other.pem(), root.pem(), middle.pem()];
    assert_eq!(
        found_with(&chain, &certified, &root),
        [Found::Both, Found::Both]
    );
    let refused = |reason| [Found::Acceptor(reason, Some(reason)), Found::Dialer(reason)];
    let untrusted = refused(CloseReason::CertificateUntrusted);
    assert_eq!(
        found_with(&[], &certified, &root),
        untrusted,
        "nobody between"
    );
    assert_eq!(found_with(&[other.pem()], &certified, &root), untrusted);
    let past = root.below("middle", Valid::Past);
    let expired = refused(CloseReason::CertificateExpired);
    assert_eq!(
        found_with(&[past.pem()], &past.certify("a"), &root),
        expired
    );
    // A node signs nobody's certificate.
    let leaf = root.sign_as("a", |_| {});
    assert_eq!(
        found_with(&[leaf.certificate.as_str()], &middle.certify("a"), &root),
        untrusted
    );
}

#[test]
fn a_certificate_for_something_else_is_bad() {
    let authority = Authority::new("ours");
    let made = |change: &dyn Fn(&mut CertificateParams)| {
        let certified = authority.sign_as("a", change);
        found_with(&[], &certified, &authority)
    };
    let bad = CloseReason::CertificateBad;
    let (as_dialer, as_acceptor) = (Found::Acceptor(bad, Some(bad)), Found::Dialer(bad));
    let usage = |usage: Option<ExtendedKeyUsagePurpose>| {
        let usages: Vec<_> = usage.into_iter().collect();
        move |params: &mut CertificateParams| params.extended_key_usages.clone_from(&usages)
    };
    use ExtendedKeyUsagePurpose as For;
    assert_eq!(
        made(&usage(None)),
        [Found::Both, Found::Both],
        "for anything"
    );
    assert_eq!(made(&usage(Some(For::ServerAuth)))[0], as_dialer);
    assert_eq!(made(&usage(Some(For::ServerAuth)))[1], Found::Both);
    assert_eq!(made(&usage(Some(For::ClientAuth)))[0], Found::Both);
    assert_eq!(made(&usage(Some(For::ClientAuth)))[1], as_acceptor);
    assert_eq!(
        made(&usage(Some(For::CodeSigning))),
        [as_dialer, as_acceptor]
    );
    let authoritys_own = |params: &mut CertificateParams| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    };
    let (as_dialer, as_acceptor) = (Found::Acceptor(bad, Some(bad)), Found::Dialer(bad));
    assert_eq!(made(&authoritys_own), [as_dialer, as_acceptor]);
}
