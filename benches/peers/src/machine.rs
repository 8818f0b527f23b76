//! The environment of a run: the machine, the file system, the versions.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};

/// Returns the part of the environment that all runs on this machine share: processor, cores,
/// memory, kernel, and file system.
pub fn describe(dir: &Path) -> Result<String> {
    let processors = fs::read_to_string("/proc/cpuinfo")?;
    let model = value(&processors, "model name").unwrap_or(std::env::consts::ARCH);
    let cores = std::thread::available_parallelism()?;
    let memory = fs::read_to_string("/proc/meminfo")?;
    let memory = value(&memory, "MemTotal").context("no MemTotal")?;
    let kib: f64 = memory.trim_end_matches(" kB").parse()?;
    let gib = kib / f64::from(1 << 20);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let (kernel, files) = (kernel.trim(), file_system(dir)?);
    Ok(format!(
        "{model}, {cores} cores, {gib:.1} GiB of memory, Linux {kernel}, {files}"
    ))
}

fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    lines
        .find(|(key, _)| key.trim() == name)
        .map(|(_, value)| value.trim())
}

/// Returns the type of the file system that contains `dir`. This is the type of the mount with the
/// longest matching path.
fn file_system(dir: &Path) -> Result<String> {
    let dir = dir.canonicalize()?;
    let mounts = fs::read_to_string("/proc/mounts")?;
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((words.next()?, words.next()?))
    });
    let around = mounts.filter(|(at, _)| dir.starts_with(at));
    let nearest = around.max_by_key(|(at, _)| at.len());
    Ok(nearest.context("no mount")?.1.to_owned())
}

/// Returns the version of a package with which this program was built.
pub fn package_version(name: &str) -> Result<&'static str> {
    let lock = include_str!("../Cargo.lock");
    let package = format!("name = \"{name}\"\nversion = \"");
    let (_, after) = lock.split_once(&package).context("not in Cargo.lock")?;
    Ok(after.split('"').next().unwrap_or_default())
}

/// Returns the disk space of a directory's files. This is the size of their blocks, not their
/// lengths.
pub fn disk_bytes(dir: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let found = entry.metadata()?;
        sum += match found.is_dir() {
            true => disk_bytes(&entry.path())?,
            false => found.blocks() * 512,
        };
    }
    Ok(sum)
}
