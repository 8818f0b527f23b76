//! An actor: a machine whose processes come and go, each with the directory that is left of the
//! one before.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::link::Link;
use super::world::{Found, Killed, Violation, World};
use super::{NEVER, log, writer};
use crate::base::simulated::{self, Simulator};
use crate::log::disk::memory::MemoryDisk;
use crate::model::error::{Error, Result};
use crate::model::replica::Replica;
use crate::replica::calls::Calls;
use crate::replica::claim;
use crate::replica::mirror::Mirror;

/// A process that is killed lives at most this many steps.
const STEPS: u64 = 300;

thread_local! {
    static RANDOM: Cell<u64> = const { Cell::new(0) };
}

/// From now on, this thread's random bytes are determined by a seed, and its pauses take no time.
pub(super) fn simulate(seed: u64) {
    RANDOM.set(seed);
    simulated::set(Simulator {
        fill: |bytes| {
            for byte in bytes {
                RANDOM.set(crate::model::id::mix(
                    RANDOM.get().wrapping_add(0x9e37_79b9),
                ));
                *byte = RANDOM.get() as u8;
            }
            true
        },
        before_waiting: || {},
        #[cfg(feature = "http")]
        has_store: || false,
    });
}

/// Runs an actor to its end, and returns what is in its directory.
pub(super) fn run(world: &Arc<World>, actor: usize, seed: u64) -> MemoryDisk {
    simulate(seed << 8 | actor as u64);
    world.begin(actor);
    let mut disk = Arc::new(MemoryDisk::default());
    let mut old = disk.image();
    for _ in 0..1 + world.draw(3) {
        let is_killed = world.draw(2) == 0;
        world.kill_in(
            actor,
            if is_killed {
                1 + world.draw(STEPS)
            } else {
                u64::MAX
            },
        );
        let link: Arc<dyn Replica> = Arc::new(Link::new(world.clone(), actor));
        let is_reader = world.draw(5) == 0;
        let lived = catch_unwind(AssertUnwindSafe(|| match is_reader {
            true => read(world, &*link),
            false => writer::run(world, &disk, link),
        }));
        world.kill_in(actor, u64::MAX);
        let what = match lived {
            Ok(Ok(())) => None,
            Ok(Err(error)) => (!is_expected(&error)).then(|| format!("{error} ({error:?})")),
            Err(panic) if panic.is::<Killed>() => {
                world.record.lock().kills += 1;
                None
            }
            Err(panic) => Some(match panic.downcast::<String>() {
                Ok(text) => *text,
                Err(_) => "panic".to_owned(),
            }),
        };
        if let Some(what) = what {
            world.violated(Violation::Failed, format!("actor {actor}: {what}"));
        }
        let image = disk.image();
        let next = match world.draw(8) {
            0 => MemoryDisk::default(),
            1 => old.after_kill(),
            2..4 => image.after_torn_power_cut(|end| world.draw(end)),
            _ => image.after_kill(),
        };
        if world.draw(2) == 0 {
            old = image;
        }
        disk = Arc::new(next);
    }
    world.end(actor);
    disk.image().after_kill()
}

fn is_expected(error: &Error) -> bool {
    matches!(
        error,
        Error::Deposed { .. } | Error::ReplicaUnreachable { .. }
    )
}

/// Restores the log without claiming it. This may fail if others remove what is being read.
fn read(world: &World, replica: &dyn Replica) -> Result<()> {
    let acknowledged_before = world.record.lock().acknowledged.len();
    let calls = &Calls {
        replica,
        timeout: NEVER,
        stop: None,
    };
    let Some(store) = claim::store_of(calls, false)? else {
        return Ok(());
    };
    let contents = match claim::end(calls).and_then(|end| claim::contents(calls, store, end)) {
        Ok(Some(contents)) => contents,
        Ok(None) | Err(Error::ReplicaDamaged { .. }) => return Ok(()),
        Err(error) => return Err(error),
    };
    let disk = &MemoryDisk::default();
    let mirror = Mirror {
        disk,
        calls,
        store,
        contents: &contents,
    };
    let made = mirror.plan(None).and_then(|plan| mirror.make(plan, None));
    match made {
        Ok(_) => {}
        Err(Error::ReplicaDamaged { .. }) => return Ok(()),
        Err(error) => return Err(error),
    }
    let read = log::read(disk, store)?;
    world.record.lock().found.push(Found {
        facts: read.facts,
        claim: None,
        acknowledged_before,
    });
    Ok(())
}
