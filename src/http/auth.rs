//! Authorization: the engine decides whether a caller may receive a response.
//!
//! Contains [`Caller`], [`Token`], and [`Access`]. The engine's hook is called before anything is
//! looked up, so a refused caller learns nothing about what exists. Tokens are never shown.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, Method};

use crate::model::api_error::ApiError;

/// The header that contains the token.
const TOKEN_HEADER: &str = "x-auth-token";

/// The caller and what it requests: the argument of the hook set by
/// [`Routes::authorize`](crate::http::Routes::authorize). `Debug` shows neither the token nor the
/// value of any header.
///
/// # Examples
/// A test of a hook:
/// ```
/// use jobstore::http::{Access, Permission, Caller, Token};
/// async fn hook(caller: Caller) -> Access {
///     match caller.headers.get("authorization") {
///         Some(value) if value == "Bearer s3cret" => Access::Granted,
///         _ => Access::Unauthenticated,
///     }
/// }
/// # futures::executor::block_on(async {
/// let mut caller = Caller::new(Permission::Read, "10001");
/// assert_eq!(hook(caller.clone()).await, Access::Unauthenticated);
/// caller.headers.insert("authorization", "Bearer s3cret".parse()?);
/// assert_eq!(hook(caller.clone()).await, Access::Granted);
/// caller.token = Some(Token::new("of another header"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Caller {
    /// The value of the header `X-Auth-Token`; `None` if the header is missing, repeated, or not
    /// visible ASCII.
    pub token: Option<Token>,
    /// The project of the requested graph; empty if the request concerns all projects
    /// ([`Permission::Observe`]), or lists or counts the jobs of all projects
    /// ([`Permission::Read`]).
    pub project_id: String,
    /// The requested graph, if any.
    pub graph_name: Option<String>,
    /// The job id in the path, if any.
    pub job_id: Option<String>,
    /// The permission that the request needs.
    pub permission: Permission,
    /// The request's method. If the caller asks which permissions it has, the usual method of a
    /// request that needs the permission.
    pub method: Method,
    /// All headers of the request.
    pub headers: HeaderMap,
    /// The extensions that the engine's own layers have attached to the request, such as a peer's
    /// certificate.
    pub extensions: Extensions,
}

impl Caller {
    /// Creates a caller with only these fields set, for testing a hook.
    #[must_use]
    pub fn new(permission: Permission, project_id: impl Into<String>) -> Caller {
        Caller {
            token: None,
            project_id: project_id.into(),
            graph_name: None,
            job_id: None,
            permission,
            method: match permission {
                Permission::Cancel => Method::DELETE,
                Permission::Complete | Permission::Purge => Method::POST,
                Permission::Read | Permission::Export | Permission::Observe => Method::GET,
            },
            headers: HeaderMap::new(),
            extensions: Extensions::new(),
        }
    }

    pub(crate) fn of(parts: &Parts, permission: Permission, project_id: &str) -> Caller {
        Caller {
            token: token(&parts.headers),
            method: parts.method.clone(),
            headers: parts.headers.clone(),
            extensions: parts.extensions.clone(),
            ..Caller::new(permission, project_id)
        }
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("token", &self.token)
            .field("project_id", &self.project_id)
            .field("graph_name", &self.graph_name)
            .field("job_id", &self.job_id)
            .field("permission", &self.permission)
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

/// What a caller wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Permission {
    /// Reading jobs: lists, single jobs, searches, and the change feed.
    Read,
    /// Canceling a job, or all jobs that match a filter.
    Cancel,
    /// Completing a job that has no worker any more.
    Complete,
    /// Purging complete jobs, or changing the retention policy.
    Purge,
    /// Exporting the jobs of a graph.
    Export,
    /// Reading the statistics and the retention policy of a graph. For all projects, with an empty
    /// [`Caller::project_id`]: the health, metrics, and statistics of the store. Counting jobs by what
    /// their requests contain, or by origin, needs [`Permission::Read`].
    Observe,
}

impl Permission {
    /// All permissions.
    pub const ALL: [Permission; 6] = [
        Permission::Read,
        Permission::Cancel,
        Permission::Complete,
        Permission::Purge,
        Permission::Export,
        Permission::Observe,
    ];

    /// Returns the permission as a word in lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Permission::Read => "read",
            Permission::Cancel => "cancel",
            Permission::Complete => "complete",
            Permission::Purge => "purge",
            Permission::Export => "export",
            Permission::Observe => "observe",
        }
    }
}

/// A token as the client sent it; `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Creates a token, for testing a hook.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Token {
        Token(text.into())
    }

    /// Returns the value of the header.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(******)")
    }
}

/// The engine's decision about a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// The caller may receive the response.
    Granted,
    /// The token is missing or unknown: 401 `invalid or missing token`.
    Unauthenticated,
    /// The token belongs to another project: 403 `no permission`.
    Forbidden,
}

type AccessFuture = Pin<Box<dyn Future<Output = Access> + Send>>;

/// The engine's hook.
#[derive(Clone)]
pub(crate) struct Hook(Arc<dyn Fn(Caller) -> AccessFuture + Send + Sync>);

impl Hook {
    pub(crate) fn new<H, F>(hook: H) -> Hook
    where
        H: Fn(Caller) -> F + Send + Sync + 'static,
        F: Future<Output = Access> + Send + 'static,
    {
        Hook(Arc::new(move |caller| Box::pin(hook(caller))))
    }

    pub(crate) async fn ask(&self, caller: Caller) -> Result<(), ApiError> {
        match (self.0)(caller).await {
            Access::Granted => Ok(()),
            Access::Unauthenticated => Err(ApiError::unauthenticated()),
            Access::Forbidden => Err(ApiError::forbidden()),
        }
    }
}

fn token(headers: &HeaderMap) -> Option<Token> {
    let mut given = headers.get_all(TOKEN_HEADER).iter();
    let token = given.next()?.to_str().ok()?;
    // If there are two tokens, it is unclear which one is meant.
    given.next().is_none().then(|| Token(token.to_owned()))
}
