#![no_main]
//! See `jobstore::fuzzing::segment`.

libfuzzer_sys::fuzz_target!(|input: &[u8]| jobstore::fuzzing::segment(input));
