//! Guarantee: nothing is visible before it is durable, and readers do not wait for writers.
//!
//! A write blocks in its sync. Until the sync returns, readers on another thread see the store as
//! it was before the write, and do not block. When the sync returns, the write is acknowledged, and
//! then visible.

use std::sync::Arc;

use crate::log::disk::memory::MemoryDisk;
use crate::model::id::JobId;
use crate::model::options::Durability;
use crate::model::outcome::Outcome;
use crate::model::request::{Body, Request};
use crate::model::states::State;
use crate::testing::crash::client::{Act, Client, Store, assert_no_thread_panicked, within_bounds};
use crate::testing::crash::world::{Seen, World};

/// Executes an operation whose sync is blocked. Reads while the sync is blocked and afterward.
fn check_held(disk: &MemoryDisk, store: &Store, world: &mut World, act: Act) {
    disk.hold_syncs();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| store.apply_act(&act));
        disk.wait_until_held();
        let before = read_all(store, world);
        assert!(
            !writer.is_finished(),
            "{act:?} is acknowledged before its sync"
        );
        disk.release_syncs();
        let ids = writer.join().expect("no panic").expect("it is carried out");
        assert_eq!(before, Ok(()), "seen before it is durable: {act:?}");
        world.apply(&act, &ids);
    });
    assert_eq!(
        read_all(store, world),
        Ok(()),
        "acknowledged but not seen: {act:?}"
    );
}

/// Reads in every way, and compares the results with what should be there.
fn read_all(store: &Store, world: &World) -> Result<(), String> {
    let seen = Seen::read(store);
    seen.compare(world)?;
    for (graph, (_, jobs)) in seen.graphs.iter().zip(&world.graphs) {
        if let Some(error) = graph.look_up(jobs, 1)? {
            return Err(error.to_string());
        }
    }
    Ok(())
}

#[test]
fn what_is_stuck_in_its_sync_is_not_seen_and_holds_up_no_reader() {
    within_bounds("a reader".to_owned(), || {
        let disk = Arc::new(MemoryDisk::default());
        let mut client = Client::new(8, "graph", false);
        let opened = client.open(disk.clone(), Durability::Synced);
        let store = opened.expect("it opens");
        client.steps(&store, 60);
        let mut world = client.world;
        let graph = world.graphs[0].0.clone();
        let request = || Request::new("held", "/ges", Body::empty()).expect("a request");
        let id = |text: &str| JobId::new(text).expect("an id");
        let (own, other) = (id("held"), id("other"));
        for act in [
            Act::Submit {
                graph: graph.clone(),
                request: request(),
            },
            Act::SubmitAll {
                graph: graph.clone(),
                requests: vec![request(), request()],
            },
            Act::SubmitAs {
                graph: graph.clone(),
                id: own.clone(),
                request: request(),
            },
            Act::Start {
                graph: graph.clone(),
                id: own.clone(),
            },
            Act::Cancel {
                graph: graph.clone(),
                id: own.clone(),
            },
            Act::Complete {
                graph: graph.clone(),
                id: own,
                outcome: Outcome::failed("c", "m"),
            },
            Act::SubmitAs {
                graph: graph.clone(),
                id: other.clone(),
                request: request(),
            },
            Act::Cancel {
                graph: graph.clone(),
                id: other,
            },
            Act::RunNext {
                graph: graph.clone(),
            },
            Act::CreateGraph {
                name: "held".to_owned(),
                number: 99,
            },
            Act::DropGraph {
                name: graph.clone(),
            },
        ] {
            check_held(&disk, &store, &mut world, act);
        }
        assert!(world.graphs.iter().all(|(name, _)| *name != graph));
        store.engine.close().expect("it closes");
    });
    assert_no_thread_panicked();
}

/// The writes that arrive while a sync is blocked share the next commit.
#[test]
fn writes_that_wait_behind_a_held_sync_are_all_seen_after_it() {
    within_bounds("a writer".to_owned(), || {
        const WRITERS: u64 = 8;
        let disk = Arc::new(MemoryDisk::default());
        let mut client = Client::new(9, "graph", false);
        let opened = client.open(disk.clone(), Durability::Synced);
        let store = opened.expect("it opens");
        client.steps(&store, 2);
        let graph = store.graph(&client.world.graphs[0].0);
        let count = |graph: &crate::api::graph::Graph| {
            let all = State::ALL.map(|state| graph.count(state).expect("a count"));
            all.iter().sum::<u64>()
        };
        let before = count(&graph);
        disk.hold_syncs();
        std::thread::scope(|scope| {
            let submit = || {
                let request = Request::new("held", "/ges", Body::empty());
                graph.submit(request.expect("a request")).expect("an id")
            };
            let writers: Vec<_> = (0..WRITERS).map(|_| scope.spawn(submit)).collect();
            disk.wait_until_held();
            assert_eq!(count(&graph), before);
            disk.release_syncs();
            for writer in writers {
                let id = writer.join().expect("no panic");
                assert!(graph.job(&id).expect("a read").is_some());
            }
        });
        assert_eq!(count(&graph), before + WRITERS);
    });
}
