//! The files of the console.
//!
//! Contains [`Assets`]. The files are embedded when the crate is built. They are compressed when
//! they are first requested.

use std::io::Write as _;
use std::sync::OnceLock;

use axum::body::Bytes;
use axum::http::HeaderValue;
use flate2::Compression;
use flate2::write::GzEncoder;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::http::encoding::Encoding;

const CSS: &str = "text/css; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

const PAGE: &str = include_str!("web/index.html");

macro_rules! files {
    ($($kind:ident: $($path:literal)+;)+) => {
        [$($((($path), $kind, include_str!(concat!("web/", $path))),)+)+]
    };
}

type File = (&'static str, &'static str, &'static str);

/// The paths, types, and contents of the files that the page needs to show its first view.
const FIRST: &[File] = &files! {
    CSS: "style.css";
    SVG: "icon.svg";
    JAVASCRIPT:
        "api.js"
        "app.js"
        "filters.js"
        "format.js"
        "i18n.js"
        "job_counts.js"
        "keys.js"
        "lang/en.js"
        "lang/zh.js"
        "live.js"
        "parts/dialog.js"
        "parts/header.js"
        "parts/health_box.js"
        "parts/keyboard_help.js"
        "parts/notice.js"
        "parts/open_graph.js"
        "parts/sparkline.js"
        "parts/time.js"
        "parts/token_dialog.js"
        "permissions.js"
        "router.js"
        "settings.js"
        "store.js"
        "vendor/htm-preact.js"
        "views.js"
        "views/overview.js"
        "views/unknown.js";
};

/// The files that only the other views need.
const LATER: &[File] = &files! {
    JAVASCRIPT:
        "job_source.js"
        "json_tree.js"
        "parts/chart.js"
        "parts/copy_button.js"
        "parts/filter_bar.js"
        "parts/job_bars.js"
        "parts/job_table.js"
        "parts/json_view.js"
        "parts/retention.js"
        "parts/state_word.js"
        "parts/totals.js"
        "views/bulk.js"
        "views/history.js"
        "views/job.js"
        "views/jobs.js"
        "views/store.js"
        "virtual_list.js";
};

fn files() -> impl Iterator<Item = &'static File> {
    FIRST.iter().chain(LATER)
}

/// A file of the console.
#[derive(Debug)]
pub(crate) struct Asset {
    /// The `Content-Type`.
    pub(crate) kind: &'static str,
    text: Bytes,
    gzip: OnceLock<Bytes>,
    hash: u64,
}

impl Asset {
    fn new(kind: &'static str, text: impl Into<Bytes>) -> Asset {
        let text = text.into();
        let hash = xxh3_64(&text);
        Asset {
            kind,
            text,
            gzip: OnceLock::new(),
            hash,
        }
    }

    /// The contents in the requested encoding, or, if it is not available, as they are.
    pub(crate) fn encoded(&self, wanted: Encoding) -> (Encoding, Bytes) {
        match wanted.for_whole(self.text.len()) {
            Encoding::Gzip => {
                let gzip = self.gzip.get_or_init(|| compressed(&self.text));
                (Encoding::Gzip, gzip.clone())
            }
            Encoding::Plain | Encoding::Zstd => (Encoding::Plain, self.text.clone()),
        }
    }

    /// The entity tag of the contents in this encoding.
    pub(crate) fn tag(&self, encoding: Encoding) -> HeaderValue {
        let suffix = match encoding {
            Encoding::Gzip => "-gzip",
            Encoding::Plain | Encoding::Zstd => "",
        };
        let tag = format!("\"{:016x}{suffix}\"", self.hash);
        HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("\"\""))
    }
}

fn compressed(text: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Writing to a `Vec` does not fail.
    encoder.write_all(text).ok();
    encoder.finish().unwrap_or_default().into()
}

/// The page and its files.
#[derive(Debug)]
pub(crate) struct Assets {
    page: Asset,
    files: Vec<(&'static str, Asset)>,
    version: String,
}

impl Assets {
    /// Creates the files of a page that finds the API at a URL.
    pub(crate) fn new(api: &str) -> Assets {
        let mut hash = Xxh3::new();
        for (path, _, text) in files() {
            hash.update(path.as_bytes());
            hash.update(text.as_bytes());
        }
        let version = format!("{:016x}", hash.digest());
        let files = files().map(|&(path, kind, text)| (path, Asset::new(kind, text)));
        Assets {
            page: Asset::new(HTML, page(&version, api)),
            files: files.collect(),
            version,
        }
    }

    pub(crate) fn page(&self) -> &Asset {
        &self.page
    }

    /// Returns a file of this version.
    pub(crate) fn file(&self, version: &str, path: &str) -> Option<&Asset> {
        let mut files = self.files.iter().filter(|_| version == self.version);
        files.find(|(of, _)| *of == path).map(|(_, asset)| asset)
    }
}

/// The page. It names the modules of its first view, so that a browser loads them at the same time.
fn page(version: &str, api: &str) -> String {
    let modules = FIRST.iter().filter(|(_, kind, _)| *kind == JAVASCRIPT);
    let preload: Vec<String> = modules
        .map(|(path, ..)| format!(r#"<link rel="modulepreload" href="{version}/{path}">"#))
        .collect();
    PAGE.replace("{{preload}}", &preload.join("\n"))
        .replace("{{assets}}", version)
        .replace("{{api}}", &escaped(api))
}

/// Text as the value of an attribute.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    fn paths_below(dir: &Path, prefix: &str, into: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            match entry.file_type().unwrap().is_dir() {
                true => paths_below(&entry.path(), &format!("{path}/"), into),
                false => drop(into.insert(path)),
            }
        }
    }

    #[test]
    fn every_file_is_embedded() {
        let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/console/web");
        let mut there = BTreeSet::new();
        paths_below(&web, "", &mut there);
        there.remove("index.html");
        // For editors and tests, which must know that the files are modules.
        there.remove("package.json");
        there.retain(|path| !path.starts_with("vendor/") || path.ends_with(".js"));
        let embedded = files().map(|(path, ..)| (*path).to_owned());
        assert_eq!(there, embedded.collect());
    }

    /// Returns the modules that a module imports when it is loaded.
    fn imports(path: &str, text: &str) -> Vec<String> {
        let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        let from = text.split(" from \"./").skip(1).map(|rest| (false, rest));
        let from_above = text.split(" from \"../").skip(1).map(|rest| (true, rest));
        from.chain(from_above)
            .map(|(is_above, rest)| {
                let name = rest.split('"').next().unwrap_or_default();
                match is_above || directory.is_empty() {
                    true => name.to_owned(),
                    false => format!("{directory}/{name}"),
                }
            })
            .collect()
    }

    #[test]
    fn the_page_names_the_modules_that_its_first_view_needs() {
        let (mut needed, mut next) = (BTreeSet::new(), vec!["app.js".to_owned()]);
        while let Some(path) = next.pop() {
            let (_, _, text) = files().find(|(of, ..)| *of == path).unwrap();
            if needed.insert(path.clone()) {
                next.extend(imports(&path, text));
            }
        }
        let first = FIRST.iter().filter(|(_, kind, _)| *kind == JAVASCRIPT);
        assert_eq!(needed, first.map(|(path, ..)| (*path).to_owned()).collect());
    }

    #[test]
    fn the_url_of_the_api_is_escaped() {
        let assets = Assets::new(r#"/a"b&c/"#);
        let page = String::from_utf8(assets.page.text.to_vec()).unwrap();
        assert!(page.contains(r#"content="/a&quot;b&amp;c/""#), "{page}");
        assert!(!page.contains("{{"), "{page}");
    }
}
