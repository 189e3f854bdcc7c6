//! The files that protect connections: read with a bound and wiped, and whether they have changed.
//!
//! Called by `security` and `certificates`. Knows nothing of what is in them.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use zeroize::Zeroizing;

use crate::error::SecurityError;

/// The largest file that is read: a guess, above any bundle of authorities.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// What changes when a file does, also where another one takes its place.
pub(super) type Stamp = (u64, u64, i64, i64);

/// The bytes of a file, wiped when they are let go.
pub(super) fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, SecurityError> {
    let failed = |why: &str| SecurityError {
        what: format!("{} cannot be read: {why}", path.display()),
        remedy: "give the path of a file that the user of this process may read".to_owned(),
    };
    let file = File::open(path).map_err(|error| failed(&error.to_string()))?;
    let stated = file.metadata().map_or(0, |about| about.len());
    if stated > FILE_BYTES_MAX {
        return Err(failed("it has more than 4 MiB"));
    }
    // With room for all of it at once: what is moved to more room is not wiped.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(stated).unwrap_or(0) + 1));
    file.take(FILE_BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(|error| failed(&error.to_string()))?;
    Ok(bytes)
}

/// `None` if there is no such file.
pub(super) fn stamp(path: &Path) -> Option<Stamp> {
    let about = path.metadata().ok()?;
    Some((about.ino(), about.len(), about.mtime(), about.mtime_nsec()))
}
