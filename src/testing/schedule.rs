//! What the store promises whatever the order of its threads' steps.
//!
//! A store over the folder and the index in memory runs with all its threads under
//! a scheduler, which draws at each step who goes on. Built and run by
//! `RUSTFLAGS='--cfg jobstore_shuttle' cargo test --lib testing::schedule --target-dir
//! target/shuttle -- --nocapture`; the other tests do not run in such a build.
//! - `explore`: how many schedules, by which scheduler, and how one is replayed.
//! - `store`: the store under test, small enough that files are sealed all the time.
//! - `committer`: every write is answered once, whoever commits, fails or closes.
//! - `publication`: what readers see of commits is whole, durable and in one order.
//! - `pins`: a page stays as it is while what it reads is packed, merged, dropped.
//! - `waits`: who waits for an end sees it; purges take nothing from under a page.
//! - `claims`: no job waits while workers wait, and dropped claims lose none.
//! - `runs`: a job is held by one run at a time, and requeuing loses none.
//! - `moving`: ids and outcomes are found at every moment of their way to the index.

mod claims;
mod committer;
mod explore;
mod moving;
mod pins;
mod publication;
mod runs;
mod store;
mod waits;
