//! `jobstore serve`: serves a store over HTTP.
//!
//! Contains the additional routes, access control, startup, and shutdown. Clients on other machines
//! need a token, and the tokens can be changed while the server runs. On the first signal, the
//! server shuts down gracefully and closes the store. On the second, it exits immediately.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use clap::{Args, ValueEnum};
use jobstore::JobStore;
use jobstore::http::{Access, Bounds, Caller, Console, Routes, no_such_resource, serve};
use parking_lot::RwLock;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::access;
use crate::notify::ServiceManager;
use crate::output;
use crate::problem::{self, Problem, Verdict};
use crate::store_args::StoreArgs;
use crate::tokens::{ALL, Good, Tokens};

const AFTER_HELP: &str = "\
Serves the GES job-list API, the routes for operators below /jobstore/v1, and
/health, /metrics, and /openapi.json. A console for web browsers is at
/console/. The store stays locked while it is served; other commands use its
control socket. If the store has a replica, use --replica or JOBSTORE_REPLICA:
the server takes over the replica. With --follow, it shows what another engine
writes to the replica, and refuses writes. Both create the store from the
replica if the directory is empty.

systemd is notified when the server is ready and when it stops (Type=notify),
and while it responds (WatchdogSec).

SIGTERM and SIGINT stop the server gracefully; a second one stops it
immediately. SIGHUP reloads the tokens; if the file is invalid, the old tokens
stay in effect. Without --tokens, SIGHUP stops the server, unless it was
started by nohup.

Each line of a token file has a token, a project id, or * for all projects, and
optionally permissions, separated by commas: read, cancel, complete, purge,
export, and observe. By default, a token has read, cancel, and observe. Only
the owner of the file may have access to it (mode 0600), unless systemd passes
the file as a credential (LoadCredential). Clients send their token as
X-Auth-Token; /metrics requires a token for all projects. Without
tokens, every user of this machine has all permissions.

Examples:
  jobstore serve --listen 127.0.0.1:8080
  jobstore serve --listen 0.0.0.0:8080 --tokens /etc/jobstore/tokens
  jobstore serve --replica s3://bucket/jobs
  jobstore serve --follow s3://bucket/jobs --data /var/lib/standby/jobs
  curl http://127.0.0.1:8080/ges/v1.0/10001/graphs/movie/jobs/status?limit=10";

const SIGHUP: u32 = 1;
/// The number of threads that read and write files for clients.
const BLOCKING_THREADS: usize = 64;

/// The severity of messages on standard error.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Log {
    Error,
    Warn,
    Info,
    Debug,
}

/// Serve the store over HTTP
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Address to listen on; with port 0, the system chooses a port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// File that contains the access tokens; required for any address other than loopback
    #[arg(long, value_name = "FILE")]
    tokens: Option<PathBuf>,
    /// Follow this replica, which another engine writes to, and serve it read-only
    #[arg(long, value_name = "URL", conflicts_with = "replica")]
    follow: Option<String>,
    /// Minimum severity of log messages on standard error
    #[arg(long, value_enum, default_value_t = Log::Warn)]
    log: Log,
}

/// The tokens, which can be reloaded, and their file.
#[derive(Clone)]
struct Doorkeeper {
    file: Arc<Path>,
    tokens: Arc<RwLock<Tokens>>,
}

impl Doorkeeper {
    fn new(file: &Path) -> Result<Doorkeeper, Problem> {
        let tokens = Tokens::read(file)?;
        Ok(Doorkeeper {
            file: file.into(),
            tokens: Arc::new(RwLock::new(tokens)),
        })
    }

    fn read_again(&self) {
        match Tokens::read(&self.file) {
            Ok(tokens) => {
                *self.tokens.write() = tokens;
                output::note(&format!("reloaded {}", self.file.display()));
            }
            Err(
                Problem::Usage { what, .. }
                | Problem::Failed { what, .. }
                | Problem::NoJob { what, .. },
            ) => problem::say(
                &what,
                "the previous tokens remain valid; fix the file, and send SIGHUP again",
            ),
            Err(Problem::ReaderGone) => {}
        }
    }

    fn good(&self, caller: &Caller) -> Good {
        let project = match caller.project_id.as_str() {
            "" => ALL,
            project => project,
        };
        caller.token.as_ref().map_or(Good::Nothing, |token| {
            let tokens = self.tokens.read();
            tokens.good(token.as_str(), project, caller.permission)
        })
    }
}

pub(crate) fn run(store_args: &StoreArgs, arguments: &Arguments) -> Result<Verdict, Problem> {
    let tokens = match &arguments.tokens {
        Some(path) => Some(Doorkeeper::new(path)?),
        None if !arguments.listen.ip().is_loopback() => {
            return Err(Problem::usage(
                format!(
                    "refusing to listen on {} without tokens, because other machines can reach \
                     this address",
                    arguments.listen
                ),
                "use --tokens FILE, or listen on 127.0.0.1",
            ));
        }
        None => None,
    };
    begin_log(arguments.log);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build()
        .map_err(|e| {
            Problem::failed(
                format!("cannot start threads: {e}"),
                "check the process limits (`ulimit -u`)",
            )
        })?;
    // The listener is bound before the store is opened, because opening records the given secret
    // keys.
    let listener = runtime.block_on(bind(arguments.listen))?;
    let store = match &arguments.follow {
        Some(url) => crate::replica::followed(store_args, url)?,
        None => access::store_at_rest(store_args)?,
    };
    let served = runtime.block_on(listen(&store, listener, tokens));
    // While the store is being closed, the runtime waits for a second signal.
    let closed = store.close();
    runtime.shutdown_background();
    served?;
    closed?;
    Ok(Verdict::Fine)
}

fn begin_log(log: Log) {
    let level = match log {
        Log::Error => tracing::Level::ERROR,
        Log::Warn => tracing::Level::WARN,
        Log::Info => tracing::Level::INFO,
        Log::Debug => tracing::Level::DEBUG,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(anstream::stderr)
        .init();
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Problem> {
    TcpListener::bind(address).await.map_err(|e| {
        let what = format!("cannot listen on {address}: {e}");
        Problem::usage(
            what,
            "choose another address with --listen, or stop the process that uses this one",
        )
    })
}

async fn listen(
    store: &JobStore,
    listener: TcpListener,
    tokens: Option<Doorkeeper>,
) -> Result<(), Problem> {
    let failed =
        |e: std::io::Error| Problem::failed(format!("cannot install a signal handler: {e}"), "");
    let address = listener
        .local_addr()
        .map_err(|e| Problem::failed(format!("cannot determine the listening address: {e}"), ""))?;
    let mut terminated = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupted = signal(SignalKind::interrupt()).map_err(failed)?;
    // The signal reloads the tokens. If there are none, and `nohup` made this process ignore the
    // signal, it stays ignored.
    let mut hung_up = match tokens.is_none() && is_ignored(SIGHUP) {
        true => None,
        false => Some(signal(SignalKind::hangup()).map_err(failed)?),
    };
    // The server also runs without a control socket, for example if its path is too long.
    let control = store.control();
    if let Err(error) = &control {
        output::note(&format!("continuing without a control socket: {error}"));
    }
    let (mut out, told) = (std::io::stdout(), format!("listening on http://{address}"));
    let written = writeln!(out, "{told}").and_then(|()| out.flush());
    if written.is_err() {
        // If standard output is closed, the address is shown on standard error. Clients may know it
        // anyway.
        output::note(&told);
    }
    let manager = ServiceManager::from_environment().map(Arc::new);
    if let Some(manager) = &manager {
        manager.ready(&told);
        if let Some(every) = manager.alive_every() {
            tokio::spawn(stay_alive(manager.clone(), every, store.clone()));
        }
    }
    let doorkeeper = tokens.clone();
    let end = async move {
        loop {
            tokio::select! {
                _ = terminated.recv() => break,
                _ = interrupted.recv() => break,
                () = next(&mut hung_up) => match &doorkeeper {
                    Some(doorkeeper) => doorkeeper.read_again(),
                    None => break,
                },
            }
        }
        if let Some(manager) = manager {
            manager.stopping();
        }
        tokio::spawn(async move {
            tokio::select! {
                _ = terminated.recv() => {}
                _ = interrupted.recv() => {}
            }
            output::note("stopped immediately; the next open replays the log");
            std::process::exit(1);
        });
    };
    serve(listener, app(store, tokens), Bounds::new(), end).await;
    if let Ok(control) = control {
        // Closing the control socket waits for a thread, so it must not block the runtime.
        tokio::task::spawn_blocking(|| control.close()).await.ok();
    }
    Ok(())
}

/// Reports to the service manager's watchdog as long as this process can run tasks and threads, and
/// the store reports its health. A store that is read-only or degraded is no reason for a restart.
async fn stay_alive(manager: Arc<ServiceManager>, every: Duration, store: JobStore) {
    let mut ticks = tokio::time::interval(every);
    loop {
        ticks.tick().await;
        let (manager, store) = (manager.clone(), store.clone());
        let reported = tokio::task::spawn_blocking(move || {
            let _ = store.health();
            manager.alive();
        });
        reported.await.ok();
    }
}

/// Waits for the next delivery of a signal. If the signal is ignored, waits forever.
async fn next(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// Returns whether this process was started with the signal ignored.
fn is_ignored(number: u32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| {
        let digits = line.strip_prefix("SigIgn:")?.trim();
        u64::from_str_radix(digits, 16).ok()
    });
    mask.is_some_and(|mask| mask >> (number - 1) & 1 == 1)
}

/// Returns the router with all routes.
fn app(store: &JobStore, tokens: Option<Doorkeeper>) -> Router {
    let mut routes = Routes::new(store);
    if let Some(tokens) = tokens {
        routes = routes.authorize(move |caller| {
            let good = tokens.good(&caller);
            async move { access_of(good) }
        });
    }
    let all = routes.all().merge(routes.operations());
    all.merge(routes.operator())
        .merge(Console::new().router())
        .fallback(no_such_resource)
}

fn access_of(good: Good) -> Access {
    match good {
        Good::Granted => Access::Granted,
        Good::Other => Access::Forbidden,
        Good::Nothing => Access::Unauthenticated,
    }
}
