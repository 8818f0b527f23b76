// A list as a client requests it, with a query string.

use std::str::FromStr;

use crate::model::error::{Error, Result};
use crate::model::id::excerpt_id;
use crate::model::job_query::JobQuery;
use crate::model::query_string::QueryString;

/// A list as a client of the HTTP API requests it: parsed from a query string, and passed to
/// [`Graph::list_requested`](crate::Graph::list_requested).
///
/// The parameters are those of the HTTP list: `offset`, `limit`, `job_id`, `state` and `outcome`
/// (each may be repeated, or contain several words separated by commas), `command`, `origin`,
/// `url_prefix`, `url_contains`, `body_contains` (may be repeated), `body_pointer` with `body_value`
/// (pairs, in order), `submitted_from`, `submitted_before`, `started_from`, `started_before`,
/// `completed_from`, `completed_before` (milliseconds since 1970 or RFC 3339),
/// `order=oldest_first|newest_first`, `cursor`, `limit_bytes`, `count_total=true`, and
/// `detail=true`. Values are percent-encoded.
///
/// # Errors
/// Parsing returns [`Error::InvalidParameter`], which names the parameter, for an unknown or
/// repeated parameter and for an invalid value; [`Error::InvalidCursor`].
///
/// # Examples
/// ```
/// use jobstore::{JobStore, ListRequest};
/// # let store = JobStore::in_memory()?;
/// # let movie = store.create_graph("10001", "movie")?;
/// let page = movie.list_requested("state=pending,running&limit=20".parse()?)?;
/// assert_eq!(page.to_json()?, br#"{"jobs":[],"result":"success"}"#);
/// let refused = "stat=pending".parse::<ListRequest>().unwrap_err();
/// assert!(refused.to_string().starts_with("unknown parameter \"stat\""));
/// # Ok::<(), jobstore::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ListRequest {
    /// The filter, the order, and the limits.
    pub query: JobQuery,
    /// The only job to list, if given. It cannot be combined with a filter or a cursor.
    pub job_id: Option<String>,
    /// Whether the list should show the details of each job
    /// ([`Page::detailed_chunks`](crate::Page::detailed_chunks)).
    pub detailed: bool,
}

impl ListRequest {
    /// Reads all parameters except `detail`.
    pub(crate) fn take(query: &mut QueryString) -> Result<ListRequest> {
        let page = query.page()?;
        let job_id = query.one("job_id")?;
        let list = query.job_query(page)?;
        let is_any = list.is_any() && list.cursor.is_none();
        if let Some(id) = job_id.as_deref().filter(|_| !is_any) {
            let id = excerpt_id(id);
            let problem = format!(
                "parameter job_id is {id:?}, which cannot be combined with a filter or a cursor; \
                 omit one or the other"
            );
            return Err(Error::InvalidParameter { problem });
        }
        Ok(ListRequest {
            query: list,
            job_id,
            detailed: false,
        })
    }
}

impl FromStr for ListRequest {
    type Err = Error;

    fn from_str(text: &str) -> Result<ListRequest> {
        let mut query = QueryString::parse(Some(text))?;
        let mut request = ListRequest::take(&mut query)?;
        request.detailed = query.flag("detail")?;
        query.end()?;
        Ok(request)
    }
}
