//! Guarantee: histories and tallies never count a job under the command of another one, even if the
//! log was damaged and repaired.

mod common;

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{lose_index, request};
use jobstore::{Graph, JobCounts, JobQuery, JobStore, Outcome, OutcomeKind, TallyBy, TallyKey};

fn open(dir: &Path) -> (JobStore, Graph) {
    let store = JobStore::open(dir).unwrap();
    let movie = store.get_or_create_graph("1", "movie").unwrap();
    (store, movie)
}

/// Flips a bit of the only segment, in the first occurrence of a text, and repairs the store.
fn damage_and_repair(dir: &Path, text: &str) {
    let entries = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut segments = entries.filter(|path| path.extension().is_some_and(|e| e == "segment"));
    let segment = segments.next().unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    let mut places = bytes.windows(text.len());
    let at = places.position(|place| place == text.as_bytes()).unwrap();
    bytes[at] ^= 1;
    fs::write(&segment, &bytes).unwrap();
    assert!(JobStore::open(dir).is_err());
    JobStore::repair(dir).unwrap();
}

fn history(movie: &Graph) -> Vec<(Option<String>, JobCounts)> {
    let (end, day) = (SystemTime::now() + MINUTE, 24 * 60 * MINUTE);
    let points = movie.history(UNIX_EPOCH, end, day).unwrap();
    points
        .into_iter()
        .flat_map(|point| point.commands)
        .collect()
}

const MINUTE: Duration = Duration::from_secs(60);

fn command(name: &str) -> TallyKey {
    TallyKey::Command(Some(name.to_owned()))
}

#[test]
fn the_number_of_a_command_whose_name_is_lost_is_not_assigned_again() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("store");
    let (store, movie) = open(&dir);
    for name in ["first_command", "second_command"] {
        for _ in 0..10 {
            let id = movie.submit(request(name, "{}")).unwrap();
            let run = movie.claim(&id).unwrap();
            run.complete(Outcome::succeeded()).unwrap();
        }
    }
    store.close().unwrap();
    drop((store, movie));
    // The event that names the command, and the first job with it.
    damage_and_repair(&dir, "second_command");
    let (store, movie) = open(&dir);
    movie.submit(request("third_command", "{}")).unwrap();
    let check = |movie: &Graph| {
        let tally = movie.tally(JobQuery::new(), TallyBy::Command).unwrap();
        assert_eq!(tally.of(&command("first_command")), 10);
        assert_eq!(tally.of(&command("third_command")), 1, "{tally:?}");
        let history = history(movie);
        let third = history
            .iter()
            .find(|(name, _)| name.as_deref() == Some("third_command"));
        assert_eq!(third.unwrap().1.submitted(), 1, "{history:?}");
    };
    check(&movie);
    store.close().unwrap();
    drop((store, movie));
    for lose in [false, true] {
        if lose {
            lose_index(&dir);
        }
        let (store, movie) = open(&dir);
        check(&movie);
        store.close().unwrap();
    }
}

#[test]
fn jobs_that_are_interrupted_because_events_are_lost_keep_their_command() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("store");
    let (store, movie) = open(&dir);
    for n in 0..12 {
        let request = request("first_command", "{}");
        let origin = if n == 10 { "the lost one" } else { "" };
        movie.submit(request.with_origin(origin).unwrap()).unwrap();
    }
    store.close().unwrap();
    drop((store, movie));
    damage_and_repair(&dir, "the lost one");
    let (store, movie) = open(&dir);
    let query = || JobQuery::new().command("first_command");
    let listed = movie.list(query().count_total()).unwrap().total();
    assert_eq!(listed, Some(11));
    let tally = movie.tally(query(), TallyBy::Command).unwrap();
    assert_eq!(tally.groups, [(command("first_command"), 11)]);
    let history = history(&movie);
    let interrupted: Vec<_> = history
        .iter()
        .map(|(name, counts)| (name.as_deref(), counts.completed(OutcomeKind::Interrupted)))
        .collect();
    assert_eq!(interrupted, [(Some("first_command"), 10)]);
    store.close().unwrap();
}
