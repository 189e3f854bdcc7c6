//! The file that the main job sends: the user's, or one that is generated once and kept.
//!
//! Generated content is a BLAKE3 output stream from a fixed seed, so that it is the same everywhere,
//! cannot be compressed, and its size says all about it. Called before any node is started.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};

use crate::error::{BenchError, Outcome};
use crate::progress::Progress;

/// What generated files are made from; another one would be another file.
const SEED: &[u8] = b"overlane-bench generated file 1";
/// Bytes that are generated, read or hashed at a time.
const PIECE_BYTES: usize = 1 << 20;

/// A file, with what it must still be when it arrives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileSource {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// How long it is.
    pub(crate) bytes: u64,
    /// BLAKE3 of its content.
    pub(crate) hash: blake3::Hash,
}

impl FileSource {
    /// The user's file.
    pub(crate) fn of_user(path: &Path) -> Outcome<Self> {
        let (bytes, hash) = hash_of(path)?;
        if bytes == 0 {
            return Err(BenchError::BadInput(format!(
                "--file {}: the file is empty; name one with content",
                path.display()
            )));
        }
        Ok(Self {
            path: path.to_owned(),
            bytes,
            hash,
        })
    }

    /// The generated file of `bytes` in `folder`: the one of an earlier run when it is still whole.
    pub(crate) fn generated(folder: &Path, bytes: u64) -> Outcome<Self> {
        let path = folder.join("generated.bin");
        let hash = match whole(&path, bytes)? {
            Some(hash) => hash,
            None => generate(&path, bytes)?,
        };
        Ok(Self { path, bytes, hash })
    }
}

/// The hash of the file of an earlier run, if that is still whole.
fn whole(path: &Path, bytes: u64) -> Outcome<Option<blake3::Hash>> {
    if !std::fs::metadata(path).is_ok_and(|found| found.len() == bytes) {
        return Ok(None);
    }
    let expected = expected_hash(bytes);
    Ok((hash_of(path)? == (bytes, expected)).then_some(expected))
}

/// Length and BLAKE3 of what is on the disk.
pub(crate) fn hash_of(path: &Path) -> Outcome<(u64, blake3::Hash)> {
    let failed = |source| BenchError::File {
        action: "read",
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let mut reader = BufReader::with_capacity(PIECE_BYTES, file);
    let mut hasher = blake3::Hasher::new();
    let mut piece = vec![0_u8; PIECE_BYTES];
    let mut bytes = 0;
    loop {
        let count = reader.read(&mut piece).map_err(failed)?;
        if count == 0 {
            return Ok((bytes, hasher.finalize()));
        }
        hasher.update(&piece[..count]);
        bytes += count as u64;
    }
}

/// Writes the file anew; its hash.
fn generate(path: &Path, bytes: u64) -> Outcome<blake3::Hash> {
    let failed = |source| BenchError::File {
        action: "write",
        path: path.to_owned(),
        source,
    };
    let progress = Progress::of_bytes("generating the file", bytes);
    let mut file = File::create(path).map_err(failed)?;
    let mut hasher = blake3::Hasher::new();
    let mut written = 0;
    for_each_piece(bytes, |piece| {
        file.write_all(piece).map_err(failed)?;
        hasher.update(piece);
        written += piece.len() as u64;
        progress.reach(written);
        Ok(())
    })?;
    Ok(hasher.finalize())
}

fn expected_hash(bytes: u64) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    let hashed: Outcome<()> = for_each_piece(bytes, |piece| {
        hasher.update(piece);
        Ok(())
    });
    hashed.expect("hashing cannot fail");
    hasher.finalize()
}

fn for_each_piece(bytes: u64, mut take: impl FnMut(&[u8]) -> Outcome<()>) -> Outcome<()> {
    let mut content = blake3::Hasher::new().update(SEED).finalize_xof();
    let mut piece = vec![0_u8; PIECE_BYTES];
    let mut left = bytes;
    while left > 0 {
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_BYTES);
        content.fill(&mut piece[..length]);
        take(&piece[..length])?;
        left -= length as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder =
            std::env::temp_dir().join(format!("overlane-bench-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_generated_file_is_the_same_again_and_mended_when_damaged() {
        let folder = folder("generated");
        let bytes = 3 * PIECE_BYTES as u64 + 17;
        let first = FileSource::generated(&folder, bytes).unwrap();
        assert_eq!(hash_of(&first.path).unwrap(), (bytes, first.hash));
        let modified = std::fs::metadata(&first.path).unwrap().modified().unwrap();
        assert_eq!(FileSource::generated(&folder, bytes).unwrap(), first);
        assert_eq!(
            std::fs::metadata(&first.path).unwrap().modified().unwrap(),
            modified,
            "reused"
        );
        let mut content = std::fs::read(&first.path).unwrap();
        content[100] ^= 1;
        std::fs::write(&first.path, content).unwrap();
        assert_eq!(FileSource::generated(&folder, bytes).unwrap(), first);
        assert_eq!(hash_of(&first.path).unwrap(), (bytes, first.hash), "mended");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn an_empty_file_of_the_user_is_refused() {
        let folder = folder("empty");
        let path = folder.join("empty");
        std::fs::write(&path, b"").unwrap();
        assert_eq!(FileSource::of_user(&path).unwrap_err().exit_code(), 2);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
