//! The parameters of sessions: files of certificates, keys and secrets.
//!
//! Secrets themselves are no parameters: they would stand in flags and printed configurations. They come from a
//! file that is named here, or from the environment (`secret.rs`).

use std::path::PathBuf;

use super::super::allowed::{Allowed, Unit};
use super::super::names::{NamePatterns, PATTERNS};
use super::super::parameter::{Group, Parameter, group};
use super::super::setting::Setting;
use super::Config;

/// How paths of files are described.
pub(super) const FILE: Allowed =
    Allowed::Described("the path of a file, with a / in it, such as /etc/overlane/node.crt");

group! {
    /// With `security = "tls"`: certificates.
    pub struct TlsConfig in tls as TLS;
    /// File in PEM with this node's certificate, and behind it those between it and an authority.
    certificate: PathBuf = PathBuf::new();
        Unit::None, FILE;
        origin "no node has a certificate by itself";
        cost "none; it is read again when it changes";
    /// File in PEM with the key of that certificate.
    key: PathBuf = PathBuf::new();
        Unit::None, FILE;
        origin "as tls_certificate";
        cost "whoever can read it can be this node";
    /// File in PEM with the certificates of the authorities that sign those of nodes.
    authorities: PathBuf = PathBuf::new();
        Unit::None, FILE;
        origin "as tls_certificate";
        cost "each authority in it can make a node of any name";
    /// Names of certificates, besides the node's own name, with which a node is accepted: with + between, * stands for any text, {node} for the node's name.
    names: NamePatterns = NamePatterns::default();
        Unit::None, Allowed::Described(PATTERNS);
        origin "a certificate is good for the node whose name it has";
        cost "who has the key of a certificate with such a name can be any node, unless {node} is in the pattern";
}

group! {
    /// With `security = "psk"`: the secret that all nodes have.
    pub struct PskConfig in psk as PSK;
    /// File with the secret in its first line, and for the time of a rotation another one in the second, which is accepted too.
    secret_file: PathBuf = PathBuf::new();
        Unit::None, FILE;
        origin "the secret can come from OVERLANE_PSK_SECRET instead";
        cost "whoever can read it can be any node; it is read again when it changes";
}
