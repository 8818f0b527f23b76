//! The compared stores: the columns of the tables, in order.

mod environment;
mod fjall;
mod jobstore;
mod lmdb;
mod redb;
mod sled;
mod sqlite;
mod tasks;

use crate::machine::package_version;
use crate::store::Kind;

pub static KINDS: [Kind; 8] = [
    Kind {
        name: "jobstore",
        key: "jobstore",
        only_pages: false,
        open: jobstore::open,
        version: || Ok(format!("jobstore {}", package_version("jobstore")?)),
    },
    Kind {
        name: "SQLite",
        key: "sqlite",
        only_pages: false,
        open: sqlite::open,
        version: || {
            let package = package_version("rusqlite")?;
            Ok(format!(
                "SQLite {} (rusqlite {package})",
                rusqlite::version()
            ))
        },
    },
    Kind {
        name: "SQLite by key",
        key: "sqlite",
        only_pages: true,
        open: sqlite::open_by_key,
        version: || Ok(String::new()),
    },
    Kind {
        name: "redb",
        key: "redb",
        only_pages: false,
        open: redb::open,
        version: || Ok(format!("redb {}", package_version("redb")?)),
    },
    Kind {
        name: "LMDB",
        key: "lmdb",
        only_pages: false,
        open: lmdb::open,
        version: || {
            let (package, lmdb) = (package_version("heed")?, heed::lmdb_version());
            Ok(format!(
                "LMDB {}.{}.{} (heed {package})",
                lmdb.major, lmdb.minor, lmdb.patch
            ))
        },
    },
    Kind {
        name: "fjall",
        key: "fjall",
        only_pages: false,
        open: fjall::open,
        version: || Ok(format!("fjall {}", package_version("fjall")?)),
    },
    Kind {
        name: "sled",
        key: "sled",
        only_pages: false,
        open: sled::open,
        version: || Ok(format!("sled {}", package_version("sled")?)),
    },
    Kind {
        name: "tasks",
        key: "tasks",
        only_pages: false,
        open: tasks::open,
        version: || {
            Ok(format!(
                "tasks on LMDB with roaring {}",
                package_version("roaring")?
            ))
        },
    },
];
