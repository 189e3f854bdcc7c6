//! Codecs: how a value of an application's type becomes a payload, and is read back.
//!
//! Used by `typed`, and by applications in handlers. Each format is behind a feature of its own and is all
//! of it that is here; what a codec reads came from another node, so it may fail, but must not panic or take
//! memory by what a length says.

/// Characters of a format's own text that an error keeps: it can repeat what another node sent.
const WHAT_CHARACTERS_MAX: usize = 200;

/// Turns values of `T` into payloads and back.
pub trait Codec<T> {
    /// Appends the encoding of `value` to `out`, which is empty.
    ///
    /// # Errors
    /// [`CodecError`] if the format has no encoding for the value.
    fn encode(&self, value: &T, out: &mut Vec<u8>) -> Result<(), CodecError>;

    /// Reads a value from a whole payload.
    ///
    /// # Errors
    /// [`CodecError`] if it is not the encoding of one.
    fn decode(&self, payload: &[u8]) -> Result<T, CodecError>;
}

/// A value that cannot be encoded, or a payload that is not the encoding of one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not {format}, or not of the type expected: {what}; both nodes have to use one codec and one type for a mailbox"
)]
pub struct CodecError {
    /// The format.
    pub format: &'static str,
    /// What the format says of it, shortened.
    pub what: String,
}

impl CodecError {
    /// Of that format, with what it says of it.
    #[must_use]
    pub fn new(format: &'static str, what: &impl std::fmt::Display) -> Self {
        let what = what.to_string();
        let what = what.escape_debug().take(WHAT_CHARACTERS_MAX).collect();
        Self { format, what }
    }
}

/// [JSON](https://www.json.org), by `serde_json`: read by anything, four to ten times the bytes of a binary
/// format. Feature `codec-json`.
#[cfg(feature = "codec-json")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json;

#[cfg(feature = "codec-json")]
impl<T: serde::Serialize + serde::de::DeserializeOwned> Codec<T> for Json {
    fn encode(&self, value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
        serde_json::to_writer(out, value).map_err(|error| CodecError::new("JSON", &error))
    }

    fn decode(&self, payload: &[u8]) -> Result<T, CodecError> {
        serde_json::from_slice(payload).map_err(|error| CodecError::new("JSON", &error))
    }
}

/// [Postcard](https://postcard.jamesmunns.com): small and quick, for nodes that share their types; fields are
/// told by their place alone. Feature `codec-postcard`.
#[cfg(feature = "codec-postcard")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Postcard;

#[cfg(feature = "codec-postcard")]
impl<T: serde::Serialize + serde::de::DeserializeOwned> Codec<T> for Postcard {
    fn encode(&self, value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
        let encoded = postcard::to_io(value, out);
        encoded
            .map(drop)
            .map_err(|error| CodecError::new("postcard", &error))
    }

    fn decode(&self, payload: &[u8]) -> Result<T, CodecError> {
        match postcard::take_from_bytes(payload) {
            Ok((value, [])) => Ok(value),
            Ok((_, rest)) => {
                let what = format!("{} bytes follow its end", rest.len());
                Err(CodecError::new("postcard", &what))
            }
            Err(error) => Err(CodecError::new("postcard", &error)),
        }
    }
}

/// [Protocol Buffers](https://protobuf.dev), by `prost`: for types that change while nodes of several versions
/// and languages run. Feature `codec-protobuf`.
#[cfg(feature = "codec-protobuf")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Protobuf;

#[cfg(feature = "codec-protobuf")]
impl<T: prost::Message + Default> Codec<T> for Protobuf {
    fn encode(&self, value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
        value
            .encode(out)
            .map_err(|error| CodecError::new("protobuf", &error))
    }

    fn decode(&self, payload: &[u8]) -> Result<T, CodecError> {
        T::decode(payload).map_err(|error| CodecError::new("protobuf", &error))
    }
}
