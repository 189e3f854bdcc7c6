//! Coverage-guided input for beacons.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| overlane_discovery::multicast::fuzz_packet(data));
