//! `etcd://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]...]/PREFIX`, and `etcds://` with TLS.

use percent_encoding::percent_decode_str;

use crate::model::replica::ReplicaError;
use crate::replica::url::invalid;

const FORM: &str = "use etcd://HOST:PORT,HOST:PORT,HOST:PORT/PREFIX, or etcds:// for TLS";
const DEFAULT_PORT: &str = "2379";
const MAX_PREFIX_BYTES: usize = 512;

/// What is wrong with a URL, and the remedy.
type Invalid = (&'static str, &'static str);

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Url {
    /// Hosts and ports.
    pub(super) endpoints: Vec<String>,
    /// Without slashes at its ends.
    pub(super) prefix: String,
    pub(super) user: Option<User>,
    /// Whether connections are encrypted.
    pub(super) tls: Option<Tls>,
}

#[derive(PartialEq, Eq)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) password: String,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("User")
    }
}

/// Paths of files in PEM format.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tls {
    /// Certificates of authorities; those of the system if absent.
    pub(super) ca: Option<String>,
    /// A certificate and its key.
    pub(super) client: Option<(String, String)>,
}

impl Url {
    /// Parses a URL. What it lacks is taken from the variables of `etcdctl`.
    pub(super) fn parse(
        url: &str,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Url, ReplicaError> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        Url::parsed(url, &variable).map_err(|(problem, remedy)| invalid(url, problem, remedy))
    }

    fn parsed(url: &str, variable: &impl Fn(&str) -> Option<String>) -> Result<Url, Invalid> {
        let (is_tls, rest) = match (url.strip_prefix("etcd://"), url.strip_prefix("etcds://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return Err(("it does not begin with etcd:// or etcds://", FORM)),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        if rest.contains('@') {
            let remedy = "percent-encode /, ?, # and @ in the user name and the password";
            return Err(("it has an @ after the hosts", remedy));
        }
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (Some(parse_user(user)?), hosts),
            None => (None, authority),
        };
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let parameters = Parameters::parse(query)?;
        let tls = match is_tls {
            true => Some(parameters.tls(variable)?),
            false if parameters == Parameters::default() => None,
            false => return Err(("it has parameters for TLS", "use etcds://")),
        };
        Ok(Url {
            endpoints: hosts.split(',').map(endpoint).collect::<Result<_, _>>()?,
            prefix: prefix(path)?,
            user: user.or_else(|| user_of_environment(variable)),
            tls,
        })
    }

    /// The URL without credentials and file names.
    pub(super) fn place(&self) -> String {
        let scheme = if self.tls.is_some() { "etcds" } else { "etcd" };
        format!("{scheme}://{}/{}", self.endpoints.join(","), self.prefix)
    }
}

fn decode(text: &str) -> Result<String, Invalid> {
    let decoded = percent_decode_str(text).decode_utf8();
    let decoded = decoded.map_err(|_| ("it has a percent-encoding that is not UTF-8", FORM));
    decoded.map(String::from)
}

fn parse_user(user: &str) -> Result<User, Invalid> {
    let form = "use etcd://USER:PASSWORD@HOST/PREFIX, or set ETCDCTL_USER and ETCDCTL_PASSWORD";
    let Some((name, password)) = user.split_once(':') else {
        return Err(("it has a user name without a password", form));
    };
    Ok(User {
        name: decode(name)?,
        password: decode(password)?,
    })
}

/// `ETCDCTL_USER` may contain the password, after a colon.
fn user_of_environment(variable: impl Fn(&str) -> Option<String>) -> Option<User> {
    let user = variable("ETCDCTL_USER")?;
    let (name, password) = match variable("ETCDCTL_PASSWORD") {
        Some(password) => (user, password),
        None => {
            let (name, password) = user.split_once(':').unwrap_or((&user, ""));
            (name.to_owned(), password.to_owned())
        }
    };
    Some(User { name, password })
}

fn endpoint(host: &str) -> Result<String, Invalid> {
    // The port follows the last colon, unless that is in the brackets of an IPv6 address.
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, port),
        _ => (host, DEFAULT_PORT),
    };
    let inner = match name.strip_prefix('[') {
        Some(address) => address
            .strip_suffix(']')
            .filter(|address| address.parse::<std::net::Ipv6Addr>().is_ok()),
        None => Some(name).filter(|name| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            !name.is_empty() && name.chars().all(allowed)
        }),
    };
    match (inner, port.parse::<u16>()) {
        (Some(_), Ok(1..)) => Ok(format!("{name}:{port}")),
        _ => Err(("it has an invalid host or port", FORM)),
    }
}

fn prefix(path: &str) -> Result<String, Invalid> {
    let prefix = path.trim_matches('/');
    let is_segment = |segment: &str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        !segment.is_empty() && segment.chars().all(allowed)
    };
    if prefix.is_empty() {
        let remedy = "append a prefix for the keys of this store, such as /jobs";
        return Err(("it has no prefix", remedy));
    }
    if !prefix.split('/').all(is_segment) || prefix.len() > MAX_PREFIX_BYTES {
        return Err((
            "it has an invalid prefix",
            "use at most 512 ASCII letters, digits, and .-_, separated by single slashes",
        ));
    }
    Ok(prefix.to_owned())
}

#[derive(Default, PartialEq, Eq)]
struct Parameters {
    ca: Option<String>,
    cert: Option<String>,
    key: Option<String>,
}

impl Parameters {
    fn parse(query: &str) -> Result<Parameters, Invalid> {
        let mut parameters = Parameters::default();
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let place = match name {
                "ca" => &mut parameters.ca,
                "cert" => &mut parameters.cert,
                "key" => &mut parameters.key,
                _ => {
                    let remedy = "the parameters are ca, cert, and key, which name files";
                    return Err(("it has an unknown parameter", remedy));
                }
            };
            *place = Some(decode(value)?);
        }
        Ok(parameters)
    }

    fn tls(self, variable: impl Fn(&str) -> Option<String>) -> Result<Tls, Invalid> {
        let or = |file: Option<String>, name: &str| file.or_else(|| variable(name));
        let client = match (or(self.cert, "ETCDCTL_CERT"), or(self.key, "ETCDCTL_KEY")) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => {
                let problem = "a client certificate needs a key, and a key a certificate";
                return Err((problem, "set cert and key, or neither"));
            }
        };
        Ok(Tls {
            ca: or(self.ca, "ETCDCTL_CACERT"),
            client,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Url, String> {
        Url::parse(url, |_| None).map_err(|error| error.to_string())
    }

    fn user(name: &str, password: &str) -> Option<User> {
        let (name, password) = (name.to_owned(), password.to_owned());
        Some(User { name, password })
    }

    #[test]
    fn urls_are_parsed() {
        let url = parse("etcd://a:2379,b,[::1]:1/jobs/x/").unwrap();
        assert_eq!(url.endpoints, ["a:2379", "b:2379", "[::1]:1"]);
        assert_eq!((url.prefix.as_str(), &url.user), ("jobs/x", &None));
        assert_eq!(url.place(), "etcd://a:2379,b:2379,[::1]:1/jobs/x");

        let url = parse("etcds://me:p%40%2f:s@a/p?ca=%2Fca.pem&cert=c&key=k").unwrap();
        assert!(url.user == user("me", "p@/:s"));
        let tls = url.tls.as_ref().unwrap();
        assert_eq!(tls.ca.as_deref(), Some("/ca.pem"));
        assert_eq!(tls.client, Some(("c".to_owned(), "k".to_owned())));
        assert_eq!(url.place(), "etcds://a:2379/p");
        assert!(!format!("{url:?}").contains("p@"));
    }

    #[test]
    fn the_environment_fills_what_the_url_lacks() {
        let variables = |name: &str| match name {
            "ETCDCTL_USER" => Some("env:secret".to_owned()),
            "ETCDCTL_CACERT" => Some("env-ca".to_owned()),
            "ETCDCTL_CERT" => Some("env-cert".to_owned()),
            "ETCDCTL_KEY" => Some("env-key".to_owned()),
            _ => None,
        };
        let url = Url::parse("etcds://a/p?ca=mine", variables).unwrap();
        assert!(url.user == user("env", "secret"));
        let tls = url.tls.unwrap();
        assert_eq!(tls.ca.as_deref(), Some("mine"));
        assert_eq!(tls.client.unwrap().1, "env-key");

        let url = Url::parse("etcd://me:own@a/p", variables).unwrap();
        assert!(url.user == user("me", "own") && url.tls.is_none());
        let empty = Url::parse("etcds://a/p", |_| Some(String::new())).unwrap();
        assert!(empty.user.is_none() && empty.tls == Some(Tls::default()));
        let both = |name: &str| (name != "ETCDCTL_CACERT").then(|| "x:y".to_owned());
        assert!(Url::parse("etcd://a/p", both).unwrap().user == user("x:y", "x:y"));
    }

    #[test]
    fn invalid_urls_are_refused_without_naming_a_password() {
        for (url, problem) in [
            ("http://a/p", "does not begin"),
            ("etcd://a", "no prefix"),
            ("etcd://a/", "no prefix"),
            ("etcd:///p", "invalid host"),
            ("etcd://a,,b/p", "invalid host"),
            ("etcd://a:0/p", "invalid host"),
            ("etcd://a:65536/p", "invalid host"),
            ("etcd://::1/p", "invalid host"),
            ("etcd://[a]:1/p", "invalid host"),
            ("etcd://a b/p", "invalid host"),
            ("etcd://a/p q", "invalid prefix"),
            ("etcd://a/p//q", "invalid prefix"),
            ("etcd://a/p#f", "invalid prefix"),
            ("etcd://me@a/p", "without a password"),
            ("etcd://me:S3CRET@@/p", "invalid host"),
            ("etcd://me:S3/CRET@a/p", "percent-encode"),
            ("etcd://me:S3?CRET@a/p", "percent-encode"),
            ("etcd://me:S3#CRET@a/p", "percent-encode"),
            ("etcd://me:S3CRET%ff@a/p", "not UTF-8"),
            ("etcd://me:S3CRET@a:x/p", "invalid host"),
            ("etcd://a/p?ca=x", "use etcds://"),
            ("etcds://a/p?user=S3CRET", "unknown parameter"),
            ("etcds://a/p?cert=x", "needs a key"),
        ] {
            let error = parse(url).unwrap_err();
            assert!(error.contains(problem), "{url}: {error}");
            assert!(!error.contains("S3"), "{url}: {error}");
            assert!(error.starts_with("invalid replica URL "), "{error}");
        }
    }

    #[test]
    fn an_error_names_the_url() {
        let error = parse("etcd://me:S3CRET@a:1,b:x/p").unwrap_err();
        let expected = "invalid replica URL etcd://a:1,b:x/p: it has an invalid host or port; ";
        assert!(error.starts_with(expected), "{error}");
    }
}
