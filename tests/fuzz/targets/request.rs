#![no_main]
//! See `jobstore::fuzzing::request`.

libfuzzer_sys::fuzz_target!(|input: &[u8]| jobstore::fuzzing::request(input));
