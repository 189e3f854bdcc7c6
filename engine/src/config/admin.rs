//! Where a node is administered: the values of the parameter `admin`.
//!
//! Only its text form is here; the socket is made and served by `admin`.

use std::path::{Path, PathBuf};

use super::allowed::{Allowed, Unit};
use super::setting::Setting;

/// The longest path that an address of a Unix socket holds, its closing zero left out.
pub const ADMIN_PATH_BYTES_MAX: usize = 107;

/// What is read, as the end of a sentence that starts with "expected".
pub(super) const ADMIN_PATHS: &str =
    "auto, off, or a path with a / in it, such as /run/overlane/a.sock, of 1 to 107 bytes";

const AUTO: &str = "auto";
const OFF: &str = "off";

/// Whether a node can be administered, and by which socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Admin {
    /// The program decides: the command `overlane node` takes a path of its own, a library has none.
    #[default]
    Auto,
    /// Not at all.
    Off,
    /// By a Unix socket at that path.
    At(PathBuf),
}

impl Admin {
    /// The path, if there is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Auto | Self::Off => None,
            Self::At(path) => Some(path),
        }
    }
}

impl Setting for Admin {
    fn read(text: &str, unit: Unit, allowed: &Allowed) -> Result<Self, String> {
        match text.trim() {
            AUTO => Ok(Self::Auto),
            OFF => Ok(Self::Off),
            path if is_path(path) => Ok(Self::At(path.into())),
            _ => Err(allowed.sentence(unit)),
        }
    }

    fn print(&self, _: Unit) -> String {
        match self {
            Self::Auto => AUTO.to_string(),
            Self::Off => OFF.to_string(),
            Self::At(path) => path.to_string_lossy().into_owned(),
        }
    }
}

/// A word without a / is more likely a mistake than a file beside the program.
fn is_path(text: &str) -> bool {
    let is_file = text.contains('/') && !text.ends_with('/');
    is_file && text.len() <= ADMIN_PATH_BYTES_MAX && !text.contains(char::is_control)
}
