//! A store under test together with its model: each operation is applied to both.
//!
//! Contains the comparison of each result, and the ways in which the store ends in between.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use jobstore::{
    Cancellation, Clock, Completion, Cursor, Error, Graph, JobQuery, JobStore, Outcome,
    OutcomeKind, Request, State, Submitted,
};

use crate::common;
use crate::directory::{Files, SEGMENT_HEADER_BYTES, left_in, log_end, log_end_in, put_into};
use crate::operations::{AfterRun, Content, End, NAMES, Op, Pick};
use crate::world::{
    Fact, GraphWorld, World, assert_illegal, check_found, check_outcome, check_page, filter,
    same_request,
};

const PROJECT: &str = "10001";

/// Returns the time that the test set.
#[derive(Clone, Default)]
struct SetClock(Arc<AtomicU64>);

impl Clock for SetClock {
    fn now(&self) -> SystemTime {
        let seconds = self.0.load(Ordering::SeqCst);
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
    }
}

/// How many opens found packs.
pub static OPENED_WITH_PACKS: AtomicUsize = AtomicUsize::new(0);

/// The state after an operation.
struct Past {
    segment: PathBuf,
    end: usize,
    world: World,
}

/// A store under test, and its expected content.
pub struct Test {
    directory: PathBuf,
    store: Option<JobStore>,
    clock: SetClock,
    world: World,
    history: Vec<Past>,
    /// The length of the history when a graph was last dropped: packs may have omitted its jobs
    /// since, so no crash can undo the drop.
    dropped_at: usize,
    graphs_made: u64,
    directories_made: u64,
    /// Where the last list ended: graph number, states, next sequence number.
    cursor: Option<(u64, u8, usize, Cursor)>,
    /// The length of the history at that time.
    cursor_at: usize,
    /// Handles of dropped graphs: the store must not revive such a graph, even though it still
    /// keeps some of its data for them.
    dropped: Vec<Graph>,
    /// Last, so that it is dropped after everything that has the store open.
    directories: tempfile::TempDir,
}

impl Test {
    pub fn new() -> Test {
        let directories = tempfile::tempdir().unwrap();
        let mut test = Test {
            directory: directories.path().join("0"),
            directories,
            store: None,
            clock: SetClock::default(),
            world: World::default(),
            history: Vec::new(),
            dropped_at: 0,
            graphs_made: 0,
            directories_made: 0,
            cursor: None,
            cursor_at: 0,
            dropped: Vec::new(),
        };
        test.open();
        test
    }

    fn now(&self) -> SystemTime {
        self.clock.now()
    }

    fn store(&self) -> &JobStore {
        self.store.as_ref().unwrap()
    }

    /// Opens the store; everything must be present, and running jobs are recovered.
    fn open(&mut self) {
        let options = common::small_segments().clock(self.clock.clone());
        let store = options.open(&self.directory);
        self.store = Some(store.unwrap_or_else(|error| panic!("it does not open: {error}")));
        let now = self.now();
        let found = self.world.open(now);
        let recovered = self.store().recovered();
        assert_eq!(recovered.opens(), self.world.boot);
        let mut actual: Vec<_> = recovered
            .jobs()
            .map(|job| {
                let job = job.unwrap();
                (
                    job.graph.name().to_owned(),
                    job.job.id().to_string(),
                    job.action,
                )
            })
            .collect();
        let mut found: Vec<_> = found
            .into_iter()
            .map(|(graph, id, action)| (graph.to_owned(), id, action))
            .collect();
        actual.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        found.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        assert_eq!(actual, found);
        self.check_all();
        self.note();
        if common::names_in(&self.directory)
            .iter()
            .any(|name| name.ends_with(".pack"))
        {
            OPENED_WITH_PACKS.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Records where the log ends.
    fn note(&mut self) {
        let (segment, end) = log_end_in(&self.directory);
        let world = self.world.clone();
        self.history.push(Past {
            segment,
            end,
            world,
        });
    }

    /// Drops every handle of the store.
    fn let_go(&mut self) {
        self.dropped.clear();
        self.store = None;
    }

    /// Continues in a new directory with these files.
    fn move_to(&mut self, files: &Files) {
        // The abandoned store ends, whatever it is still doing.
        self.let_go();
        fs::remove_dir_all(&self.directory).unwrap();
        self.directories_made += 1;
        self.directory = self
            .directories
            .path()
            .join(self.directories_made.to_string());
        put_into(&self.directory, files);
        self.open();
    }

    fn crash_at(&mut self, back: usize, part: u16) {
        let mut files = left_in(&self.directory);
        let (segment, end) = log_end(&files);
        let here = self.history[self.dropped_at..]
            .iter()
            .rev()
            .take_while(|past| past.segment == segment);
        // Not the present itself; before the segment's first frame if it goes back that far.
        let from = match here.clone().skip(1).take(back).last() {
            Some(past) => past.end,
            None if self.dropped_at > 0 && here.count() == 1 => end,
            None => SEGMENT_HEADER_BYTES,
        };
        let cut = from + (end - from) * usize::from(part) / usize::from(u16::MAX);
        files.get_mut(&segment).unwrap()[cut..].fill(0);
        // An index is never ahead of the log it was built from.
        files.retain(|name, _| !name.starts_with("index"));
        while self
            .history
            .last()
            .is_some_and(|past| past.segment == segment && past.end > cut)
        {
            self.history.pop();
        }
        self.world = self
            .history
            .last()
            .map(|past| past.world.clone())
            .unwrap_or_default();
        self.move_to(&files);
        if self.history.len() < self.cursor_at {
            self.is_refused();
        }
    }

    /// A cursor that includes state which a crash removed: its position may belong to another job
    /// now.
    fn is_refused(&mut self) {
        let Some((number, states, _, cursor)) = self.cursor.take() else {
            return;
        };
        let mut graphs = self.world.graphs.iter();
        if let Some(graph) = graphs.find(|graph| graph.number == number) {
            let handle = self.store().graph(PROJECT, graph.name).unwrap();
            let error = handle.list(filter(states).cursor(&cursor)).unwrap_err();
            assert!(matches!(error, Error::InvalidCursor { .. }), "{error:?}");
        }
    }

    /// The graph that `pick` selects, if there is any.
    fn graph(&self, pick: Pick) -> Option<(usize, Graph)> {
        let count = self.world.graphs.len();
        let n = usize::from(pick).checked_rem(count)?;
        let graph = self.store().graph(PROJECT, self.world.graphs[n].name);
        Some((n, graph.unwrap()))
    }

    /// The job that `pick` selects: mostly one in the wanted state.
    fn job(&self, pick: Pick, wanted: State) -> Option<(usize, usize, Graph)> {
        let (n, graph) = self.graph(pick)?;
        let jobs = &self.world.graphs[n].jobs;
        let pick = usize::from(pick) / NAMES.len();
        let matching: Vec<usize> = (0..jobs.len())
            .filter(|&job| pick % 8 == 0 || jobs[job].state == wanted)
            .collect();
        let job = matching.get((pick / 8).checked_rem(matching.len())?)?;
        Some((n, *job, graph))
    }

    pub fn do_op(&mut self, op: &Op) {
        self.clock.0.fetch_add(1, Ordering::SeqCst);
        match op {
            Op::CreateGraph(name) => self.create_graph(NAMES[*name]),
            Op::DropGraph(name) => self.drop_graph(NAMES[*name]),
            Op::Submit(graph, content) => self.submit(*graph, content),
            Op::SubmitAll(graph, contents) => self.submit_all(*graph, contents),
            Op::SubmitAs(graph, id, content) => self.submit_as(*graph, *id, content),
            Op::Start(job) => self.start(*job),
            Op::Complete(job, end) => self.complete(*job, end),
            Op::Cancel(job) => self.cancel(*job),
            Op::RunNext(graph, then) => self.claim_next(*graph, then),
            Op::List {
                graph,
                offset,
                limit,
                states,
            } => {
                self.list(*graph, *offset, *limit, *states);
            }
            Op::PageLimit(graph, given) => {
                if let Some((_, graph)) = self.graph(*graph) {
                    let error = graph.list(JobQuery::new().limit(*given)).unwrap_err();
                    let Error::PageLimit { given: told, max } = error else {
                        panic!("{error:?}");
                    };
                    assert_eq!((told, max), (*given, 100_000));
                }
            }
            Op::GoOn => self.go_on(),
            Op::JobById(pick) => self.job_by_id(*pick),
            Op::Find(graph, content) => {
                if let Some((n, graph)) = self.graph(*graph) {
                    check_found(&graph, &self.world.graphs[n], &content.request());
                }
            }
            Op::Count(graph) => self.count(*graph),
            Op::Reopen => {
                self.store().close().unwrap();
                self.let_go();
                self.open();
            }
            Op::ReopenAfterDrop => {
                self.let_go();
                self.open();
            }
            Op::LoseIndex => {
                self.store().close().unwrap();
                self.let_go();
                common::lose_index(&self.directory);
                self.open();
            }
            Op::Kill => {
                let files = left_in(&self.directory);
                self.move_to(&files);
            }
            Op::CrashAt(back, part) => self.crash_at(*back, *part),
        }
        self.note();
    }

    fn create_graph(&mut self, name: &'static str) {
        let created = self.store().create_graph(PROJECT, name);
        if self.world.graphs.iter().any(|graph| graph.name == name) {
            let error = created.unwrap_err();
            assert!(matches!(error, Error::GraphExists { .. }), "{error:?}");
            return;
        }
        created.unwrap();
        self.graphs_made += 1;
        let number = self.graphs_made;
        self.world.graphs.push(GraphWorld {
            number,
            name,
            jobs: Vec::new(),
        });
    }

    fn drop_graph(&mut self, name: &'static str) {
        let handle = self.store().graph(PROJECT, name);
        let dropped = self.store().drop_graph(PROJECT, name);
        if self.world.graphs.iter().any(|graph| graph.name == name) {
            dropped.unwrap();
            let handle = handle.unwrap();
            let error = handle.list(JobQuery::new()).unwrap_err();
            assert!(matches!(error, Error::GraphDropped { .. }), "{error:?}");
            self.dropped.push(handle);
            self.dropped_at = self.history.len();
            self.world.graphs.retain(|graph| graph.name != name);
        } else {
            let error = dropped.unwrap_err();
            assert!(matches!(error, Error::UnknownGraph { .. }), "{error:?}");
        }
    }

    /// Records a job that was just submitted.
    fn record(&mut self, graph: usize, id: &str, (request, wire): (Request, String)) {
        let submitted_at = self.now();
        let all = self.world.graphs.iter().flat_map(|graph| &graph.jobs);
        let in_graph = &self.world.graphs[graph].jobs;
        assert!(
            in_graph.iter().all(|job| job.id != id),
            "{id} is there already"
        );
        let own = id.len() == 55;
        assert!(
            !own || all.into_iter().all(|job| job.id != id),
            "{id} is there already"
        );
        self.world.graphs[graph].jobs.push(Fact {
            id: id.to_owned(),
            request,
            wire: wire.into(),
            state: State::Pending,
            cancelling: false,
            outcome: None,
            boot: None,
            submitted_at,
            started_at: None,
            completed_at: None,
        });
    }

    fn submit(&mut self, graph: Pick, content: &Content) {
        if let Some((n, graph)) = self.graph(graph) {
            let id = graph.submit(content.request().0).unwrap();
            assert_eq!(id.as_str().len(), 55);
            self.record(n, id.as_str(), content.request());
        }
    }

    fn submit_all(&mut self, graph: Pick, contents: &[Content]) {
        if let Some((n, graph)) = self.graph(graph) {
            let requests = contents.iter().map(|content| content.request().0);
            let ids = graph.submit_all(requests).unwrap();
            assert_eq!(ids.len(), contents.len());
            for (id, content) in ids.iter().zip(contents) {
                self.record(n, id.as_str(), content.request());
            }
        }
    }

    fn submit_as(&mut self, pick: Pick, own: Option<u8>, content: &Content) {
        let Some((n, graph)) = self.graph(pick) else {
            return;
        };
        let jobs = &self.world.graphs[n].jobs;
        let some_job = usize::from(pick).checked_rem(jobs.len());
        let id = match (own, some_job) {
            (None, Some(job)) => jobs[job].id.clone(),
            (own, _) => format!("own-{own:?}").replace(['(', ')'], "_"),
        };
        let (request, wire) = content.request();
        let submitted = graph.submit_as(&id, request.clone());
        match jobs.iter().find(|job| job.id == id) {
            None => {
                let submitted = submitted.unwrap();
                assert_eq!(submitted, Submitted::Created(id.parse().unwrap()));
                self.record(n, &id, (request, wire));
            }
            Some(job) if same_request(&job.wire, &wire) => {
                let submitted = submitted.unwrap();
                assert_eq!(submitted, Submitted::AlreadyExists(id.parse().unwrap()));
            }
            Some(_) => {
                let error = submitted.unwrap_err();
                assert!(matches!(error, Error::JobIdTaken { .. }), "{error:?}");
            }
        }
    }

    fn start(&mut self, pick: Pick) {
        let Some((n, job, graph)) = self.job(pick, State::Pending) else {
            return;
        };
        let now = self.now();
        let job = &mut self.world.graphs[n].jobs[job];
        let started = graph.start(&job.id);
        if job.state == State::Pending {
            started.unwrap();
            job.state = State::Running;
            job.started_at = Some(now);
        } else {
            assert_illegal(started.unwrap_err(), job, State::Running);
        }
    }

    fn complete(&mut self, pick: Pick, end: &End) {
        let Some((n, job, graph)) = self.job(pick, State::Running) else {
            return;
        };
        let now = self.now();
        let job = &mut self.world.graphs[n].jobs[job];
        let completed = graph.complete(&job.id, end.outcome());
        match job.state {
            State::Complete => match completed.unwrap() {
                Completion::AlreadyComplete(outcome) => check_outcome(Some(&outcome), job),
                Completion::Done => panic!("{} is complete twice", job.id),
            },
            State::Pending if end.outcome().kind() != OutcomeKind::Cancelled => {
                assert_illegal(completed.unwrap_err(), job, State::Complete);
            }
            _ => {
                assert_eq!(completed.unwrap(), Completion::Done);
                job.finish(end.outcome(), now);
            }
        }
    }

    fn cancel(&mut self, pick: Pick) {
        let wanted = [State::Pending, State::Running][usize::from(pick) % 2];
        let Some((n, job, graph)) = self.job(pick, wanted) else {
            return;
        };
        let now = self.now();
        let job = &mut self.world.graphs[n].jobs[job];
        match (job.state, graph.cancel(&job.id).unwrap()) {
            (State::Pending, Cancellation::CancelledBeforeStart) => {
                job.finish(Outcome::cancelled(), now);
            }
            (State::Running, Cancellation::Requested) => job.cancelling = true,
            (State::Complete, Cancellation::AlreadyComplete(outcome)) => {
                check_outcome(Some(&outcome), job);
            }
            (state, answer) => panic!("{answer:?} for a job that is {state}"),
        }
    }

    fn claim_next(&mut self, pick: Pick, then: &AfterRun) {
        let Some((n, graph)) = self.graph(pick) else {
            return;
        };
        let now = self.now();
        let mut jobs = self.world.graphs[n].jobs.iter();
        let oldest = jobs.position(|job| job.state == State::Pending);
        let (run, job) = match (graph.claim_next().unwrap(), oldest) {
            (Some(run), Some(job)) => (run, job),
            (None, None) => return,
            (run, oldest) => panic!("{run:?} was claimed, not job {oldest:?}"),
        };
        let fact = self.fact(n, job);
        assert_eq!(run.id().as_str(), fact.id);
        assert_eq!(run.request().as_json(), &*fact.wire);
        assert!(!run.cancel_requested());
        fact.state = State::Running;
        fact.started_at = Some(now);
        // Each step is a separate commit, after which a crash may happen.
        self.note();
        match then {
            AfterRun::Complete(end) => {
                assert_eq!(run.complete(end.outcome()).unwrap(), Completion::Done);
                self.fact(n, job).finish(end.outcome(), now);
            }
            AfterRun::CancelAndComplete => {
                assert_eq!(graph.cancel(run.id()).unwrap(), Cancellation::Requested);
                assert!(run.cancel_requested());
                self.fact(n, job).cancelling = true;
                self.note();
                run.complete(Outcome::cancelled()).unwrap();
                self.fact(n, job).finish(Outcome::cancelled(), now);
            }
            AfterRun::Drop => {
                drop(run);
                self.fact(n, job).finish(Outcome::interrupted(), now);
            }
            AfterRun::Leave => run.detach(),
        }
    }

    fn fact(&mut self, graph: usize, job: usize) -> &mut Fact {
        &mut self.world.graphs[graph].jobs[job]
    }

    fn list(&mut self, graph: Pick, offset: Pick, limit: Pick, states: u8) {
        let Some((n, graph)) = self.graph(graph) else {
            return;
        };
        let world = &self.world.graphs[n];
        let room = world.jobs.len() + 3;
        let offset = usize::from(offset) % room;
        let limit = 1 + usize::from(limit) % room;
        let asked = filter(states).offset(offset as u64).limit(limit as u64);
        let next = check_page(&graph, asked, world, states, (0, offset), limit);
        self.cursor = next.map(|(next, cursor)| (world.number, states, next, cursor));
        self.cursor_at = self.history.len();
    }

    /// A cursor continues where its page ended, whatever happened since.
    fn go_on(&mut self) {
        let Some((number, states, from, cursor)) = self.cursor.take() else {
            return;
        };
        for graph in &self.world.graphs {
            let handle = self.store().graph(PROJECT, graph.name).unwrap();
            let asked = filter(states).limit(5).cursor(&cursor);
            if graph.number == number {
                let next = check_page(&handle, asked, graph, states, (from, 0), 5);
                self.cursor = next.map(|(next, cursor)| (number, states, next, cursor));
                self.cursor_at = self.history.len();
            } else {
                let error = handle.list(asked).unwrap_err();
                assert!(matches!(error, Error::InvalidCursor { .. }), "{error:?}");
            }
        }
    }

    fn job_by_id(&self, pick: Pick) {
        let Some((n, graph)) = self.graph(pick) else {
            return;
        };
        let jobs = &self.world.graphs[n].jobs;
        if let Some(job) = usize::from(pick).checked_rem(jobs.len()) {
            let found = graph.job(&jobs[job].id).unwrap();
            jobs[job].check(&found.expect("the job is there"), job);
        }
        assert!(graph.job("no-such-job").unwrap().is_none());
        let error = graph.start("no-such-job").unwrap_err();
        assert!(matches!(error, Error::UnknownJob { .. }), "{error:?}");
    }

    fn count(&self, pick: Pick) {
        if let Some((n, graph)) = self.graph(pick) {
            for state in State::ALL {
                let jobs = self.world.graphs[n].jobs.iter();
                let there = jobs.filter(|job| job.state == state).count();
                assert_eq!(graph.count(state).unwrap(), there as u64);
            }
        }
    }

    /// Checks everything, in every way.
    pub fn check_all(&self) {
        let graphs = self.store().graphs().unwrap();
        let names: Vec<&str> = graphs.iter().map(Graph::name).collect();
        let expected: Vec<&str> = self.world.graphs.iter().map(|graph| graph.name).collect();
        assert_eq!(names, expected);
        for (n, (graph, world)) in graphs.iter().zip(&self.world.graphs).enumerate() {
            check_page(graph, JobQuery::new(), world, 0, (0, 0), 100_000);
            self.count(n as Pick);
            for (sequence, job) in world.jobs.iter().enumerate().step_by(4) {
                let found = graph.job(&job.id).unwrap();
                job.check(&found.expect("the job is there"), sequence);
                check_found(graph, world, &(job.request.clone(), job.wire.to_string()));
            }
        }
    }
}
