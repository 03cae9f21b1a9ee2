//! Reads which tool `tool_choice` means, by its namespace and name.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use bedrock::converse::Tool;

use super::super::super::names;
use crate::translation::{
    RequestError,
    context::Context,
    json::{FieldPath, Json, Object},
};

/// Replaces the names in `tool_choice` by the names of declared tools, namespaces included. Rejects the choice of a tool
/// that OpenAI runs, because the client relies on it.
pub(super) fn resolve<'a>(
    body: &mut Object<'a>,
    tools: &[Tool<'a>],
    context: &Context<'_>,
) -> Result<(), RequestError> {
    let root = FieldPath::Root;
    let at = root.key("tool_choice");
    let mut choice = match body.take("tool_choice") {
        Some(Json::Object(choice)) => choice,
        other => {
            body.set("tool_choice", other.unwrap_or(Json::Null));
            return Ok(());
        }
    };
    let mut declared = Declared::new(tools, context);
    let kind = choice.get("type").and_then(|kind| kind.text_at(&[]));
    match kind.as_deref() {
        None | Some("auto" | "any" | "none") => {}
        Some("function" | "custom" | "tool") => name(&mut choice, &declared, &at)?,
        Some("tool_search") => {
            choice.set("type", Json::String("function".into()));
            choice.set("name", Json::String(super::TOOL_SEARCH.into()));
        }
        Some("allowed_tools") => allowed(&mut choice, &mut declared, &at)?,
        Some(kind) => {
            return Err(RequestError::unsupported(
                "tool_choice.type",
                format!("{kind} is not a tool that Bedrock supports"),
            ));
        }
    }
    body.set("tool_choice", Json::Object(choice));
    Ok(())
}

/// Replaces the name in the choice of one tool.
fn name(
    choice: &mut Object<'_>,
    declared: &Declared,
    at: &FieldPath<'_>,
) -> Result<(), RequestError> {
    if choice.get("function").is_some() {
        return Ok(());
    }
    let namespace = choice.string("namespace", at)?;
    if let Some(given) = choice.string("name", at)? {
        let name = match namespace {
            Some(namespace) => names::join(Some(&namespace), given),
            None => declared.found(given),
        };
        choice.set("name", Json::String(name.into()));
    }
    Ok(())
}

/// Replaces the names in a list of allowed tools; a namespace stands for all its tools.
fn allowed(
    choice: &mut Object<'_>,
    declared: &mut Declared,
    at: &FieldPath<'_>,
) -> Result<(), RequestError> {
    if let Some(mut inner) = choice.object("allowed_tools", at)? {
        allowed(&mut inner, declared, &at.key("allowed_tools"))?;
        choice.set("allowed_tools", Json::Object(inner));
        return Ok(());
    }
    let at = at.key("tools");
    let Some(tools) = choice.take("tools") else {
        return Ok(());
    };
    let mut all = Vec::new();
    for (index, tool) in tools.array(&at)?.into_iter().enumerate() {
        let at = at.index(index);
        let mut tool = tool.object(&at)?;
        let kind = tool.get("type").and_then(|kind| kind.text_at(&[]));
        if kind.as_deref() == Some("namespace") {
            let namespace = tool.required_string("name", &at)?;
            if let Some(listed) = declared.in_namespaces.remove(namespace.as_ref()) {
                all.extend(listed.into_iter().map(|joined| {
                    let mut one = Object::default();
                    one.set("name", Json::String(joined.into()));
                    Json::Object(one)
                }));
            }
        } else {
            name(&mut tool, declared, &at)?;
            all.push(Json::Object(tool));
        }
    }
    choice.set("tools", Json::Array(all));
    Ok(())
}

/// The names of declared tools, each in one string with its namespace.
struct Declared {
    names: BTreeSet<String>,
    /// By the forms in which a client names a tool without its namespace; `None` if several tools have the form.
    meant: BTreeMap<String, Option<String>>,
    /// By namespace.
    in_namespaces: BTreeMap<String, Vec<String>>,
}

impl Declared {
    fn new(tools: &[Tool<'_>], context: &Context<'_>) -> Self {
        let mut declared = Self {
            names: BTreeSet::new(),
            meant: BTreeMap::new(),
            in_namespaces: BTreeMap::new(),
        };
        for tool in tools {
            let Tool::ToolSpec(spec) = tool else { continue };
            let joined = context.names.original(&spec.name);
            for form in names::forms(joined) {
                declared
                    .meant
                    .entry(form)
                    .and_modify(|meant| *meant = None)
                    .or_insert_with(|| Some(joined.to_owned()));
            }
            if let (Some(namespace), _) = names::split(joined) {
                let listed = declared.in_namespaces.entry(namespace.to_owned());
                listed.or_default().push(joined.to_owned());
            }
            declared.names.insert(joined.to_owned());
        }
        declared
    }

    /// The declared name that a name without a namespace means.
    fn found<'a>(&self, given: Cow<'a, str>) -> Cow<'a, str> {
        if self.names.contains(given.as_ref()) {
            return given;
        }
        match self.meant.get(given.as_ref()) {
            Some(Some(joined)) => Cow::Owned(joined.clone()),
            _ => given,
        }
    }
}
