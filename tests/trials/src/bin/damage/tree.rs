//! A store's directory in memory.
//!
//! Contains [`Tree`], which is read from a directory and can be written to one. A written directory
//! is an independent copy.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

#[derive(Clone, PartialEq, Eq)]
pub enum Node {
    File(Arc<Vec<u8>>),
    Directory,
}

impl Node {
    pub fn file(content: Vec<u8>) -> Node {
        Node::File(Arc::new(content))
    }
}

/// Files and directories by their path in the store's directory. A directory precedes its contents.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tree(pub BTreeMap<String, Node>);

impl Tree {
    pub fn read(dir: &Path) -> io::Result<Tree> {
        let mut tree = Tree::default();
        tree.add(dir, "")?;
        Ok(tree)
    }

    fn add(&mut self, dir: &Path, prefix: &str) -> io::Result<()> {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                self.add(&entry.path(), &format!("{name}/"))?;
                self.0.insert(name, Node::Directory);
            } else {
                self.0.insert(name, Node::file(fs::read(entry.path())?));
            }
        }
        Ok(())
    }

    /// Makes `dir` contain exactly these files and directories.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        clear(dir)?;
        fs::create_dir_all(dir)?;
        for (name, node) in &self.0 {
            match node {
                Node::Directory => fs::create_dir(dir.join(name))?,
                Node::File(content) => fs::write(dir.join(name), &**content)?,
            }
        }
        Ok(())
    }

    /// Returns the tree without the index, and without the files that every open writes.
    pub fn original(&self) -> Tree {
        let is_log_file = |name: &str| {
            name != "LOCK" && name != "INDEX-OPENING" && name != "index" && !in_index(name)
        };
        let kept = self.0.iter().filter(|(name, _)| is_log_file(name));
        Tree(
            kept.map(|(name, node)| (name.clone(), node.clone()))
                .collect(),
        )
    }

    /// Removes a file, or a directory with its contents.
    pub fn remove(&mut self, name: &str) -> Option<Node> {
        let inside = format!("{name}/");
        self.0.retain(|there, _| !there.starts_with(&inside));
        self.0.remove(name)
    }

    /// The names of all files.
    pub fn files(&self) -> Vec<String> {
        let files = self.0.iter().filter(|(_, node)| **node != Node::Directory);
        files.map(|(name, _)| name.clone()).collect()
    }

    pub fn content(&self, name: &str) -> Option<&Vec<u8>> {
        match self.0.get(name)? {
            Node::File(content) => Some(content),
            Node::Directory => None,
        }
    }
}

pub fn in_index(name: &str) -> bool {
    name == "index-rewrite" || name.starts_with("index-rewrite/") || name.starts_with("index/")
}

/// Removes a directory if it exists, even if the name now belongs to something else.
pub fn clear(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}
