//! Which values a parameter accepts, and the sentence that says so.
//!
//! Called by `setting.rs` when a value is read, and by the documentation. Holds no parameter.

use std::fmt;

/// Unit of a parameter's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// The value is not a quantity.
    None,
    /// Bytes; text may say `64KiB`, `1MiB`, `1GB`.
    Bytes,
    /// Seconds, a plain number.
    Seconds,
    /// Milliseconds, a plain number.
    Milliseconds,
    /// Microseconds, a plain number.
    Microseconds,
    /// A count of the named things.
    Count(&'static str),
}

impl fmt::Display for Unit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::None => "",
            Self::Bytes => "bytes",
            Self::Seconds => "seconds",
            Self::Milliseconds => "milliseconds",
            Self::Microseconds => "microseconds",
            Self::Count(things) => things,
        })
    }
}

/// The accepted values of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// A whole number from the first to the second, both included.
    Number(u64, u64),
    /// A power of two from the first to the second, both included.
    PowerOfTwo(u64, u64),
    /// One of these words.
    Words(&'static [&'static str]),
    /// Whatever the type reads; the text describes it.
    Described(&'static str),
}

impl Allowed {
    /// Whether the number is one of the accepted ones.
    #[must_use]
    pub fn admits(&self, number: u64) -> bool {
        match *self {
            Self::Number(least, most) => (least..=most).contains(&number),
            Self::PowerOfTwo(least, most) => {
                number.is_power_of_two() && (least..=most).contains(&number)
            }
            Self::Words(_) | Self::Described(_) => true,
        }
    }

    /// What would be right, as the end of a sentence that starts with "expected".
    #[must_use]
    pub fn sentence(&self, unit: Unit) -> String {
        let of_unit = match unit {
            Unit::None => String::new(),
            unit => format!(" of {unit}"),
        };
        match self {
            Self::Number(least, most) => {
                let (least, most) = (quantity(*least, unit), quantity(*most, unit));
                format!("a whole number{of_unit} from {least} to {most}")
            }
            Self::PowerOfTwo(least, most) => {
                let (least, most) = (quantity(*least, unit), quantity(*most, unit));
                format!("a power of two{of_unit} from {least} to {most}")
            }
            Self::Words(words) => format!("one of {}", words.join(", ")),
            Self::Described(text) => (*text).to_string(),
        }
    }
}

/// A number in its shortest exact text: `65536` bytes are `64KiB`.
#[must_use]
pub fn quantity(number: u64, unit: Unit) -> String {
    if unit == Unit::Bytes && number > 0 {
        for (shift, suffix) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
            if number.trailing_zeros() >= shift {
                return format!("{}{suffix}", number >> shift);
            }
        }
    }
    number.to_string()
}

/// Reads a whole number; with [`Unit::Bytes`] also `64KiB`, `1 MiB`, `2GB`.
#[must_use]
pub fn number(text: &str, unit: Unit) -> Option<u64> {
    let text = text.trim();
    let digits_end = text
        .find(|character: char| !character.is_ascii_digit() && character != '_')
        .unwrap_or(text.len());
    let (digits, suffix) = text.split_at(digits_end);
    let digits = digits.replace('_', "");
    let scale = match (suffix.trim_start().to_ascii_lowercase().as_str(), unit) {
        ("", _) => 1,
        ("b", Unit::Bytes) => 1,
        ("kb", Unit::Bytes) => 1_000,
        ("mb", Unit::Bytes) => 1_000_000,
        ("gb", Unit::Bytes) => 1_000_000_000,
        ("kib", Unit::Bytes) => 1 << 10,
        ("mib", Unit::Bytes) => 1 << 20,
        ("gib", Unit::Bytes) => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_sizes_read_with_decimal_and_binary_suffixes() {
        for (text, expected) in [
            ("0", 0),
            ("65_536", 65_536),
            ("64KiB", 65_536),
            ("64 kib", 65_536),
            ("1MiB", 1_048_576),
            ("1GB", 1_000_000_000),
            ("12b", 12),
        ] {
            assert_eq!(number(text, Unit::Bytes), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_number_of_the_unit_is_refused() {
        for text in [
            "",
            "KiB",
            "-1",
            "1.5",
            "1KiBs",
            "99999999999999999999",
            "17179869184GiB",
        ] {
            assert_eq!(number(text, Unit::Bytes), None, "{text}");
        }
        assert_eq!(number("50ms", Unit::Milliseconds), None);
        assert_eq!(number("4KiB", Unit::Count("messages")), None);
    }

    #[test]
    fn quantities_print_in_a_form_that_reads_back() {
        for bytes in [0, 1, 1_000, 1_024, 65_536, 1 << 20, (1 << 24) - 1, 1 << 30] {
            let text = quantity(bytes, Unit::Bytes);
            assert_eq!(number(&text, Unit::Bytes), Some(bytes), "{text}");
        }
    }
}
