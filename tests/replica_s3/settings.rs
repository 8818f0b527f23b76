//! URLs, environment variables, profiles, and where credentials come from.
//!
//! The environment belongs to a process, so these tests start this program again.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use jobstore::replica::{ReplicaError, S3Replica, connect};

use crate::fake_s3::FakeS3;

const CHILD: &str = "JOBSTORE_TEST_URL";

/// Connects to a URL in a process with only these environment variables, and creates a chunk.
/// Returns `created`, or the error.
pub fn create_in(variables: &[(&str, &str)], url: &str) -> String {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args([
        "--exact",
        "settings::keys_and_a_region_from_variables",
        "--nocapture",
    ]);
    child
        .env_clear()
        .envs(variables.iter().copied())
        .env(CHILD, url);
    let output = child.output().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let line = output.lines().find_map(|line| line.split_once("RESULT: "));
    line.unwrap_or_else(|| panic!("no result: {output}"))
        .1
        .to_owned()
}

fn report(url: &str) {
    let result = connect(url).and_then(|replica| replica.create(1, b"x"));
    match result {
        Ok(_) => println!("RESULT: created"),
        Err(error) => println!("RESULT: {error}"),
    }
}

/// The access key, the region, and the session token of the latest request.
fn signed_by(server: &FakeS3) -> (String, String, Option<String>) {
    let headers: BTreeMap<_, _> = server.latest_headers();
    let scope = headers["authorization"]
        .split_once("Credential=")
        .unwrap()
        .1;
    let mut scope = scope.split('/');
    let (key, region) = (scope.next().unwrap(), scope.nth(1).unwrap());
    let token = headers.get("x-amz-security-token").cloned();
    (key.to_owned(), region.to_owned(), token)
}

fn signature(key: &str, region: &str, token: Option<&str>) -> (String, String, Option<String>) {
    (key.to_owned(), region.to_owned(), token.map(str::to_owned))
}

const URL: &str = "s3://jobs/engine";
const KEY: [(&str, &str); 2] = [
    ("AWS_ACCESS_KEY_ID", "k1"),
    ("AWS_SECRET_ACCESS_KEY", "s3cret"),
];

/// Also the process that the other tests start.
#[test]
fn keys_and_a_region_from_variables() {
    if let Ok(url) = std::env::var(CHILD) {
        return report(&url);
    }
    let server = FakeS3::start();
    let endpoint = ("AWS_ENDPOINT_URL", server.url.as_str());
    assert_eq!(create_in(&[KEY[0], KEY[1], endpoint], URL), "created");
    assert_eq!(signed_by(&server), signature("k1", "us-east-1", None));
    assert_eq!(server.keys(), ["jobs/engine/log/00000000000000000001"]);

    let region = ("AWS_REGION", "eu-west-1");
    let other = ("AWS_DEFAULT_REGION", "eu-central-1");
    let token = ("AWS_SESSION_TOKEN", "t0ken");
    let empty = ("AWS_PROFILE", "");
    create_in(
        &[KEY[0], KEY[1], endpoint, region, other, token, empty],
        URL,
    );
    assert_eq!(
        signed_by(&server),
        signature("k1", "eu-west-1", Some("t0ken"))
    );
    create_in(&[KEY[0], KEY[1], endpoint, other], URL);
    assert_eq!(signed_by(&server), signature("k1", "eu-central-1", None));
    // The variable for S3 takes precedence.
    let used = ("AWS_ENDPOINT_URL_S3", server.url.as_str());
    let unused = ("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    assert!(create_in(&[KEY[0], KEY[1], used, unused], "s3://jobs").ends_with("created"));
}

#[test]
fn profiles() {
    let server = FakeS3::start();
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join(".aws")).unwrap();
    let write = |name: &str, text: &str| fs::write(home.path().join(name), text).unwrap();
    write(
        ".aws/credentials",
        "# comment\n[default]\naws_access_key_id = k2\naws_secret_access_key=s2 # comment\n\n\
         [ two ]\nAWS_ACCESS_KEY_ID=k3\naws_secret_access_key = s/3=+\naws_session_token = t3\n",
    );
    let config = "[default]\nregion = eu-west-1\nendpoint_url = ENDPOINT\n\
                  [profile two]\nregion=eu-north-1\ns3 =\n  endpoint_url = http://nested\n  \
                  region = nested\nendpoint_url = ENDPOINT\n[profile keys]\n\
                  aws_access_key_id = k4\naws_secret_access_key = s4\nendpoint_url = ENDPOINT\n\
                  [profile sso]\nsso_session = x\n[two]\nregion = not-a-profile\n";
    write(".aws/config", &config.replace("ENDPOINT", &server.url));
    let at_home = ("HOME", home.path().to_str().unwrap());
    let profile = |name| ("AWS_PROFILE", name);

    assert_eq!(create_in(&[at_home], URL), "created");
    assert_eq!(signed_by(&server), signature("k2", "eu-west-1", None));
    create_in(&[at_home, profile("two")], URL);
    assert_eq!(
        signed_by(&server),
        signature("k3", "eu-north-1", Some("t3"))
    );
    create_in(&[at_home, profile("keys")], URL);
    assert_eq!(signed_by(&server), signature("k4", "us-east-1", None));
    // Variables take precedence over the profile.
    create_in(
        &[at_home, profile("two"), KEY[0], KEY[1], ("AWS_REGION", "r")],
        URL,
    );
    assert_eq!(signed_by(&server), signature("k1", "r", None));

    write(
        "elsewhere",
        "[default]\naws_access_key_id = k5\naws_secret_access_key = s5\n",
    );
    let file = home.path().join("elsewhere");
    let file = ("AWS_SHARED_CREDENTIALS_FILE", file.to_str().unwrap());
    create_in(&[at_home, file], URL);
    assert_eq!(signed_by(&server), signature("k5", "eu-west-1", None));

    let what = create_in(&[at_home, profile("three")], URL);
    assert!(
        what.starts_with("s3://jobs/engine: there is no profile three; add it to /"),
        "{what}"
    );
    let what = create_in(&[at_home, profile("sso")], URL);
    assert!(
        what.contains("profile sso uses sso_session, which is not supported"),
        "{what}"
    );
    let dir = ("AWS_CONFIG_FILE", at_home.1);
    let what = create_in(&[at_home, dir], URL);
    assert!(
        what.contains(&format!("cannot read {}: ", at_home.1)),
        "{what}"
    );
}

#[test]
fn no_credentials() {
    let server = FakeS3::start();
    let endpoint = ("AWS_ENDPOINT_URL", server.url.as_str());
    let tried = "s3://jobs/engine: no credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY \
                 are not set, and there is no access key in profile default of ~/.aws";
    let what = create_in(&[endpoint, ("AWS_EC2_METADATA_DISABLED", "true")], URL);
    assert!(
        what.starts_with(tried) && what.ends_with("set the variables, or AWS_PROFILE"),
        "{what}"
    );
    let metadata = ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1");
    let what = create_in(&[endpoint, metadata], URL);
    assert!(
        what.starts_with(tried) && what.contains("no instance metadata service"),
        "{what}"
    );
    for (one, missing) in [(KEY[0], KEY[1].0), (KEY[1], KEY[0].0)] {
        let what = create_in(&[endpoint, one], URL);
        let expected = format!(
            "{} is set, but {missing} is not; set both or neither",
            one.0
        );
        assert!(what.ends_with(&expected), "{what}");
    }
    assert_eq!(server.requests(""), [""; 0]);
}

#[test]
fn temporary_credentials_from_services() {
    let credentials = "{\"Code\":\"Success\",\"AccessKeyId\":\"k6\",\"SecretAccessKey\":\"s6\",\
                       \"Token\":\"t6\",\"Expiration\":\"2099-01-01T00:00:00Z\"}";
    let server = FakeS3::start();
    let endpoint = ("AWS_ENDPOINT_URL", server.url.as_str());
    server.answer_next(1, 200, "token");
    server.answer_next(1, 200, "role");
    server.answer_next(1, 200, credentials);
    let metadata = ("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url.as_str());
    assert_eq!(create_in(&[endpoint, metadata], URL), "created");
    assert_eq!(signed_by(&server), signature("k6", "us-east-1", Some("t6")));

    let server = FakeS3::start();
    let endpoint = ("AWS_ENDPOINT_URL", server.url.as_str());
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    fs::write(&token, "identity").unwrap();
    server.answer_next(
        1,
        200,
        "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
         <AccessKeyId>k7</AccessKeyId><SecretAccessKey>s7</SecretAccessKey>\
         <SessionToken>t7</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>\
         </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>",
    );
    let variables = [
        endpoint,
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/x"),
        ("AWS_ENDPOINT_URL_STS", server.url.as_str()),
    ];
    assert_eq!(create_in(&variables, URL), "created");
    assert_eq!(signed_by(&server), signature("k7", "us-east-1", Some("t7")));

    // The service fails: this is not the answer of the bucket.
    server.answer_next(9, 404, "<Error><Code>NoSuchBucket</Code></Error>");
    let what = create_in(&variables, URL);
    assert!(
        what.starts_with("s3://jobs/engine: cannot create chunk 1: no credentials: "),
        "{what}"
    );
}

/// Seen by a proxy, which the client asks for the host.
#[test]
fn buckets_in_the_host_name_and_in_the_path() {
    let asked = |variables: &[(&str, &str)], url: &str| {
        let server = FakeS3::start();
        let proxies = [
            ("HTTP_PROXY", server.url.as_str()),
            ("HTTPS_PROXY", server.url.as_str()),
        ];
        let variables = [&KEY[..], &proxies, variables].concat();
        create_in(&variables, url);
        server.requests("").first().cloned().unwrap_or_default()
    };
    let region = ("AWS_REGION", "eu-west-1");
    let aws = asked(&[region], URL);
    assert_eq!(aws, "CONNECT jobs.s3.eu-west-1.amazonaws.com:443");
    let dotted = asked(&[region], "s3://jobs.x/engine");
    assert_eq!(dotted, "CONNECT s3.eu-west-1.amazonaws.com:443");
    let (log, host) = (
        "log/00000000000000000001",
        ("AWS_ENDPOINT_URL", "http://s3.test:9000/"),
    );
    let in_path = asked(&[host], URL);
    assert_eq!(
        in_path,
        format!("PUT http://s3.test:9000/jobs/engine/{log}")
    );
    let in_host = ("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "true");
    for endpoint in ["http://s3.test:9000", "http://jobs.s3.test:9000"] {
        let asked = asked(&[("AWS_ENDPOINT_URL", endpoint), in_host], URL);
        assert_eq!(asked, format!("PUT http://jobs.s3.test:9000/engine/{log}"));
    }
}

#[test]
fn the_builder_takes_precedence() {
    let server = FakeS3::start();
    let builder = S3Replica::builder(URL).endpoint(&server.url).region("r");
    let token = Some("t".to_owned());
    let replica = builder.credentials("k8", "s8", token).build().unwrap();
    jobstore::replica::Replica::create(&replica, 1, b"x").unwrap();
    assert_eq!(signed_by(&server), signature("k8", "r", Some("t")));
}

fn refused<T>(result: Result<T, ReplicaError>) -> String {
    match result {
        Err(ReplicaError::Refused { what }) => what,
        Err(error) => panic!("not refused: {error:?}"),
        Ok(_) => panic!("not refused, but a success"),
    }
}

#[test]
fn invalid_urls() {
    for (url, problem) in [
        (
            "jobs",
            "invalid replica URL jobs: it has no scheme; use s3://BUCKET/PREFIX",
        ),
        ("http://jobs/x", "unknown scheme http"),
        (
            "s3://",
            "the bucket's name is invalid; use 3 to 63 ASCII letters",
        ),
        ("s3://ab/x", "the bucket's name is invalid"),
        ("s3://jobs%20/x", "the bucket's name is invalid"),
        ("s3://jobs//x", "the prefix is invalid; use ASCII letters"),
        ("s3://jobs/x//", "the prefix is invalid"),
        ("s3://jobs/a/../b", "the prefix is invalid"),
        ("s3://jobs/a b", "the prefix is invalid"),
        (
            "s3://k1:s3cret@jobs/x",
            "invalid replica URL s3://jobs/x: it contains credentials",
        ),
        (
            "s3://jobs/x?secret=s3cret",
            "invalid replica URL s3://jobs/x: it contains a query",
        ),
    ] {
        let what = refused(connect(url).map(|_| ()));
        assert!(
            what.contains(problem) && !what.contains("s3cret"),
            "{url}: {what}"
        );
    }
    let long = format!("s3://jobs/{}", "x".repeat(513));
    let what = refused(connect(&long).map(|_| ()));
    assert!(
        what.ends_with("the prefix has 513 bytes; use at most 512"),
        "{what}"
    );
    for endpoint in [
        "x",
        "ftp://host",
        "http://u:s3cret@host",
        "http://host?x=s3cret",
        "http://",
    ] {
        let builder = S3Replica::builder(URL).endpoint(endpoint);
        let what = refused(builder.credentials("k", "s", None).build());
        assert!(
            what.starts_with("s3://jobs/engine: invalid endpoint "),
            "{what}"
        );
        assert!(!what.contains("s3cret"), "{what}");
    }
}

#[test]
fn certificates_from_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.pem");
    let with = |path: &Path| {
        let bundle = ("AWS_CA_BUNDLE", path.to_str().unwrap());
        create_in(
            &[
                KEY[0],
                KEY[1],
                bundle,
                ("AWS_ENDPOINT_URL", "https://127.0.0.1:1"),
            ],
            URL,
        )
    };
    let what = with(&file);
    assert!(
        what.contains("AWS_CA_BUNDLE: cannot read the certificate /"),
        "{what}"
    );
    fs::write(
        &file,
        "-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    let what = with(&file);
    assert!(
        what.contains("AWS_CA_BUNDLE: cannot read the certificate /"),
        "{what}"
    );
    fs::write(&file, "").unwrap();
    let what = with(&file);
    assert!(what.contains("contains no certificate"), "{what}");
}
