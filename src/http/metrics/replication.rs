//! The metrics of a store's replica, and of a follower.

use std::time::Duration;

use super::{Text, seconds_of};
use crate::model::stats::{FollowerStats, ReplicaStats};

impl Text {
    pub(super) fn replica(&mut self, replica: &ReplicaStats) {
        let help = "Fencing token of this open: the number of its claim on the replica.";
        self.one("replica_reign", "gauge", help, replica.reign);
        let waiting = replica.waiting.unwrap_or(Duration::ZERO).as_secs_f64();
        let help = "For how long the commit in progress has been waiting for the replica.";
        self.one("replica_waiting_seconds", "gauge", help, waiting);
        let help = "Number of the last chunk in the replica's log.";
        self.one("replica_last_chunk", "gauge", help, replica.last_chunk);
        for (name, help, value) in [
            (
                "replica_bytes_total",
                "Bytes appended to the replica.",
                replica.bytes,
            ),
            (
                "replica_retries_total",
                "Number of repeated attempts to append to the replica.",
                replica.retries,
            ),
        ] {
            self.one(name, "counter", help, value);
        }
        let help = "Number of chunks since the last checkpoint; a restore reads each of them.";
        let chunks = replica.chunks_since_checkpoint;
        self.one("replica_chunks_since_checkpoint", "gauge", help, chunks);
        let help = "Unix time of the last checkpoint; absent if none was made.";
        self.metric("replica_last_checkpoint_timestamp_seconds", "gauge", help);
        if let Some(time) = replica.last_checkpoint_at {
            let seconds = seconds_of(time);
            self.line(format_args!(
                "jobstore_replica_last_checkpoint_timestamp_seconds {seconds}"
            ));
        }
    }

    pub(super) fn follower(&mut self, follower: &FollowerStats) {
        let help = "How far the follower may be behind.";
        let lag = follower.lag.as_secs_f64();
        self.one("follower_lag_seconds", "gauge", help, lag);
        let help = "Log sequence number of the last commit that the follower shows.";
        self.one("follower_as_of_lsn", "gauge", help, follower.as_of_lsn);
        let help = "Time since the replica last responded to the follower.";
        let silent = follower.silent.as_secs_f64();
        self.one("follower_silent_seconds", "gauge", help, silent);
        let help = "Number of times the follower was restored from a checkpoint.";
        self.one(
            "follower_restores_total",
            "counter",
            help,
            follower.restores,
        );
    }
}
