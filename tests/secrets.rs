//! Values under secret keys: who can see them, and who cannot.
//!
//! Guarantee: a worker that runs a job gets its exact request; nothing that leaves the process
//! contains a secret; values masked at submit are never on disk. A canary stands for every secret,
//! and everything that is written is searched for it.

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::{copy_directory, listed, lose_index, names_in, pack, request, shared, small_segments};
use jobstore::{
    Graph, JobQuery, JobStore, OnBadLine, Options, Outcome, Recovery, Request, Retention, Secrets,
    State, Submitted,
};

const CANARY: &str = "c4n4ry";

/// A body with secrets in every position and of every kind.
fn body() -> String {
    format!(
        concat!(
            r#"{{"edgesetPath":"a.csv","accessKey":"{c}-1","list":[{{"SECRETKEY":"{c}\"-2"}},7],"#,
            r#""secretKey":{{"deep":["{c}-3"]}},"access\u004bey":["{c}-4"],"last":0.00001}}"#
        ),
        c = CANARY
    )
}

const MASKED: &str = concat!(
    r#"{"edgesetPath":"a.csv","accessKey":"******","list":[{"SECRETKEY":"******"},7],"#,
    r#""secretKey":"******","access\u004bey":"******","last":0.00001}"#
);

fn secret(command: &str) -> Request {
    request(command, &body())
}

/// A request that is stored in pieces, because of its text or its secret.
fn large(text_bytes: usize, secret_bytes: usize) -> Request {
    let text = "t".repeat(text_bytes);
    let value = CANARY.repeat(secret_bytes / CANARY.len());
    request(
        "large",
        &format!(r#"{{"secretKey":"{value}","text":"{text}"}}"#),
    )
}

/// Asserts that no file below a directory contains the canary.
fn assert_clean_directory(dir: &Path, what: &str) {
    for name in names_in(dir) {
        let path = dir.join(&name);
        if path.is_dir() {
            assert_clean_directory(&path, what);
        } else {
            let bytes = match std::fs::read(&path) {
                // Packing has deleted it since it was listed.
                Err(gone) if gone.kind() == std::io::ErrorKind::NotFound => continue,
                bytes => bytes.unwrap(),
            };
            assert!(!holds_canary(&bytes), "{what}: {}", path.display());
        }
    }
}

fn holds_canary(bytes: &[u8]) -> bool {
    bytes.windows(CANARY.len()).any(|w| w == CANARY.as_bytes())
}

fn exported(graph: &Graph, list: JobQuery, reveals: bool) -> String {
    let mut export = graph.export(list).unwrap();
    if reveals {
        export = export.reveal_secrets();
    }
    let mut lines = Vec::new();
    export.write_all(&mut lines).unwrap();
    String::from_utf8(lines).unwrap()
}

/// What every way of reading a graph shows, and the requests that its workers get.
fn look(graph: &Graph, requests: &[Request], what: &str) {
    let list = listed(graph);
    assert!(!list.contains(CANARY), "{what}");
    assert!(list.contains(MASKED), "{what}");
    let newest = graph
        .list(JobQuery::new().newest_first())
        .unwrap()
        .to_json();
    assert!(!holds_canary(&newest.unwrap()), "{what}");
    for list in [JobQuery::new(), JobQuery::new().newest_first()] {
        assert!(
            !exported(graph, list.clone(), false).contains(CANARY),
            "{what}"
        );
        let real = exported(graph, list, true);
        for request in requests {
            let given = format!(r#""request":{}"#, request.as_json());
            assert!(real.contains(&given), "{what}");
        }
    }
    for list in [JobQuery::new(), JobQuery::new().newest_first()] {
        let page = graph.list(list).unwrap();
        let mut jobs: Vec<_> = page.jobs().map(|job| job.unwrap()).collect();
        jobs.sort_by_key(|job| job.sequence());
        assert_eq!(jobs.len(), requests.len());
        for (job, request) in jobs.iter().zip(requests) {
            assert_eq!(job.request().as_json(), request.as_json(), "{what}");
            assert!(!job.masked_request().as_json().contains(CANARY), "{what}");
            assert!(!format!("{job:?}").contains(CANARY), "{what}");
            assert!(!job.secrets_lost(), "{what}");
            let one = graph.job(job.id()).unwrap().unwrap();
            assert_eq!(one.request().as_json(), request.as_json(), "{what}");
        }
    }
}

#[test]
fn lists_and_exports_are_masked_and_workers_have_the_request_to_the_letter() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let store = small_segments().open(dir).unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    let requests = [
        secret("first"),
        request("plain", r#"{"a":1}"#),
        large(600 << 10, 12),
        large(12, 600 << 10),
        large(300 << 10, 300 << 10),
        secret("last"),
    ];
    graph.submit_all(requests.to_vec()).unwrap();
    look(&graph, &requests, "as submitted");
    let run = graph.claim_next().unwrap().unwrap();
    assert_eq!(run.request().as_json(), requests[0].as_json());
    assert!(!format!("{run:?}").contains(CANARY));
    run.complete(Outcome::succeeded()).unwrap();
    store.close().unwrap();

    let open = || {
        let store = small_segments().open(dir).unwrap();
        let graph = store.graph("10001", "movie").unwrap();
        (store, graph)
    };
    let (store, graph) = open();
    look(&graph, &requests, "reopened");
    pack(&store, dir);
    look(&graph, &requests, "packed");
    assert!(store.scrub().unwrap().is_sound());
    store.close().unwrap();
    lose_index(dir);
    let (store, graph) = open();
    look(&graph, &requests, "without its index");
    store.close().unwrap();
    assert!(JobStore::verify(dir).unwrap().is_sound());
}

#[test]
fn secrets_survive_a_repair_and_a_pack_that_is_rewritten() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let store = small_segments().open(dir).unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    for n in 0..100 {
        let id = graph.submit(secret(&format!("c{n}"))).unwrap();
        if n % 4 != 0 {
            graph
                .claim(&id)
                .unwrap()
                .complete(Outcome::succeeded())
                .unwrap();
        }
    }
    pack(&store, dir);
    assert_eq!(graph.purge(JobQuery::new()).unwrap().jobs, 75);
    let kept: Vec<Request> = (0..100)
        .step_by(4)
        .map(|n| secret(&format!("c{n}")))
        .collect();
    pack(&store, dir);
    look(&graph, &kept, "purged around");
    store.close().unwrap();

    // The segment's last frame is damaged, so the previous data becomes a pack.
    let store = small_segments().open(dir).unwrap();
    let graph = store.graph("10001", "movie").unwrap();
    let added = secret("added");
    graph.submit(added.clone()).unwrap();
    store.create_graph("10001", "lost").unwrap();
    store.close().unwrap();
    let mut segments = common::files_ending(dir, ".segment");
    let path = segments
        .drain(..)
        .rfind(|path| holds_canary(&std::fs::read(path).unwrap()))
        .unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.windows(4).rposition(|w| w == b"lost").unwrap();
    bytes[last] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert!(!JobStore::verify(dir).unwrap().is_sound());
    JobStore::repair(dir).unwrap();
    let store = small_segments().open(dir).unwrap();
    let graph = store.graph("10001", "movie").unwrap();
    let requests: Vec<Request> = kept.into_iter().chain([added]).collect();
    let page = graph.list(JobQuery::new()).unwrap();
    assert_eq!(page.len(), requests.len());
    for (job, request) in page.jobs().zip(&requests) {
        assert_eq!(job.unwrap().request().as_json(), request.as_json());
    }
    assert!(!listed(&graph).contains(CANARY));
}

#[test]
fn what_is_masked_at_submit_is_on_no_disk_and_is_marked() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let options = || small_segments().secrets(Secrets::MaskAtSubmit);
    let store = options().open(dir).unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    let id = graph.submit(secret("a")).unwrap();
    graph.submit_as("mine", secret("b")).unwrap();
    graph.submit_once("key", secret("c")).unwrap();
    graph.submit(large(300 << 10, 300 << 10)).unwrap();
    graph.submit(request("plain", "{}")).unwrap();
    assert_clean_directory(dir, "at work");
    pack(&store, dir);
    let look = |graph: &Graph| {
        let job = graph.job(&id).unwrap().unwrap();
        assert!(job.secrets_lost());
        assert_eq!(job.request().body(), MASKED);
        let page = graph.list(JobQuery::new()).unwrap();
        let lost: Vec<bool> = page.jobs().map(|job| job.unwrap().secrets_lost()).collect();
        assert_eq!(lost, [true, true, true, true, false]);
    };
    look(&graph);
    store.close().unwrap();
    assert_clean_directory(dir, "closed");
    // Regardless of the settings of the next open.
    let store = small_segments().open(dir).unwrap();
    look(&store.graph("10001", "movie").unwrap());
}

#[test]
fn details_of_outcomes_are_masked_at_submit_too() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("store");
    let options = || small_segments().secrets(Secrets::MaskAtSubmit);
    let store = options().open(&dir).unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    let ended = || Outcome::failed("E", "no").with_detail_json(body()).unwrap();
    for id in ["by-run", "by-id", "queued"] {
        graph.submit_as(id, request("c", "{}")).unwrap();
        graph.start(id).unwrap();
    }
    graph.attach("by-run").unwrap().complete(ended()).unwrap();
    graph.complete("by-id", ended()).unwrap();
    graph
        .nonblocking()
        .complete("queued", ended())
        .wait()
        .unwrap();
    let line = format!(
        r#"{{"jobId":"imported","request":{{"command":"c","url":""}},"outcome":{{"kind":"failed","detail":{}}}}}"#,
        body()
    );
    graph.import(line.as_bytes(), OnBadLine::Stop).unwrap();
    assert_clean_directory(&dir, "at work");
    let page = graph.list(JobQuery::new()).unwrap();
    for job in page.jobs() {
        let job = job.unwrap();
        let outcome = job.outcome().unwrap();
        assert_eq!(outcome.detail(), Some(MASKED), "{:?}", job.id());
    }
    assert_eq!(page.len(), 4);
    pack(&store, &dir);
    store.close().unwrap();
    assert_clean_directory(&dir, "closed");
    // One that exceeds its limit when masked is refused.
    let store = options().open(&dir).unwrap();
    let graph = store.graph("10001", "movie").unwrap();
    let grows = format!("[{}]", vec![r#"{"secretKey":1}"#; 4000].join(","));
    let grown = Outcome::succeeded().with_detail_json(&grows).unwrap();
    let id = graph.submit(request("c", "{}")).unwrap();
    graph.start(&id).unwrap();
    let refused = graph.complete(&id, grown).unwrap_err();
    assert!(
        matches!(
            refused,
            jobstore::Error::OutcomeTooLarge { what: "detail", .. }
        ),
        "{refused:?}"
    );
    let line = format!(
        r#"{{"request":{{"command":"c","url":""}},"outcome":{{"kind":"failed","detail":{grows}}}}}"#
    );
    assert!(graph.import(line.as_bytes(), OnBadLine::Stop).is_err());
}

#[test]
fn requests_are_compared_masked() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    let body = |secret: &str| request("import", &format!(r#"{{"a":1,"secretKey":"{secret}"}}"#));
    let first = graph.submit(body("one")).unwrap();
    let second = graph.submit(body("two")).unwrap();
    let found = |request: &Request| -> Vec<String> {
        let jobs = graph.find(request).unwrap();
        jobs.map(|job| job.unwrap().id().to_string()).collect()
    };
    // A caller that lost the id may have the credentials or not.
    for secret in ["one", "three", "******"] {
        assert_eq!(
            found(&body(secret)),
            [second.to_string(), first.to_string()]
        );
    }
    assert!(found(&request("import", r#"{"a":2,"secretKey":"one"}"#)).is_empty());
    let created = graph.submit_as("mine", body("one")).unwrap();
    assert!(matches!(created, Submitted::Created(_)));
    let again = graph.submit_as("mine", body("renewed")).unwrap();
    assert!(matches!(again, Submitted::AlreadyExists(_)));
    let other = request("import", r#"{"a":3,"secretKey":"one"}"#);
    let refused = graph.submit_as("mine", other.clone()).unwrap_err();
    assert!(!format!("{refused:?}{refused}").contains("one"));
    let once = graph.submit_once("k", body("one")).unwrap().id().clone();
    assert_eq!(*graph.submit_once("k", body("renewed")).unwrap().id(), once);
    assert!(graph.submit_once("k", other).is_err());
    // The first request is kept.
    let job = graph.job(&once).unwrap().unwrap();
    assert_eq!(job.request().as_json(), body("one").as_json());
}

#[test]
fn a_masked_export_makes_jobs_without_secrets_and_a_revealed_one_whole_ones() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    graph.submit_as("a", secret("a")).unwrap();
    graph.submit_as("b", request("b", r#"{"x":null}"#)).unwrap();
    graph.submit_as("c", request("c", "null")).unwrap();
    let import = |name: &str, lines: &str| {
        let to = store.create_graph("10001", name).unwrap();
        let report = to.import(lines.as_bytes(), OnBadLine::Stop).unwrap();
        assert_eq!(report.imported, 3, "{report:?}");
        let again = to.import(lines.as_bytes(), OnBadLine::Stop).unwrap();
        assert_eq!((again.imported, again.there), (0, 3), "{again:?}");
        assert_eq!(listed(&to), listed(&graph));
        to
    };
    let masked = exported(&graph, JobQuery::new(), false);
    assert_eq!(masked.matches(r#""masked":true"#).count(), 1);
    let copy = import("masked", &masked);
    let lost = |graph: &Graph| -> Vec<bool> {
        let page = graph.list(JobQuery::new()).unwrap();
        page.jobs().map(|job| job.unwrap().secrets_lost()).collect()
    };
    assert_eq!(lost(&copy), [true, false, false]);
    // It stays so when it is exported once more, even with secrets.
    assert!(exported(&copy, JobQuery::new(), true).contains(r#""masked":true"#));
    let real = exported(&graph, JobQuery::new(), true);
    assert!(!real.contains("masked"));
    let whole = import("whole", &real);
    assert_eq!(lost(&whole), [false; 3]);
    let job = whole.job("a").unwrap().unwrap();
    assert_eq!(job.request().as_json(), secret("a").as_json());
    // An engine's outcome details are masked, too.
    let outcome = Outcome::failed("E", "no").with_detail_json(body()).unwrap();
    graph.claim("a").unwrap().complete(outcome).unwrap();
    let lines = exported(&graph, JobQuery::new(), false);
    assert!(lines.contains(&format!(r#""detail":{MASKED}"#)) && !lines.contains(CANARY));
    assert!(exported(&graph, JobQuery::new(), true).contains(&format!(r#""detail":{}"#, body())));
    // If the job is already masked, the complete line changes nothing; the report says that the
    // secrets are lost.
    let more = copy.import(real.as_bytes(), OnBadLine::Stop).unwrap();
    assert_eq!((more.imported, more.there, more.secrets_left), (0, 3, 1));
    assert!(
        more.to_string()
            .contains("1 of them left without the secrets in their lines")
    );
    assert!(copy.job("a").unwrap().unwrap().secrets_lost());
    // Masked lines, equal secrets, and jobs without secrets are not reported.
    for lines in [&masked, &real] {
        let more = whole.import(lines.as_bytes(), OnBadLine::Stop).unwrap();
        assert_eq!((more.there, more.secrets_left), (3, 0), "{more}");
    }
    // Changed secrets are, and so is a line that follows its masked one.
    let renewed = real.replace(CANARY, "renewed");
    let more = whole.import(renewed.as_bytes(), OnBadLine::Stop).unwrap();
    assert_eq!((more.there, more.secrets_left), (3, 1));
    let to = store.create_graph("10001", "at once").unwrap();
    let both = format!("{masked}{real}");
    let done = to.import(both.as_bytes(), OnBadLine::Stop).unwrap();
    assert_eq!((done.imported, done.there, done.secrets_left), (3, 3, 1));
}

#[test]
fn a_job_whose_secrets_are_not_known_is_never_requeued() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let open = || {
        small_segments()
            .recovery(Recovery::Requeue)
            .open(dir)
            .unwrap()
    };
    let store = open();
    let graph = store.create_graph("10001", "movie").unwrap();
    let masked = secret("masked").as_json().replace(&body(), MASKED);
    let requests = [
        secret("whole"),
        Request::from_json(&masked).unwrap(),
        request("plain", "{}"),
        Request::from_json(
            &large(300 << 10, 12)
                .as_json()
                .replace(&CANARY.repeat(2), "******"),
        )
        .unwrap(),
    ];
    let ids = graph.submit_all(requests.to_vec()).unwrap();
    ids.iter().for_each(|id| graph.start(id).unwrap());
    store.close().unwrap();
    let store = open();
    let graph = store.graph("10001", "movie").unwrap();
    let states: Vec<State> = ids
        .iter()
        .map(|id| graph.job(id).unwrap().unwrap().state())
        .collect();
    use State::{Complete, Pending};
    assert_eq!(states, [Pending, Complete, Pending, Complete]);
    let ended = graph.job(&ids[1]).unwrap().unwrap();
    assert_eq!(
        ended.outcome().unwrap().kind(),
        jobstore::OutcomeKind::Interrupted
    );
}

#[test]
fn a_request_that_grows_beyond_its_bound_as_it_is_masked_is_refused() {
    let options = JobStore::options().secret_keys(["k"]);
    let store = options.max_request_bytes(4096).in_memory().unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    let short = vec![r#"{"k":1}"#; 400].join(",");
    let request = request("c", &format!("[{short}]"));
    assert!(request.as_json().len() < 4096);
    let refused = graph.submit(request).unwrap_err();
    assert!(matches!(
        refused,
        jobstore::Error::RequestTooLarge { given_bytes, max_bytes: 4096 } if given_bytes > 4096
    ));
    assert_eq!(graph.list(JobQuery::new()).unwrap().total(), Some(0));
}

#[test]
fn keys_are_those_that_the_engine_names() {
    let open = |options: Options| {
        let store = options.in_memory().unwrap();
        let graph = store.create_graph("10001", "movie").unwrap();
        graph
            .submit(request("c", r#"{"accessKey":1,"Token":2,"ünï":3}"#))
            .unwrap();
        listed(&graph)
    };
    let all = open(JobStore::options().secret_keys([""; 0]));
    assert!(all.contains(r#"{"accessKey":1,"Token":2,"ünï":3}"#));
    let own = open(JobStore::options().secret_keys(["token", "ÜNÏ"]));
    assert!(own.contains(r#"{"accessKey":1,"Token":"******","ünï":"******"}"#));
    for keys in [
        vec![String::new()],
        vec!["k".repeat(257)],
        vec!["k".to_owned(); 65],
    ] {
        let refused = JobStore::options()
            .secret_keys(keys)
            .in_memory()
            .unwrap_err();
        assert!(refused.to_string().contains("secret_keys"), "{refused}");
    }
}

#[test]
fn a_backup_works_as_the_store_does_and_logs_show_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let (store_dir, copy) = (dir.path().join("store"), dir.path().join("copy"));
    let store = small_segments().open(&store_dir).unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    let requests = [secret("a")];
    graph.submit_all(requests.to_vec()).unwrap();
    store.backup(dir.path().join("backup")).unwrap();
    for debug in [
        format!("{store:?}"),
        format!("{graph:?}"),
        format!("{:?}", store.stats()),
    ] {
        assert!(!debug.contains(CANARY));
    }
    store.close().unwrap();
    let report = JobStore::verify(&store_dir).unwrap();
    assert!(!format!("{report}{report:?}{}", report.to_json()).contains(CANARY));
    copy_directory(&dir.path().join("backup"), &copy);
    let store = small_segments().open(&copy).unwrap();
    look(
        &store.graph("10001", "movie").unwrap(),
        &requests,
        "the backup",
    );
}

/// The file that records which keys are secret.
const RECORD: &str = "SECRET-KEYS";

const PASSWORD: &str = r#"{"password":"c4n4ry"}"#;
const MASKED_PASSWORD: &str = r#"{"password":"******"}"#;

/// Asserts that everything read from a graph is masked, and that its job is found by its real
/// request.
fn assert_knows_passwords(graph: &Graph, what: &str) {
    let lines = exported(graph, JobQuery::new(), false);
    assert!(!lines.contains(CANARY), "{what}: {lines}");
    for masked in [
        format!(r#""body":{MASKED_PASSWORD}"#),
        format!(r#""detail":{MASKED_PASSWORD}"#),
    ] {
        assert!(lines.contains(&masked), "{what}: {lines}");
    }
    let found = graph.find(&request("c", PASSWORD)).unwrap();
    assert_eq!(found.count(), 1, "{what}");
}

/// A store whose engine set the key, with a job whose request and outcome both contain a password.
fn make_with_password(dir: &Path, options: Options) {
    let store = options.secret_keys(["Password"]).open(dir).unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    let id = graph.submit(request("c", PASSWORD)).unwrap();
    let outcome = Outcome::succeeded().with_detail_json(PASSWORD).unwrap();
    graph.claim(&id).unwrap().complete(outcome).unwrap();
    assert_knows_passwords(&graph, "as made");
    store.close().unwrap();
}

#[test]
fn a_store_knows_its_secret_keys_whoever_opens_it() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("store");
    make_with_password(&dir, small_segments());
    assert_eq!(mode(&dir.join(RECORD)), 0o600);
    let open = |options: Options, dir: &Path| {
        let store = options.open(dir).unwrap();
        let graph = store.graph("10001", "movie").unwrap();
        (store, graph)
    };
    let (store, graph) = open(small_segments(), &dir);
    assert_knows_passwords(&graph, "opened without naming any");
    let line =
        r#"{"jobId":"imported","request":{"command":"i","url":"","body":{"PASSWORD":"c4n4ry"}}}"#;
    graph.import(line.as_bytes(), OnBadLine::Stop).unwrap();
    assert!(!listed(&graph).contains(CANARY));
    let copy = root.path().join("copy");
    store.backup(&copy).unwrap();
    assert_closed_to_others(&copy);
    store.close().unwrap();
    let (_store, graph) = open(small_segments(), &copy);
    assert_knows_passwords(&graph, "a backup");
    // One of the two can be set alone, and applies from then on.
    let (store, graph) = open(small_segments().secrets(Secrets::MaskAtSubmit), &dir);
    assert_knows_passwords(&graph, "with another policy");
    store.close().unwrap();
    let (store, graph) = open(small_segments().secret_keys(["password", "token"]), &dir);
    let id = graph
        .submit(request("t", r#"{"token":1,"password":2}"#))
        .unwrap();
    store.close().unwrap();
    let (store, graph) = open(small_segments(), &dir);
    let job = graph.job(&id).unwrap().unwrap();
    assert_eq!(
        job.request().body(),
        r#"{"token":"******","password":"******"}"#
    );
    graph
        .submit_as("later", request("t", r#"{"Token":"c4n4ry"}"#))
        .unwrap();
    assert!(graph.job("later").unwrap().unwrap().secrets_lost());
    store.close().unwrap();
}

#[test]
fn a_store_whose_keys_are_the_usual_ones_has_no_record_of_them() {
    let dir = tempfile::tempdir().unwrap();
    for options in [
        small_segments(),
        small_segments().secret_keys(["accessKey", "secretKey"]),
        small_segments().secrets(Secrets::MaskOnOutput),
    ] {
        options.open(dir.path()).unwrap().close().unwrap();
        assert!(!dir.path().join(RECORD).exists());
    }
    let none = [""; 0];
    let own = small_segments().secret_keys(none);
    own.open(dir.path()).unwrap().close().unwrap();
    let store = small_segments().open(dir.path()).unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    graph
        .submit(request("c", r#"{"accessKey":"shown"}"#))
        .unwrap();
    assert!(listed(&graph).contains("shown"));
}

#[test]
fn a_record_of_secret_keys_that_was_altered_is_damage_and_unmasks_nothing() {
    let root = tempfile::tempdir().unwrap();
    let other = root.path().join("other");
    make_with_password(&other, small_segments());
    for (n, policy) in [Secrets::MaskOnOutput, Secrets::MaskAtSubmit]
        .into_iter()
        .cycle()
        .take(6)
        .enumerate()
    {
        let dir = root.path().join(n.to_string());
        let at = dir.join(RECORD);
        make_with_password(&dir, small_segments().secrets(policy));
        let sound = std::fs::read(&at).unwrap();
        match n / 2 {
            0 => {
                let text = String::from_utf8(sound).unwrap();
                std::fs::write(&at, text.replace("password", "passw0rd")).unwrap();
            }
            1 => std::fs::write(&at, "").unwrap(),
            _ => drop(std::fs::copy(other.join(RECORD), &at).unwrap()),
        }
        let what = format!("case {n}");
        for options in [small_segments(), small_segments().secret_keys(["password"])] {
            let refused = options.open(&dir).unwrap_err();
            assert!(
                matches!(&refused, jobstore::Error::Damaged { file, .. } if *file == at),
                "{what}: {refused:?}"
            );
        }
        let report = JobStore::verify(&dir).unwrap();
        assert_eq!(report.damage.len(), 1, "{what}: {report}");
        assert_eq!(report.damage[0].file, at, "{what}");
        let repaired = JobStore::repair(&dir).unwrap();
        assert_eq!((repaired.jobs, repaired.events), (0, 0), "{what}");
        let aside = format!("{RECORD}.1.damaged");
        assert_eq!(repaired.quarantined, [dir.join(aside)], "{what}");
        assert!(JobStore::verify(&dir).unwrap().is_sound(), "{what}");

        // Until they are set again, every key is secret.
        let store = small_segments().open(&dir).unwrap();
        let graph = store.graph("10001", "movie").unwrap();
        let lines = exported(&graph, JobQuery::new(), false);
        assert!(!lines.contains(CANARY), "{what}: {lines}");
        let body = r#"{"a":"c4n4ry","b":["c4n4ry"]}"#;
        let id = graph.submit(request("c", body)).unwrap();
        assert!(!listed(&graph).contains(CANARY), "{what}");
        // The policy is used as far as it can be read; otherwise the stricter one applies.
        let job = graph.job(&id).unwrap().unwrap();
        let keeps = n / 2 == 0 && policy == Secrets::MaskOnOutput;
        assert_eq!(job.secrets_lost(), !keeps, "{what}");
        store.close().unwrap();
        let named = small_segments().secret_keys(["password"]);
        named.secrets(policy).open(&dir).unwrap().close().unwrap();
        let store = small_segments().open(&dir).unwrap();
        let graph = store.graph("10001", "movie").unwrap();
        assert_knows_passwords(&graph, &what);
        graph
            .submit_as("open", request("c", r#"{"a":"shown"}"#))
            .unwrap();
        assert!(listed(&graph).contains("shown"), "{what}");
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// The directory has mode 0700, files 0600; the index engine's files are in a directory of mode
/// 0700.
fn assert_closed_to_others(dir: &Path) {
    assert_eq!(mode(dir), 0o700, "{}", dir.display());
    for name in names_in(dir) {
        let path = dir.join(&name);
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode(&path), expected, "{}", path.display());
    }
}

const UNDER_UMASK: &str = "JOBSTORE_TEST_UMASK_DIR";

/// Runs in a separate process, which has its own umask.
#[test]
fn under_an_umask() {
    let Some(dir) = std::env::var_os(UNDER_UMASK) else {
        return;
    };
    let dir = Path::new(&dir).join("above").join("store");
    let store = small_segments().open(&dir).unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    graph.submit(secret("c")).unwrap();
    pack(&store, &dir);
    store.backup(dir.with_file_name("backup")).unwrap();
    assert_closed_to_others(&dir);
    store.close().unwrap();
}

#[test]
fn files_are_closed_to_others_whatever_the_umask() {
    for umask in ["000", "022", "077", "177"] {
        let dir = tempfile::tempdir().unwrap();
        let program = std::env::current_exe().unwrap();
        let script = format!("umask {umask}; exec \"$0\" --exact under_an_umask");
        let ran = std::process::Command::new("sh")
            .args(["-c", &script])
            .arg(program)
            .env(UNDER_UMASK, dir.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        assert!(
            ran.status.success() && said.contains("1 passed"),
            "{umask}: {said}"
        );
        let above = dir.path().join("above");
        assert_eq!(mode(&above), 0o700, "{umask}");
        assert_closed_to_others(&above.join("store"));
        assert_closed_to_others(&above.join("backup"));
    }
}

#[test]
fn a_directory_or_file_that_others_can_read_is_reported_until_it_is_mended() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("store");
    JobStore::open(&dir).unwrap().close().unwrap();
    for (path, lax, right) in [
        (dir.clone(), 0o750, 0o700),
        (dir.join("STORE"), 0o644, 0o600),
    ] {
        set_mode(&path, lax);
        let store = JobStore::open(&dir).unwrap();
        let said = format!("{:?}", store.health());
        let expected = format!("{lax:04o}");
        assert!(
            said.starts_with("Degraded") && said.contains(&expected),
            "{said}"
        );
        assert!(
            said.contains(&format!("chmod {right:o} {}", path.display())),
            "{said}"
        );
        set_mode(&path, right);
        assert_eq!(store.health(), jobstore::Health::Ok);
        store.close().unwrap();
        assert_eq!(JobStore::open(&dir).unwrap().health(), jobstore::Health::Ok);
    }
}

#[test]
fn purged_jobs_leave_no_secret_behind_once_their_room_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let store = small_segments().open(dir).unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    // Most of what is packed, so that every pack that contains any of it is rewritten.
    let long = format!(
        r#"{{"secretKey":"{}","t":"{}"}}"#,
        CANARY.repeat(200),
        "t".repeat(2000)
    );
    for _ in 0..8 {
        let ids = graph.submit_all(vec![request("c", &long); 40]).unwrap();
        ids.iter().for_each(|id| drop(graph.cancel(id).unwrap()));
    }
    pack(&store, dir);
    graph
        .set_retention(Some(Retention::new().max_jobs(0)))
        .unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let holds = || {
        let packs = common::files_ending(dir, ".pack");
        packs
            .iter()
            .any(|p| std::fs::read(p).is_ok_and(|b| holds_canary(&b)))
    };
    assert!(holds());
    while graph.count(State::Complete).unwrap() > 0 || holds() {
        assert!(
            std::time::Instant::now() < deadline,
            "a secret is still in a pack"
        );
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// Every secret of the shared corpus, if it is available.
#[test]
fn no_secret_of_the_shared_corpus_is_listed() {
    let Some(corpus) = shared("corpus") else {
        return;
    };
    fn secrets(value: &serde_json::Value, found: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(members) => {
                for (key, value) in members {
                    let is_secret = ["accesskey", "secretkey"].contains(&&*key.to_lowercase());
                    match value {
                        serde_json::Value::String(text) if is_secret => found.push(text.clone()),
                        value => secrets(value, found),
                    }
                }
            }
            serde_json::Value::Array(values) => values.iter().for_each(|v| secrets(v, found)),
            _ => {}
        }
    }
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    let (mut lines, mut found) = (Vec::new(), Vec::new());
    for name in names_in(&corpus)
        .iter()
        .filter(|name| name.ends_with(".jsonl"))
    {
        let text = std::fs::read_to_string(corpus.join(name)).unwrap();
        lines.extend(text.lines().map(str::to_owned));
    }
    for line in &lines {
        secrets(&serde_json::from_str(line).unwrap(), &mut found);
        graph.submit(Request::from_json(line).unwrap()).unwrap();
    }
    assert!(!found.is_empty(), "the corpus has no secrets");
    let list = listed(&graph);
    for secret in found {
        let quoted = serde_json::to_string(&secret).unwrap();
        let as_value = format!("Key\":{quoted}");
        assert!(!list.contains(&as_value));
    }
    let page = graph.list(JobQuery::new()).unwrap();
    for (job, line) in page.jobs().zip(&lines) {
        let real = Request::from_json(line).unwrap();
        assert_eq!(job.unwrap().request().as_json(), real.as_json());
    }
}
