//! The store's guarantees under any interleaving of its threads.
//!
//! A store with its directory and index in memory runs with all its threads under a scheduler,
//! which chooses at each step which thread runs next. Build and run with `RUSTFLAGS='--cfg
//! jobstore_shuttle' cargo test --lib testing::schedule --target-dir target/shuttle --
//! --nocapture`. The other tests do not run in such a build.
//! - `explore`: the number of schedules, the schedulers, and the replay of a schedule.
//! - `store`: the store under test, with segments small enough that files are sealed all the time.
//! - `committer`: every write gets exactly one result, whichever thread commits, fails, or closes.
//! - `gathering`: the committer thread of a store with a replica waits for several writes, and misses
//!   none.
//! - `publication`: readers see commits only when they are complete and durable, and in one order.
//! - `pins`: a page does not change while the files it reads are packed, merged, or dropped.
//! - `waits`: every waiter sees the completion, and purges remove nothing that a page uses.
//! - `claims`: no job waits while workers wait, and dropped claims lose no job.
//! - `runs`: a job belongs to one run at a time, and requeuing loses none.
//! - `moving`: ids and outcomes are found at every moment while they move to the index.

mod claims;
mod committer;
mod explore;
mod gathering;
mod moving;
mod pins;
mod publication;
mod runs;
mod store;
mod waits;
