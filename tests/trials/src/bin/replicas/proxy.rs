//! A network that delivers requests late: an HTTP proxy before an S3 server.
//!
//! A request that is held back reaches the server after its client has seen the connection break,
//! and perhaps after another process has taken over the replica.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use jobstore_trials::random::Random;

/// Of this many requests that write, one is held back.
const HELD_ONE_IN: u64 = 8;
/// How long a client waits, at most, until its connection breaks.
const BREAKS_AFTER_MS: u64 = 100;
/// How long a request is held back at most, after that.
const HELD_MS: u64 = 2000;
/// How long the server may take to respond to a request that was held back.
const MOST: Duration = Duration::from_secs(30);

/// A proxy for one client process.
pub struct Proxy {
    /// The host and the port at which it listens.
    pub address: String,
    server: Arc<str>,
    state: Arc<Mutex<State>>,
}

struct State {
    random: Random,
    holds: bool,
    holds_all: bool,
    /// How many requests are held back now.
    held: u64,
    first_chunk: Option<u64>,
    is_replaced: bool,
    late: Late,
}

/// The requests that reached the server after the client was replaced.
#[derive(Clone, Default)]
pub struct Late {
    pub requests: u64,
    /// The numbers of the chunks that they created.
    pub chunks: Vec<u64>,
}

impl Proxy {
    /// Starts a proxy with a free port of the host `at`. If it `holds`, some of the requests that
    /// write are held back.
    pub fn start(at: &str, server: &str, random: Random, holds: bool) -> io::Result<Proxy> {
        let listener = TcpListener::bind((at, 0))?;
        let proxy = Proxy {
            address: listener.local_addr()?.to_string(),
            server: server.into(),
            state: Arc::new(Mutex::new(State {
                random,
                holds,
                holds_all: false,
                held: 0,
                first_chunk: None,
                is_replaced: false,
                late: Late::default(),
            })),
        };
        let (server, state) = (proxy.server.clone(), proxy.state.clone());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (server, state) = (server.clone(), state.clone());
                // A broken connection is the client's to handle.
                thread::spawn(move || serve(&client, &server, &state).ok());
            }
        });
        Ok(proxy)
    }

    /// From now on, holds back all requests that write.
    pub fn hold_all(&self) {
        lock(&self.state).holds_all = true;
    }

    /// The client is replaced: what is sent to the server from now on is late. Again, only some
    /// requests are held back, so that the client learns what happened.
    pub fn client_is_replaced(&self) {
        let mut state = lock(&self.state);
        (state.is_replaced, state.holds_all) = (true, false);
    }

    /// The number of the chunk that the client tried to create first.
    pub fn first_chunk(&self) -> Option<u64> {
        lock(&self.state).first_chunk
    }

    /// Waits until no request is held back, and returns those that were late.
    pub fn late(&self) -> Result<Late, String> {
        let deadline = Instant::now() + MOST;
        loop {
            let state = lock(&self.state);
            if state.held == 0 {
                return Ok(state.late.clone());
            }
            drop(state);
            if Instant::now() > deadline {
                return Err("a request that was held back hangs".to_owned());
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(client: &TcpStream, server: &str, state: &Mutex<State>) -> io::Result<()> {
    let mut upstream = TcpStream::connect(server)?;
    client.set_nodelay(true)?;
    upstream.set_nodelay(true)?;
    let (mut answers, mut to) = (upstream.try_clone()?, client.try_clone()?);
    thread::spawn(move || {
        io::copy(&mut answers, &mut to).ok();
        to.shutdown(Shutdown::Both).ok();
    });
    let cut = || {
        client.shutdown(Shutdown::Both).ok();
        upstream.shutdown(Shutdown::Both).ok();
    };
    let mut requests = BufReader::new(client.try_clone()?);
    let held = loop {
        let Ok(Some(request)) = Request::read(&mut requests) else {
            break None;
        };
        if let Some(delays) = lock(state).hold(&request) {
            break Some((request, delays));
        }
        if (&upstream).write_all(&request.bytes).is_err() {
            break None;
        }
    };
    let Some((request, (breaks_after, held))) = held else {
        cut();
        return Ok(());
    };
    thread::sleep(breaks_after);
    cut();
    thread::sleep(held);
    let is_late = lock(state).is_replaced;
    let status = request.deliver(&mut upstream, server);
    let mut state = lock(state);
    state.held -= 1;
    if is_late {
        state.late.requests += 1;
        let created = request.chunk.filter(|_| matches!(status, Ok(200..300)));
        state.late.chunks.extend(created);
    }
    Ok(())
}

impl State {
    /// If this request is to be held back, returns after what time its connection breaks, and after
    /// what further time it is sent to the server.
    fn hold(&mut self, request: &Request) -> Option<(Duration, Duration)> {
        self.first_chunk = self.first_chunk.or(request.chunk);
        let is_held = self.holds && self.random.one_in(HELD_ONE_IN) || self.holds_all;
        if !(request.writes && is_held) {
            return None;
        }
        self.held += 1;
        let mut below = |ms| Duration::from_millis(self.random.below(ms));
        Some((below(BREAKS_AFTER_MS), below(HELD_MS)))
    }
}

/// A request of HTTP/1.1 whose length is known.
struct Request {
    bytes: Vec<u8>,
    writes: bool,
    /// The number of the chunk that it creates.
    chunk: Option<u64>,
}

impl Request {
    /// `None` at the end of the connection.
    fn read(from: &mut impl BufRead) -> io::Result<Option<Request>> {
        let (mut bytes, mut length) = (Vec::new(), 0);
        loop {
            let start = bytes.len();
            if from.read_until(b'\n', &mut bytes)? == 0 {
                return Ok(None);
            }
            let line = String::from_utf8_lossy(&bytes[start..]).to_ascii_lowercase();
            match line.trim().split_once(':') {
                Some(("content-length", value)) => {
                    length = value.trim().parse().map_err(io::Error::other)?;
                }
                Some(("transfer-encoding", _)) => {
                    return Err(io::Error::other("the length of a request is unknown"));
                }
                _ if line.trim().is_empty() => break,
                _ => {}
            }
        }
        let head = String::from_utf8_lossy(&bytes).into_owned();
        let mut words = head.split_whitespace();
        let (method, target) = (words.next(), words.next().unwrap_or_default());
        // The proof of a new replica repeats no request, so that it would fail.
        let is_write = matches!(method, Some("PUT" | "POST" | "DELETE"));
        let writes = is_write && !target.contains("/probe/");
        let number = target
            .rsplit_once("/log/")
            .map(|(_, number)| number.parse());
        if from.take(length).read_to_end(&mut bytes)? as u64 != length {
            return Ok(None);
        }
        Ok(Some(Request {
            bytes,
            writes,
            chunk: number
                .and_then(Result::ok)
                .filter(|_| writes && method == Some("PUT")),
        }))
    }

    /// Sends the request over a new connection, and returns the status of the response.
    fn deliver(&self, upstream: &mut TcpStream, server: &str) -> io::Result<u16> {
        *upstream = TcpStream::connect(server)?;
        upstream.set_read_timeout(Some(MOST / 2))?;
        let line = self.bytes.iter().position(|byte| *byte == b'\n');
        let (line, rest) = self.bytes.split_at(line.map_or(0, |n| n + 1));
        upstream.write_all(&[line, b"Connection: close\r\n", rest].concat())?;
        let mut line = String::new();
        BufReader::new(upstream).read_line(&mut line)?;
        let status = line.split_whitespace().nth(1).unwrap_or_default();
        status.parse().map_err(io::Error::other)
    }
}
