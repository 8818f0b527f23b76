#![no_main]
//! See `jobstore::fuzzing::store_files`.

libfuzzer_sys::fuzz_target!(|input: &[u8]| jobstore::fuzzing::store_files(input));
