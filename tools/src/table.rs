//! Results for people: columns that are aligned, without lines or colours.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use overlane::config::Printable;

/// How a column is aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    /// Words, to the left.
    Word(&'static str),
    /// Numbers, to the right.
    Number(&'static str),
}

impl Column {
    const fn title(self) -> &'static str {
        match self {
            Self::Word(title) | Self::Number(title) => title,
        }
    }
}

/// A table with its titles, a line each. Control characters in cells are shown, not obeyed.
pub(crate) fn table(columns: &[Column], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|column| column.title()));
    for row in rows {
        table.add_row(row.iter().map(|cell| Printable(cell).to_string()));
    }
    for (place, column) in table.column_iter_mut().zip(columns) {
        place.set_padding((0, 2));
        if matches!(column, Column::Number(_)) {
            place.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines = table.lines();
    lines
        .map(|line| line.trim_end().to_owned() + "\n")
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_control_characters_shown() {
        let columns = [Column::Word("peer"), Column::Number("lanes")];
        let rows = [
            vec!["b\u{1b}[2J".to_owned(), "1".to_owned()],
            vec!["long-name-of-a-node".to_owned(), "1000".to_owned()],
        ];
        let text = table(&columns, &rows);
        let expected = "peer                 lanes\n\
                        b\\u{1b}[2J               1\n\
                        long-name-of-a-node   1000\n";
        assert_eq!(text, expected);
    }
}
