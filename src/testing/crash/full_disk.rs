//! Guarantee: a full disk refuses new data, and nothing else.
//!
//! The disk has no byte left. New jobs and graphs are refused. Existing ones are started,
//! completed, canceled, dropped, and read. The store can be reopened, and it accepts new jobs as
//! soon as there is space. Power failures and failing calls while the reserve is being put to use
//! lose nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::sync::MutexGuard;
use crate::engine::open::open_disk;
use crate::engine::state::calls::Call;
use crate::engine::state::operation::{Action, Operation, Submission};
use crate::engine::state::recovered::RecoveredJobs;
use crate::index::Fault as IndexFault;
use crate::log::disk::memory::MemoryDisk;
use crate::log::disk::memory::trial::{Fault, Image};
use crate::log::{file_names, secret_keys};
use crate::model::error::Error;
use crate::model::health::Health;
use crate::model::id::JobId;
use crate::model::options::Durability;
use crate::model::outcome::Outcome;
use crate::model::request::{Body, Request};
use crate::model::secrets::Keys;
use crate::model::states::State;
use crate::testing::crash::client::{
    Act, Client, Random, SEGMENT_BYTES, Store, assert_no_thread_panicked, options,
};
use crate::testing::crash::power_cuts::{check, power_cuts};
use crate::testing::crash::world::{Seen, World};

/// How long a test waits for the packer.
const WAIT: Duration = Duration::from_secs(60);
/// The number of operations after which a full disk must have refused one.
const STEPS_MAX: u64 = 500;
/// The number of jobs whose starts and completions fit into the reserve of these stores.
const RESERVE_JOBS: usize = 36;

/// Returns a store that contains graphs and jobs in every state and has used up its preallocated
/// space. The next write needs the reserve, or is refused.
fn filled(seed: u64) -> (Arc<MemoryDisk>, Client, Store) {
    let disk = Arc::new(MemoryDisk::default());
    let mut client = Client::new(seed, "graph", true);
    let store = client.open(disk.clone(), Durability::Synced);
    let store = store.expect("it opens");
    client.steps(&store, 60);
    store.wait_until_packed();
    store.fill_disk(&disk);
    drop(fill(&mut client, &store));
    (disk, client, store)
}

/// Submits jobs until the store refuses one. Then creates graphs, for which there may still be
/// space, until the store refuses one of them, too. While the returned guard exists, the packer
/// frees no space.
fn fill<'s>(client: &mut Client, store: &'s Store) -> MutexGuard<'s, ()> {
    let files = store.engine.files_lock.lock();
    let graph = client.world.graphs[0].0.clone();
    // Large jobs are submitted first, because the reserve has space for only some dozens of starts
    // and completions.
    for bytes in [3000, 300] {
        fill_with(client, store, |_| Act::Submit {
            graph: graph.clone(),
            request: request(bytes),
        });
    }
    fill_with(client, store, |client| {
        create(&format!("{:03}", client.history.len()))
    });
    files
}

fn fill_with(client: &mut Client, store: &Store, act: impl Fn(&Client) -> Act) {
    let is_refused = (0..STEPS_MAX).any(|_| {
        let act = act(client);
        !attempt(client, store, &act)
    });
    assert!(is_refused, "a disk without room takes everything");
}

fn request(bytes: usize) -> Request {
    // Random characters, which cannot be compressed.
    let mut random = Random(bytes as u64);
    let letters = (0..bytes).map(|_| char::from(b'A' + random.below(26) as u8));
    let text: String = letters.collect();
    let body = Body::from_json(format!(r#"{{"text":"{text}"}}"#)).expect("JSON");
    Request::new("import", "/ges", body).expect("a request")
}

/// Executes an operation, and records the result. A full disk may refuse only operations that add
/// something.
fn attempt(client: &mut Client, store: &Store, act: &Act) -> bool {
    client.attempt();
    match store.apply_act(act) {
        Ok(ids) => {
            let mut world = client.world.clone();
            world.apply(act, &ids);
            client.acknowledge(world);
            true
        }
        Err(Error::DiskFull { .. }) if act.adds() => {
            client.withdraw();
            false
        }
        Err(error) => panic!("{act:?}: {error:?}"),
    }
}

fn check_reads(what: &str, store: &Store, world: &World) {
    let seen = Seen::read(store);
    assert!(seen.error().is_none(), "{what}: {:?}", seen.error());
    assert_eq!(seen.compare(world), Ok(()), "{what}");
}

/// Asserts that neither a graph nor a job is accepted, however small.
fn assert_nothing_new(client: &mut Client, store: &Store, when: &str) {
    let graph = client.world.graphs[0].0.clone();
    let small = |graph: &str| Act::Submit {
        graph: graph.to_owned(),
        request: request(1),
    };
    assert!(!attempt(client, store, &create("new")), "a graph, {when}");
    assert!(!attempt(client, store, &small(&graph)), "a job, {when}");
}

/// Returns the end of the log.
fn log_end(store: &Store) -> (u64, u64, u64) {
    let end = store.engine.lock_committer().log_end();
    (end.epoch, end.offset, end.lsn)
}

/// Returns whether the health reports a full disk.
fn is_full(store: &Store) -> bool {
    match store.engine.health() {
        Health::Degraded { why } => why.contains("no space left"),
        _ => false,
    }
}

/// Also uses up the space that the packer frees, until the packer finds nothing more to free.
#[track_caller]
fn fill_for_good(client: &mut Client, store: &Store) {
    wait_for(store, "the packer's word", || {
        drop(fill(client, store));
        is_full(store)
    });
}

/// Drops the last graph.
fn drop_last(client: &mut Client, store: &Store) {
    let last = client.world.graphs.last().expect("a graph").0.clone();
    assert!(attempt(client, store, &Act::DropGraph { name: last }));
}

/// Completes every job of the world. Every way of completing a job is used.
fn end_jobs(client: &mut Client, store: &Store) {
    let jobs = client.world.graphs.iter().flat_map(|(_, jobs)| jobs);
    let open = jobs.filter(|job| job.state != State::Complete).count();
    assert!(open <= RESERVE_JOBS, "{open} jobs; choose another seed");
    for (graph, jobs) in client.world.graphs.clone() {
        for (n, job) in jobs.iter().enumerate() {
            let (graph, id) = (graph.clone(), JobId::new(&*job.id).expect("an id"));
            let (start, claim_next, cancel, complete) = (
                Act::Start {
                    graph: graph.clone(),
                    id: id.clone(),
                },
                Act::RunNext {
                    graph: graph.clone(),
                },
                Act::Cancel {
                    graph: graph.clone(),
                    id: id.clone(),
                },
                Act::Complete {
                    graph,
                    id,
                    outcome: Outcome::failed("c", "m"),
                },
            );
            let acts = match (job.state, n % 3) {
                (State::Complete, _) => vec![],
                (State::Running, 0) => vec![cancel, complete],
                (State::Running, _) => vec![complete],
                (State::Pending, 0) => vec![cancel],
                // The oldest pending job is this one.
                (State::Pending, 1) => vec![claim_next, complete],
                (State::Pending, _) => vec![start, complete],
            };
            for act in acts {
                assert!(attempt(client, store, &act), "{act:?} is refused");
            }
        }
    }
}

fn create(name: &str) -> Act {
    Act::CreateGraph {
        name: name.to_owned(),
        number: 77,
    }
}

/// Checks that jobs complete on a full disk, and that new ones are accepted once there is space.
fn check_full(seed: u64, is_told: bool) {
    let (disk, mut client, store) = filled(seed);
    if !is_told {
        disk.hide_room();
    }
    check_reads("full", &store, &client.world);
    fill_for_good(&mut client, &store);
    {
        let _files = fill(&mut client, &store);
        assert_nothing_new(&mut client, &store, "before");
        end_jobs(&mut client, &store);
        check_reads("ended", &store, &client.world);
        // The reserve still has space, but not for new graphs and jobs.
        let before = log_end(&store);
        assert_nothing_new(&mut client, &store, "after the end of jobs");
        assert_eq!(log_end(&store), before, "what is refused is written");
        assert!(is_full(&store), "{:?}", store.engine.health());
    }
    drop_last(&mut client, &store);
    check_reads("dropped", &store, &client.world);
    for (kind, left) in power_cuts(&disk.image(), &mut Random(seed)) {
        check(kind, left, &[client.world.clone()], true);
    }
    // The packer frees the space of the dropped graph. Once that is used up, the disk is full
    // again.
    fill_for_good(&mut client, &store);
    check_reads("full again", &store, &client.world);
    let graph = client.world.graphs[0].0.clone();
    let submit = Act::Submit {
        graph: graph.clone(),
        request: request(1),
    };
    disk.unbound();
    assert!(attempt(&mut client, &store, &create("new")));
    assert!(attempt(&mut client, &store, &submit));
    client.steps(&store, 40);
    check_reads("healed", &store, &client.world);
    wait_for(&store, "the reserve", || {
        disk.names_now().contains(&file_names::RESERVE.to_owned())
    });
    wait_for(&store, "its health", || store.engine.health() == Health::Ok);
    store.engine.close().expect("it closes");
    assert!(disk.names_now().contains(&file_names::RESERVE.to_owned()));
    check("closed", disk_of(&disk), &[client.world], true);
    assert_no_thread_panicked();
}

fn disk_of(disk: &MemoryDisk) -> MemoryDisk {
    disk.image().after_power_cut()
}

#[track_caller]
fn wait_for(store: &Store, what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + WAIT;
    while !is_so() {
        assert!(
            Instant::now() < deadline,
            "{what} does not come back: {:?}",
            store.engine.health()
        );
        store.engine.wake_packer();
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_full_disk_refuses_new_jobs_and_takes_all_others_to_their_end() {
    for seed in [1, 3, 5] {
        check_full(seed, true);
    }
}

#[test]
fn so_does_one_that_does_not_tell_how_full_it_is() {
    check_full(4, false);
}

#[test]
fn while_the_disk_is_full_no_file_is_begun_to_be_refused() {
    let (disk, mut client, store) = filled(5);
    // This also makes the packer idle.
    fill_for_good(&mut client, &store);
    // This is enough space to begin a file, but not to complete it.
    disk.leave_room(SEGMENT_BYTES / 2);
    disk.record(1, Vec::new());
    let submit = Act::Submit {
        graph: client.world.graphs[0].0.clone(),
        request: request(300),
    };
    for _ in 0..10 {
        assert!(!attempt(&mut client, &store, &submit));
    }
    assert_eq!(disk.images().len(), 0, "calls that change the disk");
}

/// Several writes are queued at the same time on a full disk. Those that complete something are
/// executed in order as far as the reserve suffices. The others are refused.
#[test]
fn of_writes_that_share_a_commit_those_that_end_something_are_carried_out() {
    let (_disk, mut client, store) = filled(2);
    let files = fill(&mut client, &store);
    let (name, jobs) = client.world.graphs[0].clone();
    let graph = store.graph(&name).core;
    let pending: Vec<_> = jobs.iter().filter(|j| j.state == State::Pending).collect();
    assert!(pending.len() > 12, "{} jobs are pending", pending.len());
    let sequence = |id: &str| {
        let found = store.engine.resolve(&graph, id).expect("a lookup");
        found.expect("the job is there")
    };
    let (mut acts, mut actions) = (Vec::new(), Vec::new());
    for (n, job) in pending.iter().take(12).enumerate() {
        let (graph, id) = (graph.clone(), JobId::new(&*job.id).expect("an id"));
        let sequence = sequence(&job.id);
        let detail = format!("{:?}", "x".repeat(1500));
        let outcome = Outcome::cancelled().with_detail_json(detail);
        let outcome = outcome.expect("JSON");
        let (in_graph, of_job) = (name.clone(), id.clone());
        if n % 3 == 0 {
            acts.push(None);
            actions.push(Action::Submit {
                graph: graph.clone(),
                submission: Submission::new(
                    store.engine.store,
                    store.engine.secret_keys().keep(request(300)),
                ),
            });
        }
        if n < 2 {
            acts.push(Some(Act::Start {
                graph: in_graph,
                id: of_job,
            }));
            actions.push(Action::Start {
                graph,
                sequence,
                id,
                claim: None,
            });
        } else {
            acts.push(Some(Act::Complete {
                graph: in_graph,
                id: of_job,
                outcome: outcome.clone(),
            }));
            actions.push(Action::Complete {
                graph,
                sequence,
                id,
                outcome,
                run: None,
            });
        }
    }
    let mut calls = Vec::new();
    {
        // While this lock is held, nothing is committed, so all writes wait in the queue.
        let _committer = store.engine.lock_committer();
        for action in actions {
            let bytes = 2000;
            let (call, queued) = Call::new(Operation { action, bytes });
            store.engine.queue.push(queued);
            calls.push(call);
        }
    }
    store.engine.queue.wake_committer();
    let (mut done, mut refused) = (0, 0);
    for (act, call) in acts.iter().zip(calls) {
        match (call.wait(), act) {
            (Ok(_), Some(act)) => {
                client.world.apply(act, &[]);
                assert_eq!(refused, 0, "{act:?} after one was refused");
                done += 1;
            }
            (Err(Error::DiskFull { .. }), None) => {}
            (Err(Error::DiskFull { .. }), Some(_)) => refused += 1,
            (Ok(_), None) => panic!("a new job on a full disk"),
            (Err(error), act) => panic!("{act:?}: {error}"),
        }
    }
    // Two starts share a frame, and so do two of the other writes. The last quarter of the reserve
    // is kept for operations that free space, so the reserve is exhausted before the second pair of
    // these.
    assert_eq!((done, refused), (4, 8));
    let reserve_bytes = store.engine.preallocation.reserve_bytes();
    let (_, end, _) = log_end(&store);
    let left = (reserve_bytes - reserve_bytes / 4).checked_sub(end);
    assert!(left.is_some_and(|left| left < 2 * 1600), "{left:?} bytes");
    drop(files);
    check_reads("shared", &store, &client.world);
    store.engine.close().ok();
}

/// Power failures after every call, starting with the first write that needs the reserve.
#[test]
fn a_power_cut_while_the_reserve_comes_into_use_takes_nothing() {
    let mut reserves_seen = 0;
    for seed in 10..16 {
        let (disk, mut client, store) = filled(seed);
        disk.record(1, client.counters());
        for _ in 0..25 {
            let act = client.draw();
            attempt(&mut client, &store, &act);
        }
        let images = disk.images();
        let mut random = Random(seed);
        for (n, image) in images.iter().enumerate() {
            let has_reserve = image.names().contains(&file_names::RESERVE.to_owned());
            reserves_seen += u64::from(has_reserve);
            let (must, can) = (image.counters[0] as usize, image.counters[1] as usize);
            let can = can.min(client.history.len() - 1);
            for (kind, left) in power_cuts(image, &mut random) {
                let what = format!("seed {seed}, image {n}, {kind}");
                check(&what, left, &client.history[must..=can], n % 8 == 0);
            }
        }
        let is_in_use = |image: &Image| !image.names().contains(&file_names::RESERVE.to_owned());
        assert!(images.iter().any(is_in_use), "it was never in use");
    }
    assert!(reserves_seen > 0, "it was never seen before it was used");
    assert_no_thread_panicked();
}

/// Each call made while the reserve is being put to use fails once.
#[test]
fn whichever_call_fails_while_the_reserve_comes_into_use_nothing_is_lost() {
    const EIO: i32 = 5;
    let (disk, client, store) = filled(20);
    let (image, world) = (disk.image(), client.world.reopened());
    drop(store);
    let mut calls = 0;
    loop {
        let disk = Arc::new(image.after_kill());
        let store = Store::open(disk.clone(), Durability::Synced).expect("it opens");
        store.wait_until_packed();
        let mut client = Client::new(21, "later", true);
        client.world = world.clone();
        store.fill_disk(&disk);
        drop(fill(&mut client, &store));
        let before = client.world.clone();
        let fault = Fault {
            errno: EIO,
            lasting: false,
            hits: |_| true,
        };
        disk.fail_after(calls, fault);
        // The detail is larger than the rest of the segment, so it is written to the reserve.
        let detail = format!("{:?}", "x".repeat(2000));
        let (graph, jobs) = &client.world.graphs[0];
        let pending = jobs.iter().find(|job| job.state == State::Pending);
        let act = Act::Complete {
            graph: graph.clone(),
            id: JobId::new(&*pending.expect("a job").id).expect("an id"),
            outcome: Outcome::cancelled().with_detail_json(detail).expect("JSON"),
        };
        let what = format!("the call after {calls}");
        let candidates = match store.apply_act(&act) {
            Ok(_) => {
                client.world.apply(&act, &[]);
                vec![client.world]
            }
            Err(Error::CommitUnknown { .. }) => {
                client.world.apply(&act, &[]);
                vec![before, client.world]
            }
            Err(Error::Io { .. } | Error::DiskFull { .. }) => {
                // The write was not recorded, and the next attempt succeeds.
                disk.heal();
                let again = store.apply_act(&act);
                assert!(again.is_ok(), "{what}: {:?}", again.err());
                client.world.apply(&act, &[]);
                vec![client.world]
            }
            Err(error) => panic!("{what}: {error:?}"),
        };
        let has_failed = disk.has_failed();
        for (kind, left) in power_cuts(&disk.image(), &mut Random(calls)) {
            check(&format!("{what}, {kind}"), left, &candidates, false);
        }
        if !has_failed {
            break;
        }
        calls += 1;
    }
    assert!(calls > 5, "only {calls} calls were tried");
    assert_no_thread_panicked();
}

/// Returns a closed store on a disk without free space.
fn closed_and_full(seed: u64) -> (Arc<MemoryDisk>, World) {
    let disk = Arc::new(MemoryDisk::default());
    let mut client = Client::new(seed, "graph", true);
    let store = client.open(disk.clone(), Durability::Synced);
    let store = store.expect("it opens");
    client.steps(&store, 50);
    store.engine.close().expect("it closes");
    disk.leave_room(0);
    (disk, client.world)
}

/// Removes unused preallocated space.
fn cut_room(files: &mut [(String, Vec<u8>)]) {
    for (_, content) in files {
        let used = content.iter().rposition(|&byte| byte != 0);
        // Some zeros are kept, because a frame may end with zeros.
        content.truncate(used.map_or(0, |last| last + 64));
    }
}

#[test]
fn a_store_with_its_reserve_opens_on_a_full_disk() {
    for seed in 30..34 {
        let (disk, world) = closed_and_full(seed);
        disk.record(1, Vec::new());
        let mut client = Client::new(seed, "later", false);
        client.world = world.clone();
        let store = client.open(disk.clone(), Durability::Synced);
        let store = store.expect("it opens");
        let opening = disk.images();
        check_reads("full", &store, &client.world);
        {
            let _files = fill(&mut client, &store);
            assert_nothing_new(&mut client, &store, "after an open");
            end_jobs(&mut client, &store);
            assert_nothing_new(&mut client, &store, "after the end of jobs");
        }
        drop_last(&mut client, &store);
        check_reads("ended", &store, &client.world);
        // The open itself can be interrupted at any call.
        let mut random = Random(seed);
        for (n, image) in opening.iter().enumerate() {
            for (kind, left) in power_cuts(image, &mut random) {
                let candidates = [world.clone(), world.reopened()];
                check(&format!("call {n}, {kind}"), left, &candidates, false);
            }
        }
        check("then", disk_of(&disk), &[client.world], true);
    }
    assert_no_thread_panicked();
}

#[test]
fn a_store_that_has_no_room_in_its_files_does_not_and_stays_as_it_is() {
    let (disk, world) = closed_and_full(40);
    let mut files = disk.files();
    files.retain(|(name, _)| name != file_names::RESERVE);
    cut_room(&mut files);
    let disk = Arc::new(MemoryDisk::holding(files.clone()));
    disk.leave_room(0);
    match Store::open(disk.clone(), Durability::Synced) {
        Err(Error::DiskFull { .. }) => {}
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it opens without any room"),
    }
    assert!(disk.files() == files, "it is not as it was");
    disk.unbound();
    check("healed", disk_of(&disk), &[world], true);
}

/// The first open uses up the reserve. Later opens continue in the rest of it, whether the previous
/// store was closed, killed, or lost power. Otherwise, the next open would trust the index again.
#[test]
fn an_index_that_cannot_answer_is_rebuilt_by_the_next_open_on_a_full_disk() {
    let (disk, _client, store) = filled(10);
    {
        // The number of files must not change, so the packer must not be replacing one.
        let _files = store.engine.files_lock.lock();
        disk.leave_files(0);
    }
    let fault = IndexFault("a row is damaged".to_owned());
    store.engine.index_failed(fault);
    assert!(
        disk.names_now()
            .contains(&file_names::INDEX_OPENING.to_owned())
    );
    store.engine.close().expect("it closes");
    assert!(
        disk.names_now()
            .contains(&file_names::INDEX_OPENING.to_owned())
    );
}

/// The mark of a failed index has used the file that was preallocated for the mark of the close.
/// The packer uses the scratch file, to which the close would otherwise write its mark.
#[test]
fn a_close_waits_for_the_scratch_file_on_a_full_disk() {
    let (disk, _client, store) = filled(10);
    let files = store.engine.files_lock.lock();
    disk.leave_files(0);
    store
        .engine
        .index_failed(IndexFault("a row is damaged".to_owned()));
    let preallocation = &store.engine.preallocation;
    let scratch_file = preallocation
        .lend_scratch(&*disk, "pack")
        .expect("it is there")
        .expect("it is there");
    let closed = std::thread::scope(|threads| {
        let closing = threads.spawn(|| store.engine.close());
        std::thread::sleep(Duration::from_millis(200));
        preallocation.return_scratch(&*disk, &scratch_file);
        drop(files);
        closing.join().expect("no panic")
    });
    closed.expect("it closes");
}

/// The claim has started the job, and then the reserve is used up.
#[test]
fn a_job_is_handed_back_once_there_is_space_for_it() {
    for is_closed in [false, true] {
        let (disk, client, store) = filled(12);
        let graph = store.graph(&client.world.graphs[0].0);
        let running = || graph.count(State::Running).expect("a count");
        let files = store.engine.files_lock.lock();
        let before = running();
        let claim = graph.nonblocking().claim_next();
        wait_for(&store, "a claim", || running() == before + 1);
        let refused = (0..STEPS_MAX).find_map(|_| {
            let run = match graph.claim_next() {
                Ok(run) => run.expect("a job"),
                Err(error) => return Some(error),
            };
            let requeued = run.requeue().err();
            run.detach();
            requeued
        });
        let refused = refused.expect("a refusal");
        assert!(matches!(refused, Error::DiskFull { .. }), "{refused}");
        let others = running() - 1;
        drop(claim);
        wait_for(&store, "a refusal", || {
            !store.engine.owed_hand_backs.lock().is_empty()
        });
        assert_eq!(running(), others + 1);
        drop(files);
        disk.unbound();
        if !is_closed {
            wait_for(&store, "the job", || running() == others);
            continue;
        }
        store.engine.close().expect("it closes");
        let store = Store::open(disk, Durability::Synced).expect("it opens");
        let of_graph = |jobs: &&RecoveredJobs| jobs.graph == graph.core.number;
        let recovered = store.engine.recovered.iter().filter(of_graph);
        let recovered: usize = recovered.map(|jobs| jobs.sequences.len()).sum();
        assert_eq!(recovered as u64, others);
    }
}

/// Recording the keys requires a new file, for which there is neither a byte nor an inode.
#[test]
fn a_store_on_a_full_disk_opens_with_other_secret_keys() {
    let open = |disk: &Arc<MemoryDisk>, key| {
        let options = options(Durability::Synced).secret_keys([key]);
        let store = open_disk(options, disk.clone()).map(Store::of);
        let store = store.unwrap_or_else(|e| panic!("{key}: {e}"));
        store.engine.close().expect("it closes");
        let recorded = secret_keys::read(&**disk, store.engine.store).expect("a record");
        assert_eq!(
            recorded.map(|secrets| secrets.keys),
            Some(Keys::these([key]))
        );
    };
    let (disk, _) = closed_and_full(83);
    disk.unbound();
    open(&disk, "one");
    for key in ["two", "three"] {
        disk.leave_room(0);
        disk.leave_files(0);
        open(&disk, key);
        assert!(disk.names_now().contains(&file_names::SCRATCH.to_owned()));
    }
}

#[test]
fn a_store_opens_on_a_full_disk_again_and_again() {
    for seed in 80..82 {
        let (mut disk, world) = closed_and_full(seed);
        let mut client = Client::new(seed, "later", false);
        client.world = world;
        let mut random = Random(seed);
        for n in 0..6 {
            let before = client.world.clone();
            disk.record(1, Vec::new());
            let what = format!("seed {seed}, open {n}");
            let opened = client.open(disk.clone(), Durability::Synced);
            let store = opened.unwrap_or_else(|e| panic!("{what}: {e}"));
            check_reads(&what, &store, &client.world);
            for (i, image) in disk.images().iter().enumerate() {
                for (kind, left) in power_cuts(image, &mut random) {
                    let candidates = [before.clone(), client.world.clone()];
                    check(
                        &format!("{what}, call {i}, {kind}"),
                        left,
                        &candidates,
                        false,
                    );
                }
            }
            drop(fill(&mut client, &store));
            let jobs = client.world.graphs.iter();
            let mut jobs = jobs.flat_map(|(graph, jobs)| jobs.iter().map(move |job| (graph, job)));
            let pending = jobs.find(|(_, job)| job.state == State::Pending);
            let (graph, job) = pending.expect("a job");
            let act = Act::Cancel {
                graph: graph.clone(),
                id: JobId::new(&*job.id).expect("an id"),
            };
            assert!(attempt(&mut client, &store, &act), "{what}");
            let image = match n % 3 {
                // There may be no space for the mark of a clean close.
                0 => {
                    store.engine.close().ok();
                    disk.image()
                }
                _ => disk.image(),
            };
            disk = Arc::new(match n % 3 {
                1 => image.after_torn_power_cut(|end| random.below(end)),
                _ => image.after_kill(),
            });
            disk.leave_room(0);
        }
        disk.unbound();
        check("healed", disk_of(&disk), &[client.world], true);
    }
    assert_no_thread_panicked();
}

/// The remains of an interrupted open are removed to make space for the next one.
#[test]
fn what_a_crash_has_left_does_not_keep_the_next_open_from_its_room() {
    let (disk, world) = closed_and_full(41);
    let mut files = disk.files();
    files.retain(|(name, _)| name != file_names::RESERVE);
    cut_room(&mut files);
    let epochs = files
        .iter()
        .filter_map(|(n, _)| file_names::segment_epoch(n));
    let next = epochs.max().unwrap_or_default() + 1;
    for name in [file_names::segment(next), "RESERVE.aside".to_owned()] {
        let mut files = files.clone();
        files.push((name, vec![0; 2 * SEGMENT_BYTES as usize]));
        let disk = Arc::new(MemoryDisk::holding(files));
        disk.leave_room(0);
        let store = Store::open(disk.clone(), Durability::Synced).expect("it opens");
        check_reads("opened", &store, &world.reopened());
    }
}

/// The reserve contains bytes that would be read as the next frames: those of the segment that the
/// reserve becomes, copied from a diverged copy of the store.
#[test]
fn a_foreign_reserve_never_becomes_a_part_of_the_log() {
    let (disk, world) = closed_and_full(50);
    let files = disk.files();
    let other = Arc::new(MemoryDisk::holding(files.clone()));
    let store = Store::open(other.clone(), Durability::Synced).expect("it opens");
    let act = Act::Submit {
        graph: world.graphs[0].0.clone(),
        request: request(20),
    };
    store.apply_act(&act).expect("it is taken");
    let name = store
        .engine
        .log_files
        .read()
        .segments
        .last()
        .expect("one")
        .name
        .clone();
    let foreign = other.files().into_iter().find(|(n, _)| *n == name);
    let mut foreign = foreign.expect("the segment").1;
    foreign.resize(2 * SEGMENT_BYTES as usize, 7);
    for len in [0, 1, 5000, 2 * SEGMENT_BYTES as usize, 3 << 20] {
        let mut content = foreign.clone();
        content.resize(len, 7);
        let mut files = files.clone();
        files.retain(|(name, _)| name != file_names::RESERVE);
        files.push((file_names::RESERVE.to_owned(), content));
        for room in [0, 1 << 30] {
            let disk = Arc::new(MemoryDisk::holding(files.clone()));
            disk.leave_room(room);
            let what = format!("{len} bytes, room for {room}");
            let opened = Store::open(disk.clone(), Durability::Synced);
            let store = opened.unwrap_or_else(|e| panic!("{what}: {e}"));
            check_reads(&what, &store, &world.reopened());
            // The store was killed, so nothing records where the log ends.
            let left = disk.image().after_kill();
            check(&what, left, &[world.reopened()], true);
        }
    }
    assert_no_thread_panicked();
}

fn packs(disk: &MemoryDisk) -> usize {
    let names = disk.names_now().into_iter();
    names.filter(|name| name.ends_with(".pack")).count()
}

/// The log continues in its last segment. The segment has a torn frame at its end, followed by a
/// complete frame, as a power failure may leave it.
#[test]
fn what_lies_behind_the_end_never_becomes_a_part_of_the_log() {
    let (disk, world) = closed_and_full(51);
    let mut files = disk.files();
    files.retain(|(name, _)| name != file_names::RESERVE);
    let opened = |files: &[(String, Vec<u8>)]| {
        let disk = Arc::new(MemoryDisk::holding(files.to_vec()));
        disk.leave_room(0);
        let store = Store::open(disk.clone(), Durability::Synced).expect("it opens");
        (disk, store)
    };
    let (other, store) = opened(&files);
    let jobs = world.graphs.iter();
    let mut jobs = jobs.flat_map(|(graph, jobs)| jobs.iter().map(move |job| (graph, job)));
    let pending = jobs.find(|(_, job)| job.state == State::Pending);
    let (graph, job) = pending.expect("a job");
    let act = Act::Cancel {
        graph: graph.clone(),
        id: JobId::new(&*job.id).expect("an id"),
    };
    store.apply_act(&act).expect("it is taken");
    let mut torn = 0;
    for (name, content) in &mut files {
        let left = other.files().into_iter().find(|(n, _)| n == name);
        let Some((_, left)) = left.filter(|_| file_names::segment_epoch(name).is_some()) else {
            continue;
        };
        let end = (0..content.len()).find(|&n| content[n] != left[n]);
        if let Some(end) = end {
            *content = left;
            content[end] ^= 0xff;
            torn += 1;
        }
    }
    assert_eq!(torn, 1, "segments that the log went on in");
    let (disk, store) = opened(&files);
    check_reads("torn", &store, &world.reopened());
    let left = disk.image().after_kill();
    check("torn", left, &[world.reopened()], true);
}

/// Submits requests that fill segments. Before each one, sets the free space to `room`.
fn submit_with_room(
    (client, bytes): (&mut Client, usize),
    store: &Store,
    disk: &MemoryDisk,
    room: u64,
    packs: bool,
) {
    let act = Act::Submit {
        graph: client.world.graphs[0].0.clone(),
        request: request(bytes),
    };
    for _ in 0..120 {
        wait_for(store, "a submission", || {
            // The packer may temporarily use some of the space.
            disk.leave_room(room);
            attempt(client, store, &act)
        });
        if packs {
            wait_for(store, "the packer", || {
                disk.leave_room(room);
                store.engine.log_files.read().segments.len() == 1
            });
        }
    }
}

#[test]
fn without_room_beside_nothing_is_packed_or_merged_and_it_is_said_so() {
    // A pack of the large jobs does not fit into the scratch file either. The log reserves space
    // for that pack, and another program then takes the space.
    let large = 5 * SEGMENT_BYTES;
    for (room, taken, operation, bytes) in [
        (4 * large, 7 * large / 2, "pack", large),
        (4 * SEGMENT_BYTES, 0, "merge", 1200),
    ] {
        let disk = Arc::new(MemoryDisk::default());
        let mut client = Client::new(60, "graph", false);
        let store = client.open(disk.clone(), Durability::Synced);
        let store = store.expect("it opens");
        client.steps(&store, 1);
        wait_for(&store, "the reserve", || {
            store.engine.preallocation.has_reserve()
        });
        let packs_go_on = operation == "merge";
        let submitting = (&mut client, bytes as usize);
        {
            let _files = (!packs_go_on).then(|| store.engine.files_lock.lock());
            submit_with_room(submitting, &store, &disk, room, packs_go_on);
            disk.leave_room(room - taken);
        }
        let what = format!("being retried: cannot {operation} ");
        wait_for(&store, "the packer's word", || {
            match store.engine.health() {
                Health::Degraded { why } => why.contains(&what),
                _ => false,
            }
        });
        if packs_go_on {
            // Each pack contains two jobs, except for the last ones. No packs are merged.
            assert_eq!(packs(&disk), 59);
        } else {
            let segments = store.engine.log_files.read().segments.len();
            // One job per segment, and one pack of the earlier jobs.
            assert_eq!((segments, packs(&disk)), (120, 1));
        }
        check_reads(operation, &store, &client.world);
        disk.unbound();
        wait_for(&store, "its health", || store.engine.health() == Health::Ok);
        store.wait_until_packed();
        assert!(packs(&disk) > 0);
        assert!(packs(&disk) < 16, "{} packs", packs(&disk));
        check_reads("healed", &store, &client.world);
    }
}
