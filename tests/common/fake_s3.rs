//! A small S3 server in this process, which can misbehave.

#![allow(dead_code, reason = "each test program uses its own part of this")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;

/// What the server does with a PUT that has the header `If-None-Match`.
#[derive(Clone)]
pub enum Fault {
    None,
    /// Overwrites the object.
    IgnoresCondition,
    /// Checks, waits until as many requests as the barrier has places have checked, and writes.
    ChecksThenWrites(Arc<Barrier>),
    /// Checks, waits this long, and writes.
    WritesLater(Duration),
    /// Stores the object, and answers with this status.
    StoresThenAnswers(u16),
    /// Stores the object, and closes the connection.
    StoresThenCloses,
    /// Does not answer.
    Hangs,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Vec<u8>>,
    uploads: BTreeMap<String, BTreeMap<u32, Vec<u8>>>,
    answered_parts: usize,
    /// Methods and targets, in the order of arrival.
    requests: Vec<String>,
    headers: Vec<BTreeMap<String, String>>,
    fault: Option<Fault>,
    /// The answers to the next requests, of any kind: status and body.
    next: Vec<(u16, String)>,
}

/// The server. It serves any bucket but `missing`.
pub struct FakeS3 {
    pub url: String,
    state: Arc<Mutex<State>>,
}

impl FakeS3 {
    pub fn start() -> FakeS3 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let fake = FakeS3 {
            url: format!("http://{}", listener.local_addr().unwrap()),
            state: Arc::default(),
        };
        let state = fake.state.clone();
        thread::spawn(move || {
            for connection in listener.incoming() {
                let state = state.clone();
                thread::spawn(move || serve(connection.unwrap(), &state));
            }
        });
        fake
    }

    pub fn fail_with(&self, fault: Fault) {
        self.state.lock().unwrap().fault = Some(fault);
    }

    /// Answers the next `times` requests, whatever they are, with this status and body.
    pub fn answer_next(&self, times: usize, status: u16, body: &str) {
        let answers = vec![(status, body.to_owned()); times];
        self.state.lock().unwrap().next.extend(answers);
    }

    /// The requests whose method and target begin with `start`.
    pub fn requests(&self, start: &str) -> Vec<String> {
        let state = self.state.lock().unwrap();
        let all = state.requests.iter().filter(|r| r.starts_with(start));
        all.cloned().collect()
    }

    /// The headers of the latest request, with names in lower case.
    pub fn latest_headers(&self) -> BTreeMap<String, String> {
        let state = self.state.lock().unwrap();
        state.headers.last().cloned().unwrap_or_default()
    }

    /// The keys of all objects, with their buckets.
    pub fn keys(&self) -> Vec<String> {
        self.state.lock().unwrap().objects.keys().cloned().collect()
    }

    /// The number of parts of uploads that were stored, and whose requests are being answered.
    pub fn answered_parts(&self) -> usize {
        self.state.lock().unwrap().answered_parts
    }

    pub fn unfinished_uploads(&self) -> usize {
        self.state.lock().unwrap().uploads.len()
    }
}

struct Request {
    method: String,
    key: String,
    query: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

/// `None` closes the connection.
type Answer = Option<(u16, Vec<(&'static str, String)>, Vec<u8>)>;

fn plain(status: u16, body: impl Into<Vec<u8>>) -> Answer {
    Some((status, Vec::new(), body.into()))
}

fn error(status: u16, code: &str) -> Answer {
    plain(
        status,
        format!("<Error><Code>{code}</Code><Message>{code}.</Message></Error>"),
    )
}

fn stored(status: u16) -> Answer {
    Some((status, vec![("ETag", "\"1\"".to_owned())], Vec::new()))
}

fn read_request(from: &mut impl BufRead) -> Option<(String, Request)> {
    let mut line = String::new();
    from.read_line(&mut line).ok().filter(|&read| read > 0)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        from.read_line(&mut line).ok().filter(|&read| read > 0)?;
        let Some((name, value)) = line.trim().split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers
        .get("content-length")
        .map_or(0, |text| text.parse().unwrap());
    let mut body = vec![0; length];
    from.read_exact(&mut body).ok()?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let pairs = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (name.to_owned(), value.replace("%2F", "/"))
        });
    let request = Request {
        key: path.trim_start_matches('/').to_owned(),
        query: pairs.collect(),
        method: method.clone(),
        headers,
        body,
    };
    Some((format!("{method} {target}"), request))
}

fn serve(connection: TcpStream, state: &Mutex<State>) {
    connection.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(connection.try_clone().unwrap());
    let mut connection = connection;
    while let Some((line, request)) = read_request(&mut reader) {
        let is_head = request.method == "HEAD";
        let next = {
            let mut state = state.lock().unwrap();
            state.requests.push(line);
            state.headers.push(request.headers.clone());
            (!state.next.is_empty()).then(|| state.next.remove(0))
        };
        let answer = match next {
            Some((status, body)) => plain(status, body),
            None => handle(&request, state),
        };
        let Some((status, headers, body)) = answer else {
            return;
        };
        let mut head = format!("HTTP/1.1 {status} X\r\n");
        let is_empty = matches!(status, 204 | 304);
        for (name, value) in &headers {
            head += &format!("{name}: {value}\r\n");
        }
        if !is_empty && !headers.iter().any(|(name, _)| *name == "Content-Length") {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        head += "\r\n";
        let body = if is_head { Vec::new() } else { body };
        let sent = connection.write_all(head.as_bytes());
        if sent.and_then(|()| connection.write_all(&body)).is_err() {
            return;
        }
    }
}

fn handle(request: &Request, state: &Mutex<State>) -> Answer {
    if request.key.split('/').next() == Some("missing") {
        return error(404, "NoSuchBucket");
    }
    match request.method.as_str() {
        "PUT" if request.query.contains_key("partNumber") => {
            let number = request.query["partNumber"].parse().unwrap();
            let mut state = state.lock().unwrap();
            let Some(upload) = state.uploads.get_mut(&request.query["uploadId"]) else {
                return error(404, "NoSuchUpload");
            };
            upload.insert(number, request.body.clone());
            state.answered_parts += 1;
            stored(200)
        }
        "PUT" => put(request, state),
        "POST" => multipart(request, state),
        "GET" if request.query.contains_key("list-type") => list(request, &state.lock().unwrap()),
        "GET" | "HEAD" => get(request, &state.lock().unwrap()),
        "DELETE" => {
            let mut state = state.lock().unwrap();
            match request.query.get("uploadId") {
                Some(upload) => drop(state.uploads.remove(upload)),
                None => drop(state.objects.remove(&request.key)),
            }
            plain(204, "")
        }
        _ => error(405, "MethodNotAllowed"),
    }
}

fn put(request: &Request, state: &Mutex<State>) -> Answer {
    let store = |state: &mut State| {
        state
            .objects
            .insert(request.key.clone(), request.body.clone())
    };
    let mut locked = state.lock().unwrap();
    let exists = locked.objects.contains_key(&request.key);
    if !request.headers.contains_key("if-none-match") {
        store(&mut locked);
        return stored(200);
    }
    match locked.fault.clone() {
        Some(Fault::Hangs) => {
            drop(locked);
            loop {
                thread::park();
            }
        }
        Some(Fault::IgnoresCondition) => {}
        _ if exists => return error(412, "PreconditionFailed"),
        Some(Fault::ChecksThenWrites(barrier)) => {
            drop(locked);
            barrier.wait();
            locked = state.lock().unwrap();
        }
        Some(Fault::WritesLater(delay)) => {
            drop(locked);
            thread::sleep(delay);
            locked = state.lock().unwrap();
        }
        Some(Fault::StoresThenAnswers(status)) => {
            store(&mut locked);
            return error(status, "Faulty");
        }
        Some(Fault::StoresThenCloses) => {
            store(&mut locked);
            return None;
        }
        Some(Fault::None) | None => {}
    }
    store(&mut locked);
    stored(200)
}

fn multipart(request: &Request, state: &Mutex<State>) -> Answer {
    let mut state = state.lock().unwrap();
    match request.query.get("uploadId") {
        None => {
            let id = format!("upload{}", state.requests.len());
            state.uploads.insert(id.clone(), BTreeMap::new());
            plain(
                200,
                format!(
                    "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
                ),
            )
        }
        Some(id) => {
            let Some(parts) = state.uploads.remove(id) else {
                return error(404, "NoSuchUpload");
            };
            let whole = parts.into_values().collect::<Vec<_>>().concat();
            state.objects.insert(request.key.clone(), whole);
            plain(
                200,
                "<CompleteMultipartUploadResult><ETag>\"1\"</ETag></CompleteMultipartUploadResult>",
            )
        }
    }
}

fn get(request: &Request, state: &State) -> Answer {
    let Some(whole) = state.objects.get(&request.key) else {
        return error(404, "NoSuchKey");
    };
    let mut headers = vec![
        ("ETag", "\"1\"".to_owned()),
        ("Last-Modified", "Thu, 01 Jan 1970 00:00:00 GMT".to_owned()),
    ];
    if request.method == "HEAD" {
        headers.push(("Content-Length", whole.len().to_string()));
        return Some((200, headers, Vec::new()));
    }
    let Some(range) = request.headers.get("range") else {
        return Some((200, headers, whole.clone()));
    };
    let (from, to) = range
        .strip_prefix("bytes=")
        .unwrap()
        .split_once('-')
        .unwrap();
    let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
    if from >= whole.len() {
        return error(416, "InvalidRange");
    }
    let to = to.min(whole.len() - 1);
    headers.push((
        "Content-Range",
        format!("bytes {from}-{to}/{}", whole.len()),
    ));
    Some((206, headers, whole[from..=to].to_vec()))
}

/// At most 1000 objects, like AWS; the token is the last key.
fn list(request: &Request, state: &State) -> Answer {
    let bucket = format!("{}/", request.key.trim_end_matches('/'));
    let parameter = |name: &str| request.query.get(name).map_or("", String::as_str);
    let after = parameter("continuation-token").max(parameter("start-after"));
    let keys = state.objects.iter().filter_map(|(key, object)| {
        let key = key.strip_prefix(&bucket)?;
        let is_listed = key.starts_with(parameter("prefix")) && key > after;
        is_listed.then_some((key, object.len()))
    });
    let page: Vec<_> = keys.take(1001).collect();
    let mut body = "<ListBucketResult>".to_owned();
    for (key, len) in page.iter().take(1000) {
        body += &format!(
            "<Contents><Key>{key}</Key><Size>{len}</Size><ETag>\"1\"</ETag>\
             <LastModified>1970-01-01T00:00:00.000Z</LastModified></Contents>"
        );
    }
    if page.len() > 1000 {
        body += &format!(
            "<NextContinuationToken>{}</NextContinuationToken>",
            page[999].0
        );
    }
    plain(200, body + "</ListBucketResult>")
}
