//! Container images without a container engine: a minimal Debian root and one program, written as a docker archive for
//! `docker load`, `ctr images import` and `kind load image-archive`.
//!
//! The root's files are copied from the machine that linked the program, so that program and C library match. The same
//! program results in the same bytes. On systems other than Linux, use `Containerfile`.

mod archive;
mod check;
mod contents;
mod python;
mod root;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use self::{archive::Image, contents::Contents, root::Root};
use crate::{
    build::{self, Profile},
    console::{Console, Step},
    process::{capture, command, quiet},
    repository,
};

/// Largest size of a released image: nodes pull it.
const MAX_BYTES: u64 = 40_000_000;
/// Largest size of an image of a development build, which stays on this machine.
const MAX_DEVELOPMENT_BYTES: u64 = 65_000_000;
/// Registry of the images, as the chart and the operator name it.
pub(crate) const REGISTRY: &str = "bedrock-access";
/// The version of this workspace and tag of the images.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Name of an image, its program, and its description.
const IMAGES: [(&str, &str); 3] = [
    (
        "bedrock-access-operator",
        "Kubernetes operator for Amazon Bedrock access",
    ),
    (
        "bedrock-gateway",
        "OpenAI-compatible gateway that signs calls to Amazon Bedrock",
    ),
    (
        "awsdouble",
        "Simulated STS and Amazon Bedrock Runtime for tests and demos",
    ),
];

/// The demo's application: a program that waits, and a client.
const DEMO_APP: &str = "bedrock-access-demo-app";

/// Python with client libraries, like the image of a team.
const PYTHON: &str = "bedrock-access-demo-python";

/// A written image.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    /// Reference with tag.
    pub(crate) reference: String,
    /// The docker archive.
    pub(crate) path: PathBuf,
}

pub(crate) use check::{build_and_check, check, reproduce};

/// Builds and writes the images, for `cargo xtask image`.
pub(crate) fn image(console: &Console, release: bool) -> Result<()> {
    let profile = if release {
        Profile::Published
    } else {
        Profile::Dev
    };
    build::programs(console, profile)?;
    let written = write_all(console, profile, &[])?;
    if release {
        check::lists_of_crates(console, profile)?;
    }
    for image in &written {
        let size = fs::metadata(&image.path)
            .map(|data| data.len())
            .unwrap_or_default();
        console.note(&format!(
            "{:>5}.{} MB  {}  {}",
            size / 1_000_000,
            size % 1_000_000 / 100_000,
            image.reference,
            image.path.display()
        ));
    }
    Ok(())
}

/// Writes an archive for each program, which must be built, with the tag of this version and others.
pub(crate) fn write_all(
    console: &Console,
    profile: Profile,
    more_tags: &[&str],
) -> Result<Vec<Written>> {
    console.step("images", |step| {
        IMAGES
            .iter()
            .map(|(name, about)| write(step, profile, name, about, name, &[], more_tags))
            .collect()
    })
}

/// Writes what an image contains beside its program, for images that are built by `Containerfile`.
pub(crate) fn contents_to(console: &Console, directory: &Path) -> Result<()> {
    console.step("licences and SBOMs", |step| {
        let created = created(step)?;
        for (program, _) in IMAGES {
            let mut root = Root::default();
            Contents::new(step, Profile::Published, program, &[], created.clone())?
                .add_to(&mut root)?;
            root.write_files(&directory.join(program))?;
        }
        Ok(())
    })
}

/// Writes the demo's application.
pub(crate) fn write_demo_app(console: &Console) -> Result<Written> {
    console.step("image of the demo's app", |step| {
        let about = "Application of the demo";
        write(
            step,
            Profile::Dev,
            DEMO_APP,
            about,
            "bedrock-gateway",
            &[Path::new("/usr/bin/sleep")],
            &[],
        )
    })
}

/// Writes an image of Python with client libraries and the demo's script.
pub(crate) fn write_python(console: &Console) -> Result<Written> {
    console.step("image with Python and client libraries", |step| {
        let image = Image {
            reference: format!("{REGISTRY}/{PYTHON}:{VERSION}"),
            more_tags: Vec::new(),
            title: PYTHON.to_owned(),
            about: "Python with client libraries, for the demo".to_owned(),
            version: VERSION.to_owned(),
            revision: revision(step)?,
            created: created(step)?,
            program: "python3".to_owned(),
            layers: vec![python::root(step)?],
        };
        archived(image)
    })
}

/// Writes the archive of an image.
fn archived(image: Image) -> Result<Written> {
    let path = repository::target()
        .join("images")
        .join(format!("{}.tar", image.title));
    repository::write(&path, image.archive()?)?;
    Ok(Written {
        reference: image.reference,
        path,
    })
}

fn write(
    step: &Step,
    profile: Profile,
    name: &str,
    about: &str,
    program: &str,
    extra: &[&Path],
    more_tags: &[&str],
) -> Result<Written> {
    ensure!(
        cfg!(target_os = "linux"),
        "images are built from files of this machine, which needs Linux. Fix: docker build --file Containerfile --target gateway (or operator) ."
    );
    let stripped = stripped(step, profile, program)?;
    if profile == Profile::Published && program == "bedrock-gateway" {
        cannot_simulate(&stripped)?;
    }
    let mut base = Root::minimal()?;
    base.add_libraries_of(step, &stripped)?;
    for program in extra {
        base.add_program(program, &program.display().to_string())?;
        base.add_libraries_of(step, program)?;
    }
    let created = created(step)?;
    let contents = Contents::new(step, profile, program, &base.packages, created.clone())?;
    let mut top = Root::default();
    top.add_program(&stripped, &format!("usr/local/bin/{program}"))?;
    contents.add_to(&mut top)?;
    let image = Image {
        reference: format!("{REGISTRY}/{name}:{VERSION}"),
        more_tags: more_tags.iter().map(ToString::to_string).collect(),
        title: name.to_owned(),
        about: about.to_owned(),
        version: VERSION.to_owned(),
        revision: revision(step)?,
        created,
        program: program.to_owned(),
        layers: vec![base, top],
    };
    let written = archived(image)?;
    let path = &written.path;
    // Beside the archive, too: scanners and registries take them without the image.
    for (file, text) in contents.sboms() {
        repository::write(&path.with_file_name(file), text)?;
    }
    let size = fs::metadata(path)
        .with_context(|| format!("failed to read the metadata of {}", path.display()))?
        .len();
    let most = match profile {
        Profile::Dev => MAX_DEVELOPMENT_BYTES,
        Profile::Release | Profile::Published | Profile::Counting => MAX_BYTES,
    };
    ensure!(
        size <= most,
        "{} has {size} bytes, more than {most}",
        path.display()
    );
    Ok(written)
}

/// Checks that a gateway for clusters was built without the simulated AWS.
fn cannot_simulate(gateway: &Path) -> Result<()> {
    let output = Command::new(gateway)
        .args(["serve", "--simulate"])
        .env("KUBERNETES_SERVICE_HOST", "image")
        .output()
        .with_context(|| format!("failed to run {}", gateway.display()))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        errors.contains("has no simulated AWS"),
        "the released gateway must be built without the feature `simulate`: {errors}"
    );
    Ok(())
}

/// Copies a program without debug information and names of functions, which would make an image of a development build
/// too large.
pub(crate) fn stripped(step: &Step, profile: Profile, program: &str) -> Result<PathBuf> {
    let copy = repository::scratch("stripped")?.join(program);
    let what = match profile {
        Profile::Dev => "--strip-all",
        Profile::Release | Profile::Published | Profile::Counting => "--strip-debug",
    };
    quiet(
        step,
        command("strip")
            .arg(what)
            // A hash that also depends on debug information, which contains paths of this machine.
            .arg("--remove-section=.note.gnu.build-id")
            .arg("-o")
            .arg(&copy)
            .arg(build::program(profile, program)?),
    )
    .context("install Debian's package binutils")?;
    Ok(copy)
}

/// The commit, for the image's label; `unknown` outside a git work tree.
fn revision(step: &Step) -> Result<String> {
    let mut git = Command::new("git");
    git.args(["rev-parse", "HEAD"])
        .current_dir(repository::root());
    if !git.output().is_ok_and(|output| output.status.success()) {
        return Ok("unknown".to_owned());
    }
    Ok(capture(step, &mut git)?.trim().to_owned())
}

/// Time of the commit in UTC, or of `SOURCE_DATE_EPOCH`, for the image and its SBOMs. The same commit
/// results in the same bytes. Outside a git work tree, the beginning of Unix time.
fn created(step: &Step) -> Result<String> {
    let mut git = Command::new("git");
    git.args(["log", "-1", "--format=%ct"])
        .current_dir(repository::root());
    let seconds = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(seconds) if !seconds.is_empty() => seconds,
        _ if git.output().is_ok_and(|output| output.status.success()) => capture(step, &mut git)?,
        _ => "0".to_owned(),
    };
    let mut date = command("date");
    date.args(["--utc", &format!("--date=@{}", seconds.trim())]);
    let text = capture(step, date.arg("+%Y-%m-%dT%H:%M:%SZ"))
        .context("SOURCE_DATE_EPOCH must be seconds since 1970")?;
    Ok(text.trim().to_owned())
}
