//! Writes the custom resource definitions into a folder: what `cargo xtask crds` runs.

use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = env::args_os()
        .nth(1)
        .map(PathBuf::from)
        .ok_or("name the folder to write to")?;
    for (name, yaml) in api::v1alpha1::crd_files()? {
        fs::write(folder.join(name), yaml)?;
    }
    Ok(())
}
