//! How much passes in a second, as people write it.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

/// A rate: `100mbit`, `1.5gbit`, `9600bit`, in bits per second and powers of 1,000, as `tc` has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate {
    bytes_per_s: NonZeroU64,
}

/// A text that is no rate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRate;

impl fmt::Display for BadRate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .write_str("give a number with bit, kbit, mbit or gbit per second, such as 100mbit")
    }
}

impl std::error::Error for BadRate {}

impl Rate {
    /// What passes in a second.
    #[must_use]
    pub const fn bytes_per_s(self) -> NonZeroU64 {
        self.bytes_per_s
    }

    /// The same in bits.
    #[must_use]
    pub const fn bits_per_s(self) -> u64 {
        self.bytes_per_s.get().saturating_mul(8)
    }
}

impl FromStr for Rate {
    type Err = BadRate;

    fn from_str(text: &str) -> Result<Self, BadRate> {
        let lower = text.to_ascii_lowercase();
        let number = lower.strip_suffix("bit").ok_or(BadRate)?;
        let (number, scale) = match number.strip_suffix(['k', 'm', 'g']) {
            None => (number, 1.0),
            Some(rest) if number.ends_with('k') => (rest, 1e3),
            Some(rest) if number.ends_with('m') => (rest, 1e6),
            Some(rest) => (rest, 1e9),
        };
        let bits_per_s = number.parse::<f64>().map_err(|_| BadRate)? * scale;
        if !(8.0..=1e15).contains(&bits_per_s) {
            return Err(BadRate);
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "within the range that was just looked at"
        )]
        let bytes_per_s = (bits_per_s / 8.0) as u64;
        let bytes_per_s = NonZeroU64::new(bytes_per_s).ok_or(BadRate)?;
        Ok(Self { bytes_per_s })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_bits_in_powers_of_a_thousand() {
        for (text, bytes_per_s) in [
            ("100mbit", 12_500_000),
            ("1.5gbit", 187_500_000),
            ("64kbit", 8_000),
            ("8bit", 1),
            ("10MBIT", 1_250_000),
        ] {
            let rate: Rate = text.parse().expect(text);
            assert_eq!(rate.bytes_per_s().get(), bytes_per_s, "{text}");
            assert_eq!(rate.bits_per_s(), 8 * bytes_per_s, "{text}");
        }
    }

    #[test]
    fn what_is_no_rate_is_refused() {
        for text in [
            "", "bit", "mbit", "100", "100mb", "-1mbit", "0kbit", "nanbit", "1e99gbit", "infbit",
        ] {
            assert_eq!(text.parse::<Rate>(), Err(BadRate), "{text}");
        }
    }
}
