// The thread that makes the requests.

use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use super::failure::Failure;

pub(crate) const THREAD: &str = "jobstore-s3";

/// A tokio runtime of its own, so that a call may come from any thread, including one of the
/// host's runtime, where nested runtimes are not allowed to block.
pub(crate) struct Runtime {
    handle: Handle,
    /// If this is dropped, the thread ends.
    _stop: oneshot::Sender<()>,
}

impl Runtime {
    pub(crate) fn start() -> io::Result<Runtime> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .thread_name(THREAD)
            .build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::Builder::new().name(THREAD.to_owned());
        thread.spawn(move || {
            let _ = runtime.block_on(stopped);
            // A lookup of a host name cannot be cancelled.
            runtime.shutdown_background();
        })?;
        Ok(Runtime {
            handle,
            _stop: stop,
        })
    }

    /// Begins a call on the thread, which may take up to `limit`.
    pub(crate) fn begin<T: Send + 'static>(
        &self,
        limit: Duration,
        call: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Answer<T> {
        let (answer, answered) = mpsc::sync_channel(1);
        self.handle.spawn(async move {
            let result = tokio::time::timeout(limit, call).await;
            let late = || Failure::NoAnswer(format!("no answer within {limit:?}"));
            let _ = answer.send(result.unwrap_or_else(|_| Err(late())));
        });
        Answer(answered)
    }
}

/// The result of a call that is being made.
pub(crate) struct Answer<T>(mpsc::Receiver<Result<T, Failure>>);

impl<T> Answer<T> {
    /// Waits for the result.
    pub(crate) fn wait(self) -> Result<T, Failure> {
        let stopped = || Failure::NoAnswer(format!("the thread {THREAD} has stopped"));
        self.0.recv().unwrap_or_else(|_| Err(stopped()))
    }
}
