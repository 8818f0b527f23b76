//! What a power failure leaves of a disk.
//!
//! Contains [`Image`]. Nothing durable is missing in it, and nothing is present that was not
//! written.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use super::file::Change;
use super::{Disk, Node};
use crate::random::Random;
use crate::trace::{At, Call};

/// How much unsynced data is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    Nothing,
    Everything,
    /// Each name and each sector is kept independently.
    Torn,
}

/// Files by path, and directories.
#[derive(Clone, Debug, Default)]
pub struct Image {
    pub files: BTreeMap<String, Arc<Vec<u8>>>,
    pub directories: Vec<String>,
}

impl Disk {
    /// Returns what is left below a directory.
    #[must_use]
    pub fn image(&self, below: &str, kept: Kept, random: &mut Random) -> Image {
        let mut image = Image::default();
        self.add(below, "", kept, random, &mut image);
        image
    }

    fn add(&self, path: &str, to: &str, kept: Kept, random: &mut Random, image: &mut Image) {
        let Some(directory) = self.directories.get(path) else {
            return;
        };
        let mut torn;
        let names = match kept {
            Kept::Nothing => &directory.durable,
            Kept::Everything => &directory.now,
            Kept::Torn => {
                torn = directory.durable.clone();
                for change in &directory.pending {
                    if random.one_in(2) {
                        change.iter().for_each(|entry| entry.apply(&mut torn));
                    }
                }
                &torn
            }
        };
        for (name, node) in names {
            let join = |above: &str| match above {
                "" => name.clone(),
                above => format!("{above}/{name}"),
            };
            match node {
                Node::Directory => {
                    image.directories.push(join(to));
                    self.add(&join(path), &join(to), kept, random, image);
                }
                Node::File(file) => {
                    let bytes = self.bytes(*file, kept, random);
                    image.files.insert(join(to), bytes);
                }
            }
        }
    }

    fn bytes(&self, number: usize, kept: Kept, random: &mut Random) -> Arc<Vec<u8>> {
        let file = &self.files[number];
        match kept {
            Kept::Nothing => file.durable().clone(),
            Kept::Everything => file.now().clone(),
            Kept::Torn => {
                let at_work = self.at_work.values();
                let at_work = at_work.filter(|(of, _)| *of == number);
                let at_work: Vec<_> = at_work.map(|(_, change)| change).collect();
                file.torn(&at_work, random)
            }
        }
    }

    /// Compares this disk with the real directory after its process has ended, and applies calls
    /// that did not complete. If the process died, its last calls are not always known.
    ///
    /// # Errors
    /// The two differ, so the trace is incomplete.
    pub fn end_process(&mut self, real: &Image, died: bool) -> Result<(), String> {
        let at_work = std::mem::take(&mut self.at_work);
        for call in std::mem::take(&mut self.begun).into_values() {
            self.end_call(&call, real);
        }
        let now = self.image("", Kept::Everything, &mut Random(0));
        for (path, bytes) in &real.files {
            if now.files.get(path) == Some(bytes) {
                continue;
            }
            let Some(Node::File(file)) = self.node(path) else {
                return Err(format!("{path} exists, but no call created it"));
            };
            let changes = at_work.values().filter(|(of, _)| *of == file);
            let changes: Vec<&Change> = changes.map(|(_, change)| change).collect();
            if !self.files[file].take_parts(&changes, bytes, died) {
                let (now, at_work) = (self.files[file].now(), changes.len());
                let first = now.iter().zip(&**bytes).position(|(a, b)| a != b);
                return Err(format!(
                    "{path} differs from the result of the calls: it has {} bytes, not {}, and \
                     differs from {first:?} on; {at_work} writes did not end",
                    bytes.len(),
                    now.len()
                ));
            }
        }
        match now
            .files
            .keys()
            .find(|path| !real.files.contains_key(*path))
        {
            Some(path) => Err(format!("{path} is missing, but no call removed it")),
            None => Ok(()),
        }
    }
}

impl Disk {
    /// Applies a call that changes names and that never returned, if the real directory shows its
    /// effect.
    fn end_call(&mut self, call: &Call, real: &Image) {
        let here = |disk: &Disk, at: &At| disk.resolve(at).filter(|p| disk.node(p).is_some());
        let there =
            |path: &String| real.files.contains_key(path) || real.directories.contains(path);
        let happened = match call {
            Call::Open {
                path,
                creates: true,
                ..
            }
            | Call::MakeDir(path) => {
                here(self, path).is_none() && self.resolve(path).is_some_and(|p| there(&p))
            }
            Call::Rename(path, _) | Call::Remove(path) => {
                here(self, path).is_some_and(|path| !there(&path))
            }
            _ => false,
        };
        if happened {
            // No file has this number, so the call has only its effect on names.
            self.ended(usize::MAX, call, i64::MAX);
        }
    }
}

impl Image {
    /// Reads the content of a real directory.
    ///
    /// # Errors
    /// Any error of the file system or of the process.
    pub fn read(root: &Path) -> io::Result<Image> {
        let mut image = Image::default();
        read(root, "", &mut image)?;
        Ok(image)
    }

    /// Writes the image to a new directory.
    ///
    /// # Errors
    /// Any error of the file system or of the process.
    pub fn write(&self, to: &Path) -> io::Result<()> {
        fs::create_dir_all(to)?;
        for directory in &self.directories {
            fs::create_dir_all(to.join(directory))?;
        }
        for (path, bytes) in &self.files {
            fs::write(to.join(path), bytes.as_slice())?;
        }
        Ok(())
    }

    /// Removes a directory with its contents.
    pub fn remove(&mut self, directory: &str) {
        let within = |path: &str| {
            path.strip_prefix(directory)
                .is_some_and(|p| p.starts_with('/'))
        };
        self.files.retain(|path, _| !within(path));
        self.directories
            .retain(|path| path != directory && !within(path));
    }

    /// Inserts another image as a directory.
    pub fn insert(&mut self, directory: &str, image: Image) {
        self.directories.push(directory.to_owned());
        let join = |path: &String| format!("{directory}/{path}");
        self.directories.extend(image.directories.iter().map(join));
        let files = image.files.into_iter();
        self.files
            .extend(files.map(|(path, bytes)| (join(&path), bytes)));
    }

    /// Returns a hash of the files. It is equal for equal files.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let mut digest = Xxh3::new();
        for (path, bytes) in &self.files {
            digest.update(path.as_bytes());
            digest.update(&(bytes.len() as u64).to_le_bytes());
            digest.update(bytes);
        }
        digest.digest()
    }
}

fn read(root: &Path, path: &str, image: &mut Image) -> io::Result<()> {
    for entry in fs::read_dir(root.join(path))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let path = match path {
            "" => name,
            above => format!("{above}/{name}"),
        };
        if root.join(&path).is_dir() {
            image.directories.push(path.clone());
            read(root, &path, image)?;
        } else {
            let bytes = fs::read(root.join(&path))?;
            image.files.insert(path, Arc::new(bytes));
        }
    }
    Ok(())
}
