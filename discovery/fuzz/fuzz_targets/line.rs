//! Coverage-guided input for lines of a watch, and for lists.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| overlane_discovery::kubernetes::fuzz_line(data));
