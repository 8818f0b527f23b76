//! Guarantee: after any operations, and any way in which the store ends in between, its content
//! equals that of a plain list in memory, in every way of reading.
//!
//! Random operations are applied to a store in a real directory and to a [`world::World`] of plain
//! values; each result is compared. Between them the store is closed, dropped, killed (its
//! directory is copied while it is open), loses its index, or is cut at any byte of the log after
//! the data of an earlier operation: then its content is that after the last operation entirely
//! before the cut.
//!
//! Every case has its own seed, from 0 or `JOBSTORE_MODEL_SEED` on, and failures print the seed;
//! the number of cases is `PROPTEST_CASES`, or 64.

mod common;
#[path = "model/directory.rs"]
mod directory;
#[path = "model/operations.rs"]
mod operations;
#[path = "model/store.rs"]
mod store;
#[path = "model/world.rs"]
mod world;

use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::operations::{Op, an_op};
use crate::store::{OPENED_WITH_PACKS, Test};

fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn check_case(seed: u64, next: &AtomicUsize) {
    let config = Config {
        cases: 1,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..Config::default()
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, random);
    let ops = proptest::collection::vec(an_op(), 30..60);
    let checked = runner.run(&ops, |ops| {
        let mut test = Test::new();
        test.do_op(&Op::CreateGraph(0));
        ops.iter().for_each(|op| test.do_op(op));
        test.check_all();
        test.do_op(&Op::Reopen);
        Ok(())
    });
    if let Err(failure) = checked {
        // The other threads can stop.
        next.store(usize::MAX / 2, Ordering::SeqCst);
        panic!("JOBSTORE_MODEL_SEED={seed} PROPTEST_CASES=1 repeats this: {failure}");
    }
}

#[test]
fn a_store_holds_what_a_plain_list_would_whatever_ends_it() {
    let cases = number_from("PROPTEST_CASES").unwrap_or(64);
    let first = number_from("JOBSTORE_MODEL_SEED").unwrap_or(0);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        // A store waits for its disk most of the time.
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::SeqCst) as u64;
                    if n >= cases {
                        return;
                    }
                    check_case(first + n, &next);
                }
            });
        }
    });
    // Otherwise the test would cover less than it claims.
    let with_packs = OPENED_WITH_PACKS.load(Ordering::SeqCst) as u64;
    assert!(
        cases < 16 || with_packs > cases,
        "packs were hardly ever there: {with_packs}"
    );
}
