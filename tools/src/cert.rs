//! `overlane cert`: a private authority, and certificates of nodes that it signs, for `security = "tls"`.
//!
//! Writes files and nothing else; no node is asked. Keys are their owner's alone from the moment there is a file, and no
//! file is overwritten.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use overlane::config::is_node_name;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};

use crate::ending::{Ending, Failure, print, told};

/// Makes certificates for nodes with `security = "tls"`.
///
/// On one machine: overlane cert init, then for each node overlane cert issue NODE. Take NODE.crt, NODE.key and
/// authority.crt to the node; the key of the authority stays where it is.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Init(Init),
    Issue(Issue),
}

/// Makes an authority: authority.crt, which every node needs, and authority.key, which none does.
#[derive(Debug, clap::Args)]
struct Init {
    #[command(flatten)]
    place: Place,
    /// For how many days it is valid
    #[arg(long, default_value_t = 3650, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
}

/// Makes the certificate and the key of a node, signed by the authority: NODE.crt and NODE.key.
#[derive(Debug, clap::Args)]
struct Issue {
    /// The name of the node, as its `node_name` says
    node: String,
    #[command(flatten)]
    place: Place,
    /// For how many days it is valid
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
}

#[derive(Debug, clap::Args)]
struct Place {
    /// The directory of the files
    #[arg(long, value_name = "DIRECTORY", default_value = ".")]
    dir: PathBuf,
}

const AUTHORITY: &str = "authority";

/// Only its owner reads a key.
const KEY_MODE: u32 = 0o600;
const CERTIFICATE_MODE: u32 = 0o644;

/// Clocks of nodes may be behind by so much.
const CLOCKS_DIFFER: Duration = Duration::from_secs(3600);

pub(crate) fn run(arguments: &Arguments) -> Ending {
    let done = match &arguments.command {
        Command::Init(init) => make_authority(init),
        Command::Issue(issue) => make_node(issue),
    };
    told("cert", done)
}

fn make_authority(init: &Init) -> Result<Ending, Failure> {
    let key = KeyPair::generate().map_err(|error| failed(&error))?;
    let mut params = authority_params();
    between(&mut params, init.days);
    let certificate = params.self_signed(&key).map_err(|error| failed(&error))?;
    let (crt, secret) = files(&init.place.dir, AUTHORITY);
    fs::create_dir_all(&init.place.dir).map_err(|error| unwritten(&init.place.dir, &error))?;
    write_new(&secret, KEY_MODE, &key.serialize_pem())?;
    write_new(&crt, CERTIFICATE_MODE, &certificate.pem())?;
    said(&format!(
        "{} is the authority: give it to each node as tls_authorities\n{} signs certificates: keep it where no node is\n",
        crt.display(),
        secret.display()
    ))
}

fn make_node(issue: &Issue) -> Result<Ending, Failure> {
    let Issue { node, place, days } = issue;
    if !is_node_name(node) || node == AUTHORITY {
        return Err(Failure::new(
            Ending::BadInput,
            format_args!(
                "`{}` cannot name a node: give 1 to 255 of the characters A-Z a-z 0-9 _ . - @, and not `{AUTHORITY}`",
                overlane::config::Printable(node)
            ),
        ));
    }
    let (_, authority_key) = files(&place.dir, AUTHORITY);
    let pem = fs::read_to_string(&authority_key).map_err(|error| {
        Failure::new(
            Ending::BadInput,
            format_args!(
                "{} cannot be read ({error}): make an authority with `overlane cert init`, or say with --dir where it is",
                authority_key.display()
            ),
        )
    })?;
    let authority = KeyPair::from_pem(&pem).map_err(|error| failed(&error))?;
    let issuer = Issuer::new(authority_params(), authority);
    let key = KeyPair::generate().map_err(|error| failed(&error))?;
    let mut params = CertificateParams::default();
    between(&mut params, *days);
    params
        .distinguished_name
        .push(DnType::CommonName, node.as_str());
    let uri = Ia5String::try_from(format!("overlane:{node}")).map_err(|error| failed(&error))?;
    params.subject_alt_names = vec![SanType::URI(uri)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params.use_authority_key_identifier_extension = true;
    let certificate = params
        .signed_by(&key, &issuer)
        .map_err(|error| failed(&error))?;
    let (crt, secret) = files(&place.dir, node);
    write_new(&secret, KEY_MODE, &key.serialize_pem())?;
    write_new(&crt, CERTIFICATE_MODE, &certificate.pem())?;
    let authority = place.dir.join(format!("{AUTHORITY}.crt"));
    said(&format!(
        "node_name = \"{node}\"\nsecurity = \"tls\"\n\n[tls]\ncertificate = \"{}\"\nkey = \"{}\"\nauthorities = \"{}\"\n",
        crt.display(),
        secret.display(),
        authority.display()
    ))
}

/// What of an authority its certificates repeat: the same for each, so that its key is all that signing needs.
fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "Overlane authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// Valid from now on for so many days.
fn between(params: &mut CertificateParams, days: u32) {
    let epoch = date_time_ymd(1970, 1, 1);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default();
    params.not_before = epoch + now.saturating_sub(CLOCKS_DIFFER);
    params.not_after = epoch + now + Duration::from_secs(86_400) * days;
}

/// Certificate and key of that name.
fn files(dir: &Path, name: &str) -> (PathBuf, PathBuf) {
    (
        dir.join(format!("{name}.crt")),
        dir.join(format!("{name}.key")),
    )
}

/// Writes a file that is not there yet.
fn write_new(path: &Path, mode: u32, text: &str) -> Result<(), Failure> {
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path);
    made.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| unwritten(path, &error))
}

fn unwritten(path: &Path, error: &std::io::Error) -> Failure {
    let path = path.display();
    let what = format!(
        "{path} cannot be written: {error}; an earlier one is not overwritten: move it away"
    );
    Failure::new(Ending::NotWritten, what)
}

fn failed(error: &rcgen::Error) -> Failure {
    Failure::new(
        Ending::BadInput,
        format_args!("no certificate was made: {error}"),
    )
}

fn said(text: &str) -> Result<Ending, Failure> {
    print(text)?;
    Ok(Ending::Done)
}
