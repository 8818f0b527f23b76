//! Guarantee: the log alone yields the same results as the store, whatever was purged, dropped,
//! forgotten, merged, or rewritten. The index can therefore be discarded at any moment.
//!
//! A store works with small segments. From time to time, its files are copied. The copy is opened
//! without an index, and with an older index.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::api::import::OnBadLine;
use crate::base::sync::Mutex;
use crate::engine::background::garbage::{Weight, weigh};
use crate::engine::background::packing::is_settled;
use crate::engine::maintenance::check::verify;
use crate::engine::open::{self, IndexLocation};
use crate::engine::read::idempotency_keys::KeyOwner;
use crate::index::memory::MemoryIndex;
use crate::index::{Batch, Index};
use crate::log::disk::Disk;
use crate::log::disk::memory::MemoryDisk;
use crate::model::job_query::JobQuery;
use crate::model::options::{Durability, Options, Recovery};
use crate::model::outcome::Outcome;
use crate::model::request::{Body, Request};
use crate::model::retention::Retention;
use crate::model::states::State;
use crate::testing::crash::client::{Random, Store, assert_no_thread_panicked, options};

const WAIT: Duration = Duration::from_secs(30);

/// A store whose index persists between opens.
pub(super) struct StoreFixture {
    pub(super) disk: Arc<MemoryDisk>,
    pub(super) index: Arc<Mutex<Arc<MemoryIndex>>>,
}

impl StoreFixture {
    pub(super) fn empty() -> StoreFixture {
        StoreFixture::new(MemoryDisk::default(), MemoryIndex::default())
    }

    fn new(disk: MemoryDisk, index: MemoryIndex) -> StoreFixture {
        StoreFixture {
            disk: Arc::new(disk),
            index: Arc::new(Mutex::new(Arc::new(index))),
        }
    }

    pub(super) fn open(&self, segment_bytes: u64) -> Store {
        let location = |rebuild| -> Arc<dyn Index> {
            if rebuild {
                *self.index.lock() = Arc::default();
            }
            self.index.lock().clone()
        };
        let options = Options {
            recovery: Recovery::Leave,
            segment_bytes,
            ..options(Durability::Synced)
        };
        let opened = open::open(
            options,
            self.disk.clone(),
            None,
            IndexLocation::Memory(&location),
        );
        Store::of(opened.unwrap_or_else(|error| panic!("it does not open: {error}")))
    }
}

/// A copy of the current rows of an index.
fn copy_of_index(index: &dyn Index) -> MemoryIndex {
    let mut batch = Batch::default();
    let scanned = index.scan(&[], &mut |key, value| {
        batch.put(key.to_vec(), value.to_vec());
        Ok(())
    });
    scanned.expect("a scan");
    let copy = MemoryIndex::default();
    copy.write(&batch).expect("a write");
    copy
}

/// The files of an open store, as a backup copies them.
fn copy_of_files(store: &Store, disk: &MemoryDisk) -> MemoryDisk {
    let _files = store.engine.files_lock.lock();
    store.engine.at_rest().expect("it is at rest");
    copy_of_disk(disk)
}

fn copy_of_disk(disk: &MemoryDisk) -> MemoryDisk {
    let copy = MemoryDisk::default();
    for name in disk.names().expect("names") {
        let Ok(file) = disk.open(&name) else { continue };
        let mut bytes = vec![0; file.len().expect("a length") as usize];
        file.read_exact_at(&mut bytes, 0).expect("a read");
        let to = copy.create(&name).expect("a file");
        to.write_all_at(&bytes, 0).expect("a write");
        to.sync().expect("a sync");
    }
    copy.sync_names().expect("a sync");
    copy
}

/// Waits until nothing is left to pack, merge, rewrite, or purge.
pub(super) fn settle(store: &Store) {
    let deadline = Instant::now() + WAIT;
    let mut calm = 0;
    while calm < 3 {
        assert!(
            Instant::now() < deadline,
            "the packer does not settle: {:?}, {:?}",
            *store.engine.packing_problem.lock(),
            weights(store)
        );
        store.engine.apply_to_index();
        calm = match is_settled(&store.engine) {
            true => calm + 1,
            false => 0,
        };
        store.engine.wake_packer();
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn weights(store: &Store) -> Vec<(String, Weight)> {
    let packs = store.engine.log_files.read().packs.clone();
    let packs = packs.iter();
    packs
        .map(|pack| (pack.name.clone(), weigh(&store.engine, pack)))
        .collect()
}

/// All ids and keys that were ever used, by graph.
#[derive(Default)]
struct Given {
    ids: BTreeMap<String, Vec<String>>,
    keys: BTreeMap<String, Vec<String>>,
}

/// Everything that a store returns.
fn told_by(store: &Store, given: &Given) -> String {
    let mut event_sizes = String::new();
    for graph in store.graphs() {
        let name = graph.name().to_owned();
        writeln!(event_sizes, "graph {name} {}", graph.core.number).unwrap();
        let page = graph.list(JobQuery::new()).expect("a page");
        event_sizes.push_str(&String::from_utf8_lossy(&page.to_json().expect("JSON")));
        for job in page.jobs() {
            let job = job.expect("a job");
            let outcome = job.outcome().map(|o| {
                let (code, detail) = (o.code(), o.detail());
                format!("{:?} {code:?} {detail:?} {:?}", o.kind(), o.result_ref())
            });
            let asked = job.cancel_requested();
            writeln!(
                event_sizes,
                "{} {} {asked} {outcome:?} {:?} {:?}",
                job.id(),
                job.state(),
                job.started_at(),
                job.completed_at()
            )
            .unwrap();
        }
        for state in State::ALL {
            writeln!(
                event_sizes,
                "{state} {}",
                graph.count(state).expect("a count")
            )
            .unwrap();
        }
        for id in given.ids.get(&name).into_iter().flatten() {
            let job = graph.job(id).expect("a look-up").map(|job| job.state());
            let tombstone = graph.tombstone(id).expect("a tombstone");
            let tombstone = tombstone.map(|t| (t.reason, t.purged_at));
            writeln!(event_sizes, "{id} {job:?} {tombstone:?}").unwrap();
        }
        for key in given.keys.get(&name).into_iter().flatten() {
            let owner = store.engine.owner_of(&graph.core, key).expect("an owner");
            let owner = match owner {
                KeyOwner::Nobody => "nobody".to_owned(),
                KeyOwner::Job(id, _) => id.to_string(),
                KeyOwner::Purged => "purged".to_owned(),
            };
            writeln!(event_sizes, "{key} {owner}").unwrap();
        }
    }
    event_sizes
}

/// Asserts that copies of the store return the same results as the store, whatever index they have.
fn check_copies(
    (store, fixture): (&Store, &StoreFixture),
    given: &Given,
    older: Option<MemoryIndex>,
    what: &str,
) {
    let segment_bytes = store.engine.options.segment_bytes;
    // Repeat this until nothing changes, because background work may purge jobs.
    let (event_sizes, copy) = loop {
        let event_sizes = told_by(store, given);
        let copy = copy_of_files(store, &fixture.disk);
        if told_by(store, given) == event_sizes {
            break (event_sizes, copy);
        }
    };
    let report = verify(&copy).expect("a report");
    assert!(report.is_sound(), "{what}: {:?}", report.damage);
    let scrubbed = store.engine.scrub().expect("a report");
    assert!(scrubbed.is_sound(), "{what}: {:?}", scrubbed.damage);
    for (index, which) in [
        (Some(MemoryIndex::default()), "no index"),
        (older, "an old index"),
    ] {
        let Some(index) = index else { continue };
        let opened = StoreFixture::new(copy_of_disk(&copy), index).open(segment_bytes);
        assert_same(
            &told_by(&opened, given),
            &event_sizes,
            &format!("{what}, {which}"),
        );
    }
}

fn assert_same(found: &str, expected: &str, what: &str) {
    let pairs = found.lines().zip(expected.lines());
    let differs = pairs.clone().find(|(a, b)| a != b);
    assert!(
        found == expected,
        "{what}: {differs:?}, {} lines, not {}",
        found.lines().count(),
        expected.lines().count()
    );
}

fn request(n: u64) -> Request {
    let body = format!(r#"{{"n":{n},"text":"{}"}}"#, "x".repeat((n % 90) as usize));
    let command = ["import_graph", "clear_graph"][(n % 2) as usize];
    Request::new(command, "/ges", Body::from_json(body).expect("JSON")).expect("a request")
}

#[test]
fn a_graph_that_is_dropped_after_a_purge_leaves_a_log_that_opens() {
    let fixture = StoreFixture::empty();
    let store = fixture.open(64 << 10);
    store.create_graph("keep");
    store.create_graph("movie");
    let (keep, movie) = (store.graph("keep"), store.graph("movie"));
    for n in 0..100 {
        keep.submit_all((0..10).map(|k| request(10 * n + k)))
            .unwrap();
    }
    let mut ids = Vec::new();
    for n in 0..100 {
        let made = movie.submit_all((0..20).map(|k| request(20 * n + k)));
        ids.extend(made.unwrap());
    }
    for id in ids
        .iter()
        .enumerate()
        .filter(|(n, _)| n % 3 != 0)
        .map(|(_, id)| id)
    {
        movie.cancel(id).unwrap();
    }
    settle(&store);
    store
        .graph("movie")
        .purge(JobQuery::new().state(State::Complete))
        .unwrap();
    settle(&store);
    let movie = store.graph("movie").core;
    let drop = crate::engine::state::operation::Action::DropGraph { graph: movie };
    store
        .engine
        .commit(crate::engine::state::operation::Operation::small(drop))
        .unwrap();
    settle(&store);
    check_copies((&store, &fixture), &Given::default(), None, "dropped");
    assert_no_thread_panicked();
}

#[test]
fn the_log_by_itself_tells_what_the_store_tells() {
    let seeds = std::env::var("JOBSTORE_REWRITTEN_SEEDS").ok();
    let seeds: u64 = seeds.and_then(|n| n.parse().ok()).unwrap_or(6);
    let first: u64 = std::env::var("JOBSTORE_REWRITTEN_FIRST")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(0);
    for seed in first..first + seeds {
        live(seed);
    }
    assert_no_thread_panicked();
}

fn live(seed: u64) {
    let mut random = Random(seed);
    let fixture = StoreFixture::empty();
    let segment_bytes = [4 << 10, 16 << 10][random.below(2) as usize];
    let mut store = fixture.open(segment_bytes);
    let mut given = Given::default();
    let mut older = None;
    let (mut made, mut n) = (0, 0);
    let names = ["a", "b", "c"];
    for step in 0..220 {
        let what = format!("seed {seed}, step {step}");
        let name = names[random.below(3) as usize];
        if !store.graphs().iter().any(|graph| graph.name() == name) {
            made += 1;
            store
                .apply_act(&crate::testing::crash::client::Act::CreateGraph {
                    name: name.to_owned(),
                    number: made,
                })
                .expect("a graph");
            given.ids.remove(name);
            given.keys.remove(name);
        }
        let graph = store.graph(name);
        let ids = given.ids.entry(name.to_owned()).or_default();
        let some = |random: &mut Random, state: State| -> Vec<String> {
            let page = graph.list(JobQuery::new().state(state)).expect("a page");
            let share = 1 + random.below(3);
            let jobs = page.jobs().map(|job| job.expect("a job").id().to_string());
            jobs.filter(|_| random.below(share) == 0).collect()
        };
        match random.below(20) {
            0..=4 => {
                let count = 1 + random.below(60);
                let made = graph.submit_all((n..n + count).map(request)).unwrap();
                ids.extend(made.iter().map(ToString::to_string));
                n += count;
            }
            5 => {
                for _ in 0..1 + random.below(8) {
                    n += 1;
                    let id = format!("brought-{n}");
                    graph.submit_as(&id, request(n)).unwrap();
                    ids.push(id);
                }
            }
            6 => {
                let keys = given.keys.entry(name.to_owned()).or_default();
                for _ in 0..1 + random.below(8) {
                    n += 1;
                    let key = format!("key-{}", n % 40);
                    match graph.submit_once(&key, request(n % 40)) {
                        Ok(submitted) => ids.push(submitted.id().to_string()),
                        Err(crate::Error::KeyPurged) => {}
                        Err(error) => panic!("{error}"),
                    }
                    keys.push(key);
                }
            }
            7 => {
                n += 1;
                let line = format!(
                    r#"{{"jobId":"imported-{n}","status":"complete","outcome":{{"kind":"interrupted","recoveredAtOpen":1}},"request":{}}}"#,
                    request(n).as_json()
                );
                let done = graph.import(line.as_bytes(), OnBadLine::Stop);
                assert_eq!(done.expect("an import").imported, 1, "{line}");
                ids.push(format!("imported-{n}"));
            }
            8..=9 => {
                for id in some(&mut random, State::Pending) {
                    graph.start(&id).unwrap();
                }
            }
            10..=11 => {
                for id in some(&mut random, State::Running) {
                    let outcome = match random.below(4) {
                        0 => Outcome::succeeded(),
                        1 => Outcome::failed("E", "it failed"),
                        2 => Outcome::succeeded().with_result_ref("s3://x").unwrap(),
                        _ => Outcome::succeeded().with_detail(&vec![n; 50]).unwrap(),
                    };
                    graph.complete(&id, outcome).unwrap();
                }
            }
            12 => {
                for id in some(&mut random, State::Pending) {
                    graph.cancel(&id).unwrap();
                }
                for id in some(&mut random, State::Running) {
                    graph.cancel(&id).unwrap();
                }
            }
            13..=14 => {
                let list = match random.below(3) {
                    0 => JobQuery::new(),
                    1 => JobQuery::new().command("import_graph"),
                    _ => JobQuery::new().outcome(crate::OutcomeKind::Cancelled),
                };
                graph.purge(list).unwrap();
            }
            15 => {
                let policy = match random.below(4) {
                    0 => None,
                    1 => Some(Retention::new().max_jobs(10).max_tombstones(5)),
                    2 => Some(Retention::new().max_tombstones(0)),
                    _ => Some(Retention::new().max_bytes(2000).max_tombstones(100)),
                };
                graph.set_retention(policy).unwrap();
            }
            16 => {
                let drop = crate::engine::state::operation::Action::DropGraph {
                    graph: graph.core.clone(),
                };
                let operation = crate::engine::state::operation::Operation::small(drop);
                store.engine.commit(operation).unwrap();
            }
            17 => {
                store.engine.apply_to_index();
                if random.below(2) == 0 {
                    let _files = store.engine.files_lock.lock();
                    older = Some(copy_of_index(&*fixture.index.lock().clone()));
                }
            }
            18 => settle(&store),
            _ => {
                drop(graph);
                if random.below(2) == 0 {
                    *fixture.index.lock() = Arc::default();
                }
                drop(store);
                store = fixture.open(segment_bytes);
                continue;
            }
        }
        drop(graph);
        if step % 20 == 19 {
            settle(&store);
            let older = match random.below(2) {
                0 => older.take(),
                _ => None,
            };
            check_copies((&store, &fixture), &given, older, &what);
        }
    }
}
