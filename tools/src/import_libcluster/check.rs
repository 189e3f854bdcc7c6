//! What must hold for any file that is imported: the parser neither panics nor goes on for ever, and what is printed is a
//! configuration, or says why not.
//!
//! Used by the fuzz target (`tools/fuzz`) and by the tests, which replay its corpus.

use super::elixir::topologies;
use super::print::printed;

/// Imports the bytes as a file of Elixir, whose variables all have the same value.
pub(super) fn import(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let lines = text.split('\n').count();
    let Ok(found) = topologies(text, &|variable| Some(variable.to_owned())) else {
        return;
    };
    for topology in &found.topologies {
        assert!((1..=lines).contains(&topology.line), "a line of the file");
    }
    assert!(found.broken.iter().all(|line| (1..=lines).contains(line)));
    let (printed, _) = printed("fuzz.exs", &found);
    // Remarks and values hold nothing that would end their line, or move a cursor.
    let is_text = |character: char| character == '\n' || !character.is_control();
    assert!(printed.chars().all(is_text), "{printed:?}");
    let tables = printed
        .lines()
        .filter(|line| line.starts_with("[discovery."));
    assert!(tables.count() <= found.topologies.len());
}
