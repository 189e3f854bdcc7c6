//! Results for people: aligned tables on standard output.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use crate::pair::Spread;
use crate::sample::CpuShare;

/// A table with a header; columns after the first are numbers, aligned to the right.
pub(crate) fn of(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header);
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

/// A number as a person reads it: thousands apart, more decimals the smaller it is.
pub(crate) fn number(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 100.0 || size == 0.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 0.1 => 2,
        _ => 4,
    };
    let text = format!("{value:.decimals$}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let (sign, digits) = whole
        .strip_prefix('-')
        .map_or(("", whole), |rest| ("-", rest));
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{grouped}{point}{fraction}")
}

/// A median with the smallest and the largest.
pub(crate) fn spread(spread: Spread) -> String {
    format!(
        "{:.2} ({:.2} to {:.2})",
        spread.median, spread.min, spread.max
    )
}

/// What the near and the far process used of a core, and where the far one was.
pub(crate) fn cpu([near, far]: [CpuShare; 2], far_host: Option<&str>) -> String {
    let share = |share: CpuShare| {
        format!(
            "{} % user, {} % system",
            number(share.user_percent),
            number(share.system_percent)
        )
    };
    let there = far_host.map_or_else(String::new, |host| format!(" (on {host})"));
    format!(
        "CPU of a core: near {}; far {}{there}",
        share(near),
        share(far)
    )
}

/// A whole number with its thousands apart.
pub(crate) fn count(value: u64) -> String {
    number(crate::sample::figure(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_thousands_apart_and_decimals_where_they_matter() {
        assert_eq!(number(12_345_678.4), "12 345 678");
        assert_eq!(number(56.25), "56.2");
        assert_eq!(number(0.614), "0.61");
        assert_eq!(number(0.0042), "0.0042");
        assert_eq!(number(-1_500.0), "-1 500");
        assert_eq!(
            (number(0.0), count(1_000)),
            ("0".to_owned(), "1 000".to_owned())
        );
    }

    #[test]
    fn a_table_holds_its_header_and_rows() {
        let text = of(
            &["what", "value"],
            &[vec!["messages/s".into(), "1 000".into()]],
        );
        assert!(text.contains("what") && text.contains("1 000"), "{text}");
    }
}
