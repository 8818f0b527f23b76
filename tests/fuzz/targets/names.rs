#![no_main]
//! See `jobstore::fuzzing::names`.

libfuzzer_sys::fuzz_target!(|input: &[u8]| jobstore::fuzzing::names(input));
