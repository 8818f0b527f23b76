//! Alterations of a closed store.
//!
//! Contains the random choice of a case's alterations, their application, and the deviations that
//! they excuse. A case is described by the files and bytes that were altered.

use std::sync::Arc;

use crate::random::Random;
use crate::tree::{Node, Tree, in_index};

/// The base store, and the stores from which its files can be replaced.
pub struct Sources<'t> {
    pub base: &'t Tree,
    /// The same store at an earlier time.
    pub earlier: &'t Tree,
    /// Another store.
    pub other: &'t Tree,
}

/// An altered store.
pub struct Altered {
    pub tree: Tree,
    /// The alterations, as text.
    pub what: Vec<String>,
    /// The kind of the first file that was altered.
    pub kind: &'static str,
    pub excuses: Excuses,
}

/// The deviations that are acceptable.
#[derive(Default)]
pub struct Excuses {
    /// Whether anything was altered except the index and the files that an open recreates.
    /// Otherwise, there must not be an error.
    pub original: bool,
    /// Whether a file was replaced by a directory, or a directory by a file. If so, the system's
    /// own errors are acceptable.
    pub directories: bool,
    /// Whether the mark of a clean close was removed, or replaced by an earlier one, in addition to
    /// other changes. If so, the result may be the store at an earlier time.
    pub rolled_back: bool,
    /// Whether only the last frame can have become invalid, because it confirms all earlier ones.
    /// If so, only the jobs in that frame can be lost.
    pub one_frame: bool,
    /// Whether the file STORE is missing.
    pub nameless: bool,
}

pub fn kind_of(name: &str) -> &'static str {
    match name {
        "STORE" => "STORE",
        "CLOSED" => "CLOSED",
        "SECRET-KEYS" => "SECRET-KEYS",
        "LOCK" => "LOCK",
        "INDEX-OPENING" => "INDEX-OPENING",
        "index" => "index directory",
        _ if name.starts_with("index/db") => "index db",
        _ if name.starts_with("index/snap") => "index snap",
        _ if name.starts_with("index/conf") => "index conf",
        _ if name.starts_with("index-rewrite") => "index rewrite",
        _ if in_index(name) => "index other",
        _ if name.ends_with(".pack") => "pack",
        _ if name.ends_with(".segment") => "segment",
        _ => "foreign",
    }
}

/// Alters the store of one case.
pub fn alter(sources: &Sources<'_>, random: &mut Random) -> Altered {
    let mut tree = sources.base.clone();
    let mut what = Vec::new();
    // Without the index, everything is read from the log again.
    if random.one_in(6) {
        tree.remove("index");
        what.push("index: removed".to_owned());
    }
    // Without `CLOSED`, a close is treated as a kill.
    if random.one_in(12) {
        tree.remove("CLOSED");
        what.push("CLOSED: removed".to_owned());
    }
    let changes = match random.below(10) {
        0..=6 => 1,
        7 | 8 => 2,
        _ => 3,
    };
    let mut kind = None;
    for _ in 0..changes {
        let (name, done) = change(&mut tree, sources, random);
        kind.get_or_insert(kind_of(&name));
        what.push(format!("{name}: {done}"));
    }
    let mut excuses = excuses(&tree, sources.base);
    let gone = ["index: removed", "CLOSED: removed"];
    let altered: Vec<&String> = what
        .iter()
        .filter(|w| !gone.contains(&w.as_str()))
        .collect();
    excuses.one_frame = altered.len() == 1 && altered[0].ends_with("flipped");
    Altered {
        tree,
        what,
        kind: kind.unwrap_or("none"),
        excuses,
    }
}

fn excuses(tree: &Tree, base: &Tree) -> Excuses {
    let (now, before) = (tree.original(), base.original());
    let is_ours = |name: &str| kind_of(name) != "foreign";
    // Files that belong to no store are ignored.
    let relevant = |t: &Tree| {
        let kept = t.0.iter().filter(|(name, _)| is_ours(name));
        Tree(kept.map(|(n, node)| (n.clone(), node.clone())).collect())
    };
    let (mut now, mut before) = (relevant(&now), relevant(&before));
    let closed_now = now.remove("CLOSED");
    let closed_before = before.remove("CLOSED");
    let others_changed = now != before;
    let closed_gone = closed_now.is_none();
    let directories = tree.0.iter().any(|(name, node)| {
        let counts = is_ours(name) || name.ends_with(".aside");
        let index = name == "index" || name == "INDEX-OPENING" || in_index(name);
        *node == Node::Directory && counts && !index
    });
    Excuses {
        original: others_changed || (closed_now != closed_before && !closed_gone) || directories,
        directories,
        rolled_back: closed_now != closed_before && others_changed,
        one_frame: false,
        nameless: !tree.0.contains_key("STORE"),
    }
}

/// Chooses a file and alters it. Returns its name and the alteration.
fn change(tree: &mut Tree, sources: &Sources<'_>, random: &mut Random) -> (String, String) {
    if random.one_in(40) {
        return add(tree, random);
    }
    let name = draw_name(tree, random);
    let Some(Node::File(content)) = tree.0.get(&name).cloned() else {
        // The chosen name is a directory.
        let done = match random.below(3) {
            0 => {
                tree.remove(&name);
                tree.0.insert(name.clone(), Node::file(random.bytes(100)));
                "a file in place of the directory"
            }
            1 => {
                tree.remove(&name);
                "removed"
            }
            _ => {
                tree.remove(&name);
                tree.0.insert(name.clone(), Node::Directory);
                "emptied"
            }
        };
        return (name, done.to_owned());
    };
    let done = match random.below(100) {
        0..=3 => {
            tree.remove(&name);
            "removed".to_owned()
        }
        4 | 5 => {
            tree.0.insert(name.clone(), Node::Directory);
            "a directory in its place".to_owned()
        }
        6..=9 => swap(tree, &name, random),
        10..=13 => foreign(tree, &name, sources.other, "another store", random),
        14..=17 => foreign(tree, &name, sources.earlier, "an earlier moment", random),
        _ => {
            let mut content = content.to_vec();
            let done = alter_bytes(&mut content, random);
            tree.0.insert(name.clone(), Node::File(Arc::new(content)));
            done
        }
    };
    (name, done)
}

/// Chooses a name. The kind of file is chosen first, so that the many packs do not dominate.
fn draw_name(tree: &Tree, random: &mut Random) -> String {
    let kinds: &[&str] = match random.below(20) {
        0..=4 => &["pack"],
        5..=9 => &["segment"],
        10 => &["CLOSED"],
        11 => &["STORE"],
        12 => &["LOCK", "CLOSED"],
        13..=16 => &["index db"],
        17 => &["index snap"],
        18 => &["index conf", "index other"],
        _ => &["index directory", "index other"],
    };
    let names: Vec<&String> = tree
        .0
        .keys()
        .filter(|n| kinds.contains(&kind_of(n)))
        .collect();
    let all: Vec<&String> = tree.0.keys().collect();
    let drawn = random.pick(&names).or(random.pick(&all));
    drawn.map_or("STORE".to_owned(), |name| (*name).clone())
}

/// Adds something to the directory.
fn add(tree: &mut Tree, random: &mut Random) -> (String, String) {
    let names = [
        "INDEX-OPENING",
        "index-rewrite",
        "notes.txt",
        "STORE.aside",
        "00000000000000ff.segment",
        "0000000000000001-0000000000000009.pack",
        "0000000000000001.segment",
    ];
    let name = random
        .pick(&names)
        .map_or(names[0], |name| *name)
        .to_owned();
    let (node, what) = match random.below(6) {
        0 => (Node::Directory, "a new directory"),
        1 | 2 => (
            Node::file(vec![0; random.below(100_000)]),
            "a new file of zeros",
        ),
        3 => (Node::file(Vec::new()), "a new empty file"),
        _ => {
            let len = random.below(3000);
            (Node::file(random.bytes(len)), "a new file of garbage")
        }
    };
    tree.remove(&name);
    tree.0.insert(name.clone(), node);
    (name, what.to_owned())
}

fn swap(tree: &mut Tree, name: &str, random: &mut Random) -> String {
    let files = tree.files();
    let same: Vec<&String> = files
        .iter()
        .filter(|f| kind_of(f) == kind_of(name))
        .collect();
    let all: Vec<&String> = files.iter().collect();
    let partner = match random.one_in(2) {
        true => random.pick(&same),
        false => random.pick(&all),
    };
    let partner = partner.map(|p| (*p).clone()).filter(|p| p != name);
    let nodes = partner
        .as_ref()
        .map(|p| (tree.0.get(name).cloned(), tree.0.get(p).cloned()));
    let (Some(partner), Some((Some(a), Some(b)))) = (partner, nodes) else {
        return "left alone".to_owned();
    };
    tree.0.insert(name.to_owned(), b);
    tree.0.insert(partner.clone(), a);
    format!("swapped with {partner}")
}

fn foreign(tree: &mut Tree, name: &str, from: &Tree, whose: &str, random: &mut Random) -> String {
    let files = from.files();
    let same: Vec<&String> = files
        .iter()
        .filter(|f| kind_of(f) == kind_of(name))
        .collect();
    let by_name = from.content(name).is_some() && random.one_in(2);
    let source = match by_name {
        true => Some(name.to_owned()),
        false => random.pick(&same).map(|s| (*s).clone()),
    };
    let Some((source, content)) = source.and_then(|s| Some((s.clone(), from.content(&s)?))) else {
        return "left alone".to_owned();
    };
    tree.0.insert(name.to_owned(), Node::file(content.clone()));
    format!("{source} of {whose} in its place")
}

/// Alters bytes. An empty file can only grow.
fn alter_bytes(content: &mut Vec<u8>, random: &mut Random) -> String {
    let len = content.len();
    if len == 0 {
        let more = 1 + random.below(4096);
        content.extend(random.bytes(more));
        return format!("{more} bytes of garbage in an empty file");
    }
    // The first and last bytes of a file describe how to read the rest. A preallocated file ends
    // with many zeros, which are not counted here.
    let filled = content.iter().rposition(|b| *b != 0).unwrap_or(0) + 1;
    let at = match random.below(5) {
        0 => random.below(len.min(128)),
        1 => len - 1 - random.below(len.min(256)),
        2 => random.below(len),
        3 => filled - 1 - random.below(filled.min(512)),
        _ => random.below(filled),
    };
    let most = match random.below(3) {
        0 => 8,
        1 => 512,
        _ => len,
    };
    let size = 1 + random.below(most.min(len - at));
    match random.below(20) {
        0..=7 => {
            let bit = random.below(8);
            content[at] ^= 1 << bit;
            format!("bit {bit} of byte {at} flipped")
        }
        8 | 9 => {
            let bytes = random.bytes(size);
            content[at..at + size].copy_from_slice(&bytes);
            format!("{size} bytes at {at} overwritten")
        }
        10 => {
            content[at..at + size].fill(0xff);
            format!("{size} bytes at {at} set to 0xff")
        }
        11 | 12 => {
            content[at..at + size].fill(0);
            format!("{size} bytes at {at} zeroed")
        }
        13 => {
            content[..at].fill(0);
            format!("zeroed up to {at}")
        }
        14 | 15 => {
            let from = random.below(len - size + 1);
            content.copy_within(from..from + size, at);
            format!("{size} bytes of {from} written at {at}")
        }
        16 => {
            content.drain(at..at + size);
            format!("{size} bytes at {at} cut out")
        }
        17 => {
            let more = 1 + random.below(5000);
            let zeros = random.one_in(3);
            content.extend(match zeros {
                true => vec![0; more],
                false => random.bytes(more),
            });
            format!(
                "{more} bytes of {} behind it",
                if zeros { "zeros" } else { "garbage" }
            )
        }
        _ => {
            content.truncate(at);
            format!("cut at {at}")
        }
    }
}
