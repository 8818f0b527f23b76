//! Guarantee: commands about several graphs, and commands that follow a graph, show what the library
//! shows, and their exit codes tell how they ended.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Stdio};

use jobstore::http::Control;
use jobstore::{Graph, JobStore, Outcome, Recovery};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::tool::{Place, open, request};

/// The engine that has the store open.
struct Engine {
    store: JobStore,
    movie: Graph,
    _control: Control,
}

fn engine(place: &Place) -> Engine {
    let options = JobStore::options().recovery(Recovery::Leave);
    let store = options.open(place.store()).unwrap();
    let control = store.control().unwrap();
    Engine {
        movie: store.graph("10001", "movie").unwrap(),
        store,
        _control: control,
    }
}

/// Adds two graphs to a store that is closed.
fn add_graphs(place: &Place) {
    let store = open(&place.store());
    for name in ["roads", "films"] {
        let graph = store.create_graph("10002", name).unwrap();
        graph
            .submit_as(format!("of-{name}"), request("clear_graph", 1))
            .unwrap();
    }
    store.close().unwrap();
}

/// A command that runs until it is stopped.
struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Running {
    fn start(place: &Place, arguments: &[&str]) -> Running {
        let mut command = place.command(arguments);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Running { child, lines }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn graphs_are_listed_with_and_without_an_engine() {
    let place = Place::filled();
    add_graphs(&place);
    let lines = |out: String| -> Vec<Value> {
        out.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let at_rest = lines(place.run(&["graphs", "--format", "jsonl"]).fine());
    assert_eq!(at_rest.len(), 3);
    assert_eq!(
        (&at_rest[0]["name"], &at_rest[0]["complete"]),
        (&"movie".into(), &2.into())
    );
    let table = place.run(&["graphs"]).fine();
    let rows: Vec<&str> = table.lines().collect();
    assert!(
        rows[0].starts_with("graph ") && rows[0].contains("failed (24 h)"),
        "{table}"
    );
    assert!(rows[1].starts_with("10001/movie "), "{table}");
    let engine = engine(&place);
    let live = lines(place.run(&["graphs", "--format", "jsonl"]).fine());
    assert_eq!(live[2]["name"], "films");
    engine
        .movie
        .complete("hangs", Outcome::failed("E1", "lost"))
        .unwrap();
    let table = place.run(&["graphs"]).fine();
    let words =
        |line: &str| -> Vec<String> { line.split_whitespace().map(str::to_owned).collect() };
    let rows: Vec<Vec<String>> = table.lines().map(words).collect();
    assert_eq!(
        rows[0][..5],
        ["graph", "pending", "running", "complete", "failed"]
    );
    assert_eq!(rows[1][..5], ["10001/movie", "201", "1", "3", "2"]);
}

#[test]
fn jobs_of_all_graphs_are_listed_together() {
    let place = Place::filled();
    add_graphs(&place);
    let list = |more: &[&str]| place.run(&[&["list"], more].concat());
    let newest = ["--newest-first", "--limit", "3"];
    let at_rest = list(&newest);
    let rows: Vec<&str> = at_rest.out.lines().collect();
    assert!(rows[0].starts_with("graph "), "{rows:?}");
    assert!(rows[1].starts_with("10002/films  of-films "), "{rows:?}");
    assert!(rows[2].starts_with("10002/roads  of-roads "), "{rows:?}");
    assert!(rows[3].starts_with("10001/movie  "), "{rows:?}");
    let all = list(&["--format", "jsonl"]).fine();
    let first = r#"{"projectId":"10001","graphName":"movie","jobId":"done","status":"complete","#;
    assert!(all.starts_with(first), "{all}");
    assert_eq!(all.lines().count(), 207);
    let failed = list(&["--outcome", "failed", "--format", "jsonl"]).fine();
    assert_eq!(failed.lines().count(), 1);
    let cursor = at_rest
        .err
        .split_once("--cursor ")
        .unwrap()
        .1
        .trim()
        .to_owned();
    let rest = [&newest[..], &["--cursor", &cursor, "--format", "jsonl"]].concat();
    let next = list(&rest).fine();
    let engine = engine(&place);
    assert_eq!(list(&["--format", "jsonl"]).fine(), all);
    assert_eq!(list(&rest).fine(), next);
    for (wrong, said) in [
        (&["--format", "json"][..], "the store has several graphs"),
        (&["--offset", "1"], "neither --offset nor --count"),
        (&["--count"], "neither --offset nor --count"),
        (&["--limit", "1001"], "1000"),
        (&["--cursor", "x"], "not a cursor"),
    ] {
        let refused = list(wrong).said(2);
        assert!(refused.contains(said), "{wrong:?}: {refused}");
    }
    assert_eq!(
        list(&["--graph", "10002/roads", "--format", "jsonl"])
            .fine()
            .lines()
            .count(),
        1
    );
    engine.store.close().unwrap();
    for (wrong, said) in [("1001", "1000"), ("0", "1..=100000")] {
        let refused = list(&["--limit", wrong]).said(2);
        assert!(refused.contains(said), "{refused}");
    }
}

#[test]
fn changes_are_shown_as_they_happen() {
    let place = Place::filled();
    let engine = engine(&place);
    let mut table = Running::start(&place, &["watch"]);
    let mut jsonl = Running::start(&place, &["watch", "--from-start", "--format", "jsonl"]);
    let mut events = Running::start(&place, &["watch", "--format", "cloudevents"]);
    let all: Vec<String> = engine
        .movie
        .changes(None)
        .unwrap()
        .map(|change| engine.movie.change_to_json(&change.unwrap()))
        .collect();
    for expected in &all {
        assert_eq!(jsonl.line(), *expected);
    }
    // The feeds that begin at the end may not have begun yet, so there are several changes.
    let mut n = 0;
    let mut change = || {
        n += 1;
        engine
            .movie
            .submit_as(format!("new-{n}"), request("clear_graph", n))
            .unwrap();
    };
    let (done, ended) = std::sync::mpsc::channel();
    let (text, event) = std::thread::scope(|scope| {
        let lines = scope.spawn(move || {
            let lines = (table.line(), events.line());
            done.send(()).unwrap();
            lines
        });
        while ended
            .recv_timeout(std::time::Duration::from_millis(20))
            .is_err()
        {
            change();
        }
        lines.join().unwrap()
    });
    assert!(
        text.contains("  new-") && text.ends_with("  submitted"),
        "{text}"
    );
    let event: Value = serde_json::from_str(&event).unwrap();
    assert_eq!(event["specversion"], "1.0");
    assert_eq!(event["type"], "jobstore.submitted");
    assert_eq!(event["source"], "/10001/movie");
    assert_eq!(event["subject"], event["data"]["jobId"]);
    assert_eq!(event["id"], event["data"]["position"]);
    assert!(event["time"].as_str().unwrap().ends_with('Z'), "{event}");
    // At the end, the command says how to continue.
    let mut last = String::new();
    for _ in 0..n {
        last = jsonl.line();
    }
    engine.store.close().unwrap();
    assert_eq!(jsonl.line(), "");
    let output = jsonl.child.wait().unwrap();
    assert_eq!(output.code(), Some(1));
    let mut said = String::new();
    std::io::Read::read_to_string(jsonl.child.stderr.as_mut().unwrap(), &mut said).unwrap();
    let last: Value = serde_json::from_str(&last).unwrap();
    let position = last["position"].as_str().unwrap();
    assert!(said.contains("the engine ended the feed"), "{said}");
    assert!(said.contains("--after "), "{said}");
    // Without an engine, the log is still readable.
    let old = place
        .run(&["watch", "--from-start", "--no-follow", "--format", "jsonl"])
        .fine();
    assert!(old.starts_with(&all[0]), "{old}");
    assert_eq!(old.lines().count(), all.len() + n as usize);
    let after = [
        "watch",
        "--after",
        position,
        "--no-follow",
        "--format",
        "jsonl",
    ];
    assert_eq!(place.run(&after).fine(), "");
    let refused = place.run(&["watch"]).said(1);
    assert!(
        refused.contains("no engine has the store open"),
        "{refused}"
    );
    let refused = place.run(&["watch", "--after", "x", "--no-follow"]).said(2);
    assert!(refused.contains("not a position"), "{refused}");
}

#[test]
fn a_job_is_waited_for_and_the_exit_code_tells_how_it_ended() {
    let place = Place::filled();
    assert_eq!(place.run(&["wait", "done"]).code, 0);
    assert_eq!(place.run(&["wait", "failed"]).code, 3);
    let said = place.run(&["wait", "waits"]).said(1);
    assert!(said.contains("no engine has the store open"), "{said}");
    let engine = engine(&place);
    assert_eq!(place.run(&["wait", "done"]).code, 0);
    let timed_out = place.run(&["wait", "hangs", "--timeout", "1s"]);
    assert_eq!(timed_out.code, 4, "{timed_out:?}");
    assert!(timed_out.err.contains("is still running"), "{timed_out:?}");
    for (id, outcome, code) in [
        ("hangs", Outcome::succeeded(), 0),
        ("stopping", Outcome::cancelled(), 3),
    ] {
        let mut waiting = Running::start(&place, &["wait", id, "--timeout", "1h"]);
        std::thread::sleep(std::time::Duration::from_millis(300));
        assert!(waiting.child.try_wait().unwrap().is_none());
        engine.movie.complete(id, outcome).unwrap();
        assert_eq!(waiting.child.wait().unwrap().code(), Some(code));
    }
    for (wrong, code) in [
        (&["wait", "nope"][..], 1),
        (&["wait", "done", "--timeout", "5"], 2),
    ] {
        place.run(wrong).said(code);
    }
}

#[test]
fn all_jobs_that_match_are_cancelled() {
    for with_engine in [false, true] {
        let place = Place::filled();
        let engine = with_engine.then(|| engine(&place));
        let cancel = |more: &[&str]| place.run(&[&["cancel"], more].concat());
        let dry = cancel(&["--command", "import_graph", "--dry-run"]).fine();
        assert_eq!(dry, "1 job would be canceled, 1 job asked to stop\n");
        let done = cancel(&["--command", "import_graph"]).fine();
        assert_eq!(done, "canceled 1 job, asked 1 job to stop\n");
        for wrong in [
            &[][..],
            &["waits", "--all"],
            &["waits", "--state", "pending"],
            &["--all", "--command", "x"],
        ] {
            cancel(wrong).said(2);
        }
        let all = cancel(&["--all"]).fine();
        assert_eq!(all, "canceled 200 jobs, asked 0 jobs to stop\n");
        assert!(cancel(&["waits"]).said(1).contains("already complete"));
        drop(engine);
    }
}

#[test]
fn a_list_is_shown_again_when_it_changes() {
    let place = Place::filled();
    let said = place.run(&["list", "--watch"]).said(2);
    assert!(said.contains("needs a terminal"), "{said}");
    let screen = place.on_terminal(&["list", "--watch"], 100);
    assert_eq!(screen.code, 1);
    let engine = engine(&place);
    let command = place.command(&["list", "--watch", "--state", "running"]);
    let (say, said) = std::sync::mpsc::channel();
    let watched = std::thread::scope(|scope| {
        let started = move |pid| say.send(pid).unwrap();
        let watching = scope.spawn(|| place.run_on_terminal(command, 100, "", started));
        let pid = Pid::from_raw(said.recv().unwrap() as i32).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(1500));
        engine
            .movie
            .complete("hangs", Outcome::succeeded())
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(2500));
        kill_process(pid, Signal::TERM).unwrap();
        watching.join().unwrap()
    });
    assert!(watched.bytes.contains("hangs"), "{}", watched.bytes);
    let lines = watched.lines();
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert!(lines[1].starts_with("stopping "), "{lines:#?}");
    assert_eq!(lines[2], "1-1 of 1");
}
