//! Layers inside a crate: which top-level module may use which, and how large a circle of files may be.
//!
//! The tables below are the drawing of `docs/ARCHITECTURE.md`. Only shipped code is compared: tests may use anything.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, code};

/// A crate and its layers, the highest first.
#[derive(Debug)]
pub(super) struct Layers {
    /// Directory of its sources, with a slash at the end.
    source: &'static str,
    /// Top-level modules of each layer. A module may use itself and lower layers.
    order: &'static [&'static [&'static str]],
    /// Most files in a circle of modules that use each other; `None`: any number.
    largest_circle: Option<usize>,
}

/// The crates whose layers are checked.
pub(super) const CRATES: [Layers; 2] = [
    Layers {
        source: "gateway/src/",
        order: &[
            &["main", "lib", "bin", "cli"],
            &["server"],
            &["endpoints"],
            &["pipeline"],
            &["upstream"],
            &["config"],
            &["telemetry"],
            &["http"],
            &["measure"],
        ],
        largest_circle: Some(4),
    },
    Layers {
        source: "crates/dialects/src/",
        order: &[
            &["lib"],
            &["warned"],
            &["anthropic", "openai", "responses", "images", "rerank"],
            &["translation"],
            &["families"],
        ],
        largest_circle: None,
    },
];

/// A file and the modules of its crate that it uses.
#[derive(Debug)]
struct File<'a> {
    name: &'a str,
    module: Vec<String>,
    references: Vec<code::Reference>,
    /// Modules that this file declares for tests alone.
    test_modules: Vec<Vec<String>>,
}

impl Layers {
    /// Checks the files of this crate among `files`, pairs of name and text.
    pub(super) fn check(&self, files: &[(String, String)]) -> Vec<Finding> {
        let mut files: Vec<File<'_>> = files
            .iter()
            .filter_map(|(name, text)| self.file(name, text))
            .collect();
        let for_tests: BTreeSet<Vec<String>> = files
            .iter()
            .flat_map(|file| file.test_modules.iter().cloned())
            .collect();
        files.retain(|file| {
            (1..=file.module.len())
                .filter_map(|length| file.module.get(..length))
                .all(|module| !for_tests.contains(module))
        });
        let modules: BTreeSet<&[String]> =
            files.iter().map(|file| file.module.as_slice()).collect();
        let mut findings = Vec::new();
        for file in &files {
            findings.extend(self.check_file(file, &modules));
        }
        findings.extend(self.check_circles(&files));
        findings
    }

    /// The file as a module of this crate; `None` for another crate's files and for tests.
    fn file<'a>(&self, name: &'a str, text: &str) -> Option<File<'a>> {
        let path = name.strip_prefix(self.source)?.strip_suffix(".rs")?;
        let mut module: Vec<String> = path.split('/').map(str::to_owned).collect();
        if module.iter().any(|part| part == "tests") {
            return None;
        }
        if module == ["lib"] || module == ["main"] {
            module.clear();
        }
        let test_modules = code::test_modules(text)
            .into_iter()
            .map(|child| module.iter().cloned().chain([child]).collect())
            .collect();
        Some(File {
            name,
            test_modules,
            references: code::references(&module, text),
            module,
        })
    }

    fn check_file(&self, file: &File<'_>, modules: &BTreeSet<&[String]>) -> Vec<Finding> {
        let own = file.module.first().map_or_else(
            || {
                file.name
                    .trim_start_matches(self.source)
                    .trim_end_matches(".rs")
            },
            String::as_str,
        );
        let Some(own_layer) = self.layer(own) else {
            return vec![Finding::new(
                file.name,
                format!(
                    "module `{own}` has no layer: add it to xtask/src/tidy/layers.rs and docs/ARCHITECTURE.md"
                ),
            )];
        };
        let mut findings: Vec<Finding> = Vec::new();
        for reference in &file.references {
            let Some(used) = used_module(file, reference, modules) else {
                continue;
            };
            let Some(layer) = self.layer(used).filter(|_| used != own) else {
                continue;
            };
            // The root of a crate gathers what the crate offers.
            if layer <= own_layer && own_layer > 0 {
                let place = format!("{}:{}", file.name, reference.line);
                let what = if layer < own_layer {
                    "a higher layer"
                } else {
                    "the same layer"
                };
                let finding = Finding::new(
                    place,
                    format!(
                        "`{own}` must not use `{used}`, which is in {what} (from high to low: {})",
                        self.drawn()
                    ),
                );
                // A `use` tree names a module once for each item.
                if findings.last() != Some(&finding) {
                    findings.push(finding);
                }
            }
        }
        findings
    }

    fn layer(&self, module: &str) -> Option<usize> {
        self.order.iter().position(|layer| layer.contains(&module))
    }

    fn drawn(&self) -> String {
        let layers: Vec<String> = self.order.iter().map(|layer| layer.join(", ")).collect();
        layers.join(" > ")
    }

    /// Reports the largest circle of files when it is over the limit.
    fn check_circles(&self, files: &[File<'_>]) -> Option<Finding> {
        let limit = self.largest_circle?;
        let by_module: BTreeMap<&[String], usize> = files
            .iter()
            .enumerate()
            // The program is no module of the library.
            .filter(|(_, file)| !file.name.ends_with("/main.rs"))
            .map(|(index, file)| (file.module.as_slice(), index))
            .collect();
        let edges: Vec<BTreeSet<usize>> = files
            .iter()
            .enumerate()
            .map(|(index, file)| {
                file.references
                    .iter()
                    .filter_map(|reference| target(reference, &by_module))
                    .filter(|to| *to != index)
                    .collect()
            })
            .collect();
        let largest = circles(&edges)
            .into_iter()
            .max_by_key(Vec::len)
            .filter(|circle| circle.len() > limit)?;
        let mut names: Vec<&str> = largest
            .iter()
            .filter_map(|index| files.get(*index))
            .map(|file| file.name)
            .collect();
        names.sort_unstable();
        Some(Finding::new(
            self.source.trim_end_matches('/'),
            format!(
                "{} files use each other in a circle, at most {limit}: move what they share to a lower module: {}",
                names.len(),
                names.join(", ")
            ),
        ))
    }
}

/// The top-level module that a reference leads to; `lib` for items of the root, `None` for other crates.
fn used_module<'a>(
    file: &File<'_>,
    reference: &'a code::Reference,
    modules: &BTreeSet<&[String]>,
) -> Option<&'a str> {
    let first = reference.path.first()?;
    let is_module = modules.iter().any(|module| module.first() == Some(first));
    if is_module {
        return Some(first);
    }
    // At the root a path may begin with the name of another crate.
    (!file.module.is_empty()).then_some("lib")
}

/// The file that a reference leads to: the longest part of its path that is a module.
fn target(reference: &code::Reference, by_module: &BTreeMap<&[String], usize>) -> Option<usize> {
    (0..=reference.path.len())
        .rev()
        .filter_map(|length| reference.path.get(..length))
        .find_map(|path| by_module.get(path))
        .copied()
}

/// The strongly connected components of a graph, each as its nodes (Kosaraju's algorithm).
fn circles(edges: &[BTreeSet<usize>]) -> Vec<Vec<usize>> {
    let mut reversed = vec![BTreeSet::new(); edges.len()];
    for (from, targets) in edges.iter().enumerate() {
        for to in targets {
            if let Some(sources) = reversed.get_mut(*to) {
                sources.insert(from);
            }
        }
    }
    let mut seen = BTreeSet::new();
    let mut order = Vec::new();
    for node in 0..edges.len() {
        visit(node, edges, &mut seen, &mut order);
    }
    seen.clear();
    let mut found = Vec::new();
    for node in order.into_iter().rev() {
        let mut circle = Vec::new();
        visit(node, &reversed, &mut seen, &mut circle);
        if !circle.is_empty() {
            found.push(circle);
        }
    }
    found
}

/// Appends what is reachable from `node` and was not seen, each node after those it leads to.
fn visit(
    node: usize,
    edges: &[BTreeSet<usize>],
    seen: &mut BTreeSet<usize>,
    order: &mut Vec<usize>,
) {
    if !seen.insert(node) {
        return;
    }
    for next in edges.get(node).into_iter().flatten() {
        visit(*next, edges, seen, order);
    }
    order.push(node);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway() -> &'static Layers {
        &CRATES[0]
    }

    fn dialects() -> &'static Layers {
        &CRATES[1]
    }

    #[track_caller]
    fn check_row(layers: &Layers, files: &[(&str, &str)], expected: &[&str]) {
        let files: Vec<(String, String)> = files
            .iter()
            .map(|(name, text)| (format!("{}{name}", layers.source), (*text).to_owned()))
            .collect();
        let found: Vec<String> = layers
            .check(&files)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{found}");
        }
    }

    #[test]
    fn accepts_paths_into_lower_layers_and_within_a_module() {
        check_row(
            gateway(),
            &[
                (
                    "lib.rs",
                    "mod config;\npub use config::Settings;\nuse bytes::Bytes;",
                ),
                ("main.rs", "use gateway::Settings;\nuse clap::Parser;"),
                (
                    "endpoints.rs",
                    "mod chat;\nuse chat::X;\nuse crate::{pipeline, config::Settings};",
                ),
                (
                    "endpoints/chat.rs",
                    "use super::Y;\nuse crate::http::reply;",
                ),
                ("pipeline.rs", "fn f() { crate::upstream::call() }"),
                ("upstream.rs", ""),
                ("config.rs", "use serde::Deserialize;"),
                ("http.rs", ""),
            ],
            &[],
        );
    }

    #[test]
    fn refuses_an_upward_path_in_the_gateway() {
        let endpoints = ("endpoints.rs", "");
        for text in [
            "use crate::endpoints::Endpoint;",
            "use crate::{\n    endpoints,\n};",
            "fn f() { crate::endpoints::f() }",
            "use super::super::endpoints;",
        ] {
            check_row(
                gateway(),
                &[endpoints, ("upstream.rs", ""), ("upstream/send.rs", text)],
                &["`upstream` must not use `endpoints`, which is in a higher layer"],
            );
        }
        check_row(
            gateway(),
            &[("lib.rs", ""), ("http.rs", "\n\nuse crate::Settings;")],
            &["gateway/src/http.rs:3: `http` must not use `lib`"],
        );
    }

    #[test]
    fn refuses_an_upward_path_and_a_path_between_dialects() {
        let files = |name, text| [("openai.rs", ""), ("translation.rs", ""), (name, text)];
        check_row(
            dialects(),
            &files("translation/fields.rs", "pub use crate::openai::fields::*;"),
            &["`translation` must not use `openai`, which is in a higher layer"],
        );
        check_row(
            dialects(),
            &files(
                "responses/decode.rs",
                "use crate::{openai::decode, translation};",
            ),
            &["`responses` must not use `openai`, which is in the same layer"],
        );
        check_row(
            dialects(),
            &files("families.rs", "fn f(_: super::translation::Context) {}"),
            &["`families` must not use `translation`"],
        );
    }

    #[test]
    fn tests_may_use_anything() {
        check_row(
            dialects(),
            &[
                ("openai.rs", ""),
                ("families/tests.rs", "use crate::openai;"),
                ("families/golden.rs", "use crate::openai;"),
                (
                    "families.rs",
                    "#[cfg(test)]\nmod golden;\n#[cfg(test)]\nmod tests {\n    use crate::openai;\n}",
                ),
            ],
            &[],
        );
    }

    #[test]
    fn refuses_a_module_without_a_layer() {
        check_row(
            dialects(),
            &[("extra.rs", "")],
            &["module `extra` has no layer"],
        );
    }

    #[test]
    fn refuses_a_circle_of_more_than_four_files() {
        let names = ["a", "b", "c", "d", "e"];
        let circle = |count: usize| -> Vec<(String, String)> {
            names
                .iter()
                .zip(names.iter().cycle().skip(1))
                .take(count)
                .map(|(name, next)| {
                    let next = if *name == names[count - 1] { "a" } else { next };
                    let name = format!("gateway/src/http/{name}.rs");
                    (name, format!("use super::{next}::X;"))
                })
                .collect()
        };
        assert_eq!(gateway().check(&circle(4)), []);
        let found = gateway().check(&circle(5));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].to_string().starts_with("gateway/src: 5 files"),
            "{found:?}"
        );
    }
}
