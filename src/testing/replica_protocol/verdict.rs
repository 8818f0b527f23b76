//! Compares what was found with what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::actor::simulate;
use super::world::{Found, Violation, World};
use super::{NEVER, writer};
use crate::log::disk::memory::MemoryDisk;
use crate::model::replica::Replica;
use crate::replica::calls::Calls;
use crate::replica::claim;

/// Once all actors have ended and all late requests have arrived: an empty machine, and all
/// machines of the run, one after the other, restore the same log, with all that was acknowledged.
pub(super) fn judge(world: &World, disks: Vec<MemoryDisk>) {
    simulate(u64::MAX);
    world.replica.deliver_late();
    let replica = Arc::new(world.replica.copy());
    let claims = claims(&*replica);
    let mut logs = Vec::new();
    for (n, disk) in [MemoryDisk::default()].into_iter().chain(disks).enumerate() {
        match writer::claim(&disk, replica.clone()) {
            Ok((_, _, log)) => logs.push(log.facts),
            Err(error) => {
                let what = format!("directory {n}: {error} ({error:?})");
                world.violated(Violation::Failed, what);
            }
        }
    }
    let record = &mut *world.record.lock();
    let mut violated = |violation, what: String| record.violations.push((violation, what));
    let mut acknowledged = record.acknowledged.clone();
    acknowledged.sort_by_key(|one| one.claim);
    let acknowledged_facts: Vec<u64> = acknowledged.iter().map(|one| one.fact).collect();
    for (n, log) in logs.iter().enumerate() {
        let places: BTreeMap<u64, usize> = log.iter().copied().zip(0..).collect();
        let lost = |fact: &&u64| !places.contains_key(fact);
        let lost: Vec<_> = acknowledged_facts.iter().filter(lost).collect();
        if !lost.is_empty() {
            violated(Violation::Lost, format!("directory {n} lacks {lost:?}"));
        }
        let found = acknowledged_facts
            .iter()
            .filter_map(|fact| places.get(fact));
        if places.len() != log.len() || !found.is_sorted() {
            violated(Violation::Disorder, format!("directory {n} has {log:?}"));
        }
        if *log != logs[0] {
            let what = format!("directory {n} has {log:?}, not {:?}", logs[0]);
            violated(Violation::Disorder, what);
        }
    }
    for one in &acknowledged {
        if let Some(claim) = claims.range(one.claim + 1..=one.chunk).next() {
            violated(Violation::AfterClaim, format!("{one:?}, claim {claim}"));
        }
    }
    let last = logs.first().cloned().unwrap_or_default();
    for Found {
        facts,
        claim,
        acknowledged_before,
    } in &record.found
    {
        if !last.starts_with(facts) {
            let what = format!("claim {claim:?} found {facts:?}, which is not in {last:?}");
            violated(Violation::Disorder, what);
        }
        let here: BTreeSet<u64> = facts.iter().copied().collect();
        // All that was acknowledged before it began, and all with a number below the claim.
        let before = record.acknowledged[..*acknowledged_before].iter();
        let below = acknowledged.iter();
        let below = below.filter(|one| claim.is_some_and(|claim| one.claim < claim));
        let lost = before.chain(below).filter(|one| !here.contains(&one.fact));
        let lost: BTreeSet<u64> = lost.map(|one| one.fact).collect();
        if !lost.is_empty() {
            violated(Violation::Lost, format!("claim {claim:?} lacks {lost:?}"));
        }
    }
}

/// The numbers of all claims in the log. A request to claim that arrived when its number had
/// already been used and trimmed is not in the log.
fn claims(replica: &dyn Replica) -> BTreeSet<u64> {
    let calls = &Calls {
        replica,
        timeout: NEVER,
        stop: None,
    };
    let contents = || {
        let store = claim::store_of(calls, false).ok()??;
        claim::contents(calls, store, claim::end(calls).ok()?).ok()?
    };
    let claims = contents().map(|contents| contents.claims);
    claims.unwrap_or_default().into_iter().collect()
}
