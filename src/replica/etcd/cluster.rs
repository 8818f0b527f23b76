//! Calls of a cluster: they go to any node that answers, with a token if one is needed.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use reqwest::header::HeaderValue;

use super::failure::Failure;
use super::grpc::{AUTHENTICATE, Grpc, Method};
use super::url::User;
use super::wire;

pub(super) struct Cluster {
    grpc: Grpc,
    endpoints: Vec<String>,
    /// The position of the node that answered last, modulo their number.
    current: AtomicUsize,
    /// The id of the cluster that answered first. Another one has other chunks.
    id: OnceLock<u64>,
    user: Option<User>,
    /// The user's token, which expires. It is `Some(None)` if authentication is not enabled.
    token: Mutex<Option<Option<HeaderValue>>>,
}

impl Cluster {
    pub(super) fn new(grpc: Grpc, endpoints: Vec<String>, user: Option<User>) -> Cluster {
        Cluster {
            grpc,
            endpoints,
            current: AtomicUsize::new(0),
            id: OnceLock::new(),
            user,
            token: Mutex::new(None),
        }
    }

    pub(super) fn call(&self, method: Method, message: &[u8]) -> Result<Vec<u8>, Failure> {
        let Some(user) = &self.user else {
            return self.try_nodes(method, None, message);
        };
        let known = self.token.lock().clone();
        let token = match known {
            Some(token) => token,
            None => self.authenticate(user)?,
        };
        match self.try_nodes(method, token, message) {
            // The request was refused before it was executed, so that it may be sent again.
            Err(failure) if failure.is_about_token() => {
                let token = self.authenticate(user)?;
                self.try_nodes(method, token, message)
            }
            result => result,
        }
    }

    /// Gets a token; `None` if authentication is not enabled.
    fn authenticate(&self, user: &User) -> Result<Option<HeaderValue>, Failure> {
        let message = wire::authenticate(&user.name, &user.password);
        let token = match self.try_nodes(AUTHENTICATE, None, &message) {
            Ok(response) => Some(
                wire::token(&response)
                    .and_then(|token| HeaderValue::from_bytes(token).ok())
                    .ok_or_else(|| Failure::NoAnswer("there is no valid token".to_owned()))?,
            ),
            Err(failure) if failure.says("authentication is not enabled") => None,
            Err(failure) => return Err(failure),
        };
        *self.token.lock() = Some(token.clone());
        Ok(token)
    }

    /// Sends a request to one node after the other until one answers. A request that cannot be
    /// repeated is sent to one node only.
    fn try_nodes(
        &self,
        method: Method,
        token: Option<HeaderValue>,
        message: &[u8],
    ) -> Result<Vec<u8>, Failure> {
        let mut left = self.endpoints.len();
        loop {
            let at = self.current.load(Ordering::Relaxed);
            let endpoint = &self.endpoints[at % self.endpoints.len()];
            let response = self.grpc.call(endpoint, method, token.clone(), message);
            let failure = match response.and_then(|response| self.verify(endpoint, response)) {
                Ok(response) => return Ok(response),
                Err(failure) => failure,
            };
            let was_received = matches!(failure, Failure::NoAnswer(_) | Failure::Status { .. });
            let is_final = was_received && !failure.is_temporary() || failure.is_about_token();
            if is_final {
                return Err(failure);
            }
            // Unless another call has already moved on.
            let next = at.wrapping_add(1);
            let (set, read) = (Ordering::Relaxed, Ordering::Relaxed);
            let _ = self.current.compare_exchange(at, next, set, read);
            left -= 1;
            if left == 0 || was_received && !method.is_repeatable {
                return Err(failure);
            }
        }
    }

    /// Returns a response if it comes from the cluster that answered before.
    fn verify(&self, endpoint: &str, response: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let id = wire::cluster_id(&response);
        let id = id.ok_or_else(|| Failure::NoAnswer(format!("{endpoint}: no cluster id")))?;
        let known = *self.id.get_or_init(|| id);
        if id != known {
            return Err(Failure::NoAnswer(format!(
                "{endpoint} is in cluster {id:x}, although cluster {known:x} answered before; use \
                 nodes of one cluster, and open the store again if the cluster was restored"
            )));
        }
        Ok(response)
    }
}
