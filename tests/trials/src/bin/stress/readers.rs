//! The reads, and the invariants of any instant.
//!
//! Each page is checked for consistency, against what was acknowledged before it and attempted by
//! the time it was read, and against what the same reader has seen before.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;

use jobstore::{Graph, Job, JobQuery, JobStore, Page, State};

use crate::tally::{Graphs, Random, Tally};

/// The number of jobs in most pages.
const PAGE: u64 = 400;
/// The number of rounds for which a page is kept. It is read again after that.
const KEPT: usize = 20;

/// Returns the writer and the number of a pair, and the side of this job in it.
fn pair_of(job: &Job) -> (u64, u64, u64) {
    let body = job.request().body();
    let mut numbers = body[1..].split(',').map(|text| text.parse().ok());
    let mut next = || numbers.next().flatten().expect("a number");
    (next(), next(), next())
}

/// Returns the page as values and as JSON. The two must match exactly.
fn read(page: &Page, tally: &Tally) -> (Vec<Job>, Vec<u8>) {
    let jobs: Vec<Job> = page.jobs().map(|job| job.expect("a job")).collect();
    let json = page.to_json().expect("JSON");
    let mut expected = String::from(r#"{"jobs":["#);
    for (n, job) in jobs.iter().enumerate() {
        let comma = if n > 0 { "," } else { "" };
        expected += &format!(
            r#"{comma}{{"jobId":"{}","status":"{}","request":{}}}"#,
            job.id(),
            job.state(),
            job.request().as_json()
        );
        let state = job.state();
        assert_eq!(job.outcome().is_some(), state == State::Complete);
        assert_eq!(job.completed_at().is_some(), state == State::Complete);
        assert_eq!(job.started_at().is_some(), state != State::Pending);
    }
    expected += r#"],"result":"success"}"#;
    assert!(expected.as_bytes() == json, "JSON and values differ");
    assert_eq!(jobs.len(), page.len());
    let ascend = jobs.is_sorted_by(|a, b| a.sequence() < b.sequence());
    assert!(ascend, "not in the one order");
    tally.pages.fetch_add(1, Ordering::Relaxed);
    tally.jobs.fetch_add(jobs.len() as u64, Ordering::Relaxed);
    (jobs, json)
}

/// What one reader has seen in a graph.
#[derive(Default)]
struct Seen {
    total: u64,
    jobs: HashMap<u64, (String, State)>,
}

impl Seen {
    fn check(&mut self, page: &Page, jobs: &[Job]) {
        assert!(page.total().unwrap() >= self.total, "jobs are gone");
        self.total = page.total().unwrap();
        for job in jobs {
            let now = (job.id().to_string(), job.state());
            if let Some(before) = self.jobs.insert(job.sequence(), now) {
                assert_eq!(before.0, job.id().as_str(), "another job in its place");
                assert!(before.1 <= job.state(), "{} went backward", job.id());
            }
        }
    }
}

/// Reads pages anywhere in the list of all jobs of the pairs.
pub(crate) fn pages(_: &JobStore, graphs: &Graphs, tally: &Tally, mut random: Random, n: u64) {
    let graph = &graphs.pairs;
    let mut seen = Seen::default();
    let mut kept: Vec<(Page, Vec<u8>)> = Vec::new();
    while tally.goes_on() {
        check_counts(graph, tally);
        // An even offset begins with a pair. It is often near the end, where changes happen.
        let total = graph
            .list(JobQuery::new().limit(1))
            .expect("a page")
            .total()
            .unwrap();
        let back = match random.below(2) {
            0 => random.below(PAGE),
            _ => random.below(total.max(1)),
        };
        let offset = total.saturating_sub(back) / 2 * 2;
        let limit = 2 * (1 + random.below(PAGE / 2));
        let least = tally.submits.least();
        let page = graph.list(JobQuery::new().offset(offset).limit(limit));
        let page = page.expect("a page");
        let most = tally.submits.most();
        assert!(
            (least..=most).contains(&page.total().unwrap()),
            "not all is counted"
        );
        let (jobs, json) = read(&page, tally);
        let expected = limit.min(page.total().unwrap().saturating_sub(offset));
        assert_eq!(jobs.len() as u64, expected);
        check_pairs(&jobs, offset);
        seen.check(&page, &jobs);
        look_up(graph, &jobs, tally, &mut random);
        kept.push((page, json));
        if kept.len() > KEPT {
            let at = random.below(KEPT as u64) as usize;
            let (page, before) = kept.swap_remove(at);
            assert!(
                page.to_json().expect("JSON") == before,
                "a page has changed"
            );
        }
        if n == 0 {
            check_brought(graphs, tally, &mut random);
        }
    }
}

/// Checks that the jobs are whole pairs, in the order of their writers, and that the first job of
/// each pair is as far as the second or one step ahead.
fn check_pairs(jobs: &[Job], offset: u64) {
    let mut last: HashMap<u64, u64> = HashMap::new();
    for (n, pair) in jobs.chunks(2).enumerate() {
        let [first, second] = pair else {
            panic!("half of a commit is shown");
        };
        assert_eq!(first.sequence(), offset + 2 * n as u64, "a gap");
        assert_eq!(second.sequence(), first.sequence() + 1, "a gap");
        let (writer, number, side) = pair_of(first);
        assert_eq!(side, 0, "not the first of a pair");
        assert_eq!(pair_of(second), (writer, number, 1), "not its other half");
        if let Some(before) = last.insert(writer, number) {
            assert_eq!(number, before + 1, "a writer's pairs are not in order");
        }
        let (first, second) = (first.state(), second.state());
        assert!(first >= second, "{first} and then {second}");
        let both = first != State::Complete || second != State::Pending;
        assert!(both, "one ended before the other began");
    }
}

/// Checks that the counts by state are between what was acknowledged and what was attempted.
fn check_counts(graph: &Graph, tally: &Tally) {
    let least = (tally.starts.least(), tally.ends.least());
    let begun = JobQuery::new().state(State::Running).state(State::Complete);
    let begun = graph.list(begun.limit(1)).expect("a page").total().unwrap();
    let ended = graph.count(State::Complete).expect("a count");
    let most = (tally.starts.most(), tally.ends.most());
    assert!((least.0..=most.0).contains(&begun), "{begun} have begun");
    assert!((least.1..=most.1).contains(&ended), "{ended} have ended");
}

/// Checks that listed jobs are found by their ids.
fn look_up(graph: &Graph, jobs: &[Job], tally: &Tally, random: &mut Random) {
    for _ in 0..8.min(jobs.len()) {
        let listed = &jobs[random.below(jobs.len() as u64) as usize];
        let found = graph.job(listed.id()).expect("a read");
        let found = found.expect("what is listed is found");
        assert_eq!(found.sequence(), listed.sequence());
        assert_eq!(found.request(), listed.request());
        assert!(
            found.state() >= listed.state(),
            "{} went backward",
            found.id()
        );
        tally.looked_up.fetch_add(1, Ordering::Relaxed);
    }
}

/// Checks that each external id created one job.
fn check_brought(graphs: &Graphs, tally: &Tally, random: &mut Random) {
    let least = tally.created.load(Ordering::SeqCst);
    let total = graphs.brought.list(JobQuery::new().limit(1));
    let total = total.expect("a page").total().unwrap();
    assert!(total >= least, "{least} were made, {total} are there");
    let offset = random.below(total.max(1));
    let page = graphs
        .brought
        .list(JobQuery::new().offset(offset).limit(PAGE));
    let page = page.expect("a page");
    let (jobs, _) = read(&page, tally);
    let ids: HashSet<_> = jobs.iter().map(Job::id).collect();
    assert_eq!(ids.len(), jobs.len(), "one id, several jobs");
    look_up(&graphs.brought, &jobs, tally, random);
}

/// Walks the list by cursor. All jobs that were complete at the start must be returned, and none
/// twice.
pub(crate) fn walks(_: &JobStore, graphs: &Graphs, tally: &Tally, mut random: Random, _: u64) {
    let graph = &graphs.pairs;
    while tally.goes_on() {
        let complete = || JobQuery::new().state(State::Complete);
        let total = graph.count(State::Complete).expect("a count");
        let from = total.saturating_sub(20 * PAGE);
        let start = graph.list(complete().offset(from)).expect("a page");
        let expected: Vec<u64> = start
            .jobs()
            .map(|job| job.expect("a job").sequence())
            .collect();
        let Some(&first) = expected.first() else {
            continue;
        };
        let mut walked: Vec<u64> = Vec::new();
        let mut cursor = None;
        loop {
            let list = complete().limit(1 + random.below(PAGE));
            let page = match &cursor {
                // Earlier jobs may have completed, so this page may begin earlier.
                None => graph.list(list.offset(from)),
                Some(cursor) => graph.list(list.cursor(cursor)),
            };
            let page = page.expect("a page");
            let (jobs, _) = read(&page, tally);
            assert!(jobs.iter().all(|job| job.state() == State::Complete));
            walked.extend(jobs.iter().map(Job::sequence));
            cursor = page.next();
            if cursor.is_none() || !tally.goes_on() {
                break;
            }
        }
        assert!(walked.is_sorted_by(|a, b| a < b), "a walk came back");
        let begins = walked.first().is_some_and(|&begins| begins <= first);
        assert!(begins, "a walk began too late");
        let walked_to_the_end = cursor.is_none();
        let walked: HashSet<u64> = walked.into_iter().collect();
        if walked_to_the_end {
            assert!(
                expected.iter().all(|job| walked.contains(job)),
                "a walk skipped some"
            );
            tally.walks.fetch_add(1, Ordering::Relaxed);
        }
    }
}
