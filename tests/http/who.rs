//! Guarantee: a refused caller learns nothing; no secret and no token is in any response or in the
//! `Debug` output of a caller.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jobstore::http::{Access, Caller, Limits, Permission, Routes, Token, metrics};
use jobstore::{JobStore, Outcome};

use crate::common::request;
use crate::http::{Answer, Server};
use crate::{IDS, LIST, app, sample, serve, with_sample};

/// The arguments of the hook.
type Asked = Arc<Mutex<Vec<(Option<String>, String, Permission)>>>;

/// Token `of-P` is valid for the project P; some other tokens are known.
fn guarded(store: &JobStore) -> (Server, Asked) {
    let asked = Asked::default();
    let log = asked.clone();
    let routes = Routes::new(store).authorize(move |caller| {
        let log = log.clone();
        async move {
            tokio::task::yield_now().await;
            let token = caller.token.as_ref().map(|token| token.as_str().to_owned());
            let entry = (token.clone(), caller.project_id.clone(), caller.permission);
            log.lock().unwrap().push(entry);
            match token.as_deref().and_then(|token| token.strip_prefix("of-")) {
                Some(project) if project == caller.project_id => Access::Granted,
                Some(_) => Access::Forbidden,
                None => Access::Unauthenticated,
            }
        }
    });
    (Server::start(app(&routes)), asked)
}

#[test]
fn who_has_no_good_token_learns_nothing_of_what_there_is() {
    let (store, graph, _) = with_sample();
    let (server, asked) = guarded(&store);
    let ask = |method: &str, path: &str, token: Option<&str>| -> Answer {
        let headers: Vec<(&str, &str)> = token.iter().map(|t| ("X-Auth-Token", *t)).collect();
        server.ask(method, path, &headers)
    };
    let there = LIST.to_owned();
    let id = IDS[0];
    let paths = [
        ("GET", there.clone()),
        ("GET", there.replace("moviejx", "movidde")),
        ("GET", format!("{there}?limit=0")),
        ("GET", format!("{there}?job_id={id}")),
        ("GET", format!("{there}?job_id=nope")),
        ("GET", there.replace("status", &format!("{id}/status"))),
        ("GET", there.replace("status", "nope/status")),
        ("DELETE", there.replace("status", id)),
        ("DELETE", there.replace("status", "nope")),
    ];
    let mut told = BTreeSet::new();
    for (method, path) in &paths {
        let none = ask(method, path, None);
        none.is_failure(401, "GES.8007", "invalid or missing token");
        ask(method, path, Some("made-up")).is_failure(401, "GES.8007", "invalid or missing token");
        let other = ask(method, path, Some("of-10002"));
        other.is_failure(403, "GES.8020", "no permission");
        let names: Vec<&str> = other
            .headers
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        told.insert(names.join(" "));
    }
    assert_eq!(told.len(), 1, "refusals differ: {told:?}");
    assert!(graph.job(id).unwrap().is_some());
    let good = ask("GET", LIST, Some("of-10001"));
    assert_eq!(good.ok(), sample());
    let cancelled = ask("DELETE", &there.replace("status", id), Some("of-10001"));
    assert_eq!(cancelled.ok(), "{}");

    let asked = std::mem::take(&mut *asked.lock().unwrap());
    assert_eq!(asked.len(), 3 * paths.len() + 2);
    assert!(asked.iter().all(|(_, project, _)| project == "10001"));
    let cancels = asked
        .iter()
        .filter(|(_, _, action)| *action == Permission::Cancel);
    assert_eq!(cancels.count(), 2 * 3 + 1);

    // If there are two tokens, it is unclear which one counts.
    let two = [("X-Auth-Token", "of-10001"), ("X-Auth-Token", "of-10002")];
    assert_eq!(server.ask("GET", LIST, &two).status, 401);
    let odd = [("X-Auth-Token", "of-10001\u{e9}")];
    assert_eq!(server.ask("GET", LIST, &odd).status, 401);
}

#[test]
fn what_is_said_of_a_caller_hides_the_token() {
    const CANARY: &str = "c4n4ry";
    let said = Arc::new(Mutex::new(Vec::new()));
    let (store, _graph, _) = with_sample();
    let say = said.clone();
    let routes = Routes::new(&store).authorize(move |caller| {
        let token = caller.token.clone().unwrap();
        assert_eq!(token.as_str(), CANARY);
        let all = (&caller, &token, caller.clone());
        let texts = [format!("{all:?}"), format!("{all:#?}")];
        say.lock().unwrap().extend(texts);
        std::future::ready(Access::Granted)
    });
    let server = Server::start(app(&routes));
    let headers = [("X-Auth-Token", CANARY)];
    assert_eq!(server.ask("GET", LIST, &headers).ok(), sample());
    let said = said.lock().unwrap();
    assert_eq!(said.len(), 2);
    for text in said.iter() {
        assert!(text.contains("Caller") && text.contains("10001"), "{text}");
        assert!(!text.contains(CANARY), "{text}");
    }
}

#[test]
fn a_hook_is_told_all_that_the_request_says_of_its_caller() {
    let (store, _graph, _) = with_sample();
    let seen = Arc::new(Mutex::new(Vec::<Caller>::new()));
    let see = seen.clone();
    let routes = Routes::new(&store).authorize(move |caller| {
        see.lock().unwrap().push(caller);
        std::future::ready(Access::Forbidden)
    });
    let layer = axum::Extension("a peer's certificate");
    let server = Server::start(routes.all().merge(routes.operations()).layer(layer));
    let id = IDS[0];
    let headers = [("Authorization", "Bearer c4n4ry"), ("X-Auth-Token", "t")];
    for (method, path, graph, job, action) in [
        ("GET", LIST.to_owned(), true, false, Permission::Read),
        ("HEAD", LIST.to_owned(), true, false, Permission::Read),
        (
            "GET",
            LIST.replace("status", &format!("{id}/status")),
            true,
            true,
            Permission::Read,
        ),
        (
            "DELETE",
            LIST.replace("status", id),
            true,
            true,
            Permission::Cancel,
        ),
        (
            "GET",
            "/metrics".to_owned(),
            false,
            false,
            Permission::Observe,
        ),
    ] {
        assert_eq!(server.ask(method, &path, &headers).status, 403, "{path}");
        let caller = seen.lock().unwrap().pop().unwrap();
        assert_eq!(caller.token, Some(Token::new("t")));
        assert_eq!(caller.project_id, if graph { "10001" } else { "" });
        let of = |text: &'static str, is_there: bool| is_there.then(|| text.to_owned());
        assert_eq!(caller.graph_name, of("moviejx", graph));
        assert_eq!(caller.job_id, of(id, job));
        assert_eq!(
            (caller.permission, caller.method.as_str()),
            (action, method)
        );
        assert_eq!(caller.headers["authorization"], "Bearer c4n4ry");
        let put = caller.extensions.get::<&str>();
        assert_eq!(put, Some(&"a peer's certificate"));
        assert!(!format!("{caller:?}").contains("c4n4ry"));
    }
    assert!(seen.lock().unwrap().is_empty());
}

#[test]
fn a_hook_that_panics_is_a_fault_and_the_next_is_answered() {
    let (store, _graph, _) = with_sample();
    let routes = Routes::new(&store).authorize(|caller| {
        let token = caller.token.unwrap();
        assert_ne!(token.as_str(), "bad");
        async move {
            tokio::task::yield_now().await;
            assert_ne!(token.as_str(), "worse");
            Access::Granted
        }
    });
    let server = Server::start(app(&routes));
    let with = |token: &str| server.ask("GET", LIST, &[("X-Auth-Token", token)]);
    for token in ["bad", "worse"] {
        with(token).is_failure(500, "GES.8302", "job query error");
        assert_eq!(with("good").ok(), sample());
    }
    // Nor does a caller without a token.
    server
        .get(LIST)
        .is_failure(500, "GES.8302", "job query error");
}

#[test]
fn a_hook_that_does_not_answer_is_not_waited_for() {
    let (store, _graph, _) = with_sample();
    let limits = Limits::new().first_byte(Duration::from_millis(50));
    let routes = Routes::new(&store)
        .authorize(|_| std::future::pending())
        .limits(limits);
    let server = Server::start(app(&routes));
    server
        .get(LIST)
        .is_failure(503, "GES.8602", "engine service unavailable");
}

#[test]
fn no_secret_leaves_by_any_route() {
    const CANARY: &str = "c4n4ry";
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "moviejx").unwrap();
    let body =
        format!(r#"{{"path":"a","deep":[{{"SecretKey":"{CANARY}"}}],"accessKey":"{CANARY}"}}"#);
    for id in ["a", "b"] {
        graph.submit_as(id, request("export_graph", &body)).unwrap();
    }
    let detail = format!(r#"{{"secretKey":"{CANARY}"}}"#);
    let outcome = Outcome::failed("E", "w").with_detail_json(detail).unwrap();
    graph.claim("a").unwrap().complete(outcome).unwrap();
    let server = serve(&store);
    for path in [
        LIST.to_owned(),
        format!("{LIST}?detail=true"),
        format!("{LIST}?job_id=a"),
        format!("{LIST}?order=newest_first&detail=true&outcome=failed"),
        LIST.replace("status", "a/status"),
    ] {
        let answer = server.get(&path);
        assert!(!answer.ok().contains(CANARY), "{path}: {answer:?}");
        assert!(answer.text().contains("******"), "{path}");
    }
    assert!(!metrics(&store).unwrap().contains(CANARY));
    // Nor can it be guessed.
    let found = server.get(&format!("{LIST}?body_contains={CANARY}"));
    assert_eq!(found.ok(), r#"{"jobs":[],"result":"success"}"#);
}
