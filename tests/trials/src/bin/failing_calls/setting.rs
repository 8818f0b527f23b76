//! The settings of a driver, and how they are passed to a child process.
//!
//! Contains [`Setting`] and [`May`]. Settings can be converted to arguments and back unchanged.

use std::path::{Path, PathBuf};

/// The settings of the driver.
pub struct Setting {
    pub dir: PathBuf,
    pub round: u64,
    pub sessions: u64,
    /// Whether the last session ends without a close.
    pub dies: bool,
    /// Whether the fault persists, so that a failed operation need not succeed.
    pub lasting: bool,
    /// The file that is deleted to free space.
    pub ballast: Option<PathBuf>,
    /// The maximum size of a file, if limited.
    pub file_bytes_max: Option<u64>,
    pub may: May,
}

/// The errors that are acceptable.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum May {
    Nothing,
    Io,
    DiskFull,
    /// An error of the device, or a full disk.
    Either,
    /// No descriptor is available.
    Handles,
}

impl May {
    pub fn name(self) -> &'static str {
        match self {
            May::Nothing => "nothing",
            May::Io => "io",
            May::DiskFull => "full",
            May::Either => "either",
            May::Handles => "handles",
        }
    }

    fn from_name(name: &str) -> May {
        let all = [May::Io, May::DiskFull, May::Either, May::Handles];
        all.into_iter()
            .find(|may| may.name() == name)
            .unwrap_or(May::Nothing)
    }
}

impl Setting {
    pub fn new(dir: &Path, round: u64, may: May) -> Setting {
        Setting {
            dir: dir.to_path_buf(),
            round,
            sessions: 2,
            dies: false,
            lasting: false,
            ballast: None,
            file_bytes_max: None,
            may,
        }
    }

    pub fn to_args(&self) -> Vec<String> {
        let path = |path: &Path| path.to_string_lossy().into_owned();
        vec![
            path(&self.dir),
            self.round.to_string(),
            self.sessions.to_string(),
            self.dies.to_string(),
            self.lasting.to_string(),
            self.ballast.as_deref().map(path).unwrap_or_default(),
            self.file_bytes_max
                .map(|n| n.to_string())
                .unwrap_or_default(),
            self.may.name().to_owned(),
        ]
    }

    pub fn from_args(args: &[String]) -> Option<Setting> {
        let [dir, round, sessions, dies, lasting, ballast, bytes, may] = args else {
            return None;
        };
        Some(Setting {
            dir: dir.into(),
            round: round.parse().ok()?,
            sessions: sessions.parse().ok()?,
            dies: dies == "true",
            lasting: lasting == "true",
            ballast: (!ballast.is_empty()).then(|| ballast.into()),
            file_bytes_max: bytes.parse().ok(),
            may: May::from_name(may),
        })
    }
}
