// The files of the AWS command-line interface: ~/.aws/credentials and ~/.aws/config.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fmt, fs, io};

use async_trait::async_trait;
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use parking_lot::Mutex;

use super::environment::Environment;

/// How long credentials are used before the files are read again. Tools replace session tokens
/// minutes before they expire.
const REREAD_AFTER: Duration = Duration::from_secs(60);

/// The settings of one profile, from both files.
pub(crate) type Settings = BTreeMap<String, String>;

/// Where the profile is.
#[derive(Clone)]
pub(crate) struct Profile {
    pub name: String,
    pub credentials_file: Option<PathBuf>,
    pub config_file: Option<PathBuf>,
}

impl Profile {
    pub(crate) fn new(name: &str, environment: &Environment) -> Profile {
        let file = |variable: &str, name: &str| {
            let set = environment.get(variable).map(PathBuf::from);
            set.or_else(|| {
                Some(
                    PathBuf::from(environment.get("HOME")?)
                        .join(".aws")
                        .join(name),
                )
            })
        };
        Profile {
            name: name.to_owned(),
            credentials_file: file("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
            config_file: file("AWS_CONFIG_FILE", "config"),
        }
    }

    /// Reads the profile, or `None` if neither file contains it. The file with credentials takes
    /// precedence.
    pub(crate) fn read(&self) -> Result<Option<Settings>, String> {
        let mut all = None;
        let in_config = format!("profile {}", self.name);
        for (file, section) in [
            (&self.config_file, in_config.as_str()),
            // Only the default profile may lack the word.
            (
                &self.config_file,
                if self.name == "default" {
                    "default"
                } else {
                    ""
                },
            ),
            (&self.credentials_file, &self.name),
        ] {
            let Some(file) = file.as_ref().filter(|_| !section.is_empty()) else {
                continue;
            };
            let text = match fs::read_to_string(file) {
                Ok(text) => text,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(format!("cannot read {}: {error}", file.display())),
            };
            if let Some(settings) = read_section(&text, section) {
                all.get_or_insert_with(Settings::new).extend(settings);
            }
        }
        Ok(all)
    }
}

/// Returns the settings of a section of an INI file. Indented lines belong to a nested setting,
/// and are skipped.
fn read_section(text: &str, name: &str) -> Option<Settings> {
    let (mut found, mut inside) = (None, false);
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(header) = trimmed.strip_prefix('[') {
            let header = header.split(']').next().unwrap_or("");
            let words: Vec<_> = header.split_whitespace().collect();
            inside = words.join(" ") == name;
            if inside {
                found.get_or_insert_with(Settings::new);
            }
        } else if let (true, Some((key, value)), Some(settings)) = (
            inside && !line.starts_with([' ', '\t']),
            line.split_once('='),
            &mut found,
        ) {
            // A comment after a value begins with a space.
            let end = [" #", " ;", "\t#", "\t;"]
                .iter()
                .filter_map(|start| value.find(start));
            let value = value[..end.min().unwrap_or(value.len())].trim();
            settings.insert(key.trim().to_ascii_lowercase(), value.to_owned());
        }
    }
    found
}

/// The access key in a profile, if it has one.
pub(crate) fn credential(settings: &Settings) -> Option<AwsCredential> {
    let get = |key: &str| settings.get(key).filter(|value| !value.is_empty()).cloned();
    Some(AwsCredential {
        key_id: get("aws_access_key_id")?,
        secret_key: get("aws_secret_access_key")?,
        token: get("aws_session_token"),
    })
}

/// Provides the credentials in a profile, and reads them again while the store is open.
pub(crate) struct ProfileCredentials {
    profile: Profile,
    read: Mutex<(Instant, Arc<AwsCredential>)>,
}

impl ProfileCredentials {
    pub(crate) fn new(profile: Profile, credential: AwsCredential) -> ProfileCredentials {
        ProfileCredentials {
            profile,
            read: Mutex::new((Instant::now(), Arc::new(credential))),
        }
    }
}

impl fmt::Debug for ProfileCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProfileCredentials({})", self.profile.name)
    }
}

#[async_trait]
impl CredentialProvider for ProfileCredentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut read = self.read.lock();
        if read.0.elapsed() >= REREAD_AFTER {
            // The files may be in the middle of being replaced; the old credentials may still be
            // valid.
            let settings = self.profile.read().ok().flatten();
            let new = settings.and_then(|settings| credential(&settings));
            *read = (Instant::now(), new.map_or_else(|| read.1.clone(), Arc::new));
        }
        Ok(read.1.clone())
    }
}
