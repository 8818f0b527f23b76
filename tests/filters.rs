//! Guarantee: a list shows exactly the jobs that match all of its filters, in its order, whatever
//! the clocks did and wherever the jobs are stored; its cursor neither skips nor repeats jobs; its
//! total is that of the whole list.

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{Random, request, small_segments};
use jobstore::{
    Clock, Cursor, Error, Graph, Job, JobQuery, JobStore, Outcome, OutcomeKind, Recovery, State,
};

/// A clock that the test sets, also backward.
#[derive(Clone)]
struct Hands(Arc<AtomicU64>);

impl Clock for Hands {
    fn now(&self) -> SystemTime {
        at(self.0.load(Ordering::Relaxed))
    }
}

fn at(ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(ms)
}

fn open(dir: &Path, hands: &Hands) -> (JobStore, Graph) {
    let options = small_segments().recovery(Recovery::Leave);
    let store = options.clock(hands.clone()).open(dir).unwrap();
    let movie = store.get_or_create_graph("1", "movie").unwrap();
    (store, movie)
}

const COMMANDS: [&str; 3] = ["import_graph", "clear \"all\"\n", "ü"];
const KINDS: [OutcomeKind; 4] = [
    OutcomeKind::Succeeded,
    OutcomeKind::Failed,
    OutcomeKind::Cancelled,
    OutcomeKind::PartiallyFailed,
];

/// The filters of a list, and the same as a predicate on a job.
#[derive(Clone, Debug, Default)]
struct Asked {
    states: Vec<State>,
    kinds: Vec<OutcomeKind>,
    commands: Vec<&'static str>,
    /// Of submission, start, and completion: from, to.
    times: [[Option<u64>; 2]; 3],
    newest_first: bool,
}

impl Asked {
    fn draw(random: &mut Random, span: u64) -> Asked {
        let mut asked = Asked {
            newest_first: random.below(2) == 0,
            ..Asked::default()
        };
        for state in State::ALL {
            if random.below(4) == 0 {
                asked.states.push(state);
            }
        }
        if random.below(3) == 0 {
            asked.kinds = KINDS.into_iter().filter(|_| random.below(2) == 0).collect();
        }
        if random.below(3) == 0 {
            asked.commands = COMMANDS
                .into_iter()
                .filter(|_| random.below(2) == 0)
                .collect();
        }
        for times in &mut asked.times {
            for end in times {
                if random.below(5) == 0 {
                    *end = Some(START + random.below(span));
                }
            }
        }
        asked
    }

    fn list(&self) -> JobQuery {
        let mut list = JobQuery::new();
        list = self
            .states
            .iter()
            .fold(list, |list, state| list.state(*state));
        list = self
            .kinds
            .iter()
            .fold(list, |list, kind| list.outcome(*kind));
        list = self.commands.iter().fold(list, |list, c| list.command(*c));
        let [submitted, started, finished] = self.times.map(|times| times.map(|ms| ms.map(at)));
        let steps: [Step; 6] = [
            (submitted[0], JobQuery::submitted_from),
            (submitted[1], JobQuery::submitted_before),
            (started[0], JobQuery::started_from),
            (started[1], JobQuery::started_before),
            (finished[0], JobQuery::completed_from),
            (finished[1], JobQuery::completed_before),
        ];
        for (time, step) in steps {
            list = time.into_iter().fold(list, step);
        }
        if self.newest_first {
            list.newest_first()
        } else {
            list
        }
    }

    fn is_scan(&self) -> bool {
        let times = self.times.iter().flatten().any(Option::is_some);
        times || !self.kinds.is_empty() || !self.commands.is_empty()
    }

    fn wants(&self, job: &Job) -> bool {
        let is_in = |[from, to]: [Option<u64>; 2], time: Option<SystemTime>| {
            let after = from.is_none_or(|from| time.is_some_and(|time| at(from) <= time));
            after && to.is_none_or(|to| time.is_some_and(|time| time < at(to)))
        };
        let kind = job.outcome().map(Outcome::kind);
        (self.states.is_empty() || self.states.contains(&job.state()))
            && (self.kinds.is_empty() || kind.is_some_and(|kind| self.kinds.contains(&kind)))
            && (self.commands.is_empty() || self.commands.contains(&job.request().command()))
            && is_in(self.times[0], Some(job.submitted_at()))
            && is_in(self.times[1], job.started_at())
            && is_in(self.times[2], job.completed_at())
    }
}

/// A time, if there is one, and the filter for it.
type Step = (Option<SystemTime>, fn(JobQuery, SystemTime) -> JobQuery);

const START: u64 = 1_700_000_000_000;

/// All jobs, without any filter; and the extreme times.
fn fill(movie: &Graph, hands: &Hands, random: &mut Random, jobs: u64) {
    for _ in 0..jobs {
        // Mostly forward, sometimes backward.
        let now = hands.0.load(Ordering::Relaxed);
        let now = match random.below(30) {
            0 => now.saturating_sub(random.below(20_000)).max(START),
            _ => now + random.below(300),
        };
        hands.0.store(now, Ordering::Relaxed);
        let text = "x".repeat(match random.below(60) {
            0 => 300_000,
            1..=9 => 3000,
            _ => 30,
        });
        let command = COMMANDS[random.below(3) as usize];
        movie
            .submit(request(command, &format!("\"{text}\"")))
            .unwrap();
        match random.below(4) {
            0 | 1 => {
                let run = movie.claim_next().unwrap().unwrap();
                hands.0.fetch_add(random.below(500), Ordering::Relaxed);
                match random.below(5) {
                    0 => run.detach(),
                    1 => drop(run.complete(Outcome::failed("c", "m")).unwrap()),
                    2 => drop(run.complete(Outcome::partially_failed("c", "m")).unwrap()),
                    _ => drop(run.complete(Outcome::succeeded()).unwrap()),
                }
            }
            2 => {
                let pending = movie
                    .list(JobQuery::new().state(State::Pending).limit(3))
                    .unwrap();
                if let Some(job) = pending.jobs().last() {
                    movie.cancel(job.unwrap().id()).unwrap();
                }
            }
            _ => {}
        }
    }
}

/// The jobs of a page, read in every way.
fn shown(page: &jobstore::Page) -> Vec<u64> {
    let jobs: Vec<Job> = page.jobs().map(|job| job.unwrap()).collect();
    let texts: Vec<String> = jobs
        .iter()
        .map(|job| {
            let (id, state, request) = (job.id(), job.state(), job.request().as_json());
            format!(r#"{{"jobId":"{id}","status":"{state}","request":{request}}}"#)
        })
        .collect();
    let document = format!(r#"{{"jobs":[{}],"result":"success"}}"#, texts.join(","));
    assert!(page.to_json().unwrap() == document.as_bytes());
    let mut written = Vec::new();
    page.write_json(&mut written).unwrap();
    assert!(written == document.as_bytes());
    let chunks: Vec<u8> = page.chunks().flat_map(|chunk| chunk.unwrap()).collect();
    assert!(chunks == document.as_bytes());
    assert_eq!(page.len(), jobs.len());
    jobs.iter().map(Job::sequence).collect()
}

fn check(movie: &Graph, random: &mut Random, span: u64, rounds: u32) {
    let all: Vec<Job> = movie
        .list(JobQuery::new())
        .unwrap()
        .jobs()
        .map(|j| j.unwrap())
        .collect();
    for _ in 0..rounds {
        let asked = Asked::draw(random, span);
        let mut expected: Vec<u64> = all
            .iter()
            .filter(|job| asked.wants(job))
            .map(Job::sequence)
            .collect();
        if asked.newest_first {
            expected.reverse();
        }
        let (offset, limit) = (random.below(30), 1 + random.below(60));
        let list = asked.list().offset(offset).limit(limit);
        let page = movie.list(list.clone()).unwrap();
        let want: Vec<u64> = expected
            .iter()
            .skip(offset as usize)
            .take(limit as usize)
            .copied()
            .collect();
        assert_eq!(shown(&page), want, "{asked:?}");
        let total = Some(expected.len() as u64);
        assert_eq!(
            page.total(),
            total.filter(|_| !asked.is_scan()),
            "{asked:?}"
        );
        let counted = movie.list(list.count_total()).unwrap();
        assert_eq!(
            (shown(&counted), counted.total()),
            (want, total),
            "{asked:?}"
        );
        // By cursors, converted to text and back.
        let mut walked = Vec::new();
        let mut cursor: Option<Cursor> = None;
        loop {
            let list = asked.list().limit(limit);
            let list = cursor.iter().fold(list, |list, cursor| list.cursor(cursor));
            let page = movie.list(list).unwrap();
            walked.extend(shown(&page));
            match page.next() {
                Some(next) => cursor = Some(next.to_string().parse().unwrap()),
                None => break,
            }
        }
        assert_eq!(walked, expected, "{asked:?}");
        // By bytes.
        let bytes = 50 + random.below(3000);
        let (mut walked, mut cursor) = (Vec::new(), None::<Cursor>);
        loop {
            let list = asked.list().limit_bytes(bytes);
            let list = cursor.iter().fold(list, |list, cursor| list.cursor(cursor));
            let page = movie.list(list).unwrap();
            let len = page.to_json().unwrap().len() as u64;
            assert!(len <= bytes || page.len() <= 1, "{len} {bytes} {asked:?}");
            walked.extend(shown(&page));
            cursor = page.next();
            if cursor.is_none() {
                break;
            }
            assert!(!page.is_empty());
        }
        assert_eq!(walked, expected, "{bytes} {asked:?}");
    }
}

#[test]
fn a_list_is_what_filtering_a_plain_one_gives() {
    let dir = tempfile::tempdir().unwrap();
    let hands = Hands(Arc::new(AtomicU64::new(START)));
    let (mut store, mut movie) = open(dir.path(), &hands);
    let mut random = Random(11);
    for round in 0..3 {
        fill(&movie, &hands, &mut random, 250);
        let span = hands.0.load(Ordering::Relaxed) - START;
        check(&movie, &mut random, span, 12);
        common::pack(&store, dir.path());
        check(&movie, &mut random, span, 12);
        if round == 1 {
            // Some are purged, some files rewritten.
            let failed = JobQuery::new().outcome(OutcomeKind::Failed).newest_first();
            let there = movie.list(failed.clone().count_total()).unwrap().total();
            assert_eq!(
                Some(movie.purge_dry_run(failed.clone()).unwrap().jobs),
                there
            );
            assert_eq!(Some(movie.purge(failed.clone()).unwrap().jobs), there);
            assert!(there > Some(0) && movie.list(failed).unwrap().is_empty());
            check(&movie, &mut random, span, 6);
        }
        drop((store, movie));
        if round == 1 {
            common::lose_index(dir.path());
        }
        (store, movie) = open(dir.path(), &hands);
        check(&movie, &mut random, span, 6);
    }
}

#[test]
fn a_cursor_goes_on_whatever_others_write_and_purge() {
    let store = JobStore::in_memory().unwrap();
    let movie = store.create_graph("1", "movie").unwrap();
    let submit = |n: u64| {
        let command = COMMANDS[(n % 2) as usize];
        let id = movie.submit(request(command, &format!("[{n}]"))).unwrap();
        movie.cancel(&id).unwrap();
    };
    (0..100).for_each(submit);
    for newest_first in [true, false] {
        let list = || {
            let list = JobQuery::new().command(COMMANDS[0]).limit(7);
            if newest_first {
                list.newest_first()
            } else {
                list
            }
        };
        let mut expected: Vec<u64> = {
            let all = movie.list(JobQuery::new().command(COMMANDS[0])).unwrap();
            shown(&all)
        };
        if newest_first {
            expected.reverse();
        }
        let known = expected.len();
        let (mut walked, mut cursor) = (Vec::new(), None::<Cursor>);
        loop {
            let page = movie
                .list(
                    cursor
                        .iter()
                        .fold(list(), |list, cursor| list.cursor(cursor)),
                )
                .unwrap();
            walked.extend(shown(&page));
            cursor = page.next();
            if cursor.is_none() || walked.len() >= known {
                break;
            }
            (0..3).for_each(submit);
        }
        assert_eq!(walked[..known], expected);
        if newest_first {
            assert_eq!(walked.len(), known, "later ones are not shown");
        }
    }
}

#[test]
fn a_cursor_of_another_order_or_filter_is_refused() {
    let store = JobStore::in_memory().unwrap();
    let movie = store.create_graph("1", "movie").unwrap();
    for n in 0..5 {
        movie
            .submit(request(COMMANDS[0], &format!("[{n}]")))
            .unwrap();
    }
    let lists = [
        JobQuery::new(),
        JobQuery::new().newest_first(),
        JobQuery::new().command(COMMANDS[0]),
        JobQuery::new().command(COMMANDS[0]).command(COMMANDS[1]),
        JobQuery::new().submitted_from(at(1)),
        JobQuery::new().submitted_before(at(u64::MAX >> 20)),
        JobQuery::new().state(State::Pending),
    ];
    for (n, list) in lists.iter().enumerate() {
        let page = movie.list(list.clone().limit(2)).unwrap();
        let cursor = page.next().unwrap();
        for (m, other) in lists.iter().enumerate() {
            let gone_on = movie.list(other.clone().cursor(&cursor));
            match gone_on {
                Ok(page) => assert!(n == m && page.len() == 3, "{n} {m}"),
                Err(Error::InvalidCursor { .. }) => assert_ne!(n, m),
                Err(other) => panic!("{other}"),
            }
        }
        // The limits may vary.
        assert_eq!(
            movie
                .list(list.clone().limit(1).cursor(&cursor))
                .unwrap()
                .len(),
            1
        );
    }
}
