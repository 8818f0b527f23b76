//! What the actors of a run share: the replica, the turn, and the record of what happened.

use std::panic::resume_unwind;

use crate::base::sync::{Condvar, Mutex};
use crate::replica::MemoryReplica;
use crate::replica::calls::Calls;
use crate::replica::claim;

use super::NEVER;
use super::link::Mutant;

/// An actor goes to sleep for up to two to this power steps.
const SLEEP_POWER: u64 = 9;

/// A deviation from the protocol's promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Violation {
    /// An acknowledged fact is missing.
    Lost,
    /// Facts are in another order, or there twice, or not part of the log.
    Disorder,
    /// A fact was acknowledged in a chunk after another writer's claim.
    AfterClaim,
    /// The replica cannot be restored from at some instant.
    Unrecoverable,
    /// A call failed that must succeed.
    Failed,
}

/// The actor's process was killed.
pub(super) struct Killed;

/// A fact that was acknowledged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Acknowledged {
    pub(super) fact: u64,
    /// The number of the writer's claim.
    pub(super) claim: u64,
    /// The number of the writer's last chunk by then.
    pub(super) chunk: u64,
}

/// What a claimant or a reader has found.
pub(super) struct Found {
    pub(super) facts: Vec<u64>,
    /// The number of the claim, if this was a claimant.
    pub(super) claim: Option<u64>,
    /// How many facts were acknowledged before it began.
    pub(super) acknowledged_before: usize,
}

#[derive(Default)]
pub(super) struct Record {
    pub(super) facts: u64,
    pub(super) acknowledged: Vec<Acknowledged>,
    pub(super) found: Vec<Found>,
    pub(super) violations: Vec<(Violation, String)>,
    pub(super) checkpoints: u64,
    /// How many processes were killed.
    pub(super) kills: u64,
}

/// splitmix64
struct Random(u64);

impl Random {
    fn draw(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

struct Actor {
    /// The step at which it wakes up; `None` once it has ended.
    awake_at: Option<u64>,
    /// The number of calls after which its process is killed.
    killed_in: u64,
}

struct Turn {
    random: Random,
    step: u64,
    current: Option<usize>,
    actors: Vec<Actor>,
}

pub(super) struct World {
    pub(super) replica: MemoryReplica,
    pub(super) mutant: Option<Mutant>,
    pub(super) record: Mutex<Record>,
    turn: Mutex<Turn>,
    changed: Vec<Condvar>,
}

impl World {
    pub(super) fn new(seed: u64, mutant: Option<Mutant>) -> World {
        let mut random = Random(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
        let count = 2 + random.draw(4) as usize;
        let current = Some(random.draw(count as u64) as usize);
        let actors = (0..count).map(|_| Actor {
            awake_at: Some(0),
            killed_in: u64::MAX,
        });
        World {
            replica: MemoryReplica::default(),
            mutant,
            record: Mutex::default(),
            turn: Mutex::new(Turn {
                random,
                step: 0,
                current,
                actors: actors.collect(),
            }),
            changed: (0..count).map(|_| Condvar::new()).collect(),
        }
    }

    pub(super) fn actors(&self) -> usize {
        self.changed.len()
    }

    pub(super) fn steps(&self) -> u64 {
        self.turn.lock().step
    }

    /// Returns a random number below `end`.
    pub(super) fn draw(&self, end: u64) -> u64 {
        self.turn.lock().random.draw(end)
    }

    /// Waits until it is this actor's turn for the first time.
    pub(super) fn begin(&self, actor: usize) {
        let mut turn = self.turn.lock();
        while turn.current != Some(actor) {
            self.changed[actor].wait(&mut turn);
        }
    }

    /// From now on, the actor's process is killed after this many steps.
    pub(super) fn kill_in(&self, actor: usize, steps: u64) {
        self.turn.lock().actors[actor].killed_in = steps;
    }

    /// Lets other actors run, or kills this one.
    pub(super) fn step(&self, actor: usize) {
        let mut turn = self.turn.lock();
        turn.step += 1;
        let this = &mut turn.actors[actor];
        this.killed_in = this.killed_in.saturating_sub(1);
        if this.killed_in == 0 {
            drop(turn);
            resume_unwind(Box::new(Killed));
        }
        match turn.random.draw(100) {
            0..60 => return,
            60..64 => {
                let power = turn.random.draw(SLEEP_POWER + 1);
                turn.actors[actor].awake_at = Some(turn.step + (1 << power));
            }
            _ => {}
        }
        self.pass(&mut turn);
        while turn.current != Some(actor) {
            self.changed[actor].wait(&mut turn);
        }
    }

    pub(super) fn end(&self, actor: usize) {
        let mut turn = self.turn.lock();
        turn.actors[actor].awake_at = None;
        self.pass(&mut turn);
    }

    /// Chooses who runs next.
    fn pass(&self, turn: &mut Turn) {
        let wakes = |actor: &Actor| actor.awake_at;
        let Some(first) = turn.actors.iter().filter_map(wakes).min() else {
            turn.current = None;
            return;
        };
        turn.step = turn.step.max(first);
        let is_awake = |n: &usize| turn.actors[*n].awake_at.is_some_and(|at| at <= turn.step);
        let awake: Vec<usize> = (0..turn.actors.len()).filter(is_awake).collect();
        let next = awake[turn.random.draw(awake.len() as u64) as usize];
        turn.current = Some(next);
        self.changed[next].notify_one();
    }

    pub(super) fn violated(&self, violation: Violation, what: String) {
        self.record.lock().violations.push((violation, what));
    }

    /// Checks that a writer that claims the log now can restore it.
    pub(super) fn audit(&self) {
        let replica = self.replica.copy();
        let calls = Calls {
            replica: &replica,
            timeout: NEVER,
            stop: None,
        };
        let contents = || {
            let Some(store) = claim::store_of(&calls, false)? else {
                return Ok(true);
            };
            let end = claim::end(&calls)?;
            claim::contents(&calls, store, end).map(|contents| contents.is_some())
        };
        match contents() {
            Ok(true) => {}
            Ok(false) => self.violated(
                Violation::Unrecoverable,
                "it is trimmed to its end".to_owned(),
            ),
            Err(error) => self.violated(Violation::Unrecoverable, error.to_string()),
        }
    }
}
