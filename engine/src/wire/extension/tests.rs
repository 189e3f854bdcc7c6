//! What an extension takes, what it refuses, and that it has one encoding.
use super::*;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

const REQUEST: Correlation = Correlation {
    id: 7,
    role: Role::Request,
};

const SPAN: TraceContext = TraceContext {
    trace_id: [1; 16],
    span_id: [2; 8],
    flags: 1,
};

/// An entry in its encoding.
fn entry(entry_type: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).expect("short").to_le_bytes();
    [&[entry_type], &length[..], value].concat()
}

/// Writes whatever entries, in that order.
fn write(writer: &mut ExtensionWriter<'_>, entry: &Entry<'_>) -> Result<(), ExtensionError> {
    match entry {
        Entry::Correlation(correlation) => writer.correlation(*correlation),
        Entry::DeadlineMs(deadline_ms) => writer.deadline_ms(*deadline_ms),
        Entry::MessageType(message_type) => writer.message_type(message_type),
        Entry::Metadata { key, value } => writer.metadata(key, value),
        Entry::Trace(trace) => writer.trace(trace),
        Entry::Receipt(number) => writer.receipt(*number),
        Entry::Key(key) => writer.key(*key),
        Entry::Causes(causes) => writer.causes(causes.encoded()),
        Entry::Unknown { entry_type, value } => writer.entry(*entry_type, &[value]),
    }
}

#[test]
fn every_entry_is_read_as_it_was_written() {
    let mut buffer = [0; EXTENSION_BYTES_MAX];
    let mut writer = ExtensionWriter::new(&mut buffer);
    writer.correlation(REQUEST).expect("room");
    writer.deadline_ms(250).expect("room");
    writer.message_type("order").expect("room");
    writer.metadata("tenant", b"7").expect("room");
    writer.metadata("tenant", b"").expect("a key may repeat");
    writer.trace(&SPAN).expect("room");
    let extension = writer.finish();
    assert_eq!(Extension::check(extension.encoded()), Ok(extension));
    assert_eq!(extension.correlation(), Some(REQUEST));
    assert_eq!(extension.deadline_ms(), Some(250));
    assert_eq!(extension.message_type(), Some("order"));
    let metadata: Vec<_> = extension.metadata().collect();
    assert_eq!(metadata, [("tenant", &b"7"[..]), ("tenant", b"")]);
    assert_eq!(extension.trace(), Some(SPAN));
    assert_eq!(extension.entries().count(), 6);
}

#[test]
fn none_has_nothing() {
    assert_eq!(Extension::check(&[]), Ok(Extension::NONE));
    assert!(Extension::NONE.is_none());
    assert_eq!(Extension::NONE.entries().count(), 0);
    assert_eq!(Extension::NONE.correlation(), None);
}

#[test]
fn entries_that_cannot_be_are_refused() {
    let long = vec![0; EXTENSION_BYTES_MAX + 1];
    let correlation = entry(CORRELATION, &[0; 9]);
    for (what, bytes, error) in [
        (
            "over the limit",
            long,
            ExtensionError::TooLarge { bytes: 2049 },
        ),
        ("half a header", vec![DEADLINE, 4], ExtensionError::CutOff),
        (
            "half a value",
            vec![DEADLINE, 4, 0, 1],
            ExtensionError::CutOff,
        ),
        (
            "64 KiB stated",
            vec![METADATA, 0xff, 0xff, 1, b'a'],
            ExtensionError::CutOff,
        ),
        (
            "33 entries",
            entry(METADATA, b"\x01k").repeat(33),
            ExtensionError::TooManyEntries,
        ),
        (
            "twice",
            correlation.repeat(2),
            ExtensionError::OutOfOrder { entry_type: 1 },
        ),
        (
            "descending",
            [entry(DEADLINE, &[0; 4]), correlation].concat(),
            ExtensionError::OutOfOrder { entry_type: 1 },
        ),
        (
            "mandatory and unknown",
            entry(0x02, b"x"),
            ExtensionError::UnknownMandatory { entry_type: 2 },
        ),
        (
            "type 0",
            vec![0; 64],
            ExtensionError::UnknownMandatory { entry_type: 0 },
        ),
        (
            "a role of a later version",
            entry(CORRELATION, &[0, 0, 0, 0, 0, 0, 0, 0, 4]),
            ExtensionError::BadValue { entry_type: 1 },
        ),
        (
            "a short deadline",
            entry(DEADLINE, &[0; 3]),
            ExtensionError::BadValue { entry_type: 0x81 },
        ),
        (
            "metadata without a length",
            entry(METADATA, b""),
            ExtensionError::BadValue { entry_type: 0x83 },
        ),
        (
            "a key beyond its value",
            entry(METADATA, b"\x05key"),
            ExtensionError::BadValue { entry_type: 0x83 },
        ),
        (
            "a long trace",
            entry(TRACE, &[0; 26]),
            ExtensionError::BadValue { entry_type: 0x84 },
        ),
        (
            "an empty type",
            entry(MESSAGE_TYPE, b""),
            ExtensionError::BadName {
                entry_type: 0x82,
                error: NameError::Empty,
            },
        ),
        (
            "an empty key",
            entry(METADATA, b"\0v"),
            ExtensionError::BadName {
                entry_type: 0x83,
                error: NameError::Empty,
            },
        ),
    ] {
        assert_eq!(Extension::check(&bytes), Err(error), "{what}");
        let reason = match error {
            ExtensionError::TooLarge { .. } => CloseReason::FrameTooLarge,
            ExtensionError::UnknownMandatory { .. } => CloseReason::UnknownExtension,
            _ => CloseReason::FrameMalformed,
        };
        assert_eq!(error.close_reason(), reason, "{what}");
    }
}

#[test]
fn an_unknown_optional_entry_is_passed_over() {
    let bytes = [
        entry(CORRELATION, &[7, 0, 0, 0, 0, 0, 0, 0, 0]),
        entry(0xf0, b"later"),
        entry(0xf0, b"again"),
    ]
    .concat();
    let extension = Extension::check(&bytes).expect("optional");
    assert_eq!(extension.correlation(), Some(REQUEST));
    assert_eq!(extension.encoded(), bytes);
}

#[test]
fn what_is_refused_is_not_written_and_the_writer_goes_on() {
    let mut buffer = [0; 24];
    let mut writer = ExtensionWriter::new(&mut buffer);
    writer.deadline_ms(1).expect("room");
    let out_of_order = Err(ExtensionError::OutOfOrder { entry_type: 1 });
    assert_eq!(writer.correlation(REQUEST), out_of_order);
    assert!(writer.message_type("a\nb").is_err());
    assert!(writer.metadata(&"k".repeat(256), b"").is_err());
    let no_room = Err(ExtensionError::NoRoom { bytes: 24 });
    assert_eq!(writer.message_type("longer than the buffer"), no_room);
    writer.message_type("short").expect("room");
    let extension = writer.finish();
    assert_eq!(extension.entries().count(), 2);
    assert_eq!(extension.message_type(), Some("short"));

    let mut buffer = vec![0; 4096];
    let mut writer = ExtensionWriter::new(&mut buffer);
    for _ in 0..EXTENSION_ENTRIES_MAX {
        writer.metadata("k", b"v").expect("room");
    }
    assert_eq!(
        writer.metadata("k", b"v"),
        Err(ExtensionError::TooManyEntries)
    );
    let mut writer = ExtensionWriter::new(&mut buffer);
    let too_large = ExtensionError::TooLarge { bytes: 2049 };
    let one_too_many = vec![0; EXTENSION_BYTES_MAX + 1 - ENTRY_HEADER_BYTES - 2];
    assert_eq!(writer.metadata("k", &one_too_many), Err(too_large));
    assert!(
        writer.metadata("k", &one_too_many[1..]).is_ok(),
        "the largest fits"
    );
}

/// Some of each entry there can be, in any order.
fn any_entry() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let name = "[a-z]{1,9}".prop_map(String::into_bytes);
    let metadata =
        (name.clone(), prop::collection::vec(any::<u8>(), 0..20)).prop_map(|(key, value)| {
            let length = u8::try_from(key.len()).expect("short");
            (METADATA, [&[length], &key[..], &value].concat())
        });
    prop_oneof![
        (any::<[u8; 8]>(), 0..4_u8)
            .prop_map(|(id, role)| (CORRELATION, [&id[..], &[role]].concat())),
        any::<[u8; 4]>().prop_map(|bytes| (DEADLINE, bytes.to_vec())),
        name.prop_map(|name| (MESSAGE_TYPE, name)),
        metadata,
        any::<[u8; 25]>().prop_map(|bytes| (TRACE, bytes.to_vec())),
        (0x8b..=0xff_u8, prop::collection::vec(any::<u8>(), 0..20)),
    ]
}

/// What is read from good entries gives the same bytes when it is written.
fn rewrite(extension: Extension<'_>) -> TestCaseResult {
    let mut buffer = [0; EXTENSION_BYTES_MAX];
    let mut writer = ExtensionWriter::new(&mut buffer);
    for entry in extension.entries() {
        prop_assert_eq!(write(&mut writer, &entry), Ok(()));
    }
    prop_assert_eq!(writer.finish().encoded(), extension.encoded());
    Ok(())
}

proptest! {
    #[test]
    fn good_entries_go_through_and_have_one_encoding(
        mut entries in prop::collection::vec(any_entry(), 0..20),
    ) {
        entries.sort_by_key(|(entry_type, _)| *entry_type);
        entries.dedup_by(|(later, _), (earlier, _)| later == earlier && *later != METADATA);
        let bytes: Vec<u8> =
            entries.iter().flat_map(|(entry_type, value)| entry(*entry_type, value)).collect();
        let extension = Extension::check(&bytes);
        prop_assert!(extension.is_ok(), "{:?}", extension);
        rewrite(extension.unwrap_or_default())?;
        // Cut off anywhere but between two entries, it is no extension.
        let mut ends = vec![0];
        for (_, value) in &entries {
            ends.push(ends[ends.len() - 1] + ENTRY_HEADER_BYTES + value.len());
        }
        for cut in 0..bytes.len() {
            prop_assert_eq!(Extension::check(&bytes[..cut]).is_ok(), ends.contains(&cut));
        }
    }

    #[test]
    fn any_bytes_are_refused_or_have_one_encoding(
        bytes in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        if let Ok(extension) = Extension::check(&bytes) {
            rewrite(extension)?;
        }
    }
}
