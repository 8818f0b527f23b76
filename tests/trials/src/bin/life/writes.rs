//! Writes in a life, and their expected results.

use std::rc::Rc;

use jobstore::{
    Cancellation, Completion, Error, Graph, JobQuery, OnBadLine, OutcomeKind, PurgeReason, State,
    Submitted,
};

use crate::life::{Finding, KeptRun, Life, Ran, rc};
use crate::model::{Effect, Job, Name};
use crate::observed::{NAMES, PROJECTS, learn_ids, read_graph};
use crate::operations::{After, Look, Pick};
use crate::policies::{Due, Policy};
use crate::reads::list_of;
use crate::requests::{Content, End, OutcomeFact};
use crate::secrets::masked_detail;

impl Life {
    pub fn create(&mut self, pick: Pick) -> Ran {
        let name = (
            usize::from(pick) % PROJECTS.len(),
            usize::from(pick / 2) % NAMES.len(),
        );
        let there = self.model.graphs.contains_key(&name);
        match self.store().create_graph(PROJECTS[name.0], NAMES[name.1]) {
            Ok(_) if !there => self.acknowledge(Effect::Create(name)),
            Err(Error::GraphExists { .. }) if there => {}
            Ok(_) => return Err(format!("graph {name:?} was created twice")),
            Err(error) => return self.refused("create", &error, Effect::Create(name)),
        }
        Ok(true)
    }

    pub fn drop_graph(&mut self, pick: Pick) -> Ran {
        let Some((name, graph)) = self.pick_graph(pick) else {
            return Ok(false);
        };
        match self.store().drop_graph(PROJECTS[name.0], NAMES[name.1]) {
            Ok(()) => {
                self.acknowledge(Effect::Drop(name));
                self.old.push(graph);
            }
            Err(error) => return self.refused("drop", &error, Effect::Drop(name)),
        }
        Ok(true)
    }

    /// Returns an outcome as the store keeps it.
    pub fn kept(&self, mut outcome: OutcomeFact) -> OutcomeFact {
        let lost = self.setup.secrets.lost();
        outcome.detail = outcome.detail.map(|detail| masked_detail(&detail, lost));
        outcome
    }

    fn new_job(&self, id: Option<Rc<str>>, content: Content) -> Job {
        Job::new(id, content, self.now(), self.setup.secrets)
    }

    pub fn submit(&mut self, pick: Pick, content: Content, tries: bool) -> Ran {
        let Some((name, graph)) = self.pick_graph(pick) else {
            return Ok(false);
        };
        let submitted = match tries {
            false => graph.submit(content.request()),
            true => graph.try_submit(content.request()).and_then(|t| t.wait()),
        };
        match submitted {
            Ok(id) => {
                let job = self.new_job(Some(rc(id.as_str())), content);
                self.acknowledge(Effect::Submit(name, vec![job]));
                Ok(true)
            }
            Err(error) => {
                let job = self.new_job(None, content);
                self.refused("submit", &error, Effect::Submit(name, vec![job]))
            }
        }
    }

    pub fn submit_all(&mut self, pick: Pick, contents: &[Content]) -> Ran {
        let Some((name, graph)) = self.pick_graph(pick) else {
            return Ok(false);
        };
        match graph.submit_all(contents.iter().map(|c| c.request())) {
            Ok(ids) if ids.len() == contents.len() => {
                let jobs = ids.iter().zip(contents);
                let jobs = jobs.map(|(id, &c)| self.new_job(Some(rc(id.as_str())), c));
                let jobs: Vec<Job> = jobs.collect();
                if !jobs.is_empty() {
                    self.acknowledge(Effect::Submit(name, jobs));
                }
                Ok(true)
            }
            Ok(ids) => Err(format!("{} ids for {} requests", ids.len(), contents.len())),
            Err(error) => {
                let jobs = contents.iter().map(|&c| self.new_job(None, c)).collect();
                self.refused("submit_all", &error, Effect::Submit(name, jobs))
            }
        }
    }

    /// Queues several writes together. Some of them are dropped before their results are read.
    pub fn queue_burst(&mut self, pick: Pick, contents: &[Content], drops: bool) -> Ran {
        let Some((name, graph)) = self.pick_graph(pick) else {
            return Ok(false);
        };
        let nonblocking = graph.nonblocking();
        let writes: Vec<_> = contents
            .iter()
            .map(|c| nonblocking.submit(c.request()))
            .collect();
        self.step(jobstore::simulation::Step::Commit);
        for (n, (write, &content)) in writes.into_iter().zip(contents).enumerate() {
            if drops && n % 3 == 0 && !self.is_excused() {
                drop(write);
                // The write is recorded nevertheless, and the next list shows the job's id.
                let job = self.new_job(None, content);
                self.acknowledge(Effect::Submit(name, vec![job]));
                continue;
            }
            match write.wait() {
                Ok(id) => {
                    let job = self.new_job(Some(rc(id.as_str())), content);
                    self.acknowledge(Effect::Submit(name, vec![job]));
                }
                Err(error) => {
                    let job = self.new_job(None, content);
                    self.refused("a write", &error, Effect::Submit(name, vec![job]))?;
                }
            }
        }
        self.learn_ids(name)?;
        Ok(true)
    }

    /// Reads the ids of jobs whose pending writes were dropped.
    fn learn_ids(&mut self, name: Name) -> Result<(), Finding> {
        let unknown = |job: &Job| job.id.is_none();
        if !self.model.graphs[&name].jobs.values().any(unknown) || self.disk.is_dead() {
            return Ok(());
        }
        let Some(graph) = self.handle(name) else {
            return Ok(());
        };
        let seen = match read_graph(&graph) {
            Ok(seen) => seen,
            Err(error) => return self.excuse("list", &error).map(|_| ()),
        };
        if let Some(graph) = self.model.graphs.get_mut(&name) {
            learn_ids(graph, &seen);
        }
        Ok(())
    }

    pub fn submit_as(&mut self, pick: Pick, id: u8, content: Content) -> Ran {
        let Some((name, graph)) = self.pick_graph(pick) else {
            return Ok(false);
        };
        let model = &self.model.graphs[&name];
        // Sometimes, this is the id of a job whose id was generated.
        let own = model
            .jobs
            .values()
            .nth(usize::from(id))
            .and_then(|job| job.id.clone());
        let id: Rc<str> = match (id % 5, own) {
            (0, Some(own)) => own,
            _ => format!("own-{id}").into(),
        };
        let there = model.with_id(&id).map(|s| model.jobs[&s].masked());
        let masked = content.text(self.setup.secrets.keys);
        let gone = model.gone.values().rev().find(|gone| gone.id == id);
        let may_be_purged = gone.is_some_and(|gone| !gone.forgotten);
        let must_be_purged = gone.is_some_and(|gone| self.must_have_tombstone(name, gone));
        let submitted = graph.submit_as(&*id, content.request());
        match (submitted, there) {
            (Ok(Submitted::Created(_)), None) if !must_be_purged => {
                let job = self.new_job(Some(id), content);
                self.acknowledge(Effect::Submit(name, vec![job]));
            }
            (Ok(Submitted::AlreadyExists(_)), Some(known)) if known == masked => {}
            (Err(Error::JobIdTaken { .. }), Some(known)) if known != masked => {}
            (Err(Error::JobIdPurged { .. }), None) if may_be_purged => {}
            (Err(error), _) => {
                let job = self.new_job(Some(id), content);
                let effect = Effect::Submit(name, vec![job]);
                return self.refused("submit_as", &error, effect);
            }
            (Ok(answer), there) => {
                return Err(format!(
                    "submit_as {id} returned {answer:?}; existing: {there:?}, purged: {gone:?}"
                ));
            }
        }
        Ok(true)
    }

    pub fn submit_once(&mut self, pick: Pick, key: u8, content: Content) -> Ran {
        let Some((name, graph)) = self.pick_graph(pick) else {
            return Ok(false);
        };
        let key: Rc<str> = format!("click {key}").into();
        let model = &self.model.graphs[&name];
        let owner = model
            .jobs
            .values()
            .find(|job| job.key.as_ref() == Some(&key));
        let owner = owner.cloned();
        let gone = model
            .gone
            .values()
            .rev()
            .find(|g| g.key.as_ref() == Some(&key));
        let gone = gone.cloned();
        let must_be_purged = gone
            .as_ref()
            .is_some_and(|g| self.must_have_tombstone(name, g));
        let with_key = |id| {
            let mut job = self.new_job(id, content);
            job.key = Some(key.clone());
            job
        };
        let masked = content.text(self.setup.secrets.keys);
        match (graph.submit_once(&*key, content.request()), owner) {
            (Ok(Submitted::Created(id)), None) if !must_be_purged => {
                let job = with_key(Some(rc(id.as_str())));
                self.acknowledge(Effect::Submit(name, vec![job]));
            }
            (Ok(Submitted::AlreadyExists(id)), Some(job))
                if job.masked() == masked
                    && job.id.as_deref().is_none_or(|known| known == id.as_str()) => {}
            (Err(Error::KeyTaken { .. }), Some(job)) if job.masked() != masked => {}
            (Err(Error::KeyPurged), None) if gone.is_some() => {}
            (Err(error), _) => {
                let effect = Effect::Submit(name, vec![with_key(None)]);
                return self.refused("submit_once", &error, effect);
            }
            (Ok(answer), owner) => {
                return Err(format!(
                    "submit_once {key:?} returned {answer:?}; owner: {owner:?}, purged: {gone:?}"
                ));
            }
        }
        Ok(true)
    }

    pub fn start(&mut self, pick: Pick) -> Ran {
        let Some((name, graph, sequence, job)) = self.pick_job(pick, State::Pending) else {
            return Ok(false);
        };
        let Some(id) = job.id.clone() else {
            return Ok(false);
        };
        match (graph.start(&*id), job.state) {
            (Ok(()), State::Pending) => self.acknowledge(Effect::Start(name, sequence)),
            (Err(Error::IllegalTransition { .. }), State::Running | State::Complete) => {}
            (Err(error), _) => {
                return self.refused("start", &error, Effect::Start(name, sequence));
            }
            (Ok(()), state) => return Err(format!("a job that is {state} was started")),
        }
        Ok(true)
    }

    pub fn complete(&mut self, pick: Pick, end: End) -> Ran {
        let Some((name, graph, sequence, job)) = self.pick_job(pick, State::Running) else {
            return Ok(false);
        };
        self.complete_one(name, &graph, (sequence, &job), end)
    }

    pub fn complete_one(
        &mut self,
        name: Name,
        graph: &Graph,
        (sequence, job): (u64, &Job),
        end: End,
    ) -> Ran {
        let Some(id) = job.id.clone() else {
            return Ok(false);
        };
        let outcome = self.kept(OutcomeFact::of(&end.outcome()));
        let effect = Effect::Complete(name, sequence, outcome.clone(), self.now());
        let may = job.state == State::Running
            || (job.state == State::Pending && outcome.kind == OutcomeKind::Cancelled);
        match graph.complete(&*id, end.outcome()) {
            Ok(Completion::Done) if may => self.acknowledge(effect),
            Ok(Completion::AlreadyComplete(known)) if job.state == State::Complete => {
                let known = OutcomeFact::of(&known);
                if !job.outcome.as_ref().is_some_and(|o| known.is(o)) {
                    return Err(format!(
                        "job {id} ended as {known:?}, not {:?}",
                        job.outcome
                    ));
                }
            }
            Err(Error::IllegalTransition { .. }) if job.state == State::Pending => {}
            Err(Error::OutcomeTooLarge { .. }) if end.is_long() => {}
            Err(error) => return self.refused("complete", &error, effect),
            Ok(done) => return Err(format!("a job that is {} completed: {done:?}", job.state)),
        }
        Ok(true)
    }

    /// Starts and completes many of a graph's jobs.
    pub fn complete_many(&mut self, pick: Pick, count: u16, end: End) -> Ran {
        let Some((name, graph)) = self.pick_graph(pick) else {
            return Ok(false);
        };
        let open = self.model.graphs[&name].jobs.iter();
        let open = open.filter(|(_, job)| job.state != State::Complete);
        let open: Vec<u64> = open.map(|(&s, _)| s).take(usize::from(count)).collect();
        for sequence in &open {
            let Some(job) = self.model.graphs[&name].jobs.get(sequence).cloned() else {
                continue;
            };
            let (State::Pending, Some(id)) = (job.state, job.id.clone()) else {
                self.complete_one(name, &graph, (*sequence, &job), end)?;
                continue;
            };
            match graph.start(&*id) {
                Ok(()) => self.acknowledge(Effect::Start(name, *sequence)),
                Err(error) => {
                    self.refused("start", &error, Effect::Start(name, *sequence))?;
                    break;
                }
            }
            let mut small = end;
            small.detail %= 400;
            let job = self.model.graphs[&name].jobs[sequence].clone();
            self.complete_one(name, &graph, (*sequence, &job), small)?;
            if self.is_excused() {
                break;
            }
        }
        Ok(!open.is_empty())
    }

    pub fn cancel(&mut self, pick: Pick) -> Ran {
        let wanted = [State::Pending, State::Running][usize::from(pick) % 2];
        let Some((name, graph, sequence, job)) = self.pick_job(pick, wanted) else {
            return Ok(false);
        };
        self.cancel_one(name, &graph, sequence, &job)
    }

    pub fn cancel_one(&mut self, name: Name, graph: &Graph, sequence: u64, job: &Job) -> Ran {
        let Some(id) = job.id.clone() else {
            return Ok(false);
        };
        let cancelled = OutcomeFact::plain(OutcomeKind::Cancelled, None);
        let effect = match job.state {
            State::Running => Effect::CancelRequested(name, sequence),
            _ => Effect::Complete(name, sequence, cancelled, self.now()),
        };
        match (graph.cancel(&*id), job.state) {
            (Ok(Cancellation::CancelledBeforeStart), State::Pending) => self.acknowledge(effect),
            (Ok(Cancellation::Requested), State::Running) => {
                if !job.cancelling {
                    self.acknowledge(effect);
                }
            }
            (Ok(Cancellation::AlreadyComplete(_)), State::Complete) => {}
            (Err(error), State::Complete) => return self.excuse("cancel", &error),
            (Err(error), _) => return self.refused("cancel", &error, effect),
            (Ok(answer), state) => return Err(format!("{answer:?} of a job that is {state}")),
        }
        Ok(true)
    }

    pub fn cancel_many(&mut self, pick: Pick, count: u16) -> Ran {
        let Some((name, graph)) = self.pick_graph(pick) else {
            return Ok(false);
        };
        let pending = self.model.graphs[&name].jobs.iter();
        let pending = pending.filter(|(_, job)| job.state == State::Pending);
        let pending: Vec<(u64, Job)> = pending
            .map(|(&s, job)| (s, job.clone()))
            .take(usize::from(count))
            .collect();
        for (sequence, job) in &pending {
            self.cancel_one(name, &graph, *sequence, job)?;
            if self.is_excused() {
                break;
            }
        }
        Ok(!pending.is_empty())
    }

    // Runs.

    pub fn claim_next(&mut self, pick: Pick, after: &After) -> Ran {
        let Some((name, graph)) = self.pick_graph(pick) else {
            return Ok(false);
        };
        let oldest = self.oldest_pending(name);
        let claimed = graph.claim_next();
        self.claimed(name, claimed, oldest, after)
    }

    /// A job was claimed but could not be read. It is interrupted, or the claim was not recorded.
    pub fn abandoned(&mut self, name: Name, sequence: u64) -> Ran {
        if self.disk.is_dead() || self.failed {
            return Ok(true);
        }
        self.step(jobstore::simulation::Step::Commit);
        self.resync(name, sequence)
    }

    /// Reads the state of a job into the model, because a fault may have left it in one of several
    /// states.
    fn resync(&mut self, name: Name, sequence: u64) -> Ran {
        let job = &self.model.graphs[&name].jobs[&sequence];
        let (Some(graph), Some(id)) = (self.handle(name), job.id.clone()) else {
            return Ok(true);
        };
        let before = job.state;
        let now = self.now();
        let interrupted = OutcomeFact::plain(OutcomeKind::Interrupted, None);
        let interrupted = Effect::Complete(name, sequence, interrupted, now);
        match graph.job(&*id) {
            Ok(Some(seen)) => match (before, seen.state(), seen.outcome().map(OutcomeFact::of)) {
                (State::Pending, State::Running, _) => {
                    self.acknowledge(Effect::Start(name, sequence));
                    if self.is_read_only() {
                        self.in_doubt(interrupted);
                    }
                }
                (State::Pending, State::Complete, Some(outcome)) => {
                    self.acknowledge(Effect::Start(name, sequence));
                    self.acknowledge(Effect::Complete(name, sequence, outcome, now));
                }
                _ => {}
            },
            Ok(None) => return Err(format!("job {id} is missing")),
            Err(error) => {
                self.excuse("look at a job", &error)?;
                if before == State::Pending {
                    self.in_doubt(Effect::Start(name, sequence));
                    self.in_doubt(interrupted);
                    self.is_unreadable = true;
                }
            }
        }
        Ok(true)
    }

    pub fn started(
        &mut self,
        name: Name,
        sequence: u64,
        run: jobstore::Run,
        job: &Job,
        after: &After,
    ) -> Ran {
        self.acknowledge(Effect::Start(name, sequence));
        if run.request().as_json() != job.real() {
            return Err(format!("the request of run {} differs", run.id()));
        }
        self.go_on(name, sequence, run, after)
    }

    fn go_on(&mut self, name: Name, sequence: u64, run: jobstore::Run, after: &After) -> Ran {
        run.progress(40, "under way");
        let kept = KeptRun {
            run,
            name,
            serial: self.serial(name),
            sequence,
        };
        match after {
            After::Keep => {
                self.runs.push(kept);
                Ok(true)
            }
            After::Leave => {
                kept.run.detach();
                Ok(true)
            }
            After::Requeue => self.requeue(kept),
            After::Drop => self.end_run(kept, None),
            After::Complete(end) => self.end_run(kept, Some(*end)),
        }
    }

    pub fn run(&mut self, pick: Pick, after: &After) -> Ran {
        let Some((name, graph, sequence, job)) = self.pick_job(pick, State::Pending) else {
            return Ok(false);
        };
        let Some(id) = job.id.clone() else {
            return Ok(false);
        };
        match (graph.claim(&*id), job.state) {
            (Ok(run), State::Pending) => self.started(name, sequence, run, &job, after),
            (Err(Error::IllegalTransition { .. }), State::Running | State::Complete) => Ok(true),
            (Err(error), State::Pending) => {
                self.refused("run", &error, Effect::Start(name, sequence))?;
                self.abandoned(name, sequence)
            }
            (Err(error), _) => self.excuse("run", &error),
            (Ok(_), state) => Err(format!("a job that is {state} was run")),
        }
    }

    pub fn attach(&mut self, pick: Pick, after: &After) -> Ran {
        let Some((name, graph, sequence, job)) = self.pick_job(pick, State::Running) else {
            return Ok(false);
        };
        let Some(id) = job.id.clone() else {
            return Ok(false);
        };
        match (graph.attach(&*id), job.state) {
            (Ok(run), State::Running) => {
                if run.cancel_requested() != job.cancelling {
                    return Err(format!(
                        "an attached run says cancel {}",
                        run.cancel_requested()
                    ));
                }
                self.go_on(name, sequence, run, after)
            }
            (Err(Error::IllegalTransition { .. }), State::Pending | State::Complete) => Ok(true),
            (Err(error), _) => self.excuse("attach", &error),
            (Ok(_), state) => Err(format!("a job that is {state} was attached to")),
        }
    }

    pub fn kept_run(&mut self, pick: Pick, after: &After) -> Ran {
        let Some(n) = usize::from(pick).checked_rem(self.runs.len()) else {
            return Ok(false);
        };
        let kept = self.runs.swap_remove(n);
        match after {
            After::Keep => self.runs.push(kept),
            After::Leave => kept.run.detach(),
            After::Requeue => return self.requeue(kept),
            After::Drop => return self.end_run(kept, None),
            After::Complete(end) => return self.end_run(kept, Some(*end)),
        }
        Ok(true)
    }

    // Retention.

    pub fn set_policy(&mut self, pick: Pick, policy: Option<&Policy>) -> Ran {
        let Some((name, graph)) = self.pick_graph(pick) else {
            return Ok(false);
        };
        let serial = self.serial(name);
        match policy {
            Some(policy) => drop(self.wanted_policies.insert(serial, policy.clone())),
            None => drop(self.wanted_policies.remove(&serial)),
        }
        self.set_policy_of(name, &graph, policy)
    }

    /// Sets the policies again that were set before the store was closed.
    pub fn set_policies_again(&mut self) -> Result<(), Finding> {
        let names: Vec<Name> = self.model.graphs.keys().copied().collect();
        for name in names {
            let policy = self.wanted_policies.get(&self.serial(name)).cloned();
            if let (Some(policy), Some(graph)) = (policy, self.handle(name)) {
                self.set_policy_of(name, &graph, Some(&policy))?;
            }
        }
        Ok(())
    }

    fn set_policy_of(&mut self, name: Name, graph: &Graph, policy: Option<&Policy>) -> Ran {
        match graph.set_retention(policy.map(Policy::retention)) {
            Ok(()) => {}
            Err(error) => return self.excuse("set_retention", &error),
        }
        let serial = self.serial(name);
        self.forgot_by_policy.insert(serial);
        self.policies.insert(serial, policy.cloned());
        let archives = policy.is_some_and(|policy| policy.archive.is_some());
        if archives {
            self.archive_open.insert(serial);
        }
        let keys = self.setup.secrets.keys;
        self.acknowledge(Effect::Archives(name, archives.then_some(keys)));
        Ok(true)
    }

    pub fn purge(&mut self, pick: Pick, look: &Look, by_http: bool) -> Ran {
        let Some((name, _)) = self.pick_graph(pick) else {
            return Ok(false);
        };
        let (look, due) = self.jobs_to_purge(name, look);
        let list = list_of(&look, false, self.clock.right_ms());
        let now = self.now();
        let by_hand = Some(PurgeReason::ByHand);
        let purged = match by_http {
            true => self.purge_by_http(name, &look, false)?,
            false => self.purge_by_call(name, list),
        };
        match purged {
            Ok(jobs) if jobs == due.len() as u64 => {
                if !due.is_empty() {
                    self.acknowledge(Effect::Purge(name, due, by_hand, now));
                }
                Ok(true)
            }
            Ok(jobs) => Err(format!("{jobs} jobs were purged, not {}", due.len())),
            Err(refusal) => {
                let effect = Effect::MaybePurge(name, due.clone(), by_hand, now);
                self.refused_as("purge", &refusal, effect)?;
                if self.disk.is_dead() || self.failed {
                    return Ok(true);
                }
                // Some steps of the purge may have succeeded.
                let due = Due {
                    may: due,
                    reason: by_hand,
                    ..Due::default()
                };
                self.observe_purge(name, &due)?;
                Ok(true)
            }
        }
    }

    // Import and export.

    pub fn import(&mut self, pick: Pick, lines: &[(Content, u8)]) -> Ran {
        let Some((name, graph)) = self.pick_graph(pick) else {
            return Ok(false);
        };
        let now = self.now();
        let (mut text, mut jobs) = (String::new(), Vec::new());
        for &(content, kind) in lines {
            let mut job = self.new_job(None, content);
            job.imported = true;
            job.from_line = true;
            let request = content.imported_text();
            let right = self.clock.right_ms();
            match kind {
                0..=1 => {
                    job.imported = false;
                    text.push_str(&format!("{request}\n"));
                }
                2 => {
                    job.submitted_ms = right - 5_000;
                    text.push_str(&format!(
                        "{{\"request\":{request},\"status\":\"running\",\"submittedAt\":{}}}\n",
                        job.submitted_ms
                    ));
                    job.state = State::Running;
                }
                kind => {
                    // 2100, 2020, yesterday, now.
                    let finished = match kind {
                        3 => Some(4_102_444_800_000),
                        4 => Some(1_577_836_800_000),
                        5 => Some(right - crate::life::DAY_MS),
                        _ => None,
                    };
                    let finished = finished.filter(|_| kind != 3 || self.checks("import-2100"));
                    let at = finished.map(|ms| format!(",\"completedAt\":{ms}"));
                    text.push_str(&format!(
                        "{{\"request\":{request},\"status\":\"complete\"{}}}\n",
                        at.unwrap_or_default()
                    ));
                    job.state = State::Complete;
                    job.outcome = Some(OutcomeFact::plain(OutcomeKind::Succeeded, None));
                    job.completed_ms = Some(finished.unwrap_or(now.wall_ms));
                    job.ended_true = now.true_ms;
                }
            }
            jobs.push(job);
        }
        self.import_lines((&name, &graph), text.as_bytes(), jobs)
    }

    /// Imports lines that create these jobs. After an error, jobs that were imported before it
    /// remain.
    fn import_lines(
        &mut self,
        (name, graph): (&Name, &Graph),
        lines: &[u8],
        mut jobs: Vec<Job>,
    ) -> Ran {
        let (count, mut imported) = (jobs.len() as u64, 0);
        let done = graph.import_with_progress(lines, OnBadLine::Stop, |so_far| {
            imported = so_far.imported;
        });
        let rest = jobs.split_off(jobs.len().min(imported as usize));
        if !jobs.is_empty() {
            self.acknowledge(Effect::Submit(*name, jobs));
            self.learn_ids(*name)?;
        }
        match done {
            Ok(report) if report.imported == count && report.bad == 0 => Ok(true),
            Ok(report) => Err(format!("an import of {count} jobs: {report:?}")),
            Err(error) => self.refused("import", &error, Effect::Submit(*name, rest)),
        }
    }

    /// Exports a graph, with its secrets, and imports the lines into another graph.
    pub fn export_import(&mut self, from: Pick, to: Pick) -> Ran {
        let (Some((source, from)), Some((target, to))) =
            (self.pick_graph(from), self.pick_graph(to))
        else {
            return Ok(false);
        };
        let mut lines = Vec::new();
        let export = from.export(JobQuery::new());
        let written = export.and_then(|export| export.reveal_secrets().write_all(&mut lines));
        if let Err(error) = written {
            return self.excuse("export", &error);
        }
        let now = self.now();
        let target_model = &self.model.graphs[&target];
        let mut jobs = Vec::new();
        for job in self.model.graphs[&source].jobs.values() {
            let Some(id) = job.id.clone() else {
                return Ok(false);
            };
            if let Some(known) = target_model.with_id(&id) {
                let hidden = job.hidden.again(job.content, self.setup.secrets);
                if target_model.jobs[&known].masked() != job.content.text(hidden.masked) {
                    return Ok(false);
                }
                continue;
            }
            if target_model.gone.values().any(|gone| gone.id == id) {
                // The result depends on whether the job's tombstone exists, so it is not tested
                // here.
                return Ok(false);
            }
            let mut job = job.clone();
            job.imported = true;
            job.from_line = true;
            job.key = None;
            job.hidden = job.hidden.again(job.content, self.setup.secrets);
            job.outcome = job.outcome.map(|outcome| self.kept(outcome));
            if job.state == State::Pending {
                job.imported = false;
            }
            job.ended_true = job.ended_true.min(now.true_ms);
            jobs.push(job);
        }
        self.import_lines((&target, &to), &lines, jobs)
    }
}
