// Lists and removes objects.

use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use super::client::Client;
use super::failure::{Failure, observed};

/// The number of objects that a server returns at once.
const PAGE: usize = 1000;
/// Requests at a time. The request that removes many objects is not supported by every server.
const REMOVALS_IN_FLIGHT: usize = 16;

/// A list of objects in the order of their keys, which is read in pages.
pub(crate) struct Listing<'a> {
    client: &'a Client,
    rest: Option<BoxStream<'static, object_store::Result<ObjectMeta>>>,
}

impl<'a> Listing<'a> {
    /// Lists the objects in a directory whose keys are greater than `after`.
    pub(crate) fn new(client: &'a Client, directory: &Path, after: Option<&Path>) -> Listing<'a> {
        let directory = Some(directory).filter(|path| !path.as_ref().is_empty());
        Listing {
            client,
            rest: Some(match after {
                Some(after) => client.store.list_with_offset(directory, after),
                None => client.store.list(directory),
            }),
        }
    }

    /// Returns the next objects, or `None` at the end.
    pub(crate) fn next_page(&mut self) -> Result<Option<Vec<ObjectMeta>>, Failure> {
        let Some(mut rest) = self.rest.take() else {
            return Ok(None);
        };
        let read = async move {
            let mut page = Vec::with_capacity(PAGE);
            while page.len() < PAGE {
                match rest.try_next().await? {
                    Some(object) => page.push(object),
                    None => return Ok((page, None)),
                }
            }
            Ok((page, Some(rest)))
        };
        let (page, rest) = self.client.run(0, observed(read))?;
        self.rest = rest;
        Ok(Some(page))
    }
}

/// Removes objects. Those that do not exist are ignored.
pub(crate) fn remove(client: &Client, keys: &[Path]) -> Result<(), Failure> {
    for keys in keys.chunks(PAGE) {
        let (store, keys) = (client.store.clone(), keys.to_vec());
        client.run(0, async move {
            let removals = stream::iter(keys).map(|key| {
                let store = store.clone();
                observed(async move { store.delete(&key).await })
            });
            let mut removals = removals.buffer_unordered(REMOVALS_IN_FLIGHT);
            while let Some(result) = removals.next().await {
                match result {
                    Err(failure) if !failure.is_missing() => return Err(failure),
                    _ => {}
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}
