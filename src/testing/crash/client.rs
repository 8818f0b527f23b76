//! A seeded client: its operations on a store, and what the store should then contain.
//!
//! Contains the operations, their effect on a [`World`], and the numbers of attempted and
//! acknowledged operations, which each image of the disk includes. The same seed yields the same
//! operations, as long as the store returns the same results.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::api::graph::Graph;
use crate::api::lifecycle::Completion;
use crate::api::submit::Submitted;
use crate::engine::core::Engine;
use crate::engine::open::open_disk;
use crate::engine::state::calls::WriteResult;
use crate::engine::state::operation::{Action, Operation, SMALL_WRITE_BYTES};
use crate::engine::store_handle::StoreHandle;
use crate::log::disk::Disk;
use crate::log::disk::memory::MemoryDisk;
use crate::model::error::{Error, Result};
use crate::model::id::JobId;
use crate::model::job_query::JobQuery;
use crate::model::options::{Durability, Options};
use crate::model::outcome::Outcome;
use crate::model::request::{Body, Request};
use crate::model::states::State;
use crate::testing::crash::world::{End, Fact, World};

const PROJECT: &str = "10001";
/// How long a test waits for the store's own threads.
const WAIT: Duration = Duration::from_secs(60);
/// The size of a segment. A request can be larger.
pub(super) const SEGMENT_BYTES: u64 = 4 << 10;

/// Pseudorandom numbers, determined by the seed.
pub(super) struct Random(pub(super) u64);

impl Random {
    /// A number below `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        match from.len() as u64 {
            0 => None,
            len => from.get(self.below(len) as usize),
        }
    }
}

/// An open store under test.
pub(super) struct Store {
    pub(super) engine: Arc<Engine>,
    handle: Arc<StoreHandle>,
}

impl Store {
    pub(super) fn open(disk: Arc<dyn Disk>, durability: Durability) -> Result<Store> {
        Ok(Store::of(open_disk(options(durability), disk)?))
    }

    pub(super) fn of(engine: Arc<Engine>) -> Store {
        note_panics();
        let handle = StoreHandle {
            engine: engine.clone(),
        };
        Store {
            engine,
            handle: Arc::new(handle),
        }
    }

    pub(super) fn graphs(&self) -> Vec<Graph> {
        let graphs = self.engine.graphs.read();
        let all = graphs.by_number.values();
        all.map(|core| Graph::new(&self.handle, core)).collect()
    }

    pub(super) fn graph(&self, name: &str) -> Graph {
        let mut graphs = self.graphs().into_iter();
        graphs
            .find(|graph| graph.name() == name)
            .expect("the graph is there")
    }

    /// Waits until every segment is packed except the one being written.
    pub(super) fn wait_until_packed(&self) {
        let deadline = Instant::now() + WAIT;
        while self.engine.log_files.read().segments.len() > 1 {
            assert!(Instant::now() < deadline, "the packer does not come to it");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Fills the disk at a moment when no file is being created or deleted, because deleting a file
    /// later would free space.
    pub(super) fn fill_disk(&self, disk: &MemoryDisk) {
        // The packer takes a segment out of the log before it removes its file.
        let _files = self.engine.files_lock.lock();
        self.engine.preallocation.stand_still(|| disk.leave_room(0));
    }

    fn commit(&self, action: Action) -> Result<WriteResult> {
        self.engine.check_writable()?;
        self.engine.commit(Operation {
            action,
            bytes: SMALL_WRITE_BYTES,
        })
    }

    pub(super) fn create_graph(&self, name: &str) {
        let act = Act::CreateGraph {
            name: name.to_owned(),
            number: 1,
        };
        self.apply_act(&act).expect("the graph is made");
    }

    /// Executes an operation. Returns the ids of the jobs that it created.
    pub(super) fn apply_act(&self, act: &Act) -> Result<Vec<JobId>> {
        match act {
            Act::CreateGraph { name, number } => {
                let action = Action::CreateGraph {
                    project: PROJECT.to_owned(),
                    name: name.clone(),
                    id_number: 1_000_000_000_000_000_000 + number,
                    key: [*number, 7],
                };
                self.commit(action).map(|_| Vec::new())
            }
            Act::DropGraph { name } => {
                let graph = self.graph(name).core;
                self.commit(Action::DropGraph { graph }).map(|_| Vec::new())
            }
            Act::Submit { graph, request } => {
                let id = self.graph(graph).submit(request.clone())?;
                Ok(vec![id])
            }
            Act::SubmitAll { graph, requests } => self.graph(graph).submit_all(requests.clone()),
            Act::SubmitAs { graph, id, request } => {
                let submitted = self.graph(graph).submit_as(id, request.clone())?;
                assert_eq!(submitted, Submitted::Created(id.clone()));
                Ok(vec![id.clone()])
            }
            Act::Start { graph, id } => self.graph(graph).start(id).map(|()| Vec::new()),
            Act::RunNext { graph } => {
                let run = self.graph(graph).claim_next()?;
                run.expect("a job is pending").detach();
                Ok(Vec::new())
            }
            Act::Complete { graph, id, outcome } => {
                let completion = self.graph(graph).complete(id, outcome.clone())?;
                assert_eq!(completion, Completion::Done);
                Ok(Vec::new())
            }
            Act::Cancel { graph, id } => self.graph(graph).cancel(id).map(|_| Vec::new()),
            Act::Purge { graph } => self.graph(graph).purge(JobQuery::new()).map(|_| Vec::new()),
        }
    }
}

pub(super) fn options(durability: Durability) -> Options {
    Options {
        segment_bytes: SEGMENT_BYTES,
        durability,
        ..Options::default()
    }
}

/// Cancels and purges all jobs of a graph, as far as there is space. Returns whether no job is
/// left.
pub(super) fn tried_to_purge_all(graph: &Graph) -> bool {
    let page = graph.list(JobQuery::new()).expect("a page");
    let jobs = page.jobs().map(|job| job.expect("a job"));
    for job in jobs.filter(|job| job.outcome().is_none()) {
        match graph.cancel(job.id()) {
            Ok(_) | Err(Error::DiskFull { .. }) => {}
            Err(error) => panic!("a cancellation: {error}"),
        }
    }
    match graph.purge(JobQuery::new()) {
        Ok(_) | Err(Error::DiskFull { .. }) => {}
        Err(error) => panic!("a purge: {error}"),
    }
    let page = graph.list(JobQuery::new()).expect("a page");
    page.total().expect("a count") == 0
}

static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Counts panics in the store's own threads, which would otherwise go unnoticed.
fn note_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let thread = std::thread::current();
            if thread
                .name()
                .is_some_and(|name| name.starts_with("jobstore-"))
            {
                PANICS.fetch_add(1, Ordering::SeqCst);
            }
            before(info);
        }));
    });
}

/// Asserts that no thread of any store has panicked so far.
pub(super) fn assert_no_thread_panicked() {
    assert_eq!(
        PANICS.load(Ordering::SeqCst),
        0,
        "a thread of a store panicked"
    );
}

/// An operation that the store must accept.
#[derive(Clone, Debug)]
pub(super) enum Act {
    CreateGraph {
        name: String,
        number: u64,
    },
    DropGraph {
        name: String,
    },
    Submit {
        graph: String,
        request: Request,
    },
    SubmitAll {
        graph: String,
        requests: Vec<Request>,
    },
    SubmitAs {
        graph: String,
        id: JobId,
        request: Request,
    },
    Start {
        graph: String,
        id: JobId,
    },
    RunNext {
        graph: String,
    },
    Complete {
        graph: String,
        id: JobId,
        outcome: Outcome,
    },
    Cancel {
        graph: String,
        id: JobId,
    },
    /// Purges all complete jobs, in one commit.
    Purge {
        graph: String,
    },
}

impl Act {
    /// Returns whether the operation adds something. All others complete or remove what exists.
    pub(super) fn adds(&self) -> bool {
        matches!(
            self,
            Act::CreateGraph { .. }
                | Act::Submit { .. }
                | Act::SubmitAll { .. }
                | Act::SubmitAs { .. }
        )
    }
}

impl World {
    /// Applies the operation's expected effect. `ids` are the ids of the jobs that the operation
    /// created.
    pub(super) fn apply(&mut self, act: &Act, ids: &[JobId]) {
        let new = |id: &JobId, request: &Request| Fact {
            id: id.as_str().into(),
            request: request.as_json().into(),
            state: State::Pending,
            cancelling: false,
            end: None,
        };
        match act {
            Act::CreateGraph { name, .. } => self.graphs.push((name.clone(), Vec::new())),
            Act::DropGraph { name } => self.graphs.retain(|(there, _)| there != name),
            Act::Submit { graph, request } | Act::SubmitAs { graph, request, .. } => {
                assert_eq!(ids.len(), 1, "a submission makes one job");
                self.jobs(graph).push(new(&ids[0], request));
            }
            Act::SubmitAll { graph, requests } => {
                assert_eq!(ids.len(), requests.len(), "a batch makes all its jobs");
                let made = ids
                    .iter()
                    .zip(requests)
                    .map(|(id, request)| new(id, request));
                self.jobs(graph).extend(made);
            }
            Act::Start { graph, id } => self.job(graph, id).state = State::Running,
            Act::RunNext { graph } => {
                let mut jobs = self.jobs(graph).iter_mut();
                let oldest = jobs.find(|job| job.state == State::Pending);
                oldest.expect("a job is pending").state = State::Running;
            }
            Act::Complete { graph, id, outcome } => self.job(graph, id).complete(outcome),
            Act::Purge { graph } => self.jobs(graph).retain(|job| job.state != State::Complete),
            Act::Cancel { graph, id } => {
                let job = self.job(graph, id);
                match job.state {
                    State::Pending => job.complete(&Outcome::cancelled()),
                    State::Running => job.cancelling = true,
                    State::Complete => {}
                }
            }
        }
    }

    fn job(&mut self, graph: &str, id: &JobId) -> &mut Fact {
        let mut jobs = self.jobs(graph).iter_mut();
        let found = jobs.find(|job| *job.id == *id.as_str());
        found.expect("the job is there")
    }
}

impl Fact {
    fn complete(&mut self, outcome: &Outcome) {
        self.state = State::Complete;
        self.cancelling = false;
        self.end = Some(End::of(outcome));
    }
}

/// Generates operations.
pub(super) struct Client {
    pub(super) random: Random,
    /// The prefix of the names of the graphs that the client creates.
    prefix: String,
    /// Whether the client drops graphs and creates others.
    drops: bool,
    made: u64,
    drawn: u64,
    /// The acknowledged content of the store.
    pub(super) world: World,
    /// The content after 0, 1, 2, ... acknowledged operations.
    pub(super) history: Vec<World>,
    pub(super) attempted: Arc<AtomicU64>,
    pub(super) acknowledged: Arc<AtomicU64>,
}

impl Client {
    pub(super) fn new(seed: u64, prefix: &str, drops: bool) -> Client {
        Client {
            random: Random(seed),
            prefix: prefix.to_owned(),
            drops,
            made: 0,
            drawn: 0,
            world: World::default(),
            history: vec![World::default()],
            attempted: Arc::default(),
            acknowledged: Arc::default(),
        }
    }

    /// The counters that an image of the disk includes.
    pub(super) fn counters(&self) -> Vec<Arc<AtomicU64>> {
        vec![self.acknowledged.clone(), self.attempted.clone()]
    }

    pub(super) fn attempt(&self) {
        self.attempted.fetch_add(1, Ordering::SeqCst);
    }

    /// Records that the attempted operation was refused.
    pub(super) fn withdraw(&self) {
        self.attempted.fetch_sub(1, Ordering::SeqCst);
    }

    /// Records that the attempted operation took effect.
    pub(super) fn acknowledge(&mut self, world: World) {
        self.world = world;
        self.history.push(self.world.clone());
        let operations = self.history.len() as u64 - 1;
        self.acknowledged.store(operations, Ordering::SeqCst);
    }

    /// Reverts to the state after `operations` operations. Only the first `durable` of them are
    /// certain to be durable before the next open.
    pub(super) fn go_back_to(&mut self, operations: usize, durable: u64) {
        self.history.truncate(operations + 1);
        self.world = self.history[operations].clone();
        self.attempted.store(operations as u64, Ordering::SeqCst);
        self.acknowledged.store(durable, Ordering::SeqCst);
    }

    /// Opens a store, which counts as an operation.
    pub(super) fn open(&mut self, disk: Arc<dyn Disk>, durability: Durability) -> Result<Store> {
        self.attempt();
        let store = Store::open(disk, durability)?;
        self.acknowledge(self.world.reopened());
        Ok(store)
    }

    /// Generates and executes an operation. If it fails, returns the error and the world that
    /// results if the operation took effect nevertheless.
    pub(super) fn step(&mut self, store: &Store) -> Result<(), (Error, World)> {
        let act = self.draw();
        self.apply_act(store, &act)
    }

    /// Like [`Client::step`], with the given operation.
    pub(super) fn apply_act(&mut self, store: &Store, act: &Act) -> Result<(), (Error, World)> {
        self.attempt();
        let mut world = self.world.clone();
        match store.apply_act(act) {
            Ok(ids) => {
                world.apply(act, &ids);
                self.acknowledge(world);
                Ok(())
            }
            Err(error) => {
                if let Error::CommitUnknown { ids, .. } = &error {
                    world.apply(act, ids);
                }
                Err((error, world))
            }
        }
    }

    /// Executes `count` steps. Waits for the packer from time to time, so that files of every age
    /// exist.
    pub(super) fn steps(&mut self, store: &Store, count: u64) {
        for n in 0..count {
            if let Err((error, _)) = self.step(store) {
                panic!("an operation failed: {error}");
            }
            if n % 16 == 15 && self.random.below(2) == 0 {
                store.wait_until_packed();
            }
        }
    }

    pub(super) fn draw(&mut self) -> Act {
        self.drawn += 1;
        let graphs: Vec<String> = self
            .world
            .graphs
            .iter()
            .map(|(name, _)| name.clone())
            .collect();
        let dice = self.random.below(100);
        let wanted = if self.drops { 3 } else { 1 };
        if graphs.is_empty() || (graphs.len() < wanted && dice < 5) {
            self.made += 1;
            return Act::CreateGraph {
                name: format!("{}{}", self.prefix, self.made),
                number: self.made,
            };
        }
        let graph = self.random.pick(&graphs).expect("there are graphs").clone();
        if self.drops && graphs.len() == wanted && dice < 3 {
            return Act::DropGraph { name: graph };
        }
        let jobs = self.world.jobs(&graph).iter();
        let ids = |state| -> Vec<JobId> {
            let jobs = jobs.clone().filter(|job| job.state == state);
            jobs.map(|job| JobId::new(&*job.id).expect("an id"))
                .collect()
        };
        if ids(State::Complete).len() > 12 && self.random.below(8) == 0 {
            return Act::Purge { graph };
        }
        let (pending, running) = (ids(State::Pending), ids(State::Running));
        let (dice, many) = (self.random.below(100), running.len() > 4);
        if let Some(id) = self
            .random
            .pick(&running)
            .filter(|_| many || dice < 30)
            .cloned()
        {
            return match self.random.below(5) {
                0 => Act::Cancel { graph, id },
                _ => Act::Complete {
                    graph,
                    id,
                    outcome: self.outcome(),
                },
            };
        }
        if let Some(id) = self.random.pick(&pending).filter(|_| dice < 60).cloned() {
            return match self.random.below(5) {
                0 => Act::Cancel { graph, id },
                1 | 2 => Act::RunNext { graph },
                _ => Act::Start { graph, id },
            };
        }
        match self.random.below(4) {
            0 => {
                let id = format!("own-{}-{}", self.prefix, self.drawn);
                let id = JobId::new(id).expect("an id");
                Act::SubmitAs {
                    graph,
                    id,
                    request: self.request(),
                }
            }
            1 => {
                let count = 1 + self.random.below(6);
                let requests = (0..count).map(|_| self.request()).collect();
                Act::SubmitAll { graph, requests }
            }
            _ => Act::Submit {
                graph,
                request: self.request(),
            },
        }
    }

    fn request(&mut self) -> Request {
        let filler = match self.random.below(40) {
            0 => 2 * SEGMENT_BYTES,
            1..=8 => self.random.below(1200),
            _ => self.random.below(120),
        };
        let words = "Ein Graph ist alles, was der Fall zwischen Knoten ist, auch über Umwege. ";
        let text: String = words.chars().cycle().take(filler as usize).collect();
        let number = self.drawn;
        let body = Body::from_json(format!(r#"{{"n":{number}e0,"text":"{text}"}}"#));
        Request::new("import", "/ges?x=1", body.expect("JSON")).expect("a request")
    }

    fn outcome(&mut self) -> Outcome {
        let with_detail = |outcome: Outcome, number: u64| {
            let detail = outcome.with_detail_json(format!("[{number},null]"));
            detail.expect("JSON")
        };
        let number = self.random.below(1000);
        match self.random.below(6) {
            0 => Outcome::failed("GES.8012", "no such vertex"),
            1 => with_detail(Outcome::succeeded(), number),
            2 => with_detail(Outcome::partially_failed("p", "some"), number),
            3 => Outcome::cancelled(),
            4 => Outcome::interrupted(),
            _ => Outcome::succeeded(),
        }
    }
}

/// Runs a test that must not hang.
pub(super) fn within_bounds(what: String, test: impl FnOnce() + Send + 'static) {
    let (done, ended) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        // A panic also ends the wait, because it drops the sender.
        let _done: std::sync::mpsc::Sender<()> = done;
        test();
    });
    let hangs = ended.recv_timeout(WAIT) == Err(std::sync::mpsc::RecvTimeoutError::Timeout);
    assert!(!hangs, "{what} hangs");
    if let Err(panic) = thread.join() {
        println!("{what} failed");
        std::panic::resume_unwind(panic);
    }
}
