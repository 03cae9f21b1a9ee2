//! Files of an image: the minimum of Debian that a dynamically linked program needs.
//!
//! The C library is linked dynamically: a static one cannot resolve names.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use crate::{
    console::Step,
    process::{capture, command},
    repository,
};

/// The user of every image, with the same number as in distroless images.
pub(crate) const USER: u32 = 65532;

/// Path where TLS libraries read root certificates.
const CERTIFICATES: &str = "etc/ssl/certs/ca-certificates.crt";
/// Root certificates of the distribution. The bundle in `/etc` also contains certificates that this machine's owner
/// added.
const CERTIFICATE_SOURCES: &str = "/usr/share/ca-certificates/mozilla";
/// Parts of the C library that resolve names; older versions load them by name.
const NAME_SERVICE: [&str; 3] = ["libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2"];
/// Packages whose files are copied.
const PACKAGES: [&str; 3] = ["libc6", "libgcc-s1", "ca-certificates"];

/// A file or directory of an image; all belong to root unless an owner is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Mode and owner.
    Directory(u32, u32),
    /// Mode and content.
    File(u32, Vec<u8>),
}

/// A package of the distribution, some of whose files are in an image.
#[derive(Clone, Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// Debian's name of the architecture.
    pub(crate) architecture: String,
    /// Name and version of the distribution, such as `debian-12`.
    pub(crate) distribution: String,
}

/// Files by their path without a leading slash, sorted, so that a directory comes before its files.
#[derive(Clone, Debug, Default)]
pub(crate) struct Root {
    entries: BTreeMap<String, Entry>,
    /// The packages that some of the files are from.
    pub(crate) packages: Vec<Package>,
}

impl Root {
    /// Users, name service, root certificates and a directory for temporary files; no program.
    pub(crate) fn minimal() -> Result<Self> {
        let mut root = Self::default();
        root.add_text(
            "etc/passwd",
            &format!(
                "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:{USER}:{USER}:nonroot:/home/nonroot:/sbin/nologin\n"
            ),
        );
        root.add_text("etc/group", &format!("root:x:0:\nnonroot:x:{USER}:\n"));
        root.add_text(
            "etc/nsswitch.conf",
            "passwd: files\ngroup: files\nhosts: files dns\n",
        );
        root.add_file(CERTIFICATES, 0o644, trusted_roots()?);
        root.add_directory("tmp", 0o1777, 0);
        root.add_directory("home/nonroot", 0o700, USER);
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        root.add_text("etc/os-release", &release);
        for package in PACKAGES {
            root.add_package(package, &distribution(&release));
        }
        Ok(root)
    }

    /// Adds the licence and the record of a package of the distribution, from which scanners know its version, as in
    /// distroless images: <https://github.com/GoogleContainerTools/distroless>. Without
    /// dpkg there is nothing to record.
    fn add_package(&mut self, package: &str, distribution: &str) {
        let notice = format!("usr/share/doc/{package}/copyright");
        if let Ok(text) = fs::read(Path::new("/").join(&notice)) {
            self.add_file(&notice, 0o644, text);
        }
        let record = command("dpkg-query").args(["--status", package]).output();
        if let Ok(record) = record
            && record.status.success()
        {
            self.add_file(
                &format!("var/lib/dpkg/status.d/{package}"),
                0o644,
                record.stdout.clone(),
            );
            let record = String::from_utf8_lossy(&record.stdout);
            let field = |name: &str| {
                let mut lines = record.lines();
                let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                value.unwrap_or_default().to_owned()
            };
            self.packages.push(Package {
                name: package.to_owned(),
                version: field("Version"),
                architecture: field("Architecture"),
                distribution: distribution.to_owned(),
            });
        }
    }

    /// Adds a program of this machine under a path of the image.
    pub(crate) fn add_program(&mut self, program: &Path, path: &str) -> Result<()> {
        let content =
            fs::read(program).with_context(|| format!("failed to read {}", program.display()))?;
        self.add_file(path.trim_start_matches('/'), 0o755, content);
        Ok(())
    }

    /// Adds the loader and libraries of a program, at the paths where it searches for them.
    pub(crate) fn add_libraries_of(&mut self, step: &Step, program: &Path) -> Result<()> {
        let output = capture(step, command("ldd").arg(program))?;
        let libraries = libraries(&output)?;
        let c_library = libraries.iter().find(|path| path.ends_with("libc.so.6"));
        let directory = c_library.and_then(|path| path.parent()).with_context(|| {
            format!(
                "{} is not linked to the GNU C library:\n{output}",
                program.display()
            )
        })?;
        let named = NAME_SERVICE
            .iter()
            .map(|name| directory.join(name))
            .filter(|path| path.exists());
        for path in libraries.iter().cloned().chain(named) {
            let content =
                fs::read(&path).with_context(|| format!("failed to read {}", path.display()))?;
            self.add_file(&path.display().to_string(), 0o755, content);
        }
        Ok(())
    }

    /// Adds the libraries of a module that a program loads, but those below directories that are added as they are.
    pub(crate) fn add_libraries_of_module(
        &mut self,
        step: &Step,
        module: &Path,
        added: &[&Path],
    ) -> Result<()> {
        for path in libraries(&capture(step, command("ldd").arg(module))?)? {
            if added.iter().any(|directory| path.starts_with(directory)) {
                continue;
            }
            let content =
                fs::read(&path).with_context(|| format!("failed to read {}", path.display()))?;
            self.add_file(&path.display().to_string(), 0o755, content);
        }
        Ok(())
    }

    /// Adds a directory of this machine under a path of the image, without the relative
    /// paths for which `skip` is true.
    pub(crate) fn add_tree(
        &mut self,
        directory: &Path,
        at: &str,
        skip: &dyn Fn(&Path) -> bool,
    ) -> Result<()> {
        let mut left = vec![PathBuf::new()];
        while let Some(relative) = left.pop() {
            let there = directory.join(&relative);
            let entries = fs::read_dir(&there)
                .with_context(|| format!("failed to list {}", there.display()))?;
            for entry in entries {
                let entry = entry.context("failed to read a directory entry")?;
                let path = relative.join(entry.file_name());
                if skip(&path) {
                    continue;
                }
                if entry.path().is_dir() {
                    left.push(path);
                } else {
                    let content = fs::read(entry.path())
                        .with_context(|| format!("failed to read {}", entry.path().display()))?;
                    self.add_file(&format!("{at}/{}", path.display()), 0o644, content);
                }
            }
        }
        Ok(())
    }

    /// Writes the files below a directory of this machine.
    pub(crate) fn write_files(&self, directory: &Path) -> Result<()> {
        for (path, entry) in self.entries() {
            if let Entry::File(_, content) = entry {
                repository::write(&directory.join(path), content)?;
            }
        }
        Ok(())
    }

    /// The entries in the order of an archive.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries
            .iter()
            .map(|(path, entry)| (path.as_str(), entry))
    }

    /// Adds a text file that everybody may read.
    pub(crate) fn add_text(&mut self, path: &str, text: &str) {
        self.add_file(path, 0o644, text.as_bytes().to_vec());
    }

    fn add_file(&mut self, path: &str, mode: u32, content: Vec<u8>) {
        let path = path.trim_start_matches('/');
        self.add_directories_above(path);
        self.entries
            .insert(path.to_owned(), Entry::File(mode, content));
    }

    fn add_directory(&mut self, path: &str, mode: u32, owner: u32) {
        self.add_directories_above(path);
        self.entries
            .insert(path.to_owned(), Entry::Directory(mode, owner));
    }

    fn add_directories_above(&mut self, path: &str) {
        for (at, _) in path.match_indices('/') {
            if let Some(directory) = path.get(..at) {
                self.entries
                    .entry(directory.to_owned())
                    .or_insert(Entry::Directory(0o755, 0));
            }
        }
    }
}

/// Name and version of the distribution by the file os-release(5), such as `debian-12`.
fn distribution(release: &str) -> String {
    let value = |key: &str| {
        let mut lines = release.lines();
        let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        value.unwrap_or("unknown").trim_matches('"').to_owned()
    };
    format!("{}-{}", value("ID"), value("VERSION_ID"))
}

/// Paths in the output of ldd(1), such as
/// `libm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f…)` and, for the loader, a path alone.
fn libraries(output: &str) -> Result<Vec<PathBuf>> {
    ensure!(
        !output.contains("not found"),
        "library not found:\n{output}"
    );
    let paths = output.lines().filter_map(|line| {
        let path = line.split_once("=>").map_or(line, |(_, path)| path).trim();
        let path = path.split_once(" (").map_or(path, |(path, _)| path).trim();
        path.starts_with('/').then(|| PathBuf::from(path))
    });
    Ok(paths.collect())
}

/// The distribution's root certificates as one file.
fn trusted_roots() -> Result<Vec<u8>> {
    let mut files: Vec<PathBuf> = fs::read_dir(CERTIFICATE_SOURCES)
        .with_context(|| {
            format!(
                "failed to list {CERTIFICATE_SOURCES}: fix: install the Debian package ca-certificates"
            )
        })?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "crt"))
        .collect();
    files.sort();
    ensure!(
        !files.is_empty(),
        "{CERTIFICATE_SOURCES} is empty: fix: install the Debian package ca-certificates"
    );
    let mut bundle = Vec::new();
    for file in files {
        bundle
            .extend(fs::read(&file).with_context(|| format!("failed to read {}", file.display()))?);
        if bundle.last() != Some(&b'\n') {
            bundle.push(b'\n');
        }
    }
    Ok(bundle)
}

#[cfg(test)]
mod tests;
