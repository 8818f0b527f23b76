//! Unusual connections: refused before there is a request, closed on one side, idle in large
//! numbers, many and slow.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use jobstore::JobStore;
use jobstore::http::{Bounds, Limits, Routes};

use crate::http::{Answer, Server, head, receive, send};
use crate::{LIST, app, fill, with_sample};

/// Sends these bytes and reads everything until the end.
fn exchange(server: &Server, bytes: &[u8]) -> Answer {
    let mut stream = server.connect();
    stream.write_all(bytes).unwrap();
    receive(stream, "GET")
}

#[test]
fn what_is_not_even_a_request_gets_the_failure_document_and_a_request_id() {
    let (_store, _graph, server) = with_sample();
    let long_target = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(65_535));
    let long_head = format!(
        "GET {LIST} HTTP/1.1\r\nHost: a\r\nX-Long: {}\r\n\r\n",
        "x".repeat(200_000)
    );
    let limit_of_head = |bytes: usize| {
        let rest = format!("GET {LIST} HTTP/1.1\r\nConnection: close\r\nX-Long: \r\n\r\n").len();
        let long = "x".repeat(bytes - rest);
        format!("GET {LIST} HTTP/1.1\r\nConnection: close\r\nX-Long: {long}\r\n\r\n").into_bytes()
    };
    let fits = exchange(&server, &limit_of_head(65_536));
    assert_eq!(fits.status, 200, "{fits:?}");
    let many_fields = format!(
        "GET {LIST} HTTP/1.1\r\n{}\r\n",
        (0..150)
            .map(|n| format!("X-{n}: 1\r\n"))
            .collect::<String>()
    );
    for (bytes, status) in [
        (b"nonsense\r\n\r\n".to_vec(), 400),
        (b"GET /a b HTTP/1.1\r\n\r\n".to_vec(), 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n".to_vec(), 400),
        (long_target.into_bytes(), 414),
        (long_head.into_bytes(), 431),
        (many_fields.into_bytes(), 431),
        (limit_of_head(65_537), 431),
        (limit_of_head(100_000), 431),
    ] {
        let answer = exchange(&server, &bytes);
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(answer.is_whole, "{answer:?}");
        let text = answer.text();
        assert!(
            text.contains(r#""errorCode":"GES.8000","result":"failed""#),
            "{text}"
        );
        let message = text.split('"').nth(3).unwrap();
        answer.is_failure(status, "GES.8000", message);
    }
    // A valid request is not affected by a later one that is refused.
    let mut stream = server.connect();
    let good = format!("GET {LIST} HTTP/1.1\r\nHost: a\r\n\r\n");
    stream.write_all(good.as_bytes()).unwrap();
    stream.write_all(b"nonsense\r\n\r\n").unwrap();
    let mut all = String::new();
    stream.read_to_string(&mut all).unwrap();
    assert!(all.starts_with("HTTP/1.1 200"), "{all}");
    assert!(all.contains("HTTP/1.1 400"), "{all}");
    assert!(
        all.ends_with(r#""errorCode":"GES.8000","result":"failed"}"#),
        "{all}"
    );
}

#[test]
fn answers_of_the_engines_own_routes_have_a_request_id_too() {
    let empty = || async { axum::http::StatusCode::BAD_REQUEST };
    let own = axum::Router::new().route("/own", axum::routing::get(empty));
    let server = Server::start(own);
    for path in ["/own", "/nothing"] {
        let answer = server.get(path);
        assert!(answer.header("x-request-id").is_some(), "{answer:?}");
        // The engine's own response is unchanged.
        assert!(answer.body.is_empty(), "{answer:?}");
    }
}

#[test]
fn a_client_that_closes_its_side_after_asking_gets_its_answer() {
    let (_store, graph, server) = with_sample();
    fill(&graph, 1000, 1000);
    for query in ["", "?body_contains=ranking_edge", "?detail=true"] {
        let mut stream = server.connect();
        send(&mut stream, "GET", &format!("{LIST}{query}"), &[], b"");
        stream.shutdown(Shutdown::Write).unwrap();
        let answer = receive(stream, "GET");
        assert!(answer.ok().contains(r#""result":"success""#), "{query}");
    }
}

#[test]
fn idle_connections_leave_for_clients_that_ask() {
    let (store, _graph, _server) = with_sample();
    let bounds = Bounds::new()
        .connections(16)
        .grace(Duration::from_millis(100));
    let server = Server::bounded(app(&Routes::new(&store)), bounds);
    let begun = Instant::now();
    let mut idle = Vec::new();
    for n in 0..60 {
        let mut stream = server.connect();
        match n % 3 {
            // The client sends nothing, part of a head, or one request long ago.
            0 => {}
            1 => stream.write_all(b"GET /he").unwrap(),
            _ => write!(stream, "GET {LIST} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap(),
        }
        idle.push(stream);
        if n % 10 == 9 {
            assert!(server.get(LIST).ok().starts_with(r#"{"jobs":["#));
        }
    }
    // With only the timeout for a head, each would take 30 seconds.
    assert!(begun.elapsed() < Duration::from_secs(25));
}

#[test]
fn a_connection_with_a_request_in_progress_is_not_closed_for_others() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "moviejx").unwrap();
    fill(&graph, 100, 200_000);
    let bounds = Bounds::new()
        .connections(2)
        .grace(Duration::from_millis(100));
    let limits = Limits::new().long_pages(8);
    let server = Server::bounded(app(&Routes::new(&store).limits(limits)), bounds);
    let mut stream = server.connect();
    send(&mut stream, "GET", LIST, &[], b"");
    let mut slow = std::io::BufReader::with_capacity(1024, stream);
    assert_eq!(head(&mut slow).0, 200);
    for _ in 0..5 {
        drop(server.connect());
        assert_eq!(server.get(&format!("{LIST}?limit=1")).status, 200);
    }
    let mut rest = Vec::new();
    assert!(crate::http::chunks(&mut slow, |piece| rest.extend_from_slice(piece)));
    assert!(rest.ends_with(br#""result":"success"}"#));
}
