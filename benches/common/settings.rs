//! The size of measurements, from the command line and the environment.

use std::time::Duration;

/// Whether everything runs once with small sizes: `cargo bench -- --test`, and whenever cargo runs
/// benchmarks as tests. Criterion decides it in the same way.
pub fn is_test() -> bool {
    let has = |wanted| std::env::args().any(|argument| argument == wanted);
    has("--test") || !has("--bench")
}

/// One of two values: for a test, or for a measurement.
pub fn sized<T>(test: T, measured: T) -> T {
    if is_test() { test } else { measured }
}

/// The number of jobs in a filled store: `JOBSTORE_BENCH_JOBS`, a million by default.
pub fn jobs() -> u64 {
    sized(5_000, number("JOBSTORE_BENCH_JOBS", 1_000_000))
}

/// The number of rounds of alternating measurements: `JOBSTORE_BENCH_ROUNDS`.
pub fn rounds(default: u64) -> u64 {
    sized(1, number("JOBSTORE_BENCH_ROUNDS", default))
}

fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}: {text}")),
        Err(_) => default,
    }
}

/// Criterion with the common settings. The measurements read files or wait for a disk: a few long
/// samples are more informative than many short ones.
pub fn criterion() -> criterion::Criterion {
    criterion::Criterion::default()
        .without_plots()
        .sample_size(10)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args()
}
