//! [`ReplicaState`]: the replica of an open store.

use std::sync::Arc;
use std::time::SystemTime;

use crate::base::sync::Mutex;
use crate::log::outbox::RemoteLog;
use crate::model::stats::ReplicaStats;
use crate::replica::appender::Appender;
use crate::replica::uploads::Uploads;

pub(crate) struct ReplicaState {
    pub(crate) appender: Arc<Appender>,
    /// Locked while a checkpoint is being made.
    pub(crate) uploads: Mutex<Uploads>,
    pub(crate) progress: Mutex<Progress>,
}

/// What is known about checkpoints.
#[derive(Default)]
pub(crate) struct Progress {
    /// When the last checkpoint was made.
    pub(crate) checkpoint: Option<SystemTime>,
    /// The chunks and bytes that had been appended by then.
    pub(crate) chunks: u64,
    pub(crate) bytes: u64,
    /// Why the last attempt failed.
    pub(crate) problem: Option<Arc<str>>,
}

impl ReplicaState {
    pub(crate) fn new(appender: Arc<Appender>, uploads: Uploads) -> ReplicaState {
        ReplicaState {
            appender,
            progress: Mutex::new(Progress {
                chunks: uploads.through,
                ..Progress::default()
            }),
            uploads: Mutex::new(uploads),
        }
    }

    pub(crate) fn stats(&self) -> ReplicaStats {
        let status = self.appender.status();
        let progress = self.progress.lock();
        ReplicaStats {
            place: self.appender.calls().replica.place(),
            reign: self.appender.writer().claim,
            last_chunk: status.last,
            bytes: status.bytes,
            retries: status.retries,
            waiting: status.waiting,
            last_checkpoint_at: progress.checkpoint,
            chunks_since_checkpoint: status.last - progress.chunks,
        }
    }

    /// The replica, as what the log is also written to.
    pub(crate) fn log(&self) -> Arc<dyn RemoteLog> {
        self.appender.clone()
    }
}
