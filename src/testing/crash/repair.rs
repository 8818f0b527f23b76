//! Guarantee: the store is correct after a repair, and no intact data is lost.
//!
//! Uses the same stores and changes as `damage`. Before each open, the store is verified: data
//! reported as intact reads correctly, data that does not read correctly is reported as damaged,
//! and verification changes no byte. Then the store is repaired. Afterward, it is intact and opens.
//! It shows only jobs that existed, each in its order, with its own request, and either in a state
//! that the job had or as interrupted. Jobs that it does not show are counted. It remains usable.

use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::api::graph::Graph;
use crate::engine::background::compaction;
use crate::engine::maintenance::check;
use crate::log::disk::memory::MemoryDisk;
use crate::log::file_names;
use crate::model::error::Error;
use crate::model::id::JobId;
use crate::model::job::Job;
use crate::model::job_query::JobQuery;
use crate::model::options::Durability;
use crate::model::outcome::OutcomeKind;
use crate::model::request::{Body, Request};
use crate::model::retention::Retention;
use crate::model::states::State;
use crate::testing::crash::client::{Act, Client, Random, Store, assert_no_thread_panicked};
use crate::testing::crash::damage::{
    Files, a_closed_store_of, a_closed_store_with_much_gone, alter, open_and_read,
};
use crate::testing::crash::rewritten::settle;
use crate::testing::crash::world::{End, Fact, World};

/// The seeds of the clients whose stores are damaged. There are enough of them that each way of
/// packing, merging, and rewriting handles each kind of event.
const SEEDS: RangeInclusive<u64> = 1..=20;
/// The number of changes to each of those stores.
const CHANGES: u64 = 16;

/// Returns the stores of those clients: two for each seed, each with the client that left it.
fn stores() -> impl Iterator<Item = (String, u64, Files, Client)> {
    SEEDS.flat_map(|seed| {
        let (files, client) = a_closed_store_of(seed, false);
        let plain = (format!("seed {seed}"), seed, files, client);
        let (files, client) = a_closed_store_with_much_gone(seed);
        let much_gone = (format!("seed {seed}, much gone"), seed, files, client);
        [plain, much_gone]
    })
}

/// A job that existed at some time: its graph, its sequence number, and its last state.
struct Was {
    graph: String,
    number: usize,
    last: Fact,
}

/// All jobs that ever existed, and what a store may show of them after a repair.
///
/// The effects of lost events may be undone, but nothing else may change. So a job that was purged,
/// or whose graph was dropped, may exist again. Each job has its request, its graph, its position
/// in the order, and its last state. If the event that completed a job was lost, the job may be
/// interrupted instead.
struct Model {
    jobs: HashMap<String, Was>,
    /// The ids of the jobs that were neither purged nor dropped.
    left: HashSet<String>,
}

impl Model {
    fn of(client: &Client) -> Model {
        let mut jobs: HashMap<String, Was> = HashMap::new();
        let mut counts: HashMap<String, usize> = HashMap::new();
        let last = client.world.reopened();
        for world in client.history.iter().chain([&last]) {
            for (graph, facts) in &world.graphs {
                for fact in facts {
                    let was = jobs.entry(fact.id.to_string()).or_insert_with(|| {
                        let count = counts.entry(graph.clone()).or_default();
                        *count += 1;
                        Was {
                            graph: graph.clone(),
                            number: *count,
                            last: fact.clone(),
                        }
                    });
                    was.last = fact.clone();
                }
            }
        }
        let left = last.graphs.iter().flat_map(|(_, facts)| facts);
        let left = left.map(|fact| fact.id.to_string()).collect();
        Model { jobs, left }
    }

    /// Checks a job that is shown after the job with the number `before`. Returns its number.
    fn check(&self, what: &str, graph: &Graph, job: &Job, before: usize) -> usize {
        let Some(was) = self.jobs.get(job.id().as_str()) else {
            panic!("{what}: {job:?} was never there");
        };
        let name_is_lost = graph.project_id() == "lost";
        assert!(
            was.graph == graph.name() || name_is_lost,
            "{what}: {job:?} was in graph {}, not {}",
            was.graph,
            graph.name()
        );
        let number = was.number;
        assert!(before < number, "{what}: out of order at {number}");
        assert_eq!(job.request().as_json(), &*was.last.request, "{what}");
        let interrupted = job.state() == State::Complete
            && job.outcome().map(|o| o.kind()) == Some(OutcomeKind::Interrupted);
        let end = |end: &End| (end.kind, end.code.clone(), end.detail.clone());
        // Events that record opens may be lost, so the numbers of opens are not compared.
        let is_last = job.state() == was.last.state
            && job.outcome().map(|o| end(&End::of(o))) == was.last.end.as_ref().map(end);
        assert!(is_last || interrupted, "{what}: {job:?} was {:?}", was.last);
        number
    }
}

/// Compares everything that is served after a repair with what existed. Returns three numbers: how
/// many of the jobs that should exist are shown, how many other jobs are shown, and how many jobs
/// are quarantined.
fn check_repaired(what: &str, store: &Store, model: &Model) -> (u64, u64, u64) {
    let (mut shown, mut again, mut quarantined) = (0, 0, 0);
    let mut names = HashSet::new();
    for graph in store.graphs() {
        assert!(names.insert(graph.name().to_owned()), "{what}: twice");
        let page = graph.list(JobQuery::new()).expect("a page");
        let mut last = 0;
        for job in &page {
            let job = job.unwrap_or_else(|e| panic!("{what}: {e}"));
            last = model.check(what, &graph, &job, last);
            let found = graph
                .job(job.id())
                .unwrap_or_else(|e| panic!("{what}: {e}"));
            assert!(found.is_some(), "{what}: {job:?} is not found by its id");
            match model.left.contains(job.id().as_str()) {
                true => shown += 1,
                false => again += 1,
            }
        }
        assert!(page.to_json().is_ok(), "{what}");
        assert_eq!(page.quarantined(), graph.quarantined().expect("a count"));
        quarantined += page.quarantined();
        let mut walked = (0, 0);
        let mut cursor = None;
        loop {
            let list = JobQuery::new().limit(3);
            let list = cursor.iter().fold(list, |list, cursor| list.cursor(cursor));
            let page = graph.list(list).expect("a page");
            walked = (walked.0 + page.len() as u64, walked.1 + page.quarantined());
            cursor = page.next();
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(walked, (page.len() as u64, page.quarantined()), "{what}");
    }
    (shown, again, quarantined)
}

fn check_change(what: &str, files: Files, world: &World, model: &Model, lost: &mut [u64; 4]) {
    let disk = Arc::new(MemoryDisk::holding(files.clone()));
    let report = check::verify(&*disk);
    assert!(disk.files() == files, "{what}: a look changed something");
    let opened = Arc::new(MemoryDisk::holding(files.clone()));
    let error = open_and_read(what, &opened, &world.reopened());
    match (&report, &error) {
        (Ok(report), Some(error)) => {
            assert!(!report.is_sound(), "{what}: said to be sound, but {error}");
        }
        (Ok(report), None) if report.is_sound() => return,
        // The damage may be in data that no read reaches.
        (Ok(_), None) => {}
        (Err(Error::Damaged { .. } | Error::NewerFormat { .. }), Some(_)) => return,
        (Err(report), error) => panic!("{what}: {report:?}, {error:?}"),
    }
    let repaired = check::repair(&*disk, &|_| Ok(None));
    let repaired = match repaired {
        Ok(repaired) => repaired,
        Err(error) => panic!("{what}: not repaired: {error}\n{}", report.unwrap()),
    };
    assert!(repaired.found.to_json().starts_with('{'), "{what}");
    let opened = Store::open(disk.clone(), Durability::Synced);
    let store = opened.unwrap_or_else(|e| panic!("{what}: repaired, but {e}\n{repaired}"));
    let (shown, again, quarantined) = check_repaired(what, &store, model);
    let there: u64 = world.graphs.iter().map(|(_, jobs)| jobs.len() as u64).sum();
    // Each job is shown or counted as quarantined, unless the end of the log is lost.
    assert!(
        shown + quarantined >= there || repaired.events > 0,
        "{what}: {shown} and {quarantined} of {there}\n{repaired}"
    );
    lost[0] += 1;
    lost[1] += there - shown;
    lost[2] += repaired.jobs;
    lost[3] += again;
    let mut client = Client::new(5, "later", true);
    client.steps(&store, 6);
    store.wait_until_packed();
    store.engine.close().expect("it closes");
    let left = check::verify(&*disk).expect("a report");
    assert!(left.is_sound(), "{what}: {left}");
    let store = Store::open(disk, Durability::Synced).expect("it opens again");
    let graphs: Vec<_> = store.graphs().into_iter().collect();
    let after: u64 = graphs
        .iter()
        .filter(|graph| !graph.name().starts_with("later"))
        .map(|graph| {
            graph
                .list(JobQuery::new())
                .expect("a page")
                .total()
                .unwrap()
        })
        .sum();
    assert_eq!(after, shown + again, "{what}: opened again");
}

#[test]
fn what_is_left_after_a_repair_is_right() {
    let mut lost = [0; 4];
    for (of, seed, files, client) in stores() {
        let model = Model::of(&client);
        let mut random = Random(31 + seed);
        for n in 0..CHANGES {
            let mut files = files.clone();
            let at = n as usize % files.len();
            let (name, content) = &mut files[at];
            let change = alter(content, &mut random);
            let what = format!("{of}, change {n}: {name}: {change}");
            check_change(&what, files, &client.world, &model, &mut lost);
        }
    }
    println!(
        "{} repairs, {} jobs lost, {} quarantined, {} there again",
        lost[0], lost[1], lost[2], lost[3]
    );
    assert!(lost[0] > 100, "only {} repairs", lost[0]);
    assert_no_thread_panicked();
}

#[test]
fn files_that_are_missing_are_made_up_for() {
    let mut lost = [0; 4];
    for (of, _, files, client) in stores() {
        let model = Model::of(&client);
        for n in 0..files.len() {
            for m in n..files.len() {
                // Without `CLOSED`, a truncated log cannot be distinguished from one that was never
                // longer.
                if m > n && [n, m].iter().any(|&n| files[n].0 == file_names::CLOSED) {
                    continue;
                }
                let mut files = files.clone();
                let missing = format!("{} and {} are missing", files[n].0, files[m].0);
                let what = format!("{of}: {missing}");
                files.remove(m);
                if m > n {
                    files.remove(n);
                }
                check_change(&what, files, &client.world, &model, &mut lost);
            }
        }
    }
    assert_no_thread_panicked();
}

/// Names are reused, but numbers are not. If two graphs have the same name, the older one was
/// dropped, whatever remains of the event that dropped it.
#[test]
fn a_graph_whose_name_was_given_again_stays_dropped() {
    let disk = Arc::new(MemoryDisk::default());
    let mut client = Client::new(71, "graph", false);
    let opened = client.open(disk.clone(), Durability::Synced);
    let store = opened.expect("it opens");
    let name = "graph".to_owned();
    for number in 1..=3 {
        let name = name.clone();
        let mut acts = vec![Act::CreateGraph { name, number }];
        if number > 1 {
            let name = client.world.graphs[0].0.clone();
            acts.insert(0, Act::DropGraph { name });
        }
        for act in acts {
            let done = client.apply_act(&store, &act);
            done.unwrap_or_else(|(error, _)| panic!("{act:?}: {error}"));
        }
        client.steps(&store, 6);
    }
    store.engine.close().expect("it closes");
    let (files, model) = (disk.files(), Model::of(&client));
    let mut lost = [0; 4];
    for at in 0..files.len() {
        for byte in (0..files[at].1.len()).step_by(11) {
            let mut files = files.clone();
            files[at].1[byte] ^= 1;
            let what = format!("byte {byte} of {}", files[at].0);
            check_change(&what, files, &client.world, &model, &mut lost);
        }
    }
    assert!(lost[0] > 100, "only {} repairs", lost[0]);
    assert_no_thread_panicked();
}

/// If a job's tombstone was forgotten, the job was purged, whatever remains of the event that
/// purged it.
#[test]
fn a_job_whose_tombstone_was_forgotten_stays_purged() {
    let disk = Arc::new(MemoryDisk::default());
    let mut client = Client::new(81, "graph", false);
    let opened = client.open(disk.clone(), Durability::Synced);
    let store = opened.expect("it opens");
    client.steps(&store, 4);
    let graph = client.world.graphs[0].0.clone();
    // These jobs remain, so their file is not rewritten.
    let request = |_| Request::new("stays", "/ges", Body::empty()).expect("a request");
    let act = Act::SubmitAll {
        graph: graph.clone(),
        requests: (0..60).map(request).collect(),
    };
    let apply_act = |client: &mut Client, act: Act| {
        let done = client.apply_act(&store, &act);
        done.unwrap_or_else(|(error, _)| panic!("{act:?}: {error}"));
    };
    apply_act(&mut client, act);
    client.steps(&store, 26);
    store.wait_until_packed();
    let jobs = client.world.graphs[0].1.iter();
    let pending = jobs.filter(|fact| fact.state == State::Pending);
    let some: Vec<_> = pending.step_by(6).map(|fact| fact.id.clone()).collect();
    for id in some {
        let (graph, id) = (graph.clone(), JobId::new(&*id).expect("an id"));
        apply_act(&mut client, Act::Cancel { graph, id });
    }
    let act = Act::Purge {
        graph: graph.clone(),
    };
    apply_act(&mut client, act);
    let policy = Retention::new().max_tombstones(0);
    let set = store.graph(&graph).set_retention(Some(policy));
    set.expect("a policy");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !are_forgotten(&store) {
        assert!(Instant::now() < deadline, "tombstones are not forgotten");
        settle(&store);
    }
    store.engine.close().expect("it closes");
    let (files, model) = (disk.files(), Model::of(&client));
    let (mut lost, mut stayed, mut rewrites) = ([0; 4], 0, 0);
    for at in 0..files.len() {
        if file_names::segment_epoch(&files[at].0).is_none() {
            continue;
        }
        let end = files[at].1.iter().rposition(|&byte| byte != 0);
        for byte in (0..end.unwrap_or(0)).step_by(11) {
            let mut files = files.clone();
            files[at].1[byte] ^= 1;
            let what = format!("byte {byte} of {}", files[at].0);
            let before = lost[3];
            check_change(&what, files.clone(), &client.world, &model, &mut lost);
            let disk = Arc::new(MemoryDisk::holding(files));
            let repaired = check::repair(&*disk, &|_| Ok(None));
            let events = repaired.expect("a repair").events;
            let opened = Store::open(disk.clone(), Durability::Synced);
            let store = opened.expect("it opens");
            if !are_forgotten(&store) || events == 0 {
                continue;
            }
            assert_eq!(lost[3], before, "{what}: purged jobs are there again");
            stayed += 1;
            // The jobs stay purged even after the record of the purge is rewritten without them.
            store.engine.apply_to_index();
            let packs = store.engine.log_files.read().packs.clone();
            for pack in packs.iter().skip(1) {
                let rewritten = compaction::rewrite(
                    &store.engine,
                    vec![pack.clone()],
                    "compact",
                    &mut Vec::new(),
                );
                rewritten.unwrap_or_else(|e| panic!("{what}: {e}"));
            }
            rewrites += packs.len().saturating_sub(1);
            store.engine.close().expect("it closes");
            drop(store);
            let opened = Store::open(disk, Durability::Synced);
            let (_, again, _) = check_repaired(&what, &opened.expect("it opens"), &model);
            assert_eq!(again, 0, "{what}: there again once it was rewritten");
        }
    }
    assert!(
        stayed > 10 && rewrites > 10,
        "only {stayed} repairs, {rewrites} rewrites"
    );
    assert_no_thread_panicked();
}

/// Returns whether the tombstones of any purge have been forgotten.
fn are_forgotten(store: &Store) -> bool {
    let graphs = store.engine.all_graphs();
    let mut graphs = graphs.iter();
    graphs.any(|graph| graph.state.read().forgotten_lsn > 0)
}

/// A killed store has several consecutive segments.
#[test]
fn a_damaged_segment_among_others_is_made_up_for() {
    let disk = Arc::new(MemoryDisk::default());
    let mut client = Client::new(41, "graph", false);
    let mut images = Vec::new();
    for _ in 0..3 {
        let store = client
            .open(disk.clone(), Durability::Synced)
            .expect("it opens");
        disk.record(1, Vec::new());
        client.steps(&store, 40);
        images = disk.images();
    }
    let segments = |files: &Files| {
        let names = files.iter().map(|(name, _)| name);
        names
            .filter(|name| file_names::segment_epoch(name).is_some())
            .count()
    };
    let most = images.iter().map(|image| image.after_power_cut().files());
    let files = most.max_by_key(segments).expect("an image");
    assert!(segments(&files) > 2, "{} segments", segments(&files));
    let mut random = Random(43);
    for n in 0..300 {
        let mut files = files.clone();
        let at = n as usize % files.len();
        let (name, content) = &mut files[at];
        if file_names::segment_epoch(name).is_none() {
            continue;
        }
        let what = format!("change {n}: {name}: {}", alter(content, &mut random));
        let disk = Arc::new(MemoryDisk::holding(files));
        let repaired = check::repair(&*disk, &|_| Ok(None));
        let repaired = repaired.unwrap_or_else(|e| panic!("{what}: {e}"));
        let opened = Store::open(disk, Durability::Synced);
        let store = opened.unwrap_or_else(|e| panic!("{what}: {e}\n{repaired}"));
        check_repaired_loosely(&what, &store, &client.history);
    }
    assert_no_thread_panicked();
}

/// A crash during a merge leaves both the merged pack and its sources.
#[test]
fn a_merged_pack_that_is_damaged_takes_none_of_its_sources_along() {
    let disk = Arc::new(MemoryDisk::default());
    let mut client = Client::new(61, "graph", false);
    disk.record(1, Vec::new());
    let store = client
        .open(disk.clone(), Durability::Synced)
        .expect("it opens");
    client.steps(&store, 160);
    store.wait_until_packed();
    drop(store);
    let ranges = |files: &Files| -> Vec<(u64, u64)> {
        let names = files.iter().map(|(name, _)| name);
        names
            .filter_map(|name| file_names::pack_range(name))
            .collect()
    };
    let overlap = |files: &Files| {
        let ranges = ranges(files);
        ranges.iter().copied().find(|&(first, last)| {
            let mut others = ranges.iter().filter(|&&other| other != (first, last));
            let within = |&(a, b): &(u64, u64)| first <= a && b <= last;
            others.clone().any(|other| other.0 == first) && others.any(|o| within(o) && o.1 == last)
        })
    };
    let images = disk.images();
    let mut left = images.iter().map(|image| image.after_kill().files());
    let (files, merged) = left
        .find_map(|files| overlap(&files).map(|merged| (files, merged)))
        .expect("a merge was under way");
    let name = file_names::pack(merged.0, merged.1);
    let mut lost = 0;
    for at in (32..).step_by(97) {
        let mut files = files.clone();
        let (_, content) = files.iter_mut().find(|(n, _)| *n == name).expect("it");
        if at >= content.len() {
            break;
        }
        content[at] ^= 4;
        let what = format!("byte {at} of {name}");
        let there = files.len();
        let disk = Arc::new(MemoryDisk::holding(files));
        // No open deletes the sources.
        match Store::open(disk.clone(), Durability::Synced) {
            Err(Error::Damaged { .. }) => {}
            Err(error) => panic!("{what}: {error}"),
            Ok(_) => panic!("{what}: it opened"),
        }
        assert_eq!(disk.files().len(), there, "{what}");
        let repaired = check::repair(&*disk, &|_| Ok(None)).expect("a repair");
        assert_eq!(
            (repaired.jobs, repaired.events),
            (0, 0),
            "{what}: {repaired}"
        );
        assert!(repaired.changed(), "{what}");
        let store = Store::open(disk, Durability::Synced);
        let store = store.unwrap_or_else(|e| panic!("{what}: {e}\n{repaired}"));
        check_repaired_loosely(&what, &store, &client.history);
        lost += 1;
    }
    assert!(lost > 10, "only {lost} changes");
    assert_no_thread_panicked();
}

#[test]
fn what_a_crash_leaves_is_not_taken_for_damage() {
    let disk = Arc::new(MemoryDisk::default());
    let mut client = Client::new(51, "graph", true);
    let mut random = Random(52);
    for session in 0..3 {
        disk.record(1, Vec::new());
        let store = client
            .open(disk.clone(), Durability::Synced)
            .expect("it opens");
        client.steps(&store, 40);
        if session == 1 {
            store.engine.close().expect("it closes");
        }
        drop(store);
        for (n, image) in disk.images().iter().enumerate().skip(60).step_by(7) {
            for left in [
                image.after_kill(),
                image.after_power_cut(),
                image.after_torn_power_cut(|end| random.below(end)),
                image.after_torn_power_cut(|end| random.below(end)),
            ] {
                let what = format!("session {session}, image {n}");
                let files = left.files();
                let report = check::verify(&left).unwrap_or_else(|e| panic!("{what}: {e}"));
                assert!(report.is_sound(), "{what}: {report}");
                let repaired = check::repair(&left, &|_| Ok(None)).expect("a report");
                assert!(!repaired.changed() && left.files() == files, "{what}");
            }
        }
    }
    assert_no_thread_panicked();
}

/// Checks less than `check_repaired`: the image shows an arbitrary moment of the history, so any
/// state is possible. If a purge is lost, its jobs exist again.
fn check_repaired_loosely(what: &str, store: &Store, history: &[World]) {
    for graph in store.graphs() {
        for job in &graph.list(JobQuery::new()).expect("a page") {
            let job = job.unwrap_or_else(|e| panic!("{what}: {e}"));
            let graphs = history.iter().rev().flat_map(|world| &world.graphs);
            let mut jobs = graphs.flat_map(|(_, jobs)| jobs);
            let fact = jobs.find(|fact| *fact.id == *job.id().as_str());
            let fact = fact.unwrap_or_else(|| panic!("{what}: {job:?} was never there"));
            assert_eq!(job.request().as_json(), &*fact.request, "{what}");
        }
    }
}
