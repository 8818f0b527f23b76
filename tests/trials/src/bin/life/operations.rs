//! The operations and events of a life, and how they are generated.
//!
//! Contains [`Op`]. An operation is plain data whose meaning does not depend on the other
//! operations in its list. Therefore, if some operations are removed from a list, the rest is also
//! a life.

use jobstore_trials::random::Random;

use crate::claims::Polls;
use crate::interrupts::Call;
use crate::policies::Policy;
use crate::requests::{Content, End};
use crate::secrets::SecretKeys;

/// A number that selects one of any number of things.
pub type Pick = u16;

#[derive(Clone, Debug)]
pub enum After {
    Complete(End),
    Drop,
    Leave,
    Requeue,
    Keep,
}

#[derive(Clone, Debug)]
pub struct Look {
    pub graph: Pick,
    pub offset: Pick,
    pub limit: Pick,
    pub states: u8,
    pub newest: bool,
    pub filter: u8,
    pub number: u16,
}

#[derive(Clone, Debug)]
pub enum Op {
    // Writes.
    Create(Pick),
    Drop(Pick),
    Submit(Pick, Content),
    SubmitAll(Pick, Vec<Content>),
    SubmitMany(Pick, u16, Content),
    SubmitAs(Pick, u8, Content),
    SubmitOnce(Pick, u8, Content),
    TrySubmit(Pick, Content),
    QueueBurst(Pick, Vec<Content>, bool),
    Start(Pick),
    Complete(Pick, End),
    CompleteMany(Pick, u16, End),
    Cancel(Pick),
    CancelMany(Pick, u16),
    CancelAll(Pick, Look, bool),
    RunNext(Pick, After),
    ClaimTimeout(Pick, After),
    ClaimAsync(Pick, Polls, Content, After),
    Cancelled(Pick, bool),
    Run(Pick, After),
    Attach(Pick, After),
    Kept(Pick, After),
    Progress(Pick),
    SetPolicy(Pick, Option<Policy>),
    Purge(Pick, Look),
    HttpPurge(Pick, Look),
    HttpCancel(Pick),
    HttpComplete(Pick, End),
    Import(Pick, Vec<(Content, u8)>),
    ExportImport(Pick, Pick),
    ConfirmClock,
    // Reads.
    List(Look),
    Walk(Look),
    WalkAll(Look),
    JobById(Pick),
    Find(Pick, Content),
    Counts(Pick),
    Tombstone(Pick),
    Changes(Pick),
    JobChanges(Pick),
    Wait(Pick),
    Stats,
    Scrub,
    DryRun(Pick, Look),
    OldHandles,
    HttpList(Look),
    HttpWalk(Look),
    HttpJob(Pick),
    HttpExport(Look),
    HttpFind(Pick, Content),
    HttpStore,
    HttpRefusals(Pick),
    CheckArchive,
    CheckAll,
    // The background.
    Pack,
    Archive,
    Index,
    Sync,
    Expire,
    Settle,
    Interrupt(u8, u16, Pick, Call),
    // The life cycle of the process.
    Reopen(u8),
    OpenMany(u16),
    DieAtOpen(u16),
    ReadOnlyOpen,
    ChangeSecrets(SecretKeys),
    Kill,
    PowerCut,
    DieAfter(u16),
    // The machine.
    FailCall(u8, u16, bool),
    FailIndex(u16),
    HarmArchive(u8, u16),
    DiskLimit(u8),
    FileLimit(u8),
    DescriptorLimit(u8),
    FillAndFree(Pick, u8),
    Heal,
    LoseIndex,
    CorruptIndex,
    // The replica.
    Upload,
    FailReplica(u8, u32),
    StopReplica,
    LoseMachine(bool),
    TakeOver(bool),
    RestoreElsewhere,
    // The follower.
    Follow(bool),
    FollowerSteps(u16),
    FollowerWork(u8),
    FollowerReads(Look),
    CatchUp(Look, Content),
    FollowerBounds,
    FailFollower(u8, u16),
    EndFollower(u8, u8),
    Promote(u8, u8, bool),
    // The clock.
    Advance(u64),
    WallJump(i64),
    WallTo(u8),
    // Invariants.
    Backup,
    Image,
    ImageKept,
    Restore,
    RepairUnchanged,
    CorruptImage(u32),
    Bounds,
}

macro_rules! named {
    ($($variant:ident),* $(,)?) => {
        impl Op {
            pub const NAMES: &'static [&'static str] = &[$(stringify!($variant)),*];

            pub fn name(&self) -> &'static str {
                match self { $(Op::$variant { .. } => stringify!($variant),)* }
            }
        }
    };
}

named!(
    Create,
    Drop,
    Submit,
    SubmitAll,
    SubmitMany,
    SubmitAs,
    SubmitOnce,
    TrySubmit,
    QueueBurst,
    Start,
    Complete,
    CompleteMany,
    Cancel,
    CancelMany,
    CancelAll,
    RunNext,
    ClaimTimeout,
    ClaimAsync,
    Cancelled,
    Run,
    Attach,
    Kept,
    Progress,
    SetPolicy,
    Purge,
    HttpPurge,
    HttpCancel,
    HttpComplete,
    Import,
    ExportImport,
    ConfirmClock,
    List,
    Walk,
    WalkAll,
    JobById,
    Find,
    Counts,
    Tombstone,
    Changes,
    JobChanges,
    Wait,
    Stats,
    Scrub,
    DryRun,
    OldHandles,
    HttpList,
    HttpWalk,
    HttpJob,
    HttpExport,
    HttpFind,
    HttpStore,
    HttpRefusals,
    CheckArchive,
    CheckAll,
    Pack,
    Archive,
    Index,
    Sync,
    Expire,
    Settle,
    Interrupt,
    Reopen,
    OpenMany,
    DieAtOpen,
    ReadOnlyOpen,
    ChangeSecrets,
    Kill,
    PowerCut,
    DieAfter,
    FailCall,
    FailIndex,
    HarmArchive,
    DiskLimit,
    FileLimit,
    DescriptorLimit,
    FillAndFree,
    Heal,
    LoseIndex,
    CorruptIndex,
    Upload,
    FailReplica,
    StopReplica,
    LoseMachine,
    TakeOver,
    RestoreElsewhere,
    Follow,
    FollowerSteps,
    FollowerWork,
    FollowerReads,
    CatchUp,
    FollowerBounds,
    FailFollower,
    EndFollower,
    Promote,
    Advance,
    WallJump,
    WallTo,
    Backup,
    Image,
    ImageKept,
    Restore,
    RepairUnchanged,
    CorruptImage,
    Bounds,
);

impl Op {
    /// Returns whether an operation is a fault.
    pub fn is_fault(name: &str) -> bool {
        matches!(
            name,
            "DieAtOpen"
                | "Kill"
                | "PowerCut"
                | "DieAfter"
                | "FailCall"
                | "FailIndex"
                | "HarmArchive"
                | "DiskLimit"
                | "FillAndFree"
                | "FileLimit"
                | "DescriptorLimit"
                | "LoseIndex"
                | "CorruptIndex"
                | "FailReplica"
                | "StopReplica"
                | "LoseMachine"
                | "TakeOver"
                | "FailFollower"
                | "EndFollower"
                | "Promote"
                | "WallJump"
                | "WallTo"
                | "CorruptImage"
        )
    }
}

/// The frequencies of operations in a life.
#[derive(Clone, Debug)]
pub struct Weights {
    pub faults: bool,
    pub limits: bool,
    pub clock: bool,
    pub replica: bool,
    pub follower: bool,
}

fn look(random: &mut Random) -> Look {
    Look {
        graph: pick(random),
        offset: match random.below(3) {
            0 => 0,
            1 => random.below(20) as Pick,
            _ => pick(random),
        },
        limit: match random.below(3) {
            0 => 1 + random.below(20) as Pick,
            1 => 100,
            _ => 10_000,
        },
        states: random.below(8) as u8,
        newest: random.one_in(2),
        filter: random.below(12) as u8,
        number: random.below(40) as u16,
    }
}

fn pick(random: &mut Random) -> Pick {
    random.below(1 << 16) as Pick
}

fn after(random: &mut Random) -> After {
    match random.below(8) {
        0 => After::Drop,
        1 if random.one_in(2) => After::Leave,
        1 => After::Requeue,
        2..=4 => After::Keep,
        _ => After::Complete(End::draw(random)),
    }
}

fn contents(random: &mut Random, max: u64) -> Vec<Content> {
    (0..random.below(max))
        .map(|_| Content::draw(random))
        .collect()
}

impl Op {
    pub fn draw(random: &mut Random, weights: &Weights) -> Op {
        let r = random;
        loop {
            let op = match r.below(100) {
                // A life without a replica has other operations in their place.
                n if weights.replica && n % 16 == 5 => Op::on_replica(r, weights),
                n if weights.follower && n % 6 == 3 => Op::on_follower(r, weights),
                0..=1 => Op::Create(pick(r)),
                2 if r.one_in(2) => Op::Drop(pick(r)),
                2..=9 => Op::writing(r),
                10..=21 => Op::ending(r),
                22..=26 => Op::submitting(r),
                27 => Op::HttpPurge(pick(r), look(r)),
                28..=30 => Op::Purge(pick(r), look(r)),
                31..=33 => Op::SetPolicy(pick(r), Policy::draw(r)),
                34 => {
                    let lines = contents(r, 30).into_iter();
                    let lines = lines.map(|c| (c, (c.number % 8) as u8)).collect();
                    Op::Import(pick(r), lines)
                }
                35 => Op::ExportImport(pick(r), pick(r)),
                36..=42 => Op::reading(r),
                43..=47 => Op::by_http(r),
                48..=51 => Op::CheckAll,
                52..=54 => {
                    let after = match r.below(3) {
                        0 => r.below(6),
                        1 => r.below(40),
                        _ => r.below(400),
                    };
                    Op::Interrupt(r.below(8) as u8, after as u16, pick(r), Call::draw(r))
                }
                55..=61 => match r.below(6) {
                    5 => Op::Archive,
                    0..=1 => Op::Pack,
                    2..=3 => Op::Index,
                    _ => Op::Sync,
                },
                62 if r.one_in(2) => Op::CheckArchive,
                62 => Op::Expire,
                63..=65 => Op::Settle,
                66..=69 => Op::Reopen(r.below(8) as u8),
                70 if r.one_in(4) => Op::OpenMany(1 + r.below(40) as u16),
                71 if weights.faults => Op::DieAtOpen(1 + r.below(30) as u16),
                72 if r.one_in(3) => Op::ChangeSecrets(SecretKeys::draw(r)),
                72 => Op::ReadOnlyOpen,
                73..=74 if weights.faults => Op::Kill,
                75..=76 if weights.faults => Op::PowerCut,
                77..=79 if weights.faults => Op::DieAfter(r.below(60) as u16),
                80..=81 if weights.faults => {
                    Op::FailCall(r.below(8) as u8, r.below(30) as u16, r.one_in(3))
                }
                82 if weights.faults && r.one_in(2) => {
                    Op::HarmArchive(r.below(16) as u8, r.below(12) as u16)
                }
                82 if weights.faults => Op::FailIndex(r.below(50) as u16),
                83 if weights.limits => Op::DiskLimit(r.below(8) as u8),
                84 if weights.limits => Op::FileLimit(r.below(8) as u8),
                85 if weights.limits => Op::DescriptorLimit(r.below(8) as u8),
                86 if weights.limits => Op::FillAndFree(pick(r), r.below(8) as u8),
                86..=87 if weights.limits || weights.faults => Op::Heal,
                88 if weights.faults => Op::LoseIndex,
                89 if weights.faults && r.one_in(3) => Op::CorruptIndex,
                90..=91 => Op::Advance(match r.below(4) {
                    0 => r.below(60_000),
                    1 => r.below(3_600_000),
                    2 => r.below(20 * 3_600_000),
                    _ => r.below(10 * 86_400_000),
                }),
                92 if weights.clock => {
                    Op::WallJump(r.below(40 * 86_400_000) as i64 - 20 * 86_400_000)
                }
                93 if weights.clock => Op::WallTo(r.below(4) as u8),
                94 => Op::Backup,
                95 => Op::Image,
                96 => match r.below(3) {
                    0 => Op::ImageKept,
                    1 => Op::RepairUnchanged,
                    _ => Op::CorruptImage(r.below(1 << 30) as u32),
                },
                97 if r.one_in(2) => Op::Restore,
                98 => Op::Bounds,
                99 => Op::ConfirmClock,
                _ => continue,
            };
            return op;
        }
    }

    fn on_replica(r: &mut Random, weights: &Weights) -> Op {
        match r.below(8) {
            0 if weights.faults => Op::FailReplica(r.below(6) as u8, r.below(1 << 30) as u32),
            1 if weights.faults && r.one_in(3) => Op::StopReplica,
            2 if weights.faults => Op::LoseMachine(r.one_in(2)),
            3 => Op::TakeOver(r.one_in(2)),
            4 => Op::RestoreElsewhere,
            _ => Op::Upload,
        }
    }

    fn on_follower(r: &mut Random, weights: &Weights) -> Op {
        match r.below(24) {
            0..=2 => Op::Follow(r.one_in(2)),
            3..=5 => Op::FollowerSteps(1 + r.below(12) as u16),
            6..=7 => Op::FollowerSteps(1 + r.below(40) as u16),
            8..=10 => Op::FollowerWork(r.below(4) as u8),
            11..=13 => Op::FollowerReads(look(r)),
            14..=16 => Op::CatchUp(look(r), Content::draw(r)),
            17 => Op::FollowerBounds,
            18..=20 if weights.faults => {
                Op::FailFollower(r.below(12) as u8, r.below(1 << 12) as u16)
            }
            21..=22 if weights.faults => Op::EndFollower(r.below(4) as u8, r.below(8) as u8),
            23 => Op::Promote(r.below(4) as u8, r.below(8) as u8, r.one_in(3)),
            // It is closed, and loses nothing.
            _ => Op::EndFollower(0, 7),
        }
    }

    fn submitting(r: &mut Random) -> Op {
        let graph = pick(r);
        match r.below(3) {
            0 => Op::SubmitAll(graph, contents(r, 60)),
            1 => {
                let mut content = Content::draw(r);
                content.filler %= 300;
                Op::SubmitMany(graph, 1 + r.below(400) as u16, content)
            }
            _ => {
                let contents = contents(r, 20);
                Op::QueueBurst(graph, contents, r.one_in(2))
            }
        }
    }

    fn writing(r: &mut Random) -> Op {
        let graph = pick(r);
        let content = Content::draw(r);
        match r.below(5) {
            0 => Op::SubmitAs(graph, r.below(40) as u8, content),
            1 => Op::SubmitOnce(graph, r.below(40) as u8, content),
            2 => Op::TrySubmit(graph, content),
            _ => Op::Submit(graph, content),
        }
    }

    fn ending(r: &mut Random) -> Op {
        let job = pick(r);
        match r.below(27) {
            26 => Op::CancelAll(job, look(r), r.one_in(3)),
            20 => Op::ClaimTimeout(job, after(r)),
            21..=23 => {
                let polls = Polls {
                    count: r.below(5) as u8,
                    commits: r.below(16) as u8,
                };
                Op::ClaimAsync(job, polls, Content::draw(r), after(r))
            }
            24..=25 => Op::Cancelled(job, r.one_in(2)),
            18 => Op::HttpCancel(job),
            19 => Op::HttpComplete(job, End::draw(r)),
            14..=17 => Op::RunNext(job, After::Keep),
            0 => Op::Start(job),
            1..=2 => Op::Complete(job, End::draw(r)),
            3 => Op::CompleteMany(job, 1 + r.below(300) as u16, End::draw(r)),
            4 => Op::Cancel(job),
            5..=6 => Op::CancelMany(job, 1 + r.below(400) as u16),
            7..=8 => Op::RunNext(job, after(r)),
            9 => Op::Run(job, after(r)),
            10 => Op::Attach(job, after(r)),
            11 => Op::Progress(job),
            _ => Op::Kept(job, after(r)),
        }
    }

    fn reading(r: &mut Random) -> Op {
        let at = pick(r);
        match r.below(16) {
            0..=2 => Op::List(look(r)),
            3 => Op::Walk(look(r)),
            4 => Op::JobById(at),
            5 => Op::Find(at, Content::draw(r)),
            6 => Op::Counts(at),
            7..=8 => Op::Tombstone(at),
            9..=10 => Op::Changes(at),
            11 => Op::JobChanges(at),
            12 => Op::Wait(at),
            13 => match r.below(3) {
                0 => Op::Stats,
                1 => Op::Scrub,
                _ => Op::OldHandles,
            },
            14 => Op::DryRun(at, look(r)),
            _ => Op::WalkAll(look(r)),
        }
    }

    fn by_http(r: &mut Random) -> Op {
        let at = pick(r);
        match r.below(12) {
            0..=3 => Op::HttpList(look(r)),
            4..=5 => Op::HttpWalk(look(r)),
            6..=7 => Op::HttpJob(at),
            8 => Op::HttpExport(look(r)),
            9 => Op::HttpFind(at, Content::draw(r)),
            10 => Op::HttpStore,
            _ => Op::HttpRefusals(at),
        }
    }
}
