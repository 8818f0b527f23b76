//! The log of a replica on etcd.

mod cluster;
mod failure;
mod grpc;
mod session;
mod tls;
mod url;
mod wire;

use std::fmt;
use std::io::{Read, Write};
use std::ops::Range;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::base::random::random_number;
use crate::model::replica::{Created, Replica, ReplicaError};
use cluster::Cluster;
use failure::Failure;
use grpc::{CREATE, DELETE, Grpc, Method, RANGE};
use url::{Url, User};
use wire::{CreateResponse, Listing};

/// The maximum number of keys in a response.
const PAGE_KEYS: u64 = 1000;
/// etcd executes a transaction without interruption, and refuses one with more than 128 operations
/// by default.
const DELETE_RANGES: usize = 64;
const DELETE_KEYS: usize = 1000;
/// The interval between polls for a chunk that does not exist yet.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The log of a replica on an etcd cluster, version 3.4 or later.
///
/// etcd keeps only the log: combine it with a backend for blobs in a [`Pair`](super::Pair). The
/// calls for blobs return [`ReplicaError::Refused`].
///
/// # URL
/// ```text
/// etcd://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]...]/PREFIX
/// etcds://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]...]/PREFIX[?ca=FILE][&cert=FILE&key=FILE]
/// ```
/// The hosts are nodes of one cluster; a call goes to any of them that answers. The default port is
/// 2379. Each store needs its own prefix. `etcds` encrypts the connections: `ca` contains the
/// certificates of the authorities to trust instead of those of the system, and `cert` and `key`
/// the client's certificate and its private key, all in PEM format. User name, password, and file
/// names may be percent-encoded.
///
/// What the URL lacks is taken from the environment variables of `etcdctl`: `ETCDCTL_USER`,
/// `ETCDCTL_PASSWORD`, `ETCDCTL_CACERT`, `ETCDCTL_CERT`, and `ETCDCTL_KEY`. The environment is a
/// better place for a password than a URL, which is visible in the list of processes if it is an
/// argument.
///
/// The user needs permission to read and write the keys that begin with the prefix. A token
/// that has expired is renewed.
///
/// # Setup
/// etcd keeps the removed chunks until its history is compacted, and refuses all writes once its
/// database exceeds `--quota-backend-bytes`, 2 GiB by default. Run it with
/// `--auto-compaction-retention=1h`. `--snapshot-count 1000` limits its memory, because etcd keeps
/// the latest writes in memory.
///
/// A chunk must not be larger than `--max-request-bytes`, 1.5 MiB by default. A
/// [`Pair`](super::Pair) stores larger chunks as blobs.
///
/// # Cost
/// A create is one round trip to etcd, which writes it to the disks of a majority of nodes. A
/// connection attempt times out after 2 seconds, and a request after 10 seconds. The requests are
/// made on a thread `jobstore-etcd`. The calls can be made from any thread, including threads of a
/// tokio runtime, which they block.
///
/// # Examples
/// ```no_run
/// use std::time::Duration;
/// use jobstore::replica::{EtcdReplica, Replica};
///
/// let log = EtcdReplica::from_url("etcd://a:2379,b:2379,c:2379/jobs")?;
/// log.create(1, b"chunk")?;
/// assert_eq!(log.read(1, Duration::ZERO)?.as_deref(), Some(&b"chunk"[..]));
/// # Ok::<(), jobstore::replica::ReplicaError>(())
/// ```
pub struct EtcdReplica {
    cluster: Arc<Cluster>,
    /// The prefix of all keys, without a trailing slash.
    prefix: String,
    /// The URL of the cluster and the prefix, without credentials.
    place: String,
}

impl fmt::Debug for EtcdReplica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("EtcdReplica");
        debug.field("place", &self.place).finish_non_exhaustive()
    }
}

impl EtcdReplica {
    /// Returns the log at a URL. This does not test whether the cluster can be reached.
    ///
    /// # Errors
    /// [`ReplicaError::Refused`] if the URL is invalid, or if a file that it names cannot be used.
    pub fn from_url(url: &str) -> Result<EtcdReplica, ReplicaError> {
        let url = Url::parse(url, |name| std::env::var(name).ok())?;
        EtcdReplica::new(url)
    }

    /// Like [`EtcdReplica::from_url`], with a user who is not named in the URL.
    ///
    /// # Errors
    /// [`ReplicaError::Refused`] if the URL is invalid, or if a file that it names cannot be used.
    pub fn from_url_with_user(
        url: &str,
        user: &str,
        password: &str,
    ) -> Result<EtcdReplica, ReplicaError> {
        let mut url = Url::parse(url, |name| std::env::var(name).ok())?;
        url.user = Some(User {
            name: user.to_owned(),
            password: password.to_owned(),
        });
        EtcdReplica::new(url)
    }

    fn new(url: Url) -> Result<EtcdReplica, ReplicaError> {
        let place = url.place();
        let tls = url.tls.as_ref().map(tls::config).transpose();
        let grpc = tls.and_then(Grpc::new);
        let grpc = grpc.map_err(|problem| ReplicaError::Refused {
            what: format!("{place}: {problem}"),
        })?;
        Ok(EtcdReplica {
            cluster: Arc::new(Cluster::new(grpc, url.endpoints, url.user)),
            prefix: url.prefix,
            place,
        })
    }

    fn key(&self, number: u64) -> Vec<u8> {
        format!("{}/log/{number:020}", self.prefix).into_bytes()
    }

    fn call(&self, method: Method, message: &[u8]) -> Result<Vec<u8>, ReplicaError> {
        let response = self.cluster.call(method, message);
        response.map_err(|failure| failure.into_error(&self.place))
    }

    fn unclear(&self, problem: &str) -> ReplicaError {
        Failure::NoAnswer(problem.to_owned()).into_error(&self.place)
    }

    /// The value in a response for the key of this chunk.
    fn value(&self, number: u64, listing: Listing) -> Result<Option<Vec<u8>>, ReplicaError> {
        let mut entries = listing.entries;
        match (entries.pop(), entries.is_empty()) {
            (None, _) => Ok(None),
            (Some((key, value)), true) if key == self.key(number) => Ok(Some(value)),
            _ => Err(self.unclear("the response is for another key")),
        }
    }

    fn listing(&self, method: Method, message: &[u8]) -> Result<Listing, ReplicaError> {
        Listing::parse(&self.call(method, message)?)
            .ok_or_else(|| self.unclear("the response is malformed"))
    }

    /// The numbers of the chunks from `from` on, up to the key `end`.
    fn numbers_until(&self, from: u64, end: &[u8]) -> Result<Vec<u64>, ReplicaError> {
        let (mut from, mut numbers) = (self.key(from), Vec::new());
        loop {
            let page = self.listing(RANGE, &wire::list(&from, end, PAGE_KEYS))?;
            for (key, _) in &page.entries {
                let number = self.number(key)?;
                if numbers.last().is_some_and(|&last| last >= number) {
                    return Err(self.unclear("the keys are out of order"));
                }
                numbers.push(number);
            }
            match page.entries.into_iter().next_back() {
                Some((last, _)) if page.more => from = after(last),
                _ => return Ok(numbers),
            }
        }
    }

    fn number(&self, key: &[u8]) -> Result<u64, ReplicaError> {
        let digits = key.strip_prefix(format!("{}/log/", self.prefix).as_bytes());
        let number = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        let number = number.filter(|&number| self.key(number) == key);
        number.ok_or_else(|| ReplicaError::Refused {
            what: format!(
                "{}: the key {} is not the key of a chunk; choose a prefix that nothing else uses",
                self.place,
                String::from_utf8_lossy(key)
            ),
        })
    }

    fn no_blobs(&self) -> ReplicaError {
        ReplicaError::Refused {
            what: format!(
                "{}: etcd cannot keep blobs; use log={},packs=s3://BUCKET/PREFIX",
                self.place, self.place
            ),
        }
    }
}

/// The key that follows a key.
fn after(mut key: Vec<u8>) -> Vec<u8> {
    key.push(0);
    key
}

impl Replica for EtcdReplica {
    fn create(&self, number: u64, chunk: &[u8]) -> Result<Created, ReplicaError> {
        let response = self.call(CREATE, &wire::create(&self.key(number), chunk))?;
        match CreateResponse::parse(&response) {
            Some(CreateResponse::Done) => Ok(Created::Done),
            Some(CreateResponse::Taken(listing)) => match self.value(number, listing)? {
                Some(value) => Ok(Created::Taken(value)),
                None => Err(self.unclear("the chunk neither exists nor was created")),
            },
            None => Err(self.unclear("the response is malformed")),
        }
    }

    fn read(&self, number: u64, wait: Duration) -> Result<Option<Vec<u8>>, ReplicaError> {
        let (start, request) = (Instant::now(), wire::get(&self.key(number)));
        loop {
            let found = self.value(number, self.listing(RANGE, &request)?)?;
            let left = wait.saturating_sub(start.elapsed());
            if found.is_some() || left.is_zero() {
                return Ok(found);
            }
            thread::sleep(left.min(POLL_INTERVAL));
        }
    }

    fn numbers(&self, from: u64) -> Result<Vec<u64>, ReplicaError> {
        // The byte after the slash.
        let end = format!("{}/log0", self.prefix);
        self.numbers_until(from, end.as_bytes())
    }

    fn trim(&self, below: u64, keep: &[u64]) -> Result<(), ReplicaError> {
        let numbers = self.numbers_until(0, &self.key(below))?;
        for batch in batches(&numbers, keep) {
            let range = |&(first, last): &(u64, u64)| (self.key(first), after(self.key(last)));
            let ranges: Vec<_> = batch.iter().map(range).collect();
            self.call(DELETE, &wire::delete(&ranges))?;
        }
        Ok(())
    }

    fn put(&self, _: &str, _: u64, _: &mut dyn Read) -> Result<(), ReplicaError> {
        Err(self.no_blobs())
    }

    fn get(&self, _: &str, _: Range<u64>, _: &mut dyn Write) -> Result<(), ReplicaError> {
        Err(self.no_blobs())
    }

    fn names(&self, _: &str) -> Result<Vec<(String, u64)>, ReplicaError> {
        Err(self.no_blobs())
    }

    fn remove(&self, _: &[String]) -> Result<(), ReplicaError> {
        Err(self.no_blobs())
    }

    fn scratch(&self) -> Result<Box<dyn Replica>, ReplicaError> {
        let random = random_number().map_err(|problem| self.unclear(&problem.to_string()))?;
        let below = format!("/scratch/{random:032x}");
        Ok(Box::new(EtcdReplica {
            cluster: self.cluster.clone(),
            prefix: format!("{}{below}", self.prefix),
            place: format!("{}{below}", self.place),
        }))
    }

    fn place(&self) -> String {
        self.place.clone()
    }
}

/// Ranges (first and last number) of the numbers that are not to be kept, for one transaction
/// each.
fn batches(numbers: &[u64], keep: &[u64]) -> Vec<Vec<(u64, u64)>> {
    let (mut batches, mut batch, mut keys) = (Vec::new(), Vec::new(), 0);
    let mut last_gap = None;
    for &number in numbers {
        // The number of kept chunks before it. A range must not span a kept chunk.
        let gap = match keep.binary_search(&number) {
            Ok(_) => continue,
            Err(gap) => gap,
        };
        let is_new = last_gap != Some(gap);
        if keys == DELETE_KEYS || is_new && batch.len() == DELETE_RANGES {
            batches.push(std::mem::take(&mut batch));
            keys = 0;
        }
        match batch.last_mut() {
            Some((_, last)) if !is_new => *last = number,
            _ => batch.push((number, number)),
        }
        last_gap = Some(gap);
        keys += 1;
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_to_delete_spare_what_is_kept() {
        assert!(batches(&[], &[1]).is_empty());
        assert!(batches(&[3], &[3]).is_empty());
        let numbers: Vec<u64> = (1..=9).collect();
        assert_eq!(batches(&numbers, &[1, 5]), [[(2, 4), (6, 9)]]);
        // A number that is kept although it is not listed.
        assert_eq!(batches(&[1, 3, 4], &[2]), [[(1, 1), (3, 4)]]);

        let numbers: Vec<u64> = (1..=5000).collect();
        let keep: Vec<u64> = (1..=5000).filter(|n| n % 7 == 0 && *n < 2500).collect();
        let batches = batches(&numbers, &keep);
        let mut deleted = Vec::new();
        for batch in &batches {
            let before = deleted.len();
            batch.iter().for_each(|&(a, b)| deleted.extend(a..=b));
            assert!(batch.len() <= DELETE_RANGES && deleted.len() - before <= DELETE_KEYS);
        }
        let expected = numbers.iter().filter(|n| !keep.contains(n)).copied();
        assert!(deleted.iter().copied().eq(expected));
    }

    #[test]
    fn blobs_are_refused_with_a_remedy() {
        let log = EtcdReplica::from_url("etcd://me:secret@a/p").unwrap();
        for error in [
            log.put("x", 0, &mut std::io::empty()).unwrap_err(),
            log.get("x", 0..1, &mut std::io::sink()).unwrap_err(),
            log.names("").unwrap_err(),
            log.remove(&[]).unwrap_err(),
        ] {
            let remedy = "use log=etcd://a:2379/p,packs=s3://";
            assert!(matches!(&error, ReplicaError::Refused { what } if what.contains(remedy)));
            assert!(!error.to_string().contains("secret"));
        }
        assert!(!format!("{log:?}").contains("secret"));
    }
}
