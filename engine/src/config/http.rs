//! Where a node shows itself over HTTP: the values of the parameters `http` and `http_token_file`.
//!
//! Only their text form is here; the address is served, and the file read, by `http`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::address::check_listen;
use super::allowed::{Allowed, Unit};
use super::setting::Setting;

/// What is read, as the end of a sentence that starts with "expected".
pub(super) const HTTP_ADDRESSES: &str = "off, or an address and port such as 127.0.0.1:7480";

/// The same of the file.
pub(super) const TOKEN_FILES: &str =
    "none, or a path with a / in it, such as /etc/overlane/http.token";

const OFF: &str = "off";
const NONE: &str = "none";

/// Whether a node shows itself over HTTP, and where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Http {
    /// Not at all.
    #[default]
    Off,
    /// At that address; port 0 takes any free port.
    At(SocketAddr),
}

impl Http {
    /// The address, if there is one.
    #[must_use]
    pub const fn address(self) -> Option<SocketAddr> {
        match self {
            Self::Off => None,
            Self::At(address) => Some(address),
        }
    }
}

impl Setting for Http {
    fn read(text: &str, unit: Unit, allowed: &Allowed) -> Result<Self, String> {
        if text.trim() == OFF {
            return Ok(Self::Off);
        }
        let right = || allowed.sentence(unit);
        let address = text.trim().parse().map_err(|_| right())?;
        check_listen(address).map_err(|wrong| format!("{}; {wrong}", right()))?;
        Ok(Self::At(address))
    }

    fn print(&self, _: Unit) -> String {
        match self {
            Self::Off => OFF.to_string(),
            Self::At(address) => address.to_string(),
        }
    }
}

/// The file with the token that a node asks for over HTTP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TokenFile {
    /// No token is asked for.
    #[default]
    None,
    /// The one in that file.
    At(PathBuf),
}

impl TokenFile {
    /// The path, if there is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::None => None,
            Self::At(path) => Some(path),
        }
    }
}

impl Setting for TokenFile {
    fn read(text: &str, unit: Unit, allowed: &Allowed) -> Result<Self, String> {
        match text.trim() {
            NONE => Ok(Self::None),
            path if is_path(path) => Ok(Self::At(path.into())),
            _ => Err(allowed.sentence(unit)),
        }
    }

    fn print(&self, _: Unit) -> String {
        match self {
            Self::None => NONE.to_string(),
            Self::At(path) => path.to_string_lossy().into_owned(),
        }
    }
}

/// A word without a / could as well be the token itself, which does not belong here.
fn is_path(text: &str) -> bool {
    text.contains('/') && !text.ends_with('/') && !text.contains(char::is_control)
}
