//! The settings of a store, and its host's clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jobstore::{Clock, Durability, JobStore, Options, Recovery};
use jobstore_trials::random::Random;

use crate::model::Now;
use crate::operations::Weights;
use crate::secrets::SecretKeys;

/// The size of the cache for pages.
pub const CACHE_BYTES: u64 = 4 << 20;

/// 2023-11-14, the time at which every life begins.
pub const BEGIN_MS: u64 = 1_700_000_000_000;
/// The last millisecond of the year 9999.
const LAST_MS: u64 = 253_402_300_799_999;

#[derive(Clone, Debug)]
pub struct Setup {
    pub segment_bytes: u64,
    pub durability: Durability,
    pub recovery: Recovery,
    pub secrets: SecretKeys,
    /// Whether opens set the secret keys. Otherwise, they use the keys that the store has recorded.
    pub names_secrets: bool,
    /// Whether the store has a replica.
    pub has_replica: bool,
    pub weights: Weights,
}

impl Setup {
    pub fn draw(random: &mut Random) -> Setup {
        let mut setup = Setup {
            segment_bytes: match random.below(4) {
                0 => 8 << 10,
                1 => 16 << 10,
                2 => 64 << 10,
                _ => 256 << 10,
            },
            durability: match random.below(3) {
                0 => Durability::Interval(Duration::from_secs(5)),
                _ => Durability::Synced,
            },
            recovery: match random.below(3) {
                0 => Recovery::Requeue,
                1 => Recovery::Leave,
                _ => Recovery::Interrupt,
            },
            secrets: SecretKeys::draw(random),
            names_secrets: true,
            weights: Weights {
                faults: !random.one_in(3),
                limits: random.one_in(2),
                clock: random.one_in(2),
                replica: false,
                follower: false,
            },
            has_replica: false,
        };
        setup.has_replica = random.one_in(2);
        setup.weights.replica = setup.has_replica;
        setup.weights.follower = setup.has_replica && !random.one_in(4);
        setup
    }

    pub fn is_interval(&self) -> bool {
        matches!(self.durability, Durability::Interval(_))
    }

    pub fn options(&self, clock: &HostClock) -> Options {
        let options = JobStore::options()
            .cache_bytes(CACHE_BYTES)
            .durability(self.durability)
            .recovery(self.recovery)
            .clock(clock.clone());
        match self.names_secrets {
            true => self.secrets.apply(options),
            false => options,
        }
    }
}

/// A clock that the simulator sets, and the actual simulated time.
#[derive(Clone, Default)]
pub struct HostClock {
    true_ms: Arc<AtomicU64>,
    wall_ms: Arc<AtomicU64>,
}

impl HostClock {
    pub fn new() -> HostClock {
        let clock = HostClock::default();
        clock.wall_ms.store(BEGIN_MS, Ordering::SeqCst);
        clock
    }

    /// Returns the time as the store records it. The store supports no time after the year 9999.
    pub fn now(&self) -> Now {
        Now {
            true_ms: self.true_ms.load(Ordering::SeqCst),
            wall_ms: self.wall_ms.load(Ordering::SeqCst).min(LAST_MS),
        }
    }

    /// Advances the time, on the wall clock and every monotonic clock.
    pub fn advance(&self, ms: u64) {
        self.true_ms.fetch_add(ms, Ordering::SeqCst);
        self.wall_ms.fetch_add(ms, Ordering::SeqCst);
        jobstore::simulation::advance(Duration::from_millis(ms));
    }

    pub fn jump(&self, ms: i64) {
        let wall = self.now().wall_ms;
        self.wall_ms
            .store(wall.saturating_add_signed(ms), Ordering::SeqCst);
    }

    pub fn set(&self, wall_ms: u64) {
        self.wall_ms.store(wall_ms, Ordering::SeqCst);
    }

    /// Returns the time that the wall clock should show.
    pub fn right_ms(&self) -> u64 {
        BEGIN_MS + self.now().true_ms
    }
}

impl Clock for HostClock {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(HostClock::now(self).wall_ms)
    }
}
