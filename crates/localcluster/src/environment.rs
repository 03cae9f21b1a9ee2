//! Directories and search path of the user. Only this module reads the environment.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Directory of this project in the user's cache.
const PROJECT: &str = "bedrock-access";

/// Directories of Debian's administration programs, which the `PATH` of most users lacks.
const SYSTEM_DIRECTORIES: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];

/// The directory of binaries, locks and runs, which is kept after a run.
///
/// # Errors
/// When neither `XDG_CACHE_HOME` nor `HOME` is set.
pub(crate) fn cache() -> Result<PathBuf> {
    cache_from(variable("XDG_CACHE_HOME"), variable("HOME"))
}

fn cache_from(cache_home: Option<OsString>, home: Option<OsString>) -> Result<PathBuf> {
    // The XDG specification ignores relative paths.
    let absolute =
        |value: Option<OsString>| value.map(PathBuf::from).filter(|path| path.is_absolute());
    absolute(cache_home)
        .or_else(|| absolute(home).map(|home| home.join(".cache")))
        .map(|directory| directory.join(PROJECT))
        .ok_or(Error::NoCacheDirectory)
}

/// The search path for the cluster's programs: the user's, then the system's directories.
pub(crate) fn search_path() -> OsString {
    let mut directories: Vec<PathBuf> = variable("PATH")
        .map(|path| std::env::split_paths(&path).collect())
        .unwrap_or_default();
    for directory in SYSTEM_DIRECTORIES.map(PathBuf::from) {
        if !directories.contains(&directory) {
            directories.push(directory);
        }
    }
    std::env::join_paths(directories)
        .unwrap_or_else(|_| OsString::from(SYSTEM_DIRECTORIES.join(":")))
}

/// Path of `program`, if installed.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&search_path())
        .map(|directory| directory.join(program))
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
