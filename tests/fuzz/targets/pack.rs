#![no_main]
//! See `jobstore::fuzzing::pack`.

libfuzzer_sys::fuzz_target!(|input: &[u8]| jobstore::fuzzing::pack(input));
