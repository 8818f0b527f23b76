//! Guarantee: the change feed returns every durable change of a graph after a position, once and in
//! the order of commits, wherever the reader stops and continues and whatever happens to the files;
//! changes that are no longer kept are reported as a gap.

mod common;

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use common::{Random, lose_index, request, small_segments};
use jobstore::{
    Change, ChangeKind, Changes, Error, Graph, JobId, JobQuery, JobStore, Outcome, OutcomeKind,
    Position, PurgeReason, Recovery, Retention,
};

fn open(dir: &Path) -> (JobStore, Graph) {
    let options = small_segments().recovery(Recovery::Requeue);
    let store = options.open(dir).unwrap();
    let movie = store.get_or_create_graph("1", "movie").unwrap();
    (store, movie)
}

fn all(changes: Changes) -> Vec<Change> {
    changes.map(|change| change.unwrap()).collect()
}

/// A change without its position and time.
fn said(change: &Change) -> (Option<u64>, ChangeKind) {
    (change.sequence, change.kind.clone())
}

#[test]
fn the_feed_is_what_was_done_wherever_it_is_read_from() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, mut movie) = open(dir.path());
    let mut random = Random(7);
    // The changes to jobs, in order; and the running jobs.
    let mut done: Vec<(Option<u64>, ChangeKind)> = Vec::new();
    let mut running: Vec<(u64, String)> = Vec::new();
    let mut submitted = 0u64;
    let mut position: Option<Position> = None;
    let mut seen = Vec::new();
    for step in 0..200 {
        let roads = store.get_or_create_graph("1", "roads").unwrap();
        roads.submit(request("another", "1")).unwrap();
        match random.below(8) {
            0..=2 => {
                let count = 1 + random.below(30);
                let requests = (0..count).map(|n| request("c", &format!("[{step},{n}]")));
                movie.submit_all(requests).unwrap();
                done.extend((0..count).map(|n| (Some(submitted + n), ChangeKind::Submitted)));
                submitted += count;
            }
            3..=5 => {
                if let Some(run) = movie.claim_next().unwrap() {
                    let job = movie.job(run.id()).unwrap().unwrap();
                    done.push((Some(job.sequence()), ChangeKind::Started));
                    running.push((job.sequence(), run.id().to_string()));
                    run.detach();
                }
            }
            6 => {
                for (sequence, id) in running.drain(..) {
                    if random.below(2) == 0 {
                        movie.cancel(&id).unwrap();
                        done.push((Some(sequence), ChangeKind::CancelRequested));
                    }
                    let outcome = Outcome::failed("c", "m").with_result_ref("r/1").unwrap();
                    movie.complete(&id, outcome.clone()).unwrap();
                    done.push((Some(sequence), ChangeKind::Completed(outcome)));
                }
            }
            _ => {
                store.close().unwrap();
                drop((store, movie, roads));
                if random.below(3) == 0 {
                    lose_index(dir.path());
                }
                (store, movie) = open(dir.path());
                running.sort_unstable();
                let requeued = running.drain(..);
                done.extend(requeued.map(|(sequence, _)| (Some(sequence), ChangeKind::Requeued)));
            }
        }
        // A reader that stops at any change, and continues from the text of its position.
        let mut changes = movie.changes(position.as_ref()).unwrap();
        for change in changes.by_ref().take(random.below(40) as usize) {
            let change = change.unwrap();
            assert!(change.id.is_some() && change.at.is_some(), "{change:?}");
            position = Some(change.position.to_string().parse().unwrap());
            seen.push(said(&change));
        }
        assert_eq!(seen[..], done[..seen.len()], "{step}");
    }
    seen.extend(
        all(movie.changes(position.as_ref()).unwrap())
            .iter()
            .map(said),
    );
    assert_eq!(seen, done);
    common::pack(&store, dir.path());
    let packed = all(movie.changes(None).unwrap());
    assert_eq!(packed.iter().map(said).collect::<Vec<_>>(), done);
    // After every change, and of one job.
    for n in (0..packed.len()).step_by(37) {
        let behind = all(movie.changes(Some(&packed[n].position)).unwrap());
        assert_eq!(behind[..], packed[n + 1..]);
    }
    for change in packed.iter().step_by(50) {
        let id = change.id.clone().unwrap();
        let of_it: Vec<Change> = packed
            .iter()
            .filter(|c| c.id.as_ref() == Some(&id))
            .cloned()
            .collect();
        assert_eq!(all(movie.job_changes(&id, None).unwrap()), of_it);
        assert_eq!(
            movie.job(&id).unwrap().unwrap().sequence(),
            change.sequence.unwrap()
        );
    }
    let end = movie.position().unwrap();
    assert!(all(movie.changes(Some(&end)).unwrap()).is_empty());
}

#[test]
fn a_purge_is_in_the_feed_and_what_it_erased_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let (store, movie) = open(dir.path());
    let mut random = Random(5);
    for n in 0..300 {
        let body: Vec<u64> = (0..20).map(|_| random.below(u64::MAX)).collect();
        let id = movie.submit(request("c", &format!("{body:?}"))).unwrap();
        if n % 10 > 0 {
            let run = movie.claim(&id).unwrap();
            run.complete(
                Outcome::succeeded()
                    .with_result_ref(format!("r/{n}"))
                    .unwrap(),
            )
            .unwrap();
        }
    }
    common::pack(&store, dir.path());
    let before = all(movie.changes(None).unwrap());
    let (middle, end) = (before[400].position.clone(), movie.position().unwrap());
    let packed = store.stats().unwrap().pack_bytes;
    assert_eq!(movie.purge(JobQuery::new()).unwrap().jobs, 270);
    let check = |movie: &Graph, what: &str| {
        let purges = all(movie.changes(Some(&end)).unwrap());
        let expected: Vec<_> = (0..300)
            .filter(|n| n % 10 > 0)
            .map(|n| (n, Some(format!("r/{n}"))))
            .collect();
        let found: Vec<_> = purges
            .iter()
            .map(|change| match &change.kind {
                ChangeKind::Purged {
                    reason: PurgeReason::ByHand,
                    result_ref,
                    ..
                } => (change.sequence.unwrap(), result_ref.clone()),
                other => panic!("{what}: {other:?}"),
            })
            .collect();
        assert_eq!(found, expected, "{what}");
        let text = purges[7].position.to_string();
        let behind = all(movie.changes(Some(&text.parse().unwrap())).unwrap());
        assert_eq!(behind[..], purges[8..], "{what}");
    };
    check(&movie, "at once");
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while store.stats().unwrap().pack_bytes > packed / 2 {
        assert!(std::time::Instant::now() < deadline, "room is not back");
        std::thread::sleep(Duration::from_millis(10));
    }
    check(&movie, "rewritten");
    for from in [None, Some(&middle)] {
        let left = all(movie.changes(from).unwrap());
        let is_gap = |change: &&Change| matches!(change.kind, ChangeKind::Gone { .. });
        assert!(left.iter().any(|change| is_gap(&change)), "a gap is said");
        // The remaining changes of open jobs are unchanged.
        let known: Vec<_> = left.iter().filter(|c| c.id.is_some()).collect();
        let was: Vec<_> = before
            .iter()
            .filter(|c| from.is_none() || c.position != middle)
            .filter(|c| c.sequence.unwrap() % 10 == 0)
            .skip(known.len().abs_diff(30) * usize::from(from.is_some()))
            .collect();
        assert_eq!(known.len(), was.len());
        assert!(known.iter().zip(&was).all(|(a, b)| said(a) == said(b)));
    }
}

/// Submits a job that takes some space in a pack.
fn submit(movie: &Graph, command: &str, random: &mut Random) -> JobId {
    let body: Vec<u64> = (0..20).map(|_| random.below(u64::MAX)).collect();
    movie
        .submit(request(command, &format!("{body:?}")))
        .unwrap()
}

/// Purges the jobs with this command, and waits until the pack that began after this change is
/// rewritten.
fn purge_and_rewrite(movie: &Graph, command: &str, behind: &Change) {
    assert!(movie.purge(JobQuery::new().command(command)).unwrap().jobs > 0);
    common::wait_until("the pack is rewritten", || {
        let next = movie.changes(Some(&behind.position)).unwrap().next();
        matches!(next.unwrap().unwrap().kind, ChangeKind::Gone { .. })
    });
}

/// The number of completions and of gaps in a feed.
fn ends_and_gaps(changes: Changes) -> (usize, usize) {
    let changes = all(changes);
    let count = |is: fn(&ChangeKind) -> bool| changes.iter().filter(|c| is(&c.kind)).count();
    (
        count(|kind| matches!(kind, ChangeKind::Completed(_))),
        count(|kind| matches!(kind, ChangeKind::Gone { .. })),
    )
}

#[test]
fn a_reader_within_an_event_of_many_jobs_misses_none_when_some_are_purged() {
    let dir = tempfile::tempdir().unwrap();
    let options = || small_segments().recovery(Recovery::Interrupt);
    let store = options().open(dir.path()).unwrap();
    let movie = store.create_graph("1", "movie").unwrap();
    let mut random = Random(3);
    for command in ["first", "last"] {
        for _ in 0..200 {
            let id = submit(&movie, command, &mut random);
            movie.claim(&id).unwrap().detach();
        }
    }
    store.close().unwrap();
    drop((store, movie));
    // One event completes them all.
    let store = options().open(dir.path()).unwrap();
    let movie = store.graph("1", "movie").unwrap();
    let ended = all(movie.changes(None).unwrap()).into_iter().filter(|c| {
        let kind = match &c.kind {
            ChangeKind::Completed(outcome) => outcome.kind(),
            _ => return false,
        };
        kind == OutcomeKind::Interrupted
    });
    let ended: Vec<Change> = ended.collect();
    assert_eq!(ended.len(), 400);
    // It shares its pack with jobs that are purged.
    for n in 0..600 {
        let command = if n % 6 < 5 { "first" } else { "last" };
        let id = submit(&movie, command, &mut random);
        movie.cancel(id).unwrap();
    }
    common::pack(&store, dir.path());
    let behind = |n: usize| movie.changes(Some(&ended[n].position)).unwrap();
    let was = [99, 199, 299, 399].map(|n| ends_and_gaps(behind(n)));
    assert_eq!(was, [(900, 0), (800, 0), (700, 0), (600, 0)]);
    purge_and_rewrite(&movie, "first", &ended[399]);
    let check = |movie: &Graph| {
        for n in [99, 199, 299, 399] {
            let behind = all(movie.changes(Some(&ended[n].position)).unwrap());
            let of_living: Vec<u64> = behind
                .into_iter()
                .filter(|c| matches!(c.kind, ChangeKind::Completed(_)))
                .filter_map(|c| c.sequence.filter(|s| (200..400).contains(s)))
                .collect();
            let expected: Vec<u64> = (200.max(n as u64 + 1)..400).collect();
            assert_eq!(of_living, expected, "behind {n}");
        }
    };
    check(&movie);
    // An open must also accept a list that names jobs which no longer exist.
    store.close().unwrap();
    drop((store, movie));
    assert!(JobStore::verify(dir.path()).unwrap().is_sound());
    lose_index(dir.path());
    let store = options().open(dir.path()).unwrap();
    let movie = store.graph("1", "movie").unwrap();
    check(&movie);
    let behind = |n: usize| movie.changes(Some(&ended[n].position)).unwrap();
    // Once none of its jobs exists, it is a gap for every reader that had not read all of it.
    assert!(movie.purge(JobQuery::new().command("last")).unwrap().jobs > 0);
    common::wait_until("the event is gone", || ends_and_gaps(behind(199)).0 == 0);
    let first = |n: usize| all(behind(n)).remove(0);
    let Change { position, kind, .. } = first(199);
    assert!(matches!(kind, ChangeKind::Gone { .. }), "{kind:?}");
    assert!(movie.changes(Some(&position)).unwrap().count() > 0);
    let gone = |n| match first(n).kind {
        ChangeKind::Gone { events, .. } => events,
        other => panic!("{other:?}"),
    };
    assert_eq!(gone(199), gone(399) + 1, "it is one event");
}

#[test]
fn a_purge_is_told_with_its_references_or_as_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    let (store, movie) = open(dir.path());
    let mut random = Random(4);
    let mut finish = |command: &str, jobs: u64| {
        let mut ids = Vec::new();
        for n in 0..jobs {
            let id = submit(&movie, command, &mut random);
            let outcome = Outcome::succeeded().with_result_ref(format!("r/{n}"));
            let run = movie.claim(&id).unwrap();
            run.complete(outcome.unwrap()).unwrap();
            ids.push(id);
        }
        ids
    };
    let first = finish("first", 30);
    let before = movie.position().unwrap();
    assert_eq!(movie.purge(JobQuery::new()).unwrap().jobs, 30);
    let purges = all(movie.changes(Some(&before)).unwrap());
    finish("second", 100);
    let end = movie.position().unwrap();
    // What follows each of these positions: with references, without, gaps.
    let told = |from: &Position| {
        let (mut with, mut without, mut gaps) = (0, 0, 0);
        for change in all(movie.changes(Some(from)).unwrap()) {
            match change.kind {
                ChangeKind::Purged {
                    reason: PurgeReason::ByHand,
                    result_ref,
                    ..
                } => match result_ref {
                    Some(_) => with += 1,
                    None => without += 1,
                },
                ChangeKind::Gone { .. } => gaps += 1,
                _ => {}
            }
        }
        (with, without, gaps)
    };
    assert_eq!(told(&before), (30, 0, 0));
    assert_eq!(told(&purges[9].position), (20, 0, 0));
    common::pack(&store, dir.path());
    movie
        .set_retention(Some(Retention::new().max_tombstones(0)))
        .unwrap();
    common::wait_until("its tombstones are forgotten", || {
        movie.tombstone(&first[0]).unwrap().is_none()
    });
    movie.purge(JobQuery::new().command("second")).unwrap();
    common::wait_until("the purge is told no more", || {
        let (with, without, _) = told(&before);
        assert_eq!(without, 0, "it looks like one of jobs without results");
        with == 100
    });
    assert_eq!(told(&end), (100, 0, 0));
    // The event is a gap only for readers that had not read all of it.
    let gone = |from: &Position| {
        let events = all(movie.changes(Some(from)).unwrap()).into_iter();
        let gone = events.map(|change| match change.kind {
            ChangeKind::Gone { events, .. } => events,
            _ => 0,
        });
        gone.sum::<u64>()
    };
    // Packs may still be rewritten: then the results are of different moments.
    common::wait_until("it is one event", || {
        let all = gone(&before);
        gone(&purges[9].position) == all && gone(&purges[29].position) == all - 1
    });
}

#[test]
fn who_follows_misses_nothing_while_others_write() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, movie) = open(dir.path());
    let jobs = 400;
    let mut changes = movie.changes(None).unwrap();
    std::thread::scope(|scope| {
        for half in 0..2 {
            let movie = &movie;
            scope.spawn(move || {
                for n in 0..jobs / 2 {
                    let body = format!("[{half},{n}]");
                    let id = movie.submit(request("c", &body)).unwrap();
                    movie.cancel(&id).unwrap();
                }
            });
        }
        let mut states = vec![0; jobs];
        for _ in 0..2 * jobs {
            let change = changes
                .next_timeout(Duration::from_secs(60))
                .unwrap()
                .unwrap();
            let state = &mut states[change.sequence.unwrap() as usize];
            match (&change.kind, *state) {
                (ChangeKind::Submitted, 0) => *state = 1,
                (ChangeKind::Completed(_), 1) => *state = 2,
                other => panic!("{other:?}"),
            }
            let job = movie.job(change.id.unwrap()).unwrap().unwrap();
            assert_eq!(Some(job.sequence()), change.sequence);
        }
        assert!(states.iter().all(|&state| state == 2));
    });
    assert_eq!(
        changes.next_timeout(Duration::from_millis(5)).unwrap(),
        None
    );
    assert_eq!(changes.position(), movie.position().unwrap());
}

#[test]
fn a_feed_can_be_awaited_and_ends_with_its_store() {
    let store = JobStore::in_memory().unwrap();
    let movie = store.create_graph("1", "movie").unwrap();
    let mut changes = movie.changes(None).unwrap();
    let other = movie.clone();
    let writer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        other.submit(request("c", "1")).unwrap();
    });
    let next = std::future::poll_fn(|context| changes.poll_next(context));
    let change = futures::executor::block_on(next).unwrap();
    assert_eq!(change.kind, ChangeKind::Submitted);
    writer.join().unwrap();
    let waiting = std::thread::spawn(move || {
        let ended = changes.next_timeout(Duration::from_secs(60));
        (ended, changes.next_timeout(Duration::from_secs(60)))
    });
    std::thread::sleep(Duration::from_millis(20));
    store.close().unwrap();
    let (ended, after) = waiting.join().unwrap();
    assert!(matches!(ended, Err(Error::Closed)), "{ended:?}");
    assert!(matches!(after, Err(Error::Closed)), "{after:?}");
}

#[test]
fn a_feed_that_fails_says_so_again_and_goes_on_once_it_can() {
    let store = JobStore::in_memory().unwrap();
    let movie = store.create_graph("1", "movie").unwrap();
    let mut changes = movie.changes(None).unwrap();
    store.drop_graph("1", "movie").unwrap();
    for _ in 0..2 {
        let timed = changes.next_timeout(Duration::from_secs(60));
        assert!(matches!(timed, Err(Error::GraphDropped { .. })));
        let next = std::future::poll_fn(|context| changes.poll_next(context));
        let polled = futures::executor::block_on(next);
        assert!(matches!(polled, Err(Error::GraphDropped { .. })));
        let next = changes.next();
        assert!(matches!(next, Some(Err(Error::GraphDropped { .. }))));
    }

    let dir = tempfile::tempdir().unwrap();
    let (store, movie) = open(dir.path());
    let mut random = Random(9);
    (0..300).for_each(|_| drop(submit(&movie, "c", &mut random)));
    common::pack(&store, dir.path());
    let expected = all(movie.changes(None).unwrap());
    let mut changes = movie.changes(None).unwrap();
    let mut seen = vec![changes.next().unwrap().unwrap()];
    // Reads from the disk fail temporarily.
    let packs = common::files_ending(dir.path(), ".pack");
    let was: Vec<Vec<u8>> = packs.iter().map(|path| fs::read(path).unwrap()).collect();
    let write = |path: &Path, bytes: &[u8]| {
        let file = fs::OpenOptions::new().write(true).open(path).unwrap();
        file.write_all_at(bytes, 0).unwrap();
    };
    packs
        .iter()
        .zip(&was)
        .for_each(|(path, bytes)| write(path, &vec![0xAA; bytes.len()]));
    let error = loop {
        match changes.next().unwrap() {
            Ok(change) => seen.push(change),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
    let again = changes.next_timeout(Duration::from_secs(60));
    assert!(matches!(again, Err(Error::Damaged { .. })), "{again:?}");
    assert_eq!(Some(&changes.position()), seen.last().map(|c| &c.position));
    packs
        .iter()
        .zip(&was)
        .for_each(|(path, bytes)| write(path, bytes));
    seen.extend(all(changes));
    assert_eq!(seen, expected);
}

#[test]
fn a_foreign_or_altered_position_is_refused() {
    let store = JobStore::in_memory().unwrap();
    let movie = store.create_graph("1", "movie").unwrap();
    let roads = store.create_graph("1", "roads").unwrap();
    movie.submit(request("c", "1")).unwrap();
    let position = movie.position().unwrap();
    let refused = roads.changes(Some(&position));
    assert!(matches!(refused, Err(Error::InvalidPosition { .. })));
    let text = position.to_string();
    assert_eq!(text.len(), 74, "as its documentation says");
    for n in 0..text.len() {
        let mut altered = text.clone().into_bytes();
        altered[n] = if altered[n] == b'0' { b'1' } else { b'0' };
        let altered = String::from_utf8(altered).unwrap();
        let refused = altered
            .parse::<Position>()
            .and_then(|altered| movie.changes(Some(&altered)).map(|_| ()));
        assert!(
            matches!(refused, Err(Error::InvalidPosition { .. })),
            "{altered}"
        );
    }
    for text in ["", "01", &text[1..], &format!("{text}0"), "ä"] {
        assert!(text.parse::<Position>().is_err(), "{text}");
    }
}
