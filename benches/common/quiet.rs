//! A store whose log has free space. While it is measured, nothing is sealed or packed, and the
//! frames that are written can be read afterward.

use std::path::PathBuf;
use std::time::Duration;

use jobstore::{Graph, JobStore, Request};
use tempfile::TempDir;

use super::directory::{Frames, segments, wait_until_packed};
use super::settings::{is_test, sized};
use super::work::{PROJECT, requests};

pub struct Quiet {
    pub dir: TempDir,
    pub store: JobStore,
    pub graph: Graph,
    /// Requests that fill the current segment.
    filler: Vec<Request>,
}

/// The end of a log.
pub struct Mark {
    pub segment: PathBuf,
    end: u64,
}

/// Returns the size of a segment after it has grown to the maximum.
pub fn segment_bytes() -> u64 {
    sized(4 << 20, 128 << 20)
}

impl Quiet {
    pub fn new() -> Quiet {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let options = JobStore::options().segment_bytes(segment_bytes());
        let store = options.open(dir.path()).expect("open");
        let graph = store.create_graph(PROJECT, "movie").expect("create");
        Quiet {
            dir,
            store,
            graph,
            filler: requests(11, 1_000),
        }
    }

    /// Makes sure that this many bytes fit into the segment being written.
    pub fn make_room(&self, bytes: u64) {
        if self.room() >= bytes {
            return;
        }
        while self.room() < bytes {
            let before = segments(self.dir.path()).pop();
            while segments(self.dir.path()).pop() == before {
                let requests = self.filler.iter().cloned();
                self.graph.submit_all(requests).expect("submit");
            }
        }
        wait_until_packed(self.dir.path());
        if !is_test() {
            // Wait until the index has received the changes, which takes up to a second.
            std::thread::sleep(Duration::from_millis(1500));
        }
    }

    fn room(&self) -> u64 {
        let Mark { segment, end } = self.mark();
        segment.metadata().expect("metadata").len() - end
    }

    /// Returns the current end of the log.
    pub fn mark(&self) -> Mark {
        let segment = segments(self.dir.path()).pop().expect("a segment");
        let end = Frames::read(&segment, 0).end();
        Mark { segment, end }
    }

    /// Returns the frames written since `mark`. Panics if they continue in another segment.
    pub fn frames_since(&self, mark: &Mark) -> Frames {
        let segment = segments(self.dir.path()).pop();
        assert_eq!(
            segment.as_ref(),
            Some(&mark.segment),
            "the segment was full"
        );
        Frames::read(&mark.segment, mark.end)
    }
}
