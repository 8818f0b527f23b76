//! How close the store is to the limits of the machine. Its pages are compared with a copy of the
//! same bytes, its commits with writes and syncs of the same frames, and its pages by state with
//! its pages of all jobs.
//!
//! `cargo bench --bench limits`; `JOBSTORE_BENCH_JOBS=10000000` for more jobs,
//! `JOBSTORE_BENCH_ROUNDS` for more rounds. Both sides of a ratio are measured alternately.

#[path = "../common/mod.rs"]
mod common;

mod commits;
mod pages;

use common::settings;

fn main() {
    let (jobs, rounds) = (settings::jobs(), settings::rounds(9));
    println!(
        "{jobs} jobs; {rounds} alternating rounds, the order reversed each time: median \
         (min..max)"
    );
    pages::by_offset(jobs, rounds);
    commits::measure(rounds);
    pages::by_state(jobs, rounds);
}
