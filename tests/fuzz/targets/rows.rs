#![no_main]
//! See `jobstore::fuzzing::rows`.

libfuzzer_sys::fuzz_target!(|input: &[u8]| jobstore::fuzzing::rows(input));
