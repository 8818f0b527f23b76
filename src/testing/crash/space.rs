//! Guarantee: the space that a store takes depends on what it contains, not on what it contained
//! before. This applies to the disk, the index, memory, and the data that an open reads.

use std::time::{Duration, Instant};

use crate::api::graph::Graph;
use crate::api::submit::Submitted;
use crate::engine::state::indexer::removal::LOST_IDS_MIN;
use crate::engine::state::operation::{Action, Operation};
use crate::index::{Index as _, rows};
use crate::log::disk::File as _;
use crate::log::event::Event;
use crate::model::job_query::JobQuery;
use crate::model::outcome::Outcome;
use crate::model::request::{Body, Request};
use crate::model::retention::Retention;
use crate::model::states::State;
use crate::testing::crash::client::{Random, Store};
use crate::testing::crash::rewritten::{StoreFixture, settle};

const SEGMENT_BYTES: u64 = 64 << 10;
/// How long a test waits for background work.
const WAIT: Duration = Duration::from_secs(60);

fn request() -> Request {
    Request::new("c", "/ges", Body::empty()).expect("a request")
}

/// An incompressible detail with a prefix that is searched for later.
fn detail(random: &mut Random, bytes: usize) -> String {
    let digits = (0..bytes).map(|_| char::from(b'a' + random.below(26) as u8));
    format!("needle-{}", digits.collect::<String>())
}

/// Creates jobs, then completes them with details of this size. The details and the jobs are in
/// different packs.
fn complete_jobs(graph: &Graph, random: &mut Random, jobs: u64, bytes: usize) {
    for id in graph.submit_all((0..jobs).map(|_| request())).unwrap() {
        graph.start(&id).unwrap();
        let outcome = Outcome::succeeded();
        let outcome = outcome.with_detail(&detail(random, bytes)).unwrap();
        graph.complete(&id, outcome).unwrap();
    }
}

fn drop_graph(store: &Store, name: &str) {
    let graph = store.graph(name).core;
    let drop = Action::DropGraph { graph };
    store.engine.commit(Operation::small(drop)).unwrap();
}

/// Returns the total size of the packs.
fn pack_bytes(store: &Store) -> u64 {
    let log_files = store.engine.log_files.read();
    log_files.packs.iter().map(|pack| pack.bytes).sum()
}

/// Begins another segment, so that the last one is packed.
fn seal(store: &Store) {
    let name = format!("filler-{}", store.graphs().len());
    store.create_graph(&name);
    let filler = store.graph(&name);
    let text = "x".repeat(SEGMENT_BYTES as usize / 2);
    for _ in 0..4 {
        let body = Body::from_json(format!(r#"{{"text":"{text}"}}"#)).unwrap();
        filler
            .submit(Request::new("c", "/ges", body).unwrap())
            .unwrap();
    }
    settle(store);
    drop(filler);
    drop_graph(store, &name);
}

/// Returns whether the stored events, uncompressed, contain this text.
fn is_stored(store: &Store, text: &str) -> bool {
    let packs = store.engine.log_files.read().packs.clone();
    let mut found = false;
    for pack in packs {
        pack.events::<crate::Error>(pack.first_lsn, |_, event| {
            found |= {
                let mut bytes = Vec::new();
                event.encode_into(&mut bytes);
                memchr::memmem::find(&bytes, text.as_bytes()).is_some()
            };
            Ok(())
        })
        .unwrap();
    }
    found
}

/// A large write has its own segment, which has no space for anything else.
#[test]
fn an_idle_store_does_not_keep_the_segment_of_a_large_write() {
    let fixture = StoreFixture::empty();
    let store = fixture.open(SEGMENT_BYTES);
    store.create_graph("movie");
    let text = "x".repeat(10 * SEGMENT_BYTES as usize);
    let body = Body::from_json(format!(r#"{{"text":"{text}"}}"#)).unwrap();
    let large = Request::new("c", "/ges", body).unwrap();
    store.graph("movie").submit(large).unwrap();
    let segment_bytes = || {
        let segments = store.engine.log_files.read().segments.clone();
        let bytes = segments.iter().map(|segment| segment.file.len().unwrap());
        bytes.sum::<u64>()
    };
    let deadline = Instant::now() + WAIT;
    while segment_bytes() > SEGMENT_BYTES {
        let bytes = segment_bytes();
        assert!(Instant::now() < deadline, "{bytes} bytes of segments");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(store.graph("movie").count(State::Pending).unwrap(), 1);
}

#[test]
fn outcomes_of_purged_jobs_give_their_room_back() {
    let fixture = StoreFixture::empty();
    let store = fixture.open(SEGMENT_BYTES);
    store.create_graph("movie");
    let movie = store.graph("movie");
    let mut random = Random(1);
    complete_jobs(&movie, &mut random, 400, 4000);
    seal(&store);
    let before = pack_bytes(&store);
    assert!(before > 1_000_000, "{before}");
    movie.purge(JobQuery::new()).unwrap();
    seal(&store);
    settle(&store);
    let after = pack_bytes(&store);
    assert!(
        after < 150_000,
        "{after} of {before} bytes are left of no job"
    );
    assert!(!is_stored(&store, "needle-"));
}

#[test]
fn a_few_large_outcomes_among_many_jobs_give_their_room_back() {
    let fixture = StoreFixture::empty();
    let store = fixture.open(SEGMENT_BYTES);
    store.create_graph("movie");
    let movie = store.graph("movie");
    let mut random = Random(2);
    for _ in 0..60 {
        for id in movie.submit_all((0..20).map(|_| request())).unwrap() {
            movie.cancel(&id).unwrap();
        }
        let id = movie.submit(request()).unwrap();
        movie.start(&id).unwrap();
        let outcome = Outcome::failed("E", "it failed");
        let outcome = outcome.with_detail(&detail(&mut random, 10_000)).unwrap();
        movie.complete(&id, outcome).unwrap();
    }
    seal(&store);
    let before = pack_bytes(&store);
    movie
        .purge(JobQuery::new().outcome(crate::OutcomeKind::Failed))
        .unwrap();
    seal(&store);
    settle(&store);
    let after = pack_bytes(&store);
    assert!(3 * after < before, "{after} of {before} bytes");
    assert!(!is_stored(&store, "needle-"));
}

#[test]
fn of_dropped_graphs_no_event_stays() {
    let fixture = StoreFixture::empty();
    let store = fixture.open(SEGMENT_BYTES);
    let mut random = Random(3);
    for round in 0..4 {
        store.create_graph("movie");
        let movie = store.graph("movie");
        complete_jobs(&movie, &mut random, 150, 3000);
        drop(movie);
        drop_graph(&store, "movie");
        seal(&store);
        settle(&store);
        let bytes = pack_bytes(&store);
        assert!(
            bytes < 150_000,
            "{bytes} bytes of no graph in round {round}"
        );
        assert!(!is_stored(&store, "needle-"));
    }
}

/// The details are removed even if nothing else has changed since.
#[test]
fn details_of_a_dropped_graph_go_with_its_last_handle() {
    let fixture = StoreFixture::empty();
    let store = fixture.open(SEGMENT_BYTES);
    store.create_graph("movie");
    let movie = store.graph("movie");
    complete_jobs(&movie, &mut Random(5), 300, 100);
    store.engine.apply_to_index();
    drop_graph(&store, "movie");
    store.engine.apply_to_index();
    assert!(rows_of(&fixture, b"d").0 > 0);
    drop(movie);
    let deadline = Instant::now() + WAIT;
    while rows_of(&fixture, b"d").0 + rows_of(&fixture, rows::DROPPED).0 > 0 {
        assert!(Instant::now() < deadline, "its details stay");
        settle(&store);
        store.engine.apply_to_index();
    }
}

/// Returns the number of rows of the index whose keys have this prefix, and their size.
fn rows_of(fixture: &StoreFixture, prefix: &[u8]) -> (u64, u64) {
    let (mut rows, mut bytes) = (0, 0);
    let index = fixture.index.lock().clone();
    let scanned = index.scan(prefix, &mut |key, value| {
        rows += 1;
        bytes += (key.len() + value.len()) as u64;
        Ok(())
    });
    scanned.unwrap();
    (rows, bytes)
}

/// Creates jobs, completes them, purges all but every `kept`-th, and forgets the tombstones.
fn come_and_go(graph: &Graph, jobs: u64, kept: u64) {
    let mut made = 0;
    while made < jobs {
        let ids = graph.submit_all((0..1000).map(|_| request())).unwrap();
        for id in &ids {
            made += 1;
            if made % kept != 0 {
                graph.cancel(id).unwrap();
            }
        }
    }
    graph.purge(JobQuery::new().state(State::Complete)).unwrap();
}

/// Makes the store forget all tombstones of a graph.
fn forget_all(store: &Store, graph: &Graph) {
    let policy = Retention::new().max_tombstones(0);
    graph.set_retention(Some(policy)).unwrap();
    let deadline = Instant::now() + WAIT;
    loop {
        settle(store);
        let is_kept = |event: &Event<'_>| match *event {
            Event::Purged { jobs, .. } => crate::log::purged_jobs::has_tombstones(jobs),
            _ => false,
        };
        if !any_event(store, is_kept) {
            return;
        }
        assert!(Instant::now() < deadline, "tombstones are not forgotten");
        seal(store);
    }
}

fn any_event(store: &Store, mut is_it: impl FnMut(&Event<'_>) -> bool) -> bool {
    let packs = store.engine.log_files.read().packs.clone();
    let mut found = false;
    for pack in packs {
        pack.events::<crate::Error>(pack.first_lsn, |_, event| {
            found |= is_it(event);
            Ok(())
        })
        .unwrap();
    }
    found
}

#[test]
fn an_open_reads_nothing_of_jobs_that_were_purged() {
    let fixture = StoreFixture::empty();
    let store = fixture.open(SEGMENT_BYTES);
    store.create_graph("movie");
    let movie = store.graph("movie");
    // One job stays, at a lower position than all those that are submitted and purged.
    let first = movie.submit(request()).unwrap();
    come_and_go(&movie, 30_000, u64::MAX);
    let last = movie.submit(request()).unwrap();
    forget_all(&store, &movie);
    store.engine.apply_to_index();
    assert_eq!(
        rows_of(&fixture, rows::STATUS).0,
        3,
        "first, run of all gone, last"
    );
    assert_eq!(rows_of(&fixture, b"d").0, 0);
    let places = |store: &Store| -> usize {
        let packs = store.engine.log_files.read().packs.clone();
        let parts = packs.iter().flat_map(|pack| &pack.parts);
        parts.map(|part| part.blocks.len()).sum()
    };
    assert!(places(&store) < 20, "{} places", places(&store));
    drop(movie);
    drop(store);
    let store = fixture.open(SEGMENT_BYTES);
    let movie = store.graph("movie");
    assert!(movie.job(&first).unwrap().is_some());
    assert!(movie.job(&last).unwrap().is_some());
    assert_eq!(movie.count(State::Pending).unwrap(), 2);
    let next = movie.submit(request()).unwrap();
    assert_eq!(movie.job(&next).unwrap().unwrap().sequence, 30_002);
}

#[test]
fn a_job_that_survives_its_neighbors_takes_little() {
    let fixture = StoreFixture::empty();
    let store = fixture.open(SEGMENT_BYTES);
    store.create_graph("movie");
    let movie = store.graph("movie");
    come_and_go(&movie, 60_000, 2000);
    forget_all(&store, &movie);
    store.engine.apply_to_index();
    let survivors = movie.count(State::Pending).unwrap();
    assert_eq!(survivors, 30);
    let (rows, bytes) = rows_of(&fixture, b"");
    assert!(bytes / survivors < 250, "{bytes} bytes in {rows} rows");
    let packs = pack_bytes(&store);
    assert!(packs / survivors < 700, "{packs} bytes");
}

#[test]
fn ids_and_keys_of_jobs_purged_long_ago_are_nowhere() {
    let fixture = StoreFixture::empty();
    let store = fixture.open(SEGMENT_BYTES);
    store.create_graph("stays");
    store.graph("stays").submit_as("mine", request()).unwrap();
    store
        .graph("stays")
        .submit_once("my key", request())
        .unwrap();
    store.create_graph("movie");
    let movie = store.graph("movie");
    let complete = |n: u64| {
        let submitted = match n % 2 {
            0 => movie.submit_as(format!("brought-{n}"), request()),
            _ => movie.submit_once(format!("key-{n}"), request()),
        };
        movie.cancel(submitted.unwrap().id()).unwrap();
    };
    (0..6000).for_each(complete);
    store.engine.apply_to_index();
    movie.purge(JobQuery::new()).unwrap();
    store.engine.apply_to_index();
    // While a job's tombstone exists, neither its id nor its key can be used again.
    assert_eq!(store.engine.ids.runs.count(), 6002);
    assert!(movie.submit_as("brought-2", request()).is_err());
    assert!(movie.submit_once("key-3", request()).is_err());
    forget_all(&store, &movie);
    store.engine.apply_to_index();
    let check = |store: &Store| {
        // Dead ids stay in the runs until there are enough of them to justify rewriting the runs.
        // They are counted, and the count survives an open.
        let dead = store.engine.indexer.lock().lost_ids;
        assert!(dead < LOST_IDS_MIN, "{dead} may be dead");
        let left = store.engine.ids.runs.count();
        assert!(left <= 2 + dead, "{left} ids, of which {dead} may be dead");
        // With enough additional dead ids, the runs are rewritten, and no dead id is left.
        store.create_graph("passing");
        let passing = store.graph("passing");
        let enough = (0..LOST_IDS_MIN).map(|_| request());
        passing.submit_all(enough).unwrap();
        store.engine.apply_to_index();
        drop(passing);
        drop_graph(store, "passing");
        store.engine.apply_to_index();
        assert_eq!(store.engine.ids.runs.count(), 2);
        let pages = rows_of(&fixture, rows::RUN_PAGES).0;
        assert!(pages <= 4, "{pages} pages");
        let stays = store.graph("stays");
        assert!(stays.job("mine").unwrap().is_some());
        assert!(stays.submit_as("mine", request()).is_ok_and(|s| exists(&s)));
        assert!(
            stays
                .submit_once("my key", request())
                .is_ok_and(|s| exists(&s))
        );
    };
    check(&store);
    seal(&store);
    settle(&store);
    assert!(!is_stored(&store, "key-2"), "a key is in the log");
    drop(movie);
    drop(store);
    let store = fixture.open(SEGMENT_BYTES);
    check(&store);
    // The ids and keys can be used again.
    let movie = store.graph("movie");
    assert!(
        movie
            .submit_as("brought-2", request())
            .is_ok_and(|s| !exists(&s))
    );
    assert!(
        movie
            .submit_once("key-3", request())
            .is_ok_and(|s| !exists(&s))
    );
}

#[test]
fn ids_of_dropped_graphs_are_nowhere() {
    let fixture = StoreFixture::empty();
    let store = fixture.open(SEGMENT_BYTES);
    for round in 0..4 {
        store.create_graph("movie");
        let movie = store.graph("movie");
        for n in 0..1500 {
            movie.submit_as(format!("brought-{n}"), request()).unwrap();
        }
        store.engine.apply_to_index();
        drop(movie);
        drop_graph(&store, "movie");
        store.engine.apply_to_index();
        // There are enough dead ids that all of them are removed from the runs.
        assert_eq!(store.engine.ids.runs.count(), 0, "in round {round}");
    }
}

fn exists(submitted: &Submitted) -> bool {
    matches!(submitted, Submitted::AlreadyExists(_))
}

#[test]
fn a_bound_in_bytes_counts_outcomes() {
    let fixture = StoreFixture::empty();
    let store = fixture.open(SEGMENT_BYTES);
    store.create_graph("movie");
    let movie = store.graph("movie");
    let mut random = Random(4);
    complete_jobs(&movie, &mut random, 200, 4000);
    seal(&store);
    let policy = Retention::new().max_bytes(100_000);
    movie.set_retention(Some(policy)).unwrap();
    let deadline = Instant::now() + WAIT;
    while movie.count(State::Complete).unwrap() > 60 {
        assert!(Instant::now() < deadline, "outcomes are not counted");
        settle(&store);
    }
    settle(&store);
    assert!(movie.count(State::Complete).unwrap() > 10);
}
