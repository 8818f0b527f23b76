// The URLs that name a replica.

use crate::model::replica::ReplicaError;

/// Returns the part of a URL before `://`, and the part after it.
pub(crate) fn split_scheme(url: &str) -> Option<(&str, &str)> {
    url.split_once("://")
}

/// The names of the two halves of a pair's URL.
pub(crate) const HALVES: [&str; 2] = ["log=", "packs="];

/// A URL as it may be shown: without a user name and a password. It may be that of a pair.
pub(crate) fn without_credentials(url: &str) -> String {
    let is_half = |rest: &str| {
        HALVES
            .iter()
            .any(|half| rest.trim_start().starts_with(half))
    };
    let mut commas = url.match_indices(',').map(|(comma, _)| comma);
    match commas.find(|comma| is_half(&url[comma + 1..])) {
        Some(comma) => {
            let (first, second) = (&url[..comma], &url[comma + 1..]);
            let first = part_without_credentials(first);
            format!("{first},{}", without_credentials(second))
        }
        None => part_without_credentials(url),
    }
}

fn part_without_credentials(url: &str) -> String {
    let (scheme, rest) = split_scheme(url).unwrap_or(("", url));
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    // A query may contain a token.
    let rest = rest.split(['?', '#']).next().unwrap_or("");
    match scheme {
        "" => rest.to_owned(),
        scheme => format!("{scheme}://{rest}"),
    }
}

pub(crate) fn invalid(url: &str, problem: &str, remedy: &str) -> ReplicaError {
    let url = without_credentials(url);
    ReplicaError::Refused {
        what: format!("invalid replica URL {url}: {problem}; {remedy}"),
    }
}

/// `s3://bucket/prefix`.
#[cfg(feature = "replica-s3")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct S3Url {
    pub bucket: String,
    /// Without leading or trailing slashes; may be empty.
    pub prefix: String,
}

#[cfg(feature = "replica-s3")]
impl S3Url {
    /// Every key must stay below the 1024 bytes that S3 allows.
    const MAX_PREFIX_BYTES: usize = 512;

    pub(crate) fn parse(url: &str) -> Result<S3Url, ReplicaError> {
        let err = |problem: &str, remedy: &str| Err(invalid(url, problem, remedy));
        let Some(("s3", rest)) = split_scheme(url) else {
            return err("it does not begin with s3://", "use s3://BUCKET/PREFIX");
        };
        if rest.contains('@') {
            return err(
                "it contains credentials or an @",
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
            );
        }
        if rest.contains(['?', '#']) {
            return err(
                "it contains a query or a fragment",
                "set the endpoint and the region with AWS_ENDPOINT_URL and AWS_REGION",
            );
        }
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if !(3..=63).contains(&bucket.len()) || !bucket.chars().all(in_name) {
            return err(
                "the bucket's name is invalid",
                "use 3 to 63 ASCII letters, digits, and .-_",
            );
        }
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let is_segment = |s: &str| !s.is_empty() && s != "." && s != ".." && s.chars().all(in_name);
        if !prefix.is_empty() && !prefix.split('/').all(is_segment) {
            return err(
                "the prefix is invalid",
                "use ASCII letters, digits, and .-_, separated by single slashes",
            );
        }
        if prefix.len() > Self::MAX_PREFIX_BYTES {
            let problem = format!("the prefix has {} bytes", prefix.len());
            let remedy = format!("use at most {}", Self::MAX_PREFIX_BYTES);
            return err(&problem, &remedy);
        }
        Ok(S3Url {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
        })
    }

    /// The URL, without a trailing slash.
    pub(crate) fn place(&self) -> String {
        match self.prefix.as_str() {
            "" => format!("s3://{}", self.bucket),
            prefix => format!("s3://{}/{prefix}", self.bucket),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_shown_without_credentials() {
        for (url, shown) in [
            ("s3://bucket/p", "s3://bucket/p"),
            ("s3://id:SECRET@bucket/p?token=SECRET", "s3://bucket/p"),
            ("id:SECRET@bucket", "bucket"),
            (
                "log=etcds://me:SEC,RET@a:1,b:2/p?key=SECRET,packs=s3://id:SECRET@bucket/p",
                "log=etcds://a:1,b:2/p,packs=s3://bucket/p",
            ),
            (
                "packs=s3://bucket/p,  log=etcd://me:SECRET@a/p",
                "packs=s3://bucket/p,  log=etcd://a/p",
            ),
            ("log=etcd://me:SECRET@a/p,x", "log=etcd://a/p,x"),
        ] {
            assert_eq!(without_credentials(url), shown);
        }
    }
}
