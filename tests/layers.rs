//! The directories of `src` depend on each other in one direction, and cycles have at most two
//! files.
//!
//! Reads what follows `crate::` and `super::` in library code, excluding comments, tests, and
//! `src/bin`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// From bottom to top. A directory may use itself and those before it.
const LAYERS: [&str; 9] = [
    "base", "model", "log", "replica", "index", "engine", "api", "http", "testing",
];

/// Tests that use private fields of a neighboring file.
const TESTS: [&str; 1] = ["log/disk/memory/trial.rs"];

/// The modules of the engine, from the bottom to the top. Each may name those of its own line and
/// of the lines before it.
const ENGINE: [&[&str]; 10] = [
    &["state"],
    &["core", "age_clock", "relocation", "store_handle"],
    &["read"],
    &["replay"],
    &["survey"],
    &["commit"],
    &["background"],
    &["health"],
    &["open"],
    &["maintenance"],
];

struct Source {
    /// Below `src`, with `/`.
    file: String,
    /// `["engine", "open"]`.
    module: Vec<String>,
    /// Line numbers from 1, and the path that follows `crate::` there.
    paths: Vec<(usize, Vec<String>)>,
}

fn source_files(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            source_files(&path, into);
        } else if path.extension().is_some_and(|end| end == "rs") {
            into.push(path);
        }
    }
}

/// The lines compiled into the library: no comments, and nothing from the first test module on.
fn product_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut lines = text.lines().enumerate().peekable();
    std::iter::from_fn(move || {
        loop {
            let (n, line) = lines.next()?;
            if line.starts_with("#[cfg(test") || line.starts_with("#[cfg(all(test") {
                let next = lines.peek().map_or("", |(_, next)| next);
                if next.starts_with("mod ") && next.ends_with('{') {
                    return None;
                }
                if next.contains("mod ") {
                    lines.next();
                    continue;
                }
            }
            if !line.trim_start().starts_with("//") {
                return Some((n + 1, line));
            }
        }
    })
}

/// The paths in `text` that begin with `crate::` or `super::`, with groups in braces expanded.
fn paths(text: &[(usize, &str)], module: &[String]) -> Vec<(usize, Vec<String>)> {
    let (mut all, mut starts) = (String::new(), Vec::new());
    for (n, line) in text {
        starts.push((all.len(), *n));
        all.push_str(line);
        all.push('\n');
    }
    let mut found = Vec::new();
    for (at, _) in all.match_indices("crate::") {
        let before = all[..at].chars().next_back();
        if before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != '$') {
            expand(&all, at + "crate::".len(), &[], &mut found);
        }
    }
    for (at, _) in all.match_indices("super::") {
        let parent = &module[..module.len() - 1];
        if !all[..at].ends_with("super::") {
            expand(&all, at + "super::".len(), parent, &mut found);
        }
    }
    let line_at = |at: usize| starts[starts.partition_point(|s| s.0 <= at) - 1].1;
    found
        .into_iter()
        .map(|(at, path)| (line_at(at), path))
        .collect()
}

/// Parses a path from `at` on; returns its end.
fn expand(
    text: &str,
    at: usize,
    before: &[String],
    found: &mut Vec<(usize, Vec<String>)>,
) -> usize {
    let space = |at: usize| at + text[at..].len() - text[at..].trim_start().len();
    let at = space(at);
    if text[at..].starts_with('{') {
        let mut at = space(at + 1);
        while !text[at..].starts_with('}') {
            at = space(expand(text, at, before, found));
            at = space(if text[at..].starts_with(',') {
                at + 1
            } else {
                at
            });
        }
        return at + 1;
    }
    let word = text[at..].find(|c: char| !c.is_alphanumeric() && c != '_');
    let end = at
        + word
            .unwrap_or(0)
            .max(usize::from(text[at..].starts_with('*')));
    let mut path = before.to_vec();
    match &text[at..end] {
        "self" | "*" => {}
        name => path.push(name.to_owned()),
    }
    if text[end..].starts_with("::") && !text[end..].starts_with("::<") {
        return expand(text, end + 2, &path, found);
    }
    found.push((at, path));
    // `as` and what follows it.
    let rest = text[end..].find([',', '}', ';', '\n']).unwrap_or(0);
    match text[end..].starts_with(" as ") {
        true => end + rest,
        false => end.max(at + 1),
    }
}

/// The modules from which `lib.rs` re-exports names at the root of the crate.
fn root_names(lib: &Source) -> BTreeMap<String, Vec<String>> {
    let public = lib.paths.iter().filter(|(_, path)| path.len() > 1);
    let named = public.map(|(_, path)| (path[path.len() - 1].clone(), path.clone()));
    named.collect()
}

fn sources() -> Vec<Source> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    source_files(&src, &mut files);
    files.sort();
    let sources = files.iter().filter_map(|path| {
        let file = path.strip_prefix(&src).expect("below src");
        let file = file.to_str().expect("text").replace('\\', "/");
        let is_test = TESTS.iter().any(|test| file.starts_with(test));
        if is_test || file.starts_with("bin/") {
            return None;
        }
        let name = file.trim_end_matches(".rs").trim_end_matches("/mod");
        let module: Vec<String> = match name {
            "lib" => vec![String::new()],
            name => name.split('/').map(str::to_owned).collect(),
        };
        let text = fs::read_to_string(path).expect("a source file");
        let lines: Vec<_> = product_lines(&text).collect();
        let paths = paths(&lines, &module);
        Some(Source {
            file,
            module,
            paths,
        })
    });
    sources.collect()
}

/// The files that a file refers to, with the line of the reference.
fn references(sources: &[Source]) -> Vec<(usize, usize, usize)> {
    let lib = sources.iter().find(|s| s.file == "lib.rs").expect("lib.rs");
    let roots = root_names(lib);
    let mut found = Vec::new();
    for (from, source) in sources.iter().enumerate() {
        for (line, path) in &source.paths {
            let path = match path.first().and_then(|first| roots.get(first)) {
                Some(whole) if !LAYERS.contains(&path[0].as_str()) => whole,
                _ => path,
            };
            let depth = |s: &Source| path.starts_with(&s.module).then_some(s.module.len());
            let to = (0..sources.len()).max_by_key(|&n| depth(&sources[n]));
            if let Some(to) = to.filter(|&to| depth(&sources[to]).is_some() && to != from) {
                found.push((from, to, *line));
            }
        }
    }
    found
}

fn layer(source: &Source) -> Option<usize> {
    LAYERS.iter().position(|layer| source.module[0] == *layer)
}

#[test]
fn directories_depend_in_one_direction() {
    let sources = sources();
    let mut upward = BTreeMap::new();
    for (from, to, line) in references(&sources) {
        let (from, to) = (&sources[from], &sources[to]);
        if let (Some(below), Some(above)) = (layer(from), layer(to)) {
            if above > below {
                let pair = (from.file.as_str(), LAYERS[above]);
                upward
                    .entry(pair)
                    .or_insert_with(|| format!("src/{}:{line} names {}", from.file, to.file));
            }
        }
    }
    let upward: Vec<_> = upward.values().collect();
    assert!(
        upward.is_empty(),
        "against the order {LAYERS:?}:\n{upward:#?}"
    );
}

#[test]
fn modules_of_the_engine_depend_in_one_direction() {
    let sources = sources();
    let line_of = |source: &Source| {
        let is_engine = source.module[0] == "engine";
        let module = source.module.get(1).filter(|_| is_engine)?;
        let line = ENGINE
            .iter()
            .position(|line| line.contains(&module.as_str()));
        assert!(line.is_some(), "src/{} is not in ENGINE", source.file);
        line
    };
    let upward: Vec<_> = references(&sources)
        .into_iter()
        .map(|(from, to, line)| (&sources[from], &sources[to], line))
        .filter(|(from, to, _)| line_of(from).zip(line_of(to)).is_some_and(|(f, t)| t > f))
        .map(|(from, to, line)| format!("src/{}:{line} names {}", from.file, to.file))
        .collect();
    assert!(upward.is_empty(), "{upward:#?}");
}

#[test]
fn every_file_stands_in_a_layer() {
    for source in sources() {
        let known = layer(&source).is_some() || source.file == "lib.rs";
        assert!(
            known,
            "src/{} stands in no layer of {LAYERS:?}",
            source.file
        );
    }
}

#[test]
fn no_more_than_two_files_form_a_cycle() {
    let sources = sources();
    let mut next = vec![BTreeSet::new(); sources.len()];
    for (from, to, _) in references(&sources) {
        // A module's own file may name its parts, and they may use what it declares.
        let is_root = |n: usize| sources[n].file == "lib.rs";
        if !is_root(from) && !is_root(to) {
            next[from].insert(to);
        }
    }
    let reached: Vec<BTreeSet<usize>> = (0..sources.len())
        .map(|start| {
            let (mut reached, mut open) = (BTreeSet::new(), vec![start]);
            while let Some(at) = open.pop() {
                open.extend(next[at].iter().filter(|&&to| reached.insert(to)));
            }
            reached
        })
        .collect();
    let group = |n: usize| -> BTreeSet<usize> {
        let mut group: BTreeSet<_> = reached[n]
            .iter()
            .copied()
            .filter(|&m| reached[m].contains(&n))
            .collect();
        group.insert(n);
        group
    };
    let groups: BTreeSet<BTreeSet<usize>> = (0..sources.len()).map(group).collect();
    let mut large: Vec<_> = groups.into_iter().filter(|group| group.len() > 2).collect();
    large.sort_by_key(|group| std::cmp::Reverse(group.len()));
    let names = |group: &BTreeSet<usize>| {
        group
            .iter()
            .map(|&n| sources[n].file.clone())
            .collect::<Vec<_>>()
    };
    let named: Vec<_> = large.iter().map(names).collect();
    assert!(named.is_empty(), "files in cycles: {named:#?}");
}
