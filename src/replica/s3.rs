// A replica in S3-compatible object storage.

mod blobs;
mod builder;
mod client;
pub(crate) mod environment;
pub(crate) mod failure;
mod objects;
mod polling;
mod profile;
pub(crate) mod settings;
mod transport;

use std::fmt;
use std::io::{Read, Write};
use std::ops::Range;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};

use crate::base::random::random_number;
use crate::model::replica::{Created, Replica, ReplicaError};
use crate::replica::url::S3Url;
pub use builder::S3ReplicaBuilder;
use client::Client;
use environment::Environment;
use failure::{Failure, observed};
use objects::{Listing, remove};
use polling::Polling;
use settings::Settings;

/// Where the chunks are, below the prefix; a chunk is not a blob.
const LOG: &str = "log/";
/// Where `scratch` creates its places.
const PROBE: &str = "probe/";
/// No chunk is this large; a larger object is not read into memory.
const MAX_CHUNK_BYTES: u64 = 1 << 30;
const MAX_KEY_BYTES: usize = 1024;

/// A [`Replica`] in a bucket of Amazon S3, or of a server with the same interface, such as Ceph
/// RGW or MinIO.
///
/// The server must support conditional writes (`PutObject` with the header `If-None-Match: *`), and
/// must apply them atomically. Some servers ignore the header, and some check it before they write:
/// with either kind, two stores could write to one replica. [`prove`](crate::replica::prove())
/// detects this.
///
/// # Objects
/// Chunk *n* is the object `PREFIX/log/` followed by *n* with 20 digits, and a blob is the object
/// `PREFIX/NAME`. [`Replica::scratch`] uses `PREFIX/probe/`. Nothing outside the prefix is read or
/// written. Objects contain requests as submitted, with their secrets: encrypt the bucket, and
/// restrict who can read it. If versioning is enabled on the bucket, purged jobs remain in old
/// versions.
///
/// # Configuration
/// A URL `s3://BUCKET/PREFIX`; everything else is configured as for the AWS command-line interface,
/// or with a [builder](S3Replica::builder):
///
/// | what | where |
/// |---|---|
/// | server | `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`, `endpoint_url` of the profile; by default, AWS |
/// | region | `AWS_REGION`, `AWS_DEFAULT_REGION`, `region` of the profile; by default, `us-east-1` |
/// | access key | `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, and, if temporary, `AWS_SESSION_TOKEN` |
/// | profile | `AWS_PROFILE`; by default, `default`; in `~/.aws/credentials` (`AWS_SHARED_CREDENTIALS_FILE`) and `~/.aws/config` (`AWS_CONFIG_FILE`), which are read again every minute |
/// | web identity | `AWS_WEB_IDENTITY_TOKEN_FILE`, `AWS_ROLE_ARN` |
/// | container | `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`; or `AWS_CONTAINER_CREDENTIALS_FULL_URI` and `AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE` |
/// | instance metadata | last; not if `AWS_EC2_METADATA_DISABLED` is `true` |
/// | bucket in the host name | `AWS_VIRTUAL_HOSTED_STYLE_REQUEST`; by default, only with AWS |
/// | encryption at rest | `AWS_SERVER_SIDE_ENCRYPTION`, `AWS_SSE_KMS_KEY_ID`; by default, as the bucket is configured |
/// | certificates | those of the system, and `AWS_CA_BUNDLE` |
/// | proxy | `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`; not for a server on the same host |
///
/// # Permissions
/// This policy is sufficient. Without `s3:ListBucket`, AWS reports a missing object as forbidden.
/// With SSE-KMS, writers also need `kms:GenerateDataKey` and `kms:Decrypt` for the key, and followers
/// need `kms:Decrypt`.
///
/// ```json
/// {
///   "Version": "2012-10-17",
///   "Statement": [
///     {
///       "Effect": "Allow",
///       "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
///       "Resource": "arn:aws:s3:::BUCKET/PREFIX/*"
///     },
///     {
///       "Effect": "Allow",
///       "Action": "s3:ListBucket",
///       "Resource": "arn:aws:s3:::BUCKET",
///       "Condition": { "StringLike": { "s3:prefix": "PREFIX/*" } }
///     }
///   ]
/// }
/// ```
///
/// # Cost
/// | call | requests |
/// |---|---|
/// | `create` | 1 PUT, and 1 GET if the chunk exists |
/// | `read` | 1 GET if the chunk exists; a follower makes 4 GET per second while the log does not grow, otherwise one per chunk and up to 12 per second |
/// | `numbers` | 1 LIST per 1000 chunks |
/// | `trim` | 1 LIST per 1000 chunks below the number, 1 DELETE per chunk removed |
/// | `put` | 1 PUT up to 8 MiB; otherwise, 2 POST, and 1 PUT per 8 MiB |
/// | `get` | 1 GET |
/// | `names` | 1 LIST per 1000 objects in the directory of the prefix |
/// | `remove` | 1 DELETE per blob |
///
/// A PUT that creates a chunk is never repeated by this type. Other requests are repeated up to 3
/// times if the server does not respond or is overloaded. A connection attempt times out after 5 s,
/// and a request after 30 s plus 1 s per MiB. A transfer of a blob needs up to 24 MiB of memory.
///
/// If an upload is interrupted because the process ends, its parts stay in the bucket: add a
/// lifecycle rule with `AbortIncompleteMultipartUpload`.
///
/// The requests are made on a thread `jobstore-s3`, which ends when the replica is dropped. The
/// calls may come from any thread.
///
/// # Examples
/// ```no_run
/// use jobstore::replica::{Created, Replica, S3Replica};
/// let replica = S3Replica::from_url("s3://jobs/engine-1")?; // from the environment
/// assert_eq!(replica.create(1, b"the first chunk")?, Created::Done);
/// # Ok::<(), jobstore::replica::ReplicaError>(())
/// ```
#[derive(Clone)]
pub struct S3Replica {
    client: Arc<Client>,
    polling: Arc<Polling>,
    url: S3Url,
}

// The client contains credentials.
impl fmt::Debug for S3Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3Replica({})", self.place())
    }
}

impl S3ReplicaBuilder {
    /// Builds the replica. Sends no request, unless no credentials are configured: then it asks the
    /// instance metadata service for them.
    ///
    /// # Errors
    /// [`ReplicaError::Refused`] if the URL or a setting is invalid, or if there are no
    /// credentials.
    pub fn build(self) -> Result<S3Replica, ReplicaError> {
        let settings = Settings::resolve(&self, &Environment::of_process())?;
        Ok(S3Replica {
            client: Arc::new(Client::connect(&settings)?),
            polling: Arc::default(),
            url: settings.url,
        })
    }
}

impl S3Replica {
    /// Returns the replica at `s3://BUCKET/PREFIX`, as configured by the environment.
    ///
    /// # Errors
    /// As for [`S3ReplicaBuilder::build`].
    pub fn from_url(url: &str) -> Result<S3Replica, ReplicaError> {
        S3Replica::builder(url).build()
    }

    /// Begins to configure the replica at `s3://BUCKET/PREFIX`.
    pub fn builder(url: &str) -> S3ReplicaBuilder {
        S3ReplicaBuilder::new(url)
    }

    fn key(&self, name: &str) -> Path {
        match self.url.prefix.as_str() {
            "" => Path::from(name),
            prefix => Path::from(format!("{prefix}/{name}")),
        }
    }

    fn chunk_key(&self, number: u64) -> Path {
        self.key(&format!("{LOG}{number:020}"))
    }

    fn blob_key(&self, name: &str) -> Result<Path, Failure> {
        let in_name = |c: char| c.is_ascii_alphanumeric() || "/.-_".contains(c);
        let is_segment = |segment: &str| !matches!(segment, "" | "." | "..");
        let key = self.key(name);
        let is_valid = name.chars().all(in_name)
            && name.split('/').all(is_segment)
            && !is_reserved(name)
            && key.as_ref().len() <= MAX_KEY_BYTES;
        is_valid.then_some(key).ok_or_else(|| {
            Failure::Refused(format!(
                "invalid name; use ASCII letters, digits, and .-_, separated by single slashes, \
                 not under {LOG} or {PROBE}, at most {MAX_KEY_BYTES} bytes with the prefix"
            ))
        })
    }

    /// The name of the object with this key, below the prefix.
    fn name<'a>(&self, key: &'a Path) -> Option<&'a str> {
        match self.url.prefix.as_str() {
            "" => Some(key.as_ref()),
            prefix => key.as_ref().strip_prefix(prefix)?.strip_prefix('/'),
        }
    }

    /// The number of the chunk with this key.
    fn number(&self, key: &Path) -> Option<u64> {
        let digits = self.name(key)?.strip_prefix(LOG)?;
        let is_number = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit());
        digits.parse().ok().filter(|_| is_number)
    }

    fn fetch(&self, number: u64) -> Result<Option<Vec<u8>>, Failure> {
        let (store, key) = (self.client.store.clone(), self.chunk_key(number));
        let get = async move { store.get(&key).await };
        let found = match self.client.run(0, observed(get)) {
            Err(failure) if failure.is_missing() => return Ok(None),
            found => found?,
        };
        let len = found.meta.size;
        if len > MAX_CHUNK_BYTES {
            return Err(Failure::Refused(format!(
                "it has {len} bytes; at most {MAX_CHUNK_BYTES} are allowed in a chunk"
            )));
        }
        let bytes = self.client.run(len, observed(found.bytes()))?;
        Ok(Some(bytes.into()))
    }

    fn result<T>(
        &self,
        result: Result<T, Failure>,
        what: impl FnOnce() -> String,
    ) -> Result<T, ReplicaError> {
        result.map_err(|failure| failure.into_error(&self.place(), &what()))
    }
}

fn is_reserved(name: &str) -> bool {
    name.starts_with(LOG) || name.starts_with(PROBE)
}

impl Replica for S3Replica {
    fn create(&self, number: u64, chunk: &[u8]) -> Result<Created, ReplicaError> {
        let what = || format!("create chunk {number}");
        let (creator, key) = (self.client.creator.clone(), self.chunk_key(number));
        let payload = PutPayload::from(chunk.to_vec());
        let options = PutOptions::from(PutMode::Create);
        let put = async move { creator.put_opts(&key, payload, options).await };
        match self.client.run(chunk.len() as u64, observed(put)) {
            Ok(_) => return Ok(Created::Done),
            Err(failure) if failure.is_conflict() => {}
            Err(failure) if failure.is_unsupported() => {
                let text = "the server does not support conditional writes (If-None-Match); use \
                            one that does";
                return self.result(Err(Failure::Refused(text.to_owned())), what);
            }
            Err(failure) => return self.result(Err(failure), what),
        }
        // The chunk that exists may be this one: a server can store it, and then report a conflict.
        // So, until it is read, the result is unknown, even if reading is refused.
        match self.fetch(number) {
            Ok(Some(existing)) => Ok(Created::Taken(existing)),
            Ok(None) => {
                let text = "the server reported that it exists, but does not return it";
                self.result(Err(Failure::NoAnswer(text.to_owned())), what)
            }
            Err(failure) => Err(ReplicaError::Unknown {
                what: failure.into_error(&self.place(), &what()).to_string(),
            }),
        }
    }

    fn read(&self, number: u64, wait: Duration) -> Result<Option<Vec<u8>>, ReplicaError> {
        let begin = Instant::now();
        let mut pauses = self.polling.pauses();
        loop {
            let chunk = self.result(self.fetch(number), || format!("read chunk {number}"))?;
            if chunk.is_some() {
                self.polling.found();
                return Ok(chunk);
            }
            let left = wait.saturating_sub(begin.elapsed());
            if left.is_zero() {
                return Ok(None);
            }
            thread::sleep(pauses.next().map_or(left, |pause| pause.min(left)));
        }
    }

    fn numbers(&self, from: u64) -> Result<Vec<u64>, ReplicaError> {
        let list = || {
            let after = from.checked_sub(1).map(|number| self.chunk_key(number));
            let mut listing = Listing::new(&self.client, &self.key(LOG), after.as_ref());
            let mut numbers = Vec::new();
            while let Some(page) = listing.next_page()? {
                let found = page
                    .iter()
                    .filter_map(|object| self.number(&object.location));
                numbers.extend(found.filter(|&number| number >= from));
            }
            numbers.sort_unstable();
            Ok(numbers)
        };
        self.result(list(), || format!("list the chunks from {from} on"))
    }

    fn trim(&self, below: u64, keep: &[u64]) -> Result<(), ReplicaError> {
        let trim = || {
            let mut listing = Listing::new(&self.client, &self.key(LOG), None);
            while let Some(page) = listing.next_page()? {
                let number = |object: &object_store::ObjectMeta| self.number(&object.location);
                let numbers = page.iter().filter_map(number);
                let is_below =
                    |number: &u64| *number < below && keep.binary_search(number).is_err();
                let surplus: Vec<_> = numbers
                    .filter(is_below)
                    .map(|n| self.chunk_key(n))
                    .collect();
                remove(&self.client, &surplus)?;
                // The server lists in order.
                if page.iter().filter_map(number).any(|number| number >= below) {
                    break;
                }
            }
            Ok(())
        };
        self.result(trim(), || format!("remove the chunks below {below}"))
    }

    fn put(&self, name: &str, len: u64, from: &mut dyn Read) -> Result<(), ReplicaError> {
        let key = self.blob_key(name);
        let stored = key.and_then(|key| blobs::put(&self.client, &key, len, from));
        self.result(stored, || format!("store {name}"))
    }

    fn get(&self, name: &str, range: Range<u64>, to: &mut dyn Write) -> Result<(), ReplicaError> {
        let key = self.blob_key(name);
        match key.and_then(|key| blobs::get(&self.client, &key, range, to)) {
            Err(failure) if failure.is_missing() => Err(ReplicaError::Missing {
                name: name.to_owned(),
            }),
            got => self.result(got, || format!("read {name}")),
        }
    }

    fn names(&self, prefix: &str) -> Result<Vec<(String, u64)>, ReplicaError> {
        let list = || {
            let directory = prefix
                .rsplit_once('/')
                .map_or("", |(directory, _)| directory);
            let mut listing = Listing::new(&self.client, &self.key(directory), None);
            let mut names = Vec::new();
            while let Some(page) = listing.next_page()? {
                let found = page.iter().filter_map(|object| {
                    let name = self.name(&object.location)?;
                    let is_blob = name.starts_with(prefix) && !is_reserved(name);
                    is_blob.then(|| (name.to_owned(), object.size))
                });
                names.extend(found);
            }
            names.sort_unstable();
            Ok(names)
        };
        self.result(list(), || format!("list the blobs {prefix}*"))
    }

    fn remove(&self, names: &[String]) -> Result<(), ReplicaError> {
        let keys: Result<Vec<_>, _> = names.iter().map(|name| self.blob_key(name)).collect();
        let removed = keys.and_then(|keys| remove(&self.client, &keys));
        self.result(removed, || format!("remove {} blobs", names.len()))
    }

    fn scratch(&self) -> Result<Box<dyn Replica>, ReplicaError> {
        let random = random_number().map_err(|problem| Failure::Refused(problem.to_string()));
        let random = self.result(random, || "choose a name for the test objects".to_owned())?;
        let name = format!("{PROBE}{random:032x}");
        Ok(Box::new(S3Replica {
            client: self.client.clone(),
            polling: Arc::default(),
            url: S3Url {
                bucket: self.url.bucket.clone(),
                prefix: self.key(&name).to_string(),
            },
        }))
    }

    fn place(&self) -> String {
        self.url.place()
    }
}
