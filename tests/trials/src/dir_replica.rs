//! A replica in a directory, which several processes can share.
//!
//! A chunk and a blob are a file each. Files are written under a temporary name, synced, and then
//! given their name, so that no other process sees a part of one. `link` refuses a name that exists,
//! which makes creating a chunk atomic.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jobstore::replica::{Created, Replica, ReplicaError, connect};

const CHUNKS: &str = "chunks";
const BLOBS: &str = "blobs";
const TEMPORARY: &str = "temporary";
/// On a network that fails, much happens before the usual time has passed.
#[cfg(feature = "replica-s3")]
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);
/// Replaces `/` in the names of blobs, which cannot contain it.
const SLASH: &str = "+";

/// A replica in a directory.
pub struct DirReplica {
    dir: PathBuf,
}

/// Returns the replica at a URL or, if it is not a URL, in a directory. Besides the URLs of the
/// library, `http://HOST:PORT/BUCKET/PREFIX` is an S3 server with the keys of the tests.
///
/// # Errors
/// The URL is invalid, or the directory cannot be created.
pub fn at(place: &str) -> Result<Arc<dyn Replica>, String> {
    if let Some(place) = place.strip_prefix("http://") {
        return at_server(place);
    }
    match place.contains("://") {
        true => connect(place).map_err(|e| e.to_string()),
        false => match DirReplica::new(place) {
            Ok(replica) => Ok(Arc::new(replica)),
            Err(e) => Err(format!("the directory {place} of the replica: {e}")),
        },
    }
}

#[cfg(feature = "replica-s3")]
fn at_server(place: &str) -> Result<Arc<dyn Replica>, String> {
    let (server, path) = place.split_once('/').ok_or("the URL has no bucket")?;
    let replica = jobstore::replica::S3Replica::builder(&format!("s3://{path}"))
        .endpoint(format!("http://{server}"))
        .credentials("key-id", "secret-key", None)
        .request_timeout(REQUEST_TIMEOUT)
        .build();
    Ok(Arc::new(replica.map_err(|e| e.to_string())?))
}

#[cfg(not(feature = "replica-s3"))]
fn at_server(_: &str) -> Result<Arc<dyn Replica>, String> {
    Err("an S3 server needs the feature replica-s3".to_owned())
}

impl DirReplica {
    /// Returns the replica in this directory, which is created if it is missing.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn new(dir: impl Into<PathBuf>) -> io::Result<DirReplica> {
        let dir = dir.into();
        for part in [CHUNKS, BLOBS, TEMPORARY] {
            fs::create_dir_all(dir.join(part))?;
        }
        Ok(DirReplica { dir })
    }

    fn chunk(&self, number: u64) -> PathBuf {
        self.dir.join(CHUNKS).join(format!("{number:020}"))
    }

    fn blob(&self, name: &str) -> PathBuf {
        self.dir.join(BLOBS).join(name.replace('/', SLASH))
    }

    /// Writes a file under a temporary name that no other process or thread uses.
    fn write(&self, len: u64, from: &mut dyn Read) -> io::Result<PathBuf> {
        let path = self.dir.join(TEMPORARY).join(unique());
        let mut file = File::create_new(&path)?;
        if io::copy(&mut from.take(len), &mut file)? != len {
            return Err(io::Error::other("the contents are too short"));
        }
        file.sync_all()?;
        Ok(path)
    }

    fn sync(&self, part: &str) -> io::Result<()> {
        File::open(self.dir.join(part))?.sync_all()
    }

    fn create_chunk(&self, number: u64, chunk: &[u8]) -> io::Result<Created> {
        let temporary = self.write(chunk.len() as u64, &mut &*chunk)?;
        let linked = fs::hard_link(&temporary, self.chunk(number));
        fs::remove_file(temporary)?;
        let created = match linked {
            Ok(()) => Created::Done,
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                Created::Taken(fs::read(self.chunk(number))?)
            }
            Err(e) => return Err(e),
        };
        self.sync(CHUNKS)?;
        Ok(created)
    }

    fn read_chunk(&self, number: u64, wait: Duration) -> io::Result<Option<Vec<u8>>> {
        let deadline = Instant::now() + wait;
        loop {
            match fs::read(self.chunk(number)) {
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                read => return read.map(Some),
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn all_numbers(&self) -> io::Result<Vec<u64>> {
        let mut numbers: Vec<u64> = entries(&self.dir.join(CHUNKS))?
            .iter()
            .filter_map(|name| name.parse().ok())
            .collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn trim_chunks(&self, below: u64, keep: &[u64]) -> io::Result<()> {
        for number in self.all_numbers()? {
            if number < below && keep.binary_search(&number).is_err() {
                remove(&self.chunk(number))?;
            }
        }
        self.sync(CHUNKS)
    }

    fn put_blob(&self, name: &str, len: u64, from: &mut dyn Read) -> io::Result<()> {
        fs::rename(self.write(len, from)?, self.blob(name))?;
        self.sync(BLOBS)
    }

    fn blob_names(&self, prefix: &str) -> io::Result<Vec<(String, u64)>> {
        let mut blobs = Vec::new();
        for entry in entries(&self.dir.join(BLOBS))? {
            let name = entry.replace(SLASH, "/");
            if !name.starts_with(prefix) {
                continue;
            }
            match fs::metadata(self.blob(&name)) {
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                found => blobs.push((name, found?.len())),
            }
        }
        blobs.sort_unstable();
        Ok(blobs)
    }
}

impl Replica for DirReplica {
    fn create(&self, number: u64, chunk: &[u8]) -> Result<Created, ReplicaError> {
        self.create_chunk(number, chunk).map_err(unknown)
    }

    fn read(&self, number: u64, wait: Duration) -> Result<Option<Vec<u8>>, ReplicaError> {
        self.read_chunk(number, wait).map_err(unknown)
    }

    fn numbers(&self, from: u64) -> Result<Vec<u64>, ReplicaError> {
        let mut numbers = self.all_numbers().map_err(unknown)?;
        numbers.retain(|number| *number >= from);
        Ok(numbers)
    }

    fn trim(&self, below: u64, keep: &[u64]) -> Result<(), ReplicaError> {
        self.trim_chunks(below, keep).map_err(unknown)
    }

    fn put(&self, name: &str, len: u64, from: &mut dyn Read) -> Result<(), ReplicaError> {
        self.put_blob(name, len, from).map_err(unknown)
    }

    fn get(&self, name: &str, range: Range<u64>, to: &mut dyn Write) -> Result<(), ReplicaError> {
        let mut file = File::open(self.blob(name)).map_err(|e| match e.kind() {
            ErrorKind::NotFound => ReplicaError::Missing {
                name: name.to_owned(),
            },
            _ => unknown(e),
        })?;
        let len = file.metadata().map_err(unknown)?.len();
        if range.end > len || range.start > range.end {
            let what = format!("bytes {range:?} of blob {name}, which has {len}");
            return Err(ReplicaError::Refused { what });
        }
        file.seek(SeekFrom::Start(range.start)).map_err(unknown)?;
        let mut bytes = file.take(range.end - range.start);
        io::copy(&mut bytes, to).map_err(unknown)?;
        Ok(())
    }

    fn names(&self, prefix: &str) -> Result<Vec<(String, u64)>, ReplicaError> {
        self.blob_names(prefix).map_err(unknown)
    }

    fn remove(&self, names: &[String]) -> Result<(), ReplicaError> {
        let mut names = names.iter();
        names
            .try_for_each(|name| remove(&self.blob(name)))
            .and_then(|()| self.sync(BLOBS))
            .map_err(unknown)
    }

    fn scratch(&self) -> Result<Box<dyn Replica>, ReplicaError> {
        let scratch = DirReplica::new(self.dir.join(format!("scratch-{}", unique())));
        Ok(Box::new(scratch.map_err(unknown)?))
    }

    fn place(&self) -> String {
        self.dir.display().to_string()
    }
}

/// A name that no other process or thread uses. The number of a process may be used again, but not
/// at the same time.
fn unique() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let time = std::time::SystemTime::UNIX_EPOCH.elapsed();
    let time = time.map_or(0, |time| time.as_nanos());
    format!("{}-{next}-{time}", std::process::id())
}

fn entries(dir: &Path) -> io::Result<Vec<String>> {
    let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into());
    fs::read_dir(dir)?.map(name).collect()
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn unknown(error: io::Error) -> ReplicaError {
    ReplicaError::Unknown {
        what: error.to_string(),
    }
}
