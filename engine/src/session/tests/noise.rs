//! Whatever comes, in whatever pieces, a session neither panics nor takes a stranger for somebody.

use proptest::prelude::*;

use super::authority::{Authority, Folder};
use super::*;
use crate::config::TlsConfig;

/// The beginnings that lead furthest.
fn beginning() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(Vec::new()),
        Just(b"OVLP\x01\x01".to_vec()),
        Just(b"OVLP\x01\x02".to_vec()),
        Just(b"OVLN\x02\x00".to_vec()),
        Just(vec![0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3]),
        Just(vec![0x15, 3, 3, 0, 2]),
    ]
}

/// Feeds it all; the pieces end where `cuts` say.
fn feed(mut end: End, bytes: &[u8], cuts: &[usize]) -> Result<(), TestCaseError> {
    let mut rest = bytes;
    for cut in cuts.iter().copied().chain([usize::MAX]) {
        let (piece, behind) = rest.split_at(cut.min(rest.len()));
        rest = behind;
        if end.hear(piece).is_err() {
            break;
        }
    }
    prop_assert!(!end.is_established() && end.plain.is_empty());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn strangers_come_to_nothing(
        beginning in beginning(),
        rest in prop::collection::vec(any::<u8>(), 0..1200),
        cuts in prop::collection::vec(0_usize..400, 0..6),
    ) {
        thread_local! {
            static NODES: (Arc<Security>, Arc<Security>, Folder) = {
                let (authority, folder) = (Authority::new("ours"), Folder::new());
                let [certificate, key, authorities] =
                    folder.node("a", &authority.certify("a"), &authority);
                let mut config = config("a", SecurityMode::Tls);
                config.tls = TlsConfig { certificate, key, authorities, ..TlsConfig::default() };
                (psk("a", &[SECRET]), security(config), folder)
            };
        }
        let bytes = [beginning, rest].concat();
        NODES.with(|(psk, tls, _)| {
            for security in [psk, tls] {
                feed(End::accept(security), &bytes, &cuts)?;
                feed(End::dial(security, None), &bytes, &cuts)?;
            }
            Ok::<_, TestCaseError>(())
        })?;
    }

    /// A good handshake, of which some bytes are others.
    #[test]
    fn an_altered_handshake_comes_to_nothing(
        place in 0_usize..822,
        change in 1_u8..,
        cuts in prop::collection::vec(0_usize..400, 0..6),
    ) {
        thread_local! {
            static NODES: (Arc<Security>, Arc<Security>) =
                (psk("a", &[SECRET]), psk("b", &[SECRET]));
        }
        NODES.with(|(a, b)| {
            let mut message = End::dial(a, Some("b")).take_out();
            message[place] ^= change;
            feed(End::accept(b), &message, &cuts)
        })?;
    }
}
