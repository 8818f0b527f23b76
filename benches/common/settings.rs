//! How much is measured: from the command line and the environment.

use std::time::Duration;

/// Whether everything is to run once, small: `cargo bench -- --test`, and wherever
/// cargo runs benchmarks as tests. Criterion decides it the same way.
pub fn is_test() -> bool {
    let has = |wanted| std::env::args().any(|argument| argument == wanted);
    has("--test") || !has("--bench")
}

/// One of two: for a test, or to measure.
pub fn sized<T>(test: T, measured: T) -> T {
    if is_test() { test } else { measured }
}

/// The jobs of a filled store: `JOBSTORE_BENCH_JOBS`, a million where it is not set.
pub fn jobs() -> u64 {
    sized(5_000, number("JOBSTORE_BENCH_JOBS", 1_000_000))
}

/// How often things are measured in turns: `JOBSTORE_BENCH_ROUNDS`.
pub fn rounds(default: u64) -> u64 {
    sized(1, number("JOBSTORE_BENCH_ROUNDS", default))
}

fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}: {text}")),
        Err(_) => default,
    }
}

/// Criterion with what all of these have in common. What is measured reads files or
/// waits for a disk: a few long samples say more than many short ones.
pub fn criterion() -> criterion::Criterion {
    criterion::Criterion::default()
        .without_plots()
        .sample_size(10)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args()
}
