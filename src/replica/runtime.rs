//! A thread that makes the requests of an asynchronous client.

use std::io;
use std::sync::mpsc;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// A tokio runtime in a thread of its own, so that calls can be made from any thread. In a thread
/// of the host's runtime, tokio does not allow blocking on a second one.
pub(super) struct Runtime {
    handle: Handle,
    /// The thread ends when this is dropped.
    _stop: oneshot::Sender<()>,
}

impl Runtime {
    pub(super) fn start(thread_name: &str) -> io::Result<Runtime> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .thread_name(thread_name)
            .build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        thread::Builder::new()
            .name(thread_name.to_owned())
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

    /// Begins a call on the thread.
    pub(super) fn begin<T: Send + 'static>(
        &self,
        call: impl Future<Output = T> + Send + 'static,
    ) -> Pending<T> {
        let (result, receiver) = mpsc::sync_channel(1);
        self.handle.spawn(async move {
            let _ = result.send(call.await);
        });
        Pending(receiver)
    }
}

/// A call that is being made.
pub(super) struct Pending<T>(mpsc::Receiver<T>);

impl<T> Pending<T> {
    /// Waits for the result; `None` if the thread has stopped.
    pub(super) fn wait(self) -> Option<T> {
        self.0.recv().ok()
    }
}
