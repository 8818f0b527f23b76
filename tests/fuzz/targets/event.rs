#![no_main]
//! See `jobstore::fuzzing::event`.

libfuzzer_sys::fuzz_target!(|input: &[u8]| jobstore::fuzzing::event(input));
