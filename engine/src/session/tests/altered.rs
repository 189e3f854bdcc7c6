//! Every bit of a handshake of `tls`, flipped on its way: nobody is let in who did not say what was heard.
//!
//! A handshake of TLS costs signatures, so as a rule one bit of seven is flipped, another one each time; all of them with
//! `OVERLANE_EVERY_BIT=1`.

use std::collections::BTreeMap;

use super::authority::Authority;
use super::tls::node;
use super::*;

/// What came of a handshake of which a bit was flipped.
enum Outcome {
    /// One of the two found it, for that reason.
    Refused(CloseReason),
    /// One of the two waits for more.
    Waits,
    /// Both are established.
    LetIn,
}

/// An honest handshake, of which one bit of a flight is another: the dialer's first, the acceptor's, the dialer's second. `None`
/// behind the end of it. Also whether the bit is of those that TLS leaves open: type and version of a record.
fn altered(a: &Security, b: &Security, flight: usize, bit: usize) -> Option<(Outcome, bool)> {
    let mut ends = [End::dial(a, Some("b")), End::accept(b)];
    let mut is_open = false;
    for number in 0..=2 {
        let mut said = ends[number % 2].take_out();
        if number == flight {
            let honest = said.clone();
            *said.get_mut(bit / 8)? ^= 1 << (bit % 8);
            is_open = super::super::fuzz::heads_alone(&honest, &said);
        }
        if let Err(error) = ends[(number + 1) % 2].hear(&said) {
            return Some((Outcome::Refused(error.reason), is_open));
        }
    }
    let outcome = match ends.iter().all(End::is_established) {
        true => Outcome::LetIn,
        false => Outcome::Waits,
    };
    Some((outcome, is_open))
}

#[test]
fn every_bit_of_a_handshake_counts() {
    let authority = Authority::new("ours");
    let [a, b] = ["a", "b"].map(|name| node(name, &authority.certify(name), &authority));
    let step = match std::env::var_os("OVERLANE_EVERY_BIT") {
        Some(_) => 1,
        None => 7,
    };
    for flight in 0..=2 {
        let first = fastrand::usize(..step);
        let mut outcomes = BTreeMap::new();
        for bit in (first..).step_by(step) {
            let Some((outcome, is_open)) = altered(&a.security, &b.security, flight, bit) else {
                break;
            };
            let outcome = match outcome {
                Outcome::Refused(reason) => reason.to_string(),
                Outcome::Waits => "waits for more".to_owned(),
                Outcome::LetIn if is_open => "let in: TLS leaves it open".to_owned(),
                Outcome::LetIn => panic!("flight {flight}: bit {bit} does not count"),
            };
            *outcomes.entry(outcome).or_insert(0) += 1;
        }
        println!("flight {flight}, each {step}. bit from {first}: {outcomes:?}");
        let flipped: u32 = outcomes.values().sum();
        assert!(flipped > 100, "{outcomes:?}");
    }
}
