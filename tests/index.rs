//! The index is sealed when a store is closed.
//!
//! Tests that the store does not depend on the index: whatever happened to it, the store is
//! unchanged; and that a normal close leaves an index that the next open can use.

mod common;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use jobstore::{Graph, JobQuery, JobStore, Outcome, Recovery};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use common::{copy_directory, request, small_segments};

/// The index's directory, and the one large file in it.
const FOLDER: &str = "index";
const FILE: &str = "db";

/// Collects the store's log messages.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<String>>>);

impl Said {
    /// Runs a function; also returns the log messages of this thread meanwhile.
    fn during<T>(work: impl FnOnce() -> T) -> (T, String) {
        let said = Said::default();
        let done = tracing::subscriber::with_default(said.clone(), work);
        let lines = said.0.lock().unwrap().join("\n");
        (done, lines)
    }
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let line = format!("{field}: {value:?}");
        self.0.lock().unwrap().push(line);
    }
}

impl Subscriber for Said {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Opens a store; also returns why its index was rebuilt, if it was.
fn open(dir: &Path) -> (JobStore, Option<String>) {
    let options = small_segments().recovery(Recovery::Leave);
    let (store, said) = Said::during(|| options.open(dir).unwrap());
    let anew = [
        "rebuilding the index",
        "index; rebuilding it",
        "does not match",
    ]
    .iter()
    .any(|part| said.contains(part));
    (store, anew.then_some(said))
}

/// Jobs in all states.
fn work(graph: &Graph, round: usize) {
    for n in 0..20 {
        let id = format!("job-{round}-{n}");
        let id = graph.submit_as(id, request("c", "{}")).unwrap();
        if n % 4 > 0 {
            graph.start(id.id()).unwrap();
        }
        if n % 4 > 1 {
            let outcome = Outcome::succeeded().with_detail(&n).unwrap();
            graph.complete(id.id(), outcome).unwrap();
        }
    }
}

fn dump(store: &JobStore) -> Vec<String> {
    let graph = store.graph("p", "g").unwrap();
    let page = graph.list(JobQuery::new()).unwrap();
    page.jobs()
        .map(|job| {
            let job = job.unwrap();
            let by_id = graph.job(job.id()).unwrap().unwrap();
            assert_eq!(format!("{by_id:?}"), format!("{job:?}"));
            let times = (job.submitted_at(), job.started_at(), job.completed_at());
            format!("{job:?} {times:?} {:?}", job.outcome())
        })
        .collect()
}

#[test]
fn a_normal_close_leaves_an_index_that_the_next_open_uses() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..50 {
        let (store, anew) = open(dir.path());
        assert_eq!(anew, None, "open {round}");
        let graph = store.get_or_create_graph("p", "g").unwrap();
        work(&graph, round);
        store.close().unwrap();
        let closed = fs::read_to_string(dir.path().join("CLOSED")).unwrap();
        assert!(closed.contains("\nindex sled "), "close {round}: {closed}");
    }
    assert!(dir.path().join(FOLDER).is_dir());
}

static PANICS: AtomicUsize = AtomicUsize::new(0);

#[test]
fn an_index_that_changed_while_the_store_was_closed_is_not_given_to_its_engine() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::SeqCst);
        before(info);
    }));
    let root = tempfile::tempdir().unwrap();
    let origin = root.path().join("origin");
    let (store, _) = open(&origin);
    let graph = store.create_graph("p", "g").unwrap();
    (0..10).for_each(|round| work(&graph, round));
    let all = dump(&store);
    store.close().unwrap();
    let len = fs::metadata(origin.join(FOLDER).join(FILE)).unwrap().len();
    type Damage<'a> = Box<dyn Fn(&Path) + 'a>;
    let mut damages: Vec<(String, Damage<'_>)> = vec![
        (
            "a file more".to_owned(),
            Box::new(|index| fs::write(index.join("more"), b"").unwrap()),
        ),
        (
            "a directory more".to_owned(),
            Box::new(|index| fs::create_dir(index.join("more")).unwrap()),
        ),
        (
            "a link".to_owned(),
            Box::new(|index| std::os::unix::fs::symlink(FILE, index.join("more")).unwrap()),
        ),
        (
            "a file of another name".to_owned(),
            Box::new(|index| fs::rename(index.join(FILE), index.join("other")).unwrap()),
        ),
        (
            "cut".to_owned(),
            Box::new(|index| {
                let path = index.join(FILE);
                let bytes = fs::read(&path).unwrap();
                fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
            }),
        ),
    ];
    for at in (0..len).step_by(len as usize / 24) {
        damages.push((
            format!("the byte at {at}"),
            Box::new(move |index| {
                let path = index.join(FILE);
                let mut bytes = fs::read(&path).unwrap();
                bytes[at as usize] ^= 0xff;
                fs::write(path, &bytes).unwrap();
            }),
        ));
    }
    for (what, damage) in damages {
        let dir = root.path().join("copy");
        copy_directory(&origin, &dir);
        damage(&dir.join(FOLDER));
        let (store, anew) = open(&dir);
        let anew = anew.unwrap_or_else(|| panic!("{what}: not noticed"));
        assert!(
            anew.contains("it was changed while the store was closed"),
            "{what}: {anew}"
        );
        // Once is enough: the rebuilt index is intact.
        assert!(
            !anew.contains("does not match") && !anew.contains("cannot open"),
            "{what}: {anew}"
        );
        assert_eq!(dump(&store), all, "{what}");
        store.close().unwrap();
        assert_eq!(open(&dir).1, None, "{what}");
        fs::remove_dir_all(&dir).unwrap();
    }
    assert_eq!(PANICS.load(Ordering::SeqCst), 0, "an engine panicked");
}

/// The mark of a clean close, for an index sealed by an engine of another name.
fn sealed_by_another_engine(closed: &str) -> String {
    let text = closed.replace("\nindex sled ", "\nindex other ");
    assert_ne!(text, closed);
    let lines = &text[..text.find("crc ").unwrap()];
    format!("{lines}crc {:08x}\n", crc32fast::hash(lines.as_bytes()))
}

#[test]
fn an_index_that_another_engine_sealed_is_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (store, _) = open(dir);
    work(&store.create_graph("p", "g").unwrap(), 0);
    let all = dump(&store);
    store.close().unwrap();
    let closed = dir.join("CLOSED");
    let text = fs::read_to_string(&closed).unwrap();
    fs::write(&closed, sealed_by_another_engine(&text)).unwrap();
    let reader = JobStore::options().read_only(true).open(dir).unwrap();
    assert_eq!(dump(&reader), all);
    drop(reader);
    let (store, anew) = open(dir);
    let anew = anew.expect("it is rebuilt");
    assert!(
        anew.contains("it was written by another index engine"),
        "{anew}"
    );
    assert_eq!(dump(&store), all);
    store.close().unwrap();
    assert_eq!(open(dir).1, None);
}

#[test]
fn the_index_and_its_files_are_the_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let mode = fs::metadata(dir.path().join(FOLDER)).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o700);
    store.close().unwrap();
}

#[test]
fn an_index_that_has_outgrown_the_log_is_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let (store, _) = open(&path);
    work(&store.create_graph("p", "g").unwrap(), 0);
    let before = dump(&store);
    // As after a kill: without a seal.
    let copy = dir.path().join("copy");
    copy_directory(&path, &copy);
    fs::remove_file(copy.join("CLOSED")).ok();
    let garbage = copy.join(FOLDER).join("garbage");
    let file = fs::File::create(&garbage).unwrap();
    file.set_len(200 << 20).unwrap();
    let (store, _) = open(&copy);
    assert_eq!(dump(&store), before);
    assert!(!garbage.exists());
}
