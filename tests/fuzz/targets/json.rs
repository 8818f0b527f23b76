#![no_main]
//! See `jobstore::fuzzing::json`.

libfuzzer_sys::fuzz_target!(|input: &[u8]| jobstore::fuzzing::json(input));
