//! How measurements are made: on alternating stores, in rotated order, with medians. Concurrent
//! callers have their own threads.

use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

/// Measures each of `of` things once per round. Every round begins with a different thing. A round
/// with number 0 is a warm-up round, whose figures are ignored. Returns the median of each thing.
pub fn in_rotation(
    of: usize,
    rounds: std::ops::RangeInclusive<usize>,
    mut measure: impl FnMut(usize) -> Result<Option<f64>>,
) -> Result<Vec<Option<f64>>> {
    let mut found = vec![Vec::new(); of];
    for round in rounds {
        for n in 0..of {
            let n = (n + round) % of;
            let value = measure(n)?;
            if round > 0 {
                found[n].extend(value);
            }
        }
    }
    Ok(found.into_iter().map(median).collect())
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Makes the allocator finish the work that earlier frees have left to it. glibc sorts and merges
/// small freed blocks only when a large one is requested, at most 10,000 of them per request. Without
/// this, the first store that requests one would pay for what the other stores have freed: a page of
/// 100,000 jobs from jobstore took 30 ms instead of 10.
fn settle_allocator() {
    for _ in 0..200 {
        drop(black_box(Vec::<u8>::with_capacity(64 << 10)));
    }
}

/// Returns the duration of `work` in seconds.
pub fn seconds(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    settle_allocator();
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64())
}

/// Makes `callers` threads repeat `work` for this long. Returns how many times they did it, and in
/// how many seconds. `work` gets the numbers of the caller and of the repetition.
pub fn over_and_over(
    callers: usize,
    time: Duration,
    work: impl Fn(usize, usize) -> Result<()> + Sync,
) -> Result<(u64, f64)> {
    let (begin, is_over) = (Barrier::new(callers + 1), AtomicBool::new(false));
    let (begin, is_over, work) = (&begin, &is_over, &work);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..callers)
            .map(|caller| {
                scope.spawn(move || -> Result<u64> {
                    begin.wait();
                    let mut done = 0;
                    while !is_over.load(Ordering::Relaxed) {
                        work(caller, done)?;
                        done += 1;
                    }
                    Ok(done as u64)
                })
            })
            .collect();
        begin.wait();
        let start = Instant::now();
        std::thread::sleep(time);
        is_over.store(true, Ordering::Relaxed);
        let mut done = 0;
        for thread in threads {
            done += thread.join().map_err(|_| anyhow!("a caller panicked"))??;
        }
        Ok((done, start.elapsed().as_secs_f64()))
    })
}
