//! The console: a page for operators, embedded in the program.
//!
//! Contains [`Console`]. The page is plain HTML, CSS, and JavaScript (`web/`), and gets its data
//! from the routes of this crate, with the token of its user. It loads nothing from elsewhere. Files
//! other than the page itself have the version of their contents in their path, so a browser keeps
//! them until they change.

mod assets;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use self::assets::{Asset, Assets};
use crate::http::api_error::wrong_method;
use crate::http::encoding::Wanted;
use crate::http::routes::place;
use crate::model::api_error::ApiError;

/// What the page may load: only its own files, and the API of the same server.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

/// Headers of every response.
const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
];

/// The page is asked for again each time; its files never change.
const PAGE_CACHING: &str = "no-cache";
const ASSET_CACHING: &str = "public, max-age=31536000, immutable";

/// A console for operators, at `/console/`: a web page that shows the graphs and their jobs, and
/// cancels, completes, and purges jobs.
///
/// The page contains no data. It gets its data from the routes of [`Routes`](crate::http::Routes),
/// with the token that its user enters, so the hook decides what the user sees. What the page shows
/// depends on the routes that are mounted beside it.
///
/// The page loads nothing from other servers, and its `Content-Security-Policy` prevents that. It
/// sets no cookie.
///
/// # Examples
/// ```
/// use axum::Router;
/// use jobstore::http::{Console, Routes};
/// # let store = jobstore::JobStore::in_memory()?;
/// let routes = Routes::new(&store);
/// let jobs: Router = routes
///     .all()
///     .merge(routes.operations())
///     .merge(Console::new().router());
/// // The console is at /ops/console/, and uses the routes below /ops.
/// let app: Router = Router::new().nest("/ops", jobs);
/// # drop(app);
/// # Ok::<(), jobstore::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Console {
    api: String,
}

impl Default for Console {
    fn default() -> Console {
        Console::new()
    }
}

impl Console {
    /// Creates a console that uses the routes that are mounted beside it, under the same prefix.
    pub fn new() -> Console {
        Console {
            api: "..".to_owned(),
        }
    }

    /// Sets the URL below which the page finds the routes, if they are not mounted beside it. A
    /// relative URL is resolved against that of the page. The URL must be on the same server.
    ///
    /// # Examples
    /// ```
    /// use axum::Router;
    /// use jobstore::http::{Console, Routes};
    /// # let store = jobstore::JobStore::in_memory()?;
    /// let app: Router = Routes::new(&store)
    ///     .all()
    ///     .nest("/admin/jobs", Console::new().api("/").router());
    /// # drop(app);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn api(mut self, url: impl Into<String>) -> Console {
        self.api = url.into();
        self
    }

    /// Returns the router with the page, at `/console/`. `HEAD` is supported.
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        // A relative URL ends with a slash, so that paths can be appended.
        let api = match self.api.ends_with('/') {
            true => self.api.clone(),
            false => format!("{}/", self.api),
        };
        Router::new()
            .route("/console", get(to_directory).fallback(wrong_method))
            .route("/console/", get(page).fallback(wrong_method))
            .route(
                "/console/{version}/{*file}",
                get(file).fallback(wrong_method),
            )
            .with_state(Arc::new(Assets::new(&api)))
    }
}

/// Redirects to the page. The target is relative, because the prefix is not known here.
async fn to_directory() -> Response {
    let target = (header::LOCATION, HeaderValue::from_static("console/"));
    (StatusCode::PERMANENT_REDIRECT, [target]).into_response()
}

async fn page(State(assets): State<Arc<Assets>>, headers: HeaderMap) -> Response {
    respond(assets.page(), PAGE_CACHING, &headers)
}

async fn file(
    State(assets): State<Arc<Assets>>,
    path: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (version, file) = place(path)?;
    let asset = assets.file(&version, &file);
    let asset = asset.ok_or_else(ApiError::no_such_resource)?;
    Ok(respond(asset, ASSET_CACHING, &headers))
}

fn respond(asset: &Asset, caching: &'static str, headers: &HeaderMap) -> Response {
    let (encoding, text) = asset.encoded(Wanted::of(headers).assembled);
    let tag = asset.tag(encoding);
    let is_known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| {
        let known = known.to_str().unwrap_or_default();
        known.split(',').any(|known| {
            let known = known.trim();
            known == "*" || known.trim_start_matches("W/").as_bytes() == tag.as_bytes()
        })
    });
    let mut response = match is_known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => Response::new(Body::from(text)),
    };
    let values = response.headers_mut();
    for (name, value) in HEADERS {
        values.insert(name, HeaderValue::from_static(value));
    }
    values.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    values.insert(header::ETAG, tag);
    values.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if !is_known {
        values.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.kind));
        if let Some(encoding) = encoding.header() {
            values.insert(header::CONTENT_ENCODING, encoding);
        }
    }
    response
}
