//! The folders and search path of the user, from the environment; nothing else in this crate reads it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Folder of this project in the user's cache.
const PROJECT: &str = "bedrock-access";

/// Where Debian keeps what only root needs, which an ordinary user's `PATH` lacks.
const SYSTEM_FOLDERS: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];

/// The folder for everything that outlives a run: binaries, locks, and the folders of runs.
///
/// # Errors
/// When neither `XDG_CACHE_HOME` nor `HOME` is set.
pub(crate) fn cache() -> Result<PathBuf> {
    cache_from(variable("XDG_CACHE_HOME"), variable("HOME"))
}

fn cache_from(cache_home: Option<OsString>, home: Option<OsString>) -> Result<PathBuf> {
    // The specification of these folders has relative paths ignored.
    let absolute =
        |value: Option<OsString>| value.map(PathBuf::from).filter(|path| path.is_absolute());
    absolute(cache_home)
        .or_else(|| absolute(home).map(|home| home.join(".cache")))
        .map(|folder| folder.join(PROJECT))
        .ok_or(Error::NoCacheFolder)
}

/// The search path for the cluster's programs: the user's, then the system's folders.
pub(crate) fn search_path() -> OsString {
    let mut folders: Vec<PathBuf> = variable("PATH")
        .map(|path| std::env::split_paths(&path).collect())
        .unwrap_or_default();
    for folder in SYSTEM_FOLDERS.map(PathBuf::from) {
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    std::env::join_paths(folders).unwrap_or_else(|_| OsString::from(SYSTEM_FOLDERS.join(":")))
}

/// Where `program` is installed, if it is.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&search_path())
        .map(|folder| folder.join(program))
        .find(|path| is_file(path))
}

fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file())
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(cache_home: Option<&str>, home: Option<&str>, expected: Option<&str>) {
        let found = cache_from(cache_home.map(OsString::from), home.map(OsString::from));
        assert_eq!(found.ok(), expected.map(PathBuf::from));
    }

    #[test]
    fn cache_home_wins_over_home_unless_it_is_relative() {
        check(Some("/c"), Some("/h"), Some("/c/bedrock-access"));
        check(None, Some("/h"), Some("/h/.cache/bedrock-access"));
        check(
            Some("relative"),
            Some("/h"),
            Some("/h/.cache/bedrock-access"),
        );
        check(None, None, None);
    }
}
