//! The names that the newest packages have: fields, items, blocks, tools, beta flags, members of Converse.

use std::{collections::BTreeSet, path::Path};

use anyhow::{Context, Result};
use serde_json::Value;

use super::{at, packages::Package, python};
use crate::{
    console::Step,
    process::{capture, command},
};

/// A name in a package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) package: &'static str,
    pub(super) kind: &'static str,
    pub(super) name: String,
}

/// How to read a kind of names from a module of an SDK.
enum Reader {
    Fields,
    Types,
    Values,
}

/// Package, kind, module, class or alias, reader.
const SDKS: [(&str, &str, &str, &str, Reader); 12] = [
    (
        "openai",
        "Chat field",
        "types/chat/completion_create_params.py",
        "CompletionCreateParamsBase",
        Reader::Fields,
    ),
    (
        "openai",
        "Chat part",
        "types/chat/chat_completion_content_part_param.py",
        "ChatCompletionContentPartParam",
        Reader::Types,
    ),
    (
        "openai",
        "Chat tool",
        "types/chat/chat_completion_tool_union_param.py",
        "ChatCompletionToolUnionParam",
        Reader::Types,
    ),
    (
        "openai",
        "Responses field",
        "types/responses/response_create_params.py",
        "ResponseCreateParamsBase",
        Reader::Fields,
    ),
    (
        "openai",
        "Responses item",
        "types/responses/response_input_item_param.py",
        "ResponseInputItemParam",
        Reader::Types,
    ),
    (
        "openai",
        "Responses part",
        "types/responses/response_input_content_param.py",
        "ResponseInputContentParam",
        Reader::Types,
    ),
    (
        "openai",
        "Responses tool",
        "types/responses/tool_param.py",
        "ToolParam",
        Reader::Types,
    ),
    (
        "anthropic",
        "Messages field",
        "types/beta/message_create_params.py",
        "MessageCreateParamsBase",
        Reader::Fields,
    ),
    (
        "anthropic",
        "Messages block",
        "types/beta/beta_content_block_param.py",
        "BetaContentBlockParam",
        Reader::Types,
    ),
    (
        "anthropic",
        "Messages tool",
        "types/beta/beta_tool_union_param.py",
        "BetaToolUnionParam",
        Reader::Types,
    ),
    (
        "anthropic",
        "tool field",
        "types/beta/beta_tool_param.py",
        "BetaToolParam",
        Reader::Fields,
    ),
    (
        "anthropic",
        "beta flag",
        "types/anthropic_beta_param.py",
        "AnthropicBetaParam",
        Reader::Values,
    ),
];

/// The names in the SDKs.
pub(super) fn of_sdks(packages: &[Package]) -> Result<Vec<Entry>> {
    let mut names = Vec::new();
    for (package, kind, module, class, reader) in &SDKS {
        let found = packages
            .iter()
            .find(|one| one.name == *package)
            .with_context(|| format!("{package} was not downloaded"))?;
        let file = found.directory.join(module);
        let all: Vec<String> = match reader {
            Reader::Fields => python::fields(&file, class)?,
            Reader::Types => python::types(&file, class)?.into_iter().collect(),
            Reader::Values => python::values(&file, class)?,
        };
        names.extend(all.into_iter().map(|name| Entry {
            package,
            kind,
            name,
        }));
    }
    Ok(names)
}

/// The members of Converse's requests and of its stream's events, and the stop reasons.
pub(super) fn of_converse(data: &Value) -> Vec<Entry> {
    let model = at(data, "/services/bedrock-runtime");
    let mut names = BTreeSet::new();
    for side in ["input", "output"] {
        let root = at(model, &format!("/operations/ConverseStream/{side}"));
        let mut seen = BTreeSet::new();
        members(
            at(model, "/shapes"),
            root.as_str().unwrap_or_default(),
            &mut seen,
            &mut names,
        );
    }
    let mut names: Vec<Entry> = names
        .into_iter()
        .map(|name| Entry {
            package: "botocore",
            kind: "Converse member",
            name,
        })
        .collect();
    let reasons = at(model, "/shapes/StopReason/enum").as_array();
    names.extend(reasons.into_iter().flatten().filter_map(|reason| {
        Some(Entry {
            package: "botocore",
            kind: "stop reason",
            name: reason.as_str()?.to_owned(),
        })
    }));
    names
}

fn members(shapes: &Value, name: &str, seen: &mut BTreeSet<String>, names: &mut BTreeSet<String>) {
    // Traces of guardrails and routers have no place in the dialects.
    if name == "ConverseStreamTrace" || !seen.insert(name.to_owned()) {
        return;
    }
    let shape = shapes.get(name).unwrap_or(&Value::Null);
    for (member, target) in at(shape, "/members").as_object().into_iter().flatten() {
        names.insert(member.clone());
        let target = target.as_str().or_else(|| target.get("shape")?.as_str());
        members(shapes, target.unwrap_or_default(), seen, names);
    }
    for key in ["member", "value"] {
        if let Some(target) = shape.get(key).and_then(Value::as_str) {
            members(shapes, target, seen, names);
        }
    }
}

/// The item types in Codex's program: it names a span after each variant, one after the other.
pub(super) fn of_codex(step: &Step, program: &Path) -> Result<Vec<Entry>> {
    let found = matches(
        step,
        program,
        r"response\.additional_tools(response\.[a-z_]+)+",
    )?;
    Ok(named("codex", "Responses item", items(&found)))
}

/// The items of a list of span names; the last of them is `other`, directly followed by other texts.
fn items(spans: &str) -> BTreeSet<String> {
    spans
        .lines()
        .flat_map(|line| {
            line.split("response.")
                .skip(1)
                .take_while(|item| !item.starts_with("other"))
        })
        .map(str::to_owned)
        .collect()
}

/// The beta flags in Claude Code's program: quoted words that end in a date.
pub(super) fn of_claude_code(step: &Step, program: &Path) -> Result<Vec<Entry>> {
    let found = matches(
        step,
        program,
        "[\"'`][a-z][a-z0-9-]{2,60}-20[0-9]{2}-[0-9]{2}-[0-9]{2}[\"'`]",
    )?;
    let quotes = ['"', '\'', '`'];
    let flags = found
        .lines()
        .map(|flag| flag.trim_matches(quotes).to_owned());
    Ok(named("claude-code", "beta flag", flags.collect()))
}

/// The parts of a program's file that match a pattern.
fn matches(step: &Step, program: &Path, pattern: &str) -> Result<String> {
    capture(
        step,
        command("grep")
            .env("LC_ALL", "C")
            .args(["-a", "-o", "-E", pattern])
            .arg(program),
    )
    .with_context(|| {
        format!(
            "{} has no match for {pattern}: adapt names.rs",
            program.display()
        )
    })
}

fn named(package: &'static str, kind: &'static str, names: BTreeSet<String>) -> Vec<Entry> {
    names
        .into_iter()
        .map(|name| Entry {
            package,
            kind,
            name,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn item_types_end_at_the_last_variant() {
        let spans = "response.additional_toolsresponse.reasoningresponse.otherevent\n";
        let found: Vec<String> = items(spans).into_iter().collect();
        assert_eq!(found, ["additional_tools", "reasoning"]);
    }
}
