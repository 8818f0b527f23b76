//! Promise: what a store takes is bounded by what it holds, whatever was in it before: on
//! the disk, in the index, in memory, and in what an open reads.

use crate::engine::crash_tests::client::{Random, Store};
use crate::engine::crash_tests::rewritten::{Home, settle};
use crate::engine::queue::{Action, Operation};
use crate::graph::Graph;
use crate::list::List;
use crate::outcome::Outcome;
use crate::request::{Body, Request};

const SEGMENT_BYTES: u64 = 64 << 10;

fn request() -> Request {
    Request::new("c", "/ges", Body::empty()).expect("a request")
}

/// A detail that does not compress, and begins with what is looked for later.
fn detail(random: &mut Random, bytes: usize) -> String {
    let digits = (0..bytes).map(|_| char::from(b'a' + random.below(26) as u8));
    format!("needle-{}", digits.collect::<String>())
}

/// Makes complete jobs with details of this size.
fn complete_jobs(graph: &Graph, random: &mut Random, jobs: u64, bytes: usize) {
    for _ in 0..jobs {
        let id = graph.submit(request()).unwrap();
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

/// Bytes of packs.
fn pack_bytes(store: &Store) -> u64 {
    let truth = store.engine.truth.read();
    truth.packs.iter().map(|pack| pack.bytes).sum()
}

/// Has what is in the last segment packed, by beginning another.
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

/// What is stored of events, uncompressed, holds this text.
fn is_stored(store: &Store, text: &str) -> bool {
    let packs = store.engine.truth.read().packs.clone();
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

#[test]
fn outcomes_of_purged_jobs_give_their_room_back() {
    let home = Home::empty();
    let store = home.open(SEGMENT_BYTES);
    store.create_graph("movie");
    let movie = store.graph("movie");
    let mut random = Random(1);
    complete_jobs(&movie, &mut random, 400, 4000);
    seal(&store);
    let before = pack_bytes(&store);
    assert!(before > 1_000_000, "{before}");
    movie.purge(List::new()).unwrap();
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
    let home = Home::empty();
    let store = home.open(SEGMENT_BYTES);
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
        .purge(List::new().outcome(crate::OutcomeKind::Failed))
        .unwrap();
    seal(&store);
    settle(&store);
    let after = pack_bytes(&store);
    assert!(3 * after < before, "{after} of {before} bytes");
    assert!(!is_stored(&store, "needle-"));
}

#[test]
fn of_dropped_graphs_no_event_stays() {
    let home = Home::empty();
    let store = home.open(SEGMENT_BYTES);
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
