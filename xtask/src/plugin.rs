//! Archives of the kubectl plugin, and its manifest for krew with their checksums.
//!
//! An archive has the program and the licence, which krew's rules require. Times are zero, owners are fixed and files are
//! sorted, so that equal programs give equal archives.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use flate2::{Compression, GzBuilder};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use crate::{
    build::{self, Profile},
    console::Console,
    image,
    process::{capture, cargo, quiet},
    repository, tools,
};

/// Name of the program and start of the names of archives.
const PROGRAM: &str = "kubectl-bedrock";
/// The manifest of the repository, with placeholders for version and checksums.
const MANIFEST: &str = "manifests/krew/bedrock.yaml";
/// The name that krew requires for the manifest of `bedrock`.
const FILLED: &str = "bedrock.yaml";
/// Start of the placeholder of a checksum.
const PLACEHOLDER: &str = "SHA256_";
/// Start of each platform in the manifest.
const PLATFORM: &str = "    - selector:";

/// The targets of a release, with their platforms in the manifest.
const TARGETS: [(&str, &str); 3] = [
    ("x86_64-unknown-linux-musl", "linux-amd64"),
    ("aarch64-unknown-linux-musl", "linux-arm64"),
    ("aarch64-apple-darwin", "darwin-arm64"),
];

/// Compiles the plugin for a target of a release, and writes its archive.
///
/// # Errors
/// When a release does not have the target, or the plugin does not compile.
pub(crate) fn archive(console: &Console, target: &str) -> Result<()> {
    let mut known = TARGETS.iter();
    let (_, platform) = known.find(|(name, _)| *name == target).with_context(|| {
        let names = TARGETS.map(|(name, _)| name).join(", ");
        format!("{target} is not a target of a release: use one of {names}")
    })?;
    console.step(&format!("build {PROGRAM} for {target}"), |step| {
        let arguments = ["build", "--locked", "--release", "--package", PROGRAM];
        quiet(step, cargo().args(arguments).args(["--target", target]))
    })?;
    let program = repository::target()
        .join(target)
        .join("release")
        .join(PROGRAM);
    let path = write_archive(&program, platform, &directory())?;
    println!("    {}", path.display());
    Ok(())
}

/// Writes the manifest of a release beside its archives.
///
/// # Errors
/// When an archive of the manifest is missing.
pub(crate) fn manifest(directory: &Path) -> Result<()> {
    let text = filled(directory)?;
    let missing = text.lines().find(|line| line.contains(PLACEHOLDER));
    ensure!(
        missing.is_none(),
        "no archive in {} has the checksum for: {}",
        directory.display(),
        missing.unwrap_or_default().trim()
    );
    let path = directory.join(FILLED);
    repository::write(&path, text)?;
    println!("    {}", path.display());
    Ok(())
}

/// Archives the development build for this machine, checks the manifest by krew's own rules, installs the archive with
/// krew, and runs it with kubectl.
///
/// # Errors
/// When krew or kubectl rejects something.
pub(crate) fn check(console: &Console) -> Result<()> {
    build::programs(console, Profile::Dev)?;
    let directory = repository::target().join("plugin-check");
    if directory.is_dir() {
        fs::remove_dir_all(&directory).context("failed to remove the last archive")?;
    }
    let platform = host()?;
    let archive = console.step("archive", |step| {
        let program = image::stripped(step, Profile::Dev, PROGRAM)?;
        write_archive(&program, &platform, &directory)
    })?;
    let manifest = directory.join(FILLED);
    repository::write(&manifest, only_archived(&filled(&directory)?))?;
    let mut validate = tools::VALIDATE_KREW_MANIFEST.command(console)?;
    let validate = validate.args(["-skip-install", "-manifest"]).arg(&manifest);
    console.step("validate the manifest", |step| quiet(step, validate))?;
    let root = directory.join("krew");
    let mut krew = tools::KREW.command(console)?;
    krew.arg("install").arg("--manifest").arg(&manifest);
    krew.arg("--archive").arg(&archive).env("KREW_ROOT", &root);
    console.step("install with krew", |step| quiet(step, &mut krew))?;
    console.step("kubectl bedrock --help", |step| {
        let mut kubectl = tools::local_cluster()?;
        let mut path = root.join("bin").into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        kubectl.args(["kubectl", "bedrock", "--help"]);
        let help = capture(step, kubectl.env("PATH", path))?;
        ensure!(
            help.contains("Usage: kubectl bedrock") && help.contains("doctor"),
            "kubectl bedrock --help prints: {help}"
        );
        Ok(())
    })
}

/// Directory of the archives.
fn directory() -> PathBuf {
    repository::target().join("plugin")
}

/// The platform of this machine, as the manifest names it.
fn host() -> Result<String> {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => anyhow::bail!("the plugin is not released for {other}"),
    };
    let system = match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    Ok(format!("{system}-{architecture}"))
}

/// Writes the archive of a program.
fn write_archive(program: &Path, platform: &str, directory: &Path) -> Result<PathBuf> {
    let read =
        |path: &Path| fs::read(path).with_context(|| format!("failed to read {}", path.display()));
    let licence = read(&repository::root().join("LICENSE"))?;
    let archive = packed(&[
        ("LICENSE", 0o644, &licence),
        (PROGRAM, 0o755, &read(program)?),
    ])?;
    let path = directory.join(format!("{PROGRAM}-{platform}.tar.gz"));
    repository::write(&path, archive)?;
    Ok(path)
}

/// A compressed archive of these files.
fn packed(files: &[(&str, u32, &[u8])]) -> Result<Vec<u8>> {
    let mut archive = Builder::new(Vec::new());
    for (name, mode, content) in files {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(*mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(u64::try_from(content.len())?);
        archive.append_data(&mut header, name, *content)?;
    }
    let archive = archive
        .into_inner()
        .context("failed to finish the archive")?;
    // Without the name of the file and its time.
    let mut compressed = GzBuilder::new()
        .mtime(0)
        .write(Vec::new(), Compression::default());
    compressed.write_all(&archive)?;
    Ok(compressed.finish()?)
}

/// The manifest with the version, and the checksums of the archives that are in the directory.
fn filled(directory: &Path) -> Result<String> {
    let text = repository::read(&repository::root().join(MANIFEST))?;
    let mut text = text.replace("vX.Y.Z", concat!("v", env!("CARGO_PKG_VERSION")));
    for (_, platform) in TARGETS {
        let path = directory.join(format!("{PROGRAM}-{platform}.tar.gz"));
        if let Ok(archive) = fs::read(&path) {
            text = text.replace(&placeholder(platform), &checksum(&archive));
        }
    }
    Ok(text)
}

/// The manifest without platforms that have no archive.
fn only_archived(text: &str) -> String {
    let mut parts = text.split(PLATFORM);
    let head = parts.next().unwrap_or_default().to_owned();
    let kept = parts.filter(|part| !part.contains(PLACEHOLDER));
    kept.fold(head, |text, part| format!("{text}{PLATFORM}{part}"))
}

/// The placeholder of the checksum of `linux-amd64` is `SHA256_LINUX_AMD64`.
fn placeholder(platform: &str) -> String {
    format!("{PLACEHOLDER}{}", platform.to_uppercase().replace('-', "_"))
}

fn checksum(content: &[u8]) -> String {
    let mut text = String::new();
    for byte in Sha256::digest(content) {
        // Writing to a String does not fail.
        write!(text, "{byte:02x}").unwrap_or_default();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn archive_has_licence_and_program_and_equal_content_gives_equal_bytes() {
        let files: [(&str, u32, &[u8]); 2] =
            [("LICENSE", 0o644, b"terms"), (PROGRAM, 0o755, b"\x7fELF")];
        let archive = packed(&files).unwrap();
        assert!(archive == packed(&files).unwrap());
        let mut found = Vec::new();
        for entry in tar::Archive::new(GzDecoder::new(archive.as_slice()))
            .entries()
            .unwrap()
        {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            let header = entry.header();
            assert_eq!(header.mtime().unwrap(), 0);
            let path = entry.path().unwrap().display().to_string();
            found.push((path, header.mode().unwrap(), content));
        }
        let expected = files.map(|(name, mode, content)| (name.to_owned(), mode, content.to_vec()));
        assert_eq!(found, expected);
    }

    #[test]
    fn manifest_has_the_checksum_of_each_archive_and_no_other_platform() {
        let directory = tempfile::tempdir().unwrap();
        let archive = directory.path().join("kubectl-bedrock-linux-arm64.tar.gz");
        fs::write(&archive, "content").unwrap();
        let text = filled(directory.path()).unwrap();
        // `printf content | sha256sum`.
        let expected = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73";
        assert!(text.contains(expected), "{text}");
        assert!(text.contains("SHA256_LINUX_AMD64"), "{text}");
        assert!(manifest(directory.path()).is_err(), "archives are missing");
        let archived = only_archived(&text);
        assert_eq!(archived.matches(PLATFORM).count(), 1, "{archived}");
        assert!(
            archived.contains("linux-arm64.tar.gz") && !archived.contains(PLACEHOLDER),
            "{archived}"
        );
    }

    #[test]
    fn every_platform_of_the_manifest_is_a_target_of_the_release_workflow() {
        let text = repository::read(&repository::root().join(MANIFEST)).unwrap();
        let workflow = repository::root().join(".github/workflows/release.yaml");
        let workflow = repository::read(&workflow).unwrap();
        assert_eq!(text.matches(PLATFORM).count(), TARGETS.len());
        for (target, platform) in TARGETS {
            assert!(text.contains(&placeholder(platform)), "{platform}");
            let row = format!("platform: {platform},");
            let row = workflow.lines().find(|line| line.contains(&row)).unwrap();
            assert!(row.contains(target), "{row}");
        }
    }
}
