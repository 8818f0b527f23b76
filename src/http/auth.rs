//! Who may ask: the engine says so.
//!
//! Owns: [`Caller`], [`Token`], [`Access`], and when the engine is asked. Must not know:
//! what a token is.
//! Promise: the engine is asked before anything is looked up, so who is refused learns
//! nothing of what there is; no token is ever shown.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::http::HeaderMap;

use crate::error::Failure;

/// The header that carries the token.
const TOKEN_HEADER: &str = "x-auth-token";

/// Who asks for what: what the hook of [`Routes::authorize`](crate::http::Routes::authorize)
/// is given.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Caller {
    /// What the request has as its `X-Auth-Token`; `None` where there is none, more than
    /// one, or one that is no visible ASCII.
    pub token: Option<Token>,
    /// The project whose graph is asked for.
    pub project_id: String,
    /// What is to be done.
    pub action: Action,
}

/// What a caller wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// To see jobs: the list, or one job's state.
    Read,
    /// To call a job off.
    Cancel,
}

/// A token as it came; `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The text of the header.
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

/// What the engine says of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Go on.
    Granted,
    /// The token is missing, or not known: 401 `invalid or missing token`.
    Unknown,
    /// The token is another project's: 403 `no permission`.
    Refused,
}

type Answer = Pin<Box<dyn Future<Output = Access> + Send>>;

/// The engine's hook.
#[derive(Clone)]
pub(crate) struct Hook(Arc<dyn Fn(Caller) -> Answer + Send + Sync>);

impl Hook {
    pub(crate) fn new<H, F>(hook: H) -> Hook
    where
        H: Fn(Caller) -> F + Send + Sync + 'static,
        F: Future<Output = Access> + Send + 'static,
    {
        Hook(Arc::new(move |caller| Box::pin(hook(caller))))
    }

    pub(crate) async fn ask(
        &self,
        headers: &HeaderMap,
        project_id: &str,
        action: Action,
    ) -> Result<(), Failure> {
        let caller = Caller {
            token: token(headers),
            project_id: project_id.to_owned(),
            action,
        };
        let (status, code, message) = match (self.0)(caller).await {
            Access::Granted => return Ok(()),
            Access::Unknown => (401, "GES.8007", "invalid or missing token"),
            Access::Refused => (403, "GES.8020", "no permission"),
        };
        Err(Failure::new(status, code, message))
    }
}

fn token(headers: &HeaderMap) -> Option<Token> {
    let mut given = headers.get_all(TOKEN_HEADER).iter();
    let token = given.next()?.to_str().ok()?;
    // Of two, nobody knows which one counts.
    given.next().is_none().then(|| Token(token.to_owned()))
}
