//! Spans of time and shares, as they are written on the command line.

use std::time::Duration;

/// A span of time, given as milliseconds with or without decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Milliseconds {
    pub(crate) micros: u64,
}

/// A share, given in percent with or without the sign.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Percent {
    /// 0 to 1.
    pub(crate) share: f64,
}

/// Reads `5`, `0.5`: at most an hour.
pub(crate) fn parse_milliseconds(text: &str) -> Result<Milliseconds, String> {
    let milliseconds: f64 = text.parse().map_err(|_| "not a number of milliseconds")?;
    if !(0.0..=3.6e6).contains(&milliseconds) {
        return Err("must be from 0 to 3600000".into());
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 0 to 3.6e9, as was just checked"
    )]
    let micros = (milliseconds * 1e3).round() as u64;
    Ok(Milliseconds { micros })
}

/// The units of a span, and their nanoseconds.
const UNITS: [(&str, f64); 5] = [
    ("us", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3600e9),
];

/// Reads `20ms`, `1.5s`, `5m`: at most 1,000 hours.
pub(crate) fn parse_span(text: &str) -> Result<Duration, String> {
    let right = "not a span of time, such as 20ms, 30s or 5m";
    let unit =
        text.trim_start_matches(|character: char| character.is_ascii_digit() || character == '.');
    let number: f64 = text[..text.len() - unit.len()].parse().map_err(|_| right)?;
    let known = UNITS.iter().find(|(name, _)| *name == unit);
    let (_, nanoseconds) = known.ok_or(right)?;
    let span = number * nanoseconds;
    if !(0.0..=3.6e15).contains(&span) {
        return Err("must be at most 1000h".into());
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 0 to 3.6e15, as was just checked"
    )]
    let nanoseconds = span.round() as u64;
    Ok(Duration::from_nanos(nanoseconds))
}

/// Reads `50%`, `50`, `0.5%`.
pub(crate) fn parse_percent(text: &str) -> Result<Percent, String> {
    let number = text.strip_suffix('%').unwrap_or(text);
    let percent: f64 = number
        .parse()
        .map_err(|_| "not a share in percent, such as 50%")?;
    if !(0.0..=100.0).contains(&percent) {
        return Err("must be from 0% to 100%".into());
    }
    Ok(Percent {
        share: percent / 100.0,
    })
}

/// Reads `20%`, `20`: whole, from 1 to 100.
pub(crate) fn parse_whole_percent(text: &str) -> Result<u8, String> {
    let number = text.strip_suffix('%').unwrap_or(text);
    let percent = number.parse().ok();
    let percent = percent.filter(|percent| (1..=100).contains(percent));
    percent.ok_or_else(|| "not a whole share from 1% to 100%, such as 20%".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_shares_are_read_and_bounded() {
        assert_eq!(parse_milliseconds("0.5"), Ok(Milliseconds { micros: 500 }));
        assert_eq!(parse_percent("50%"), Ok(Percent { share: 0.5 }));
        assert_eq!(parse_percent("50"), Ok(Percent { share: 0.5 }));
        assert_eq!(parse_whole_percent("20%"), Ok(20));
        assert_eq!(parse_whole_percent("100"), Ok(100));
        for text in ["0", "101%", "1.5%", "", "%", "-1", "300%"] {
            assert!(parse_whole_percent(text).is_err(), "{text}");
        }
        assert_eq!(parse_span("20ms"), Ok(Duration::from_millis(20)));
        assert_eq!(parse_span("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_span("5m"), Ok(Duration::from_secs(300)));
        for text in ["", "5", "s", "-1s", "5d", "1.2.3s", "1001h", "5 s", "é"] {
            assert!(parse_span(text).is_err(), "{text}");
        }
        for text in ["-1", "NaN", "", "1e9", "inf", "x%"] {
            assert!(parse_percent(text).is_err(), "{text}");
            assert!(parse_milliseconds(text).is_err(), "{text}");
        }
    }
}
