//! Power failures: opens the possible contents of a store's directory after a power failure at any
//! moment, and compares the store with what was acknowledged before that moment.
//!
//! Chooses the recorded runs, the moments at which the power fails, and what happens to the index.
//! Each image is a state that a disk could be in if it keeps all synced data. The trial fails, and
//! the image is kept, if the store in the image cannot be opened, has lost an acknowledged fact, or
//! contains one that was not attempted.
//!
//! A run is real: processes work on a real directory under strace. It records, in one order, every
//! call that changes files and every line that the processes print. Some processes close their
//! store, some exit in the middle of everything or are killed between two calls, and some have a
//! sync fail.

use std::collections::HashSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use jobstore::{Body, JobStore, Outcome, Request};
use jobstore_trials::args::Args;
use jobstore_trials::child;
use jobstore_trials::directory;
use jobstore_trials::disk::{Disk, Image, Kept, Step};
use jobstore_trials::line::Line;
use jobstore_trials::oracle::{Oracle, Seen};
use jobstore_trials::plan::{PROJECT, Plan, options};
use jobstore_trials::random::Random;
use jobstore_trials::rebuilds;
use jobstore_trials::trace::{self, Fate, Trace};
use tempfile::TempDir;

const USAGE: &str = "power_cuts [--seconds N] [--images N] [--all] [--seed S] [--require]";
const STORE: &str = "store";
const INDEX: &str = "store/index";
/// The number of syncs in a recorded run at which the power fails, unless all are requested.
const CUTS_OF_A_RUN: usize = 100;
/// The calls during which a process is killed. Such a call has no effect, but earlier writes do.
const FATAL_CALLS: [&str; 7] = [
    "fdatasync",
    "fsync",
    "rename",
    "renameat",
    "unlink",
    "unlinkat",
    "pwrite64",
];
/// The number of earlier states of the index that are kept to be restored.
const OLDER_MAX: usize = 50;
const CHECK_MOST: Duration = Duration::from_secs(60);
const LOOKUPS: u64 = 8;

fn main() -> ExitCode {
    if let Some(code) = child::be_child() {
        return code;
    }
    let mut args = Args::new(USAGE);
    let all = args.flag("--all");
    let require = args.flag("--require");
    let seconds = args.number("--seconds").unwrap_or(60);
    let images = args.number("--images").unwrap_or(u64::MAX);
    let seed = args.number("--seed").unwrap_or(1);
    args.end();
    if let Err(why) = trace::available() {
        println!("SKIPPED: power failures: {why}");
        return match require {
            true => ExitCode::FAILURE,
            false => ExitCode::SUCCESS,
        };
    }
    rebuilds::count();
    let (began, mut sum, mut random) = (Instant::now(), Sum::default(), Random(seed));
    let until = Duration::from_secs(seconds);
    loop {
        let survived = run(random.any(), all, images - sum.images, &mut sum);
        if let Err(what) = survived {
            println!("FAILED: {what}");
            println!("in run {} of seed {seed}", sum.runs);
            return ExitCode::FAILURE;
        }
        if began.elapsed() >= until || sum.images >= images {
            break;
        }
    }
    println!(
        "power failures survived: {} images of {} runs, in {:.0?} (duplicates omitted: {})",
        sum.images,
        sum.runs,
        began.elapsed(),
        sum.same
    );
    println!(
        "sync points: {}, power failures at: {}; runs with a failing sync: {}; continued afterward: {}",
        sum.syncs, sum.cuts, sum.failing, sum.went_on
    );
    println!(
        "index lost: {}, older: {}, torn: {}; rebuilt because of a fault: {}",
        sum.index[0],
        sum.index[1],
        sum.index[2],
        rebuilds::counted()
    );
    println!("facts checked: {}; seed {seed}", sum.facts);
    ExitCode::SUCCESS
}

#[derive(Default)]
struct Sum {
    runs: u64,
    failing: u64,
    syncs: u64,
    cuts: u64,
    images: u64,
    same: u64,
    went_on: u64,
    /// How many times the index was lost, older, and torn.
    index: [u64; 3],
    facts: u64,
}

impl Sum {
    fn add(&mut self, other: &Sum) {
        self.images += other.images;
        self.same += other.same;
        self.went_on += other.went_on;
        self.facts += other.facts;
        for (mine, others) in self.index.iter_mut().zip(other.index) {
            *mine += others;
        }
    }
}

/// Processes that worked on one directory, one after the other.
struct Run {
    seed: u64,
    root: PathBuf,
    /// Contains the root and the output of strace.
    directory: TempDir,
    /// The processes: the calls of each, and the content of the directory after it ended.
    processes: Vec<Process>,
}

struct Process {
    trace: Trace,
    left: Image,
    died: bool,
}

/// Records a run and tests its power failures on all processors.
fn run(seed: u64, all: bool, images: u64, sum: &mut Sum) -> Result<(), String> {
    let run = Run::record(seed, sum)?;
    let cuts = match run.choose(all, sum) {
        Ok(cuts) => cuts,
        Err(what) => {
            let kept = run.directory.keep();
            return Err(format!("{what}\nthe traces are kept in {}", kept.display()));
        }
    };
    // There are more workers than processors, because opens and closes also wait for the disk.
    let workers = 3 * std::thread::available_parallelism().map_or(1, usize::from);
    let results: Vec<Result<Sum, String>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers)
            .map(|n| {
                let mine: HashSet<Place> = cuts.iter().skip(n).step_by(workers).copied().collect();
                let images = images.div_ceil(workers as u64);
                let run = &run;
                scope.spawn(move || Cutter::new(run, mine, images).go_through())
            })
            .collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined
            .map(|result| result.unwrap_or_else(|_| Err("a thread panicked".to_owned())))
            .collect()
    });
    for result in results {
        sum.add(&result?);
    }
    Ok(())
}

/// A moment before an event: the numbers of the process and of its event.
type Place = (usize, usize);

impl Run {
    fn record(seed: u64, sum: &mut Sum) -> Result<Run, String> {
        let failed = |e: std::io::Error| format!("cannot create a directory for a run: {e}");
        let mut random = Random(seed);
        let directory = directory::fast().map_err(failed)?;
        let root = directory.path().join("disk");
        fs::create_dir(&root).map_err(failed)?;
        let mut processes = Vec::new();
        let mut any_failing = false;
        for round in 0..2 + random.below(3) {
            let fate = match random.below(6) {
                0 | 1 if round > 0 => Fate::SyncFails(1 + random.below(12)),
                1..=3 => {
                    let call = random.pick(&FATAL_CALLS).copied().unwrap_or(FATAL_CALLS[0]);
                    Fate::KilledAt(call, 1 + random.below(12))
                }
                _ => Fate::None,
            };
            let fails = matches!(fate, Fate::SyncFails(_));
            any_failing |= fails;
            let plan = Plan {
                calls: 20 + random.below(100),
                recovery: *random.pick(&['I', 'I', 'R', 'L']).unwrap_or(&'I'),
                errors_expected: fails,
                dies: random.one_in(2),
                ..Plan::new(root.join(STORE), round, random.any())
            };
            let trace =
                trace::record(&plan, &directory.path().join(format!("trace{round}")), fate)?;
            processes.push(Process {
                trace,
                left: Image::read(&root).map_err(failed)?,
                died: plan.dies || matches!(fate, Fate::KilledAt(..)),
            });
        }
        sum.runs += 1;
        sum.failing += u64::from(any_failing);
        Ok(Run {
            seed,
            root,
            directory,
            processes,
        })
    }

    /// Replays all events. `each` is called with the disk before each event.
    fn replay(
        &self,
        mut each: impl FnMut(&Disk, Place, &Step) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut disk = Disk::new(&self.root);
        for (process, Process { trace, left, died }) in self.processes.iter().enumerate() {
            disk.begin_process();
            for (n, &event) in trace.events.iter().enumerate() {
                let step = disk.look(trace, event);
                each(&disk, (process, n), &step)?;
                disk.take(trace, event)?;
            }
            disk.end_process(left, *died)?;
        }
        Ok(())
    }

    /// Chooses the moments at which the power fails: at syncs, and at some moments in between.
    fn choose(&self, all: bool, sum: &mut Sum) -> Result<Vec<Place>, String> {
        let (mut rare, mut common, mut others) = (Vec::new(), Vec::new(), Vec::new());
        self.replay(|disk, (process, n), step| {
            let event = self.processes[process].trace.events[n];
            match step {
                // There are few syncs of names and packs, compared with those of commits.
                Step::Synced if disk.syncs_names_or(event, ".aside") => rare.push((process, n)),
                Step::Synced => common.push((process, n)),
                _ => others.push((process, n)),
            }
            Ok(())
        })?;
        sum.syncs += (rare.len() + common.len()) as u64;
        let mut random = Random(self.seed ^ 1);
        let mut take = |mut from: Vec<Place>, count: usize| {
            while !all && from.len() > count {
                from.swap_remove(random.below(from.len() as u64) as usize);
            }
            from
        };
        let mut cuts = take(rare, CUTS_OF_A_RUN / 2);
        cuts.extend(take(common, CUTS_OF_A_RUN / 2));
        if !all {
            cuts.extend(take(others, CUTS_OF_A_RUN / 10));
        }
        cuts.sort_unstable();
        sum.cuts += cuts.len() as u64;
        Ok(cuts)
    }
}

/// Replays a run, and opens what power failures leave.
struct Cutter<'r> {
    run: &'r Run,
    cuts: HashSet<Place>,
    images: u64,
    oracle: Oracle,
    said: Vec<Line>,
    /// The images that have been checked: hashes of their log files, and how much must be in them.
    known: HashSet<(u64, u64)>,
    older: Vec<Image>,
    sum: Sum,
}

impl<'r> Cutter<'r> {
    fn new(run: &'r Run, cuts: HashSet<Place>, images: u64) -> Cutter<'r> {
        Cutter {
            run,
            cuts,
            images,
            oracle: Oracle::new(),
            said: Vec::new(),
            known: HashSet::new(),
            older: Vec::new(),
            sum: Sum::default(),
        }
    }

    fn go_through(mut self) -> Result<Sum, String> {
        let run = self.run;
        let mut just_cut = false;
        run.replay(|disk, place, step| {
            if let Step::Says(words) = step {
                let words = String::from_utf8_lossy(words);
                let line = words.strip_suffix('\n').and_then(Line::parse);
                let line = line.ok_or_else(|| format!("{words:?} is not a valid line"))?;
                self.oracle.hear(&line)?;
                self.said.push(line);
            }
            // The power fails just before a sync returns, and just after.
            let is_cut = self.cuts.contains(&place);
            if is_cut || just_cut {
                self.cut(disk, place)?;
            }
            just_cut = is_cut;
            Ok(())
        })?;
        Ok(self.sum)
    }

    fn cut(&mut self, disk: &Disk, (process, event): Place) -> Result<(), String> {
        if self.older.len() < OLDER_MAX {
            let index = disk.image(INDEX, Kept::Everything, &mut Random(0));
            self.older.push(index);
        }
        for kept in [Kept::Nothing, Kept::Everything, Kept::Torn, Kept::Torn] {
            if self.sum.images >= self.images {
                return Ok(());
            }
            let place = (process as u64) << 32 | event as u64;
            let seed = self.run.seed ^ Random(place).any() ^ self.sum.images;
            let mut random = Random(seed);
            let mut image = disk.image("", kept, &mut random);
            image.remove(INDEX);
            // The content of the lock file has no meaning.
            image.files.remove("store/LOCK");
            if !self
                .known
                .insert((image.digest(), self.oracle.acknowledged()))
            {
                self.sum.same += 1;
                continue;
            }
            let index = self.index(disk, &mut image, &mut random);
            self.check(&image, &mut random).map_err(|(what, kept_in)| {
                format!(
                    "{what}\ncut in process {process} before event {event}, kept {kept:?}, \
                     index {index}\nthe image is kept in {}",
                    kept_in.display()
                )
            })?;
        }
        Ok(())
    }

    /// Adds what is left of the index. No part of the index is ever synced.
    fn index(&mut self, disk: &Disk, image: &mut Image, random: &mut Random) -> &'static str {
        let (index, how) = match random.below(8) {
            _ if !disk.exists(INDEX)
                || !image.directories.iter().any(|directory| directory == STORE) =>
            {
                return "not made yet";
            }
            0 | 1 => {
                self.sum.index[0] += 1;
                return "lost";
            }
            2 | 3 if !self.older.is_empty() => {
                self.sum.index[1] += 1;
                let older = random.pick(&self.older).cloned();
                (older.unwrap_or_default(), "of an earlier moment")
            }
            4 | 5 => {
                self.sum.index[2] += 1;
                (disk.image(INDEX, Kept::Torn, random), "torn")
            }
            _ => (disk.image(INDEX, Kept::Everything, random), "as it was"),
        };
        image.insert(INDEX, index);
        how
    }

    /// Opens an image and compares it. If it is wrong, reports where it is kept.
    fn check(&mut self, image: &Image, random: &mut Random) -> Result<(), (String, PathBuf)> {
        let failed = |e: std::io::Error| (format!("files of the trial: {e}"), PathBuf::new());
        let directory = directory::fast().map_err(failed)?;
        let dir = directory.path().join(STORE);
        image.write(directory.path()).map_err(failed)?;
        let recovery = *random.pick(&['I', 'I', 'R', 'L']).unwrap_or(&'I');
        let works = random.one_in(6);
        let oracle = &self.oracle;
        let checked = child::within("the check of an image", CHECK_MOST, || {
            let check = || check(&dir, recovery, works, oracle);
            catch_unwind(AssertUnwindSafe(check))
        });
        match checked.unwrap_or_else(|_| Err("it panicked".to_owned())) {
            Ok(facts) => {
                self.sum.facts += facts;
                self.sum.images += 1;
                self.sum.went_on += u64::from(works);
                Ok(())
            }
            Err(what) => {
                let kept = directory.keep();
                // Keep the store as it was before it was opened, and the lines until then.
                fs::remove_dir_all(&dir).ok();
                image.write(&kept).ok();
                let text: Vec<String> = self.said.iter().map(Line::to_string).collect();
                fs::write(kept.join("said"), text.join("\n")).ok();
                Err((what, kept))
            }
        }
    }
}

fn check(dir: &Path, recovery: char, works: bool, oracle: &Oracle) -> Result<u64, String> {
    let open = |recovery| {
        let opened = options(recovery).open(dir);
        opened.map_err(|e| format!("the store cannot be opened: {e}"))
    };
    let store = open(recovery)?;
    let seen = oracle.check(&store, LOOKUPS)?;
    if !works {
        return Ok(seen.facts);
    }
    let failed = |e: jobstore::Error| format!("the store does not work: {e}");
    go_on(&store).map_err(failed)?;
    store.close().map_err(failed)?;
    drop(store);
    let store = open('L')?;
    let mut later = Seen::read(&store, LOOKUPS)?;
    let added = later.graphs.pop();
    let states = added.map(|graph| {
        let states = graph.jobs.iter().map(|job| job.state.as_str());
        states.collect::<Vec<_>>().join(" ")
    });
    if states.as_deref() != Some("complete running pending") || later.graphs != seen.graphs {
        return Err("after some more writes and a reopen, the store differs".to_owned());
    }
    Ok(seen.facts + later.facts)
}

/// Makes some writes: a graph with three jobs in three different states.
fn go_on(store: &JobStore) -> Result<(), jobstore::Error> {
    let graph = store.create_graph(PROJECT, "after-the-cut")?;
    for _ in 0..3 {
        graph.submit(Request::new("later", "/ges", Body::empty())?)?;
    }
    if let Some(run) = graph.claim_next()? {
        run.complete(Outcome::succeeded())?;
    }
    if let Some(run) = graph.claim_next()? {
        run.detach();
    }
    Ok(())
}
