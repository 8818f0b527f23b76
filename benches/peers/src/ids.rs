//! Generates ids of the same form as jobstore's: 19 digits and a version 7 UUID.
//!
//! Contains [`Ids`], which peers use. Generating an id is cheap: the only system call reads the
//! clock.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::requests::Seeded;

pub struct Ids {
    number: u64,
    random: u64,
    made: AtomicU64,
}

impl Ids {
    pub fn new() -> Ids {
        let random = RandomState::new().hash_one("ids");
        Ids {
            number: 1_000_000_000_000_000_000 + random % 9_000_000_000_000_000_000,
            random,
            made: AtomicU64::new(0),
        }
    }

    pub fn make(&self) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let millis = now.map_or(0, |since| since.as_millis() as u64);
        let nth = self.made.fetch_add(1, Ordering::Relaxed);
        let mut random = Seeded(self.random.wrapping_add(nth << 32));
        let mut bytes = [0; 10];
        bytes[..8].copy_from_slice(&random.next().to_le_bytes());
        bytes[8..].copy_from_slice(&random.next().to_le_bytes()[..2]);
        let uuid = uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid();
        format!("{:019}{}", self.number, uuid.hyphenated())
    }
}
