#![no_main]
//! See `jobstore::fuzzing::any_store`.

libfuzzer_sys::fuzz_target!(|input: &[u8]| jobstore::fuzzing::any_store(input));
