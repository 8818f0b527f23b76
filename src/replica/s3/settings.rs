// Decides where the bucket is, and which credentials to use.

use std::sync::Arc;
use std::time::Duration;

use object_store::StaticCredentialProvider;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredential, AwsCredentialProvider};

use super::builder::S3ReplicaBuilder;
use super::environment::Environment;
use super::profile::{self, Profile, ProfileCredentials};
use crate::model::replica::ReplicaError;
use crate::replica::url::{S3Url, without_credentials};

pub(crate) struct Settings {
    pub url: S3Url,
    pub builder: AmazonS3Builder,
    /// For the choice between http and https.
    pub endpoint: String,
    pub ca_bundle: Option<String>,
    pub request_timeout: Duration,
    /// If credentials can only come from the metadata service of the instance: where else they
    /// were looked for.
    pub only_from_instance: Option<String>,
}

const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// What a profile may contain instead of an access key.
const UNSUPPORTED: [&str; 4] = [
    "credential_process",
    "sso_session",
    "sso_start_url",
    "role_arn",
];

impl Settings {
    pub(crate) fn resolve(
        given: &S3ReplicaBuilder,
        environment: &Environment,
    ) -> Result<Settings, ReplicaError> {
        let url = S3Url::parse(&given.url)?;
        let place = url.place();
        resolve(url, given, environment).map_err(|problem| ReplicaError::Refused {
            what: format!("{place}: {problem}"),
        })
    }
}

fn resolve(
    url: S3Url,
    given: &S3ReplicaBuilder,
    environment: &Environment,
) -> Result<Settings, String> {
    let named = given.profile.as_deref().or(environment.get("AWS_PROFILE"));
    let profile = Profile::new(named.unwrap_or("default"), environment);
    let in_profile = profile.read()?;
    if let (Some(name), None) = (named, &in_profile) {
        return Err(format!(
            "there is no profile {name}; add it to {} or {}, or correct AWS_PROFILE",
            shown(&profile.credentials_file),
            shown(&profile.config_file)
        ));
    }
    let in_profile = in_profile.unwrap_or_default();
    let setting = |key: &str| in_profile.get(key).map(String::as_str);

    let mut builder = environment
        .apply(AmazonS3Builder::new())
        .with_bucket_name(&url.bucket);
    let region = given.region.as_deref();
    let region = region.or(environment.first(&["AWS_REGION", "AWS_DEFAULT_REGION"]));
    if let Some(region) = region.or(setting("region")) {
        builder = builder.with_region(region);
    }

    let in_environment = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"];
    let endpoint = given
        .endpoint
        .as_deref()
        .or(environment.first(&in_environment));
    let endpoint = endpoint.or(setting("endpoint_url"));
    let is_virtual = match given.virtual_hosted_style {
        Some(is_virtual) => is_virtual,
        None => environment
            .flag("AWS_VIRTUAL_HOSTED_STYLE_REQUEST")?
            // The certificates of AWS do not match a bucket whose name has a dot.
            .unwrap_or(endpoint.is_none() && !url.bucket.contains('.')),
    };
    builder = builder.with_virtual_hosted_style_request(is_virtual);
    let endpoint = match endpoint {
        None => "https://s3.amazonaws.com".to_owned(),
        Some(endpoint) => {
            let endpoint = checked_endpoint(endpoint, is_virtual.then_some(&url.bucket))?;
            builder = builder.with_config(AmazonS3ConfigKey::S3Endpoint, &endpoint);
            endpoint
        }
    };

    let (credentials, only_from_instance) = credentials(given, environment, &profile, &in_profile)?;
    if let Some(credentials) = credentials {
        builder = builder.with_credentials(credentials);
    }
    Ok(Settings {
        url,
        builder,
        endpoint,
        ca_bundle: environment.get("AWS_CA_BUNDLE").map(str::to_owned),
        request_timeout: given.request_timeout.unwrap_or(REQUEST_TIMEOUT),
        only_from_instance,
    })
}

fn shown(file: &Option<std::path::PathBuf>) -> String {
    let file = file.as_ref().map(|file| file.display().to_string());
    file.unwrap_or_else(|| "~/.aws (HOME is not set)".to_owned())
}

/// Checks the URL of an endpoint, and puts the bucket before its host.
fn checked_endpoint(endpoint: &str, bucket: Option<&String>) -> Result<String, String> {
    let err = |problem: &str| {
        let endpoint = without_credentials(endpoint);
        Err(format!(
            "invalid endpoint {endpoint}: {problem}; set AWS_ENDPOINT_URL to http(s)://HOST[:PORT]"
        ))
    };
    let Ok(mut url) = reqwest::Url::parse(endpoint) else {
        return err("it is not a URL");
    };
    if !matches!(url.scheme(), "http" | "https") {
        return err("it is neither http nor https");
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return err("it contains credentials or a query");
    }
    if let (Some(bucket), Some(host)) = (bucket, url.host_str()) {
        if !host.starts_with(&format!("{bucket}.")) {
            let host = format!("{bucket}.{host}");
            if url.set_host(Some(&host)).is_err() {
                return err("its host cannot be combined with the name of the bucket");
            }
        }
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// Returns credentials for all calls, unless object_store finds them; and, if that would be with
/// the metadata service, what else was tried.
fn credentials(
    given: &S3ReplicaBuilder,
    environment: &Environment,
    profile: &Profile,
    in_profile: &profile::Settings,
) -> Result<(Option<AwsCredentialProvider>, Option<String>), String> {
    let fixed = |credential| Arc::new(StaticCredentialProvider::new(credential)) as _;
    if let Some((key_id, secret_key, token)) = given.credentials.clone() {
        let credential = AwsCredential {
            key_id,
            secret_key,
            token,
        };
        return Ok((Some(fixed(credential)), None));
    }
    let get = |name: &str| environment.get(name).map(str::to_owned);
    if given.profile.is_none() {
        match (get("AWS_ACCESS_KEY_ID"), get("AWS_SECRET_ACCESS_KEY")) {
            (Some(key_id), Some(secret_key)) => {
                let token = get("AWS_SESSION_TOKEN");
                let credential = AwsCredential {
                    key_id,
                    secret_key,
                    token,
                };
                return Ok((Some(fixed(credential)), None));
            }
            (None, None) => {}
            (key_id, _) => {
                let (set, missing) = match key_id {
                    Some(_) => ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
                    None => ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"),
                };
                return Err(format!(
                    "{set} is set, but {missing} is not; set both or neither"
                ));
            }
        }
    }
    if let Some(credential) = profile::credential(in_profile) {
        let provider = ProfileCredentials::new(profile.clone(), credential);
        return Ok((Some(Arc::new(provider)), None));
    }
    let name = &profile.name;
    if let Some(key) = UNSUPPORTED
        .iter()
        .find(|key| in_profile.contains_key(**key))
    {
        return Err(format!(
            "profile {name} uses {key}, which is not supported; set the variables that `aws \
             configure export-credentials --profile {name} --format env` prints"
        ));
    }
    let tried = format!(
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set, and there is no access key in \
         profile {name} of {}",
        shown(&profile.credentials_file)
    );
    let elsewhere = [
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    ];
    if environment.first(&elsewhere).is_some()
        || environment.flag("AWS_SKIP_SIGNATURE")? == Some(true)
    {
        return Ok((None, None));
    }
    if environment.flag("AWS_EC2_METADATA_DISABLED")? == Some(true) {
        return Err(format!(
            "no credentials: {tried}; set the variables, or AWS_PROFILE"
        ));
    }
    Ok((None, Some(tried)))
}
