#![no_main]
//! See `jobstore::fuzzing::identity`.

libfuzzer_sys::fuzz_target!(|input: &[u8]| jobstore::fuzzing::identity(input));
