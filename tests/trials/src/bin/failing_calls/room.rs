//! No space: a full file system, and files that cannot grow.
//!
//! Contains the small file system in its own namespace, and the limits on file sizes. If the system
//! does not allow this, it is reported.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use jobstore_trials::directory;

use crate::setting::{May, Setting};
use crate::trial::{self, Sum};

/// The first argument of the process in the namespace.
pub const INSIDE: &str = "inside";
const FILE_SYSTEM_BYTES: u64 = 8 << 20;
/// More space than the driver needs.
const ENOUGH_BYTES: u64 = 1 << 20;
/// The signal that a process gets if a file would exceed its limit. By default, it kills the
/// process.
const SIGXFSZ: i32 = 25;

/// Runs this program in a namespace with a small file system.
pub fn full(ci: bool, sum: &mut Sum) {
    let root = match directory::fast() {
        Ok(root) => root,
        Err(e) => return sum.wrong(format!("files of the trial: {e}")),
    };
    let mount = root.path().join("small");
    let made = std::fs::create_dir(&mount).and_then(|()| std::env::current_exe());
    let own = match made {
        Ok(own) => own,
        Err(e) => return sum.wrong(format!("files of the trial: {e}")),
    };
    let shell = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-c", script, "sh"]);
        command
            .arg(FILE_SYSTEM_BYTES.to_string())
            .arg(&mount)
            .arg(&own);
        command
    };
    let mounted = shell(r#"mount -t tmpfs -o size="$1" none "$2""#)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output();
    let why = match mounted {
        Err(e) => Some(format!("cannot start unshare: {e}")),
        Ok(output) if !output.status.success() => {
            Some(String::from_utf8_lossy(&output.stderr).trim().to_owned())
        }
        Ok(_) => None,
    };
    if let Some(why) = why {
        sum.skipped.push(format!("the full file system: {why}"));
        return;
    }
    let steps = if ci { "40" } else { "400" };
    let script =
        format!(r#"mount -t tmpfs -o size="$1" none "$2" && exec "$3" {INSIDE} "$2" "$1" {steps}"#);
    match shell(&script).status() {
        Ok(status) if status.success() => sum.runs += 1,
        other => sum.wrong(format!("the full file system: {other:?}")),
    }
}

/// Runs in the namespace. The file system is filled except for some bytes, more in each run. When
/// the store reports a full disk, space is freed.
pub fn inside(args: &[String]) -> ExitCode {
    let mut sum = Sum::default();
    let [mount, bytes, steps] = args else {
        return ExitCode::from(2);
    };
    let numbers = (bytes.parse::<u64>(), steps.parse::<u64>());
    let (Ok(bytes), Ok(steps)) = numbers else {
        return ExitCode::from(2);
    };
    for step in 0..steps {
        // The free space grows from nothing to enough.
        let left = ENOUGH_BYTES * step / steps;
        if let Err(what) = fill(Path::new(mount), bytes, left, &mut sum) {
            sum.wrong(format!("{left} bytes left: {what}"));
        }
    }
    println!(
        "full file system: {} runs, {} of which filled it; {} errors, {} acknowledged, {} \
         facts checked; {} wrong",
        sum.runs,
        sum.hit,
        sum.errors,
        sum.acknowledged,
        sum.facts,
        sum.wrong.len()
    );
    match sum.wrong.is_empty() && sum.hit > 0 {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn fill(mount: &Path, bytes: u64, left: u64, sum: &mut Sum) -> Result<(), String> {
    let failed = |e: std::io::Error| format!("files of the trial: {e}");
    let (dir, ballast) = (mount.join("store"), mount.join("ballast"));
    for path in [&dir, &ballast] {
        if path.is_dir() {
            std::fs::remove_dir_all(path).map_err(failed)?;
        } else if path.exists() {
            std::fs::remove_file(path).map_err(failed)?;
        }
    }
    std::fs::write(&ballast, vec![1; (bytes - left) as usize]).map_err(failed)?;
    let mut setting = Setting::new(&dir, 9, May::Either);
    setting.lasting = true;
    setting.ballast = Some(ballast.clone());
    let ran = trial::run(&setting, &[])?;
    sum.runs += 1;
    sum.hit += u64::from(!ballast.exists());
    std::fs::remove_file(&ballast).ok();
    trial::check(&dir, &[], &ran, None, sum)
}

/// Limits the size of files. A write beyond the limit causes an error or a signal.
pub fn sizes(ci: bool, sum: &mut Sum) {
    let root = match directory::fast() {
        Ok(root) => root,
        Err(e) => return sum.wrong(format!("files of the trial: {e}")),
    };
    let base = root.path().join("base");
    let said = match trial::make_base(&base) {
        Ok(said) => said,
        Err(e) => return sum.wrong(e),
    };
    let step = if ci { 48 << 10 } else { 4 << 10 };
    let (mut runs, mut deaths, mut errors) = (0, 0, 0);
    for ignored in [true, false] {
        let dense = [0u64, 1, 60, 64, 100, 512, 4096, 65_535, 65_536];
        for bytes in dense.into_iter().chain((0..600 << 10).step_by(step)) {
            let name = format!(
                "no file over {bytes} bytes, SIGXFSZ {}",
                if ignored { "ignored" } else { "deadly" }
            );
            let dir = root.path().join("store");
            std::fs::remove_dir_all(&dir).ok();
            if let Err(e) = directory::copy(&base, &dir) {
                return sum.wrong(format!("files of the trial: {e}"));
            }
            let mut setting = Setting::new(&dir, 9, May::Io);
            setting.lasting = true;
            setting.file_bytes_max = Some(bytes);
            let trap = ["sh", "-c", r#"trap '' XFSZ; exec "$0" "$@""#].map(str::to_owned);
            let ran = trial::run(&setting, if ignored { &trap } else { &[] });
            let may_die_of = if ignored { None } else { Some(SIGXFSZ) };
            let before = sum.errors;
            let checked = ran.and_then(|ran| {
                deaths += u64::from(!ran.status.success());
                trial::check(&dir, &said, &ran, may_die_of, sum)
            });
            if let Err(what) = checked {
                sum.wrong(format!("{name}: {what}"));
            }
            runs += 1;
            sum.runs += 1;
            sum.hit += 1;
            errors += sum.errors - before;
        }
    }
    println!("file size limits: {runs} runs; {errors} errors; {deaths} deaths by SIGXFSZ");
}
