//! Guarantee: with an archive, every purged job is in it: once in normal operation, at most twice
//! if there was a failure; any gzip reader can read it, and it can be imported again. While the
//! archive cannot be written, nothing is purged, and the health reports it.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use common::{copy_directory, files_ending, names_in, small_segments};
use flate2::read::MultiGzDecoder;
use jobstore::{
    Body, Clock, Error, Graph, Health, JobQuery, JobStore, OnBadLine, Outcome, OutcomeKind,
    Request, Retention, State,
};

/// A stopped clock.
struct At(SystemTime);

impl Clock for At {
    fn now(&self) -> SystemTime {
        self.0
    }
}

fn open(dir: &Path) -> (JobStore, Graph) {
    let store = small_segments().open(dir.join("store")).unwrap();
    let movie = store.get_or_create_graph("1", "movie").unwrap();
    (store, movie)
}

/// Creates complete jobs with everything that a line can have; one of them is large.
fn fill(movie: &Graph, jobs: u64) {
    for n in 0..jobs {
        let text = "x".repeat(if n == 7 { 400_000 } else { 30 });
        let body = format!(r#"{{"n":{n},"secretKey":"hunter2","text":"é\u00e9{text}"}}"#);
        let body = Body::from_json(body).unwrap();
        let id = movie.submit(Request::new("import", "/ges?\"x\"", body).unwrap());
        let id = id.unwrap();
        let outcome = match n % 3 {
            0 => Outcome::succeeded().with_result_ref("r.csv").unwrap(),
            1 => Outcome::failed("c", "m\n").with_detail_json("[1]").unwrap(),
            _ => {
                movie.cancel(&id).unwrap();
                continue;
            }
        };
        movie.claim(&id).unwrap().complete(outcome).unwrap();
    }
}

fn lines(movie: &Graph, list: JobQuery) -> Vec<String> {
    let mut out = Vec::new();
    movie.export(list).unwrap().write_all(&mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn complete() -> JobQuery {
    JobQuery::new().state(State::Complete)
}

/// The contents of files with this suffix, concatenated in order.
fn archived(directory: &Path, end: &str) -> Vec<String> {
    let mut text = String::new();
    for file in files_ending(directory, end) {
        let file = fs::File::open(file).unwrap();
        MultiGzDecoder::new(file).read_to_string(&mut text).unwrap();
    }
    text.lines().map(str::to_owned).collect()
}

fn counted(lines: &[String]) -> BTreeMap<&str, u64> {
    let mut counts = BTreeMap::new();
    for line in lines {
        *counts.entry(line.as_str()).or_default() += 1;
    }
    counts
}

fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "not so yet: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn every_purged_job_is_archived_once_as_it_was_exported() {
    let dir = tempfile::tempdir().unwrap();
    let directory = dir.path().join("old/archive");
    let mut exported = Vec::new();
    for round in 0..3 {
        let (store, movie) = open(dir.path());
        let policy = Retention::new()
            .archive_to(&directory)
            .archive_file_bytes(1000);
        movie.set_retention(Some(policy.clone())).unwrap();
        fill(&movie, 300);
        let open_one = movie.submit(Request::new("c", "", Body::empty()).unwrap());
        if round == 1 {
            common::pack(&store, &dir.path().join("store"));
        }
        exported.extend(lines(&movie, complete()));
        let failed = JobQuery::new().outcome(OutcomeKind::Failed);
        assert_eq!(movie.purge(failed).unwrap().jobs, 100);
        // A job that is due under several policies is archived once.
        movie.set_retention(Some(policy.max_jobs(100))).unwrap();
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| movie.purge(JobQuery::new().command("import")).unwrap());
            }
        });
        wait("all are purged", || {
            movie.count(State::Complete).unwrap() == 0
        });
        assert_eq!(store.health(), Health::Ok);
        assert!(movie.job(open_one.unwrap()).unwrap().is_some());
        store.close().unwrap();
    }
    let found = archived(&directory, ".jsonl.gz");
    assert_eq!(counted(&found), counted(&exported));
    assert_eq!(found.len(), exported.len());
    assert!(!found.iter().any(|line| line.contains("hunter2")));
    let names = names_in(&directory);
    assert!(names.len() > 3, "{names:?}");
    assert!(
        names
            .iter()
            .all(|name| name.starts_with("movie-") && name.ends_with(".jsonl.gz"))
    );
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode(&directory), mode(&dir.path().join("old"))),
        (0o700, 0o700)
    );
    for file in files_ending(&directory, ".gz") {
        assert_eq!(mode(&file), 0o600);
        // The system's gzip can also read them, if installed.
        if let Ok(read) = Command::new("gzip").arg("-dc").arg(&file).output() {
            assert!(read.status.success() && read.stdout.ends_with(b"}\n"));
        }
    }
}

#[test]
fn what_was_archived_is_imported_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let directory = dir.path().join("archive");
    let (store, movie) = open(dir.path());
    movie
        .set_retention(Some(Retention::new().archive_to(&directory)))
        .unwrap();
    fill(&movie, 120);
    let before = lines(&movie, JobQuery::new());
    assert_eq!(movie.purge(JobQuery::new()).unwrap().jobs, 120);
    // Unfinished files can be read.
    assert_eq!(archived(&directory, ".part"), before);
    store.close().unwrap();
    let (store, _) = open(dir.path());
    let back = store.create_graph("1", "back").unwrap();
    for _ in 0..2 {
        for file in files_ending(&directory, ".gz") {
            let file = MultiGzDecoder::new(fs::File::open(file).unwrap());
            back.import(file, OnBadLine::Stop).unwrap();
        }
        assert_eq!(lines(&back, JobQuery::new()), before);
    }
}

#[test]
fn while_the_archive_cannot_be_written_nothing_is_purged_and_it_is_said_so() {
    let dir = tempfile::tempdir().unwrap();
    // A file where the directory should be.
    let place = dir.path().join("place");
    fs::write(&place, "").unwrap();
    let directory = place.join("archive");
    let (store, movie) = open(dir.path());
    let other = store.create_graph("1", "other").unwrap();
    fill(&movie, 50);
    fill(&other, 50);
    let before = lines(&movie, JobQuery::new());
    let policy = Retention::new().max_jobs(10).archive_to(&directory);
    movie.set_retention(Some(policy)).unwrap();
    other
        .set_retention(Some(Retention::new().max_jobs(5)))
        .unwrap();
    let error = movie.purge(JobQuery::new()).unwrap_err();
    assert!(
        matches!(&error, Error::Io { path, .. } if path.starts_with(&place)),
        "{error}"
    );
    wait("the other graph goes on", || {
        other.count(State::Complete).unwrap() == 5
    });
    wait("it is said so", || match store.health() {
        Health::Degraded { why, .. } => why.contains("cannot be archived") && why.contains("movie"),
        _ => false,
    });
    assert_eq!(lines(&movie, JobQuery::new()), before);
    let lag = || store.stats().unwrap().graphs[0].purge_lag;
    let late = lag();
    wait("it is late, and ever later", || {
        late.is_some() && lag() > late
    });
    wait("the other is not", || {
        store.stats().unwrap().graphs[1].purge_lag.is_none()
    });
    // Once it can be written, archiving continues by itself.
    fs::remove_file(&place).unwrap();
    wait("it goes on", || movie.count(State::Complete).unwrap() == 10);
    wait("its health", || store.health() == Health::Ok);
    wait("it is late no more", || lag().is_none());
    store.close().unwrap();
    assert_eq!(archived(&directory, ".gz"), before[..40]);
}

#[test]
fn purging_by_age_is_late_since_the_first_job_was_due() {
    const HOUR: Duration = Duration::from_secs(3600);
    let dir = tempfile::tempdir().unwrap();
    let begun = SystemTime::now();
    let at = |time| small_segments().clock(At(time));
    let store = at(begun).open(dir.path().join("store")).unwrap();
    fill(&store.create_graph("1", "movie").unwrap(), 3);
    store.close().unwrap();
    let store = at(begun + 20 * HOUR)
        .open(dir.path().join("store"))
        .unwrap();
    let movie = store.graph("1", "movie").unwrap();
    // A file where the directory should be.
    fs::write(dir.path().join("place"), "").unwrap();
    let policy = Retention::new().archive_to(dir.path().join("place"));
    movie
        .set_retention(Some(policy.clone().max_age(21 * HOUR)))
        .unwrap();
    assert_eq!(store.stats().unwrap().graphs[0].purge_lag, None);
    movie
        .set_retention(Some(policy.max_age(15 * HOUR)))
        .unwrap();
    let lag = || store.stats().unwrap().graphs[0].purge_lag;
    wait("it is late", || lag().is_some());
    assert!(
        (5 * HOUR..6 * HOUR).contains(&lag().unwrap()),
        "{:?}",
        lag()
    );
    movie.set_retention(None).unwrap();
    assert_eq!(lag(), None);
}

#[test]
fn a_purge_that_a_crash_undid_is_archived_twice_at_most() {
    let dir = tempfile::tempdir().unwrap();
    let directory = dir.path().join("archive");
    let policy = || Retention::new().archive_to(&directory);
    let (store, movie) = open(dir.path());
    fill(&movie, 90);
    let before = lines(&movie, JobQuery::new());
    store.close().unwrap();
    // The store as left by a process that dies between the archive's sync and the commit.
    let undone = dir.path().join("undone");
    copy_directory(&dir.path().join("store"), &undone);
    let (store, movie) = open(dir.path());
    movie.set_retention(Some(policy())).unwrap();
    movie.purge(JobQuery::new().command("import")).unwrap();
    let part = files_ending(&directory, ".part").remove(0);
    let mut content = fs::read(&part).unwrap();
    store.close().unwrap();
    fs::remove_dir_all(dir.path().join("store")).unwrap();
    fs::rename(&undone, dir.path().join("store")).unwrap();
    for file in files_ending(&directory, ".gz") {
        fs::remove_file(file).unwrap();
    }
    // Some of the next data follows what was synced.
    content.extend_from_within(..1000);
    fs::write(&part, &content).unwrap();
    let (store, movie) = open(dir.path());
    movie.set_retention(Some(policy())).unwrap();
    wait("the part has its name", || !part.exists());
    assert_eq!(archived(&directory, ".gz"), before);
    assert_eq!(movie.purge(JobQuery::new()).unwrap().jobs, 90);
    store.close().unwrap();
    let found = archived(&directory, ".gz");
    let counts = counted(&found);
    assert_eq!(counts.len(), 90);
    assert!(counts.values().all(|&count| count <= 2));
    assert!(before.iter().all(|line| counts.contains_key(line.as_str())));
    assert_eq!(files_ending(&directory, ".part").len(), 0);
}

#[test]
fn a_policy_that_is_withdrawn_purges_no_more_and_what_went_is_archived() {
    let dir = tempfile::tempdir().unwrap();
    let directory = dir.path().join("archive");
    let (store, movie) = open(dir.path());
    let jobs: String = (0..20_000)
        .map(|n| {
            format!(r#"{{"jobId":"j{n}","status":"complete","request":{{"command":"c"}}}}"#) + "\n"
        })
        .collect();
    movie.import(jobs.as_bytes(), OnBadLine::Stop).unwrap();
    let policy = Retention::new().max_jobs(0).archive_to(&directory);
    movie.set_retention(Some(policy)).unwrap();
    let left = || movie.count(State::Complete).unwrap();
    wait("some are purged", || left() < 20_000);
    movie.set_retention(None).unwrap();
    let withdrawn = left();
    // Graphs are processed in order: jobs in a later graph are purged later.
    let other = store.create_graph("1", "other").unwrap();
    fill(&other, 3);
    other
        .set_retention(Some(Retention::new().max_jobs(0)))
        .unwrap();
    wait("another round", || {
        other.count(State::Complete).unwrap() == 0
    });
    assert_eq!(left(), withdrawn);
    wait("its file is whole", || {
        files_ending(&directory, ".part").is_empty()
    });
    let gone = 20_000 - usize::try_from(withdrawn).unwrap();
    assert_eq!(archived(&directory, ".gz").len(), gone);
    assert_eq!(movie.purge(JobQuery::new()).unwrap().jobs, withdrawn);
}

#[test]
fn a_file_that_is_taken_away_is_said_to_be_lost_and_a_new_one_begins() {
    type Taking = fn(&Path);
    let takings: [(&str, Taking); 4] = [
        ("file removed", |directory| {
            fs::remove_file(&files_ending(directory, ".part")[0]).unwrap();
        }),
        ("directory removed", |directory| {
            fs::remove_dir_all(directory).unwrap();
        }),
        ("directory renamed", |directory| {
            fs::rename(directory, directory.with_extension("old")).unwrap();
            fs::create_dir(directory).unwrap();
        }),
        ("replaced", |directory| {
            let part = &files_ending(directory, ".part")[0];
            fs::remove_file(part).unwrap();
            fs::write(part, "").unwrap();
        }),
    ];
    for (what, take) in takings {
        let dir = common::closed_directory();
        let directory = dir.path().join("archive");
        let (store, movie) = open(dir.path());
        let policy = || Some(Retention::new().archive_to(&directory));
        movie.set_retention(policy()).unwrap();
        fill(&movie, 3);
        movie.purge(JobQuery::new()).unwrap();
        take(&directory);
        fill(&movie, 5);
        let kept = lines(&movie, JobQuery::new());
        assert_eq!(movie.purge(JobQuery::new()).unwrap().jobs, 5, "{what}");
        match store.health() {
            Health::Degraded { why, .. } => assert!(why.contains("has lost"), "{what}: {why}"),
            other => panic!("{what}: {other:?}"),
        }
        movie.set_retention(policy()).unwrap();
        assert_eq!(store.health(), Health::Ok, "{what}");
        // The next one is lost, too, and nothing waits for its completion.
        fs::remove_dir_all(&directory).unwrap();
        movie.set_retention(None).unwrap();
        fill(&movie, 2);
        assert_eq!(movie.purge(JobQuery::new()).unwrap().jobs, 2, "{what}");
        movie.set_retention(policy()).unwrap();
        fill(&movie, 2);
        let rest = lines(&movie, JobQuery::new());
        movie.purge(JobQuery::new()).unwrap();
        store.close().unwrap();
        assert_eq!(archived(&directory, ".gz"), rest, "{what}");
        assert_eq!(kept.len(), 5);
    }
}

#[test]
fn a_copy_of_the_store_leaves_the_file_alone_that_the_store_writes() {
    let dir = tempfile::tempdir().unwrap();
    let directory = dir.path().join("archive");
    let policy = || Some(Retention::new().archive_to(&directory));
    let (store, movie) = open(dir.path());
    movie.set_retention(policy()).unwrap();
    fill(&movie, 9);
    let all = lines(&movie, JobQuery::new());
    store.backup(dir.path().join("copy")).unwrap();
    movie.purge(JobQuery::new()).unwrap();
    let copy = small_segments().open(dir.path().join("copy")).unwrap();
    let same = copy.graph("1", "movie").unwrap();
    same.set_retention(policy()).unwrap();
    same.purge(JobQuery::new()).unwrap();
    assert_eq!(files_ending(&directory, ".part").len(), 2);
    fill(&movie, 4);
    let more = lines(&movie, JobQuery::new());
    movie.purge(JobQuery::new()).unwrap();
    assert_eq!(
        archived(&directory, ".part"),
        [&*all, &*more, &*all].concat()
    );
    copy.close().unwrap();
    store.close().unwrap();
    assert_eq!(archived(&directory, ".gz"), [&*all, &*more, &*all].concat());
}

#[test]
fn files_are_in_the_order_of_the_purges_when_the_clock_goes_back() {
    let dir = tempfile::tempdir().unwrap();
    let directory = dir.path().join("archive");
    let mut all = Vec::new();
    for hours in [3, 2, 1] {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + hours * 3600);
        let store = small_segments().clock(At(at));
        let store = store.open(dir.path().join("store")).unwrap();
        let movie = store.get_or_create_graph("1", "movie").unwrap();
        let policy = Retention::new()
            .archive_to(&directory)
            .archive_file_bytes(0);
        movie.set_retention(Some(policy)).unwrap();
        for _ in 0..2 {
            fill(&movie, 1);
            all.extend(lines(&movie, JobQuery::new()));
            movie.purge(JobQuery::new()).unwrap();
        }
        store.close().unwrap();
    }
    assert_eq!(archived(&directory, ".gz"), all);
    assert_eq!(names_in(&directory).len(), 6);
}

#[test]
fn an_archive_within_the_store_is_refused_and_another_policy_ends_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let (store, movie) = open(dir.path());
    let policy = |directory: &str| Retention::new().archive_to(dir.path().join(directory));
    std::os::unix::fs::symlink(dir.path().join("store"), dir.path().join("link")).unwrap();
    for directory in [
        "store",
        "store/archive",
        "link",
        "link/a/b",
        "none/../store/a",
        "store/../link/index",
    ] {
        let refused = movie.set_retention(Some(policy(directory)));
        assert!(
            matches!(refused, Err(Error::InvalidUse { .. })),
            "{directory}: {refused:?}"
        );
    }
    assert_eq!(movie.retention(), None);
    for directory in ["a", "b"] {
        fill(&movie, 3);
        movie.set_retention(Some(policy(directory))).unwrap();
        movie.purge(JobQuery::new()).unwrap();
    }
    // The archiver's thread completes the file of the previous policy.
    common::wait_until("the first archive's file is ended", || {
        archived(&dir.path().join("a"), ".gz").len() == 3
    });
    assert_eq!(archived(&dir.path().join("b"), ".part").len(), 3);
    // The same for a dropped graph.
    store.drop_graph("1", "movie").unwrap();
    drop(movie);
    store.close().unwrap();
    assert_eq!(archived(&dir.path().join("b"), ".gz").len(), 3);
}
