//! Who is at the other end of a session: for which node names that is proven, and whether it is revoked.
//!
//! Made by the sessions once the other side is authenticated, asked by shards when they know which node it says it
//! is. Reads the names of a certificate, trusts no certificate by itself.

use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

use super::error::SessionError;
use super::revoked::Revoked;
use crate::config::NamePatterns;
use crate::wire::{CloseReason, Name};

/// What a URI in a certificate begins with that names a node: for names that are no names of hosts.
pub(super) const NODE_URI: &str = "overlane:";

/// See the module's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// A node of that name, as somebody with the secret says.
    Named(Name),
    /// Whoever has the key of a certificate.
    Certified {
        /// The names in it.
        names: Vec<Box<str>>,
        serial: Box<[u8]>,
    },
}

impl Identity {
    pub(super) fn named(name: Name) -> Self {
        Self::Named(name)
    }

    pub(super) fn certified(certificate: &CertificateDer<'_>) -> Result<Self, SessionError> {
        let parsed = EndEntityCert::try_from(certificate).map_err(|error| {
            let text = format!("the certificate of the other side cannot be read: {error}");
            SessionError::new(CloseReason::CertificateBad, text)
        })?;
        let uris = parsed.valid_uri_names();
        let nodes = uris.filter_map(|uri| uri.strip_prefix(NODE_URI));
        let names = parsed.valid_dns_names().chain(nodes);
        Ok(Self::Certified {
            names: names.map(Box::from).collect(),
            serial: parsed.serial().into(),
        })
    }

    /// Whether it may be the node of that name. `patterns` are those of certificates that are good for any node.
    ///
    /// # Errors
    /// Why it may not.
    pub(crate) fn check(
        &self,
        node: &str,
        patterns: &NamePatterns,
        revoked: &Revoked,
    ) -> Result<(), SessionError> {
        let is_its_own = match self {
            Self::Named(name) => name.as_str() == node,
            Self::Certified { names, .. } => names
                .iter()
                .any(|name| **name == *node || patterns.has_for_node(name, node)),
        };
        if !is_its_own {
            let text = format!("node {node} is not who the other side has proven to be: {self}");
            return Err(SessionError::new(CloseReason::NameNotProven, text));
        }
        if self.is_revoked(node, revoked) {
            let text = format!("node {node} is in this node's list of revoked names and serials");
            return Err(SessionError::new(CloseReason::Revoked, text));
        }
        Ok(())
    }

    /// Whether the node, or a name in its certificate, or its serial is in the list.
    fn is_revoked(&self, node: &str, revoked: &Revoked) -> bool {
        revoked.has_name(node)
            || match self {
                Self::Named(_) => false,
                Self::Certified { names, serial } => {
                    names.iter().any(|name| revoked.has_name(name)) || revoked.has_serial(serial)
                }
            }
    }
}

impl std::fmt::Display for Identity {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Named(name) => write!(formatter, "it said that it is {name}"),
            Self::Certified { names, .. } if names.is_empty() => {
                formatter.write_str("its certificate has no name")
            }
            Self::Certified { names, .. } => {
                write!(formatter, "its certificate is for {}", names.join(", "))
            }
        }
    }
}
