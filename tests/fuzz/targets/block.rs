#![no_main]
//! See `jobstore::fuzzing::block`.

libfuzzer_sys::fuzz_target!(|input: &[u8]| jobstore::fuzzing::block(input));
