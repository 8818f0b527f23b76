//! The result of each call if the server misbehaves or refuses.

use std::io::{Read, empty, repeat};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use jobstore::replica::{Created, ProveError, Replica, ReplicaError, S3Replica, prove};

use crate::fake_s3::{FakeS3, Fault};
use crate::replica_at;

fn unknown<T>(result: Result<T, ReplicaError>) -> String {
    match result {
        Err(ReplicaError::Unknown { what }) => what,
        Err(error) => panic!("not unknown: {error:?}"),
        Ok(_) => panic!("not unknown, but a success"),
    }
}

fn refused<T>(result: Result<T, ReplicaError>) -> String {
    match result {
        Err(ReplicaError::Refused { what }) => what,
        Err(error) => panic!("not refused: {error:?}"),
        Ok(_) => panic!("not refused, but a success"),
    }
}

fn with_fault(fault: Fault) -> (FakeS3, S3Replica) {
    let server = FakeS3::start();
    server.fail_with(fault);
    let replica = replica_at(&server.url, "engine");
    (server, replica)
}

fn creates(server: &FakeS3) -> usize {
    server.requests("PUT").len()
}

/// A single call cannot see this.
#[test]
fn a_server_that_ignores_the_condition_lets_both_creators_succeed() {
    let (_server, replica) = with_fault(Fault::IgnoresCondition);
    assert_eq!(replica.create(1, b"one").unwrap(), Created::Done);
    assert_eq!(replica.create(1, b"two").unwrap(), Created::Done);
}

#[test]
fn a_server_that_checks_before_it_writes_lets_two_creators_succeed() {
    let (_server, replica) = with_fault(Fault::ChecksThenWrites(Arc::new(Barrier::new(2))));
    let results = thread::scope(|scope| {
        let creators = [b"one", b"two"].map(|chunk| scope.spawn(|| replica.create(1, chunk)));
        creators.map(|creator| creator.join().unwrap().unwrap())
    });
    assert_eq!(results, [Created::Done, Created::Done]);
}

#[test]
fn servers_that_are_not_atomic_do_not_pass_the_proof() {
    let (server, replica) = with_fault(Fault::None);
    prove(&replica).unwrap();
    assert_eq!(server.keys(), [""; 0]);
    for fault in [
        Fault::IgnoresCondition,
        Fault::WritesLater(Duration::from_millis(20)),
    ] {
        let (_server, replica) = with_fault(fault);
        let error = prove(&replica).unwrap_err();
        assert!(matches!(error, ProveError::Unfit { .. }), "{error}");
        assert!(
            error.to_string().contains("does not honor If-None-Match"),
            "{error}"
        );
    }
}

#[test]
fn a_create_whose_answer_is_an_error_is_unknown_and_not_repeated() {
    for status in [500, 502, 503, 504, 408, 429] {
        let (server, replica) = with_fault(Fault::StoresThenAnswers(status));
        let what = unknown(replica.create(1, b"one"));
        let expected = format!(
            "s3://jobs/engine: cannot create chunk 1: the server answered with Faulty (status \
             {status}): Faulty"
        );
        assert_eq!(what, expected);
        assert_eq!(creates(&server), 1, "requests for status {status}");
        // The store settles it.
        assert_eq!(
            replica.read(1, Duration::ZERO).unwrap(),
            Some(b"one".to_vec())
        );
        assert_eq!(
            replica.create(1, b"one").unwrap(),
            Created::Taken(b"one".to_vec())
        );
    }
}

#[test]
fn a_create_whose_connection_breaks_is_unknown_and_not_repeated() {
    let (server, replica) = with_fault(Fault::StoresThenCloses);
    unknown(replica.create(1, b"one"));
    assert_eq!(creates(&server), 1);
    assert_eq!(
        replica.create(1, b"one").unwrap(),
        Created::Taken(b"one".to_vec())
    );
}

#[test]
fn a_conflict_returns_the_chunk_that_exists() {
    for status in [409, 412] {
        let (server, replica) = with_fault(Fault::StoresThenAnswers(status));
        assert_eq!(
            replica.create(1, b"one").unwrap(),
            Created::Taken(b"one".to_vec())
        );
        assert_eq!(creates(&server), 1);
    }
}

#[test]
fn a_conflict_without_a_chunk_is_unknown() {
    let server = FakeS3::start();
    server.answer_next(
        1,
        409,
        "<Error><Code>ConditionalRequestConflict</Code></Error>",
    );
    let replica = replica_at(&server.url, "engine");
    unknown(replica.create(1, b"one"));
    assert_eq!(replica.create(1, b"one").unwrap(), Created::Done);
}

/// The chunk may be this one, so the call cannot have been without effect.
#[test]
fn a_conflict_whose_chunk_must_not_be_read_is_unknown() {
    let server = FakeS3::start();
    server.answer_next(1, 412, "");
    server.answer_next(1, 403, "<Error><Code>AccessDenied</Code></Error>");
    let what = unknown(replica_at(&server.url, "engine").create(1, b"one"));
    assert!(what.contains("allow s3:PutObject, s3:GetObject"), "{what}");
}

#[test]
fn a_create_that_is_not_answered_is_unknown() {
    let server = FakeS3::start();
    server.fail_with(Fault::Hangs);
    let builder = S3Replica::builder("s3://jobs/engine").endpoint(&server.url);
    let builder = builder.credentials("key-id", "secret-key", None);
    let replica = builder
        .request_timeout(Duration::from_millis(100))
        .build()
        .unwrap();
    let what = unknown(replica.create(1, b"one"));
    assert!(what.ends_with("no response within 100ms"), "{what}");
    // It may not even have arrived.
    assert!(creates(&server) <= 1);
}

#[test]
fn a_server_that_cannot_be_reached_is_unknown() {
    // A port that was free a moment ago.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let endpoint = format!("http://{address}");
    drop(listener);
    let replica = replica_at(&endpoint, "engine");
    let what = unknown(replica.create(1, b"one"));
    assert!(
        what.contains(&format!("cannot connect to {address}: ")),
        "{what}"
    );
    unknown(replica.read(1, Duration::ZERO));
    let host = replica_at("http://host.invalid:1", "engine");
    unknown(host.create(1, b"one"));
}

#[test]
fn a_server_without_conditional_writes_is_refused() {
    let server = FakeS3::start();
    server.answer_next(1, 501, "<Error><Code>NotImplemented</Code></Error>");
    let what = refused(replica_at(&server.url, "engine").create(1, b"one"));
    assert!(
        what.contains("does not support conditional writes"),
        "{what}"
    );
}

/// Calls every method that makes requests, and returns its error.
fn errors(replica: &S3Replica) -> Vec<ReplicaError> {
    let names = ["x".to_owned()];
    let large = 9 << 20;
    vec![
        replica.create(1, b"one").unwrap_err(),
        replica.read(1, Duration::from_secs(60)).unwrap_err(),
        replica.numbers(0).unwrap_err(),
        replica.trim(9, &[]).unwrap_err(),
        replica.put("x", 1, &mut repeat(0)).unwrap_err(),
        replica.put("x", large, &mut repeat(0)).unwrap_err(),
        replica.get("x", 0..1, &mut Vec::new()).unwrap_err(),
        replica.names("").unwrap_err(),
        replica.remove(&names).unwrap_err(),
    ]
}

#[test]
fn a_missing_bucket_is_refused_by_every_call() {
    let server = FakeS3::start();
    let builder = S3Replica::builder("s3://missing/engine").endpoint(&server.url);
    let replica = builder
        .credentials("key-id", "secret-key", None)
        .build()
        .unwrap();
    for error in errors(&replica) {
        let what = refused::<()>(Err(error));
        assert!(what.starts_with("s3://missing/engine: cannot "), "{what}");
        assert!(
            what.contains("NoSuchBucket (status 404): NoSuchBucket; create the"),
            "{what}"
        );
    }
}

#[test]
fn refusals_name_a_remedy_and_no_credentials() {
    let cases = [
        (403, "AccessDenied", "allow s3:PutObject"),
        (403, "InvalidAccessKeyId", "correct AWS_ACCESS_KEY_ID"),
        (403, "SignatureDoesNotMatch", "correct AWS_ACCESS_KEY_ID"),
        (403, "RequestTimeTooSkewed", "set the clock"),
        (403, "ExpiredToken", "renew the session token"),
        (400, "ExpiredToken", "renew the session token"),
        (401, "Unauthorized", "correct AWS_ACCESS_KEY_ID"),
        (301, "PermanentRedirect", "set AWS_REGION"),
        (400, "AuthorizationHeaderMalformed", "set AWS_REGION"),
        (405, "MethodNotAllowed", "correct the configuration"),
    ];
    for (status, code, remedy) in cases {
        let server = FakeS3::start();
        let body = format!(
            "<Error><Code>{code}</Code><Message>Text\u{1b}[1m\n of it.</Message>\
             <AWSAccessKeyId>key-id</AWSAccessKeyId><Token-0>t0ken</Token-0>\
             <SignatureProvided>signature</SignatureProvided></Error>"
        );
        server.answer_next(100, status, &body);
        let builder = S3Replica::builder("s3://jobs/engine").endpoint(&server.url);
        let token = Some("t0ken".to_owned());
        let builder = builder.credentials("key-id", "secret-key", token);
        assert_eq!(format!("{builder:?}"), "S3ReplicaBuilder { .. }");
        for error in errors(&builder.build().unwrap()) {
            let shown = format!("{error:?}");
            for secret in ["key-id", "secret-key", "t0ken", "signature<", "\\u{1b}"] {
                assert!(!shown.contains(secret), "{secret} in {shown}");
            }
            let what = refused::<()>(Err(error));
            let text = format!("{code} (status {status}): Text [1m  of it; {remedy}");
            assert!(what.contains(&text), "{what}");
        }
    }
}

#[test]
fn errors_that_may_pass_are_unknown() {
    for (status, code) in [
        (503, "SlowDown"),
        (500, "InternalError"),
        (400, "RequestTimeout"),
    ] {
        let server = FakeS3::start();
        server.answer_next(100, status, &format!("<Error><Code>{code}</Code></Error>"));
        let replica = replica_at(&server.url, "engine");
        unknown(replica.create(1, b"one"));
        assert_eq!(creates(&server), 1);
    }
}

#[test]
fn calls_that_can_be_repeated_are_repeated() {
    let server = FakeS3::start();
    let replica = replica_at(&server.url, "engine");
    replica.create(1, b"one").unwrap();
    let fail = || server.answer_next(1, 503, "");
    fail();
    assert_eq!(
        replica.read(1, Duration::ZERO).unwrap(),
        Some(b"one".to_vec())
    );
    fail();
    assert_eq!(replica.numbers(0).unwrap(), [1]);
    fail();
    replica.put("x", 3, &mut &b"abc"[..]).unwrap();
    fail();
    let mut got = Vec::new();
    replica.get("x", 0..3, &mut got).unwrap();
    assert_eq!(got, b"abc");
    fail();
    replica.put("y", 9 << 20, &mut repeat(0)).unwrap();
    fail();
    replica.remove(&["x".to_owned()]).unwrap();
    assert_eq!(replica.names("").unwrap(), [("y".to_owned(), 9 << 20)]);
    server.answer_next(4, 503, "");
    unknown(replica.read(1, Duration::ZERO));
    assert_eq!(server.requests("PUT /jobs/engine/log/").len(), 1);
}

#[test]
fn an_answer_that_is_not_from_s3_is_unknown() {
    let server = FakeS3::start();
    server.answer_next(1, 200, "<html>");
    unknown(replica_at(&server.url, "engine").numbers(0));
    server.answer_next(1, 400, "<html>");
    unknown(replica_at(&server.url, "engine").create(1, b"one"));
}

#[test]
fn a_blob_that_cannot_be_read_is_refused_and_leaves_no_parts() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("broken disk"))
        }
    }
    let server = FakeS3::start();
    let replica = replica_at(&server.url, "engine");
    for len in [5, 20 << 20] {
        let what = refused(replica.put("x", len, &mut Broken));
        assert!(what.contains("broken disk"), "{what}");
        let what = refused(replica.put("x", len, &mut empty()));
        assert!(what.contains("end too early"), "{what}");
        refused(replica.put("x", len, &mut repeat(0).take(len - 1)));
    }
    assert_eq!(server.unfinished_uploads(), 0);
    assert_eq!(server.keys(), [""; 0]);
    refused(replica.put("x", u64::MAX, &mut repeat(0)));
}

#[test]
fn invalid_names_are_refused_without_a_request() {
    let server = FakeS3::start();
    let replica = replica_at(&server.url, "engine");
    let long = "x".repeat(1024);
    for name in [
        "", "/x", "x/", "a//b", "a/../b", ".", "a b", "ä", "log/1", "probe/x", &long,
    ] {
        refused(replica.put(name, 1, &mut repeat(0)));
        refused(replica.get(name, 0..1, &mut Vec::new()));
        refused(replica.remove(&["x".to_owned(), name.to_owned()]));
    }
    assert_eq!(server.requests(""), [""; 0]);
}
