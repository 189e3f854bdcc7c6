//! What a receiver has delivered, in a file that outlives it: one that is killed leaves what it knew.
//!
//! Written in the handler, before a message can be acknowledged: the kernel keeps what a process has written
//! when that is killed. Read by the parent.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::sequences::Sequences;
use crate::error::{BenchError, Outcome};

/// Numbers of one sender: first, next, delivered, duplicates, out of order, missing, and when the last came.
const NUMBERS: usize = 7;
const ENTRY_BYTES: usize = NUMBERS * 8;

/// The file, open for writing.
#[derive(Debug)]
pub(super) struct Ledger(File);

/// What became of the messages of one sender.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) first: u64,
    pub(super) next: u64,
    pub(super) delivered: u64,
    pub(super) duplicates: u64,
    pub(super) out_of_order: u64,
    pub(super) missing: u64,
    pub(super) last_ns: u64,
}

impl Entry {
    pub(super) fn of(sequences: &Sequences, last_ns: u64) -> Self {
        Self {
            first: sequences.first,
            next: sequences.next,
            delivered: sequences.delivered,
            duplicates: sequences.duplicates,
            out_of_order: sequences.out_of_order,
            missing: sequences.missing(),
            last_ns,
        }
    }

    fn numbers(self) -> [u64; NUMBERS] {
        [
            self.first,
            self.next,
            self.delivered,
            self.duplicates,
            self.out_of_order,
            self.missing,
            self.last_ns,
        ]
    }

    fn of_numbers(numbers: [u64; NUMBERS]) -> Self {
        let [
            first,
            next,
            delivered,
            duplicates,
            out_of_order,
            missing,
            last_ns,
        ] = numbers;
        Self {
            first,
            next,
            delivered,
            duplicates,
            out_of_order,
            missing,
            last_ns,
        }
    }
}

impl Ledger {
    pub(super) fn create(path: &Path) -> Outcome<Self> {
        let file = File::create(path).map_err(BenchError::file("create", path))?;
        Ok(Self(file))
    }

    /// Notes how far a sender is.
    pub(super) fn write(&self, sender: u32, entry: Entry) -> std::io::Result<()> {
        let mut bytes = [0; ENTRY_BYTES];
        for (number, place) in entry.numbers().into_iter().zip(bytes.chunks_exact_mut(8)) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        let at = u64::from(sender) * ENTRY_BYTES as u64;
        self.0.write_all_at(&bytes, at)
    }
}

/// What a process that is gone has noted, by sender.
pub(super) fn read(path: &Path) -> Outcome<Vec<Entry>> {
    let bytes = std::fs::read(path).map_err(BenchError::file("read", path))?;
    let entry = |bytes: &[u8]| {
        let mut numbers = [0; NUMBERS];
        for (number, bytes) in numbers.iter_mut().zip(bytes.chunks_exact(8)) {
            *number = bytes.first_chunk().copied().map_or(0, u64::from_le_bytes);
        }
        Entry::of_numbers(numbers)
    };
    Ok(bytes.chunks(ENTRY_BYTES).map(entry).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_last_is_read() {
        let name = format!("overlane-ledger-test-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let ledger = Ledger::create(&path).unwrap();
        let entry = |next| Entry {
            first: 1,
            next,
            delivered: 3,
            duplicates: 4,
            out_of_order: 5,
            missing: 6,
            last_ns: u64::MAX,
        };
        ledger.write(2, entry(1)).unwrap();
        ledger.write(0, entry(8)).unwrap();
        ledger.write(2, entry(9)).unwrap();
        let read = read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read, [entry(8), Entry::default(), entry(9)]);
    }
}
