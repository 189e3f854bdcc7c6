//! The documents that follow from the definitions, and the check that they still do.

mod limits;
mod tuning;

use std::path::PathBuf;

use overlane::config::Parameter;

/// Set to rewrite the documents instead of comparing them.
const BLESS: &str = "OVERLANE_BLESS";

/// Compares `docs/NAME` with the text that follows from the definitions.
fn assert_document(name: &str, generated: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../docs")
        .join(name);
    if std::env::var_os(BLESS).is_some() {
        std::fs::write(&path, generated).expect("the document can be written");
        return;
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = written
        .lines()
        .zip(generated.lines())
        .position(|(old, new)| old != new);
    let line = differs.unwrap_or_else(|| written.lines().count().min(generated.lines().count()));
    assert!(
        written == generated,
        "docs/{name} differs from the definitions, first in line {}; write it anew with \
         `{BLESS}=1 cargo test -p overlane --test config documents`",
        line + 1
    );
}

/// The default as documents have it.
fn default_of<S: Default>(parameter: &Parameter<S>) -> String {
    let text = parameter.default_text();
    if text.is_empty() {
        "none".to_string()
    } else {
        format!("`{text}`")
    }
}

/// A row of a Markdown table.
fn row(cells: &[&str]) -> String {
    format!("| {} |\n", cells.map_bars().join(" | "))
}

trait Cells {
    fn map_bars(&self) -> Vec<String>;
}

impl Cells for [&str] {
    /// A bar would end the cell.
    fn map_bars(&self) -> Vec<String> {
        self.iter().map(|cell| cell.replace('|', "\\|")).collect()
    }
}

/// The head of a Markdown table.
fn head(cells: &[&str]) -> String {
    let rule = "|---".repeat(cells.len());
    format!("{}{rule}|\n", row(cells))
}
