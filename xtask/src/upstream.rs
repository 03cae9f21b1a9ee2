//! Compares the newest releases of AWS's service models, of the SDKs and of the agents with what this repository
//! supports.
//!
//! A name that a package has and the product does not (a field, an item, a block, a tool, a beta flag, a member of
//! Converse) needs a decision in `docs/upstream.md`. The data of the simulated AWS must be that of the newest service
//! models.

mod constraints;
mod decisions;
mod names;
mod packages;
mod python;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{console::Console, repository};

/// Downloads the newest packages and compares them; `write` also renews the data of the simulated AWS.
pub(crate) fn upstream(console: &Console, write: bool) -> Result<()> {
    let packages = console.step("download", packages::download)?;
    let versions: Vec<String> = packages
        .iter()
        .map(|package| format!("{} {}", package.name, package.version))
        .collect();
    println!("    {}", versions.join(", "));
    let find = |name: &str| {
        packages
            .iter()
            .find(|package| package.name == name)
            .with_context(|| format!("{name} was not downloaded"))
    };
    let botocore = find("botocore")?;
    let data = console.step("service models", |step| {
        let data = constraints::convert(step, botocore)?;
        let path = repository::root().join(constraints::FILE);
        if write {
            repository::write(&path, constraints::render(&data))?;
        }
        Ok(data)
    })?;
    let (codex, claude_code) = (find("codex")?, find("claude-code")?);
    let mut names = names::of_sdks(&packages)?;
    names.extend(names::of_converse(&data));
    console.step("agents", |step| {
        let program = codex.directory.join(packages::CODEX);
        names.extend(names::of_codex(step, &program)?);
        let program = claude_code.directory.join(packages::CLAUDE_CODE);
        names.extend(names::of_claude_code(step, &program)?);
        Ok(())
    })?;
    names.sort();
    let decisions = decisions::read()?;
    let (missing, stale) = decisions::compare(&names, &decisions)?;
    let changed = changed_shapes(&data)?;
    println!(
        "    {} names, {} decisions, {} names without either",
        names.len(),
        decisions.len(),
        missing.len()
    );
    for one in &stale {
        println!("    no longer in any package: {one}");
    }
    for one in &missing {
        println!("    new: {} {} {}", one.package, one.kind, one.name);
    }
    for one in &changed {
        println!("    changed: {one}");
    }
    if missing.is_empty() && changed.is_empty() {
        return Ok(());
    }
    bail!(
        "{} names without a decision, {} changed shapes. Fix: support the names or add a row for each to {}; renew {} with `cargo xtask upstream --write`",
        missing.len(),
        changed.len(),
        decisions::PAGE,
        constraints::FILE
    )
}

/// The value at a JSON pointer; null if absent.
fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

/// The operations and shapes that differ from the data of the simulated AWS.
fn changed_shapes(new: &Value) -> Result<Vec<String>> {
    let text = repository::read(&repository::root().join(constraints::FILE))?;
    let old: Value = serde_json::from_str(&text)
        .with_context(|| format!("{} is not valid JSON", constraints::FILE))?;
    let mut changed = Vec::new();
    for (service, model) in at(new, "/services").as_object().into_iter().flatten() {
        let before = at(&old, &format!("/services/{service}"));
        for part in ["operations", "shapes"] {
            let entries = |model: &Value| {
                at(model, &format!("/{part}"))
                    .as_object()
                    .cloned()
                    .unwrap_or_default()
            };
            let (old, new) = (entries(before), entries(model));
            let names = new
                .keys()
                .chain(old.keys().filter(|name| !new.contains_key(*name)));
            for name in names.filter(|name| old.get(*name) != new.get(*name)) {
                changed.push(format!("{service} {name}"));
            }
        }
    }
    Ok(changed)
}
