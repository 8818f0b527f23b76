//! Guarantee: the origin of a request is recorded with its job, wherever the job is stored. Detailed
//! output shows it, the GES job list never does, and it does not change what makes requests equal.

mod common;

use std::path::Path;

use common::{pack, request, small_segments};
use jobstore::{
    Error, Graph, Job, JobQuery, JobStore, OnBadLine, Outcome, Request, Submitted, TallyBy,
    TallyKey,
};

const PLAIN: &str = r#"{"n":1}"#;
const SECRET: &str = r#"{"secretKey":"hunter2"}"#;

fn large() -> String {
    format!(r#"{{"secretKey":"hunter2","x":"{}"}}"#, "x".repeat(400_000))
}

fn from(origin: &str, body: &str) -> Request {
    request("import_graph", body).with_origin(origin).unwrap()
}

/// Jobs with and without origins, secrets, and large bodies.
fn fill(movie: &Graph) {
    for body in [PLAIN, SECRET, &large()] {
        movie.submit(from("alice", body)).unwrap();
        movie.submit(from("trace \"4bf9\" \u{fc}", body)).unwrap();
        movie.submit(request("import_graph", body)).unwrap();
    }
}

fn jobs(movie: &Graph, query: JobQuery) -> Vec<Job> {
    let page = movie.list(query).unwrap();
    page.jobs().collect::<Result<_, _>>().unwrap()
}

fn check(movie: &Graph) {
    let expected = ["alice", "trace \"4bf9\" \u{fc}", ""];
    let all = jobs(movie, JobQuery::new());
    assert_eq!(all.len(), 9);
    for (n, job) in all.iter().enumerate() {
        let origin = Some(expected[n % 3]).filter(|origin| !origin.is_empty());
        assert_eq!(job.request().origin(), origin, "job {n}");
        assert_eq!(job.masked_request().origin(), origin, "job {n}");
        let has_secrets = n >= 3;
        let reveals = job.request().body().contains("hunter2");
        assert_eq!(reveals, has_secrets, "job {n}");
        let line = job.to_json();
        assert_eq!(line.contains(r#""origin":""#), origin.is_some(), "{n}");
        assert_eq!(line.contains(r#""masked":true"#), has_secrets, "job {n}");
        let found = movie.job(job.id()).unwrap().unwrap();
        assert_eq!(found.request().origin(), origin, "job {n}");
    }
    for (origin, count) in [
        ("alice", 3),
        ("trace \"4bf9\" \u{fc}", 3),
        ("ali", 0),
        ("", 0),
    ] {
        let found = jobs(movie, JobQuery::new().origin(origin));
        assert_eq!(found.len(), count, "{origin}");
        assert!(found.iter().all(|j| j.request().origin() == Some(origin)));
        let tally = movie.tally(JobQuery::new().origin(origin), TallyBy::Command);
        let command = TallyKey::Command(Some("import_graph".to_owned()));
        assert_eq!(tally.unwrap().of(&command), count as u64);
    }
    let page = movie.list(JobQuery::new()).unwrap();
    let list = String::from_utf8(page.to_json().unwrap()).unwrap();
    assert!(!list.contains("origin") && !list.contains("alice"));
    let mut detailed = Vec::new();
    for piece in page.detailed_chunks() {
        detailed.extend_from_slice(&piece.unwrap());
    }
    let detailed = String::from_utf8(detailed).unwrap();
    assert_eq!(detailed.matches(r#","origin":"alice","#).count(), 3);
    assert_eq!(detailed.matches(r#","masked":true"#).count(), 6);
    assert!(!detailed.contains("hunter2"));
}

fn open(dir: &Path) -> (JobStore, Graph) {
    let store = small_segments().open(dir).unwrap();
    let movie = store.get_or_create_graph("10001", "movie").unwrap();
    (store, movie)
}

#[test]
fn an_origin_is_recorded_wherever_its_job_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let (store, movie) = open(dir.path());
    fill(&movie);
    check(&movie);
    pack(&store, dir.path());
    check(&movie);
    drop(movie);
    store.close().unwrap();
    let (_store, movie) = open(dir.path());
    check(&movie);
}

#[test]
fn an_export_contains_origins_and_an_import_records_them() {
    let store = JobStore::in_memory().unwrap();
    let movie = store.create_graph("10001", "movie").unwrap();
    fill(&movie);
    for reveals in [false, true] {
        let mut export = movie.export(JobQuery::new()).unwrap();
        if reveals {
            export = export.reveal_secrets();
        }
        let mut lines = Vec::new();
        export.write_all(&mut lines).unwrap();
        let other = store.create_graph("2", if reveals { "real" } else { "masked" });
        let other = other.unwrap();
        other.import(&lines[..], OnBadLine::Stop).unwrap();
        let origins = |graph: &Graph| -> Vec<_> {
            let all = jobs(graph, JobQuery::new()).into_iter();
            all.map(|job| job.request().origin().map(str::to_owned))
                .collect()
        };
        assert_eq!(origins(&other), origins(&movie));
        let lost = jobs(&other, JobQuery::new());
        let lost = lost.iter().filter(|job| job.secrets_lost()).count();
        assert_eq!(lost, if reveals { 0 } else { 6 });
    }
    let bare = r#"{"command":"c","url":"/","origin":"bob"}
        {"request":{"command":"c","url":"/","origin":"bob"}}"#;
    let other = store.create_graph("2", "bare").unwrap();
    other.import(bare.as_bytes(), OnBadLine::Stop).unwrap();
    assert_eq!(jobs(&other, JobQuery::new().origin("bob")).len(), 2);
    let two = r#"{"request":{"command":"c","url":"/","origin":"bob"},"origin":"alice"}"#;
    let refused = other.import(two.as_bytes(), OnBadLine::Stop).unwrap_err();
    assert!(refused.to_string().contains("two origins"), "{refused}");
    let long = format!(r#"{{"command":"c","origin":"{}"}}"#, "x".repeat(257));
    let refused = other.import(long.as_bytes(), OnBadLine::Stop).unwrap_err();
    assert!(
        matches!(refused, Error::BadLine { line: 1, .. }),
        "{refused}"
    );
}

#[test]
fn requests_with_different_origins_are_equal() {
    let store = JobStore::in_memory().unwrap();
    let movie = store.create_graph("10001", "movie").unwrap();
    let (alice, bob) = (from("alice", PLAIN), from("bob", PLAIN));
    assert_eq!(alice, bob);
    let id = movie.submit_once("key", alice.clone()).unwrap();
    assert!(matches!(&id, Submitted::Created(_)));
    let again = movie.submit_once("key", bob.clone()).unwrap();
    assert!(matches!(&again, Submitted::AlreadyExists(_)));
    assert_eq!(again.id(), id.id());
    movie.submit_as("chosen", alice).unwrap();
    let again = movie.submit_as("chosen", bob.clone()).unwrap();
    assert!(matches!(again, Submitted::AlreadyExists(_)));
    let found: Vec<_> = movie.find(&bob).unwrap().map(Result::unwrap).collect();
    assert_eq!(found.len(), 2);
    // The origin of the first submission remains.
    assert!(found.iter().all(|j| j.request().origin() == Some("alice")));
    let run = movie.claim_next().unwrap().unwrap();
    assert_eq!(run.request().origin(), Some("alice"));
    run.complete(Outcome::succeeded()).unwrap();
}

#[test]
fn an_origin_has_at_most_256_bytes() {
    let plain = || request("c", PLAIN);
    let longest = "x".repeat(256);
    let kept = plain().with_origin(&longest).unwrap();
    assert_eq!(kept.origin(), Some(&*longest));
    let refused = plain().with_origin("x".repeat(257)).unwrap_err();
    let expected = "the origin is too long: 257 bytes";
    assert!(refused.to_string().contains(expected), "{refused}");
    assert_eq!(kept.with_origin("").unwrap().origin(), None);
    // It does not count as a part of the request's text.
    let store = JobStore::options()
        .max_request_bytes(1024)
        .in_memory()
        .unwrap();
    let movie = store.create_graph("10001", "movie").unwrap();
    let room = 1024 - request("c", "\"\"").as_json().len();
    let full = request("c", &format!("\"{}\"", "x".repeat(room)));
    assert_eq!(full.as_json().len(), 1024);
    movie.submit(full.with_origin("alice").unwrap()).unwrap();
    let json = r#"{"command":"c","url":"","origin":"alice"}"#;
    let request = Request::from_json(json).unwrap();
    assert_eq!(request.origin(), Some("alice"));
    assert!(!request.as_json().contains("alice"));
}
