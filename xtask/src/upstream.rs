//! Compares the newest releases of AWS's service models and of the clients with what this repository supports.

mod constraints;
mod packages;

use anyhow::{Context, Result};

use crate::{console::Console, repository};

/// Downloads the newest packages and compares them; `write` also renews the data of the simulated AWS.
pub(crate) fn upstream(console: &Console, write: bool) -> Result<()> {
    let python = console.step("download SDKs", packages::python)?;
    let npm = console.step("download agents", packages::npm)?;
    for package in python.iter().chain(&npm) {
        println!("    {} {}", package.name, package.version);
    }
    let botocore = python
        .iter()
        .find(|package| package.name == "botocore")
        .context("botocore was not downloaded")?;
    console.step("service models", |step| {
        let data = constraints::convert(step, botocore)?;
        let path = repository::root().join(constraints::FILE);
        if write {
            repository::write(&path, constraints::render(&data))?;
        }
        Ok(())
    })
}
