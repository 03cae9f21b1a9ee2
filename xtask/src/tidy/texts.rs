//! Paths of one machine, which no text file may contain.

use std::{
    env,
    path::{Path, PathBuf},
};

use super::Finding;
use crate::repository;

/// Directories of this machine, with a slash at the end.
pub(super) fn paths_of_this_machine() -> Vec<String> {
    let home = env::var_os("HOME").map(PathBuf::from);
    let above = repository::root().parent().map(Path::to_owned);
    // The administrator's home, written in pieces so that this file passes its own rule.
    let mut paths = vec![format!("/{}/", "root")];
    for directory in home.into_iter().chain(above) {
        let directory = format!("{}/", directory.display());
        if directory.matches('/').count() > 1 && !["/tmp/", "/src/"].contains(&directory.as_str()) {
            paths.push(directory);
        }
    }
    paths.sort();
    paths.dedup();
    paths
}

/// Checks a text file for paths of one machine.
pub(super) fn check(name: &str, text: &str, paths: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        for path in paths {
            if line
                .match_indices(path.as_str())
                .any(|(at, _)| begins_a_path(line, at))
            {
                findings.push(Finding::new(
                    format!("{name}:{number}"),
                    format!(
                        "{path}… is a path of one machine: make it relative, or take it from the environment"
                    ),
                ));
            }
        }
    }
    findings
}

/// Whether the slash at `at` begins a path rather than continues one (`https://host/home/`, `./root/`).
fn begins_a_path(line: &str, at: usize) -> bool {
    let before = line.get(..at).and_then(|before| before.chars().next_back());
    before.is_none_or(|c| !(c.is_alphanumeric() || "/.-_~}$>".contains(c)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_one_machine_are_refused_wherever_they_begin() {
        let paths = ["/opt/ann/".to_owned()];
        for (line, broken) in [
            ("let path = \"/opt/ann/x\";", true),
            ("cd /opt/ann/", true),
            ("/opt/ann/", true),
            ("https://example.com/opt/ann/", false),
            ("${prefix}/opt/ann/", false),
            ("/opt/anna/", false),
        ] {
            assert_eq!(
                check("a.md", line, &paths).len(),
                usize::from(broken),
                "{line}"
            );
        }
    }
}
