//! Test support: crashes, thread schedules, fuzzing, and simulation. Apart from re-exports in
//! `lib.rs`, no other code of the crate uses it.

#[cfg(all(test, not(jobstore_shuttle)))]
mod crash;
#[cfg(any(fuzzing, all(test, not(jobstore_shuttle))))]
pub mod fuzzing;
#[cfg(test)]
mod index_conformance;
#[cfg(all(test, not(jobstore_shuttle)))]
mod many_graphs;
#[cfg(all(test, not(jobstore_shuttle)))]
mod replica_protocol;
#[cfg(all(test, jobstore_shuttle))]
mod schedule;
#[cfg(feature = "simulation")]
pub mod simulation;
