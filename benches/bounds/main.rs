//! Checks whether the documented bounds are met, whatever happened to the store before: disk space,
//! the time of an open, memory, file descriptors, and the cost of reading a closed store. `graphs`
//! measures the bounds for many graphs.
//!
//! Run it with `cargo bench --bench bounds`. `JOBSTORE_BENCH_PARTS=disk,opens,closed` selects some
//! of the parts. `JOBSTORE_BENCH_ROUNDS` sets the number of generations and of opens. Each figure
//! is printed next to its bound. Nothing is asserted, because machines differ.

#[path = "../common/mod.rs"]
mod common;

mod closed;
mod disk;
mod jobs;
mod opens;
mod process;

use common::{child, table};

fn main() {
    if let Some(role) = child::role() {
        let path = std::path::Path::new(&role[1]);
        return match role[0].as_str() {
            "work" => jobs::work(path),
            "read closed" => closed::read(path, &role[2]),
            _ => opens::open_and_list(path),
        };
    }
    let parts = std::env::var("JOBSTORE_BENCH_PARTS");
    let parts = parts.unwrap_or_else(|_| "disk,opens,closed".to_owned());
    table::head(&["what", "figure", "bound"]);
    for part in parts.split(',') {
        match part {
            "disk" => disk::measure(),
            "opens" => opens::measure(),
            "closed" => closed::measure(),
            other => panic!("JOBSTORE_BENCH_PARTS: {other}"),
        }
    }
}

/// Prints a figure next to its bound.
fn row(what: &str, figure: String, bound: &str) {
    table::row(&[what.to_owned(), figure, bound.to_owned()]);
}
