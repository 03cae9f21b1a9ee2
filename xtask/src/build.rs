//! Builds the programs of this workspace.
//!
//! Always all default members, and always with an example among the targets: cargo chooses the features of a shared
//! dependency by the packages built together and, if a test or an example is among them, by their test dependencies
//! as well. Another choice would compile the dependencies a second time for the tests (ADR-0004). Only `bench` is no
//! default member; it adds no feature to a shared dependency.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::{
    console::Console,
    process::{cargo, quiet},
    repository, tools,
};

/// How programs are compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Quick to compile; the tests share its dependencies.
    Dev,
    /// Optimised as released, without dependencies of tests.
    Release,
    /// As released, with the list of crates in each program and without paths of this machine, for images.
    Published,
    /// As published, with counters instead of the profile, for `cargo xtask profile`.
    Counting,
}

/// Target directory of the programs of published images, in cargo's.
const PUBLISHED: &str = "published";
/// Target directory of the programs with counters, in cargo's.
const COUNTING: &str = "profile";
/// The profile of the gateway (ADR-0036), in the repository.
pub(crate) const PROFILE: &str = "gateway/gateway.profdata";

/// The programs that go into images: package and program.
const SHIPPED: [(&str, &str); 3] = [
    ("operator", "bedrock-access-operator"),
    ("gateway", "bedrock-gateway"),
    ("awsdouble", "awsdouble"),
];

/// What `cargo auditable` sets for cargo, so that programs contain the list of their crates. It would set the path of the wrapper, which
/// is part of the names of functions: a profile would be of no use on another machine.
const WITH_CRATES: [(&str, &str); 2] = [
    ("RUSTC_WORKSPACE_WRAPPER", "cargo-auditable"),
    (
        "CARGO_AUDITABLE_ORIG_ARGS",
        r#"{"offline":false,"locked":true,"frozen":false,"config":[]}"#,
    ),
];

/// The package of a program that goes into an image.
///
/// # Errors
/// When no image contains it.
pub(crate) fn package(program: &str) -> Result<&'static str> {
    let mut shipped = SHIPPED.iter();
    let found = shipped.find(|(_, name)| *name == program);
    found
        .map(|(package, _)| *package)
        .with_context(|| format!("no image contains {program}"))
}

/// What a development build compiles.
const DEV: [&str; 5] = ["--bins", "--example", "crds", "--example", "field_table"];

/// Compiles every program and the load generator of `bench`.
///
/// # Errors
/// When a program does not compile.
pub(crate) fn with_bench(console: &Console) -> Result<()> {
    console.step("build with bench", |step| {
        quiet(
            step,
            cargo().args(["build", "--locked", "--workspace"]).args(DEV),
        )
    })
}

/// The gateway with the recorder of steps.
pub(crate) const WITH_RECORDER: &str = "bedrock-gateway-measured";

/// Compiles [`WITH_RECORDER`], with the same packages as the other programs, so that they share dependencies.
///
/// # Errors
/// When it does not compile.
pub(crate) fn with_recorder(console: &Console, profile: Profile) -> Result<()> {
    let mut command = cargo();
    command.args(["build", "--locked", "--features", "gateway/measure"]);
    if profile == Profile::Dev {
        command.args(["--workspace", "--example", "crds"]);
    } else {
        command.arg("--release");
        for package in ["gateway", "operator", "bench"] {
            command.args(["--package", package]);
        }
    }
    command.args(["--bin", WITH_RECORDER]);
    console.step("build with the recorder", |step| quiet(step, &mut command))
}

/// Compiles every program; quick if nothing changed.
///
/// # Errors
/// When a program does not compile.
pub(crate) fn programs(console: &Console, profile: Profile) -> Result<()> {
    let mut command = match profile {
        Profile::Dev | Profile::Release => cargo(),
        Profile::Published => {
            let profile = repository::root().join(PROFILE);
            let flag = format!("-Cprofile-use={}", profile.display());
            shipped(console, PUBLISHED, flag)?
        }
        Profile::Counting => {
            let flag = format!("-Cprofile-generate={}", counts().display());
            shipped(console, COUNTING, flag)?
        }
    };
    command.args(["build", "--locked"]);
    match profile {
        Profile::Dev => {
            command.args(DEV);
        }
        Profile::Release | Profile::Published | Profile::Counting => {
            // Without `serve --simulate`: an image serves Amazon Bedrock only.
            command.args(["--release", "--no-default-features"]);
            for (package, program) in SHIPPED {
                command.args(["--package", package, "--bin", program]);
            }
        }
    }
    console.step("build", |step| quiet(step, &mut command))?;
    if profile == Profile::Published {
        check_profile(console, &repository::target().join(PUBLISHED))?;
    }
    Ok(())
}

/// Directory of the counts, a file for each program that ended.
pub(crate) fn counts() -> PathBuf {
    repository::target().join(COUNTING).join("counts")
}

/// Cargo with the list of crates in each program, for scanners, and with the same paths on every machine, in a target
/// directory of its own: with other flags, cargo would compile everything again for the next command.
fn shipped(console: &Console, directory: &str, flag: String) -> Result<Command> {
    let auditable = tools::AUDITABLE.path(console)?;
    let mut command = cargo();
    for (name, value) in WITH_CRATES {
        command.env(name, value);
    }
    let directories = auditable.parent().map(Path::to_path_buf).into_iter();
    let path = env::var_os("PATH").unwrap_or_default();
    command.env(
        "PATH",
        env::join_paths(directories.chain(env::split_paths(&path)))?,
    );
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    let home = home.context("neither CARGO_HOME nor HOME is set")?;
    let [source, home] = [(repository::root(), "/source"), (home, "/cargo")]
        .map(|(path, name)| format!("--remap-path-prefix={}={name}", path.display()));
    command.env(
        "CARGO_ENCODED_RUSTFLAGS",
        [source, home, flag].join("\u{1f}"),
    );
    command.env("CARGO_TARGET_DIR", repository::target().join(directory));
    Ok(command)
}

/// Whether the gateway in a target directory has the functions of the profile, whose names depend on the versions and features of
/// crates, the compiler, its wrapper and the processor. Without them the profile has no effect.
///
/// # Errors
/// When it does not, or was not compiled.
fn check_profile(console: &Console, target: &Path) -> Result<()> {
    console.step("the profile knows the gateway", |_| {
        if cfg!(not(all(target_arch = "x86_64", target_os = "linux"))) {
            return Ok(());
        }
        let profile = fs::read(repository::root().join(PROFILE))?;
        let unit = codegen_unit(&newest_library(&target.join("release/deps"))?)?;
        ensure!(
            profile.windows(unit.len()).any(|part| part == unit.as_bytes()),
            "{PROFILE} has no function of {unit}: it was recorded with another compiler, version, or other dependencies or features. Fix: \
             cargo xtask profile"
        );
        Ok(())
    })
}

/// The library of the gateway that was compiled last.
fn newest_library(directory: &Path) -> Result<PathBuf> {
    let mut newest = None;
    for entry in fs::read_dir(directory)
        .with_context(|| format!("failed to read {}", directory.display()))?
    {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("libgateway-") && name.ends_with(".rlib") {
            newest = newest.max(Some((fs::metadata(&path)?.modified()?, path)));
        }
    }
    let (_, path) = newest.context("the library of the gateway is missing")?;
    Ok(path)
}

/// The name of the codegen units of the gateway's library, without their number, as `gateway.0123456789abcdef-cgu`.
fn codegen_unit(library: &Path) -> Result<String> {
    let found = fs::read(library)?.windows(28).find_map(|name| {
        let hash = name.strip_prefix(b"gateway.")?.strip_suffix(b"-cgu")?;
        let is_hash = hash.iter().all(u8::is_ascii_hexdigit);
        is_hash.then(|| String::from_utf8_lossy(name).into_owned())
    });
    found.with_context(|| format!("{} has no codegen unit", library.display()))
}

/// Path of a program that [`programs`] has built.
///
/// # Errors
/// When it does not exist.
pub(crate) fn program(profile: Profile, name: &str) -> Result<PathBuf> {
    let directory = match profile {
        Profile::Dev => "debug".to_owned(),
        Profile::Release => "release".to_owned(),
        Profile::Published => format!("{PUBLISHED}/release"),
        Profile::Counting => format!("{COUNTING}/release"),
    };
    let path = repository::target().join(directory).join(name);
    ensure!(
        path.is_file(),
        "{} does not exist although cargo built it",
        path.display()
    );
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With other packages or features, other functions than those of the profile are compiled.
    #[test]
    fn containerfile_builds_what_the_profile_was_recorded_with() {
        let text = fs::read_to_string(repository::root().join("Containerfile")).unwrap();
        let text = text.replace("\\\n", " ");
        let builds: Vec<&str> = text
            .split("&&")
            .filter(|command| command.contains("cargo build"))
            .collect();
        let [build] = builds.as_slice() else {
            panic!("{builds:?}")
        };
        let words: Vec<&str> = build.split_whitespace().collect();
        let expected = SHIPPED
            .iter()
            .flat_map(|(package, program)| ["--package", package, "--bin", program]);
        let expected: Vec<&str> = expected.collect();
        assert!(words.ends_with(&expected), "{words:?}");
        for word in ["--locked", "--release", "--no-default-features"] {
            assert!(words.contains(&word), "{word}");
        }
        assert!(words.contains(&format!("RUSTFLAGS=-Cprofile-use=/source/{PROFILE}").as_str()));
        for (name, value) in WITH_CRATES {
            let quoted = format!("{name}='{value}'");
            let plain = format!("{name}={value}");
            assert!(
                words.iter().any(|word| *word == plain || *word == quoted),
                "{name}"
            );
        }
    }
}
