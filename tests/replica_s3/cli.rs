//! `jobstore replica` and `jobstore serve --follow`.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use jobstore::replica::Replica;
use jobstore::{Body, Error, Graph, JobStore, Request};
use tempfile::TempDir;

use crate::fake_s3::{FakeS3, Fault};
use crate::replica_at;

const URL: &str = "s3://jobs/engine";
const SECRET: &str = "secret-key";

/// A server, and an engine whose replica is on it.
struct Site {
    server: FakeS3,
    dirs: TempDir,
}

impl Site {
    fn new() -> Site {
        Site {
            server: FakeS3::start(),
            dirs: tempfile::tempdir().unwrap(),
        }
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.dirs.path().join(name)
    }

    fn engine(&self) -> (JobStore, Graph) {
        let replica = Arc::new(replica_at(&self.server.url, "engine"));
        let options = JobStore::options().replica(replica);
        let store = options.open(self.dir("engine")).unwrap();
        let graph = store.get_or_create_graph("10001", "movie").unwrap();
        (store, graph)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_jobstore"));
        command.args(arguments).env_clear().envs([
            ("AWS_ENDPOINT_URL", &*self.server.url),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "key-id"),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("HOME", self.dirs.path().to_str().unwrap()),
        ]);
        command
    }

    /// Returns the exit status of a command, and everything that it printed.
    fn run(&self, arguments: &[&str]) -> (i32, String) {
        said(self.command(arguments).output().unwrap())
    }

    fn fine(&self, arguments: &[&str]) -> String {
        let (code, said) = self.run(arguments);
        assert_eq!(code, 0, "{arguments:?}: {said}");
        said
    }
}

fn said(output: Output) -> (i32, String) {
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    assert!(!said.contains(SECRET), "{said}");
    (output.status.code().unwrap(), said)
}

fn submit(graph: &Graph, id: &str) -> jobstore::Result<()> {
    let body = Body::from_value(&"x")?;
    graph.submit_as(id, Request::new("c", "/ges", body)?)?;
    Ok(())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn probe_tests_a_server_and_leaves_nothing() {
    let site = Site::new();
    let said = site.fine(&["replica", "probe", URL]);
    assert!(said.contains("can be used for a replica"), "{said}");
    site.server.fail_with(Fault::IgnoresCondition);
    let (code, said) = site.run(&["replica", "probe", URL]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("cannot be used for a replica"), "{said}");
    assert!(said.contains("If-None-Match"), "{said}");
    assert_eq!(site.server.keys(), [""; 0]);
}

#[test]
fn status_and_restore_do_not_affect_the_engine_and_promote_deposes_it() {
    let site = Site::new();
    let (code, said) = site.run(&["replica", "status", URL]);
    assert_eq!((code, said.contains("is empty")), (1, true), "{said}");
    let (store, graph) = site.engine();
    submit(&graph, "first").unwrap();

    let said = site.fine(&["replica", "status", URL]);
    assert!(said.contains("fencing token 1\n"), "{said}");
    let json = site.fine(&["replica", "status", URL, "--format", "json"]);
    for field in [
        r#""reign":1"#,
        r#""claimedBy":"process "#,
        r#""claimedAt":"#,
    ] {
        assert!(json.contains(field), "{json}");
    }

    let copy = site.dir("copy");
    let said = site.fine(&["replica", "restore", URL, "--data", text(&copy)]);
    assert!(said.contains("restored 1 job to"), "{said}");
    let list = site.fine(&["list", "--data", text(&copy)]);
    assert!(list.contains("first"), "{list}");
    submit(&graph, "second").unwrap();
    let said = site.fine(&["replica", "restore", URL, "--data", text(&copy)]);
    assert!(said.contains("restored 2 jobs to"), "{said}");

    let elsewhere = site.dir("elsewhere");
    let promote = ["replica", "promote", URL, "--data", text(&elsewhere)];
    assert!(site.fine(&promote).contains("fencing token"));
    let deposed = submit(&graph, "third").unwrap_err();
    assert!(matches!(deposed, Error::Deposed { .. }), "{deposed}");
    let list = site.fine(&["list", "--data", text(&elsewhere)]);
    assert!(list.contains("second") && !list.contains("third"), "{list}");
    drop((graph, store));
}

#[test]
fn a_lost_replica_is_reseeded_and_a_replica_that_is_not_wanted_is_detached() {
    let site = Site::new();
    let (store, graph) = site.engine();
    submit(&graph, "first").unwrap();
    drop(graph);
    store.close().unwrap();
    let here = site.dir("engine");
    let promote = ["replica", "promote", URL, "--data", text(&here)];
    let reseed = ["replica", "reseed", URL, "--data", text(&here)];

    let lost = FakeS3::start();
    let run = |arguments: &[&str]| {
        let mut command = site.command(arguments);
        said(command.env("AWS_ENDPOINT_URL", &lost.url).output().unwrap())
    };
    let (code, said) = run(&promote);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("replica s3://jobs/engine is empty"), "{said}");
    let remedy = "check the URL; if it is correct, ";
    assert!(said.contains(remedy) && said.contains("`jobstore replica reseed`"));
    assert_eq!(lost.keys(), [""; 0]);
    let (code, said) = run(&reseed);
    assert_eq!(code, 0, "{said}");
    let (code, said) = run(&promote);
    assert_eq!(code, 0, "{said}");

    let list = ["list", "--data", text(&here), "--format", "json"];
    assert!(site.fine(&list).contains("first"));
    let import = [
        "import",
        "--data",
        text(&here),
        "--graph",
        "10001/movie",
        "/dev/null",
    ];
    let (code, said) = site.run(&import);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("--replica URL"), "{said}");
    assert!(said.contains("`jobstore replica detach`"), "{said}");
    let detach = ["replica", "detach", "--data", text(&here)];
    assert!(site.fine(&detach).contains("no longer has a replica"));
    assert!(site.fine(&detach).contains("had no replica"));
    site.fine(&import);
}

#[test]
fn a_reseed_that_would_lose_events_needs_confirmation() {
    let site = Site::new();
    let here = site.dir("engine");
    let status = || site.fine(&["replica", "status", URL, "--format", "json"]);
    let reseed = ["replica", "reseed", URL, "--data", text(&here)];
    let (store, graph) = site.engine();
    submit(&graph, "first").unwrap();
    drop(graph);
    // The store is open.
    let (code, said) = site.run(&reseed);
    assert_eq!((code, said.contains("is in use")), (1, true), "{said}");
    store.close().unwrap();
    // Both contain the same events.
    let said = site.fine(&reseed);
    assert!(said.contains("copied the store"), "{said}");

    // Another engine writes to the replica.
    let there = site.dir("there");
    let promote = ["replica", "promote", URL, "--data", text(&there)];
    let said = site.fine(&promote);
    assert!(said.contains("took over the replica"), "{said}");
    let (before, keys) = (status(), site.server.keys());
    let (code, said) = site.run(&reseed);
    assert_eq!(code, 2, "{said}");
    for part in [
        "the replica s3://jobs/engine ends at log sequence number ",
        "but the directory ends at log sequence number ",
        "nothing was changed",
        "--yes",
    ] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!((status(), site.server.keys()), (before, keys));
    let said = site.fine(&[&reseed[..], &["--yes"]].concat());
    assert!(said.contains("copied the store"), "{said}");

    // It is unknown where a damaged replica ends.
    let replica = replica_at(&site.server.url, "engine");
    replica.trim(u64::MAX, &[]).unwrap();
    let (code, said) = site.run(&reseed);
    assert_eq!((code, said.contains("is damaged")), (2, true), "{said}");
}

#[test]
fn a_store_without_a_replica_is_copied_to_it_and_an_import_restores_it() {
    let site = Site::new();
    let plain = site.dir("plain");
    let lines = site.dir("lines");
    std::fs::write(&lines, r#"{"command":"c","url":"/ges","body":{}}"#).unwrap();
    let import = |dir: &Path| {
        let graph = ["--graph", "10001/movie", text(&lines)];
        let arguments = [&["import", "--data", text(dir)][..], &graph].concat();
        let mut command = site.command(&arguments);
        if dir != plain {
            command.env("JOBSTORE_REPLICA", URL);
        }
        let (code, said) = said(command.output().unwrap());
        assert_eq!(code, 0, "{said}");
        said
    };
    let said = import(&plain);
    assert!(said.contains("created store"), "{said}");
    let promote = ["replica", "promote", URL, "--data", text(&plain)];
    let said = site.fine(&promote);
    let expected = "copied the store to the replica; fencing token 1";
    assert!(said.contains(expected), "{said}");
    assert!(site.fine(&promote).contains("took over the replica"));

    let said = import(&site.dir("empty"));
    assert!(said.contains("restored store"), "{said}");
    assert!(!said.contains("created"), "{said}");
}

#[test]
fn the_url_of_a_replica_comes_from_the_argument_the_option_or_the_environment() {
    let site = Site::new();
    let (store, _) = site.engine();
    store.close().unwrap();
    site.fine(&["replica", "status", "--replica", URL]);
    let status = |arguments: &[&str]| {
        let arguments = [&["replica", "status"][..], arguments].concat();
        let mut command = site.command(&arguments);
        said(command.env("JOBSTORE_REPLICA", URL).output().unwrap())
    };
    assert_eq!(status(&[]).0, 0);
    let (code, said) = status(&["s3://jobs/none"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("s3://jobs/none is empty"), "{said}");
    let (code, said) = status(&["s3://jobs/none", "--replica", URL]);
    assert_eq!((code, said.contains("twice")), (2, true), "{said}");
    let (code, said) = site.run(&["replica", "status"]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("JOBSTORE_REPLICA"), "{said}");
}

#[test]
fn a_server_restores_a_store_that_it_takes_over() {
    let site = Site::new();
    let (store, graph) = site.engine();
    submit(&graph, "first").unwrap();
    drop(graph);
    store.close().unwrap();
    let new = site.dir("new");
    let arguments = [
        "serve",
        "--replica",
        URL,
        "--data",
        text(&new),
        "--listen",
        "127.0.0.1:0",
    ];
    let mut command = site.command(&arguments);
    let mut serving = Running(command.stdout(Stdio::piped()).spawn().unwrap());
    let stdout = BufReader::new(serving.0.stdout.take().unwrap());
    assert!(stdout.lines().any(|line| line.unwrap().contains("http://")));
    assert!(site.fine(&["list", "--data", text(&new)]).contains("first"));
}

#[test]
fn a_busy_log_is_not_taken_over_if_it_must_be_quiet() {
    let site = Site::new();
    let (store, graph) = site.engine();
    let there = site.dir("there");
    let promote = [
        "replica",
        "promote",
        URL,
        "--data",
        text(&there),
        "--if-quiet",
        "30",
    ];
    let mut promoting = site.command(&promote);
    let promoting = promoting.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promoting = promoting.spawn().unwrap();
    let mut n = 0;
    while promoting.try_wait().unwrap().is_none() {
        submit(&graph, &format!("job-{n}")).unwrap();
        n += 1;
    }
    let (code, said) = said(promoting.wait_with_output().unwrap());
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("is in use by"), "{said}");
    assert!(said.contains("omit --if-quiet"), "{said}");
    store.close().unwrap();
}

#[test]
fn serve_follows_the_engine() {
    let site = Site::new();
    let (store, graph) = site.engine();
    submit(&graph, "first").unwrap();
    let dir = site.dir("standby");
    let arguments = [
        "serve",
        "--follow",
        URL,
        "--data",
        text(&dir),
        "--listen",
        "127.0.0.1:0",
    ];
    let mut command = site.command(&arguments);
    let mut serving = Running(command.stdout(Stdio::piped()).spawn().unwrap());
    let stdout = BufReader::new(serving.0.stdout.take().unwrap());
    let mut lines = stdout.lines().map(Result::unwrap);
    let line = lines.find(|line| line.contains("http://")).unwrap();
    let at = line.split("http://").nth(1).unwrap();
    let address = at
        .split(|c: char| c == '/' || c.is_whitespace())
        .next()
        .unwrap();
    submit(&graph, "second").unwrap();
    let list = || {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        let path = "/ges/v1.0/10001/graphs/movie/jobs/status";
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        response
    };
    let begun = std::time::Instant::now();
    while !list().contains("second") {
        assert!(begun.elapsed().as_secs() < 60, "{}", list());
    }
    assert!(list().contains("x-lag-ms"));
    store.close().unwrap();
}

#[test]
fn bad_input_is_refused_with_a_remedy_and_changes_nothing() {
    let site = Site::new();
    let (store, graph) = site.engine();
    submit(&graph, "first").unwrap();
    store.close().unwrap();
    let before = site.server.keys();
    let plain = site.dir("plain");
    JobStore::open(&plain).unwrap().close().unwrap();
    let new = site.dir("new");
    for (arguments, expected) in [
        (&["replica", "probe", "s3:/jobs"][..], (2, "URL")),
        (&["replica", "status", "ftp://jobs/x"], (2, "URL")),
        (
            &["replica", "restore", "s3://jobs/none", "--data", text(&new)],
            (1, "the replica s3://jobs/none is empty"),
        ),
        (
            &["replica", "promote", "s3://jobs/none", "--data", text(&new)],
            (1, "the replica s3://jobs/none is empty"),
        ),
        (&["replica", "detach", "--replica", URL], (2, "--replica")),
        (
            &["replica", "promote", URL, "--data", text(&plain)],
            (1, "store"),
        ),
        (
            &["replica", "follow", URL, "--data", text(&plain)],
            (1, "store"),
        ),
    ] {
        let (code, said) = site.run(arguments);
        assert_eq!(code, expected.0, "{arguments:?}: {said}");
        assert!(said.contains(expected.1), "{arguments:?}: {said}");
    }
    let without = site
        .command(&["replica", "probe", URL])
        .env_remove("AWS_SECRET_ACCESS_KEY")
        .output();
    let (code, said) = said(without.unwrap());
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("AWS_SECRET_ACCESS_KEY"), "{said}");
    assert_eq!(site.server.keys(), before);
    let left = new
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    assert_eq!(left.collect::<Vec<_>>(), ["LOCK"]);
}
