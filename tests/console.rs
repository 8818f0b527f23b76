//! Guarantee: the console is served under any prefix, can be cached, and is allowed to load only its
//! own files.

#[path = "common/http.rs"]
mod http;

use axum::Router;
use http::{Answer, Server};
use jobstore::JobStore;
use jobstore::http::{Console, Routes, no_such_resource};

fn serve(console: &Console, prefix: &str) -> Server {
    let store = JobStore::in_memory().unwrap();
    let below = Routes::new(&store).all().merge(console.router());
    let app = match prefix {
        "" => below,
        prefix => Router::new().nest(prefix, below),
    };
    Server::start(app.fallback(no_such_resource))
}

/// The paths, relative to the page, of the files that the page loads.
fn files_of(page: &str) -> Vec<String> {
    let attributes = ["href=\"", "src=\""];
    let found = attributes.iter().flat_map(|attribute| {
        let after = page.split(attribute).skip(1);
        after.filter_map(|rest| rest.split_once('"'))
    });
    found.map(|(path, _)| path.to_owned()).collect()
}

fn is_secured(answer: &Answer) {
    let policy = answer.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("set-cookie"), None);
}

/// Returns the modules that a module imports only when they are needed.
fn files_loaded_later(module: &Answer) -> Vec<String> {
    let imports = module.ok().split(r#"import("./"#).skip(1);
    let names = imports.map(|rest| rest.split('"').next().unwrap_or_default().to_owned());
    names.collect()
}

#[test]
fn the_page_and_its_files_are_served_under_any_prefix() {
    for prefix in ["", "/ops", "/a/b"] {
        let server = serve(&Console::new(), prefix);
        let moved = server.get(&format!("{prefix}/console"));
        assert_eq!(moved.status, 308);
        assert_eq!(moved.header("location"), Some("console/"));
        let page = server.get(&format!("{prefix}/console/"));
        is_secured(&page);
        assert_eq!(
            page.header("content-type"),
            Some("text/html; charset=utf-8")
        );
        assert_eq!(page.header("cache-control"), Some("no-cache"));
        assert!(page.ok().contains(r#"name="jobstore-api" content="../""#));
        // Inline scripts and styles would be refused by the browser.
        for inline in ["<style", "style=", "<script>", "onclick"] {
            assert!(!page.ok().contains(inline), "{inline}");
        }
        let mut files = files_of(page.ok());
        assert!(files.len() > 20, "{files:?}");
        let views = files.iter().find(|file| file.ends_with("/views.js"));
        let directory = views.unwrap().strip_suffix("views.js").unwrap().to_owned();
        let later =
            files_loaded_later(&server.get(&format!("{prefix}/console/{directory}views.js")));
        assert!(later.len() > 3, "{later:?}");
        files.extend(later.iter().map(|file| format!("{directory}{file}")));
        for file in files {
            let answer = server.get(&format!("{prefix}/console/{file}"));
            assert!(!answer.ok().is_empty(), "{file}");
            is_secured(&answer);
            let caching = answer.header("cache-control").unwrap();
            assert!(caching.contains("immutable"), "{file}: {caching}");
            let kind = answer.header("content-type").unwrap();
            let expected = match file.rsplit_once('.').unwrap().1 {
                "js" => "text/javascript; charset=utf-8",
                "css" => "text/css; charset=utf-8",
                "svg" => "image/svg+xml",
                other => panic!("{other}"),
            };
            assert_eq!(kind, expected, "{file}");
        }
    }
}

#[test]
fn a_known_file_is_not_sent_again() {
    let server = serve(&Console::new(), "");
    let page = server.get("/console/");
    let script = files_of(page.ok()).pop().unwrap();
    for path in ["/console/".to_owned(), format!("/console/{script}")] {
        let tag = server.get(&path).header("etag").unwrap().to_owned();
        for known in [tag.clone(), format!("\"x\", W/{tag}"), "*".to_owned()] {
            let answer = server.ask("GET", &path, &[("If-None-Match", &known)]);
            assert_eq!(answer.status, 304, "{known}");
            assert_eq!((answer.body.len(), answer.header("etag")), (0, Some(&*tag)));
        }
        let answer = server.ask("GET", &path, &[("If-None-Match", "\"x\"")]);
        assert_eq!(answer.status, 200);
        let compressed = server.ask("GET", &path, &[("Accept-Encoding", "gzip")]);
        assert_eq!(compressed.header("content-encoding"), Some("gzip"));
        assert_eq!(compressed.header("vary"), Some("Accept-Encoding"));
        // The two forms are different entities.
        assert_ne!(compressed.header("etag"), Some(&*tag));
        let head = server.ask("HEAD", &path, &[]);
        assert_eq!((head.status, head.body.len()), (200, 0));
        assert_eq!(head.header("etag"), Some(&*tag));
    }
}

#[test]
fn compressed_files_are_the_same_files() {
    use std::io::Read;
    let server = serve(&Console::new(), "");
    let mut sent = 0;
    let page = server.get("/console/");
    for file in files_of(page.ok()) {
        let path = format!("/console/{file}");
        let plain = server.get(&path);
        let compressed = server.ask(
            "GET",
            &path,
            &[("Accept-Encoding", "gzip, deflate, br, zstd")],
        );
        sent += compressed.body.len();
        if compressed.header("content-encoding") == Some("gzip") {
            let mut text = Vec::new();
            let mut decoder = flate2::read::GzDecoder::new(&compressed.body[..]);
            decoder.read_to_end(&mut text).unwrap();
            assert_eq!(text, plain.body, "{file}");
        } else {
            assert_eq!(compressed.body, plain.body, "{file}");
        }
    }
    assert!(sent < 80 << 10, "{sent} bytes");
}

#[test]
fn other_paths_and_methods_are_refused() {
    let server = serve(&Console::new(), "");
    let page = server.get("/console/");
    let script = files_of(page.ok()).pop().unwrap();
    let (version, _) = script.split_once('/').unwrap();
    for path in [
        "/console/none.js".to_owned(),
        format!("/console/{version}/none.js"),
        format!("/console/{version}/../api.js"),
        "/console/0000000000000000/app.js".to_owned(),
        "/console/%FF/app.js".to_owned(),
    ] {
        let answer = server.get(&path);
        assert_eq!(answer.status, 404, "{path}");
    }
    for path in ["/console/", "/console"] {
        assert_eq!(server.ask("POST", path, &[]).status, 405, "{path}");
    }
}

#[test]
fn the_api_may_be_elsewhere() {
    let server = serve(&Console::new().api("/jobs"), "/admin");
    let page = server.get("/admin/console/");
    assert!(
        page.ok()
            .contains(r#"name="jobstore-api" content="/jobs/""#)
    );
}
