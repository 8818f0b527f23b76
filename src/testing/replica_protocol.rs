//! A simulation of the replica's protocol: several writers claim one log, write to it, make
//! checkpoints, and remove what these replace. Requests are late, lost, repeated, and overtake each
//! other, processes are killed, and machines lose their directories.
//!
//! The claims, the appends, the checkpoints, and the mirrors are those of the library; only the
//! engine above the log is missing. Each actor has a thread, which runs only while it is its turn,
//! so a seed determines everything that happens. Some runs break a rule of the protocol: they must
//! lose an acknowledged fact, which shows that the simulation can find such an error.

mod actor;
mod link;
mod log;
mod verdict;
mod world;
mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use self::link::Mutant;
use self::verdict::judge;
use self::world::{Violation, World};
use crate::model::replica::Replica as _;
use crate::model::store_id::StoreId;
use crate::replica::Faults;
use crate::replica::chunk::{ChunkHeader, Content, Writer};

/// Long enough that a call is repeated until it succeeds.
const NEVER: Duration = Duration::from_secs(3600);
/// Small, so that segments are often begun and packed.
const SEGMENT_BYTES: u64 = 1024;

/// What happened in a run.
#[derive(Default)]
struct Outcome {
    violations: Vec<(Violation, String)>,
    acknowledged: u64,
    claims: u64,
    checkpoints: u64,
}

fn run(seed: u64, mutant: Option<Mutant>) -> Outcome {
    let world = Arc::new(World::new(seed, mutant));
    if seed % 16 != 0 {
        // An engine is proven before the first claim, which takes far longer than a run.
        world
            .replica
            .create(1, &first_claim())
            .expect("no faults yet");
    }
    world.replica.set_faults(Faults {
        seed,
        lost_request: 0.02,
        lost_response: 0.03,
        late_request: 0.05,
        repeated_request: 0.03,
    });
    let disks = std::thread::scope(|scope| {
        let actors: Vec<_> = (0..world.actors())
            .map(|n| {
                let world = world.clone();
                scope.spawn(move || actor::run(&world, n, seed))
            })
            .collect();
        let disks = actors.into_iter().filter_map(|actor| actor.join().ok());
        disks.collect::<Vec<_>>()
    });
    judge(&world, disks);
    let record = std::mem::take(&mut *world.record.lock());
    Outcome {
        violations: record.violations,
        acknowledged: record.acknowledged.len() as u64,
        claims: record.found.iter().filter(|f| f.claim.is_some()).count() as u64,
        checkpoints: record.checkpoints,
    }
}

fn first_claim() -> Vec<u8> {
    let writer = Writer {
        store: StoreId(1),
        reign: 1,
        claim: 1,
    };
    let content = Content::Claim;
    let number = 1;
    ChunkHeader {
        number,
        writer,
        content,
    }
    .chunk(b"")
}

/// The number of runs: more if `JOBSTORE_PROTOCOL_RUNS` is set.
fn runs() -> u64 {
    let runs = std::env::var("JOBSTORE_PROTOCOL_RUNS").ok();
    runs.and_then(|runs| runs.parse().ok()).unwrap_or(200)
}

#[test]
fn no_acknowledged_fact_is_lost_however_writers_interleave() {
    let from = std::env::var("PROTOCOL_FROM").map_or(0, |f| f.parse().unwrap());
    let (runs, next) = (runs(), AtomicU64::new(from));
    let (acknowledged, claims, checkpoints) = Default::default();
    let totals: [&AtomicU64; 3] = [&acknowledged, &claims, &checkpoints];
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= runs {
                        return;
                    }
                    let outcome = run(seed, None);
                    if std::env::var_os("PROTOCOL_ALL").is_some() {
                        if !outcome.violations.is_empty() {
                            println!("{seed}: {:?}", outcome.violations);
                        }
                        continue;
                    }
                    assert!(
                        outcome.violations.is_empty(),
                        "{seed}: {:#?}",
                        outcome.violations
                    );
                    let Outcome {
                        acknowledged,
                        claims,
                        checkpoints,
                        ..
                    } = outcome;
                    for (total, more) in totals.iter().zip([acknowledged, claims, checkpoints]) {
                        total.fetch_add(more, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let [acknowledged, claims, checkpoints] = totals.map(|total| total.load(Ordering::Relaxed));
    println!("{runs} runs: {acknowledged} facts, {claims} claims, {checkpoints} checkpoints");
    assert!(acknowledged > 10 * runs && claims > 2 * runs && checkpoints > runs);
}

/// The first seed with which a broken rule loses an acknowledged fact.
fn first_loss(mutant: Mutant, seeds: u64) -> Option<u64> {
    let mut seen = BTreeMap::<Violation, u64>::new();
    let lost = (0..seeds).find(|&seed| {
        let outcome = run(seed, Some(mutant));
        for (violation, _) in &outcome.violations {
            *seen.entry(*violation).or_default() += 1;
        }
        outcome
            .violations
            .iter()
            .any(|(v, _)| *v == Violation::Lost)
    });
    println!("{mutant:?}: {lost:?}, {seen:?}");
    lost
}

#[test]
fn a_run_can_be_repeated() {
    for seed in 0..3 {
        let (first, second) = (run(seed, None), run(seed, None));
        assert_eq!(first.acknowledged, second.acknowledged);
        assert_eq!(first.checkpoints, second.checkpoints);
    }
}

#[test]
fn each_rule_of_the_protocol_is_needed() {
    for mutant in [
        Mutant::ClaimsTrimmed,
        Mutant::NoCheckAfterClaim,
        Mutant::ReadBeforeClaim,
        Mutant::UnknownAcknowledged,
        Mutant::SecondChunk,
        Mutant::RemovedBeforeAnnounced,
        Mutant::ListedAfterAnnounced,
        Mutant::AnnouncedBeforeStored,
    ] {
        let lost = first_loss(mutant, 2000);
        assert!(lost.is_some(), "{mutant:?} loses nothing");
    }
}
