// The environment variables that configure the client.

use std::collections::BTreeMap;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};

/// The variables that are set, and not empty.
pub(crate) struct Environment(BTreeMap<String, String>);

/// Resolved in `settings.rs`, because they depend on each other and on the profile.
const RESOLVED: [&str; 8] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_BUCKET",
    "AWS_BUCKET_NAME",
    "AWS_ENDPOINT",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
];

impl Environment {
    pub(crate) fn of_process() -> Environment {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Environment::new(std::env::vars_os().filter_map(text))
    }

    pub(crate) fn new(variables: impl IntoIterator<Item = (String, String)>) -> Environment {
        let is_used = |(name, value): &(String, String)| {
            !value.is_empty() && (name == "HOME" || name.starts_with("AWS_"))
        };
        Environment(variables.into_iter().filter(is_used).collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The value of the first of these variables that is set.
    pub(crate) fn first(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.get(name))
    }

    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, String> {
        match self.get(name).map(str::to_ascii_lowercase).as_deref() {
            None => Ok(None),
            Some("1" | "true" | "yes" | "on") => Ok(Some(true)),
            Some("0" | "false" | "no" | "off") => Ok(Some(false)),
            Some(_) => Err(format!("{name} is not a Boolean; set it to true or false")),
        }
    }

    /// Passes on the variables that object_store knows, such as those of web identities,
    /// containers, and server-side encryption.
    pub(crate) fn apply(&self, mut builder: AmazonS3Builder) -> AmazonS3Builder {
        for (name, value) in &self.0 {
            let key = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>();
            if let (Ok(key), false) = (key, RESOLVED.contains(&name.as_str())) {
                builder = builder.with_config(key, value);
            }
        }
        match self.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") {
            Some(endpoint) => builder.with_metadata_endpoint(endpoint),
            None => builder,
        }
    }
}
