//! Promise: the program does what it says over a store at rest and over one in use; its
//! exit code tells; what goes into a pipe is for programs, what goes to a terminal for
//! people.

mod at_rest;
#[path = "../common/mod.rs"]
mod common;
mod looks;
mod moves;
mod terminal;
mod tool;
