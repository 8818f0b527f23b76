//! TLS and authentication.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use jobstore::replica::{Created, EtcdReplica, Replica, ReplicaError};

use crate::cluster::Cluster;

/// Makes an authority in this directory, and certificates for 127.0.0.1 and for a client.
fn certificates(dir: &Path) {
    let openssl = |arguments: &str| {
        let mut command = Command::new("openssl");
        let output = command.current_dir(dir).args(arguments.split(' ')).output();
        let output = output.expect("openssl must be installed");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "openssl {arguments}: {errors}");
    };
    let new_key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    for ca in ["ca", "other"] {
        let out = format!("-keyout {ca}.key -out {ca}.pem -subj /CN={ca} -days 2");
        openssl(&format!("req -x509 {new_key} {out}"));
    }
    let extensions = "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n";
    fs::write(dir.join("extensions"), extensions).unwrap();
    for (name, ca) in [("server", "ca"), ("client", "ca"), ("stranger", "other")] {
        let out = format!("-keyout {name}.key -out {name}.csr -subj /CN={name}");
        openssl(&format!("req {new_key} {out}"));
        let authority = format!("-CA {ca}.pem -CAkey {ca}.key -CAcreateserial");
        let out = format!("-in {name}.csr -out {name}.pem -days 2 -extfile extensions");
        openssl(&format!("x509 -req {authority} {out}"));
    }
}

fn refused<T: std::fmt::Debug>(result: Result<T, ReplicaError>, text: &str) {
    match result {
        Err(ReplicaError::Refused { what }) => assert!(what.contains(text), "{text}: {what}"),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
#[ignore = "needs etcd"]
fn tls_with_client_certificates() {
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path());
    let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let cluster = Cluster::start(
        1,
        &[
            &format!("--cert-file={}", file("server.pem")),
            &format!("--key-file={}", file("server.key")),
            &format!("--trusted-ca-file={}", file("ca.pem")),
            "--client-cert-auth",
        ],
        "https",
    );
    let port = cluster.endpoints[0].rsplit(':').next().unwrap();
    let open = |host: &str, parameters: &[(&str, &str)]| {
        let parameters: Vec<_> = parameters
            .iter()
            .map(|(name, value)| format!("{name}={}", file(value)))
            .collect();
        let url = format!("etcds://{host}:{port}/jobs?{}", parameters.join("&"));
        EtcdReplica::from_url(&url)
    };
    let client = [
        ("ca", "ca.pem"),
        ("cert", "client.pem"),
        ("key", "client.key"),
    ];
    let log = open("127.0.0.1", &client).unwrap();
    assert_eq!(log.create(1, b"one"), Ok(Created::Done));
    assert_eq!(log.create(1, b"two"), Ok(Created::Taken(b"one".to_vec())));
    assert!(log.place().starts_with("etcds://127.0.0.1:"));

    // Each side refuses the other, and nothing is created.
    let stranger = [
        ("ca", "ca.pem"),
        ("cert", "stranger.pem"),
        ("key", "stranger.key"),
    ];
    let distrusting = [("ca", "other.pem"), client[1], client[2]];
    for (host, parameters, reason) in [
        ("127.0.0.1", &client[..1], "received fatal alert: "),
        ("127.0.0.1", &stranger, "received fatal alert: "),
        ("127.0.0.1", &distrusting, "UnknownIssuer"),
        ("localhost", &client, "not valid for name"),
    ] {
        let other = open(host, parameters).unwrap();
        for _ in 0..20 {
            let what = match other.create(2, b"two") {
                Err(ReplicaError::Refused { what }) => what,
                // etcd refuses a client after the handshake, while the request is being sent.
                Err(ReplicaError::Unknown { what }) if reason.contains("alert") => what,
                created => panic!("{host} {parameters:?}: {created:?}"),
            };
            let is_clear = what.contains(reason) && what.contains("check that etcd serves TLS");
            assert!(is_clear, "{host} {parameters:?}: {what}");
        }
    }
    assert_eq!(log.read(2, Duration::ZERO), Ok(None));
    // The certificate is not valid for the first name, but for the second one.
    let either = open(&format!("localhost:{port},127.0.0.1"), &client).unwrap();
    assert_eq!(either.create(3, b"three"), Ok(Created::Done));

    // One side uses TLS, the other does not.
    let plain = cluster.replica("jobs");
    let error = plain.create(2, b"two").unwrap_err();
    assert!(matches!(error, ReplicaError::Unknown { .. }), "{error:?}");
    let without_tls = Cluster::start(1, &[], "http");
    let ca = file("ca.pem");
    let url = format!("etcds://{}/jobs?ca={ca}", without_tls.endpoints[0]);
    let other = EtcdReplica::from_url(&url).unwrap();
    for _ in 0..20 {
        match other.create(2, b"two") {
            Err(ReplicaError::Unknown { what }) => assert!(what.contains("serves TLS"), "{what}"),
            created => panic!("{created:?}"),
        }
    }

    for (parameters, problem) in [
        (&[("ca", "absent.pem")][..], "cannot read the certificate"),
        (&[("ca", "ca.key")], "contains no certificate"),
        (
            &[client[0], client[1], ("key", "absent.key")],
            "cannot read the private key",
        ),
        (
            &[client[0], client[1], ("key", "stranger.key")],
            "does not match",
        ),
    ] {
        refused(open("127.0.0.1", parameters), problem);
    }
}

/// Makes a call through the JSON gateway of etcd.
fn administer(endpoint: &str, path: &str, token: &str, body: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(endpoint).unwrap();
    let length = body.len();
    let token = match token {
        "" => String::new(),
        token => format!("Authorization: {token}\r\n"),
    };
    write!(
        stream,
        "POST /v3/auth/{path} HTTP/1.0\r\nHost: etcd\r\n{token}Content-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    assert!(response.contains(" 200 OK"), "{path}: {response}");
    response
}

#[test]
#[ignore = "needs etcd"]
fn users_and_passwords() {
    // Tokens of etcd expire after this many seconds without use.
    let cluster = Cluster::start(1, &["--auth-token-ttl=1"], "http");
    let endpoint = &cluster.endpoints[0];
    let with_user = |prefix: &str, user: &str, password: &str| {
        EtcdReplica::from_url_with_user(&cluster.url(prefix), user, password).unwrap()
    };

    // A user is no obstacle as long as authentication is not enabled.
    let early = with_user("jobs", "writer", "s3cret");
    assert_eq!(early.create(1, b"one"), Ok(Created::Done));

    // Keys and their end, jobs/ to jobs0, in base64.
    let permission = r#"{"name":"jobs","perm":{"permType":"READWRITE","key":"am9icy8=","range_end":"am9iczA="}}"#;
    for (path, body) in [
        ("user/add", r#"{"name":"root","password":"r00t"}"#),
        ("user/grant", r#"{"user":"root","role":"root"}"#),
        ("role/add", r#"{"name":"jobs"}"#),
        ("role/grant", permission),
        ("user/add", r#"{"name":"writer","password":"s3cret"}"#),
        ("user/grant", r#"{"user":"writer","role":"jobs"}"#),
        ("enable", "{}"),
    ] {
        administer(endpoint, path, "", body);
    }

    // The first replica has no token yet.
    assert_eq!(early.create(2, b"two"), Ok(Created::Done));
    let log = EtcdReplica::from_url(&cluster.url("jobs").replace("://", "://writer:s3cret@"));
    let log = log.unwrap();
    assert_eq!(log.create(3, b"three"), Ok(Created::Done));
    assert!(!log.place().contains("s3cret") && !format!("{log:?}").contains("s3cret"));
    assert_eq!(log.numbers(0), Ok(vec![1, 2, 3]));
    log.trim(2, &[]).unwrap();

    // A token that has expired, or that the node has forgotten, is renewed.
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(log.create(4, b"four"), Ok(Created::Done));
    cluster.signal(0, rustix::process::Signal::KILL);
    cluster.restart(0);
    let created = crate::cluster::retry(|| log.create(5, b"five"));
    assert_eq!(created, Created::Done);
    // So is one that was issued before the rights changed.
    let token = administer(
        endpoint,
        "authenticate",
        "",
        r#"{"name":"root","password":"r00t"}"#,
    );
    let token = token.split("\"token\":\"").nth(1).unwrap();
    let token = token.split('"').next().unwrap();
    administer(endpoint, "role/add", token, r#"{"name":"other"}"#);
    assert_eq!(log.create(6, b"six"), Ok(Created::Done));

    let anonymous = cluster.replica("jobs");
    for (log, text) in [
        (anonymous, "set a user name"),
        (
            with_user("jobs", "writer", "wr0ng"),
            "correct the user name",
        ),
        (
            with_user("jobs", "nobody", "wr0ng"),
            "correct the user name",
        ),
        (with_user("elsewhere", "writer", "s3cret"), "grant the user"),
    ] {
        for error in [
            log.create(7, b"seven").unwrap_err(),
            log.numbers(0).unwrap_err(),
        ] {
            assert!(!error.to_string().contains("wr0ng"));
            refused(Err::<(), _>(error), text);
        }
    }
    assert_eq!(log.numbers(0), Ok(vec![2, 3, 4, 5, 6]));
}
