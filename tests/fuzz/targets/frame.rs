#![no_main]
//! See `jobstore::fuzzing::frame`.

libfuzzer_sys::fuzz_target!(|input: &[u8]| jobstore::fuzzing::frame(input));
