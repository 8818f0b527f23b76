//! Guarantee: the result of a failed operation is known.
//!
//! One call to the disk fails, or one call and all later ones, as on a broken disk (EIO), on a full
//! one (ENOSPC), or for other reasons (EMFILE, EINTR). The test begins with the first call, then
//! the second, and so on until every call has failed. For every call: nothing is acknowledged that
//! is not durable, the error says whether anything was recorded, reads continue, nothing hangs or
//! panics, and everything that was acknowledged is present after reopening.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use crate::log::disk::memory::MemoryDisk;
use crate::log::disk::memory::trial::{Call, Fault, Image};
use crate::model::error::{Error, Result};
use crate::model::health::Health;
use crate::model::job::Job;
use crate::model::options::Durability;
use crate::model::states::State;
use crate::testing::crash::client::{
    Client, Random, Store, assert_no_thread_panicked, within_bounds,
};
use crate::testing::crash::world::{Seen, World};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const EMFILE: i32 = 24;
const EINTR: i32 = 4;

/// On a broken disk, every call can fail.
fn any(_: Call) -> bool {
    true
}

/// On a full disk, calls that need space fail.
fn needs_room(call: Call) -> bool {
    matches!(call, Call::Create | Call::Write | Call::Sync)
}

/// Without free descriptors, calls that open a file fail.
fn needs_a_handle(call: Call) -> bool {
    matches!(call, Call::Create | Call::Open)
}

/// On some file systems, a signal can interrupt calls that change names.
fn changes_names(call: Call) -> bool {
    matches!(call, Call::Rename | Call::Remove)
}

/// Makes each call fail in turn. Returns the number of calls.
fn sweep(seed: u64, before: &Arc<Before>, fault: Fault) -> u64 {
    let (mut calls, mut missed) = (0, 0);
    loop {
        let what = format!("seed {seed}, {fault:?} after {calls} calls");
        let disk = Arc::new(before.left.after_kill());
        disk.fail_after(calls, fault);
        let (tried, about, before) = (disk.clone(), what.clone(), before.clone());
        within_bounds(what, move || {
            let mut client = Client::new(seed, "later", true);
            client.world = before.world.clone();
            try_out(&about, &mut client, &tried, fault);
        });
        if disk.has_failed() {
            (calls, missed) = (calls + 1, 0);
            continue;
        }
        // No call failed, perhaps only because background work made less progress this time.
        missed += 1;
        if missed == 3 {
            return calls;
        }
    }
}

/// A store whose process was killed.
struct Before {
    world: World,
    left: Image,
}

impl Before {
    fn nothing() -> Before {
        Before {
            world: World::default(),
            left: MemoryDisk::default().image(),
        }
    }

    /// Returns a store whose next open has much to do: there are files to pack and to delete, and
    /// jobs that were running.
    fn work() -> Before {
        let (disk, mut client, store) = begun(13);
        client.steps(&store, 40);
        store.wait_until_packed();
        client.steps(&store, 20);
        Before {
            world: client.world,
            left: disk.image(),
        }
    }
}

fn try_out(what: &str, client: &mut Client, disk: &Arc<MemoryDisk>, fault: Fault) {
    // The worlds that the store may contain in the end.
    let mut may_hold = Vec::new();
    match client.open(disk.clone(), Durability::Synced) {
        Ok(store) => may_hold.extend(work(what, client, store, disk, fault)),
        Err(error) => {
            assert_is_fault(what, &error, fault);
            // The most that may have been recorded is the open.
            may_hold.push(client.world.reopened());
        }
    }
    may_hold.push(client.world.clone());
    disk.heal();
    let image = disk.image();
    check_reopened(what, &may_hold, &image);
}

/// Runs operations despite failures. If the outcome of a commit is unknown, returns the world that
/// results if the commit took effect.
fn work(
    what: &str,
    client: &mut Client,
    store: Store,
    disk: &MemoryDisk,
    fault: Fault,
) -> Option<World> {
    let mut unknown = None;
    for n in 0..30 {
        match client.step(&store) {
            Ok(()) => assert!(unknown.is_none(), "{what}: a write after an unknown commit"),
            Err((Error::CommitUnknown { .. }, world)) => {
                assert!(unknown.is_none(), "{what}: a commit after an unknown one");
                assert!(
                    disk.has_failed(),
                    "{what}: an unknown commit on a sound disk"
                );
                unknown = Some(world);
            }
            Err((Error::ReadOnly { .. }, _)) => {
                assert!(
                    unknown.is_some(),
                    "{what}: read only without an unknown commit"
                );
            }
            Err((error, _)) => {
                assert!(unknown.is_none(), "{what}: {error} after an unknown commit");
                assert_is_fault(what, &error, fault);
                // Nothing was recorded, so the store continues once the disk has recovered.
                disk.heal();
                if let Err((again, _)) = client.step(&store) {
                    panic!("{what}: {error}, and it does not heal: {again}");
                }
            }
        }
        if n % 10 == 9 {
            check_reads(what, &store, &client.world);
            std::thread::yield_now();
        }
    }
    check_reads(what, &store, &client.world);
    match store.engine.close() {
        Ok(()) => assert!(unknown.is_none(), "{what}: a clean close of a failed log"),
        Err(Error::ReadOnly { .. }) => assert!(unknown.is_some(), "{what}: read only at close"),
        Err(error) => assert_is_fault(what, &error, fault),
    }
    unknown
}

fn check_reads(what: &str, store: &Store, world: &World) {
    let seen = Seen::read(store);
    assert!(seen.error().is_none(), "{what}: {:?}", seen.error());
    assert_eq!(seen.compare(world), Ok(()), "{what}");
}

/// Asserts that the error is of the right kind and says that nothing was recorded.
fn assert_is_fault(what: &str, error: &Error, fault: Fault) {
    let right = match error {
        Error::DiskFull { .. } => fault.errno == ENOSPC,
        Error::TooManyOpenFiles { .. } => fault.errno == EMFILE,
        Error::Io { .. } => fault.errno != ENOSPC,
        _ => false,
    };
    assert!(right, "{what}: {error:?}");
}

/// Asserts that, after a kill and after power failures, the store opens with the content of one of
/// these worlds.
fn check_reopened(what: &str, may_hold: &[World], image: &Image) {
    let mut random = Random(17);
    for (kind, left) in [
        ("killed", image.after_kill()),
        ("without power", image.after_power_cut()),
        ("torn", image.after_torn_power_cut(|end| random.below(end))),
    ] {
        let opened = Store::open(Arc::new(left), Durability::Synced);
        let store = opened.unwrap_or_else(|e| panic!("{what}, {kind}: it does not open: {e}"));
        let seen = Seen::read(&store);
        assert!(seen.error().is_none(), "{what}, {kind}: {:?}", seen.error());
        let differences: Vec<String> = may_hold
            .iter()
            .filter_map(|world| seen.compare(&world.reopened()).err())
            .collect();
        let fits = differences.len() < may_hold.len();
        assert!(fits, "{what}, {kind}: {differences:#?}");
    }
}

fn sweep_all(errno: i32, hits: fn(Call) -> bool, calls_min: u64) {
    let (nothing, work) = (Arc::new(Before::nothing()), Arc::new(Before::work()));
    for lasting in [false, true] {
        let fault = Fault {
            errno,
            lasting,
            hits,
        };
        for before in [&nothing, &work] {
            let calls = sweep(11, before, fault);
            assert!(calls > calls_min, "only {calls} calls were tried");
        }
    }
    assert_no_thread_panicked();
}

#[test]
fn whichever_call_a_broken_disk_fails_nothing_acknowledged_is_lost() {
    sweep_all(EIO, any, 50);
}

#[test]
fn whichever_call_a_full_disk_fails_nothing_acknowledged_is_lost() {
    sweep_all(ENOSPC, needs_room, 50);
}

#[test]
fn whenever_no_handle_is_left_nothing_acknowledged_is_lost() {
    sweep_all(EMFILE, needs_a_handle, 10);
}

#[test]
fn whichever_change_of_a_name_is_interrupted_nothing_acknowledged_is_lost() {
    sweep_all(EINTR, changes_names, 5);
}

/// Opens a store and adds some content.
fn begun(seed: u64) -> (Arc<MemoryDisk>, Client, Store) {
    let disk = Arc::new(MemoryDisk::default());
    let mut client = Client::new(seed, "graph", false);
    let store = client.open(disk.clone(), Durability::Synced);
    let store = store.expect("it opens");
    client.steps(&store, 10);
    (disk, client, store)
}

/// Starts a thread that waits for a job that never completes.
fn waiting_for_an_open_job(store: &Store, world: &World) -> JoinHandle<Result<Job>> {
    let mut graphs = world.graphs.iter();
    let open = graphs.find_map(|(graph, jobs)| {
        let open = jobs.iter().find(|job| job.state != State::Complete)?;
        Some((graph, open.id.clone()))
    });
    let (graph, id) = open.expect("a job is open");
    let mut waiting = store.graph(graph).wait_async(&*id).expect("it is there");
    let soon = waiting.wait_timeout(Duration::from_millis(1));
    assert!(soon.expect("a wait").is_none());
    std::thread::spawn(move || {
        let bound = Duration::from_secs(60);
        waiting.wait_timeout(bound).map(|job| job.expect("it ends"))
    })
}

#[test]
fn a_failed_sync_is_an_unknown_commit_and_then_the_store_only_reads() {
    for errno in [EIO, ENOSPC] {
        let (disk, mut client, store) = begun(5);
        // The fault must not hit the packer's own calls.
        disk.fail_after(
            0,
            Fault {
                errno,
                lasting: true,
                hits: |call| call == Call::Sync,
            },
        );
        let waiting = waiting_for_an_open_job(&store, &client.world);
        let before = SystemTime::now();
        let Err((Error::CommitUnknown { why, .. }, unknown)) = client.step(&store) else {
            panic!("a commit without a sync");
        };
        let Health::ReadOnly { why: said, since } = store.engine.health() else {
            panic!("{:?}", store.engine.health());
        };
        assert_eq!(said, why);
        assert!((before..=SystemTime::now()).contains(&since));
        let waited = waiting.join().expect("no panic");
        assert!(matches!(waited, Err(Error::ReadOnly { why: same }) if same == why));
        disk.heal();
        match client.step(&store) {
            Err((Error::ReadOnly { why: still }, _)) => assert_eq!(still, why),
            Err((other, _)) => panic!("{other} after a failed sync"),
            Ok(()) => panic!("a write after a failed sync"),
        }
        check_reads("read only", &store, &client.world);
        assert!(matches!(store.engine.close(), Err(Error::ReadOnly { .. })));
        check_reopened("failed sync", &[client.world, unknown], &disk.image());
    }
}

#[test]
fn a_disk_too_full_for_the_next_segment_is_said_so_and_heals() {
    let (disk, mut client, store) = begun(6);
    for _ in 0..3 {
        disk.fail_after(
            0,
            Fault {
                errno: ENOSPC,
                lasting: true,
                hits: |call| call == Call::Create,
            },
        );
        // One segment may already be preallocated.
        let refused = (0..300).find_map(|_| client.step(&store).err());
        let refused = refused.map(|(error, _)| error);
        assert!(
            matches!(refused, Some(Error::DiskFull { .. })),
            "{refused:?}"
        );
        check_reads("full", &store, &client.world);
        disk.heal();
        client.steps(&store, 10);
        check_reads("healed", &store, &client.world);
    }
    store.engine.close().expect("it closes");
    check_reopened("healed", &[client.world], &disk.image());
    assert_no_thread_panicked();
}
