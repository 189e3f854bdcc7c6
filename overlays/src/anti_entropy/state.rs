//! The application's state, as anti-entropy sees it: keys, versions, values.

use std::collections::BTreeMap;
use std::fmt::Debug;

use bytes::Bytes;

/// A state that nodes are to have alike. For each key, the value of the greatest version that anybody
/// has written is to be everywhere.
///
/// What a version is, is the application's: it must never give one version of a key two values. A clock
/// with the node's number in its last bits does, or a count in a key that one node alone writes. A key that
/// is deleted is a value that says so.
pub trait State: Debug + 'static {
    /// All keys with their versions. Asked for once, at the start.
    fn versions(&self) -> Vec<(Bytes, u64)>;

    /// A value that the state has. None if it has none, or cannot give it now: then it is not sent.
    fn read(&self, key: &Bytes) -> Option<Bytes>;

    /// Takes a value that is newer than what it had. Told by anti-entropy only.
    fn write(&mut self, key: Bytes, version: u64, value: Bytes);
}

/// A state in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    entries: BTreeMap<Bytes, (u64, Bytes)>,
}

impl Memory {
    /// All keys with their versions and values.
    pub fn iter(&self) -> impl Iterator<Item = (&Bytes, u64, &Bytes)> {
        let entries = self.entries.iter();
        entries.map(|(key, (version, value))| (key, *version, value))
    }
}

impl State for Memory {
    fn versions(&self) -> Vec<(Bytes, u64)> {
        let entries = self.iter();
        entries
            .map(|(key, version, _)| (key.clone(), version))
            .collect()
    }

    fn read(&self, key: &Bytes) -> Option<Bytes> {
        self.entries.get(key).map(|(_, value)| value.clone())
    }

    fn write(&mut self, key: Bytes, version: u64, value: Bytes) {
        self.entries.insert(key, (version, value));
    }
}
