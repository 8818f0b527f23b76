//! The stores that are damaged. They are closed, and contain data of every kind.
//!
//! Creates them, and checks that they are complete. The undamaged store returns exactly what was
//! recorded.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jobstore::{
    Body, Clock, Graph, JobStore, Options, Outcome, Recovery, Request, State, Submitted,
};

use crate::original::{self, Original};
use crate::random::Random;
use crate::tree::Tree;

/// The directories of the base stores.
pub const NAMES: [&str; 5] = ["small", "small-earlier", "large", "large-earlier", "other"];
/// The number of jobs that the last frame of these stores submits to their first graph. No other
/// jobs can be lost without an error, because each frame confirms all earlier ones.
pub const LAST_FRAME_JOBS: usize = 3;
/// The graph that is dropped.
pub const DROPPED: &str = "dropped";

type Failed = Box<dyn std::error::Error>;

/// A stopped clock, so that the output of an open is predictable.
struct Fixed(u64);

impl Clock for Fixed {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.0)
    }
}

/// The options of all stores here. The sizes are small, so that a case is fast.
pub fn options(seconds: u64) -> Options {
    JobStore::options()
        .segment_bytes(64 << 10)
        .cache_bytes(4 << 20)
        .clock(Fixed(seconds))
}

/// The time that the clock shows during the cases, in seconds since 1970.
pub const CASES_AT: u64 = 2_000_000_000;

/// What was recorded, for comparison with what the store returns.
#[derive(Default)]
struct Done(Vec<(String, String, Option<Outcome>)>);

/// Creates all base stores in `dir`.
pub fn make(dir: &Path) -> Result<(), Failed> {
    for (name, large) in [("small", false), ("large", true)] {
        let earlier = dir.join(format!("{name}-earlier"));
        let made = dir.join(name);
        // The packer decides whether a sealed segment is left unpacked.
        for attempt in 0.. {
            let mut work = Work::new(&made, 1, large);
            work.begin()?;
            Tree::read(&made)?.write(&earlier)?;
            work.end()?;
            match check(&made, &work.done, large) {
                Ok(()) => break,
                Err(e) if attempt < 50 => {
                    eprintln!("recreating the base: {e}");
                    crate::tree::clear(&made)?;
                }
                Err(e) => return Err(e),
            }
        }
    }
    let other = dir.join("other");
    let mut work = Work::new(&other, 2, false);
    work.begin()?;
    work.end()
}

struct Work<'d> {
    dir: &'d Path,
    random: Random,
    large: bool,
    sessions: u64,
    done: Done,
}

impl Work<'_> {
    fn new(dir: &Path, seed: u64, large: bool) -> Work<'_> {
        Work {
            dir,
            random: Random::new(seed),
            large,
            sessions: 0,
            done: Done::default(),
        }
    }

    fn open(&mut self) -> Result<JobStore, Failed> {
        self.sessions += 1;
        Ok(options(1_000_000_000 + self.sessions * 1000).open(self.dir)?)
    }

    /// Works for eight sessions, whose packs are merged, and two more.
    fn begin(&mut self) -> Result<(), Failed> {
        for session in 0..10 {
            let store = self.open()?;
            let first = store.get_or_create_graph("p", "first")?;
            let second = store.get_or_create_graph("p", "second")?;
            self.jobs(&first, 6)?;
            self.jobs(&second, 3)?;
            self.fill_segment(&first)?;
            if session == 2 {
                let dropped = store.get_or_create_graph("p", DROPPED)?;
                dropped.submit(self.request(40)?)?;
                dropped.submit_as("brought-x", self.request(40)?)?;
            }
            if session == 4 {
                store.drop_graph("p", DROPPED)?;
                store.create_graph("q", "empty")?;
            }
            if session == 9 && self.large {
                let request = self.request(300 << 10)?;
                self.submit(&second, request)?;
            }
            wait_until_packed(self.dir)?;
            store.close()?;
        }
        Ok(())
    }

    /// Works for a few more sessions, whose data stays in segments and unmerged packs.
    fn end(&mut self) -> Result<(), Failed> {
        for is_filled in [true, true, false] {
            let store = self.open()?;
            let first = store.graph("p", "first")?;
            self.jobs(&first, 10)?;
            if is_filled {
                self.fill_segment(&first)?;
            }
            wait_until_packed(self.dir)?;
            store.close()?;
        }
        let store = self.open()?;
        let second = store.graph("p", "second")?;
        self.jobs(&second, 8)?;
        let first = store.graph("p", "first")?;
        for _ in 0..4 {
            // These jobs stay running, and the cancellation of one of them is requested.
            let request = self.request(100)?;
            let id = self.submit(&first, request)?;
            first.start(&id)?;
        }
        let last = self.done.0.last().map(|(id, _, _)| id.clone());
        first.cancel(last.unwrap_or_default())?;
        // This fills the rest of a segment, and a little of the next one.
        self.fill_segment(&first)?;
        store.close()?;
        Ok(())
    }

    /// Submits more than a segment, so that another one is begun.
    fn fill_segment(&mut self, graph: &Graph) -> Result<(), Failed> {
        let requests: Vec<Request> = (0..LAST_FRAME_JOBS)
            .map(|_| self.request(24 << 10))
            .collect::<Result<_, _>>()?;
        let texts: Vec<String> = requests.iter().map(|r| r.as_json().to_owned()).collect();
        // All requests are in one commit, so that the sealed segment stays as it is at the end.
        let ids = graph.submit_all(requests)?;
        for (id, text) in ids.iter().zip(texts) {
            self.done.0.push((id.to_string(), text, None));
        }
        Ok(())
    }

    fn request(&mut self, bytes: usize) -> Result<Request, Failed> {
        // Text that compresses to about half.
        let text: String = (0..bytes)
            .map(|_| char::from(b'a' + self.random.below(16) as u8))
            .collect();
        let body = Body::from_json(format!(r#"{{"text":"{text}","n":1.50}}"#))?;
        Ok(Request::new("execute_algorithm", "/ges/v1.0", body)?)
    }

    /// Submits a job with a generated or an external id.
    fn submit(&mut self, graph: &Graph, request: Request) -> Result<String, Failed> {
        let text = request.as_json().to_owned();
        let id = if self.done.0.len() % 3 == 1 {
            let id = format!("brought-{}", self.done.0.len());
            match graph.submit_as(&id, request)? {
                Submitted::Created(id) => id,
                Submitted::AlreadyExists(id) => return Err(format!("{id} is there").into()),
            }
        } else {
            graph.submit(request)?
        };
        self.done.0.push((id.to_string(), text, None));
        Ok(id.to_string())
    }

    /// Submits jobs and changes the states of some of them.
    fn jobs(&mut self, graph: &Graph, count: usize) -> Result<(), Failed> {
        for n in 0..count {
            let bytes = [30, 200, 900][self.random.below(3)];
            let request = self.request(bytes)?;
            let id = self.submit(graph, request)?;
            if n % 5 == 4 {
                continue;
            }
            graph.start(&id)?;
            let outcome = match n % 5 {
                0 => Outcome::succeeded(),
                1 => Outcome::failed("GES.8012", "no such vertex")
                    .with_detail_json(format!(r#"{{"vertex":{}}}"#, self.random.below(999)))?,
                2 => Outcome::succeeded().with_result_ref(format!("results/{id}.csv"))?,
                _ => Outcome::partially_failed("GES.1", "half").with_detail(&vec![n; 200])?,
            };
            graph.complete(&id, outcome.clone())?;
            if let Some(done) = self.done.0.last_mut() {
                done.2 = Some(outcome);
            }
        }
        Ok(())
    }
}

/// Waits until only one segment with data is left.
fn wait_until_packed(dir: &Path) -> Result<(), Failed> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let (mut written, mut packs, mut aside) = (0, 0, false);
        for entry in fs::read_dir(dir)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            aside |= name.ends_with(".aside");
            packs += usize::from(name.ends_with(".pack"));
            // A preallocated segment has no header yet.
            let is_segment = name.ends_with(".segment");
            let content = is_segment.then(|| fs::read(dir.join(name)));
            if matches!(content, Some(Ok(bytes)) if bytes.starts_with(b"JOBSLOG\0")) {
                written += 1;
            }
        }
        if written == 1 && packs < 16 && !aside {
            return Ok(());
        }
        if Instant::now() > deadline {
            let names: Vec<_> = fs::read_dir(dir)?
                .flatten()
                .map(|e| e.file_name())
                .collect();
            return Err(format!("the store is not packed: {names:?}").into());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Checks that data of every kind exists, and that the store returns what was recorded.
fn check(dir: &Path, done: &Done, large: bool) -> Result<(), Failed> {
    let tree = Tree::read(dir)?;
    let names = tree.files();
    let count = |end: &str| names.iter().filter(|name| name.ends_with(end)).count();
    let packs: Vec<&String> = names.iter().filter(|n| n.ends_with(".pack")).collect();
    // A merged pack covers much more than any other.
    let covers = |name: &&String| {
        let hex = |at: usize| u64::from_str_radix(&name[at..at + 16], 16).unwrap_or(0);
        hex(17) - hex(0) > 100
    };
    let merged = packs.iter().filter(|name| covers(name)).count();
    let in_index = names.iter().filter(|n| n.starts_with("index/")).count();
    let there = [
        ("two segments", count(".segment") >= 2),
        (
            "a merged pack and others",
            merged >= 1 && packs.len() > merged + 1,
        ),
        (
            "STORE, CLOSED, LOCK",
            count("STORE") + count("CLOSED") + count("LOCK") == 3,
        ),
        ("sled's files", in_index >= 3),
        ("a large job", !large || tree_bytes(&tree) > 300 << 10),
    ];
    if let Some((what, _)) = there.iter().find(|(_, there)| !there) {
        return Err(format!("the base lacks {what}: {names:?}").into());
    }
    let copy = dir.with_extension("copy");
    tree.write(&copy)?;
    let store = options(CASES_AT).recovery(Recovery::Leave).open(&copy)?;
    let left = Original::read(&store)?;
    let differs = original::look(&store, &left, &[DROPPED])?;
    store.close()?;
    tree.write(&copy)?;
    let store = options(CASES_AT).open(&copy)?;
    let original = Original::read(&store)?;
    let differs2 = original::look(&store, &original, &[DROPPED])?;
    store.close()?;
    crate::tree::clear(&copy)?;
    if !(differs.is_empty() && differs2.is_empty()) {
        return Err(format!("the undamaged store has errors: {differs:?} {differs2:?}").into());
    }
    let mut jobs = left.graphs.iter().flat_map(|graph| &graph.jobs);
    for (id, request, outcome) in &done.0 {
        let mut found = left.graphs.iter().flat_map(|graph| &graph.jobs);
        let found = found.find(|fact| fact.id == *id);
        let same = found.is_some_and(|f| f.request == *request && f.outcome == *outcome);
        if !same {
            return Err(format!("job {id} is {found:?}").into());
        }
    }
    let all = jobs.by_ref().count();
    let in_state = |state: State| {
        let jobs = left.graphs.iter().flat_map(|graph| &graph.jobs);
        jobs.filter(|fact| fact.state == state).count()
    };
    let ended = original.graphs.iter().flat_map(|graph| &graph.jobs);
    let ended = ended.filter(|f| f.outcome.as_ref().is_some_and(original::is_recovered));
    let right = all == done.0.len()
        && State::ALL.iter().all(|state| in_state(*state) > 0)
        && original.recovered.len() == 4
        && ended.count() == 4
        && original.graphs.len() == 3;
    match right {
        true => Ok(()),
        false => Err("the base does not contain what was recorded".into()),
    }
}

fn tree_bytes(tree: &Tree) -> usize {
    let files = tree.original();
    let bytes = files.files();
    bytes
        .iter()
        .filter_map(|n| files.content(n))
        .map(Vec::len)
        .sum()
}
