//! Writes, as the committer takes them.
//!
//! Owns: [`Operation`], and what its caller made of a request before. Must not know: how
//! writes are queued and carried out.

use std::sync::Arc;

use crate::engine::state::claim::Claim;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::run_cell::RunCell;
use crate::log::fingerprint::Fingerprint;
use crate::log::purged_jobs::PurgedJob;
use crate::model::id::JobId;
use crate::model::outcome::Outcome;
use crate::model::request::Request;
use crate::model::secrets::MaskedRequest;
use crate::model::states::State;
use crate::model::store_id::StoreId;

/// What a write without a request weighs.
pub(crate) const SMALL_WRITE_BYTES: u64 = 256;

/// A write as the committer takes it.
pub(crate) struct Operation {
    pub(crate) action: Action,
    /// What it weighs in the queue.
    pub(crate) bytes: u64,
}

impl Operation {
    /// A write that carries no request.
    pub(crate) fn small(action: Action) -> Operation {
        Operation {
            action,
            bytes: SMALL_WRITE_BYTES,
        }
    }
}

pub(crate) enum Action {
    CreateGraph {
        project: String,
        name: String,
        id_number: u64,
        key: [u64; 2],
    },
    DropGraph {
        graph: Arc<GraphCore>,
    },
    Submit {
        graph: Arc<GraphCore>,
        submission: Submission,
    },
    SubmitAll {
        graph: Arc<GraphCore>,
        submissions: Vec<Submission>,
    },
    SubmitAs {
        graph: Arc<GraphCore>,
        id: JobId,
        submission: Submission,
        lookup: JobLookup,
    },
    SubmitOnce {
        graph: Arc<GraphCore>,
        key: String,
        submission: Submission,
        lookup: KeyLookup,
    },
    Start {
        graph: Arc<GraphCore>,
        sequence: u64,
        id: JobId,
    },
    Complete {
        graph: Arc<GraphCore>,
        sequence: u64,
        id: JobId,
        outcome: Outcome,
        /// The run that completes it, if one does.
        run: Option<Arc<RunCell>>,
    },
    /// A run ends without an outcome.
    GiveUp {
        graph: Arc<GraphCore>,
        sequence: u64,
        id: JobId,
        run: Arc<RunCell>,
        /// Whether the job becomes pending again, or is interrupted.
        requeue: bool,
    },
    Cancel {
        graph: Arc<GraphCore>,
        sequence: u64,
        id: JobId,
    },
    Claim {
        graph: Arc<GraphCore>,
        /// If its caller may withdraw it.
        claim: Option<Arc<Claim>>,
    },
    /// Gives back the job that was started for a claim, if there is one.
    HandBack {
        graph: Arc<GraphCore>,
        claim: Arc<Claim>,
    },
    Import {
        graph: Arc<GraphCore>,
        jobs: Vec<Imported>,
        /// Whether those behind one that is refused are left out.
        stops: bool,
    },
    Purge {
        graph: Arc<GraphCore>,
        jobs: Vec<PurgedJob>,
        why: u8,
    },
    Forget {
        graph: Arc<GraphCore>,
        through_lsn: u64,
        sequences: Vec<u64>,
    },
    /// Records the clocks.
    Clock,
    /// Confirms the clock.
    ConfirmClock,
    /// Ends a job that was claimed and could not be handed over.
    Abandon {
        graph: Arc<GraphCore>,
        sequence: u64,
    },
}

impl Action {
    /// Whether it takes what is there further, or to its end: what must go on when
    /// the disk is full. The others add.
    pub(crate) fn is_ending(&self) -> bool {
        match self {
            Action::CreateGraph { .. }
            | Action::Submit { .. }
            | Action::SubmitAll { .. }
            | Action::SubmitAs { .. }
            | Action::SubmitOnce { .. }
            | Action::Import { .. } => false,
            Action::DropGraph { .. }
            | Action::Start { .. }
            | Action::Complete { .. }
            | Action::GiveUp { .. }
            | Action::Cancel { .. }
            | Action::Claim { .. }
            | Action::HandBack { .. }
            | Action::Abandon { .. }
            | Action::Purge { .. }
            | Action::Forget { .. }
            | Action::Clock
            | Action::ConfirmClock => true,
        }
    }
}

impl Action {
    /// Whether room comes back by it.
    pub(crate) fn is_freeing(&self) -> bool {
        matches!(
            self,
            Action::DropGraph { .. } | Action::Purge { .. } | Action::Forget { .. }
        )
    }
}

/// A job that is brought from elsewhere, with what is known of its life.
pub(crate) struct Imported {
    pub(crate) id: Option<JobId>,
    pub(crate) submission: Submission,
    pub(crate) state: State,
    /// Of a complete one.
    pub(crate) outcome: Option<Outcome>,
    pub(crate) submitted_ms: Option<u64>,
    pub(crate) started_ms: Option<u64>,
    pub(crate) completed_ms: Option<u64>,
    pub(crate) cancel_requested: bool,
}

/// A request on its way in, with what its caller made of it.
pub(crate) struct Submission {
    pub(crate) masked_request: MaskedRequest,
    pub(crate) fingerprint: Fingerprint,
}

impl Submission {
    pub(crate) fn new(store: StoreId, masked_request: MaskedRequest) -> Submission {
        Submission {
            fingerprint: Fingerprint::of(store, &masked_request.request),
            masked_request,
        }
    }
}

/// What a caller that brings an id found before it queued the write, so that the
/// committer need not ask the index.
pub(crate) struct JobLookup {
    /// The request of the job with that id.
    pub(crate) found: Option<Request>,
    /// Of [`ExternalIds`](crate::engine::state::external_ids::ExternalIds), before the look.
    pub(crate) generation: u64,
}

/// The same for a key that nobody had when its caller looked.
pub(crate) struct KeyLookup {
    /// Of [`ExternalIds`](crate::engine::state::external_ids::ExternalIds), before the look.
    pub(crate) generation: u64,
}
