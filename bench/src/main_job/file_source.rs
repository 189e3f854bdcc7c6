//! The file that the main job sends: the user's, or one that is generated for the run.
//!
//! Generated content is a BLAKE3 output stream from a fixed seed, so that it is the same everywhere,
//! cannot be compressed, and its size says all about it. Called before any node is started.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Write};
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
    /// The user's file: a regular one that can be read and has content.
    pub(crate) fn of_user(path: &Path) -> Outcome<Self> {
        let refused = |why: &str| BenchError::BadInput(format!("--file {}: {why}", path.display()));
        let found = std::fs::metadata(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => refused("there is no such file; name one that can be read"),
            _ => refused(&format!("{error}; name a file that can be read")),
        })?;
        if found.is_dir() {
            return Err(refused("this is a folder; name a file in it"));
        }
        if !found.is_file() {
            return Err(refused(
                "this is no regular file; name one whose content has an end and stays as it is",
            ));
        }
        if found.len() == 0 {
            return Err(refused("the file is empty; name one with content"));
        }
        // Opened before it is hashed, so that what is refused is the flag.
        File::open(path)
            .map_err(|error| refused(&format!("{error}; name a file that this user may read")))?;
        let (bytes, hash) = hash_of(path)?;
        Ok(Self {
            path: path.to_owned(),
            bytes,
            hash,
        })
    }

    /// A file of `bytes` that is generated at `path`.
    pub(crate) fn generated(path: PathBuf, bytes: u64) -> Outcome<Self> {
        let hash = generate(&path, bytes)?;
        Ok(Self { path, bytes, hash })
    }
}

/// Length and BLAKE3 of what is on the disk.
pub(crate) fn hash_of(path: &Path) -> Outcome<(u64, blake3::Hash)> {
    let mut failed = BenchError::file("read", path);
    let file = File::open(path).map_err(&mut failed)?;
    let mut reader = BufReader::with_capacity(PIECE_BYTES, file);
    let mut hasher = blake3::Hasher::new();
    let mut piece = vec![0_u8; PIECE_BYTES];
    let mut bytes = 0;
    loop {
        let count = reader.read(&mut piece).map_err(&mut failed)?;
        if count == 0 {
            return Ok((bytes, hasher.finalize()));
        }
        hasher.update(&piece[..count]);
        bytes += count as u64;
    }
}

/// Writes the file; its hash.
fn generate(path: &Path, bytes: u64) -> Outcome<blake3::Hash> {
    let mut failed = BenchError::file("write", path);
    let progress = Progress::of_bytes("generating the file", bytes);
    let mut file = File::create(path).map_err(&mut failed)?;
    let mut hasher = blake3::Hasher::new();
    let mut written = 0;
    for_each_piece(bytes, |piece| {
        file.write_all(piece).map_err(&mut failed)?;
        hasher.update(piece);
        written += piece.len() as u64;
        progress.reach(written);
        Ok(())
    })?;
    Ok(hasher.finalize())
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
    fn generated_files_of_one_size_are_the_same() {
        let folder = folder("generated");
        let bytes = 3 * PIECE_BYTES as u64 + 17;
        let first = FileSource::generated(folder.join("first"), bytes).unwrap();
        let second = FileSource::generated(folder.join("second"), bytes).unwrap();
        assert_eq!(hash_of(&first.path).unwrap(), (bytes, first.hash));
        assert_eq!(first.hash, second.hash);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn an_empty_file_of_the_user_is_refused() {
        let folder = folder("empty");
        let path = folder.join("empty");
        std::fs::write(&path, b"").unwrap();
        assert_eq!(
            FileSource::of_user(&path).unwrap_err().exit(),
            crate::exit::Exit::Usage
        );
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
