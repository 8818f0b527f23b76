//! The process whose calls fail: a few operations of every kind, one after the other.
//!
//! Contains the operations, and the errors that they may return. Guarantee: an error says whether
//! anything was recorded. An operation that recorded nothing succeeds once the fault is over. After
//! a commit with an unknown outcome, the store is read-only until it is reopened. Reads always
//! work.

use std::io::{IoSlice, Write};
use std::time::{Duration, Instant};

use jobstore::{Cancellation, Completion, Error, Graph, JobId, JobQuery, JobStore, State};
use jobstore_trials::line::{Act, Answer, Line};
use jobstore_trials::made;
use jobstore_trials::plan::{OWN, PROJECT, SCRAP, letter, options};
use jobstore_trials::random::Random;

use crate::setting::{May, Setting};

/// How many times an operation can fail in a row, because each thread can meet the fault once.
const TRIES: u32 = 6;

/// The expected state of a job.
struct Known {
    graph: String,
    key: String,
    id: JobId,
    /// `None` after a commit with an unknown outcome.
    state: Option<State>,
}

struct Driver {
    setting: Setting,
    random: Random,
    calls: u64,
    made: u64,
    known: Vec<Known>,
    /// Whether a commit in this session has an unknown outcome.
    unknown: bool,
    failures: u64,
}

/// Runs until the end of the last session.
pub fn run(setting: Setting) -> Result<(), String> {
    if let Some(bytes) = setting.file_bytes_max {
        let limit = rustix::process::Rlimit {
            current: Some(bytes),
            maximum: Some(bytes),
        };
        rustix::process::setrlimit(rustix::process::Resource::Fsize, limit)
            .map_err(|e| e.to_string())?;
    }
    let mut driver = Driver {
        random: Random(setting.round.wrapping_mul(77)),
        setting,
        calls: 0,
        made: 0,
        known: Vec::new(),
        unknown: false,
        failures: 0,
    };
    for session in 1..=driver.setting.sessions {
        let Some(store) = driver.open()? else {
            return Ok(());
        };
        driver.work(&store)?;
        if driver.setting.dies && session == driver.setting.sessions {
            std::process::exit(0);
        }
        driver.close(&store)?;
    }
    Ok(())
}

/// Writes a line to standard output. Uses `writev`, which the store does not use, so that this call
/// does not fail.
fn say(line: &Line) {
    let text = format!("{line}\n");
    let out = std::io::stdout();
    let mut out = std::os::fd::AsFd::as_fd(&out)
        .try_clone_to_owned()
        .map(std::fs::File::from);
    let said = out
        .as_mut()
        .map(|out| out.write_vectored(&[IoSlice::new(text.as_bytes())]));
    // If the output is incomplete, the run cannot be judged.
    if !matches!(said, Ok(Ok(len)) if len == text.len()) {
        std::process::exit(4);
    }
}

impl Driver {
    fn tried(&mut self, act: &Act) -> String {
        self.calls += 1;
        let call = format!("{}.{}", self.setting.round, self.calls);
        say(&Line::Tried {
            call: call.clone(),
            act: act.clone(),
        });
        call
    }

    /// Makes a write. `None` if it failed in an acceptable way.
    fn call<T>(
        &mut self,
        store: &JobStore,
        act: &Act,
        mut call: impl FnMut() -> Result<T, Error>,
        answer: impl Fn(&T) -> Answer,
    ) -> Result<Option<T>, String> {
        for _ in 0..TRIES {
            let name = self.tried(act);
            let was_unknown = self.unknown;
            match call() {
                Ok(_) if was_unknown => {
                    return Err(format!(
                        "{act} succeeded after a commit with an unknown outcome"
                    ));
                }
                Ok(value) => {
                    let answer = answer(&value);
                    say(&Line::Done { call: name, answer });
                    return Ok(Some(value));
                }
                Err(error) => {
                    let claim = matches!(act, Act::Claim { .. });
                    let unknown = matches!(error, Error::CommitUnknown { .. });
                    say(&Line::Failed {
                        call: name,
                        nothing: !unknown && !claim,
                    });
                    self.judge(act, &error)?;
                    self.reads(store)?;
                    if self.unknown || (self.setting.lasting && self.setting.ballast.is_none()) {
                        return Ok(None);
                    }
                }
            }
        }
        Err(format!(
            "{act} does not succeed, although the fault is over"
        ))
    }

    /// Checks whether an error is acceptable here.
    fn judge(&mut self, act: &Act, error: &Error) -> Result<(), String> {
        self.failures += 1;
        let may = self.setting.may;
        let fits = match error {
            Error::CommitUnknown { .. } => !self.unknown && may != May::Nothing,
            Error::ReadOnly { .. } => self.unknown,
            Error::DiskFull { .. } => !self.unknown && matches!(may, May::DiskFull | May::Either),
            Error::Io { .. } => !self.unknown && matches!(may, May::Io | May::Either),
            Error::TooManyOpenFiles { .. } => !self.unknown && may == May::Handles,
            // sled may wait forever for one of its own writes that failed. The close then abandons
            // the index at its deadline. The log was closed, and contains everything.
            Error::IndexStuck { .. } => may != May::Nothing && matches!(act, Act::Close),
            _ => false,
        };
        if !fits {
            return Err(format!("{act}: the error {error:?}"));
        }
        if let Error::CommitUnknown { ids, .. } = error {
            self.unknown = true;
            let of_commit = |known: &&mut Known| ids.contains(&known.id);
            let touched = self.known.iter_mut().filter(of_commit);
            touched.for_each(|known| known.state = None);
        }
        if let Some(ballast) = self.setting.ballast.take() {
            std::fs::remove_file(ballast).map_err(|e| format!("the ballast: {e}"))?;
            // From now on, there is space.
            self.setting.lasting = false;
        }
        Ok(())
    }

    fn open(&mut self) -> Result<Option<JobStore>, String> {
        self.unknown = false;
        let act = Act::Open { recovery: 'I' };
        let mut errors = Vec::new();
        for _ in 0..TRIES {
            let call = self.tried(&act);
            match options('I').open(&self.setting.dir).and_then(|store| {
                say_found(&store)?;
                Ok(store)
            }) {
                Ok(store) => {
                    let answer = Answer::Opened {
                        boot: store.opens(),
                    };
                    say(&Line::Done { call, answer });
                    for known in &mut self.known {
                        known.state = known.state.map(|state| match state {
                            State::Running => State::Complete,
                            state => state,
                        });
                    }
                    return Ok(Some(store));
                }
                Err(error) => {
                    say(&Line::Failed {
                        call,
                        nothing: false,
                    });
                    // An open that failed may have been recorded.
                    self.judge(&act, &error)?;
                    self.unknown = false;
                    errors.push(error.to_string());
                    if self.setting.lasting {
                        return Ok(None);
                    }
                }
            }
        }
        Err(format!(
            "the store cannot be opened, although the fault is over: {errors:?}"
        ))
    }

    fn close(&mut self, store: &JobStore) -> Result<(), String> {
        let call = self.tried(&Act::Close);
        match store.close() {
            Ok(()) if self.unknown => {
                Err("a clean close after a commit with an unknown outcome".to_owned())
            }
            Ok(()) => {
                say(&Line::Done {
                    call,
                    answer: Answer::Done,
                });
                Ok(())
            }
            Err(error) => {
                say(&Line::Failed {
                    call,
                    nothing: false,
                });
                self.judge(&Act::Close, &error)
            }
        }
    }

    fn work(&mut self, store: &JobStore) -> Result<(), String> {
        let mut graphs = Vec::new();
        for name in OWN {
            let graph = match store.graph(PROJECT, name) {
                Ok(graph) => Some(graph),
                Err(_) => self.create(store, name)?,
            };
            graphs.extend(graph);
        }
        let Some(first) = graphs.first().cloned() else {
            return Ok(());
        };
        for n in 0..8 {
            let graph = graphs[n % graphs.len()].clone();
            self.submit(store, &graph, 1, n % 2 == 1)?;
            self.submit(store, &graph, 6, false)?;
            if n == 3 {
                self.pause();
            }
            for step in 0..3 {
                let of_graph = |known: &Known| known.graph == graph.name();
                let pending = |known: &Known| known.state == Some(State::Pending);
                let mut these = self.known.iter();
                let Some(n) = these.position(|known| of_graph(known) && pending(known)) else {
                    break;
                };
                if !self.start(store, &graph, n)? {
                    break;
                }
                match step {
                    0 => self.complete(store, &graph, n)?,
                    1 => self.cancel(store, &graph, n)?,
                    // The job stays running.
                    _ => {}
                }
            }
        }
        self.claim(store, &first)?;
        let scrap = format!("{SCRAP}{}-{}", self.setting.round, self.calls);
        if let Some(graph) = self.create(store, &scrap)? {
            self.submit(store, &graph, 3, false)?;
            self.known.retain(|known| known.graph != scrap);
            let act = Act::Drop {
                graph: scrap.clone(),
            };
            let drop = || store.drop_graph(PROJECT, &scrap);
            self.call(store, &act, drop, |()| Answer::Done)?;
        }
        self.reads(store)?;
        self.pause();
        Ok(())
    }

    fn create(&mut self, store: &JobStore, name: &str) -> Result<Option<Graph>, String> {
        let act = Act::Create {
            graph: name.to_owned(),
        };
        self.call(
            store,
            &act,
            || store.create_graph(PROJECT, name),
            |graph| Answer::Created {
                number: graph.number(),
            },
        )
    }

    fn submit(
        &mut self,
        store: &JobStore,
        graph: &Graph,
        count: usize,
        own_id: bool,
    ) -> Result<(), String> {
        let jobs: Vec<(String, u64)> = (0..count)
            .map(|_| {
                self.made += 1;
                let key = format!("r{}t0n{}", self.setting.round, self.made);
                (key, self.random.any())
            })
            .collect();
        let act = Act::Submit {
            graph: graph.name().to_owned(),
            own_id,
            jobs: jobs.clone(),
        };
        let requests: Vec<_> = jobs.iter().map(|(key, s)| made::request(key, *s)).collect();
        let submit = || match (own_id, &requests[..]) {
            (true, [one]) => Ok(vec![graph.submit_as(&jobs[0].0, one.clone())?.id().clone()]),
            (false, [one]) => Ok(vec![graph.submit(one.clone())?]),
            (_, all) => graph.submit_all(all.to_vec()),
        };
        let ids = self.call(store, &act, submit, |ids| Answer::Submitted {
            ids: ids.iter().map(JobId::to_string).collect(),
        })?;
        for ((key, _), id) in jobs.into_iter().zip(ids.into_iter().flatten()) {
            self.known.push(Known {
                graph: graph.name().to_owned(),
                key,
                id,
                state: Some(State::Pending),
            });
        }
        Ok(())
    }

    fn start(&mut self, store: &JobStore, graph: &Graph, n: usize) -> Result<bool, String> {
        let (key, id) = (self.known[n].key.clone(), self.known[n].id.clone());
        let act = Act::Start {
            graph: graph.name().to_owned(),
            key,
        };
        let started = self.call(store, &act, || graph.start(&id), |()| Answer::Done)?;
        if started.is_some() {
            self.known[n].state = Some(State::Running);
        }
        Ok(started.is_some())
    }

    fn complete(&mut self, store: &JobStore, graph: &Graph, n: usize) -> Result<(), String> {
        let (key, id) = (self.known[n].key.clone(), self.known[n].id.clone());
        let outcome = self.random.any();
        let act = Act::Complete {
            graph: graph.name().to_owned(),
            key,
            outcome,
        };
        let complete = || graph.complete(&id, made::outcome(outcome));
        let done = self.call(store, &act, complete, |done| match done {
            Completion::Done => Answer::Done,
            Completion::AlreadyComplete(_) => Answer::Already,
        })?;
        if done.is_some() {
            self.known[n].state = Some(State::Complete);
        }
        Ok(())
    }

    /// Requests the cancellation of a running job.
    fn cancel(&mut self, store: &JobStore, graph: &Graph, n: usize) -> Result<(), String> {
        let (key, id) = (self.known[n].key.clone(), self.known[n].id.clone());
        let act = Act::Cancel {
            graph: graph.name().to_owned(),
            key,
        };
        let cancel = || graph.cancel(&id);
        self.call(store, &act, cancel, |cancelled| match cancelled {
            Cancellation::CancelledBeforeStart => Answer::Done,
            Cancellation::Requested => Answer::Requested,
            Cancellation::AlreadyComplete(_) => Answer::Already,
        })?;
        Ok(())
    }

    fn claim(&mut self, store: &JobStore, graph: &Graph) -> Result<(), String> {
        let act = Act::Claim {
            graph: graph.name().to_owned(),
        };
        let claim = || {
            let run = graph.claim_next()?;
            Ok(run.map(|run| {
                let claimed = (run.request().command().to_owned(), run.id().clone());
                run.detach();
                claimed
            }))
        };
        let claimed = self.call(store, &act, claim, |claimed| Answer::Claimed {
            key: claimed.as_ref().map(|(key, _)| key.clone()),
        })?;
        if let Some((_, id)) = claimed.flatten() {
            let mut these = self.known.iter_mut();
            if let Some(known) = these.find(|known| known.id == id) {
                known.state = Some(State::Running);
            }
        } else if self.unknown {
            // The claim may have taken any pending job.
            let pending = |known: &&mut Known| known.state == Some(State::Pending);
            self.known
                .iter_mut()
                .filter(pending)
                .for_each(|known| known.state = None);
        }
        Ok(())
    }

    /// Checks that everything acknowledged is listed as acknowledged.
    fn reads(&self, store: &JobStore) -> Result<(), String> {
        let graphs = store.graphs().map_err(|e| format!("graphs(): {e}"))?;
        for graph in graphs {
            let failed = |e: Error| format!("a list of {} failed: {e}", graph.name());
            let json = graph
                .list(JobQuery::new())
                .map_err(failed)?
                .to_json()
                .map_err(failed)?;
            let json = String::from_utf8_lossy(&json);
            let these = self
                .known
                .iter()
                .filter(|known| known.graph == graph.name());
            for known in these {
                let found = format!(r#"{{"jobId":"{}","status":""#, known.id);
                let at = json
                    .find(&found)
                    .ok_or_else(|| format!("{} is not listed", known.key))?;
                let state = known.state.map_or("", State::as_str);
                if !json[at + found.len()..].starts_with(state) {
                    return Err(format!("{} is not listed as {state}", known.key));
                }
            }
        }
        Ok(())
    }

    /// Gives the store's threads time to work, so that their calls also fail. A short time is
    /// enough, and no check depends on it.
    fn pause(&self) {
        let deadline = Instant::now() + Duration::from_millis(150);
        while Instant::now() < deadline {
            let names = std::fs::read_dir(&self.setting.dir);
            let segments = names.into_iter().flatten().flatten().filter(|entry| {
                let name = entry.file_name();
                let name = name.to_string_lossy();
                name.ends_with(".segment") || name.ends_with(".aside")
            });
            if segments.count() <= 2 {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

fn say_found(store: &JobStore) -> Result<(), Error> {
    for found in store.recovered().jobs() {
        let found = found?;
        say(&Line::Found {
            boot: store.opens(),
            graph: found.graph.name().to_owned(),
            key: found.job.request().command().to_owned(),
            action: letter(found.action),
        });
    }
    Ok(())
}
