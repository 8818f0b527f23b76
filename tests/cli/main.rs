//! Guarantee: the program works as documented with and without an engine; its exit code reports the
//! result; output to a pipe is for programs, output to a terminal for people.

mod at_rest;
#[path = "../common/mod.rs"]
mod common;
mod engine;
mod following;
mod history;
mod looks;
mod moves;
#[path = "../common/http.rs"]
mod net;
mod serve;
mod service;
mod slips;
mod tally;
mod terminal;
mod tool;
mod volumes;
