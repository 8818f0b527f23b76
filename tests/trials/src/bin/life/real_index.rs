//! Indexes of stores on real directories. They are lost, or rewritten concurrently with callers.
//!
//! Deletes or rewrites an index, and checks the results of reads that use it. Whatever happens to
//! an index, each job is found by its id and shows its outcome, each key leads to its job, and each
//! purged job has a tombstone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jobstore::{Error, Graph, JobQuery, JobStore, Outcome, OutcomeKind, Submitted, simulation};
use jobstore_trials::random::Random;

use crate::life::Finding;
use crate::real::{Checked, all_there, failed_to, options, sound, submit_some};
use crate::requests::{Content, OutcomeFact};

const GRAPHS: [&str; 2] = ["movie", "roads"];
const ROUNDS: usize = 5;
const STEPS: usize = 400;
/// The number of keys under which jobs are submitted.
const KEYS: u64 = 60;

pub fn lost_index(random: &mut Random, dir: &Path) -> Checked {
    let place = dir.join("store");
    let mut acknowledged = BTreeSet::new();
    for round in 0..6 {
        let store = options().open(&place).map_err(failed_to("open"))?;
        let graph = store
            .get_or_create_graph("1", "g")
            .map_err(failed_to("create"))?;
        all_there(&graph, &acknowledged, "after the index was lost")?;
        let gone = store
            .get_or_create_graph("1", "gone")
            .map_err(failed_to("create"))?;
        submit_some(&gone, random, 60);
        let (more, _) = submit_some(&graph, random, 60);
        acknowledged.extend(more);
        while let Some(run) = gone.claim_next().map_err(failed_to("claim_next"))? {
            run.complete(Outcome::succeeded())
                .map_err(failed_to("complete"))?;
        }
        gone.purge(JobQuery::new()).map_err(failed_to("purge"))?;
        if round % 2 == 1 {
            store.drop_graph("1", "gone").map_err(failed_to("drop"))?;
        }
        if random.one_in(2) {
            simulation::rewrite_index(&store);
        }
        store.close().map_err(failed_to("close"))?;
        drop((graph, gone, store));
        sound(&place)?;
        fs::remove_dir_all(place.join("index")).ok();
    }
    Ok(())
}

/// What is expected of a graph.
#[derive(Default)]
struct Known {
    /// The outcome of each job, if complete.
    jobs: BTreeMap<String, Option<OutcomeFact>>,
    purged: BTreeSet<String>,
    keys: BTreeMap<u64, String>,
}

impl Known {
    /// The id of some open job, or of any job.
    fn any(&self, random: &mut Random, open: bool) -> Option<String> {
        let jobs = self.jobs.iter().filter(|(_, end)| !open || end.is_none());
        let ids: Vec<&String> = jobs.map(|(id, _)| id).collect();
        random.pick(&ids).map(|id| (*id).clone())
    }

    fn check_job(&self, graph: &Graph, id: &str) -> Checked {
        let found = graph.job(id).map_err(failed_to("job"))?;
        let Some(end) = self.jobs.get(id) else {
            let tombstone = graph.tombstone(id).map_err(failed_to("tombstone"))?;
            return match (found, tombstone) {
                (None, Some(_)) => Ok(()),
                found => Err(format!("the purged job {id} has {found:?}")),
            };
        };
        let found = found.ok_or_else(|| format!("job {id} is not found by its id"))?;
        let found = found.outcome().map(OutcomeFact::of);
        match found == *end {
            true => Ok(()),
            false => Err(format!("job {id} ended as {found:?}, not {end:?}")),
        }
    }

    fn check(&self, graph: &Graph) -> Checked {
        let page = graph.list(JobQuery::new()).map_err(failed_to("list"))?;
        let mut listed = BTreeMap::new();
        for job in page.jobs() {
            let job = job.map_err(failed_to("read a page"))?;
            listed.insert(job.id().to_string(), job.outcome().map(OutcomeFact::of));
        }
        if listed != self.jobs {
            let differs = |(id, end): &(&String, &_)| listed.get(*id) != Some(*end);
            let differ = self.jobs.iter().filter(differs).count();
            return Err(format!(
                "{} jobs of {} are listed, not {}, of which {differ} are missing or differ",
                listed.len(),
                graph.name(),
                self.jobs.len()
            ));
        }
        let mut ids = self.jobs.keys().chain(&self.purged);
        ids.try_for_each(|id| self.check_job(graph, id))
    }

    fn submit_once(&mut self, graph: &Graph, key: u64) -> Checked {
        let content = Content {
            kind: 0,
            number: key as u16,
            filler: 90,
        };
        let submitted = graph.submit_once(format!("key {key}"), content.request());
        match (submitted, self.keys.get(&key)) {
            (Ok(Submitted::Created(id)), None) => {
                self.jobs.insert(id.to_string(), None);
                self.keys.insert(key, id.to_string());
                Ok(())
            }
            (Ok(Submitted::AlreadyExists(id)), Some(known))
                if id.as_str() == known && self.jobs.contains_key(known) =>
            {
                Ok(())
            }
            (Err(Error::KeyPurged), Some(known)) if self.purged.contains(known) => Ok(()),
            (answer, known) => Err(format!("key {key} of {known:?} returned {answer:?}")),
        }
    }

    /// Does one write or read.
    fn step(&mut self, graph: &Graph, random: &mut Random) -> Checked {
        match random.below(20) {
            0..=5 => {
                let (done, refused) = submit_some(graph, random, 1);
                self.jobs.extend(done.into_iter().map(|id| (id, None)));
                refused.map_or(Ok(()), |error| Err(failed_to("submit")(error)))
            }
            6..=8 => self.submit_once(graph, random.below(KEYS)),
            9..=10 => {
                let Some(id) = self.any(random, true) else {
                    return Ok(());
                };
                graph.cancel(&id).map_err(failed_to("cancel"))?;
                let cancelled = OutcomeFact::plain(OutcomeKind::Cancelled, None);
                self.jobs.insert(id, Some(cancelled));
                Ok(())
            }
            11..=13 => {
                let Some(run) = graph.claim_next().map_err(failed_to("claim_next"))? else {
                    return Ok(());
                };
                let outcome = Outcome::failed("GES.2", format!("for reason {}", random.any()));
                let end = OutcomeFact::of(&outcome);
                run.complete(outcome).map_err(failed_to("complete"))?;
                self.jobs.insert(run.id().to_string(), Some(end));
                Ok(())
            }
            14 if random.one_in(10) => {
                graph.purge(JobQuery::new()).map_err(failed_to("purge"))?;
                let jobs = std::mem::take(&mut self.jobs).into_iter();
                let (open, purged) = jobs.partition::<BTreeMap<_, _>, _>(|(_, end)| end.is_none());
                self.jobs = open;
                self.purged.extend(purged.into_keys());
                Ok(())
            }
            15 if random.one_in(5) => self.check(graph),
            16..=17 => {
                let purged: Vec<&String> = self.purged.iter().collect();
                let id = random.pick(&purged).map(|id| (*id).clone());
                id.map_or(Ok(()), |id| self.check_job(graph, &id))
            }
            _ => {
                let id = self.any(random, false);
                id.map_or(Ok(()), |id| self.check_job(graph, &id))
            }
        }
    }
}

/// How a round ends.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Close,
    /// The store is closed, and its index is deleted.
    Lose,
    /// A backup replaces the store.
    Restore,
}

/// Runs callers, and then ends the store.
fn work(
    store: &JobStore,
    known: &mut [Known],
    random: &mut Random,
    backup: Option<&Path>,
) -> Checked {
    std::thread::scope(|scope| {
        let mut workers = Vec::new();
        for (name, known) in GRAPHS.iter().zip(known) {
            let mut random = Random(random.any());
            workers.push(scope.spawn(move || {
                let graph = store
                    .get_or_create_graph("1", name)
                    .map_err(failed_to("create"))?;
                known.check(&graph)?;
                (0..STEPS).try_for_each(|_| known.step(&graph, &mut random))?;
                known.check(&graph)
            }));
        }
        let joined = |worker: std::thread::ScopedJoinHandle<'_, Checked>| {
            worker.join().map_err(|_| "a panic".to_owned())?
        };
        workers.into_iter().try_for_each(joined)
    })?;
    if let Some(to) = backup {
        store.backup(to).map_err(failed_to("backup"))?;
    }
    store.close().map_err(failed_to("close"))
}

/// Rewrites an index at random moments until `is_enough` is set. Returns how many times it was
/// rewritten.
fn rewrite(store: &JobStore, mut random: Random, is_enough: &AtomicBool) -> u64 {
    let mut times = 0;
    while !is_enough.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(random.below(30)));
        times += u64::from(simulation::rewrite_index(store));
    }
    times
}

/// The index is rewritten again and again, concurrently with callers, a backup, and a close.
pub fn rewritten_index(random: &mut Random, dir: &Path) -> Checked {
    let (place, copy) = (dir.join("store"), dir.join("copy"));
    let mut known: Vec<Known> = GRAPHS.iter().map(|_| Known::default()).collect();
    let mut times = 0;
    for round in 0..ROUNDS {
        let store = options().open(&place).map_err(failed_to("open"))?;
        let endings = [Ending::Close, Ending::Lose, Ending::Restore];
        let ending = *random.pick(&endings).unwrap_or(&Ending::Close);
        let backup = matches!(ending, Ending::Restore).then_some(&*copy);
        let moments = Random(random.any());
        let is_enough = AtomicBool::new(false);
        let (worked, rewritten) = std::thread::scope(|scope| {
            let rewriting = scope.spawn(|| rewrite(&store, moments, &is_enough));
            let worked = work(&store, &mut known, random, backup);
            is_enough.store(true, Ordering::SeqCst);
            (worked, rewriting.join())
        });
        let what = |e: Finding| format!("round {round} ({ending:?}): {e}");
        worked.map_err(what)?;
        times += rewritten.map_err(|_| what("a panic".to_owned()))?;
        drop(store);
        sound(&place)?;
        match ending {
            Ending::Close => {}
            Ending::Lose => drop(fs::remove_dir_all(place.join("index"))),
            Ending::Restore => {
                fs::remove_dir_all(&place).map_err(|e| e.to_string())?;
                fs::rename(&copy, &place).map_err(|e| e.to_string())?;
            }
        }
    }
    let store = options().open(&place).map_err(failed_to("open"))?;
    for (name, known) in GRAPHS.iter().zip(&known) {
        let graph = store.graph("1", name).map_err(failed_to("graph"))?;
        known.check(&graph)?;
    }
    match times {
        0 => Err("the index was never rewritten".to_owned()),
        _ => Ok(()),
    }
}
