//! Lives on real directories, through the public API, with the store's own threads. Only the
//! rewrite of an index is triggered explicitly, because it would otherwise require much garbage.
//!
//! Covers what happens only on a real machine: directories that are renamed, replaced, or deleted
//! while an engine has them open; lock files; links; small file systems; few descriptors; and
//! processes that are killed. When the directory is opened again, everything acknowledged is
//! present, unless the engine had stopped accepting writes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use jobstore::{Error, Graph, JobQuery, JobStore, Options, Retention, State, simulation};
use jobstore_trials::random::Random;

use crate::life::Finding;
use crate::requests::Content;
use crate::{real_bounds, real_index, real_reserved};

pub type Checked = Result<(), Finding>;

/// How long an engine may take to detect that its directory is gone.
const NOTICE: Duration = Duration::from_secs(5);
/// Longer than any operation takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// The first argument of a child.
const WORK: &str = "work-on";
const OPEN: &str = "open-once";

/// A scenario, by name.
type Scenario = (&'static str, fn(&mut Random, &Path) -> Checked);

const SCENARIOS: &[Scenario] = &[
    ("kills", kills),
    ("many opens", many_opens),
    ("dying at open", dying_at_open),
    ("replaced directory", replaced_directory),
    ("deleted directory", deleted_directory),
    ("deleted file", deleted_file),
    ("deleted lock", deleted_lock),
    ("linked lock", linked_lock),
    ("lost index", real_index::lost_index),
    ("rewritten index", real_index::rewritten_index),
    ("small file system", small_file_system),
    ("reserved blocks", real_reserved::reserved_blocks),
    ("few inodes", few_inodes),
    ("few descriptors", few_descriptors),
    ("restore", restore),
    ("bounds", real_bounds::bounds),
];

/// If this process is a child process, does its work and returns `true`. Must be called first.
pub fn be_child() -> bool {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some(WORK) => {
            let seed = args.get(2).and_then(|s| s.parse().ok()).unwrap_or(1);
            if let Err(error) = work_on(Path::new(&args[1]), seed) {
                println!("error {error}");
            }
            true
        }
        Some(OPEN) => {
            match options().open(&args[1]) {
                Ok(_) => println!("opened"),
                Err(error) => println!("refused {}", error.code()),
            }
            true
        }
        Some(real_reserved::FREE) => {
            real_reserved::free(Path::new(&args[1]));
            true
        }
        _ => false,
    }
}

pub fn options() -> Options {
    JobStore::options()
        .segment_bytes(64 << 10)
        .cache_bytes(4 << 20)
}

pub fn failed_to(what: &str) -> impl Fn(Error) -> Finding + '_ {
    move |error| format!("{what}: {error} ({})", error.code())
}

/// Submits and completes jobs, and prints each once it is acknowledged, while the index is
/// rewritten again and again.
fn work_on(dir: &Path, seed: u64) -> jobstore::Result<()> {
    let store = options().open(dir)?;
    let graph = store.get_or_create_graph("10001", "movie")?;
    let other = store.get_or_create_graph("10001", "roads")?;
    let mut random = Random(seed);
    let mut out = std::io::stdout();
    let (own, mut moments) = (store.clone(), Random(random.any()));
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_millis(moments.below(100)));
            simulation::rewrite_index(&own);
        }
    });
    loop {
        let target = if random.one_in(3) { &other } else { &graph };
        let id = target.submit(Content::draw(&mut random).request())?;
        if random.one_in(2) {
            target.cancel(&id)?;
        }
        writeln!(out, "{} {id}", target.name()).ok();
        if random.one_in(200) {
            // This is printed in advance, so that the parent does not miss the jobs that are
            // removed.
            writeln!(out, "purge {}", other.name()).ok();
            other.purge(JobQuery::new())?;
        }
    }
}

fn child(args: &[&str]) -> Command {
    let this = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("life"));
    let mut command = Command::new(this);
    command
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

/// Opens the directory in a second process, and returns the result.
fn open_elsewhere(dir: &Path) -> Result<String, Finding> {
    let output = child(&[OPEN, &dir.to_string_lossy()]).output();
    let output = output.map_err(|e| format!("a child: {e}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Runs some of the scenarios, and returns which.
pub fn live(seed: u64, only: Option<&str>) -> (Vec<&'static str>, Checked) {
    let mut random = Random(seed ^ 0x7ea1);
    let mut ran = Vec::new();
    for (name, scenario) in SCENARIOS {
        if only.is_some_and(|only| only != *name) {
            continue;
        }
        let dir = match tempfile::tempdir() {
            Ok(dir) => dir,
            Err(error) => return (ran, Err(error.to_string())),
        };
        let begun = Instant::now();
        ran.push(*name);
        let mut checked = scenario(&mut random, dir.path());
        if checked.is_ok() && begun.elapsed() > 4 * PATIENCE {
            checked = Err(format!("it took {} s", begun.elapsed().as_secs()));
        }
        if let Err(what) = checked {
            return (ran, Err(format!("{name}: {what}")));
        }
    }
    (ran, Ok(()))
}

pub fn names() -> impl Iterator<Item = &'static str> {
    SCENARIOS.iter().map(|(name, _)| *name)
}

fn ids(graph: &Graph) -> Result<BTreeSet<String>, Finding> {
    let page = graph.list(JobQuery::new()).map_err(failed_to("list"))?;
    let ids = page.jobs().map(|job| job.map(|job| job.id().to_string()));
    ids.collect::<jobstore::Result<_>>()
        .map_err(failed_to("read a page"))
}

pub fn submit_some(
    graph: &Graph,
    random: &mut Random,
    count: u64,
) -> (BTreeSet<String>, Option<Error>) {
    let mut done = BTreeSet::new();
    for _ in 0..count {
        let mut content = Content::draw(random);
        content.filler %= 500;
        match graph.submit(content.request()) {
            Ok(id) => drop(done.insert(id.to_string())),
            Err(error) => return (done, Some(error)),
        }
    }
    (done, None)
}

pub fn all_there(graph: &Graph, acknowledged: &BTreeSet<String>, what: &str) -> Checked {
    let there = ids(graph)?;
    let lost = acknowledged.difference(&there).count();
    if lost > 0 {
        return Err(format!(
            "{what}: {lost} of {} acknowledged jobs are lost",
            acknowledged.len()
        ));
    }
    for id in acknowledged {
        if graph.job(id).map_err(failed_to("job"))?.is_none() {
            return Err(format!(
                "{what}: job {id} is listed and not found by its id"
            ));
        }
    }
    Ok(())
}

pub fn sound(dir: &Path) -> Checked {
    let report = JobStore::verify(dir).map_err(failed_to("verify"))?;
    match report.is_sound() {
        true => Ok(()),
        false => Err(format!("verify says {report}")),
    }
}

/// Kills a process repeatedly.
fn kills(random: &mut Random, dir: &Path) -> Checked {
    let store = dir.join("store");
    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for _ in 0..4 {
        let seed = random.any().to_string();
        let spawned = child(&[WORK, &store.to_string_lossy(), &seed]).spawn();
        let mut working = spawned.map_err(|e| format!("a child: {e}"))?;
        let out = working.stdout.take();
        let reader = std::thread::spawn(move || {
            let lines = out.map(|out| BufReader::new(out).lines());
            let lines = lines.into_iter().flatten().map_while(Result::ok);
            lines.collect::<Vec<String>>()
        });
        std::thread::sleep(Duration::from_millis(100 + random.below(700)));
        working.kill().ok();
        working.wait().ok();
        for line in reader.join().unwrap_or_default() {
            match line.split_once(' ') {
                Some(("purge", graph)) => {
                    known.remove(graph);
                }
                Some(("error", what)) => return Err(format!("the child failed: {what}")),
                Some((graph, id)) => {
                    known
                        .entry(graph.to_owned())
                        .or_default()
                        .insert(id.to_owned());
                }
                None => {}
            }
        }
        sound(&store)?;
        let opened = options()
            .open(&store)
            .map_err(failed_to("open after a kill"))?;
        for (name, acknowledged) in &known {
            let graph = opened.graph("10001", name).map_err(failed_to("graph"))?;
            // Complete jobs of the other graph may be purged.
            let open: BTreeSet<String> = match name.as_str() {
                "roads" => continue,
                _ => acknowledged.clone(),
            };
            all_there(&graph, &open, "after a kill")?;
        }
        opened.close().map_err(failed_to("close"))?;
        if random.one_in(2) {
            fs::remove_dir_all(store.join("index")).ok();
        }
    }
    Ok(())
}

fn size(dir: &Path) -> (u64, u64) {
    let (mut files, mut bytes) = (0, 0);
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if let Ok(found) = entry.metadata() {
            if found.is_file() {
                files += 1;
                bytes += found.len();
            }
        }
    }
    (files, bytes)
}

fn many_opens(random: &mut Random, dir: &Path) -> Checked {
    let dir = dir.join("store");
    let store = options().open(&dir).map_err(failed_to("open"))?;
    let graph = store
        .get_or_create_graph("1", "g")
        .map_err(failed_to("create"))?;
    let (acknowledged, _) = submit_some(&graph, random, 20);
    drop((graph, store));
    let before = size(&dir);
    for _ in 0..40 {
        let store = options().open(&dir).map_err(failed_to("open"))?;
        let graph = store.graph("1", "g").map_err(failed_to("graph"))?;
        graph
            .list(JobQuery::new().limit(1))
            .map_err(failed_to("list"))?;
        if random.one_in(2) {
            simulation::rewrite_index(&store);
        }
        store.close().map_err(failed_to("close"))?;
    }
    let after = size(&dir);
    if after.0 > before.0 + 8 || after.1 > before.1 + (1 << 20) {
        return Err(format!(
            "40 read-only opens changed files and bytes from {before:?} to {after:?}"
        ));
    }
    let store = options().open(&dir).map_err(failed_to("open"))?;
    let graph = store.graph("1", "g").map_err(failed_to("graph"))?;
    all_there(&graph, &acknowledged, "after many opens")
}

/// Starts processes that die right after they have opened the store.
fn dying_at_open(_random: &mut Random, dir: &Path) -> Checked {
    let dir = dir.join("store");
    drop(options().open(&dir).map_err(failed_to("open"))?);
    let before = size(&dir);
    let text = dir.to_string_lossy().into_owned();
    for _ in 0..12 {
        let spawned = child(&[WORK, &text, "1"]).spawn();
        let mut working = spawned.map_err(|e| format!("a child: {e}"))?;
        let mut line = String::new();
        if let Some(out) = working.stdout.as_mut() {
            BufReader::new(out).read_line(&mut line).ok();
        }
        working.kill().ok();
        working.wait().ok();
    }
    let after = size(&dir);
    // The jobs of the child processes take a little space.
    if after.0 > before.0 + 8 {
        return Err(format!(
            "12 such opens turned {} files into {}",
            before.0, after.0
        ));
    }
    sound(&dir)
}

fn replaced_directory(random: &mut Random, dir: &Path) -> Checked {
    let (place, moved, copy) = (dir.join("store"), dir.join("moved"), dir.join("copy"));
    let store = options().open(&place).map_err(failed_to("open"))?;
    let graph = store
        .get_or_create_graph("1", "g")
        .map_err(failed_to("create"))?;
    let (mut acknowledged, _) = submit_some(&graph, random, 300);
    store.backup(&copy).map_err(failed_to("backup"))?;
    fs::rename(&place, &moved).map_err(|e| e.to_string())?;
    fs::rename(&copy, &place).map_err(|e| e.to_string())?;
    let (more, _) = submit_some(&graph, random, 4_000);
    acknowledged.extend(more);
    let closed = store.close();
    drop((graph, store));
    for (path, what) in [
        (&place, "the copy in its place"),
        (&moved, "the moved directory"),
    ] {
        let opened = options().open(path).map_err(failed_to(what))?;
        let graph = opened.graph("1", "g").map_err(failed_to(what))?;
        if path == &moved {
            let what = format!("renamed under the engine (close: {closed:?})");
            all_there(&graph, &acknowledged, &what)?;
        }
        drop((graph, opened));
        sound(path).map_err(|e| format!("{what}: {e}"))?;
    }
    Ok(())
}

/// Checks that writes stop after something was removed.
fn must_stop(store: &JobStore, graph: &Graph, random: &mut Random, what: &str) -> Checked {
    let deadline = Instant::now() + NOTICE;
    let mut acknowledged = 0;
    while Instant::now() < deadline {
        let (done, refused) = submit_some(graph, random, 50);
        acknowledged += done.len();
        if refused.is_some() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(format!(
        "{what} under the engine: {acknowledged} further jobs were acknowledged within {} s, \
         and health is {:?}",
        NOTICE.as_secs(),
        store.health()
    ))
}

fn deleted_directory(random: &mut Random, dir: &Path) -> Checked {
    let place = dir.join("store");
    let store = options().open(&place).map_err(failed_to("open"))?;
    let graph = store
        .get_or_create_graph("1", "g")
        .map_err(failed_to("create"))?;
    submit_some(&graph, random, 100);
    fs::remove_dir_all(&place).map_err(|e| e.to_string())?;
    must_stop(&store, &graph, random, "the directory was deleted")
}

fn deleted_file(random: &mut Random, dir: &Path) -> Checked {
    let place = dir.join("store");
    let store = options().open(&place).map_err(failed_to("open"))?;
    let graph = store
        .get_or_create_graph("1", "g")
        .map_err(failed_to("create"))?;
    submit_some(&graph, random, 30);
    let names = fs::read_dir(&place).map_err(|e| e.to_string())?.flatten();
    let logs = names.filter(|entry| entry.file_name().to_string_lossy().ends_with(".segment"));
    for entry in logs {
        fs::remove_file(entry.path()).ok();
    }
    must_stop(&store, &graph, random, "the log's files were deleted")
}

fn deleted_lock(random: &mut Random, dir: &Path) -> Checked {
    let place = dir.join("store");
    let store = options().open(&place).map_err(failed_to("open"))?;
    let graph = store
        .get_or_create_graph("1", "g")
        .map_err(failed_to("create"))?;
    let (acknowledged, _) = submit_some(&graph, random, 50);
    fs::remove_file(place.join("LOCK")).ok();
    let other = open_elsewhere(&place)?;
    if other == "opened" {
        return Err("LOCK was deleted, but a second process can open the store".to_owned());
    }
    let (more, _) = submit_some(&graph, random, 50);
    drop((graph, store));
    let store = options().open(&place).map_err(failed_to("open"))?;
    let graph = store.graph("1", "g").map_err(failed_to("graph"))?;
    let all = acknowledged.union(&more).cloned().collect();
    all_there(&graph, &all, "after LOCK was deleted")
}

fn linked_lock(random: &mut Random, dir: &Path) -> Checked {
    for name in ["LOCK", "INDEX-OPENING", "RESERVE", "CLOSED"] {
        let place = dir.join(format!("store-{name}"));
        let victim = dir.join(format!("victim-{name}"));
        let content = "do not touch".repeat(1 + random.below(9) as usize);
        fs::write(&victim, &content).map_err(|e| e.to_string())?;
        let store = options().open(&place).map_err(failed_to("open"))?;
        drop(store);
        fs::remove_file(place.join(name)).ok();
        symlink(&victim, place.join(name)).map_err(|e| e.to_string())?;
        // The open may be refused.
        drop(options().open(&place));
        let left = fs::read_to_string(&victim).unwrap_or_default();
        if left != content {
            return Err(format!("{name} was a link, and its target was overwritten"));
        }
    }
    Ok(())
}

/// A separate file system. It is unmounted when dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn new(dir: &Path, options: &str) -> Option<Mounted> {
        let at = dir.join("small");
        fs::create_dir(&at).ok()?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "none"])
            .arg(&at)
            .stderr(Stdio::null())
            .status();
        mounted.ok().filter(|s| s.success()).map(|_| Mounted(at))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let mut command = Command::new("umount");
        command
            .arg("-l")
            .arg(&self.0)
            .stderr(Stdio::null())
            .status()
            .ok();
    }
}

fn fill(graph: &Graph) -> Result<u64, Finding> {
    let content = Content {
        kind: 0,
        number: 3,
        filler: 3_000,
    };
    for count in 0..200_000 {
        match graph.submit(content.request()) {
            Ok(_) => {}
            Err(Error::DiskFull { .. }) => return Ok(count),
            Err(error) => return Err(failed_to("submit on a full disk")(error)),
        }
    }
    Err("a small disk does not become full".to_owned())
}

/// Cancels and purges all jobs. The reserve has space for some thousands of these writes. After
/// that, packing recreates the reserve, which may take a moment.
fn free(graph: &Graph) -> Checked {
    let pending = JobQuery::new().state(State::Pending);
    let page = graph.list(pending).map_err(failed_to("list"))?;
    let ids: jobstore::Result<Vec<_>> = page.jobs().map(|j| j.map(|j| j.id().clone())).collect();
    for id in ids.map_err(failed_to("read a page"))? {
        with_patience(|| graph.cancel(&id)).map_err(failed_to("cancel on a full disk"))?;
    }
    with_patience(|| graph.purge(JobQuery::new())).map_err(failed_to("purge on a full disk"))?;
    Ok(())
}

/// Retries for a while if the disk is full.
fn with_patience<T>(mut call: impl FnMut() -> jobstore::Result<T>) -> jobstore::Result<T> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match call() {
            Err(Error::DiskFull { .. }) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(20));
            }
            done => return done,
        }
    }
}

fn small_file_system(_random: &mut Random, dir: &Path) -> Checked {
    let Some(mounted) = Mounted::new(dir, "size=24m") else {
        println!("SKIPPED: small file systems cannot be mounted here");
        return Ok(());
    };
    let place = mounted.0.join("store");
    // Hosts open the store in this way.
    let options = || JobStore::options().cache_bytes(4 << 20);
    let store = options().open(&place).map_err(failed_to("open"))?;
    let graph = store
        .get_or_create_graph("1", "g")
        .map_err(failed_to("create"))?;
    graph
        .set_retention(Some(Retention::new().max_jobs(1_000_000)))
        .map_err(failed_to("set_retention"))?;
    let filled = fill(&graph)?;
    store.close().map_err(failed_to("close on a full disk"))?;
    drop((graph, store));
    let store = options()
        .open(&place)
        .map_err(failed_to("open on a full disk"))?;
    let graph = store.graph("1", "g").map_err(failed_to("graph"))?;
    free(&graph)?;
    let deadline = Instant::now() + Duration::from_secs(20);
    let content = Content {
        kind: 0,
        number: 3,
        filler: 3_000,
    };
    loop {
        match graph.submit(content.request()) {
            Ok(_) => break,
            Err(error) if Instant::now() > deadline => {
                return Err(format!(
                    "{filled} jobs filled a disk of 24 MiB; all were purged, and after 20 s a \
                     submit is refused ({error}); {:?} files and bytes",
                    size(&place)
                ));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
    store.close().map_err(failed_to("close"))?;
    drop((graph, store));
    sound(&place)
}

fn few_inodes(random: &mut Random, dir: &Path) -> Checked {
    let Some(mounted) = Mounted::new(dir, "size=64m,nr_inodes=60") else {
        println!("SKIPPED: small file systems cannot be mounted here");
        return Ok(());
    };
    let place = mounted.0.join("store");
    let store = options().open(&place).map_err(failed_to("open"))?;
    let graph = store
        .get_or_create_graph("1", "g")
        .map_err(failed_to("create"))?;
    let (acknowledged, _) = submit_some(&graph, random, 200);
    store.close().map_err(failed_to("close"))?;
    drop((graph, store));
    // Other programs use the remaining inodes.
    for n in 0..100 {
        if fs::write(mounted.0.join(format!("other-{n}")), b"").is_err() {
            break;
        }
    }
    let store = options()
        .open(&place)
        .map_err(failed_to("open without free inodes"))?;
    let graph = store.graph("1", "g").map_err(failed_to("graph"))?;
    all_there(&graph, &acknowledged, "without free inodes")?;
    free(&graph)?;
    Ok(())
}

fn few_descriptors(random: &mut Random, dir: &Path) -> Checked {
    let place = dir.join("store");
    let store = options().open(&place).map_err(failed_to("open"))?;
    let graph = store
        .get_or_create_graph("1", "g")
        .map_err(failed_to("create"))?;
    submit_some(&graph, random, 2_000);
    drop((graph, store));
    let this = std::env::current_exe().map_err(|e| e.to_string())?;
    let script = format!(
        "ulimit -n 128; exec '{}' {OPEN} '{}'",
        this.display(),
        place.display()
    );
    for _ in 0..20 {
        let spawned = child(&[WORK, &place.to_string_lossy(), "5"]).spawn();
        let mut working = spawned.map_err(|e| format!("a child: {e}"))?;
        std::thread::sleep(Duration::from_millis(60));
        working.kill().ok();
        working.wait().ok();
    }
    let output = Command::new("sh").arg("-c").arg(script).output();
    let output = output.map_err(|e| format!("a child: {e}"))?;
    let answer = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match answer.as_str() {
        "opened" => Ok(()),
        answer => Err(format!("with 128 descriptors, an open prints {answer:?}")),
    }
}

/// Replaces the store by a backup that was made while the store was open.
fn restore(random: &mut Random, dir: &Path) -> Checked {
    let (place, copy) = (dir.join("store"), dir.join("copy"));
    let store = options().open(&place).map_err(failed_to("open"))?;
    let graph = store
        .get_or_create_graph("1", "g")
        .map_err(failed_to("create"))?;
    let gone = store
        .get_or_create_graph("1", "gone")
        .map_err(failed_to("create"))?;
    submit_some(&gone, random, 300);
    let (acknowledged, _) = submit_some(&graph, random, 300);
    free(&gone)?;
    store.drop_graph("1", "gone").map_err(failed_to("drop"))?;
    std::thread::sleep(Duration::from_millis(300));
    if random.one_in(2) {
        simulation::rewrite_index(&store);
    }
    store.backup(&copy).map_err(failed_to("backup"))?;
    drop((graph, gone, store));
    fs::remove_dir_all(&place).map_err(|e| e.to_string())?;
    sound(&copy)?;
    fs::rename(&copy, &place).map_err(|e| e.to_string())?;
    let store = options()
        .open(&place)
        .map_err(failed_to("open a restored backup"))?;
    let graph = store.graph("1", "g").map_err(failed_to("graph"))?;
    all_there(&graph, &acknowledged, "after a restore")
}
