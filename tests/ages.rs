//! Ages of jobs, whatever the system clock shows.
//!
//! A job's age is the time the store was open since it completed, plus the time it was
//! closed as far as that is plausible. No single reading of the clock, no imported time,
//! and no rebuilt index makes a job older.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::{Random, lose_index, request, small_segments};
use jobstore::{Clock, Graph, Health, JobQuery, JobStore, OnBadLine, Outcome, Retention, State};

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
const YEAR: u64 = 365 * DAY;
/// November 2023.
const NOW: u64 = 1_700_000_000_000;
const YEAR_2100: u64 = 4_102_444_800_000;
const YEAR_2020: u64 = 1_577_836_800_000;

/// A system clock that the test sets.
#[derive(Clone)]
struct Wall(Arc<AtomicU64>);

impl Wall {
    fn at(ms: u64) -> Wall {
        Wall(Arc::new(AtomicU64::new(ms)))
    }

    fn set(&self, ms: u64) {
        self.0.store(ms, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Clock for Wall {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.get())
    }
}

/// A directory that the store creates.
fn home() -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("store");
    (root, dir)
}

fn open(dir: &Path, wall: &Wall) -> (JobStore, Graph) {
    let store = small_segments().clock(wall.clone()).open(dir).unwrap();
    let movie = match store.graph("1", "movie") {
        Ok(movie) => movie,
        Err(_) => store.create_graph("1", "movie").unwrap(),
    };
    (store, movie)
}

fn finish(movie: &Graph, ids: std::ops::Range<u64>) {
    for n in ids {
        let id = format!("job-{n}");
        movie.submit_as(&id, request("c", "{}")).unwrap();
        movie
            .claim(&id)
            .unwrap()
            .complete(Outcome::succeeded())
            .unwrap();
    }
}

fn import(movie: &Graph, id: &str, completed_ms: u64) {
    let line = format!(
        r#"{{"jobId":"{id}","status":"complete","request":{{"command":"c","url":"/","body":{{}}}},"outcome":{{"kind":"succeeded"}},"submittedAt":{YEAR_2020},"completedAt":{completed_ms}}}"#
    );
    let done = movie.import(line.as_bytes(), OnBadLine::Stop).unwrap();
    assert_eq!(done.imported, 1);
}

fn days(days: u64) -> Duration {
    Duration::from_millis(days * DAY)
}

fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < deadline, "not so yet: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Applies an age limit until the store has examined every job. A complete job in another graph,
/// which the same policy purges, shows that it has.
fn apply(store: &JobStore, movie: &Graph, age: Duration) {
    let probe = match store.graph("1", "probe") {
        Ok(probe) => probe,
        Err(_) => store.create_graph("1", "probe").unwrap(),
    };
    movie
        .set_retention(Some(Retention::new().max_age(age)))
        .unwrap();
    // Graphs are visited in order, and the probe comes after the others: the second job is
    // purged by a round that began after the policy was set.
    for _ in 0..2 {
        let id = probe.submit(request("probe", "{}")).unwrap();
        probe.cancel(&id).unwrap();
        probe
            .set_retention(Some(Retention::new().max_jobs(0)))
            .unwrap();
        wait("the probe is purged", || {
            probe.count(State::Complete).unwrap() == 0
        });
    }
}

fn complete(movie: &Graph) -> u64 {
    movie.count(State::Complete).unwrap()
}

fn pack(store: &JobStore, dir: &Path) {
    common::pack(store, dir);
}

#[test]
fn an_imported_end_in_the_future_makes_no_other_job_old() {
    for lost in [false, true] {
        let (_root, dir) = home();
        let wall = Wall::at(NOW);
        let (store, movie) = open(&dir, &wall);
        finish(&movie, 0..100);
        import(&movie, "imported", YEAR_2100);
        store.close().unwrap();
        drop((store, movie));
        if lost {
            lose_index(&dir);
        }
        wall.set(NOW + HOUR);
        let (store, movie) = open(&dir, &wall);
        apply(&store, &movie, days(30));
        assert_eq!(complete(&movie), 101, "index lost: {lost}");
        assert_eq!(store.health(), Health::Ok);
    }
}

#[test]
fn a_first_open_under_a_clock_ahead_makes_nothing_old() {
    for way in ["corrected while closed", "corrected while open"] {
        let (_root, dir) = home();
        let wall = Wall::at(YEAR_2100);
        let (store, movie) = open(&dir, &wall);
        finish(&movie, 0..10);
        if way == "corrected while open" {
            wall.set(NOW);
            finish(&movie, 10..20);
        }
        store.close().unwrap();
        drop((store, movie));
        wall.set(NOW + 60_000);
        let (store, movie) = open(&dir, &wall);
        finish(&movie, 100..110);
        let all = complete(&movie);
        apply(&store, &movie, days(30));
        assert_eq!(complete(&movie), all, "{way}");
        assert_eq!(store.health(), Health::Ok, "{way}");
        // Closed time counts again, although the clock is still behind.
        drop((store, movie));
        for n in 1..=40 {
            wall.set(NOW + 60_000 + n * (DAY - HOUR));
            let (store, _) = open(&dir, &wall);
            store.close().unwrap();
        }
        let (store, movie) = open(&dir, &wall);
        apply(&store, &movie, days(30));
        wait("all are old", || complete(&movie) == 0);
    }
}

#[test]
fn a_rebuilt_index_gives_the_same_ages() {
    let (_root, dir) = home();
    let wall = Wall::at(NOW);
    let mut jobs = 0;
    // After every ten jobs, the store is closed for a day less an hour.
    for day in 0..5 {
        wall.set(NOW + day * (DAY - HOUR));
        let (store, movie) = open(&dir, &wall);
        finish(&movie, jobs..jobs + 10);
        jobs += 10;
        import(&movie, &format!("ahead-{day}"), YEAR_2100);
        import(&movie, &format!("behind-{day}"), wall.get() - HOUR / 2);
        if day % 2 == 0 {
            pack(&store, &dir);
        }
        store.close().unwrap();
    }
    lose_index(&dir);
    let (store, movie) = open(&dir, &wall);
    apply(&store, &movie, days(6));
    assert_eq!(complete(&movie), 60);
    // The first two rounds are three and four days old, less some hours.
    apply(&store, &movie, days(2));
    wait("two rounds are purged", || complete(&movie) == 36);
    apply(&store, &movie, days(1));
    wait("three rounds are purged", || complete(&movie) == 24);
    assert!(movie.job("job-40").unwrap().is_some());
    assert_eq!(store.health(), Health::Ok);
}

#[test]
fn a_clock_that_is_wrong_for_a_moment_while_open_makes_nothing_old() {
    for wrong in [0, YEAR_2100] {
        for reopened in [false, true] {
            let (_root, dir) = home();
            let wall = Wall::at(NOW);
            let (mut store, mut movie) = open(&dir, &wall);
            finish(&movie, 0..50);
            wall.set(wrong);
            finish(&movie, 50..100);
            import(&movie, "imported", NOW - HOUR);
            wall.set(NOW + 1000);
            finish(&movie, 100..110);
            if reopened {
                store.close().unwrap();
                drop((store, movie));
                lose_index(&dir);
                (store, movie) = open(&dir, &wall);
            }
            apply(&store, &movie, days(30));
            assert_eq!(complete(&movie), 111, "{wrong} {reopened}");
            assert_eq!(store.health(), Health::Ok, "{wrong} {reopened}");
        }
    }
}

#[test]
fn a_clock_that_is_wrong_at_an_open_makes_nothing_old() {
    for wrong in [0, YEAR_2100] {
        let (_root, dir) = home();
        let wall = Wall::at(NOW);
        let (store, movie) = open(&dir, &wall);
        finish(&movie, 0..50);
        store.close().unwrap();
        drop((store, movie));
        wall.set(wrong);
        let (store, movie) = open(&dir, &wall);
        finish(&movie, 50..60);
        apply(&store, &movie, days(30));
        assert_eq!(complete(&movie), 60, "{wrong}");
        let is_doubted = matches!(store.health(), Health::Degraded { .. });
        assert_eq!(is_doubted, wrong == YEAR_2100, "{wrong}");
        store.close().unwrap();
        drop((store, movie));
        wall.set(NOW + 60_000);
        let (store, movie) = open(&dir, &wall);
        apply(&store, &movie, days(30));
        assert_eq!(complete(&movie), 60, "{wrong}");
        // Once the clock is right, no confirmation is needed.
        assert_eq!(store.health(), Health::Ok, "{wrong}");
    }
}

#[test]
fn a_job_imported_from_2020_is_old_and_nothing_else_is() {
    for reopened in [false, true] {
        let (_root, dir) = home();
        let wall = Wall::at(NOW);
        let (mut store, mut movie) = open(&dir, &wall);
        finish(&movie, 0..10);
        import(&movie, "old", YEAR_2020);
        import(&movie, "young", NOW - DAY);
        if reopened {
            store.close().unwrap();
            drop((store, movie));
            lose_index(&dir);
            wall.set(NOW + 60_000);
            (store, movie) = open(&dir, &wall);
        }
        apply(&store, &movie, days(30));
        wait("the old one is purged", || complete(&movie) == 11);
        assert!(movie.tombstone("old").unwrap().is_some());
        assert_eq!(store.health(), Health::Ok);
    }
}

#[test]
fn a_backup_that_is_restored_later_purges_nothing_until_the_clock_is_confirmed() {
    let root = tempfile::tempdir().unwrap();
    let wall = Wall::at(NOW);
    let (store, movie) = open(&root.path().join("store"), &wall);
    finish(&movie, 0..10);
    let copy = root.path().join("copy");
    store.backup(&copy).unwrap();
    drop((store, movie));
    wall.set(NOW + 40 * DAY);
    let (store, movie) = open(&copy, &wall);
    apply(&store, &movie, days(30));
    assert_eq!(complete(&movie), 10);
    assert!(matches!(store.health(), Health::Degraded { .. }));
    store.confirm_clock().unwrap();
    wait("all are old", || complete(&movie) == 0);
    assert_eq!(store.health(), Health::Ok);
}

#[test]
fn a_confirmation_survives_a_crash() {
    let (root, dir) = home();
    let wall = Wall::at(NOW);
    let (store, movie) = open(&dir, &wall);
    finish(&movie, 0..10);
    store.close().unwrap();
    drop((store, movie));
    wall.set(NOW + 40 * DAY);
    let (store, movie) = open(&dir, &wall);
    store.confirm_clock().unwrap();
    // The state after a crash.
    let crashed = root.path().join("crashed");
    common::copy_directory(&dir, &crashed);
    drop((store, movie));
    let (store, movie) = open(&crashed, &wall);
    assert!(!format!("{:?}", store.health()).contains("clock"));
    apply(&store, &movie, days(30));
    wait("all are old", || complete(&movie) == 0);
}

#[test]
fn a_doubt_outlives_a_restart_and_ends_when_the_clock_is_set_back() {
    let (_root, dir) = home();
    let wall = Wall::at(NOW);
    let (store, movie) = open(&dir, &wall);
    finish(&movie, 0..10);
    store.close().unwrap();
    drop((store, movie));
    wall.set(NOW + 40 * DAY);
    for _ in 0..3 {
        let (store, movie) = open(&dir, &wall);
        apply(&store, &movie, days(30));
        assert_eq!(complete(&movie), 10);
        assert!(matches!(store.health(), Health::Degraded { .. }));
        wall.set(wall.get() + 60_000);
        store.close().unwrap();
    }
    let (store, movie) = open(&dir, &wall);
    apply(&store, &movie, days(30));
    wall.set(NOW + HOUR);
    finish(&movie, 10..20);
    assert_eq!(store.health(), Health::Ok);
    store.confirm_clock().unwrap();
    apply(&store, &movie, days(30));
    assert_eq!(complete(&movie), 20);
}

/// Closed for 40 days between two groups of jobs; the gap is confirmed after the second.
#[test]
fn a_confirmed_gap_makes_older_only_what_completed_before_it() {
    for way in ["at once", "reopened", "index lost", "packed", "crashed"] {
        let (root, mut dir) = home();
        let wall = Wall::at(NOW);
        let (store, movie) = open(&dir, &wall);
        finish(&movie, 0..10);
        store.close().unwrap();
        drop((store, movie));
        wall.set(NOW + 40 * DAY);
        let (mut store, mut movie) = open(&dir, &wall);
        finish(&movie, 10..15);
        apply(&store, &movie, days(30));
        assert_eq!(complete(&movie), 15, "{way}");
        movie.set_retention(None).unwrap();
        store.confirm_clock().unwrap();
        store.confirm_clock().unwrap();
        finish(&movie, 15..20);
        // Jobs from before, after, and within the gap.
        import(&movie, "before", NOW - DAY);
        import(&movie, "within", NOW + 20 * DAY);
        import(&movie, "after", NOW + 40 * DAY);
        if way == "packed" {
            pack(&store, &dir);
        }
        if way == "crashed" {
            let crashed = root.path().join("crashed");
            common::copy_directory(&dir, &crashed);
            dir = crashed;
        }
        if way != "at once" {
            if way != "crashed" {
                store.close().unwrap();
            }
            drop((store, movie));
            if way == "index lost" || way == "packed" {
                lose_index(&dir);
            }
            for _ in 0..2 {
                wall.set(wall.get() + 60_000);
                drop(open(&dir, &wall));
            }
            (store, movie) = open(&dir, &wall);
        }
        apply(&store, &movie, days(42));
        assert_eq!(complete(&movie), 23, "{way}: all are younger");
        apply(&store, &movie, Duration::from_millis(41 * DAY - HOUR));
        wait("the imported one is old", || complete(&movie) == 22);
        assert!(movie.tombstone("before").unwrap().is_some(), "{way}");
        apply(&store, &movie, days(39));
        wait("the first round is old", || complete(&movie) == 12);
        apply(&store, &movie, Duration::from_millis(HOUR));
        assert_eq!(complete(&movie), 12, "{way}");
        assert!(movie.job("job-10").unwrap().is_some(), "{way}");
        assert!(!format!("{:?}", store.health()).contains("clock"), "{way}");
    }
}

/// A confirmation is kept when everything recorded before it has been compacted.
#[test]
fn a_confirmed_gap_outlives_compaction() {
    let (_root, dir) = home();
    let wall = Wall::at(NOW);
    let (store, movie) = open(&dir, &wall);
    finish(&movie, 0..10);
    store.close().unwrap();
    drop((store, movie));
    wall.set(NOW + 40 * DAY);
    let (store, movie) = open(&dir, &wall);
    store.create_graph("1", "other").unwrap();
    store.confirm_clock().unwrap();
    let other = store.graph("1", "other").unwrap();
    finish(&other, 10..400);
    pack(&store, &dir);
    other.purge(JobQuery::new()).unwrap();
    store.drop_graph("1", "other").unwrap();
    finish(&movie, 400..405);
    pack(&store, &dir);
    store.close().unwrap();
    drop((store, movie, other));
    lose_index(&dir);
    let (store, movie) = open(&dir, &wall);
    apply(&store, &movie, days(39));
    wait("the first round is old", || complete(&movie) == 5);
    assert!(movie.job("job-400").unwrap().is_some());
}

/// The same for a host that slept while the store was open.
#[test]
fn a_confirmed_sleep_makes_older_only_what_completed_before_it() {
    let (_root, dir) = home();
    let wall = Wall::at(NOW);
    let (store, movie) = open(&dir, &wall);
    finish(&movie, 0..10);
    wall.set(NOW + 3 * DAY);
    finish(&movie, 10..11);
    finish(&movie, 11..20);
    store.confirm_clock().unwrap();
    apply(&store, &movie, days(2));
    wait("the first round is old", || complete(&movie) <= 10);
    apply(&store, &movie, Duration::from_millis(HOUR));
    assert!(movie.job("job-11").unwrap().is_some());
    assert!(complete(&movie) >= 9);
}

/// The expected state: the age clock according to the rules, in hours if possible.
struct Model {
    age: i64,
    /// The system clock when the store was last known to be open.
    wall: u64,
    jobs: BTreeMap<String, i64>,
}

impl Model {
    fn open_at(&mut self, wall: u64) {
        if let Some(gap) = wall.checked_sub(self.wall).filter(|gap| *gap <= DAY) {
            self.age += gap as i64;
        }
        self.wall = wall;
    }

    fn younger_than(&self, limit: u64) -> u64 {
        let young = self
            .jobs
            .values()
            .filter(|&&at| self.age - at < limit as i64);
        young.count() as u64
    }
}

/// Clock jumps, closed and open stores, lost indexes, packed files, restored backups: a job is
/// purged by age if and only if its true age exceeds the limit.
#[test]
fn ages_are_what_a_model_of_time_says() {
    let seeds = std::env::var("JOBSTORE_AGE_SEEDS")
        .ok()
        .and_then(|n| n.parse().ok());
    for seed in 0..seeds.unwrap_or(6) {
        life(seed);
    }
}

fn life(seed: u64) {
    let root = tempfile::tempdir().unwrap();
    let mut random = Random(seed + 1);
    let wall = Wall::at([NOW, YEAR_2100, 0][(seed % 3) as usize]);
    let mut dir = root.path().join("store");
    let (mut store, mut movie) = open(&dir, &wall);
    let mut model = Model {
        age: 0,
        wall: wall.get(),
        jobs: BTreeMap::new(),
    };
    let mut made = 0;
    for step in 0..60 {
        match random.below(10) {
            0..=2 => {
                let count = 1 + random.below(5);
                finish(&movie, made..made + count);
                for n in made..made + count {
                    model.jobs.insert(format!("job-{n}"), model.age);
                }
                made += count;
            }
            // The clock jumps while the store is open, and no time passes.
            3 => {
                let to = [0, YEAR_2100, NOW, wall.get() + 50 * DAY][random.below(4) as usize];
                wall.set(to + random.below(100) * HOUR);
                model.wall = wall.get();
                // The jump is detected: the store reads its clock with each commit.
                finish(&movie, made..made + 1);
                model.jobs.insert(format!("job-{made}"), model.age);
                made += 1;
            }
            // A future date: it completed now.
            4 => {
                let id = format!("ahead-{step}");
                import(&movie, &id, wall.get() + 1 + random.below(YEAR));
                model.jobs.insert(id, model.age);
            }
            5 if random.below(2) == 0 => pack(&store, &dir),
            5..=7 => {
                store.close().unwrap();
                drop((store, movie));
                // Mostly a few hours; sometimes a jump, forward or backward.
                let gap = random.below(23) * HOUR;
                wall.set(match random.below(6) {
                    0 => wall.get() + 2 * DAY + gap,
                    1 => wall.get().saturating_sub(3 * YEAR),
                    2 => [0, YEAR_2100][random.below(2) as usize] + gap,
                    _ => wall.get() + gap,
                });
                if random.below(3) == 0 {
                    lose_index(&dir);
                }
                (store, movie) = open(&dir, &wall);
                model.open_at(wall.get());
            }
            8 => {
                let copy = root.path().join(format!("copy-{step}"));
                store.backup(&copy).unwrap();
                drop((store, movie));
                dir = copy;
                (store, movie) = open(&dir, &wall);
                model.open_at(wall.get());
            }
            _ => {
                let limit = random.below(40) * HOUR + HOUR / 2;
                apply(&store, &movie, Duration::from_millis(limit));
                movie.set_retention(None).unwrap();
                let age = model.age;
                model.jobs.retain(|_, at| age - *at < limit as i64);
            }
        }
        let found: Vec<String> = {
            let page = movie.list(JobQuery::new()).unwrap();
            let ids = page.jobs().map(|job| job.unwrap().id().to_string());
            let mut ids: Vec<String> = ids.collect();
            ids.sort();
            ids
        };
        let expected: Vec<String> = model.jobs.keys().cloned().collect();
        assert_eq!(found, expected, "seed {seed}, step {step}");
        assert_eq!(model.younger_than(u64::MAX >> 1), found.len() as u64);
    }
}
