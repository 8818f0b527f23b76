//! A control socket in the store's directory, for operators.
//!
//! Contains [`JobStore::control`] and [`Control`]: the socket and its thread. Only the store's own
//! user and root can connect. The socket is removed before the directory lock is released, so it is
//! never mistaken for the socket of another process.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener as BoundListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::extract::Extension;
use axum::serve::Listener;
use parking_lot::Mutex;
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::api::store::JobStore;
use crate::engine::state::attached_service::AttachedService;
use crate::http::audit_log::Actor;
use crate::http::control_routes;
use crate::http::serve::{Bounds, serve_each};
use crate::log::disk::Disk;
use crate::log::file_names;
use crate::model::error::{Error, Result};

/// The maximum length of a socket's path, in bytes: the size of `sun_path` without the terminating
/// NUL.
const PATH_BYTES_MAX: usize = 107;
/// The number of threads that read and write files for the clients of the socket.
const BLOCKING_THREADS: usize = 16;
/// The maximum time that responses in progress may take during shutdown.
const GRACE: Duration = Duration::from_secs(3);

impl JobStore {
    /// Opens `control.sock` in the store's directory, through which operators inspect and change
    /// the store while the engine has it open. The protocol is HTTP/1.1 over a Unix socket, with
    /// the routes of [`Routes`](crate::http::Routes) and further routes under `/control`. The
    /// `jobstore` CLI uses the socket if the directory is locked.
    ///
    /// No token is needed, because only the store's own user (the socket has mode 0600) and root
    /// can connect; any other peer is disconnected. The socket allows whatever the store's user
    /// could do with the directory: list and export all jobs of all projects, cancel and complete
    /// jobs, import, purge, back up, and verify. If a request fails with an [`Error`], the header
    /// `X-Error-Code` contains the error's code.
    ///
    /// A thread named `jobstore-control` serves the socket, so the engine does not need an async
    /// runtime. The thread keeps the store open, and ends when the store is closed.
    ///
    /// # Errors
    /// [`Error::InvalidUse`] if the store is in memory or the socket is already open;
    /// [`Error::PathTooLong`]; [`Error::Closed`], [`Error::PermissionDenied`], [`Error::Io`].
    ///
    /// # Examples
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let dir = dir.path();
    /// let store = jobstore::JobStore::open(dir)?;
    /// let control = store.control()?;
    /// println!("curl --unix-socket {} http://-/control/stats", control.path().display());
    /// control.close();
    /// assert!(!dir.join("control.sock").exists());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn control(&self) -> Result<Control> {
        let engine = self.engine();
        let mut slot = engine.attached_service.0.lock();
        engine.check_open()?;
        engine.check_not_read_only()?;
        if !engine.is_on_disk() {
            return Err(Error::InvalidUse {
                what: "an in-memory store has no directory for a control socket; add \
                     `http::Routes` to a server of your own instead",
            });
        }
        if slot.as_ref().is_some_and(|open| !open.is_over()) {
            return Err(Error::InvalidUse {
                what: "the control socket is already open; close it first",
            });
        }
        let open = Arc::new(Open::start(self)?);
        *slot = Some(open.clone());
        Ok(Control { open })
    }
}

/// An open control socket, returned by [`JobStore::control`]. Dropping it closes it.
#[must_use = "dropping it closes the socket"]
pub struct Control {
    open: Arc<Open>,
}

impl Control {
    /// The name of the socket in the store's directory: `control.sock`.
    pub const FILE_NAME: &'static str = file_names::CONTROL;

    /// The path of the socket.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.open.path
    }

    /// Removes the socket and ends its thread. Responses in progress have 3 seconds to finish.
    /// Operations that have already begun in the store run to completion.
    pub fn close(self) {
        drop(self);
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.open.end();
        self.open.join();
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control")
            .field("path", &self.open.path)
            .finish_non_exhaustive()
    }
}

struct Open {
    path: PathBuf,
    /// The directory of the socket. After a fork, the child process also has this value, but it
    /// must not remove the socket.
    disk: Arc<dyn Disk>,
    opener: u32,
    /// `None` once the shutdown has begun.
    end: Mutex<Option<watch::Sender<()>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Open {
    fn start(store: &JobStore) -> Result<Open> {
        let directory = store.path();
        let path = directory.join(file_names::CONTROL);
        let given_bytes = path.as_os_str().len();
        if given_bytes > PATH_BYTES_MAX {
            return Err(Error::PathTooLong {
                path,
                given_bytes,
                max_bytes: PATH_BYTES_MAX,
            });
        }
        let failed = |e: io::Error| Error::io("open", &path, &e);
        // The socket is bound by its path, which must still lead to the store.
        store.engine().check_files()?;
        let disk = store.engine().disk.clone();
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().max_blocking_threads(BLOCKING_THREADS);
        let runtime = runtime.build().map_err(failed)?;
        let listener = bind(&directory.join(file_names::CONTROL_ASIDE), &path).map_err(failed)?;
        let (end, ended) = watch::channel(());
        let store = store.clone();
        let serving = std::thread::Builder::new()
            .name("jobstore-control".to_owned())
            .spawn(move || run(runtime, listener, &store, ended));
        match serving {
            Ok(thread) => Ok(Open {
                path,
                disk,
                opener: std::process::id(),
                end: Mutex::new(Some(end)),
                thread: Mutex::new(Some(thread)),
            }),
            Err(error) => {
                disk.remove(file_names::CONTROL).ok();
                Err(failed(error))
            }
        }
    }

    fn is_in_fork(&self) -> bool {
        std::process::id() != self.opener
    }

    fn join(&self) {
        if self.is_in_fork() {
            return;
        }
        let thread = self.thread.lock().take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of the control socket panicked");
        }
    }
}

impl AttachedService for Open {
    fn is_over(&self) -> bool {
        self.end.lock().is_none()
    }

    /// Removes the socket and ends the thread.
    fn end(&self) {
        if self.is_in_fork() {
            return;
        }
        // The socket is removed only once: afterward, the name may belong to another socket.
        if self.end.lock().take().is_some() {
            self.disk.remove(file_names::CONTROL).ok();
        }
    }
}

/// Binds the socket under a temporary name and renames it when it is ready. If a socket already
/// exists, its process must have died, because this process holds the store's lock.
fn bind(unfinished: &Path, path: &Path) -> io::Result<BoundListener> {
    match fs::remove_file(unfinished) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = BoundListener::bind(unfinished)?;
    let ready = fs::set_permissions(unfinished, fs::Permissions::from_mode(0o600))
        .and_then(|()| listener.set_nonblocking(true))
        .and_then(|()| fs::rename(unfinished, path));
    if ready.is_err() {
        fs::remove_file(unfinished).ok();
    }
    ready.map(|()| listener)
}

/// An operator who reads the output in a pager seems to stall, but must not be disconnected.
fn bounds() -> Bounds {
    Bounds::new()
        .connections(64)
        .stall(control_routes::PATIENT)
        .grace(GRACE)
}

fn run(
    runtime: Runtime,
    listener: BoundListener,
    store: &JobStore,
    mut ended: watch::Receiver<()>,
) {
    let serving = async {
        let listener = match UnixListener::from_std(listener) {
            Ok(listener) => OwnUserOnly(listener),
            Err(error) => {
                tracing::error!(%error, "cannot serve the control socket");
                return;
            }
        };
        // The sender is dropped at shutdown; nothing is ever sent.
        let end = async { while ended.changed().await.is_ok() {} };
        let router = control_routes::router(store);
        let app = |by: &Actor| router.clone().layer(Extension(*by));
        serve_each(listener, app, bounds(), end).await;
    };
    runtime.block_on(serving);
    // This does not wait for operations of clients that have disconnected.
    runtime.shutdown_background();
}

/// A listener that closes every connection whose peer is neither this process's user nor root.
struct OwnUserOnly(UnixListener);

impl Listener for OwnUserOnly {
    type Io = UnixStream;
    type Addr = Actor;

    async fn accept(&mut self) -> (UnixStream, Actor) {
        let own = rustix::process::geteuid().as_raw();
        loop {
            let (stream, _) = Listener::accept(&mut self.0).await;
            match stream.peer_cred() {
                Ok(peer) if peer.uid() == own || peer.uid() == 0 => {
                    return (stream, Actor::process(&peer));
                }
                Ok(peer) => tracing::warn!(
                    user = peer.uid(),
                    "refused a control connection from another user"
                ),
                Err(error) => tracing::warn!(%error, "refused a control connection: cannot \
                     determine its user"),
            }
        }
    }

    fn local_addr(&self) -> io::Result<Actor> {
        Ok(Actor::Process {
            uid: rustix::process::geteuid().as_raw(),
            pid: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_cut_off_who_pauses() {
        assert_eq!(bounds(), bounds().stall(control_routes::PATIENT));
    }
}
