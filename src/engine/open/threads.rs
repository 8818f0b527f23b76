//! Starts the threads of an open store.

use std::sync::{Arc, Weak};

use crate::base::sync::{channel, thread};
use crate::engine::background::following;
use crate::engine::background::indexing;
use crate::engine::background::packing;
use crate::engine::background::uploading;
use crate::engine::commit;
use crate::engine::core::{Background, Engine};
use crate::engine::state::workers::Worker;
use crate::model::error::{Error, Result};

pub(super) fn start_threads(engine: &Arc<Engine>) -> Result<()> {
    let (call_packer, packer_calls) = channel::bounded(1);
    let (call_indexer, indexer_calls) = channel::bounded(1);
    // The first wake-up packs what was sealed before this open.
    let spawn = |worker: Worker, work: Box<dyn FnOnce(&Engine) + Send>| {
        let running = engine.shutdown.start(worker);
        let engine: Weak<Engine> = Arc::downgrade(engine);
        let name = worker.name();
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                // This is dropped last, when the thread no longer holds the engine.
                let _running = running;
                if let Some(engine) = engine.upgrade() {
                    work(&engine);
                }
            })
            .map(|thread| (worker, thread))
            .map_err(|e| Error::io("start a thread for", engine_path(name), &e))
    };
    let mut threads = vec![
        spawn(
            Worker::Packer,
            Box::new(move |engine| packing::run(engine, &packer_calls)),
        )?,
        spawn(
            Worker::Indexer,
            Box::new(move |engine| indexing::run(engine, &indexer_calls)),
        )?,
    ];
    let follower = match &engine.follower {
        Some(_) => {
            let (call, calls) = channel::bounded(1);
            let run = move |engine: &Engine| following::run(engine, &calls);
            threads.push(spawn(Worker::Follower, Box::new(run))?);
            Some(call)
        }
        None => {
            threads.push(spawn(Worker::Committer, Box::new(commit::run))?);
            None
        }
    };
    #[cfg(feature = "archive")]
    let archiver = match &engine.follower {
        Some(_) => None,
        None => {
            let (call, calls) = channel::bounded(1);
            let run =
                move |engine: &Engine| crate::engine::background::archiver::run(engine, &calls);
            threads.push(spawn(Worker::Archiver, Box::new(run))?);
            Some(call)
        }
    };
    #[cfg(not(feature = "archive"))]
    let archiver = None;
    let uploader = match &engine.replica {
        Some(replica) => {
            let (call, calls) = channel::bounded(1);
            let run = move |engine: &Engine| uploading::run(engine, &calls);
            threads.push(spawn(Worker::Uploader, Box::new(run))?);
            let engine = Arc::downgrade(engine);
            let started = replica.appender.start_thread(move |deposed| {
                if let Some(engine) = engine.upgrade() {
                    engine.fail(deposed);
                    engine.wake_all_waiters();
                }
            });
            let name = "jobstore-replica";
            started.map_err(|e| Error::io("start a thread for", engine_path(name), &e))?;
            Some(call)
        }
        None => None,
    };
    engine.set_background(Background {
        archiver,
        uploader,
        follower,
        packer: Some(call_packer),
        indexer: Some(call_indexer),
        threads,
    });
    Ok(())
}

fn engine_path(name: &str) -> std::path::PathBuf {
    std::path::PathBuf::from(name)
}
