//! What an image consists of: the crates of its program as cargo resolves them, the Rust standard library, and Debian
//! packages. Written as two SBOMs and one file of licences, all inside the image.
//!
//! Own code, because no tool that lists crates knows the Debian packages, and those that write SPDX list the whole
//! workspace without regard to features. Equal sources give equal bytes.

mod crates;
mod cyclonedx;
mod licences;
mod spdx;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    path::PathBuf,
};

use anyhow::Result;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::root::{Package, Root};
use crate::{
    build::{self, Profile},
    console::Step,
    repository,
};

/// A part of an image.
#[derive(Clone, Debug, Default)]
pub(super) struct Component {
    /// Its name where it comes from.
    pub(super) name: String,
    /// Its version there.
    pub(super) version: String,
    /// A package URL, which identifies it: <https://github.com/package-url/purl-spec>.
    pub(super) purl: String,
    /// SPDX expression; unknown for Debian packages, whose copyright files are in the image.
    licence: Option<String>,
    /// SHA-256 of the crate's archive, by `Cargo.lock`.
    pub(super) checksum: Option<String>,
    /// Who provides it, if that is known.
    supplier: Option<&'static str>,
    /// Whether it is in the image. Otherwise it only ran during the build, such as a macro.
    pub(super) shipped: bool,
    /// Sources of a crate that is not of this workspace.
    directory: Option<PathBuf>,
}

/// All parts of an image with one program.
#[derive(Debug)]
pub(super) struct Contents {
    /// The program.
    program: Component,
    /// Everything else.
    pub(super) components: Vec<Component>,
    /// Package URLs of a crate and of the crates that it uses.
    uses: BTreeMap<String, BTreeSet<String>>,
    /// Time of the commit, in UTC.
    created: String,
}

impl Contents {
    /// The crates of a program of this workspace, and Debian packages.
    pub(super) fn new(
        step: &Step,
        profile: Profile,
        program: &str,
        debian: &[Package],
        created: String,
    ) -> Result<Self> {
        let package = build::package(program)?;
        let (own, mut components, mut uses) = crates::of(step, profile, package)?;
        let program = Component {
            name: program.to_owned(),
            ..own
        };
        components.push(crates::standard_library(step)?);
        components.extend(debian.iter().map(debian_component));
        let all = uses.entry(program.purl.clone()).or_default();
        for component in &components {
            if component.purl.starts_with("pkg:deb/") || component.purl.starts_with("pkg:generic/")
            {
                all.insert(component.purl.clone());
            }
        }
        Ok(Self {
            program,
            components,
            uses,
            created,
        })
    }

    /// The file names and texts of the SBOMs.
    pub(super) fn sboms(&self) -> [(String, String); 2] {
        let name = &self.program.name;
        [
            (format!("{name}.cdx.json"), text(&cyclonedx::document(self))),
            (format!("{name}.spdx.json"), text(&spdx::document(self))),
        ]
    }

    /// Adds the SBOMs and the licences where scanners look for them.
    pub(super) fn add_to(&self, root: &mut Root) -> Result<()> {
        for (name, text) in self.sboms() {
            root.add_text(&format!("usr/share/sbom/{name}"), &text);
        }
        let directory = format!("usr/share/doc/{}", self.program.name);
        let own = repository::read(&repository::root().join("LICENSE"))?;
        root.add_text(&format!("{directory}/LICENSE"), &own);
        let others = licences::text(&self.program, &self.components)?;
        root.add_text(&format!("{directory}/THIRD-PARTY-LICENSES.txt"), &others);
        if let Some(library) = licences::of_standard_library()? {
            root.add_text(
                &format!("{directory}/rust-library-copyright.html"),
                &library,
            );
        }
        Ok(())
    }

    /// A UUID of the content, as a URN.
    fn urn(&self) -> String {
        let mut hash = Sha256::new();
        for part in [&self.program].into_iter().chain(&self.components) {
            hash.update(&part.purl);
        }
        hash.update(&self.created);
        let hex = hash
            .finalize()
            .iter()
            .take(16)
            .fold(String::new(), |mut text, byte| {
                // Writing to a String does not fail.
                write!(text, "{byte:02x}").unwrap_or_default();
                text
            });
        let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
        // Version 8, variant 2: <https://www.rfc-editor.org/rfc/rfc9562#section-5.8>.
        format!(
            "urn:uuid:{}-{}-8{}-a{}-{}",
            part(0, 8),
            part(8, 12),
            part(13, 16),
            part(17, 20),
            part(20, 32)
        )
    }
}

fn debian_component(package: &Package) -> Component {
    let Package {
        name,
        version,
        architecture,
        distribution,
    } = package;
    // `+` and `:` of a version are escaped in a package URL.
    let vendor = distribution
        .split_once('-')
        .map_or("debian", |(vendor, _)| vendor);
    let escaped = version.replace('+', "%2B").replace(':', "%3A");
    Component {
        name: name.clone(),
        version: version.clone(),
        purl: format!(
            "pkg:deb/{vendor}/{name}@{escaped}?arch={architecture}&distro={distribution}"
        ),
        supplier: Some("Debian"),
        shipped: true,
        ..Component::default()
    }
}

fn text(document: &Value) -> String {
    // A Value has string keys only, so writing it does not fail.
    let mut text = serde_json::to_string(document).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests;
