//! Where a message stands in a trace: its bytes are those of `extension`, its text that of the W3C Trace Context.
//!
//! Handed in by applications with a message (`Attributes::trace`), and out with it (`Message::trace`). The engine makes no
//! span of it and changes nothing in it.

use std::fmt;
use std::str::FromStr;

/// Where a message stands in a trace, as the [W3C Trace Context](https://www.w3.org/TR/trace-context/) has it.
///
/// Its text is that of the header `traceparent`, which tracing libraries read and write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// The trace.
    pub trace_id: [u8; 16],
    /// The span that sent the message.
    pub span_id: [u8; 8],
    /// The trace flags; bit 0 says that the trace is sampled.
    pub flags: u8,
}

/// Why a text is no trace context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a traceparent of the W3C Trace Context: 00, 32, 16 and 2 lower-case hexadecimal digits, with `-` in between, and neither id all zeros"
)]
pub struct BadTraceparent;

/// Bit 0 of the flags.
pub(crate) const SAMPLED: u8 = 1;

impl TraceContext {
    /// Whether whoever began the trace records it.
    #[must_use]
    pub const fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The same place, of which nobody records anything.
    pub(crate) const fn unsampled(self) -> Self {
        Self {
            flags: self.flags & !SAMPLED,
            ..self
        }
    }

    /// The same trace, at another span: what a message that follows from this one says.
    #[must_use]
    pub const fn at(self, span_id: [u8; 8]) -> Self {
        Self { span_id, ..self }
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("00-")?;
        hexadecimal(formatter, &self.trace_id)?;
        formatter.write_str("-")?;
        hexadecimal(formatter, &self.span_id)?;
        write!(formatter, "-{:02x}", self.flags)
    }
}

fn hexadecimal(formatter: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes
        .iter()
        .try_for_each(|byte| write!(formatter, "{byte:02x}"))
}

impl FromStr for TraceContext {
    type Err = BadTraceparent;

    /// Reads a `traceparent`. Of versions after 00 what is known of them is read, as the standard wants it.
    fn from_str(text: &str) -> Result<Self, BadTraceparent> {
        let mut parts = text.splitn(5, '-');
        let mut next = || parts.next().ok_or(BadTraceparent);
        let [version] = bytes(next()?)?;
        let trace_id = bytes(next()?)?;
        let span_id = bytes(next()?)?;
        let [flags] = bytes(next()?)?;
        let is_known = match version {
            0 => parts.next().is_none(),
            u8::MAX => false,
            _ => true,
        };
        if is_known && trace_id != [0; 16] && span_id != [0; 8] {
            Ok(Self {
                trace_id,
                span_id,
                flags,
            })
        } else {
            Err(BadTraceparent)
        }
    }
}

/// As many bytes as there are, of two lower-case digits each.
fn bytes<const N: usize>(digits: &str) -> Result<[u8; N], BadTraceparent> {
    let digits = digits.as_bytes();
    if digits.len() != 2 * N {
        return Err(BadTraceparent);
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = (digit(pair[0])? << 4) | digit(pair[1])?;
    }
    Ok(bytes)
}

fn digit(digit: u8) -> Result<u8, BadTraceparent> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(BadTraceparent),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The example of the standard.
    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_text_is_that_of_the_standard() {
        let context: TraceContext = EXAMPLE.parse().expect("it is one");
        assert_eq!(context.trace_id[..3], [0x4b, 0xf9, 0x2f]);
        assert_eq!(
            context.span_id,
            [0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]
        );
        assert!(context.is_sampled());
        assert_eq!(context.to_string(), EXAMPLE);
        let onward = context.at([7; 8]);
        assert_eq!((onward.trace_id, onward.flags), (context.trace_id, 1));
        let later = format!("01{}-more-of-it", &EXAMPLE[2..]);
        assert_eq!(later.parse(), Ok(context));
    }

    #[test]
    fn what_is_none_is_refused() {
        let with = |from: &str, to: &str| EXAMPLE.replacen(from, to, 1);
        for bad in [
            String::new(),
            "00".to_owned(),
            with("00-", "ff-"),
            with("00-", "0-"),
            with("4bf9", "4BF9"),
            with("4bf9", "4bf"),
            with("4bf9", "4bg9"),
            with("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            with("00f067aa0ba902b7", &"0".repeat(16)),
            with("-01", "-1"),
            with("-01", "-01-"),
            with("-01", ""),
            with("4bf9", "4\u{e9}f9"),
        ] {
            assert_eq!(bad.parse::<TraceContext>(), Err(BadTraceparent), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(trace_id: [u8; 16], span_id: [u8; 8], flags: u8) {
            let context = TraceContext { trace_id, span_id, flags };
            let is_one = trace_id != [0; 16] && span_id != [0; 8];
            prop_assert_eq!(context.to_string().parse().ok(), is_one.then_some(context));
        }

        #[test]
        fn no_text_makes_it_panic(text: String) {
            let _ = text.parse::<TraceContext>();
        }
    }
}
