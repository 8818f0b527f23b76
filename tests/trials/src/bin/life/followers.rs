//! A follower of the store: its process, its faults, and its promotion.
//!
//! Contains [`Follower`], which has a directory, an index, and a connection of its own. The seed
//! determines when it reads the replica and when its background works.

use std::sync::Arc;

use allocation_counter::measure;
use jobstore::simulation::{self, Class, Fault, Step};
use jobstore::{Error, Health};

use crate::history::History;
use crate::life::{Directory, FeedReader, Finding, KeptPage, Life, Ran};
use crate::line::Line;

/// A follower, whether its process is running or not.
pub struct Follower {
    pub running: Option<simulation::Follower>,
    pub directory: Directory,
    pub line: Line,
    pub index_troubled: bool,
    pub limited: bool,
    pub faults_before: u64,
    pub pages: Vec<KeptPage>,
    pub feed_readers: Vec<FeedReader>,
    /// Incremented when the log is replaced, after which earlier positions mean nothing.
    pub epoch: u64,
    /// The LSN of the last event that it has shown.
    pub shown_lsn: u64,
    /// The memory that it used when it was last closed.
    pub held_bytes: i64,
    /// Whether the log was replaced, and the follower may still show the earlier one.
    pub is_replaced: bool,
}

impl Follower {
    fn new(directory: Directory, line: Line) -> Follower {
        Follower {
            running: None,
            directory,
            line,
            index_troubled: false,
            limited: false,
            faults_before: 0,
            pages: Vec::new(),
            feed_readers: Vec::new(),
            epoch: 0,
            shown_lsn: 0,
            held_bytes: 0,
            is_replaced: false,
        }
    }

    pub fn begin_operation(&mut self) {
        self.faults_before = self.directory.disk.counters().faults;
    }

    pub fn has_fault(&self) -> bool {
        let disk = &self.directory.disk;
        self.limited || disk.is_dead() || disk.counters().faults > self.faults_before
    }

    fn heal_disk(&mut self) {
        self.directory.disk.heal();
        self.directory.disk.limit_bytes(None);
        self.directory.disk.limit_files(None);
        self.directory.index.fail_after(None);
        self.limited = false;
    }

    /// Ends the process without a close.
    pub fn crash(&mut self, power: bool, seed: u64) {
        match power {
            true => self.directory.disk.cut_power(seed),
            false => self.directory.disk.kill(),
        }
        self.directory.index.crash(seed.rotate_left(7));
        self.ended();
    }

    fn ended(&mut self) {
        self.running = None;
        self.pages.clear();
        self.index_troubled = false;
    }

    /// Ends the process if a fault has stopped it.
    fn end_if_failed(&mut self, seed: u64) -> Result<(), Finding> {
        if !self.has_failed() {
            return Ok(());
        }
        if !self.has_fault() {
            let health = self.running.as_ref().map(|r| r.store().health());
            return Err(format!("a follower stops without a fault: {health:?}"));
        }
        self.crash(false, seed);
        Ok(())
    }

    fn has_failed(&self) -> bool {
        let is_read_only = |follower: &simulation::Follower| {
            matches!(follower.store().health(), Health::ReadOnly { .. })
        };
        self.directory.disk.is_dead() || self.running.as_ref().is_some_and(is_read_only)
    }
}

impl Life {
    /// Starts a follower: in an empty directory, in that of a deposed store, or in its own.
    pub fn follow(&mut self, deposed: bool) -> Ran {
        let Some(replica) = &self.replica else {
            return Ok(false);
        };
        if self.follower.is_none() {
            let directory = match deposed {
                true => self.deposed.take().unwrap_or_default(),
                false => Directory::default(),
            };
            self.follower = Some(Follower::new(directory, Line::to(replica)));
            self.history = History::default();
        }
        self.close_follower()?;
        self.open_follower()?;
        self.check_follower()
    }

    /// Starts a follower unless one is running. Returns whether one is running.
    pub fn start_following(&mut self, deposed: bool) -> Ran {
        match self.is_followed() {
            true => self.check_follower()?,
            false => self.follow(deposed)?,
        };
        Ok(self.is_followed())
    }

    /// Calls a function with the follower, if there is one; otherwise, returns the default.
    fn with_follower<T: Default>(&mut self, call: impl FnOnce(&mut Follower, u64) -> T) -> T {
        let seed = self.random.any();
        let follower = self.follower.as_mut();
        follower.map_or_else(T::default, |follower| call(follower, seed))
    }

    pub fn open_follower(&mut self) -> Result<(), Finding> {
        let is_reachable = !self.replica_is_down;
        let mut setup = self.setup.clone();
        // A follower uses the keys that the store has recorded.
        setup.names_secrets = false;
        let options = setup.options(&self.clock);
        let Some(follower) = &mut self.follower else {
            return Ok(());
        };
        let Directory { disk, index, .. } = &follower.directory;
        let options = options.replica(Arc::new(follower.line.clone()));
        match simulation::Follower::open(options, disk, index, setup.segment_bytes) {
            Ok(opened) => {
                follower.running = Some(opened);
                Ok(())
            }
            Err(error) => {
                let is_excused = match &error {
                    Error::ReplicaUnreachable { .. } => {
                        !is_reachable || follower.line.is_failing() || follower.has_fault()
                    }
                    _ => follower.has_fault(),
                };
                follower.crash(false, 0);
                follower.heal_disk();
                match is_excused {
                    true => Ok(()),
                    false => Err(format!("it cannot be followed: {error} ({})", error.code())),
                }
            }
        }
    }

    /// Takes steps of the follower's thread.
    pub fn follower_steps(&mut self, count: u16) -> Ran {
        if !self.start_following(count % 2 == 0)? {
            return Ok(false);
        }
        for _ in 0..count {
            self.follower_step()?;
        }
        self.check_follower()
    }

    pub fn is_followed(&self) -> bool {
        let follower = self.follower.as_ref();
        follower.is_some_and(|follower| follower.running.is_some())
    }

    /// Takes a step of the follower's thread. Ends the process if a fault has stopped it.
    pub fn follower_step(&mut self) -> Result<(), Finding> {
        let seed = self.random.any();
        let Some(follower) = &mut self.follower else {
            return Ok(());
        };
        let Some(running) = &mut follower.running else {
            return Ok(());
        };
        let restores = running.stats().map_or(0, |stats| stats.restores);
        running.step();
        let restored = running.stats().map_or(0, |stats| stats.restores) - restores;
        self.tally.restores += restored;
        self.tally.steps += 1;
        if let Some(call) = follower.line.change() {
            return Err(format!("a follower would change the replica: {call}"));
        }
        follower.end_if_failed(seed)
    }

    /// Lets the background of the follower work.
    pub fn follower_work(&mut self, kind: u8) -> Ran {
        let seed = self.random.any();
        let Some(follower) = &mut self.follower else {
            return Ok(false);
        };
        let Some(running) = &follower.running else {
            return Ok(false);
        };
        let step = match kind % 4 {
            0 => Step::Pack,
            1 => Step::Index,
            2 => Step::Expire,
            _ => Step::Sync,
        };
        simulation::step(running.store(), step);
        follower.end_if_failed(seed)?;
        Ok(true)
    }

    /// From now on, the follower's connection, disk, or index fails, or works again.
    pub fn fail_follower(&mut self, kind: u8, after: u16) -> Ran {
        let segment_bytes = self.setup.segment_bytes;
        let ran = self.with_follower(|follower, seed| {
            let Directory { disk, index, .. } = &follower.directory;
            match kind % 12 {
                0..=1 => follower.line.fail(1, seed),
                2..=3 => follower.line.fail(2 + u64::from(after % 6), seed),
                4..=5 => disk.fail(Fault {
                    after: u64::from(after % 40),
                    errno: [5, 28, 24][usize::from(after % 3)],
                    lasting: after % 5 == 0,
                    classes: match after % 7 {
                        0 => vec![Class::Create, Class::Rename],
                        kind => Life::fault_classes(kind as u8),
                    },
                }),
                6..=7 => disk.die_after(u64::from(after % 80)),
                8 => {
                    index.fail_after(Some(u64::from(after % 50)));
                    follower.index_troubled = true;
                }
                9 => {
                    let room = u64::from(after % 8) * segment_bytes;
                    disk.limit_bytes(Some(disk.used_bytes() + room));
                    follower.limited = true;
                }
                _ => {
                    follower.line.heal();
                    follower.heal_disk();
                }
            }
            true
        });
        Ok(ran)
    }

    /// Ends the process of the follower: by a close, a kill, or a power failure. It may also lose
    /// its index or its directory.
    pub fn end_follower(&mut self, how: u8, lost: u8) -> Ran {
        match how % 4 {
            0 => self.close_follower()?,
            kill => self.with_follower(|follower, seed| follower.crash(kill > 1, seed)),
        }
        let ran = self.with_follower(|follower, seed| {
            let directory = &mut follower.directory;
            match lost % 8 {
                0 => *directory = Directory::default(),
                1 => {
                    directory.index.lose();
                    directory.index_is_corrupt = false;
                }
                2 => directory.index_is_corrupt |= directory.index.corrupt(seed),
                _ => {}
            }
            true
        });
        Ok(ran)
    }

    /// Closes the follower.
    pub fn close_follower(&mut self) -> Result<(), Finding> {
        let Some(follower) = &mut self.follower else {
            return Ok(());
        };
        let Some(running) = &follower.running else {
            return Ok(());
        };
        let had_failed = follower.has_failed();
        let mut closed = Ok(());
        let closing = measure(|| closed = running.store().close());
        let is_excused = had_failed || follower.has_fault() || follower.index_troubled;
        follower.directory.disk.kill();
        follower.directory.index.fail_after(None);
        let dropping = measure(|| follower.ended());
        follower.held_bytes = -(closing.bytes_current + dropping.bytes_current);
        match closed {
            Err(error) if !is_excused => {
                Err(format!("close of a follower: {error} ({})", error.code()))
            }
            _ => Ok(()),
        }
    }

    /// Ends the follower, and opens its directory as the store that writes: while the store is open
    /// elsewhere or, if it is `alone`, after that was lost.
    pub fn promote(&mut self, how: u8, lost: u8, alone: bool) -> Ran {
        let is_possible = !self.replica_is_down && !self.failed && !self.disk.is_dead();
        if self.follower.is_none() || !is_possible || self.reseeds {
            return Ok(false);
        }
        // Its index may be lost, but not its directory.
        self.end_follower(how, lost.max(1))?;
        let Some(mut follower) = self.follower.take() else {
            return Ok(false);
        };
        follower.heal_disk();
        if follower.directory.disk.names().is_empty() {
            return Ok(false);
        }
        self.tally.promotions += 1;
        if !alone {
            return self.take_over_in(follower.directory);
        }
        self.crash(true)?;
        self.use_directory(follower.directory);
        Ok(true)
    }

    /// Records that the contents of the replica were replaced.
    pub fn replaced_log(&mut self) {
        self.history = History::default();
        if let Some(follower) = &mut self.follower {
            follower.is_replaced = true;
            follower.epoch += 1;
        }
    }

    /// Replaces the directory of the store. Returns the earlier one.
    pub fn use_directory(&mut self, directory: Directory) -> Directory {
        self.lift_limits();
        self.index_troubled = false;
        self.epoch += 1;
        Directory {
            disk: std::mem::replace(&mut self.disk, directory.disk),
            index: std::mem::replace(&mut self.index, directory.index),
            index_is_corrupt: std::mem::replace(
                &mut self.index_is_corrupt,
                directory.index_is_corrupt,
            ),
        }
    }
}
