//! Promise: the feed has every durable change of a graph behind a position, once and in
//! the order of commits, wherever the reader stops and goes on and whatever happens to
//! the files; what is kept no more is said.

mod common;

use std::path::Path;
use std::time::Duration;

use common::{Random, lose_index, request, small_segments};
use jobstore::{
    Change, ChangeKind, Changes, Error, Graph, JobStore, List, Outcome, Position, PurgeReason,
    Recovery,
};

fn open(dir: &Path) -> (JobStore, Graph) {
    let options = small_segments().recovery(Recovery::Requeue);
    let store = options.open(dir).unwrap();
    let movie = store.graph_or_create("1", "movie").unwrap();
    (store, movie)
}

fn all(changes: Changes) -> Vec<Change> {
    changes.map(|change| change.unwrap()).collect()
}

/// What a change says, without its place and time.
fn said(change: &Change) -> (Option<u64>, ChangeKind) {
    (change.sequence, change.kind.clone())
}

#[test]
fn the_feed_is_what_was_done_wherever_it_is_read_from() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, mut movie) = open(dir.path());
    let mut random = Random(7);
    // What was done to jobs, in order; and which are running.
    let mut done: Vec<(Option<u64>, ChangeKind)> = Vec::new();
    let mut running: Vec<(u64, String)> = Vec::new();
    let mut submitted = 0u64;
    let mut position: Option<Position> = None;
    let mut seen = Vec::new();
    for step in 0..200 {
        let roads = store.graph_or_create("1", "roads").unwrap();
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
                if let Some(run) = movie.run_next().unwrap() {
                    let job = movie.job(run.id()).unwrap().unwrap();
                    done.push((Some(job.sequence()), ChangeKind::Started));
                    running.push((job.sequence(), run.id().to_string()));
                    run.leave();
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
        // A reader that stops anywhere, and goes on with the text of where it was.
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
    // From every change on, and of one job.
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
            let run = movie.run(&id).unwrap();
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
    assert_eq!(movie.purge(List::new()).unwrap().jobs, 270);
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
        // What is left of open jobs is what it was.
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
    assert_eq!(after.unwrap(), None, "it is over");
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
