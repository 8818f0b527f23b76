//! Entry points for fuzzers: everything that reads bytes or text from outside.
//!
//! Contains one entry for each kind of input, and the mapping from bytes to its parameters. For
//! every input, an entry either returns, in time and memory bounded by the input's length, or
//! panics because a guarantee is broken.
//!
//! Built only under `cfg(fuzzing)`; `tests/fuzz` has a target for each entry. The tests here run
//! the seeds in `tests/fuzz/seeds`, and mutations of them, through the same entries with any
//! toolchain.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

mod parts;
#[cfg(all(test, not(jobstore_shuttle)))]
mod seeds;
mod stores;
mod texts;

pub use parts::{block, event, frame, identity, pack, rows, segment};
pub use stores::{any_store, store_files};
pub use texts::{json, names, outcome, request};

/// A function that is called with an input.
pub type Entry = fn(&[u8]);

/// Every entry by name. `tests/fuzz` has a target with the same name.
pub const ENTRIES: &[(&str, Entry)] = &[
    ("any_store", any_store),
    ("block", block),
    ("event", event),
    ("frame", frame),
    ("identity", identity),
    ("json", json),
    ("names", names),
    ("outcome", outcome),
    ("pack", pack),
    ("request", request),
    ("rows", rows),
    ("segment", segment),
    ("store_files", store_files),
];

/// An input that is being parsed. Beyond its end, all numbers are 0 and all texts are empty.
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    /// Reads a number: one byte if it is small, otherwise nine bytes.
    pub(crate) fn number(&mut self) -> u64 {
        match self.byte() {
            0xff => {
                let mut eight = [0; 8];
                let taken = self.take(8);
                eight[..taken.len()].copy_from_slice(taken);
                u64::from_le_bytes(eight)
            }
            small => u64::from(small),
        }
    }

    /// Reads bytes that follow a length of two bytes.
    pub(crate) fn part(&mut self) -> &'a [u8] {
        let len = u16::from_le_bytes([self.byte(), self.byte()]);
        self.take(usize::from(len))
    }

    /// Reads a part, up to the first byte that is not UTF-8.
    pub(crate) fn text(&mut self) -> String {
        String::from_utf8_lossy(self.part()).into_owned()
    }
}

#[cfg(all(test, not(jobstore_shuttle)))]
mod tests {
    use super::*;
    use std::path::{Path, PathBuf};
    use std::sync::Once;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn seeds_of(entry: &str) -> Vec<(PathBuf, Vec<u8>)> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds");
        let files = std::fs::read_dir(directory.join(entry)).expect("a directory of seeds");
        let mut paths: Vec<PathBuf> = files.map(|file| file.expect("a seed").path()).collect();
        paths.sort();
        let read = |path: PathBuf| {
            let content = std::fs::read(&path).expect("a seed");
            (path, content)
        };
        paths.into_iter().map(read).collect()
    }

    /// The number of panics in the threads of stores. They would otherwise go unnoticed.
    static PANICS: AtomicUsize = AtomicUsize::new(0);

    fn note_panics() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                let thread = std::thread::current();
                let name = thread.name().unwrap_or_default();
                if name.starts_with("jobstore-") {
                    PANICS.fetch_add(1, Ordering::SeqCst);
                }
                before(info);
            }));
        });
    }

    /// Runs an input. If it fails, writes it to the file named in JOBSTORE_KEEP, and panics with
    /// its name and content.
    fn run(entry: Entry, what: &str, input: &[u8]) {
        note_panics();
        let caught = std::panic::catch_unwind(|| entry(input));
        let sound = caught.is_ok() && PANICS.load(Ordering::SeqCst) == 0;
        if let (false, Some(path)) = (sound, std::env::var_os("JOBSTORE_KEEP")) {
            std::fs::write(path, input).expect("the input is kept");
        }
        let text = || String::from_utf8_lossy(input).escape_debug().to_string();
        assert!(sound, "{what}: {} bytes: {}", input.len(), text());
    }

    #[test]
    fn every_seed_holds_its_promises() {
        for (name, entry) in ENTRIES {
            let seeds = seeds_of(name);
            assert!(!seeds.is_empty(), "no seeds for {name}");
            for (path, seed) in seeds {
                run(*entry, &path.display().to_string(), &seed);
            }
        }
    }

    struct Random(u64);

    impl Random {
        /// A number below `end`.
        fn below(&mut self, end: usize) -> usize {
            // splitmix64
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) % end.max(1) as u64) as usize
        }
    }

    /// Makes a mutation of the kinds that fuzzers make.
    fn change(input: &mut Vec<u8>, others: &[(PathBuf, Vec<u8>)], random: &mut Random) {
        let at = random.below(input.len() + 1);
        let len = random.below(16.min(input.len() - at) + 1);
        match random.below(8) {
            0 | 1 if at < input.len() => input[at] ^= 1 << random.below(8),
            2 if at < input.len() => input[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
            3 => input.truncate(at),
            4 => drop(input.drain(at..at + len)),
            5 => {
                let copied = input[at..at + len].to_vec();
                let to = random.below(input.len() + 1);
                input.splice(to..to, copied);
            }
            6 => input.insert(at, random.below(256) as u8),
            _ => {
                let other = &others[random.below(others.len())].1;
                let from = random.below(other.len() + 1);
                let len = random.below(64.min(other.len() - from) + 1);
                input.splice(at..at, other[from..from + len].iter().copied());
            }
        }
    }

    #[test]
    fn changed_seeds_hold_their_promises() {
        // To run longer: JOBSTORE_CHANGES=1000000 cargo test --release changed_seeds
        let given = std::env::var("JOBSTORE_CHANGES").ok();
        let given: Option<usize> = given.map(|text| text.parse().expect("a number"));
        for (name, entry) in ENTRIES {
            let seeds = seeds_of(name);
            let changes = given.unwrap_or(if name.contains("store") { 150 } else { 400 });
            let mut random = Random(7);
            for n in 0..changes {
                let mut input = seeds[n % seeds.len()].1.clone();
                for _ in 0..=random.below(3) {
                    change(&mut input, &seeds, &mut random);
                }
                run(*entry, &format!("{name}, change {n}"), &input);
            }
        }
    }

    #[test]
    fn every_entry_has_a_target_and_every_target_an_entry() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
        let manifest = std::fs::read_to_string(directory.join("Cargo.toml")).expect("a manifest");
        let bins = manifest.matches("[[bin]]").count();
        assert_eq!(bins, ENTRIES.len());
        for (name, _) in ENTRIES {
            assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
            let target = directory.join(format!("targets/{name}.rs"));
            let target = std::fs::read_to_string(target).expect("a target");
            let call = format!("jobstore::fuzzing::{name}(input)");
            assert!(target.contains(&call), "{name}");
        }
    }
}
