//! Spans of time and shares, as they are written on the command line.

/// A span of time, given as milliseconds with or without decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Milliseconds {
    pub(super) micros: u64,
}

/// A share, given in percent with or without the sign.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Percent {
    /// 0 to 1.
    pub(super) share: f64,
}

/// Reads `5`, `0.5`: at most an hour.
pub(super) fn parse_milliseconds(text: &str) -> Result<Milliseconds, String> {
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

/// Reads `50%`, `50`, `0.5%`.
pub(super) fn parse_percent(text: &str) -> Result<Percent, String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_shares_are_read_and_bounded() {
        assert_eq!(parse_milliseconds("0.5"), Ok(Milliseconds { micros: 500 }));
        assert_eq!(parse_percent("50%"), Ok(Percent { share: 0.5 }));
        assert_eq!(parse_percent("50"), Ok(Percent { share: 0.5 }));
        for text in ["-1", "NaN", "", "1e9", "inf", "x%"] {
            assert!(parse_percent(text).is_err(), "{text}");
            assert!(parse_milliseconds(text).is_err(), "{text}");
        }
    }
}
