//! [`Operation`]: a write, with what its caller computed from the request.

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

/// The size that is assumed for a write without a request in the queue, in bytes.
pub(crate) const SMALL_WRITE_BYTES: u64 = 256;

/// A write in the form that the committer takes.
pub(crate) struct Operation {
    pub(crate) action: Action,
    /// The size that is assumed for the write in the queue, in bytes.
    pub(crate) bytes: u64,
}

impl Operation {
    /// A write without a request.
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
        claim: Option<Arc<Claim>>,
    },
    Complete {
        graph: Arc<GraphCore>,
        sequence: u64,
        id: JobId,
        outcome: Outcome,
        /// The run that completes the job, if any.
        run: Option<Arc<RunCell>>,
    },
    /// Ends a run without an outcome.
    GiveUp {
        graph: Arc<GraphCore>,
        sequence: u64,
        id: JobId,
        run: Arc<RunCell>,
        /// Whether the job becomes pending again; otherwise, it is interrupted.
        requeue: bool,
    },
    Cancel {
        graph: Arc<GraphCore>,
        sequence: u64,
        id: JobId,
    },
    Claim {
        graph: Arc<GraphCore>,
        /// Set if the caller may withdraw the claim.
        claim: Option<Arc<Claim>>,
    },
    /// Requeues the job that was started for a claim, if there is one.
    HandBack {
        graph: Arc<GraphCore>,
        claim: Arc<Claim>,
    },
    Import {
        graph: Arc<GraphCore>,
        jobs: Vec<Imported>,
        /// Whether to stop at the first refused job.
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
    /// Interrupts a job that was claimed but could not be returned to the caller.
    Abandon {
        graph: Arc<GraphCore>,
        sequence: u64,
    },
}

impl Action {
    /// Whether the write advances, completes, or removes something. Such writes must succeed even
    /// if the disk is full. All other writes add something.
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
    /// Whether the write frees space.
    pub(crate) fn is_freeing(&self) -> bool {
        matches!(
            self,
            Action::DropGraph { .. } | Action::Purge { .. } | Action::Forget { .. }
        )
    }
}

/// An imported job, with what is known about its life cycle.
pub(crate) struct Imported {
    pub(crate) id: Option<JobId>,
    pub(crate) submission: Submission,
    pub(crate) state: State,
    /// The outcome of a complete job.
    pub(crate) outcome: Option<Outcome>,
    pub(crate) submitted_ms: Option<u64>,
    pub(crate) started_ms: Option<u64>,
    pub(crate) completed_ms: Option<u64>,
    pub(crate) cancel_requested: bool,
}

/// A request to be submitted, with what its caller computed from it.
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

/// The result of looking up an id that a caller chose. The caller looks it up before it queues the
/// write, so that the committer need not query the index.
pub(crate) struct JobLookup {
    /// The request of the job with that id.
    pub(crate) found: Option<Request>,
    /// The generation of [`ExternalIds`](crate::engine::state::external_ids::ExternalIds) before
    /// the lookup; `None` if the committer has to look again.
    pub(crate) generation: Option<u64>,
}

/// The result of looking up an idempotency key; the key had no owner when the caller looked it up.
pub(crate) struct KeyLookup {
    /// The generation of [`ExternalIds`](crate::engine::state::external_ids::ExternalIds) before
    /// the lookup; `None` if the committer has to look again.
    pub(crate) generation: Option<u64>,
}
