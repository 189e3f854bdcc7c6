//! Sessions of `tls`: TLS 1.3, in which both sides show a certificate.
//!
//! The chain of either certificate has to lead to one of this node's authorities; for which names it is good is asked by
//! whoever knows the name (`Identity`). No session is resumed, so that each connection is checked by what counts
//! now. Owned by `Session`; `rustls` has the protocol and `ring` the cryptography.

use std::fmt;
use std::io::{IoSlice, Read, Write};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, Connection,
    DigitallySignedStruct, Error as TlsError, PeerIncompatible, RootCertStore, ServerConfig,
    ServerConnection, SignatureScheme,
};

use super::error::SessionError;
use super::identity::Identity;
use super::opening::Opening;
use crate::config::SecurityMode;
use crate::wire::CloseReason;

/// What both sides say that they speak within TLS: another protocol under the same authority is none of ours.
const PROTOCOL: &[u8] = b"overlane";

/// What TLS is asked to dial; it is neither sent nor compared: node names are compared, by `Identity`.
const NO_NAME: &str = "overlane.invalid";

/// What new connections go by: certificate, key and authorities of this node.
#[derive(Clone)]
pub(crate) struct TlsSettings {
    accepting: Arc<ServerConfig>,
    dialing: Arc<ClientConfig>,
    chains: Arc<ChainVerifier>,
}

impl fmt::Debug for TlsSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TlsSettings")
            .finish_non_exhaustive()
    }
}

impl TlsSettings {
    /// Settings of these; key and certificate have to belong together.
    ///
    /// # Errors
    /// What does not fit, as a sentence.
    pub(super) fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        authorities: RootCertStore,
    ) -> Result<Self, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = &[&rustls::version::TLS13];
        let authorities = Arc::new(authorities);
        let dialers = WebPkiClientVerifier::builder_with_provider(
            Arc::clone(&authorities),
            Arc::clone(&provider),
        );
        let mut accepting = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(|error| error.to_string())?
            .with_client_cert_verifier(dialers.build().map_err(|error| error.to_string())?)
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(|error| error.to_string())?;
        accepting.send_tls13_tickets = 0;
        accepting.alpn_protocols = vec![PROTOCOL.to_vec()];
        let chains = Arc::new(ChainVerifier {
            authorities,
            provider: Arc::clone(&provider),
        });
        let mut dialing = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::<ChainVerifier>::clone(&chains))
            .with_client_auth_cert(chain, key)
            .map_err(|error| error.to_string())?;
        dialing.resumption = Resumption::disabled();
        dialing.enable_sni = false;
        dialing.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(Self {
            accepting: Arc::new(accepting),
            dialing: Arc::new(dialing),
            chains,
        })
    }
}

/// Whether an acceptor's chain leads to an authority. TLS would compare its names with a host's, and node names
/// are none.
#[derive(Debug)]
struct ChainVerifier {
    authorities: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ChainVerifier {
    fn verify(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), TlsError> {
        let parsed = ParsedCertificate::try_from(certificate)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.authorities,
            intermediates,
            now,
            algorithms,
        )
    }
}

impl ServerCertVerifier for ChainVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        self.verify(certificate, intermediates, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Err(TlsError::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13,
        ))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// One connection.
#[derive(Debug)]
pub(super) struct Tls {
    opening: Opening,
    connection: Connection,
}

impl Tls {
    /// # Errors
    /// TLS cannot begin.
    pub(super) fn accept(settings: &TlsSettings) -> Result<Self, SessionError> {
        let connection = ServerConnection::new(Arc::clone(&settings.accepting));
        Ok(Self {
            opening: Opening::new(SecurityMode::Tls, false),
            connection: connection.map_err(|error| failed(&error))?.into(),
        })
    }

    /// `hello` gets what is to be sent first.
    ///
    /// # Errors
    /// TLS cannot begin.
    pub(super) fn dial(settings: &TlsSettings, hello: &mut Vec<u8>) -> Result<Self, SessionError> {
        let name = ServerName::try_from(NO_NAME)
            .map_err(|_| SessionError::broken("a constant name is no name of a host"))?;
        let connection = ClientConnection::new(Arc::clone(&settings.dialing), name);
        let mut tls = Self {
            opening: Opening::new(SecurityMode::Tls, true),
            connection: connection.map_err(|error| failed(&error))?.into(),
        };
        tls.take_out(hello)?;
        Ok(tls)
    }

    /// Who is at the other end, once the handshake is over.
    pub(super) fn identity(&self) -> Result<Option<Identity>, SessionError> {
        if self.connection.is_handshaking() {
            return Ok(None);
        }
        let chain = self.connection.peer_certificates();
        match chain.and_then(|chain| chain.first()) {
            Some(certificate) => Identity::certified(certificate).map(Some),
            None => Err(failed(&TlsError::NoCertificatesPresented)),
        }
    }

    /// Whether the certificate of the other end leads to an authority of these settings. That it has expired meanwhile
    /// ends no session.
    ///
    /// # Errors
    /// It does not.
    pub(super) fn check(&self, settings: &TlsSettings) -> Result<(), SessionError> {
        let chain = self.connection.peer_certificates();
        let Some((certificate, rest)) = chain.and_then(<[_]>::split_first) else {
            return Ok(());
        };
        match settings.chains.verify(certificate, rest, UnixTime::now()) {
            // The second where another authority has the same name.
            Err(TlsError::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            )) => {
                let reason = CloseReason::CertificateUntrusted;
                Err(SessionError::new(reason, reason.sentence()))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    pub(super) fn open(
        &mut self,
        bytes: &[u8],
        plain: &mut Vec<u8>,
        answer: &mut Vec<u8>,
    ) -> Result<(), SessionError> {
        let was_handshaking = self.connection.is_handshaking();
        let opened = match self.opening.pass(bytes) {
            Ok(None) => return Ok(()),
            Ok(Some(bytes)) => self.process(&bytes, plain),
            Err(error) => {
                if matches!(self.connection, Connection::Server(_)) {
                    answer.extend_from_slice(&error.refusal());
                }
                return Err(error);
            }
        };
        // Later on, what TLS itself has to say goes ahead of what is sealed next.
        if was_handshaking || opened.is_err() {
            self.take_out(answer)?;
        }
        opened
    }

    fn process(&mut self, mut bytes: &[u8], plain: &mut Vec<u8>) -> Result<(), SessionError> {
        while !bytes.is_empty() {
            let read = self.connection.read_tls(&mut bytes);
            if read.map_err(|error| SessionError::broken(error.to_string()))? == 0 {
                // The other side has closed its half: the end of the connection says the same.
                return Ok(());
            }
            let state = self.connection.process_new_packets();
            let state = state.map_err(|error| failed(&error))?;
            let ready = state.plaintext_bytes_to_read();
            if ready > 0 {
                let start = plain.len();
                plain.resize(start + ready, 0);
                let read = self.connection.reader().read_exact(&mut plain[start..]);
                read.map_err(|error| SessionError::broken(error.to_string()))?;
            }
        }
        Ok(())
    }

    pub(super) fn seal(
        &mut self,
        pieces: &[IoSlice<'_>],
        sealed: &mut Vec<u8>,
    ) -> Result<(), SessionError> {
        let mut pieces = pieces.to_vec();
        let mut rest = &mut pieces[..];
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            // Up to what TLS holds at a time, then out with it.
            let written = self.connection.writer().write_vectored(rest);
            let written = written.map_err(|error| SessionError::broken(error.to_string()))?;
            self.take_out(sealed)?;
            if written == 0 {
                return Err(SessionError::broken("the session takes no more"));
            }
            IoSlice::advance_slices(&mut rest, written);
        }
        Ok(())
    }

    /// What TLS has to send.
    fn take_out(&mut self, into: &mut Vec<u8>) -> Result<(), SessionError> {
        while self.connection.wants_write() {
            let written = self.connection.write_tls(into);
            written.map_err(|error| SessionError::broken(error.to_string()))?;
        }
        Ok(())
    }
}

/// What TLS says, as the reason that is counted.
fn failed(error: &TlsError) -> SessionError {
    let (reason, what) = match error {
        TlsError::NoCertificatesPresented => (
            CloseReason::CertificateMissing,
            "the other side has shown no certificate",
        ),
        TlsError::InvalidCertificate(certificate) => (
            reason_of(certificate),
            "the certificate of the other side is refused",
        ),
        TlsError::PeerIncompatible(
            PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled,
        ) => (
            CloseReason::TlsVersion,
            "the other side does not speak TLS 1.3",
        ),
        TlsError::AlertReceived(alert) => (
            reason_of_alert(*alert),
            "the other side has refused this node's handshake",
        ),
        _ => (CloseReason::SessionBroken, "TLS failed"),
    };
    SessionError::new(reason, format!("{what}: {error}"))
}

fn reason_of(error: &CertificateError) -> CloseReason {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            CloseReason::CertificateExpired
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            CloseReason::CertificateNotYetValid
        }
        CertificateError::UnknownIssuer => CloseReason::CertificateUntrusted,
        _ => CloseReason::CertificateBad,
    }
}

/// Alerts tell less than the reason that the other side counts.
fn reason_of_alert(alert: AlertDescription) -> CloseReason {
    match alert {
        AlertDescription::CertificateRequired => CloseReason::CertificateMissing,
        AlertDescription::CertificateExpired => CloseReason::CertificateExpired,
        AlertDescription::UnknownCA => CloseReason::CertificateUntrusted,
        AlertDescription::ProtocolVersion => CloseReason::TlsVersion,
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::CertificateRevoked => CloseReason::CertificateBad,
        _ => CloseReason::SessionBroken,
    }
}
