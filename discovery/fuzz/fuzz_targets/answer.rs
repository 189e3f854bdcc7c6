//! Coverage-guided input for answers of name servers.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| overlane_discovery::resolver::fuzz_answer(data));
