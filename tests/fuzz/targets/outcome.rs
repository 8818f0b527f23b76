#![no_main]
//! See `jobstore::fuzzing::outcome`.

libfuzzer_sys::fuzz_target!(|input: &[u8]| jobstore::fuzzing::outcome(input));
