//! jobstore as a C library.
//!
//! Each exported function takes and returns C types, and does its work through the public API of
//! the crate `jobstore`. `include/jobstore.h` is generated from these functions and their
//! documentation. The general rules are at the beginning of the header (`cbindgen.toml`).
//!
//! `call` contains the path that every function takes: arguments are checked, panics are caught,
//! and errors are returned. Pointers to handles, results, and errors are declared as references
//! that may be missing, so unsafe code is confined to `text`, `bytes`, and `callback`.

#![allow(non_camel_case_types, reason = "the names are those of C")]
#![warn(missing_docs, rust_2018_idioms)]
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::todo)]
#![cfg_attr(test, allow(clippy::panic, clippy::unwrap_used))]

// Shared code.
mod call;
mod callback;
mod task;

// The functions appear in the header in the order of these modules.
mod codes;

mod text;

mod bytes;

mod error;

mod options;

mod store;

mod graph;

mod submit;

mod work;

mod run;

mod job;

mod page;

mod counts;

mod changes;

mod retention;

mod moving;

mod maintenance;

mod control;

mod log;

mod queue;

mod nonblocking;

mod completion;
