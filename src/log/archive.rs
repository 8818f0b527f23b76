//! The archive of a graph: files of compressed lines that are only appended to. The store never
//! reads them again.
//!
//! Appended data is durable, and any gzip reader can read it, whatever happens to later appends. A
//! file that has its final name is complete and does not change.
//!
//! A file is a sequence of gzip members, one per append. Each member is synced before the next one
//! begins. While a file is being written, its name ends in `.part`. A crash or a failed write can
//! leave only the last member torn. The next append overwrites what a failed write left. If an
//! earlier run left a file unfinished, nothing more is appended to it: its complete members get the
//! final name, and a new file begins. A store locks the file that it is writing, so that a copy of
//! the store does not mistake the file for one that a crash left unfinished.

mod members;

use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::write::GzEncoder;

use self::members::{At, LEVEL, STEP_BYTES, whole_len};
use crate::log::disk::os::OsDirectory;
use crate::log::disk::{Disk, File, leads_to};
use crate::log::file_names;
use crate::model::error::{Error, Result};

/// The suffix of a complete file.
const END: &str = ".jsonl.gz";

/// The additional suffix of a file that is being written.
const PART: &str = ".part";

/// The archive of a graph, open for appending.
pub(crate) struct Archive {
    disk: Arc<dyn Disk>,
    /// The prefix of the names of its files.
    prefix: String,
    file_bytes_max: u64,
    current: Option<Current>,
}

/// The file that is being written.
struct Current {
    /// The final name of the file.
    name: String,
    file: Arc<dyn File>,
    /// The length of its complete, synced members.
    len: u64,
    /// Whether its name is durable.
    is_named: bool,
}

/// The offset at which an append began.
pub(crate) struct Mark(u64);

impl Archive {
    /// Opens the archive of a graph in this directory, which is created if it does not exist. Files
    /// that a crash left unfinished get their final names.
    pub(crate) fn open(
        directory: &Path,
        graph: (&str, u64),
        file_bytes_max: u64,
    ) -> Result<Archive> {
        let failed = |e: io::Error| Error::io("write the archive in", directory, &e);
        #[cfg(feature = "simulation")]
        if let Some(disk) = crate::log::disk::simulated::archive_at(directory) {
            return Archive::open_on(disk.map_err(failed)?, graph, file_bytes_max);
        }
        OsDirectory::create(directory).map_err(failed)?;
        let disk = OsDirectory::open(directory).map_err(failed)?;
        Archive::open_on(Arc::new(disk), graph, file_bytes_max)
    }

    pub(crate) fn open_on(
        disk: Arc<dyn Disk>,
        (graph, number): (&str, u64),
        file_bytes_max: u64,
    ) -> Result<Archive> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let plain = graph.chars().map(|c| if is_plain(c) { c } else { '_' });
        let plain: String = plain.take(64).collect();
        let archive = Archive {
            disk,
            prefix: format!("{plain}-{number}-"),
            file_bytes_max,
            current: None,
        };
        let names = archive.disk.names();
        for name in names.map_err(|e| archive.failed("", &e))? {
            let is_ours = name.starts_with(&archive.prefix);
            if let Some(name) = name.strip_suffix(PART).filter(|_| is_ours) {
                archive
                    .finish_left(name)
                    .map_err(|e| archive.failed(name, &e))?;
            }
        }
        Ok(archive)
    }

    fn failed(&self, name: &str, error: &io::Error) -> Error {
        Error::io("write the archive in", self.disk.path(name), error)
    }

    /// If the file that is being written was removed or renamed, closes it and returns its path.
    pub(crate) fn take_if_lost(&mut self) -> Result<Option<PathBuf>> {
        let Some(current) = &self.current else {
            return Ok(None);
        };
        let part = format!("{}{PART}", current.name);
        let is_there = self.is_there(&part, &*current.file);
        if is_there.map_err(|e| self.failed(&part, &e))? {
            return Ok(None);
        }
        self.current = None;
        let path = self.disk.path(&part);
        tracing::error!(
            path = %path.display(),
            "a file of the archive was removed or renamed while it was being written"
        );
        Ok(Some(path))
    }

    /// Returns whether the path at which readers look for a file still leads to it.
    fn is_there(&self, name: &str, file: &dyn File) -> io::Result<bool> {
        Ok(leads_to(&*self.disk, name, file)? && self.disk.is_in_place()?)
    }

    /// Returns whether the archive's path still leads to the directory that was opened.
    pub(crate) fn is_in_place(&self) -> Result<bool> {
        self.disk.is_in_place().map_err(|e| self.failed("", &e))
    }

    /// Durably appends what `write` produces as one member. A new file is named after the time
    /// `now_ms`. After an error, nothing has been appended.
    pub(crate) fn append(
        &mut self,
        now_ms: u64,
        write: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()>,
    ) -> Result<Mark> {
        if self
            .current
            .as_ref()
            .is_some_and(|c| c.len >= self.file_bytes_max)
        {
            self.finish()?;
        }
        let current = match self.current.take() {
            Some(current) => current,
            None => self.begin(now_ms).map_err(|e| self.failed("", &e))?,
        };
        let current = self.current.insert(current);
        let part = format!("{}{PART}", current.name);
        let path = self.disk.path(&part);
        let failed = |e: io::Error| Error::io("write the archive in", &path, &e);
        let to = At {
            file: &*current.file,
            at: current.len,
        };
        let mut encoder = GzEncoder::new(BufWriter::with_capacity(STEP_BYTES, to), LEVEL);
        let written = write(&mut |bytes| encoder.write_all(bytes).map_err(failed));
        if written.is_err() {
            // Otherwise, dropping the encoder would write what it has buffered.
            encoder.get_mut().get_mut().at = u64::MAX;
        }
        written?;
        let end = encoder
            .finish()
            .and_then(|buffered| buffered.into_inner().map_err(|e| e.into_error()))
            .map_err(failed)?
            .at;
        current.file.sync().map_err(failed)?;
        if !current.is_named {
            self.disk.sync_names().map_err(failed)?;
            current.is_named = true;
        }
        let is_there = leads_to(&*self.disk, &part, &*current.file)
            .and_then(|is_there| Ok(is_there && self.disk.is_in_place()?));
        if !is_there.map_err(failed)? {
            return Err(failed(io::ErrorKind::NotFound.into()));
        }
        let mark = Mark(current.len);
        current.len = end;
        Ok(mark)
    }

    /// Undoes the last append.
    pub(crate) fn take_back(&mut self, mark: &Mark) {
        if let Some(current) = &mut self.current {
            current.len = mark.0;
        }
    }

    /// Creates a file with an unused name that sorts after all existing files.
    fn begin(&self, now_ms: u64) -> io::Result<Current> {
        let names = self.disk.names()?;
        let last = names.iter().filter_map(|name| self.time_in(name)).max();
        let mut ms = last.map_or(now_ms, |last| now_ms.max(last + 1));
        loop {
            let name = format!("{}{ms:013}{END}", self.prefix);
            let part = format!("{name}{PART}");
            ms += 1;
            let file = match self.disk.create(&part) {
                // A copy of the store has just created a file with this name.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                file => file?,
            };
            // Another process mistook it for an unfinished file, and removes it because it is
            // empty.
            if !file.try_lock()? {
                continue;
            }
            if self.disk.names()?.contains(&name) {
                self.disk.remove(&part)?;
                continue;
            }
            return Ok(Current {
                file,
                name,
                len: 0,
                is_named: false,
            });
        }
    }

    /// Returns the time in a file's name.
    fn time_in(&self, name: &str) -> Option<u64> {
        let (time, _) = name.strip_prefix(&self.prefix)?.split_once('.')?;
        // The archive does not create names with longer times.
        time.parse().ok().filter(|_| time.len() < 16)
    }

    /// Gives the file that is being written its final name.
    pub(crate) fn finish(&mut self) -> Result<()> {
        self.take_if_lost()?;
        let Some(current) = self.current.take() else {
            return Ok(());
        };
        let finished = self.finish_file(&current.name, &*current.file, current.len);
        finished.map_err(|e| {
            let error = self.failed(&current.name, &e);
            self.current = Some(current);
            error
        })
    }

    fn finish_left(&self, name: &str) -> io::Result<()> {
        let part = format!("{name}{PART}");
        let file = match self.disk.open_to_write(&part) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            file => file?,
        };
        // Another store is appending to the file, or has just given it its final name.
        if !file.try_lock()? || !leads_to(&*self.disk, &part, &*file)? {
            return Ok(());
        }
        // The earlier run may not have synced the file.
        file.sync()?;
        let len = whole_len(&*file)?;
        self.finish_file(name, &*file, len)
    }

    /// Gives a file its final name, and truncates it to this length.
    fn finish_file(&self, name: &str, file: &dyn File, len: u64) -> io::Result<()> {
        let part = format!("{name}{PART}");
        if len == file.len()? && len > 0 {
            self.disk.rename(&part, name)?;
            return self.disk.sync_names();
        }
        if len > 0 {
            let aside = file_names::aside(name, 0);
            match self.disk.remove(&aside) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
            let copy = self.disk.create(&aside)?;
            let (mut at, mut buffer) = (0, Vec::new());
            while at < len {
                buffer.resize((len - at).min(STEP_BYTES as u64) as usize, 0);
                file.read_exact_at(&mut buffer, at)?;
                copy.write_all_at(&buffer, at)?;
                at += buffer.len() as u64;
            }
            copy.sync()?;
            self.disk.rename(&aside, name)?;
            self.disk.sync_names()?;
        }
        self.disk.remove(&part)?;
        self.disk.sync_names()
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        if let Err(error) = self.finish() {
            // The next open of the archive renames the file.
            tracing::warn!(%error, "cannot rename a finished archive file to its final name; \
                 retrying later");
        }
    }
}

#[cfg(all(test, not(jobstore_shuttle)))]
mod tests {
    use super::*;
    use crate::log::disk::memory::MemoryDisk;
    use crate::log::disk::memory::trial::{Call, Fault};
    use flate2::read::MultiGzDecoder;
    use std::io::Read as _;

    const EIO: i32 = 5;
    const MS: u64 = 1_700_000_000_000;

    fn open(disk: &Arc<MemoryDisk>, file_bytes_max: u64) -> Result<Archive> {
        Archive::open_on(disk.clone(), ("mo/v ie", 17), file_bytes_max)
    }

    fn append(archive: &mut Archive, n: u64) -> Result<Mark> {
        // Some lines are larger than the buffer.
        let line = format!("{n} {}\n", "x".repeat((n as usize % 5) * 100));
        let noise = (0..n % 3 * 40_000).map(|m| (crate::model::id::mix(m) >> 7) as u8 | 128);
        let noise: Vec<u8> = noise.collect();
        archive.append(MS, |out| {
            out(line.as_bytes())?;
            out(&noise)?;
            out(b"\n")
        })
    }

    fn text(content: &[u8]) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        MultiGzDecoder::new(content).read_to_end(&mut text)?;
        Ok(text)
    }

    /// Returns the numbers that were appended, from all files that have their final name.
    fn numbers(disk: &MemoryDisk) -> Vec<u64> {
        let mut numbers = Vec::new();
        for (name, content) in disk.files() {
            if !name.ends_with(END) {
                continue;
            }
            let text = text(&content).unwrap_or_else(|e| panic!("{name}: {e}"));
            for line in text.split(|byte| *byte == b'\n') {
                let first = line.split(|byte| *byte == b' ').next();
                let number =
                    first.and_then(|first| std::str::from_utf8(first).ok()?.parse::<u64>().ok());
                numbers.extend(number);
            }
        }
        numbers
    }

    #[test]
    fn what_is_appended_is_in_files_of_a_bounded_size_in_its_order() {
        let disk = Arc::new(MemoryDisk::default());
        let mut archive = open(&disk, 50_000).unwrap();
        for n in 0..20 {
            append(&mut archive, n).unwrap();
        }
        archive.finish().unwrap();
        assert_eq!(numbers(&disk), (0..20).collect::<Vec<_>>());
        let files = disk.files();
        assert!(files.len() > 3, "{} files", files.len());
        for (name, _) in &files {
            assert!(name.starts_with("mo_v_ie-17-17000000000"), "{name}");
        }
    }

    #[test]
    fn what_was_taken_back_is_not_in_it() {
        let disk = Arc::new(MemoryDisk::default());
        let mut archive = open(&disk, 1 << 20).unwrap();
        for n in 0..9 {
            let mark = append(&mut archive, n).unwrap();
            if n % 3 == 2 {
                archive.take_back(&mark);
            }
        }
        drop(archive);
        assert_eq!(numbers(&disk), [0, 1, 3, 4, 6, 7]);
    }

    #[test]
    fn whichever_call_fails_what_was_appended_is_there_once() {
        for lasting in [false, true] {
            for calls in 0.. {
                let disk = Arc::new(MemoryDisk::default());
                let fault = Fault {
                    errno: EIO,
                    lasting,
                    hits: |_| true,
                };
                disk.fail_after(calls, fault);
                let mut appended = Vec::new();
                let mut archive = None;
                for n in 0..12 {
                    if n == 9 {
                        disk.heal();
                    }
                    if archive.is_none() {
                        archive = open(&disk, 50_000).ok();
                    }
                    if archive.as_mut().is_some_and(|a| append(a, n).is_ok()) {
                        appended.push(n);
                    }
                }
                let has_failed = disk.has_failed();
                drop(archive);
                assert_eq!(numbers(&disk), appended, "call {calls}");
                let names = disk.names_now();
                assert!(names.iter().all(|name| name.ends_with(END)), "{names:?}");
                if !has_failed {
                    assert_eq!(appended.len(), 12);
                    break;
                }
            }
        }
    }

    #[test]
    fn after_a_crash_at_any_call_all_that_was_appended_is_there_and_it_goes_on() {
        let disk = Arc::new(MemoryDisk::default());
        let done = Arc::new(std::sync::atomic::AtomicU64::new(0));
        disk.record(1, vec![done.clone()]);
        let mut archive = open(&disk, 60_000).unwrap();
        for n in 0..10 {
            let mark = append(&mut archive, n).unwrap();
            if n == 4 {
                archive.take_back(&mark);
                append(&mut archive, n).unwrap();
            }
            done.store(n + 1, std::sync::atomic::Ordering::SeqCst);
        }
        drop(archive);
        let images = disk.images();
        assert!(images.len() > 30, "{} calls", images.len());
        for (at, image) in images.iter().enumerate() {
            let mut cut = at as u64;
            let torn = image.after_torn_power_cut(|end| {
                cut = cut.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
                (cut >> 33) % end.max(1)
            });
            for left in [image.after_kill(), image.after_power_cut(), torn] {
                let left = Arc::new(left);
                let mut archive = open(&left, 60_000).unwrap();
                append(&mut archive, 77).unwrap();
                drop(archive);
                let mut there = numbers(&left);
                assert_eq!(there.pop(), Some(77), "call {at}");
                // The fifth line may appear twice, because it was written twice.
                there.dedup();
                let appended = image.counters[0];
                let expected: Vec<u64> = (0..there.len() as u64).collect();
                assert_eq!(there, expected, "call {at}");
                let more = there.len() as u64 - appended;
                assert!(more <= 1, "call {at}: {appended} {}", there.len());
                let names = left.names_now();
                let is_over =
                    |name: &String| name.ends_with(END) || name.ends_with(file_names::ASIDE);
                assert!(names.iter().all(is_over), "{names:?}");
            }
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_left_as_it_is() {
        let disk = Arc::new(MemoryDisk::default());
        let mut archive = open(&disk, 1 << 20).unwrap();
        append(&mut archive, 1).unwrap();
        let disk = Arc::new(disk.image().after_kill());
        let before = disk.files();
        let fault = Fault {
            errno: EIO,
            lasting: true,
            hits: |call| call == Call::Sync,
        };
        disk.fail_after(0, fault);
        assert!(open(&disk, 1 << 20).is_err());
        assert!(disk.files() == before);
        disk.heal();
        drop(open(&disk, 1 << 20).unwrap());
        assert_eq!(numbers(&disk), [1]);
    }
}
