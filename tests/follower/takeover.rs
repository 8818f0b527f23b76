//! Restarts, crashes, and changes of the writer.

use std::os::unix::fs::FileExt;
use std::time::Instant;

use jobstore::{Error, JobQuery, JobStore};

use crate::{Pair, assert_same, catch_up, options, read, request, until, work};

#[test]
fn a_follower_continues_after_a_restart_and_without_its_index() {
    let pair = Pair::new();
    let writer = pair.open("a");
    let graph = writer.create_graph("1", "movie").unwrap();
    work(&graph, 0..300);
    for round in 0..6 {
        let follower = pair.follow("b");
        assert_same(&writer, &follower);
        let from = 300 + 100 * round;
        work(&graph, from..from + 50);
        if round % 2 == 0 {
            catch_up(&writer, &follower);
        }
        match round % 3 {
            0 => follower.close().unwrap(),
            _ => drop(follower),
        }
        if round == 4 {
            std::fs::remove_dir_all(pair.path("b").join("index")).unwrap();
        }
        work(&graph, from + 50..from + 100);
    }
    let follower = pair.follow("b");
    assert_same(&writer, &follower);
}

#[test]
fn another_writer_is_followed_and_a_deposed_one_follows() {
    let pair = Pair::new();
    let first = pair.open("a");
    let graph = first.create_graph("1", "movie").unwrap();
    work(&graph, 0..300);
    let follower = pair.follow("b");
    assert_same(&first, &follower);
    let second = pair.open("c");
    assert!(graph.submit(request(1).unwrap()).is_err());
    let deposed = graph;
    let graph = second.graph("1", "movie").unwrap();
    work(&graph, 300..400);
    assert_same(&second, &follower);
    // The first directory contains a frame that was never acknowledged.
    drop((deposed, first));
    let old = pair.follow("a");
    work(&graph, 400..500);
    assert_same(&second, &old);
    assert_same(&second, &follower);
    // Without a close: the process of the second store is gone.
    let before = read(&graph);
    drop((graph, second));
    follower.close().unwrap();
    let begun = Instant::now();
    let third = pair.open("b");
    eprintln!("takeover in {:?}", begun.elapsed());
    let graph = third.graph("1", "movie").unwrap();
    work(&graph, 500..600);
    assert_same(&third, &old);
    assert!(before.len() < read(&graph).len());
    old.close().unwrap();
    third.close().unwrap();
    for name in ["a", "b", "c"] {
        assert!(
            JobStore::verify(pair.path(name)).unwrap().is_sound(),
            "{name}"
        );
    }
}

#[test]
fn a_killed_follower_loses_nothing() {
    let pair = Pair::new();
    let writer = pair.open("a");
    let graph = writer.create_graph("1", "movie").unwrap();
    work(&graph, 0..700);
    let follower = pair.follow("b");
    work(&graph, 700..800);
    catch_up(&writer, &follower);
    // The packer has nothing left to do, so the copies are what a kill leaves.
    until("everything is packed", || {
        let stats = follower.stats().unwrap();
        stats.segments_to_pack == 0
    });
    let copy = |name: &str, cut: u64, has_hole: bool| {
        let to = pair.path(name);
        std::fs::create_dir(&to).unwrap();
        let mut segments = Vec::new();
        for file in std::fs::read_dir(pair.path("b")).unwrap() {
            let file = file.unwrap();
            let name = file.file_name();
            if file.file_type().unwrap().is_file() && name != "LOCK" {
                std::fs::copy(file.path(), to.join(&name)).unwrap();
                if name.to_str().unwrap().ends_with(".segment") {
                    segments.push(to.join(name));
                }
            }
        }
        segments.sort();
        // A power cut may also take the end of what was being written.
        let last = std::fs::File::options()
            .write(true)
            .open(segments.last().unwrap())
            .unwrap();
        let bytes = std::fs::read(segments.last().unwrap()).unwrap();
        let end = bytes.iter().rposition(|&byte| byte != 0).unwrap() as u64 + 1;
        last.set_len(end - cut).unwrap();
        if has_hole {
            let middle = 64 + (end - 64) / 2;
            last.write_all_at(&[0; 100], middle).unwrap();
        }
    };
    for (n, cut) in [0, 1, 7, 40].into_iter().enumerate() {
        let name = format!("copy-{n}");
        copy(&name, cut, n % 2 == 0);
        let copied = pair.follow(&name);
        assert_same(&writer, &copied);
        copied.close().unwrap();
    }
    copy("promoted", 3, true);
    let before = read(&graph);
    drop((graph, writer));
    let promoted = pair.open("promoted");
    let graph = promoted.graph("1", "movie").unwrap();
    assert_eq!(before.len(), read(&graph).len());
    work(&graph, 800..900);
    assert_same(&promoted, &follower);
    // A backup of a follower is a store.
    follower.backup(pair.path("backup")).unwrap();
    let backup = JobStore::options().detach_replica(true);
    let backup = backup.open(pair.path("backup")).unwrap();
    let restored = backup.graph("1", "movie").unwrap();
    assert_eq!(
        restored.list(JobQuery::new()).unwrap().total(),
        graph.list(JobQuery::new()).unwrap().total()
    );
}

#[test]
fn what_cannot_be_followed_is_refused() {
    let pair = Pair::new();
    let empty = options(&pair.replica).follow(pair.path("b"));
    assert!(
        matches!(empty, Err(Error::StoreMissing { .. })),
        "{empty:?}"
    );
    let unset = JobStore::options().follow(pair.path("b"));
    assert!(matches!(unset, Err(Error::InvalidUse { .. })));
    let unset = options(&pair.replica)
        .read_only(true)
        .follow(pair.path("b"));
    assert!(matches!(unset, Err(Error::InvalidUse { .. })));
    let other = Pair::new();
    other.open("a").close().unwrap();
    pair.open("a").close().unwrap();
    let refused = options(&other.replica).follow(pair.path("a"));
    assert!(matches!(refused, Err(Error::ReplicaOfOtherStore { .. })));
    JobStore::open(pair.path("alone")).unwrap().close().unwrap();
    let refused = options(&pair.replica).follow(pair.path("alone"));
    assert!(matches!(refused, Err(Error::ReplicaOfOtherStore { .. })));
}
