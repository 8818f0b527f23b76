//! Promise: the program does what it says over a store at rest and over one in use; its
//! exit code tells; what goes into a pipe is for programs, what goes to a terminal for
//! people.

mod at_rest;
#[path = "../common/mod.rs"]
mod common;
mod engine;
mod looks;
mod moves;
#[path = "../common/http.rs"]
mod net;
mod serve;
mod slips;
mod terminal;
mod tool;
mod volumes;
