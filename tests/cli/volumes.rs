//! Guarantee: the owner of a store is that of its files, not of the directory, which may be a
//! volume shared with a group; only that owner creates files in it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use jobstore::JobStore;

use crate::tool::{Place, request};

const USER: u32 = 1000;
const OTHER: u32 = 1001;

/// Runs the program as a user of group 1000; returns its exit code and both outputs.
fn run_as(user: u32, root: &Path, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(root.join("jobstore"));
    command
        .args(arguments)
        .current_dir(root)
        .stdin(Stdio::null());
    command.env("JOBSTORE_DATA", root.join("volume"));
    if user != 0 {
        command.uid(user).gid(USER);
    }
    let ran = command.output().unwrap();
    let text = [ran.stdout, ran.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    (ran.status.code().unwrap(), text)
}

/// A directory that every user can access, with the program in it and a volume that belongs to this
/// user and is open to a group, like a Kubernetes volume with an `fsGroup`.
fn volume() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_jobstore"), root.path().join("jobstore")).unwrap();
    let volume = root.path().join("volume");
    fs::create_dir(&volume).unwrap();
    fs::create_dir(volume.join("lost+found")).unwrap();
    chown(&volume, None, Some(USER)).unwrap();
    fs::set_permissions(&volume, fs::Permissions::from_mode(0o2770)).unwrap();
    let line = r#"{"request":{"command":"c","url":"/","body":{}}}"#;
    fs::write(root.path().join("jobs.jsonl"), line).unwrap();
    root
}

#[test]
fn a_volume_that_is_shared_with_a_group_is_its_users_by_the_files() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can be several users");
        return;
    }
    let root = volume();
    let root = root.path();
    let import = ["import", "--graph", "1/g", "jobs.jsonl"];
    let (code, text) = run_as(USER, root, &import);
    assert_eq!(code, 0, "{text}");
    for arguments in [&["list"][..], &["verify"], &["stats"], &["purge", "--all"]] {
        let (code, text) = run_as(USER, root, arguments);
        assert_eq!(code, 0, "{arguments:?}: {text}");
        assert!(!text.contains("chmod 700"), "{text}");
    }
    for name in fs::read_dir(root.join("volume")).unwrap().flatten() {
        if name.file_name() != "lost+found" {
            assert_eq!(name.metadata().unwrap().uid(), USER, "{name:?}");
        }
    }
    // The engine could not open files that other users create.
    for other in [OTHER, 0] {
        for arguments in [&import[..], &["repair", "--yes"]] {
            let (code, text) = run_as(other, root, arguments);
            assert_eq!(code, 2, "{other} {arguments:?}: {text}");
            assert!(text.contains("sudo -u '#1000'"), "{text}");
        }
    }
    // Unless the volume gives them to the group, as after it is mounted again.
    for name in fs::read_dir(root.join("volume")).unwrap().flatten() {
        if name.metadata().unwrap().is_file() {
            fs::set_permissions(name.path(), fs::Permissions::from_mode(0o660)).unwrap();
        }
    }
    fs::remove_dir_all(root.join("volume/index")).unwrap();
    let (code, text) = run_as(OTHER, root, &import);
    assert_eq!(code, 0, "{text}");
}

#[test]
fn a_user_who_may_not_write_is_not_told_to_become_root() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can be several users");
        return;
    }
    let root = volume();
    let root = root.path();
    fs::set_permissions(root.join("volume"), fs::Permissions::from_mode(0o755)).unwrap();
    let import = ["import", "--graph", "1/g", "jobs.jsonl"];
    let (code, text) = run_as(USER, root, &import);
    assert_eq!(code, 2, "{text}");
    assert!(!text.contains("'#0'"), "{text}");
}

#[test]
fn an_engine_on_such_a_volume_is_asked_through_its_socket() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can be several users");
        return;
    }
    let place = Place::new();
    fs::create_dir(place.store()).unwrap();
    chown(place.store(), Some(USER), Some(USER)).unwrap();
    let store = JobStore::open(place.store()).unwrap();
    let movie = store.create_graph("10001", "movie").unwrap();
    movie.submit(request("clear_graph", 1)).unwrap();
    let control = store.control().unwrap();
    assert!(place.run(&["list"]).fine().contains("clear_graph"));
    control.close();
    store.close().unwrap();
    // The files of another user, whose engine creates the files.
    let all = fs::read_dir(place.store()).unwrap().flatten();
    all.for_each(|name| chown(name.path(), Some(USER), None).unwrap());
    let store = JobStore::open(place.store()).unwrap();
    let control = store.control().unwrap();
    assert!(place.run(&["list"]).fine().contains("clear_graph"));
    control.close();
    store.close().unwrap();
    // Reading creates no files.
    assert!(place.run(&["list"]).fine().contains("clear_graph"));
    let said = place.run(&["purge", "--all"]).said(2);
    assert!(said.contains("sudo -u '#1000'"), "{said}");
}
