//! Sessions of `psk`.

use super::*;

fn found(a: &Security, b: &Security) -> Found {
    talk(&mut End::dial(a, None), &mut End::accept(b))
}

#[test]
fn bytes_come_through_as_they_were_said() {
    let (a, b) = (psk("a", &[SECRET]), psk("b", &[SECRET]));
    carries(&a, &b);
    notices_what_was_altered(&a, &b);
}

#[test]
fn each_end_learns_the_name_of_the_other() {
    let (a, b) = (psk("a", &[SECRET]), psk("app@10.0.0.1", &[SECRET]));
    let (dialer, acceptor) = established(&a, &b);
    let identity = |end: &End| end.session.identity().cloned().expect("it is established");
    assert_eq!(a.check(&identity(&dialer), "app@10.0.0.1"), Ok(()));
    assert_eq!(b.check(&identity(&acceptor), "a"), Ok(()));
    for other in ["b", "A", "a@", ""] {
        let error = b
            .check(&identity(&acceptor), other)
            .expect_err("another name");
        assert_eq!(error.reason, CloseReason::NameNotProven);
    }
}

#[test]
fn both_secrets_of_a_rotation_are_accepted_and_no_other() {
    let nodes = [
        &[SECRET][..],
        &[SECRET, OTHER_SECRET],
        &[OTHER_SECRET, SECRET],
        &[OTHER_SECRET],
    ];
    for (place, dialer) in nodes.iter().enumerate() {
        for (other, acceptor) in nodes.iter().enumerate() {
            let expected = if acceptor.contains(&dialer[0]) {
                Found::Both
            } else {
                Found::Acceptor(CloseReason::SecretWrong, Some(CloseReason::SecretWrong))
            };
            let found = found(&psk("a", dialer), &psk("b", acceptor));
            assert_eq!(found, expected, "step {place} dials step {other}");
            // Whoever goes through the steps one by one always gets through to the next.
            assert!(place.abs_diff(other) > 1 || found == Found::Both);
        }
    }
}

#[test]
fn another_cluster_is_refused() {
    let mut other = config("b", SecurityMode::Psk);
    other.cluster = "elsewhere".to_owned();
    other.secrets = Secrets::read(SECRET).expect("a secret");
    let expected = Found::Acceptor(CloseReason::WrongCluster, Some(CloseReason::WrongCluster));
    assert_eq!(found(&psk("a", &[SECRET]), &security(other)), expected);
}

#[test]
fn a_message_that_is_sent_back_to_its_sender_is_refused() {
    let a = psk("a", &[SECRET]);
    let expected = Found::Acceptor(CloseReason::SelfDial, Some(CloseReason::SelfDial));
    assert_eq!(found(&a, &a), expected, "the dialer's");
    let mut dialer = End::dial(&a, Some("b"));
    let own = dialer.take_out();
    dialer.hear(&own).expect_err("it is not an answer");
    let (mut dialer, mut acceptor) = (End::dial(&a, None), End::accept(&psk("b", &[SECRET])));
    acceptor.hear(&dialer.take_out()).expect("a good message");
    let own = acceptor.take_out();
    acceptor.hear(&own).expect_err("it is no record");
}

#[test]
fn a_message_that_is_repeated_opens_nothing() {
    let (a, b) = (psk("a", &[SECRET]), psk("b", &[SECRET]));
    let (mut dialer, mut acceptor) = (End::dial(&a, None), End::accept(&b));
    let first = dialer.take_out();
    acceptor.hear(&first).expect("a good message");
    let answer = acceptor.take_out();
    dialer.hear(&answer).expect("a good answer");
    dialer.say(&[b"Hello"]);
    let said = dialer.take_out();
    // All of it once more, by somebody who has seen it.
    let mut again = End::accept(&b);
    again
        .hear(&first)
        .expect("it cannot be told from a new one");
    let error = again.hear(&said).expect_err("its keys are others");
    assert_eq!(error.reason, CloseReason::SessionBroken);
    assert!(again.plain.is_empty());
    let mut another = End::dial(&a, None);
    another.hear(&answer).expect_err("it is for another dial");
}

#[test]
fn every_bit_of_a_handshake_counts() {
    let (a, b) = (psk("a", &[SECRET]), psk("b", &[SECRET]));
    let mut dialer = End::dial(&a, Some("b"));
    let first = dialer.take_out();
    let mut acceptor = End::accept(&b);
    acceptor.hear(&first).expect("a good message");
    let answer = acceptor.take_out();
    let flipped = |message: &[u8], bit: usize| {
        let mut message = message.to_vec();
        message[bit / 8] ^= 1 << (bit % 8);
        message
    };
    for bit in 0..first.len() * 8 {
        let mut acceptor = End::accept(&b);
        let error = acceptor
            .hear(&flipped(&first, bit))
            .expect_err("it was altered");
        let is_told = !acceptor.take_out().is_empty();
        assert!(!acceptor.is_established() && is_told, "bit {bit}: {error}");
    }
    // An answer that is refused ends its dial, so each bit needs a dial of its own: the same, as often as is needed.
    for bit in 0..answer.len() * 8 {
        let mut dialer = End::dial(&a, Some("b"));
        let mut acceptor = End::accept(&b);
        acceptor.hear(&dialer.take_out()).expect("a good message");
        let answer = acceptor.take_out();
        let error = dialer
            .hear(&flipped(&answer, bit))
            .expect_err("it was altered");
        assert!(!dialer.is_established(), "bit {bit}: {error}");
    }
}

#[test]
fn nothing_is_kept_of_who_does_not_stop_talking() {
    let b = psk("b", &[SECRET]);
    let mut acceptor = End::accept(&b);
    acceptor
        .hear(b"OVLP\x01\x01")
        .expect("so far it may be right");
    let error = acceptor.hear(&vec![7; 1 << 20]).expect_err("too much");
    assert_eq!(error.reason, CloseReason::HandshakeTooLarge);
}

#[test]
fn who_speaks_something_else_is_told_apart() {
    let a = psk("a", &[SECRET]);
    for (bytes, reason) in [
        (&b"GET / HTTP/1.1\r\n"[..], CloseReason::WrongMagic),
        (b"OVLM", CloseReason::WrongMagic),
        (b"OVLN\x02\x00\x10\x00", CloseReason::SessionMismatch),
        (&[0x16, 3, 1, 2, 0, 1], CloseReason::SessionMismatch),
        (b"OVLP\x02", CloseReason::SessionBroken),
    ] {
        let mut acceptor = End::accept(&a);
        let error = acceptor.hear(bytes).expect_err("it is no dialer");
        assert_eq!(error.reason, reason, "{error}");
    }
    // Byte by byte, it is the same.
    let mut acceptor = End::accept(&a);
    for byte in b"OVL" {
        acceptor.hear(&[*byte]).expect("it is not clear yet");
    }
    let error = acceptor.hear(b"N").expect_err("it is plain");
    assert_eq!(error.reason, CloseReason::SessionMismatch);
}

#[test]
fn keys_change_after_a_while_at_both_ends_alike() {
    let (a, b) = (psk("a", &[SECRET]), psk("b", &[SECRET]));
    let (mut dialer, mut acceptor) = established(&a, &b);
    for _ in 0..2 * (1 << 16) / 512 + 1 {
        for _ in 0..512 {
            dialer.say(&[b"x"]);
        }
        let out = dialer.take_out();
        acceptor
            .hear(&out)
            .unwrap_or_else(|error| panic!("{error}"));
        acceptor.plain.clear();
    }
}

#[test]
fn no_text_form_shows_a_secret() {
    let a = psk("a", &[SECRET, OTHER_SECRET]);
    let dialer = End::dial(&a, None);
    let shown = format!("{a:?} {:?}", dialer.session);
    assert!(
        !shown.contains("secret of") && !shown.contains("another"),
        "{shown}"
    );
}
