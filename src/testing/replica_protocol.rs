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

/// The number of seeds with which a broken rule must have consequences.
const SEEDS: u64 = 1000;

/// What happened in a run.
struct Outcome {
    violations: Vec<(Violation, String)>,
    steps: u64,
    acknowledged: u64,
    claims: u64,
    checkpoints: u64,
    kills: u64,
}

fn run(seed: u64, mutant: Option<Mutant>) -> Outcome {
    let world = Arc::new(World::new(seed, mutant));
    if seed % 16 != 0 {
        // A backend is tested before the first claim, which takes far longer than a run.
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
        steps: world.steps(),
        acknowledged: record.acknowledged.len() as u64,
        claims: record.found.iter().filter(|f| f.claim.is_some()).count() as u64,
        checkpoints: record.checkpoints,
        kills: record.kills,
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
    let (runs, next) = (runs(), AtomicU64::new(0));
    let totals: [AtomicU64; 4] = Default::default();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= runs {
                        return;
                    }
                    let outcome = run(seed, None);
                    assert!(
                        outcome.violations.is_empty(),
                        "{seed}: {:#?}",
                        outcome.violations
                    );
                    let Outcome {
                        acknowledged,
                        claims,
                        checkpoints,
                        kills,
                        ..
                    } = outcome;
                    let counts = [acknowledged, claims, checkpoints, kills];
                    for (total, more) in totals.iter().zip(counts) {
                        total.fetch_add(more, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let [acknowledged, claims, checkpoints, kills] = totals.map(AtomicU64::into_inner);
    println!(
        "{runs} runs: {acknowledged} facts, {claims} claims, {checkpoints} checkpoints, {kills} kills"
    );
    assert!(
        acknowledged > 10 * runs && claims > 2 * runs && checkpoints > runs && 2 * kills > runs
    );
}

#[test]
fn a_seed_determines_what_happens() {
    for seed in 1..4 {
        let (first, second) = (run(seed, None), run(seed, None));
        let counts = |o: &Outcome| (o.steps, o.acknowledged, o.claims, o.checkpoints);
        assert_eq!(counts(&first), counts(&second));
    }
}

/// Each rule of the protocol is broken: acknowledged facts are lost, or the replica lacks what a
/// restore needs.
#[test]
fn each_rule_is_needed() {
    for (mutant, violation) in [
        (Mutant::ClaimsTrimmed, Violation::Lost),
        (Mutant::NoCheckAfterClaim, Violation::Lost),
        (Mutant::ReadBeforeClaim, Violation::Lost),
        (Mutant::UnknownAcknowledged, Violation::Lost),
        (Mutant::SecondChunk, Violation::Lost),
        (Mutant::AnnouncedBeforeStored, Violation::Unrecoverable),
        (Mutant::RemovedBeforeAnnounced, Violation::Unrecoverable),
        (Mutant::ListedAfterAnnounced, Violation::Unrecoverable),
    ] {
        let is_found = |seed: &u64| {
            let violations = run(*seed, Some(mutant)).violations;
            violations.iter().any(|(found, _)| *found == violation)
        };
        let first = (1..SEEDS).find(is_found);
        println!("{mutant:?}: {violation:?} with seed {first:?}");
        assert!(first.is_some(), "{mutant:?}");
    }
}
