//! Coverage-guided input for `overlane import-libcluster`.
#![no_main]
#[path = "../../src/import_libcluster/check.rs"]
mod check;
#[path = "../../src/import_libcluster/elixir.rs"]
mod elixir;
#[path = "../../src/import_libcluster/print.rs"]
mod print;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::import(data));
