//! Extreme times and durations: nothing panics, and a wait longer than any clock can represent
//! never times out.

mod common;
#[cfg(feature = "http")]
#[path = "common/http.rs"]
mod http;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{request, small_segments};
use jobstore::{
    Clock, Durability, Error, JobQuery, JobStore, OnBadLine, Options, Outcome, OutcomeKind,
    Retention,
};

/// The earliest and the latest time that the system can represent, and some in between.
fn times() -> Vec<SystemTime> {
    let ends = |far: fn(Duration) -> Option<SystemTime>| {
        (0..64)
            .filter_map(move |bits| far(Duration::from_secs(u64::MAX >> bits)))
            .next()
    };
    let latest = ends(|far| UNIX_EPOCH.checked_add(far));
    let earliest = ends(|far| UNIX_EPOCH.checked_sub(far));
    let near = [UNIX_EPOCH, SystemTime::now()];
    latest.into_iter().chain(earliest).chain(near).collect()
}

/// A clock stopped at one time.
#[derive(Clone)]
struct At(SystemTime);

impl Clock for At {
    fn now(&self) -> SystemTime {
        self.0
    }
}

fn live(options: Options, dir: &std::path::Path) {
    let store = options.open(dir).unwrap();
    let movie = store.get_or_create_graph("1", "movie").unwrap();
    for n in 0..3 {
        let id = movie.submit(request("c", &n.to_string())).unwrap();
        movie
            .claim(&id)
            .unwrap()
            .complete(Outcome::succeeded())
            .unwrap();
    }
    movie.list(JobQuery::new()).unwrap();
    movie
        .changes(None)
        .unwrap()
        .for_each(|change| drop(change.unwrap()));
    let write = &mut movie.nonblocking().submit(request("c", "{}"));
    assert!(write.wait_timeout(Duration::MAX).unwrap().is_ok());
    let _ = store.health();
    store.close().unwrap();
}

#[test]
fn options_take_any_duration() {
    for time in [
        Duration::MAX,
        Duration::from_secs(u64::MAX >> 1),
        Duration::ZERO,
    ] {
        let options = [
            small_segments().durability(Durability::Interval(time)),
            small_segments().snapshot_timeout(time),
            small_segments().close_timeout(time),
        ];
        for options in options {
            let dir = tempfile::tempdir().unwrap();
            match options.clone().open(dir.path()) {
                Err(Error::InvalidOption { .. }) => continue,
                Err(error) => panic!("{error}"),
                Ok(store) => store.close().unwrap(),
            }
            live(options, dir.path());
        }
    }
}

#[test]
fn a_clock_may_say_anything() {
    let dir = tempfile::tempdir().unwrap();
    for time in times() {
        live(small_segments().clock(At(time)), dir.path());
        let fresh = tempfile::tempdir().unwrap();
        live(small_segments().clock(At(time)), fresh.path());
    }
}

#[test]
fn policies_take_any_duration() {
    let store = JobStore::in_memory().unwrap();
    let movie = store.create_graph("1", "movie").unwrap();
    let id = movie.submit(request("c", "{}")).unwrap();
    movie.cancel(&id).unwrap();
    let policy = Retention::new()
        .max_age(Duration::MAX)
        .max_age_of(OutcomeKind::Failed, Duration::MAX)
        .tombstone_age(Duration::MAX);
    movie.set_retention(Some(policy)).unwrap();
    let stone = movie.submit(request("c", "{}")).unwrap();
    movie.cancel(&stone).unwrap();
    movie.purge(JobQuery::new().command("none")).unwrap();
    let other = store.create_graph("1", "other").unwrap();
    let probe = other.submit(request("c", "{}")).unwrap();
    other.cancel(&probe).unwrap();
    other
        .set_retention(Some(Retention::new().max_age(Duration::ZERO)))
        .unwrap();
    common::wait_until("the probe is purged", || {
        other.job(&probe).unwrap().is_none()
    });
    assert!(movie.job(&id).unwrap().is_some());
}

#[test]
fn waits_take_any_duration() {
    let store = JobStore::in_memory().unwrap();
    let movie = store.create_graph("1", "movie").unwrap();
    let id = movie.submit(request("c", "{}")).unwrap();
    let mut changes = movie.changes(None).unwrap();
    for time in [Duration::MAX, Duration::ZERO] {
        assert!(changes.next_timeout(time).unwrap().is_some() || time.is_zero());
    }
    let ended = movie.clone();
    let of = id.clone();
    let waiter = std::thread::spawn(move || ended.wait(&of, Duration::MAX).unwrap());
    std::thread::sleep(Duration::from_millis(20));
    movie.cancel(&id).unwrap();
    assert!(waiter.join().unwrap().is_some());
    assert!(movie.wait(&id, Duration::ZERO).unwrap().is_some());
}

#[test]
fn lists_take_any_time() {
    let store = JobStore::in_memory().unwrap();
    let movie = store.create_graph("1", "movie").unwrap();
    let id = movie.submit(request("c", "{}")).unwrap();
    movie.cancel(&id).unwrap();
    for from in times() {
        for before in times() {
            type By = fn(JobQuery, SystemTime) -> JobQuery;
            let by: [(By, By); 3] = [
                (JobQuery::submitted_from, JobQuery::submitted_before),
                (JobQuery::started_from, JobQuery::started_before),
                (JobQuery::completed_from, JobQuery::completed_before),
            ];
            for (by_from, by_before) in by {
                let list = by_before(by_from(JobQuery::new(), from), before);
                movie.list(list.clone()).unwrap();
                movie.purge_dry_run(list).unwrap();
            }
        }
    }
    for ms in [0, 253_402_300_799_999_u64] {
        let line = format!(
            r#"{{"request":{{"command":"c","url":"/","body":{{}}}},"outcome":{{"kind":"succeeded"}},"submittedAt":{ms},"startedAt":{ms},"completedAt":{ms}}}"#
        );
        let done = movie.import(line.as_bytes(), OnBadLine::Stop).unwrap();
        assert_eq!(done.imported, 1);
    }
}

#[cfg(feature = "http")]
#[test]
fn servers_take_any_duration() {
    use jobstore::http::{Bounds, Limits, Routes};
    let store = JobStore::in_memory().unwrap();
    store.create_graph("1", "movie").unwrap();
    let max = Duration::MAX;
    let limits = Limits::new().first_byte(max).stall(max).whole(max);
    let bounds = Bounds::new().head(max).stall(max).grace(max);
    let app = Routes::new(&store).limits(limits).all();
    let mut server = http::Server::bounded(app, bounds);
    let answer = server.get("/ges/v1.0/1/graphs/movie/jobs");
    assert!(answer.status > 0, "there is an answer");
    server.end();
}
