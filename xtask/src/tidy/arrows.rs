//! Dependencies between crates: the drawing of `docs/ARCHITECTURE.md`, compared with `cargo metadata`.

use anyhow::{Context, Result};
use serde_json::Value;

use super::Finding;

/// A package of this workspace and the packages of this workspace that its shipped code may use.
const ARROWS: [(&str, &[&str]); 13] = [
    ("api", &[]),
    ("awsdouble", &[]),
    ("bedrock", &[]),
    ("bench", &["api", "localcluster"]),
    ("credentials", &[]),
    ("dialects", &["bedrock"]),
    ("exposition", &["api"]),
    (
        "gateway",
        &["api", "bedrock", "credentials", "dialects", "exposition"],
    ),
    (
        "kubectl-bedrock",
        &["api", "credentials", "exposition", "gateway"],
    ),
    ("localcluster", &[]),
    ("operator", &["api", "exposition"]),
    (
        "tests",
        &[
            "api",
            "awsdouble",
            "bedrock",
            "credentials",
            "dialects",
            "gateway",
            "kubectl-bedrock",
            "localcluster",
            "operator",
        ],
    ),
    ("xtask", &["api"]),
];

/// Packages that tests of products and their libraries may use as well.
const RIGS: [&str; 2] = ["awsdouble", "localcluster"];

/// Dependencies on rigs that a Cargo feature switches off: `serve --simulate`, which no image has.
const OPTIONAL: [(&str, &str); 1] = [("gateway", "awsdouble")];

/// Packages without I/O.
const PURE: [&str; 3] = ["api", "bedrock", "dialects"];

/// Packages that open sockets or files or read clocks.
const IMPURE: [&str; 9] = [
    "aws-config",
    "axum",
    "hyper",
    "hyper-util",
    "kube-runtime",
    "reqwest",
    "rustls",
    "tokio",
    "tower",
];

/// Compares the workspace with the drawing.
pub(super) fn check(metadata: &Value) -> Result<Vec<Finding>> {
    let packages = metadata
        .get("packages")
        .and_then(Value::as_array)
        .context("cargo metadata has no packages")?;
    let names: Vec<&str> = packages
        .iter()
        .filter_map(|package| text(package, "name"))
        .collect();
    let mut findings = Vec::new();
    for package in packages {
        let name = text(package, "name").context("a package has no name")?;
        let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| *known == name) else {
            findings.push(Finding::new(
                name,
                "is not in the drawing of docs/ARCHITECTURE.md: add it there and to xtask/src/tidy/arrows.rs",
            ));
            continue;
        };
        for dependency in package
            .get("dependencies")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let on = text(dependency, "name").unwrap_or_default();
            let for_tests = text(dependency, "kind") == Some("dev");
            let ours = names.contains(&on);
            let optional = dependency.get("optional") == Some(&Value::Bool(true))
                && OPTIONAL.contains(&(name, on));
            let may_use = optional || allowed.contains(&on);
            if ours && !may_use && !(for_tests && RIGS.contains(&on) && !RIGS.contains(&name)) {
                findings.push(Finding::new(
                    name,
                    format!("must not depend on {on}: docs/ARCHITECTURE.md has no such arrow"),
                ));
            }
            if PURE.contains(&name) && !for_tests && IMPURE.contains(&on) {
                findings.push(Finding::new(
                    name,
                    format!("is pure and must not depend on {on}"),
                ));
            }
        }
    }
    Ok(findings)
}

/// Versions are in the root manifest only, and every member uses its lints.
pub(super) fn manifest(name: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    // Packages outside the workspace, like the fuzz targets, have their own versions.
    if text.contains("[workspace]") {
        return findings;
    }
    let mut section = "";
    let mut lints = false;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.starts_with('[') {
            section = line;
        } else if section == "[lints]" && line == "workspace = true" {
            lints = true;
        } else if section.trim_end_matches(']').ends_with("dependencies")
            && line.contains('=')
            && !line.starts_with('#')
            && !line.contains("workspace = true")
        {
            findings.push(Finding::new(
                format!("{name}:{number}"),
                "a member has no version of its own: add it to [workspace.dependencies] of the root and write `.workspace = true`",
            ));
        }
    }
    if !lints {
        findings.push(Finding::new(
            name,
            "lacks `[lints]` with `workspace = true`",
        ));
    }
    findings
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn workspace(dependencies: &Value) -> Value {
        json!({"packages": [
            {"name": "gateway", "dependencies": dependencies},
            {"name": "operator", "dependencies": []},
            {"name": "awsdouble", "dependencies": []},
            {"name": "api", "dependencies": []},
        ]})
    }

    #[track_caller]
    fn check_row(dependencies: &Value, expected: &[&str]) {
        let found = check(&workspace(dependencies)).unwrap();
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{found}");
        }
    }

    #[test]
    fn arrows_of_the_drawing_and_foreign_packages_are_accepted() {
        check_row(
            &json!([{"name": "api", "kind": null}, {"name": "tokio", "kind": null}]),
            &[],
        );
    }

    #[test]
    fn products_that_see_each_other_are_refused_even_in_tests() {
        let expected = ["gateway: must not depend on operator"];
        check_row(&json!([{"name": "operator", "kind": null}]), &expected);
        check_row(&json!([{"name": "operator", "kind": "dev"}]), &expected);
    }

    #[test]
    fn rigs_are_for_tests_only() {
        check_row(&json!([{"name": "awsdouble", "kind": "dev"}]), &[]);
        check_row(
            &json!([{"name": "awsdouble", "kind": null}]),
            &["must not depend on awsdouble"],
        );
        check_row(
            &json!([{"name": "awsdouble", "kind": null, "optional": true}]),
            &[],
        );
    }

    #[test]
    fn pure_package_with_a_way_to_a_socket_is_refused_but_not_its_tests() {
        let package = |kind: Value| {
            json!({"packages": [
                {"name": "dialects", "dependencies": [{"name": "tokio", "kind": kind}]}
            ]})
        };
        assert!(check(&package(json!("dev"))).unwrap().is_empty());
        let found = check(&package(Value::Null)).unwrap();
        assert!(found[0].to_string().contains("is pure"), "{found:?}");
    }

    #[test]
    fn package_that_is_not_drawn_is_refused() {
        let found = check(&json!({"packages": [{"name": "extra", "dependencies": []}]})).unwrap();
        assert!(
            found[0].to_string().contains("not in the drawing"),
            "{found:?}"
        );
    }

    #[test]
    fn member_with_a_version_of_its_own_or_without_lints_is_refused() {
        let good = "[dependencies]\nserde.workspace = true\ntokio = { workspace = true }\n\n[lints]\nworkspace = true\n";
        assert!(manifest("a/Cargo.toml", good).is_empty());
        let bad = "[dev-dependencies]\nserde = \"1\"\n";
        let found = manifest("a/Cargo.toml", bad);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].to_string().starts_with("a/Cargo.toml:2: "),
            "{found:?}"
        );
    }
}
