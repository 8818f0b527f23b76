//! A server over real sockets, and a low-level client, which sees the bytes of a response and
//! whether the response was complete.

#![allow(dead_code, reason = "each test program uses its own part of this")]

use std::future::Future;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use axum::Router;
use jobstore::http::{Bounds, serve};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long a test waits for a response. None takes this long, so if one does, the test fails
/// instead of hanging.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A server on its own port, shut down when dropped.
pub struct Server {
    pub address: SocketAddr,
    runtime: Option<Runtime>,
    end: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start(app: Router) -> Server {
        Server::bounded(app, Bounds::new().grace(Duration::from_secs(1)))
    }

    pub fn bounded(app: Router, bounds: Bounds) -> Server {
        Server::run(|listener, end| serve(listener, app, bounds, end))
    }

    /// Starts a plain axum server, as an engine may run it without this crate's `serve`.
    pub fn plain(app: Router) -> Server {
        Server::run(|listener, end| async {
            let serving = axum::serve(listener, app).into_future();
            tokio::select! {
                served = serving => served.unwrap(),
                () = end => {}
            }
        })
    }

    fn run<F>(serve: impl FnOnce(TcpListener, End) -> F) -> Server
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (end, ended) = oneshot::channel();
        let end_of: End = Box::pin(async {
            ended.await.ok();
        });
        let serving = runtime.spawn(serve(listener, end_of));
        Server {
            address,
            runtime: Some(runtime),
            end: Some(end),
            serving: Some(serving),
        }
    }

    /// Shuts the server down and waits until it has stopped.
    pub fn end(&mut self) {
        drop(self.end.take());
        if let (Some(runtime), Some(serving)) = (&self.runtime, self.serving.take()) {
            runtime.block_on(serving).unwrap();
        }
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[])
    }

    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        ask(self.connect(), method, path, headers, b"")
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream
    }
}

type End = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A response as the client received it.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether the body was complete.
    pub is_whole: bool,
}

impl Answer {
    /// The value of a header that occurs at most once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut of_name = self.headers.iter().filter(|(n, _)| n == name);
        let value = of_name.next().map(|(_, value)| value.as_str());
        assert!(of_name.next().is_none(), "{name} twice: {self:?}");
        value
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The text of a complete 200 response.
    #[track_caller]
    pub fn ok(&self) -> &str {
        assert!(self.status == 200 && self.is_whole, "{self:?}");
        self.text()
    }

    /// Compares a failure with the error document of the GES API.
    #[track_caller]
    pub fn is_failure(&self, status: u16, code: &str, message: &str) {
        let message = serde_json::to_string(message).unwrap();
        let document =
            format!(r#"{{"errorMessage":{message},"errorCode":"{code}","result":"failed"}}"#);
        assert_eq!((self.status, self.text()), (status, document.as_str()));
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert_eq!(self.header("cache-control"), Some("no-store"));
        assert!(self.header("x-request-id").is_some());
        // Only a client that is refused temporarily gets `Retry-After`.
        assert!(status == 503 || self.header("retry-after").is_none());
    }
}

/// Sends one request on a new connection.
pub fn ask<S: Read + Write>(
    mut stream: S,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    send(&mut stream, method, path, headers, body);
    receive(stream, method)
}

pub fn send(
    stream: &mut impl Write,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    head += "\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
}

pub fn receive(stream: impl Read, method: &str) -> Answer {
    let mut reader = BufReader::new(stream);
    let (status, headers) = head(&mut reader);
    let of_name = |name: &str| {
        headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.clone())
    };
    let mut body = Vec::new();
    let is_whole = if method == "HEAD" {
        reader.read_to_end(&mut body).unwrap();
        true
    } else if of_name("transfer-encoding").is_some() {
        chunks(&mut reader, |piece| body.extend_from_slice(piece))
    } else {
        let length = of_name("content-length").map(|length| length.parse::<usize>().unwrap());
        reader.read_to_end(&mut body).unwrap();
        length == Some(body.len())
    };
    Answer {
        status,
        headers,
        body,
        is_whole,
    }
}

/// Reads status and headers.
pub fn head(reader: &mut impl BufRead) -> (u16, Vec<(String, String)>) {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let status = line
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let status = status.unwrap_or_else(|| panic!("no answer: {line:?}"));
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            assert_eq!(line, "\r\n");
            return (status, headers);
        };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
}

/// Reads a chunked body. Returns whether it was complete.
pub fn chunks(reader: &mut impl BufRead, mut each: impl FnMut(&[u8])) -> bool {
    loop {
        let mut line = String::new();
        if !reader.read_line(&mut line).is_ok_and(|read| read > 0) {
            return false;
        }
        let Ok(length) = usize::from_str_radix(line.trim_end(), 16) else {
            return false;
        };
        let mut piece = vec![0; length + 2];
        if reader.read_exact(&mut piece).is_err() {
            return false;
        }
        if length == 0 {
            return true;
        }
        each(&piece[..length]);
    }
}

/// Sends one request to a store's control socket.
pub fn control(path: &Path, method: &str, target: &str, body: &[u8]) -> Answer {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    ask(stream, method, target, &[], body)
}
