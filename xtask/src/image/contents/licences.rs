//! The licences of the crates of a program in one text, as their archives contain them, with their notices.
//!
//! Equal texts are printed once. A crate whose archive has no licence gets the text of the licence that its manifest
//! names.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::Component;
use crate::repository;

/// Beginnings of the names of files with licences and notices, in lower case.
const NAMES: [&str; 6] = [
    "license",
    "licence",
    "copying",
    "copyright",
    "notice",
    "unlicense",
];
/// Directories of archives that contain no licence of linked code.
const SKIPPED: [&str; 5] = ["src", "tests", "test", "benches", "examples"];
/// The text of the MIT licence without a copyright line.
const MIT: &str = include_str!("mit.txt");

/// The text for a program and its crates.
///
/// # Errors
/// When a crate has neither a licence file nor a known licence.
pub(super) fn text(program: &Component, components: &[Component]) -> Result<String> {
    let mut texts: BTreeMap<String, (String, Vec<String>)> = BTreeMap::new();
    for component in components {
        let Some(directory) = &component.directory else {
            continue;
        };
        let licence = component.licence.as_deref().unwrap_or("see the text");
        let user = format!("{} {} ({licence})", component.name, component.version);
        let mut found = files(directory)?;
        if found.is_empty() {
            found.push(known(component)?);
        }
        for text in found {
            // Line ends and indentation differ between copies of one licence.
            let key = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let (_, users) = texts.entry(key).or_insert_with(|| (text, Vec::new()));
            if !users.contains(&user) {
                users.push(user.clone());
            }
        }
    }
    let mut all: Vec<(String, Vec<String>)> = texts.into_values().collect();
    all.sort_by(|(_, one), (_, other)| one.cmp(other));
    let mut document = format!(
        "Licences and notices of the software in {} {}.\n\
         The directories of /usr/share/doc have those of Debian's packages.\n",
        program.name, program.version
    );
    let line = "=".repeat(80);
    for (text, users) in all {
        document = format!(
            "{document}\n{line}\n{}\n{line}\n\n{text}\n",
            users.join("\n")
        );
    }
    Ok(document)
}

/// Copyright and licences of the standard library and of the crates in it, if the toolchain has them.
pub(super) fn of_standard_library() -> Result<Option<String>> {
    let output = Command::new("rustc")
        .args(["--print", "sysroot"])
        .current_dir(repository::root())
        .output()
        .context("failed to run rustc")?;
    let sysroot = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let path = Path::new(&sysroot).join("share/doc/rust/COPYRIGHT-library.html");
    Ok(fs::read_to_string(path).ok())
}

/// The licence files of a crate's archive, sorted by their path.
fn files(directory: &Path) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    let mut left = vec![directory.to_owned()];
    while let Some(directory) = left.pop() {
        let entries = fs::read_dir(&directory)
            .with_context(|| format!("failed to list {}", directory.display()))?;
        for entry in entries {
            let path = entry.context("failed to read a directory entry")?.path();
            let name = path.file_name().map(|name| name.to_string_lossy());
            let name = name.unwrap_or_default().to_lowercase();
            if path.is_dir() {
                if !SKIPPED.contains(&name.as_str()) {
                    left.push(path);
                }
            } else if is_licence(&name) {
                paths.push(path);
            }
        }
    }
    paths.sort();
    paths.iter().map(clean).collect()
}

/// Whether a file of this name has a licence or a notice; sources have them only in comments.
fn is_licence(name: &str) -> bool {
    let is_source = [".rs", ".html", ".py", ".toml", ".json", ".c", ".h", ".hbs"]
        .iter()
        .any(|end| name.ends_with(end));
    !is_source && NAMES.iter().any(|start| name.starts_with(start))
}

/// A text with one kind of line ends and without blanks at its ends.
fn clean(path: &PathBuf) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("failed to read {}", path.display()))?;
    let text = String::from_utf8_lossy(&bytes).replace("\r\n", "\n");
    Ok(text.trim_end().trim_start_matches('\n').to_owned())
}

/// The text of a licence that a manifest names.
fn known(component: &Component) -> Result<String> {
    let licence = component.licence.as_deref().unwrap_or_default();
    if licence.contains("Apache-2.0") {
        let own = repository::read(&repository::root().join("LICENSE"))?;
        return Ok(own.trim().to_owned());
    }
    if licence.contains("MIT") {
        return Ok(MIT.trim().to_owned());
    }
    bail!(
        "{} {} has no licence file, and the text of {licence:?} is not known",
        component.name,
        component.version
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licences_and_notices_are_found_by_their_names() {
        for name in [
            "license",
            "license-mit",
            "copying",
            "notice.txt",
            "license.md",
        ] {
            assert!(is_licence(name), "{name}");
        }
        for name in ["license.rs", "readme.md", "copyright.html", "lib.rs"] {
            assert!(!is_licence(name), "{name}");
        }
    }

    #[test]
    fn crates_without_a_file_get_the_text_that_their_manifest_names() {
        let with = |licence: &str| Component {
            licence: Some(licence.to_owned()),
            ..Component::default()
        };
        assert!(known(&with("Apache-2.0")).unwrap().contains("Version 2.0"));
        assert!(known(&with("MIT")).unwrap().starts_with("Permission is"));
        assert!(known(&with("Zlib")).is_err());
    }
}
