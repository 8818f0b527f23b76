//! Reads in a life, and their expected results.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use jobstore::{ChangeKind, Error, Graph, JobQuery, OutcomeKind, State, TallyBy};

use crate::counts::{self, Counts};
use crate::life::{FeedReader, Finding, KeptPage, Life, Ran};
use crate::model::{Gone, GraphModel, Happened, Job, Name};
use crate::observed::{NAMES, Observed, PROJECTS, Seen};
use crate::operations::{Look, Pick};
use crate::requests::{Content, OutcomeFact};

/// More changes than any feed of a life contains. A feed with more changes is endless.
pub const FEED_MAX: usize = 200_000;

/// The properties by which jobs are counted.
const TALLIES: [TallyBy; 4] = [
    TallyBy::State,
    TallyBy::Outcome,
    TallyBy::Command,
    TallyBy::Origin,
];

/// Returns whether a filter contains a state.
fn has(states: u8, state: State) -> bool {
    let bit = match state {
        State::Pending => 1,
        State::Running => 2,
        State::Complete => 4,
    };
    states == 0 || states & bit != 0
}

/// Returns the query for a look.
pub fn list_of(look: &Look, with_page: bool, right_ms: u64) -> JobQuery {
    let mut list = JobQuery::new();
    for (bit, state) in [
        (1, State::Pending),
        (2, State::Running),
        (4, State::Complete),
    ] {
        if look.states & bit != 0 {
            list = list.state(state);
        }
    }
    if look.newest {
        list = list.newest_first();
    }
    let at = UNIX_EPOCH + Duration::from_millis(right_ms.saturating_sub(3_600_000));
    let n = look.number;
    list = match look.filter {
        0 => list.outcome(OutcomeKind::Cancelled),
        1 => list.command("pagerank"),
        2 => list.url_prefix(format!("/ges/v1.0/10001/action?n={}", n % 7)),
        3 => list.url_contains(format!("?n={}", n % 7)),
        4 => list.body_contains(format!("\"n\":{n},")),
        5 => list.body_value("/n", n.to_string()),
        6 => list.submitted_from(at),
        7 => list.submitted_before(at),
        8 => list.completed_before(at),
        9 => list.outcome(OutcomeKind::Failed).command("import_graph"),
        10 => list.origin(format!("user {}", n % 5)),
        _ => list,
    };
    if with_page {
        list = list
            .offset(u64::from(look.offset))
            .limit(u64::from(look.limit));
        if look.number % 2 == 0 {
            list = list.count_total();
        }
    }
    list
}

/// Returns whether a job matches a look.
pub fn matching(job: &Job, look: &Look, right_ms: u64) -> bool {
    let at = right_ms.saturating_sub(3_600_000);
    let n = look.number;
    let is = |kind| job.outcome.as_ref().is_some_and(|o| o.kind == kind);
    let filtered = match look.filter {
        0 => is(OutcomeKind::Cancelled),
        1 => job.content.command() == "pagerank",
        2 => job
            .content
            .url()
            .starts_with(&format!("/ges/v1.0/10001/action?n={}", n % 7)),
        3 => job.content.url().contains(&format!("?n={}", n % 7)),
        4 | 5 => job.content.number == n,
        6 => job.submitted_ms >= at,
        7 => job.submitted_ms < at,
        8 => job.state == State::Complete && job.completed_ms.is_some_and(|ms| ms < at),
        9 => is(OutcomeKind::Failed) && job.content.command() == "import_graph",
        10 => job.content.origin() == Some(format!("user {}", n % 5)),
        _ => true,
    };
    filtered && has(look.states, job.state)
}

/// Returns the jobs that match a look, in order.
pub fn expected<'m>(graph: &'m GraphModel, look: &Look, right_ms: u64) -> Vec<(u64, &'m Job)> {
    let jobs = graph.jobs.iter().map(|(&s, job)| (s, job));
    let mut jobs: Vec<_> = jobs
        .filter(|(_, job)| matching(job, look, right_ms))
        .collect();
    if look.newest {
        jobs.reverse();
    }
    jobs
}

pub fn document(jobs: &[(u64, &Job)]) -> String {
    let jobs: Vec<String> = jobs
        .iter()
        .map(|(_, job)| {
            format!(
                r#"{{"jobId":"{}","status":"{}","request":{}}}"#,
                job.id.as_deref().unwrap_or_default(),
                job.state,
                job.masked()
            )
        })
        .collect();
    format!(r#"{{"jobs":[{}],"result":"success"}}"#, jobs.join(","))
}

impl Life {
    fn compare_all(&self, seen: &[Seen], expected: &[(u64, &Job)]) -> Result<(), Finding> {
        for (seen, (sequence, job)) in seen.iter().zip(expected) {
            if let Some(what) = seen.differs(*sequence, job) {
                return Err(what);
            }
        }
        match seen.len() == expected.len() {
            true => Ok(()),
            false => Err(format!("{} jobs, not {}", seen.len(), expected.len())),
        }
    }

    pub fn list(&mut self, look: &Look) -> Ran {
        let Some((name, graph)) = self.pick_graph(look.graph) else {
            return Ok(false);
        };
        let right = self.clock.right_ms();
        let all = expected(&self.model.graphs[&name], look, right);
        let total = all.len() as u64;
        let shown: Vec<_> = all
            .into_iter()
            .skip(usize::from(look.offset))
            .take(usize::from(look.limit))
            .collect();
        let what = || format!("list {look:?} of {name:?}");
        let page = match graph.list(list_of(look, true, right)) {
            Ok(page) => page,
            Err(error) => return self.excuse("list", &error),
        };
        if page.total().is_some_and(|found| found != total) {
            return Err(format!(
                "{}: the total is {:?}, not {total}",
                what(),
                page.total()
            ));
        }
        if page.total().is_none() && look.number % 2 == 0 {
            return Err(format!("{}: no total", what()));
        }
        let jobs: jobstore::Result<Vec<Seen>> = page
            .jobs()
            .map(|job| job.map(|job| Seen::of(&job)))
            .collect();
        match jobs {
            Ok(seen) => self
                .compare_all(&seen, &shown)
                .map_err(|e| format!("{}: {e}", what()))?,
            Err(error) => return self.excuse("read a page", &error),
        }
        let text = document(&shown);
        match page.to_json() {
            Ok(json) if json == text.as_bytes() => {}
            Ok(_) => return Err(format!("{}: the JSON differs", what())),
            Err(error) => return self.excuse("write a page", &error),
        }
        if look.offset % 3 == 0 && self.pages.len() < 4 {
            self.pages.push(KeptPage { page, json: text });
        }
        Ok(true)
    }

    /// Walks a list by cursors to its end.
    pub fn walk(&mut self, look: &Look) -> Ran {
        let Some((name, graph)) = self.pick_graph(look.graph) else {
            return Ok(false);
        };
        let right = self.clock.right_ms();
        let model = &self.model.graphs[&name];
        let all = expected(model, look, right);
        let limit = u64::from(look.limit).max(5);
        let mut list = list_of(look, false, right).limit(limit);
        let mut seen = Vec::new();
        for _ in 0..(2 * model.next / limit + model.next / 256 + 4) {
            let page = match graph.list(list.clone()) {
                Ok(page) => page,
                Err(error) => return self.excuse("list", &error),
            };
            for job in page.jobs() {
                match job {
                    Ok(job) => seen.push(Seen::of(&job)),
                    Err(error) => return self.excuse("read a page", &error),
                }
            }
            match page.next() {
                // The cursor is converted to text and back, as clients do.
                Some(cursor) => match cursor.to_string().parse() {
                    Ok(cursor) => list = list_of(look, false, right).limit(limit).cursor(&cursor),
                    Err(error) => return Err(format!("a cursor does not parse: {error}")),
                },
                None => {
                    return self
                        .compare_all(&seen, &all)
                        .map(|()| true)
                        .map_err(|e| format!("walk {look:?} of {name:?}: {e}"));
                }
            }
        }
        Err(format!("walk {look:?} of {name:?} never ends"))
    }

    pub fn job_by_id(&mut self, pick: Pick) -> Ran {
        let state = [State::Pending, State::Running, State::Complete][usize::from(pick) % 3];
        let Some((name, graph, sequence, job)) = self.pick_job(pick, state) else {
            return Ok(false);
        };
        let Some(id) = job.id.clone() else {
            return Ok(false);
        };
        if self.seen(name, &[(sequence, &job)])?.is_none() {
            return Ok(true);
        }
        let text = document(&[(sequence, &job)]);
        match graph.list_one(&*id).and_then(|page| page.to_json()) {
            Ok(json) if json == text.as_bytes() => Ok(true),
            Ok(_) => Err(format!("list_one {id}: the JSON differs")),
            Err(error) => self.excuse("list_one", &error),
        }
    }

    /// Returns a request, often that of an existing job, and the jobs with this request, newest
    /// first.
    pub fn jobs_to_find(
        &self,
        name: Name,
        pick: Pick,
        content: Content,
    ) -> (Content, Vec<(u64, &Job)>) {
        let jobs = &self.model.graphs[&name].jobs;
        let nth = usize::from(pick).checked_rem(jobs.len());
        let some = nth
            .and_then(|n| jobs.values().nth(n))
            .map(|job| job.content);
        let wanted = some.filter(|_| pick % 4 > 0).unwrap_or(content);
        let masked = wanted.text(self.setup.secrets.keys);
        let same = jobs.iter().rev().filter(|(_, job)| job.masked() == masked);
        (wanted, same.map(|(&s, job)| (s, job)).collect())
    }

    pub fn find(&mut self, pick: Pick, content: Content) -> Ran {
        let Some((name, graph)) = self.pick_graph(pick) else {
            return Ok(false);
        };
        let (wanted, jobs) = self.jobs_to_find(name, pick, content);
        let expected: Vec<u64> = jobs.into_iter().map(|(s, _)| s).collect();
        let found: jobstore::Result<Vec<u64>> = graph
            .find(&wanted.request())
            .and_then(|found| found.map(|job| job.map(|job| job.sequence())).collect());
        match found {
            Ok(found) if found == expected => Ok(true),
            Ok(found) => Err(format!("find returns jobs {found:?}, not {expected:?}")),
            Err(error) => self.excuse("find", &error),
        }
    }

    pub fn counts(&mut self, pick: Pick) -> Ran {
        let Some((name, graph)) = self.pick_graph(pick) else {
            return Ok(false);
        };
        for state in State::ALL {
            let expected = self.model.graphs[&name].count(state);
            match graph.count(state) {
                Ok(count) if count == expected => {}
                Ok(count) => return Err(format!("{count} jobs are {state}, not {expected}")),
                Err(error) => return self.excuse("count", &error),
            }
        }
        self.tally(pick, name, &graph)
    }

    /// Counts the jobs by a property, all of them or those with an origin.
    fn tally(&self, pick: Pick, name: Name, graph: &Graph) -> Ran {
        let origin = (pick % 4 == 3).then(|| format!("user {}", pick % 5));
        let query = match &origin {
            Some(origin) => JobQuery::new().origin(origin),
            None => JobQuery::new(),
        };
        for by in TALLIES {
            let tally = match graph.tally(query.clone(), by) {
                Ok(tally) => tally,
                Err(error) => return self.excuse("tally", &error),
            };
            let expected = self.model.graphs[&name].tally(by, origin.as_deref());
            if let Some(what) = counts::tally_differs(&tally, &expected) {
                return Err(format!("tally by {by:?} of {name:?}: {what}"));
            }
        }
        let by = TALLIES[usize::from(pick) % TALLIES.len()];
        self.tally_all(by, query, origin.as_deref())
    }

    /// Counts the jobs of all graphs by a property.
    fn tally_all(&self, by: TallyBy, query: JobQuery, origin: Option<&str>) -> Ran {
        let graphs = self.store().graphs();
        let tally = match graphs.and_then(|graphs| self.store().tally(&graphs, query, by)) {
            Ok(tally) => tally,
            Err(error) => return self.excuse("tally of all graphs", &error),
        };
        let mut expected = BTreeMap::new();
        for graph in self.model.graphs.values() {
            for (key, jobs) in graph.tally(by, origin) {
                *expected.entry(key).or_default() += jobs;
            }
        }
        match counts::tally_differs(&tally, &expected) {
            Some(what) => Err(format!("tally by {by:?} of all graphs: {what}")),
            None => Ok(true),
        }
    }

    /// Returns whether a tombstone must exist, because no policy can have forgotten it.
    pub fn must_have_tombstone(&self, name: Name, gone: &Gone) -> bool {
        let age = self.now().true_ms - gone.at_true;
        let graph = &self.model.graphs[&name];
        // Policies of earlier opens may also have forgotten it, so only recent tombstones are
        // certain.
        !gone.forgotten
            && !self.clock_was_wrong
            && !self.forgot_by_policy.contains(&graph.serial)
            && age < 25 * crate::life::DAY_MS
    }

    pub fn tombstone(&mut self, pick: Pick) -> Ran {
        let Some((name, graph)) = self.pick_graph(pick) else {
            return Ok(false);
        };
        let gone = &self.model.graphs[&name].gone;
        let nth = usize::from(pick / 5).checked_rem(gone.len());
        let Some((&sequence, gone)) = nth.and_then(|n| gone.iter().nth(n)) else {
            return Ok(false);
        };
        if gone.id.is_empty() || self.model.graphs[&name].with_id(&gone.id).is_some() {
            return Ok(false);
        }
        match graph.job(&*gone.id) {
            Ok(None) => {}
            Ok(Some(_)) => return Err(format!("the purged job {} still exists", gone.id)),
            Err(error) => return self.excuse("job", &error),
        }
        let must = self.must_have_tombstone(name, gone);
        match graph.tombstone(&*gone.id) {
            Ok(Some(_)) if gone.forgotten => {
                return Err(format!("the tombstone of {} reappeared", gone.id));
            }
            Ok(Some(found)) => {
                if gone.reason.is_some_and(|reason| reason != found.reason) {
                    return Err(format!(
                        "{} was purged for {:?}, not {:?}",
                        gone.id, found.reason, gone.reason
                    ));
                }
            }
            Ok(None) if must => return Err(format!("the tombstone of {} is lost", gone.id)),
            Ok(None) => {
                if let Some(graph) = self.model.graphs.get_mut(&name) {
                    if let Some(gone) = graph.gone.get_mut(&sequence) {
                        gone.forgotten = true;
                    }
                }
            }
            Err(error) => return self.excuse("tombstone", &error),
        }
        Ok(true)
    }

    /// Reads the change feed from a reader's position, or from the beginning.
    pub fn changes(&mut self, pick: Pick) -> Ran {
        let Some((name, graph)) = self.pick_graph(pick) else {
            return Ok(false);
        };
        if self.setup.is_interval() {
            // The feed contains only durable changes, so make all of them durable.
            self.step(jobstore::simulation::Step::Sync);
            if self.is_excused() {
                return Ok(false);
            }
            self.synced();
        }
        let serial = self.serial(name);
        let at = self.feed_readers.iter().position(|f| f.serial == serial);
        let at = at.filter(|_| pick % 3 > 0);
        let (from, seen, epoch) = match at {
            Some(n) => {
                let f = &self.feed_readers[n];
                // The position is converted to text and back, because readers store it as text.
                let text = f.position.to_string();
                let position = text.parse().map_err(|e| format!("a position: {e}"))?;
                (Some(position), f.seen, f.epoch)
            }
            None => (None, 0, self.epoch),
        };
        let mut changes = match graph.changes(from.as_ref()) {
            Ok(changes) => changes,
            // A crash may have reverted the changes that the position includes.
            Err(Error::InvalidPosition { .. }) if epoch != self.epoch => {
                self.feed_readers.retain(|f| f.serial != serial);
                return Ok(true);
            }
            Err(error) => return self.excuse("changes", &error),
        };
        let mut found = Vec::new();
        let most = FEED_MAX;
        for change in changes.by_ref() {
            match change {
                Ok(change) => found.push(change),
                Err(error) => return self.excuse("changes", &error),
            }
            if found.len() > most {
                return Err(format!("the feed returns more than {most} changes"));
            }
        }
        // If the position was returned before a crash, the crash may have reverted some of its
        // changes. Then it is unknown how many of the model's events the position includes.
        if from.is_none() || epoch == self.epoch {
            compare_feed(&self.model.graphs[&name], seen, &found)?;
        }
        let position = changes.position();
        drop(changes);
        self.feed_readers.retain(|f| f.serial != serial);
        self.feed_readers.push(FeedReader {
            serial,
            position,
            seen: self.model.graphs[&name].feed.len(),
            epoch: self.epoch,
        });
        Ok(true)
    }

    pub fn job_changes(&mut self, pick: Pick) -> Ran {
        let Some((name, graph, sequence, job)) = self.pick_job(pick, State::Complete) else {
            return Ok(false);
        };
        let Some(id) = job.id.clone().filter(|_| !job.imported) else {
            return Ok(false);
        };
        if self.setup.is_interval() {
            return Ok(false);
        }
        let feed = &self.model.graphs[&name].feed;
        let expected = feed.iter().filter(|(s, _)| *s == sequence).count();
        let found: jobstore::Result<Vec<jobstore::Change>> =
            graph.job_changes(&*id, None).and_then(Iterator::collect);
        match found {
            Ok(found) => {
                let own = found
                    .iter()
                    .filter(|c| c.sequence == Some(sequence))
                    .count();
                match own == expected {
                    true => Ok(true),
                    false => Err(format!("job {id} has {own} changes, not {expected}")),
                }
            }
            Err(error) => self.excuse("job_changes", &error),
        }
    }

    pub fn wait(&mut self, pick: Pick) -> Ran {
        let state = [State::Running, State::Complete][usize::from(pick) % 2];
        let Some((_, graph, _, job)) = self.pick_job(pick, state) else {
            return Ok(false);
        };
        let Some(id) = job.id.clone() else {
            return Ok(false);
        };
        match (graph.wait(&*id, Duration::ZERO), job.state) {
            (Ok(Some(seen)), State::Complete) if seen.state() == State::Complete => Ok(true),
            (Ok(None), State::Pending | State::Running) => Ok(true),
            (Ok(seen), state) => Err(format!("a wait for a job that is {state} returns {seen:?}")),
            (Err(error), _) => self.excuse("wait", &error),
        }
    }

    pub fn stats(&mut self) -> Ran {
        let stats = match self.store().stats() {
            Ok(stats) => stats,
            Err(error) => return self.excuse("stats", &error),
        };
        let counts: u64 = stats
            .graphs
            .iter()
            .map(|g| g.pending + g.running + g.complete)
            .sum();
        let expected = self.model.jobs() as u64;
        if counts != expected || stats.graphs.len() != self.model.graphs.len() {
            return Err(format!(
                "stats count {counts} jobs of {} graphs, not {expected} of {}",
                stats.graphs.len(),
                self.model.graphs.len()
            ));
        }
        if stats.to_json().is_empty() {
            return Err("the statistics have no JSON".to_owned());
        }
        Ok(true)
    }

    pub fn scrub(&mut self) -> Ran {
        match self.store().scrub() {
            Ok(report) => {
                let fault = report.index_fault.clone();
                if fault.is_some() && self.has_index_fault() {
                    return Ok(true);
                }
                match report.is_sound() && fault.is_none() {
                    true => Ok(true),
                    false => Err(format!("a scrub reports {report}; index: {fault:?}")),
                }
            }
            Err(error) => self.excuse("scrub", &error),
        }
    }

    /// Returns a look for a purge, without offset and order, and the jobs that the purge removes.
    pub fn jobs_to_purge(&self, name: Name, look: &Look) -> (Look, Vec<u64>) {
        let look = Look {
            states: if look.states % 2 == 0 { 0 } else { 4 },
            offset: 0,
            newest: false,
            ..look.clone()
        };
        let jobs = expected(&self.model.graphs[&name], &look, self.clock.right_ms());
        let complete = jobs.iter().filter(|(_, job)| job.state == State::Complete);
        let complete = complete.map(|(s, _)| *s).collect();
        (look, complete)
    }

    pub fn dry_run(&mut self, pick: Pick, look: &Look) -> Ran {
        let Some((name, graph)) = self.pick_graph(pick) else {
            return Ok(false);
        };
        let (look, due) = self.jobs_to_purge(name, look);
        let due = due.len() as u64;
        let counted = match look.number % 3 {
            0 => self.purge_by_http(name, &look, true)?,
            _ => {
                let list = list_of(&look, false, self.clock.right_ms());
                let counted = graph.purge_dry_run(list);
                counted.map(|done| done.jobs).map_err(|e| (&e).into())
            }
        };
        match counted {
            Ok(jobs) if jobs == due => Ok(true),
            Ok(jobs) => Err(format!("a dry run counts {jobs} jobs, not {due}")),
            Err(refusal) => self.excuse_as("dry run", &refusal),
        }
    }

    /// Uses handles of dropped graphs, and pages that were taken long ago.
    pub fn old_handles(&mut self) -> Ran {
        let ran = !self.old.is_empty() || !self.pages.is_empty();
        for graph in &self.old {
            match graph.list(JobQuery::new()) {
                Err(Error::GraphDropped { .. }) => {}
                Err(error) => drop(self.excuse("list a dropped graph", &error)?),
                Ok(_) => return Err("a dropped graph is listed".to_owned()),
            }
            match graph.submit(Content::draw(&mut self.random).request()) {
                Err(Error::GraphDropped { .. }) => {}
                Err(error) => drop(self.excuse("submit to a dropped graph", &error)?),
                Ok(_) => return Err("a dropped graph accepts jobs".to_owned()),
            }
        }
        for kept in std::mem::take(&mut self.pages) {
            match kept.page.to_json() {
                Ok(json) if json == kept.json.as_bytes() => {}
                Ok(_) => return Err("an earlier page has changed".to_owned()),
                Err(Error::PageExpired | Error::GraphDropped { .. }) => {}
                Err(error) => drop(self.excuse("a kept page", &error)?),
            }
        }
        Ok(ran)
    }

    /// Compares everything that lists show.
    pub fn check_all(&mut self) -> Ran {
        let read = Observed::read(self.store());
        match read {
            Ok(seen) => {
                seen.compare(&self.model)?;
                self.check_counters()
            }
            Err(_) if self.is_excused() || self.has_index_fault() => Ok(true),
            Err(what) => Err(what),
        }
    }
}

impl Life {
    /// Compares the counters of each graph.
    fn check_counters(&mut self) -> Ran {
        let stats = match self.store().stats() {
            Ok(stats) => stats,
            Err(error) => return self.excuse("statistics", &error),
        };
        if stats.follower.is_some() {
            // It counts from its own open on.
            return Ok(true);
        }
        for (name, expected) in &self.model.graphs {
            let (project, graph) = (PROJECTS[name.0], NAMES[name.1]);
            let mut graphs = stats.graphs.iter();
            let seen = graphs.find(|of| of.project_id == project && of.name == graph);
            let seen = seen.map(|of| Counts::of(&of.counters));
            match expected.since_open() {
                Some(expected) if seen.as_ref() != Some(&expected) => {
                    let what = format!("the counters of {name:?} are {seen:?}, not {expected:?}");
                    return Err(what);
                }
                _ => {}
            }
        }
        Ok(true)
    }
}

/// Describes where a change feed differs from the history of a graph.
pub fn compare_feed(
    graph: &GraphModel,
    seen: usize,
    found: &[jobstore::Change],
) -> Result<(), Finding> {
    // The history of a job before its import is not in the feed.
    let is_live = |sequence: u64| {
        let job = graph.jobs.get(&sequence);
        job.is_some_and(|job| !job.imported)
    };
    let live = graph.feed.get(seen..).unwrap_or_default().iter();
    let mut live = live.filter(|(sequence, _)| is_live(*sequence));
    for change in found {
        let Some(sequence) = change.sequence else {
            continue;
        };
        if let ChangeKind::Purged { .. } = change.kind {
            if is_live(sequence) {
                return Err(format!("the feed reports that job {sequence} was purged"));
            }
            continue;
        }
        if !is_live(sequence) {
            if sequence >= graph.next {
                return Err(format!(
                    "the feed contains job {sequence}, which never existed"
                ));
            }
            continue;
        }
        let happened = match &change.kind {
            ChangeKind::Submitted => Happened::Submitted,
            ChangeKind::Started => Happened::Started,
            ChangeKind::CancelRequested => Happened::CancelRequested,
            ChangeKind::Completed(outcome) => Happened::Completed(OutcomeFact::of(outcome)),
            ChangeKind::Requeued => Happened::Requeued,
            other => return Err(format!("the feed has a change {other:?}")),
        };
        let expected = live.next();
        let same = match (expected, &happened) {
            (Some((s, Happened::Completed(known))), Happened::Completed(seen)) => {
                *s == sequence && seen.is(known)
            }
            (Some((s, known)), happened) => *s == sequence && known == happened,
            (None, _) => false,
        };
        if !same {
            return Err(format!(
                "the feed (from {seen} of {}) says {happened:?} of job {sequence}, where \
                 {expected:?} follows",
                graph.feed.len()
            ));
        }
        let id = &graph.jobs[&sequence].id;
        if let (Some(seen), Some(id)) = (&change.id, id) {
            if seen.as_str() != &**id {
                return Err(format!("the feed calls job {sequence} {seen}, not {id}"));
            }
        }
    }
    match live.next() {
        None => Ok(()),
        Some(left) => Err(format!("the feed ends before {left:?}")),
    }
}
