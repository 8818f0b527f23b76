//! A small ext4 file system on which root has used the blocks that are reserved for root.
//!
//! Space that a store frees then goes to the reserved blocks first. A child process that is not
//! root fills the file system with jobs. Root takes what is left, and the child purges all jobs.
//! The store must free more than root took, and accept jobs again.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use jobstore::{Error, Graph, JobQuery, JobStore};
use jobstore_trials::random::Random;

use crate::life::Finding;
use crate::real::{Checked, failed_to, sound};
use crate::requests::Content;

/// The first argument of the child.
pub const FREE: &str = "free-reserved";
/// A user that is not root.
const NOBODY: u32 = 65_534;
/// Longer than freeing the space takes.
const PATIENCE: Duration = Duration::from_secs(60);
const IMAGE_BYTES: u64 = 24 << 20;
const JOBS_MAX: u16 = 20_000;
const BATCH: usize = 16;

/// A mounted image of a file system. It is unmounted when dropped.
struct Image(PathBuf);

impl Image {
    fn mount(dir: &Path, reserved_percent: &str) -> Result<Image, Finding> {
        let (image, at) = (dir.join("image"), dir.join("ext4"));
        let made = fs::File::create(&image).and_then(|file| file.set_len(IMAGE_BYTES));
        made.and_then(|()| fs::create_dir(&at))
            .map_err(|e| e.to_string())?;
        run(Command::new("mkfs.ext4")
            .args(["-q", "-F", "-O", "^has_journal", "-m", reserved_percent])
            .arg(&image))?;
        run(Command::new("mount")
            .args(["-o", "loop"])
            .arg(&image)
            .arg(&at))?;
        Ok(Image(at))
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        run(Command::new("umount").arg("-l").arg(&self.0)).ok();
    }
}

fn run(command: &mut Command) -> Result<(), Finding> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!(
            "{command:?}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
    }
}

pub fn reserved_blocks(_random: &mut Random, dir: &Path) -> Checked {
    for reserved_percent in ["5", "20"] {
        let dir = dir.join(reserved_percent);
        fs::create_dir(&dir).map_err(|e| e.to_string())?;
        let image = match Image::mount(&dir, reserved_percent) {
            Ok(image) => image,
            Err(why) => {
                println!("SKIPPED: no ext4 file system can be mounted here: {why}");
                return Ok(());
            }
        };
        let place = image.0.join("store");
        let made = fs::create_dir(&place).and_then(|()| chown(&place, Some(NOBODY), Some(NOBODY)));
        made.map_err(|e| e.to_string())?;
        let freed = in_child(&image.0, &place);
        freed.map_err(|what| format!("{reserved_percent}% reserved: {what}"))?;
        sound(&place)?;
    }
    Ok(())
}

/// Has the child fill and free the file system, and takes the reserved blocks in between.
fn in_child(at: &Path, place: &Path) -> Checked {
    let mut child = Command::new("/proc/self/exe")
        .arg(FREE)
        .arg(place)
        .current_dir("/")
        .uid(NOBODY)
        .gid(NOBODY)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| format!("a child: {e}"))?;
    let mut lines = child
        .stdout
        .take()
        .map(BufReader::new)
        .into_iter()
        .flat_map(BufRead::lines);
    let mut next = || lines.next().and_then(Result::ok).unwrap_or_default();
    let filled = next();
    let mut checked = match filled.starts_with("filled ") {
        true => Ok(()),
        false => Err(format!("the child prints {filled:?}")),
    };
    if checked.is_ok() {
        let mut ballast = fs::File::create(at.join("ballast")).map_err(|e| e.to_string())?;
        for bytes in [64 << 10, 4 << 10] {
            while ballast.write_all(&vec![1; bytes]).is_ok() {}
        }
        ballast.sync_all().ok();
        if let Some(mut stdin) = child.stdin.take() {
            writeln!(stdin, "taken").ok();
        }
        checked = match next() {
            accepted if accepted == "accepted" => Ok(()),
            other => Err(format!("{filled}; all jobs were purged, and then: {other}")),
        };
    }
    child.kill().ok();
    child.wait().ok();
    checked
}

/// Fills the file system, waits until its last blocks are taken, and purges all jobs.
pub fn free(place: &Path) {
    match fill_and_free(place) {
        Ok(()) => println!("accepted"),
        Err(what) => println!("{what}"),
    }
}

fn fill_and_free(place: &Path) -> Checked {
    let store = JobStore::options().cache_bytes(4 << 20).open(place);
    let store = store.map_err(failed_to("open"))?;
    let graph = store.get_or_create_graph("1", "g");
    let graph = graph.map_err(failed_to("create"))?;
    println!("filled {}", fill(&graph)?);
    let mut line = String::new();
    std::io::stdin()
        .read_line(&mut line)
        .map_err(|e| e.to_string())?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let purged = graph.purge(JobQuery::new());
        match purged.and_then(|_| graph.submit(content(0).request())) {
            Ok(_) => return store.close().map_err(failed_to("close")),
            Err(Error::DiskFull { .. }) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => return Err(format!("{error}; {:?}", store.health())),
        }
    }
}

fn content(number: u16) -> Content {
    Content {
        kind: 0,
        number,
        filler: 12_000,
    }
}

/// Submits and cancels jobs until the file system is full. Returns the number of jobs.
fn fill(graph: &Graph) -> Result<u16, Finding> {
    for number in (0..JOBS_MAX).step_by(BATCH) {
        let requests: Vec<_> = (number..)
            .take(BATCH)
            .map(|n| content(n).request())
            .collect();
        match graph.submit_all(requests) {
            Ok(ids) => {
                for id in ids {
                    match graph.cancel(&id) {
                        Ok(_) | Err(Error::DiskFull { .. }) => {}
                        Err(error) => return Err(failed_to("cancel")(error)),
                    }
                }
            }
            Err(Error::DiskFull { .. }) => return Ok(number),
            Err(error) => return Err(failed_to("submit")(error)),
        }
    }
    Err("the file system does not become full".to_owned())
}
