//! Files of certificates, keys and secrets as people have them: good ones in every form, and what is none, at the start
//! and while a node runs.

use std::path::{Path, PathBuf};

use super::authority::{Authority, Folder};
use super::tls::{found, node, with_files};
use super::*;
use crate::config::PskConfig;
use crate::error::SecurityError;
use crate::session::Reload;

#[test]
fn files_may_have_other_ends_of_lines_and_text_around_what_counts() {
    let authority = Authority::new("ours");
    let good = node("b", &authority.certify("b"), &authority);
    let certified = authority.certify("a");
    let forms: [&dyn Fn(&str) -> String; 4] = [
        &|pem| pem.replace("\r\n", "\n").replace('\n', "\r\n"),
        &|pem| format!("Certificate:\n    Data:\n        Version: 3\n{pem}"),
        &|pem| format!("{pem}\n\n# the end\n\u{0}\u{1} garbage"),
        &|pem| pem.trim_end().to_owned(),
    ];
    for (place, form) in forms.iter().enumerate() {
        let folder = Folder::new();
        let files = [
            folder.write("crt", &form(&certified.certificate)),
            folder.write("key", &form(&certified.key)),
            folder.write("authorities", &form(authority.pem())),
        ];
        let a = security(with_files("a", files));
        let outcome = talk(&mut End::dial(&a, None), &mut End::accept(&good.security));
        assert_eq!(outcome, Found::Both, "form {place}");
    }
}

/// What a text in the place of one of the three files is refused with.
fn refused(which: usize, text: Option<&str>) -> SecurityError {
    let authority = Authority::new("ours");
    let folder = Folder::new();
    let mut files = folder.node("a", &authority.certify("a"), &authority);
    files[which] = match text {
        Some(text) => folder.write("wrong", text),
        // Unreadable even for root.
        None => folder.path().to_owned(),
    };
    let named = files[which].display().to_string();
    let error = Security::load(&with_files("a", files)).expect_err("it cannot be used");
    assert!(error.what.contains(&named), "{error}");
    assert!(!error.remedy.is_empty());
    error
}

#[test]
fn what_is_no_certificate_or_key_is_named_with_what_would_be_right() {
    let (authority, other) = (Authority::new("ours"), Authority::new("other"));
    let certified = authority.certify("a");
    let body = |label: &str| format!("-----BEGIN {label}-----\nMIIBvTBX\n-----END {label}-----\n");
    let old_encrypted = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nMIIBvTBX\n\
                         -----END RSA PRIVATE KEY-----\n";
    let cut = &certified.certificate[..certified.certificate.len() / 2];
    for (which, text, said) in [
        (0, Some(""), "has not a certificate in PEM"),
        (0, Some("no certificate"), "has not a certificate in PEM"),
        (
            0,
            Some(certified.key.as_str()),
            "has not a certificate in PEM",
        ),
        (0, Some(cut), "cannot be read as certificates"),
        (0, Some(body("CERTIFICATE").as_str()), "cannot be used"),
        (0, None, "cannot be read"),
        (1, Some(""), "has not a private key in PEM"),
        (
            1,
            Some(certified.certificate.as_str()),
            "has not a private key in PEM",
        ),
        (
            1,
            Some(body("ENCRYPTED PRIVATE KEY").as_str()),
            "is encrypted",
        ),
        (1, Some(old_encrypted), "is encrypted"),
        (1, Some(body("PRIVATE KEY").as_str()), "cannot be used"),
        // Good, and of another certificate.
        (1, Some(other.certify("a").key.as_str()), "cannot be used"),
        (1, None, "cannot be read"),
        (2, Some("\n"), "has not a certificate in PEM"),
        (
            2,
            Some(body("CERTIFICATE").as_str()),
            "that is no authority",
        ),
        (2, None, "cannot be read"),
    ] {
        let error = refused(which, text);
        assert!(error.what.contains(said), "file {which}, {text:?}: {error}");
        let is_shown = error.to_string().contains("MIIBvTBX");
        assert!(!is_shown, "nothing of a key is told: {error}");
    }
}

/// Replaces the file by each of these in turn; what counted before goes on, and the next good file counts.
fn survives(path: &Path, wrong: &[Option<&str>], good: &str, b: &Security, goes_on: &dyn Fn()) {
    let write = |text: &str| {
        let draft = path.with_extension("draft");
        std::fs::write(&draft, text).expect("the folder can be written");
        std::fs::rename(draft, path).expect("the folder can be written");
    };
    for text in wrong {
        match text {
            Some(text) => write(text),
            None => std::fs::remove_file(path).expect("it is there"),
        }
        let epoch = b.epoch();
        let told = b.reload();
        let [Reload::Failed(error)] = &told[..] else {
            panic!("{text:?}: {told:?}");
        };
        assert!(error.what.contains(&path.display().to_string()), "{error}");
        assert_eq!(b.epoch(), epoch, "nothing has changed");
        assert!(b.reload().is_empty(), "it is said once");
        goes_on();
    }
    write(good);
    assert_eq!(b.reload(), [Reload::Credentials]);
    goes_on();
}

#[test]
fn files_that_go_bad_while_a_node_runs_change_nothing() {
    let authority = Authority::new("ours");
    let a = node("a", &authority.certify("a"), &authority);
    let certified = authority.certify("b");
    let b = node("b", &certified, &authority);
    let goes_on = || assert_eq!(found(&a, &b), Found::Both);
    let file = |name: &str| b.folder.path().join(name);
    let other = Authority::new("other").certify("b");
    let wrong = [None, Some(""), Some("garbage"), Some(other.key.as_str())];
    survives(
        &file("node.key"),
        &wrong,
        &certified.key,
        &b.security,
        &goes_on,
    );
    let wrong = [None, Some("garbage"), Some(other.certificate.as_str())];
    survives(
        &file("node.crt"),
        &wrong,
        &certified.certificate,
        &b.security,
        &goes_on,
    );
    let wrong = [None, Some(""), Some(certified.key.as_str())];
    survives(
        &file("node.authorities"),
        &wrong,
        authority.pem(),
        &b.security,
        &goes_on,
    );
}

fn with_secret_file(name: &str, secret_file: PathBuf) -> Arc<Security> {
    security(Config {
        psk: PskConfig { secret_file },
        ..config(name, SecurityMode::Psk)
    })
}

#[test]
fn a_file_of_secrets_that_goes_bad_while_a_node_runs_changes_nothing() {
    let folder = Folder::new();
    let path = folder.write("secret", &format!("{SECRET}\n"));
    let (a, b) = (psk("a", &[SECRET]), with_secret_file("b", path.clone()));
    let goes_on = || {
        let outcome = talk(&mut End::dial(&a, None), &mut End::accept(&b));
        assert_eq!(outcome, Found::Both);
    };
    goes_on();
    let equal = format!("{SECRET}\n{SECRET}\n");
    let three = format!("{SECRET}\n{OTHER_SECRET}\nand a third one, as long\n");
    let wrong = [
        None,
        Some(""),
        Some("\n\n"),
        Some("too short"),
        Some(equal.as_str()),
        Some(three.as_str()),
    ];
    survives(
        &path,
        &wrong,
        &format!("\n  {SECRET} \r\n\r\n"),
        &b,
        &goes_on,
    );
    std::fs::write(&path, b"\xff\xfe not UTF-8, and long enough").expect("a file");
    let told = b.reload();
    assert!(
        matches!(&told[..], [Reload::Failed(error)] if error.what.contains("UTF-8")),
        "{told:?}"
    );
    goes_on();
}

/// A connection goes by what was good when it came, and is told from those that came later.
#[test]
fn a_secret_that_is_replaced_while_a_handshake_is_under_way() {
    let folder = Folder::new();
    let path = folder.write("secret", SECRET);
    let (a, b) = (psk("a", &[SECRET]), with_secret_file("b", path));
    let mut under_way = End::accept(&b);
    let mut dialer = End::dial(&a, None);
    let first = dialer.take_out();
    under_way
        .hear(&first[..100])
        .expect("so far it may be right");
    folder.write("secret", OTHER_SECRET);
    assert_eq!(b.reload(), [Reload::Credentials]);
    under_way.hear(&first[100..]).expect("it came before");
    dialer.hear(&under_way.take_out()).expect("an answer");
    assert!(under_way.is_established() && dialer.is_established());
    // So it is one of those that are made anew.
    assert!(under_way.session.epoch() < b.epoch());
    let secret_wrong = Some(CloseReason::SecretWrong);
    let found = talk(&mut End::dial(&a, None), &mut End::accept(&b));
    assert_eq!(
        found,
        Found::Acceptor(CloseReason::SecretWrong, secret_wrong)
    );
}
