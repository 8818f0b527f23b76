//! The size of measurements, from the command line and the environment.

use std::time::Duration;

/// Returns whether everything runs only once and with small sizes: with `cargo bench -- --test`,
/// and whenever cargo runs benchmarks as tests. Criterion decides this in the same way.
pub fn is_test() -> bool {
    let has = |wanted| std::env::args().any(|argument| argument == wanted);
    has("--test") || !has("--bench")
}

/// Returns the first value for a test, and the second for a measurement.
pub fn sized<T>(test: T, measured: T) -> T {
    if is_test() { test } else { measured }
}

/// Returns the number of jobs in a filled store: `JOBSTORE_BENCH_JOBS`, or a million if it is not
/// set.
pub fn jobs() -> u64 {
    sized(5_000, number("JOBSTORE_BENCH_JOBS", 1_000_000))
}

/// Returns the number of rounds of alternating measurements: `JOBSTORE_BENCH_ROUNDS`, or `default`.
pub fn rounds(default: u64) -> u64 {
    sized(1, number("JOBSTORE_BENCH_ROUNDS", default))
}

fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}: {text}")),
        Err(_) => default,
    }
}

/// Returns Criterion with the common settings. The measurements read files or wait for a disk, so a
/// few long samples are more informative than many short ones.
pub fn criterion() -> criterion::Criterion {
    criterion::Criterion::default()
        .without_plots()
        .sample_size(10)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args()
}
