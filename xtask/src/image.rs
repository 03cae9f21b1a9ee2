//! Container images without a container engine: a minimal Debian root and one program, written as a
//! docker archive that `docker load`, `ctr images import` and `kind load image-archive` take.
//!
//! The root's files are those of the machine the program was linked on, so that program and C library
//! fit. The same program gives the same bytes. On other systems than Linux: `Dockerfile`.

mod archive;
mod python;
mod root;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use self::{archive::Image, root::Root};
use crate::{
    build::{self, Profile},
    console::{Console, Step},
    process::{capture, command, quiet},
    repository,
};

/// No image that is shipped may be larger: they are pulled onto every node.
const MAX_BYTES: u64 = 40_000_000;
/// Nor may one of a development build, which never leaves this machine.
const MAX_DEVELOPMENT_BYTES: u64 = 60_000_000;
/// Where images are published, and the names the chart and the operator use.
pub(crate) const REGISTRY: &str = "bedrock-access";
/// The version of this workspace, which images are tagged with.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Name of an image, its program, and what it is.
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

/// Python with client libraries, as a team's own image would hold them.
const PYTHON: &str = "bedrock-access-demo-python";

/// An image as it was written.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    /// Reference, with tag.
    pub(crate) reference: String,
    /// The docker archive.
    pub(crate) path: PathBuf,
}

/// Builds and writes the images, for `cargo xtask image`.
pub(crate) fn image(console: &Console, release: bool) -> Result<()> {
    let profile = if release {
        Profile::Release
    } else {
        Profile::Dev
    };
    build::programs(console, profile)?;
    let written = write_all(console, profile)?;
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

/// Writes an archive for each of our programs, which are built already.
pub(crate) fn write_all(console: &Console, profile: Profile) -> Result<Vec<Written>> {
    console.step("images", |step| {
        IMAGES
            .iter()
            .map(|(name, about)| write(step, profile, name, about, name, &[]))
            .collect()
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
        )
    })
}

/// Writes a Python with client libraries and the demo's script.
pub(crate) fn write_python(console: &Console) -> Result<Written> {
    console.step("image with Python and client libraries", |step| {
        let image = Image {
            reference: format!("{REGISTRY}/{PYTHON}:{VERSION}"),
            title: PYTHON.to_owned(),
            about: "Python with client libraries, for the demo".to_owned(),
            version: VERSION.to_owned(),
            revision: revision(step)?,
            program: "python3".to_owned(),
            layers: vec![python::root(step)?],
        };
        archived(image)
    })
}

/// Writes the archive of an image into its place.
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
) -> Result<Written> {
    ensure!(
        cfg!(target_os = "linux"),
        "images are made of this machine's files, which takes Linux: use `docker build` with Dockerfile instead"
    );
    let stripped = stripped(step, profile, program)?;
    let mut base = Root::minimal()?;
    base.add_libraries_of(step, &stripped)?;
    for program in extra {
        base.add_program(program, &program.display().to_string())?;
        base.add_libraries_of(step, program)?;
    }
    let mut top = Root::default();
    top.add_program(&stripped, &format!("usr/local/bin/{program}"))?;
    let image = Image {
        reference: format!("{REGISTRY}/{name}:{VERSION}"),
        title: name.to_owned(),
        about: about.to_owned(),
        version: VERSION.to_owned(),
        revision: revision(step)?,
        program: program.to_owned(),
        layers: vec![base, top],
    };
    let written = archived(image)?;
    let path = &written.path;
    let size = fs::metadata(path)
        .with_context(|| format!("failed to look at {}", path.display()))?
        .len();
    let most = match profile {
        Profile::Dev => MAX_DEVELOPMENT_BYTES,
        Profile::Release => MAX_BYTES,
    };
    ensure!(
        size <= most,
        "{} has {size} bytes, more than {most}",
        path.display()
    );
    Ok(written)
}

/// A copy of a program without what only a debugger reads. Names of functions, which a heap profile shows, would make
/// a development build too large for its image.
fn stripped(step: &Step, profile: Profile, program: &str) -> Result<PathBuf> {
    let copy = repository::scratch("stripped")?.join(program);
    let what = match profile {
        Profile::Dev => "--strip-all",
        Profile::Release => "--strip-debug",
    };
    quiet(
        step,
        command("strip")
            .arg(what)
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
