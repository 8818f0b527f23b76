//! The thread that makes the requests.

use std::io;
use std::sync::mpsc;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

const THREAD: &str = "jobstore-etcd";

/// A tokio runtime in a thread of its own, so that calls can be made from any thread. In a thread
/// of the host's runtime, tokio does not permit to block on a second one.
pub(super) struct Runtime {
    handle: Handle,
    /// The thread ends when this is dropped.
    _stop: oneshot::Sender<()>,
}

impl Runtime {
    pub(super) fn start() -> io::Result<Runtime> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        thread::Builder::new()
            .name(THREAD.to_owned())
            .spawn(move || {
                let _ = runtime.block_on(stopped);
                // Resolving a host name cannot be interrupted.
                runtime.shutdown_background();
            })?;
        Ok(Runtime {
            handle,
            _stop: stop,
        })
    }

    /// Runs a call on the thread and waits for its result; `None` if the thread has stopped.
    pub(super) fn run<T: Send + 'static>(
        &self,
        call: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (result, receiver) = mpsc::sync_channel(1);
        self.handle.spawn(async move {
            let _ = result.send(call.await);
        });
        receiver.recv().ok()
    }
}
