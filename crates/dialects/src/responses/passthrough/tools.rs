//! Tools and tool choice that Bedrock's endpoints do not know.

use std::{borrow::Cow, collections::HashMap};

use serde_json::{Value, json};

use super::{Adapter, body::Element, remove, restore::Original, set, text};
use crate::{
    responses::{
        decode::{CallForm, GRAMMAR, INPUT_SCHEMA, TOOL_SEARCH, with_grammar},
        names::join,
    },
    translation::RequestError,
};

/// Namespaces of tools that Bedrock runs.
const RESERVED: [&str; 5] = ["browser", "functions", "image_gen", "python", "web"];
/// How the types of tools begin that OpenAI runs, and without which a response is complete.
const HOSTED: [&str; 3] = ["code_interpreter", "image_generation", "web_search"];
/// Before a reserved name.
const RENAMED: &str = "client_";

/// A namespace: the client's name and Bedrock's, which is absent if the model has no namespaces.
#[derive(Clone, Copy)]
struct Namespace<'n> {
    client: &'n str,
    upstream: Option<&'n str>,
}

/// The type of a tool that OpenAI runs. gpt-oss has functions and MCP servers only
/// (<https://github.com/openai/codex/issues/25034>), and Codex declares a web search for each model.
fn hosted(tool: &Value) -> Option<&str> {
    let kind = text(tool, "type")?;
    HOSTED
        .iter()
        .any(|start| kind.starts_with(start))
        .then_some(kind)
}

impl Adapter<'_> {
    /// Adapts the declared tools.
    pub(super) fn tools(&mut self, tools: &mut Vec<Element<'_>>) -> Result<(), RequestError> {
        for tool in tools.iter().filter(|_| !self.namespaces) {
            let name = text(&tool.value, "name");
            self.names.reserve(name.unwrap_or_default());
        }
        let mut adapted = Vec::with_capacity(tools.len());
        for mut tool in tools.drain(..) {
            if let Some(kind) = hosted(&tool.value).filter(|_| !self.namespaces) {
                let why = format!("{kind} is not a tool that {} supports", self.title);
                self.warnings.dropped("tools[]", &why)?;
                self.changed = true;
                continue;
            }
            if text(&tool.value, "type") != Some("namespace") {
                self.element(&mut tool, |adapter, tool| adapter.tool(tool, None))?;
                adapted.push(tool);
                continue;
            }
            self.element(&mut tool, Self::namespace)?;
            if self.namespaces {
                adapted.push(tool);
            } else if let Some(Value::Array(inside)) = tool.value.get_mut("tools") {
                adapted.extend(inside.drain(..).map(Element::new));
            }
        }
        *tools = adapted;
        Ok(())
    }

    /// Adapts a namespace and the tools in it.
    fn namespace(&mut self, tool: &mut Value) -> Result<(), RequestError> {
        let client = text(tool, "name").unwrap_or_default().to_owned();
        let upstream = renamed(&client);
        let namespace = Namespace {
            client: &client,
            upstream: self.namespaces.then_some(&*upstream),
        };
        if let Some(Value::Array(inside)) = tool.get_mut("tools") {
            for tool in inside.iter_mut() {
                self.tool(tool, Some(namespace))?;
            }
        }
        if self.namespaces {
            self.changed |= upstream != client;
            set(tool, "name", upstream.as_ref().into());
        }
        Ok(())
    }

    fn tool(
        &mut self,
        tool: &mut Value,
        namespace: Option<Namespace<'_>>,
    ) -> Result<(), RequestError> {
        let form = match text(tool, "type") {
            Some("function") => CallForm::Function,
            Some("custom") => {
                self.custom(tool)?;
                CallForm::Custom
            }
            Some("tool_search") if text(tool, "execution") == Some("client") => {
                set(tool, "type", "function".into());
                set(tool, "name", TOOL_SEARCH.into());
                remove(tool, &["execution"]);
                self.changed = true;
                CallForm::ToolSearch
            }
            _ => return Ok(()),
        };
        let original = Original {
            namespace: namespace.map(|namespace| namespace.client.to_owned()),
            name: text(tool, "name").unwrap_or_default().to_owned(),
            form,
        };
        let upstream = namespace.and_then(|namespace| namespace.upstream);
        if namespace.is_some() && upstream.is_none() {
            let name = self.joined(original.namespace.as_deref(), &original.name);
            set(tool, "name", name.into());
            self.changed = true;
        }
        let name = text(tool, "name").unwrap_or_default();
        self.restorer.add(upstream, name, original);
        Ok(())
    }

    /// The name of a function in a namespace, for models without namespaces.
    fn joined(&mut self, namespace: Option<&str>, name: &str) -> String {
        let joined = join(namespace, Cow::Borrowed(name));
        self.names.upstream(joined).into_owned()
    }

    /// Makes a function of a custom tool; its grammar becomes part of the description.
    fn custom(&mut self, tool: &mut Value) -> Result<(), RequestError> {
        let member = |name: &str| {
            let format = tool.get("format")?;
            format.get(name)?.as_str()
        };
        if let Some(definition) = member("definition") {
            let syntax = member("syntax").unwrap_or_default();
            let description = text(tool, "description").unwrap_or_default();
            let both = with_grammar(description, syntax, definition);
            self.warnings.changed("tools[].format", GRAMMAR)?;
            set(tool, "description", both.into());
        }
        remove(tool, &["format"]);
        set(tool, "type", "function".into());
        let schema = serde_json::from_str(INPUT_SCHEMA).unwrap_or_default();
        set(tool, "parameters", schema);
        set(tool, "strict", false.into());
        self.changed = true;
        Ok(())
    }

    /// Bedrock's namespace and name in a call or choice.
    pub(super) fn name_of(&mut self, object: &mut Value) {
        let Some(namespace) = text(object, "namespace").map(str::to_owned) else {
            return;
        };
        if self.namespaces {
            let upstream = renamed(&namespace);
            if upstream != namespace {
                self.changed = true;
                set(object, "namespace", upstream.as_ref().into());
            }
            return;
        }
        let name = self.joined(Some(&namespace), text(object, "name").unwrap_or_default());
        set(object, "name", name.into());
        remove(object, &["namespace"]);
        self.changed = true;
    }

    /// The choice of a tool that was changed.
    pub(super) fn choice(&mut self, choice: &mut Value) -> Result<(), RequestError> {
        self.name_of(choice);
        match text(choice, "type") {
            Some("custom") => {
                set(choice, "type", "function".into());
                self.changed = true;
            }
            Some("tool_search") => {
                *choice = json!({ "type": "function", "name": TOOL_SEARCH });
                self.changed = true;
            }
            Some("namespace") if self.namespaces => {
                let name = text(choice, "name").unwrap_or_default();
                if let Cow::Owned(upstream) = renamed(name) {
                    set(choice, "name", upstream.into());
                    self.changed = true;
                }
            }
            Some("namespace") => {
                let how = format!("{} has no namespaces; set to required", self.title);
                self.warnings.changed("tool_choice", &how)?;
                *choice = "required".into();
                self.changed = true;
            }
            _ => {}
        }
        if let Some(Value::Array(tools)) = choice.get_mut("tools") {
            for tool in tools {
                self.choice(tool)?;
            }
        }
        Ok(())
    }
}

/// Bedrock's name of a namespace.
fn renamed(namespace: &str) -> Cow<'_, str> {
    if RESERVED.contains(&namespace) {
        Cow::Owned(format!("{RENAMED}{namespace}"))
    } else {
        Cow::Borrowed(namespace)
    }
}

/// Adds tools, and tools of namespaces, that a list does not have.
pub(super) fn merge(tools: &mut Vec<Element<'_>>, more: Vec<Value>) {
    let mut all: Vec<Value> = tools
        .iter_mut()
        .map(|tool| std::mem::take(&mut tool.value))
        .collect();
    let before = all.clone();
    merge_values(&mut all, more);
    let mut added = all.into_iter();
    for ((tool, value), before) in tools.iter_mut().zip(added.by_ref()).zip(before) {
        if value != before {
            tool.changed();
        }
        tool.value = value;
    }
    tools.extend(added.map(Element::new));
}

fn merge_values(tools: &mut Vec<Value>, more: Vec<Value>) {
    let key = |tool: &Value| {
        let member = |name| text(tool, name).unwrap_or_default().to_owned();
        (member("type"), member("name"))
    };
    let mut places: HashMap<(String, String), usize> = HashMap::new();
    for (index, tool) in tools.iter().enumerate() {
        places.entry(key(tool)).or_insert(index);
    }
    let mut inside: HashMap<usize, Vec<Value>> = HashMap::new();
    for mut tool in more {
        let same = places.get(&key(&tool)).copied();
        let Some(index) = same else {
            places.insert(key(&tool), tools.len());
            tools.push(tool);
            continue;
        };
        if let Some(Value::Array(found)) = tool.get_mut("tools") {
            inside.entry(index).or_default().append(found);
        }
    }
    for (index, more) in inside {
        if let Some(Value::Array(list)) =
            tools.get_mut(index).and_then(|tool| tool.get_mut("tools"))
        {
            merge_values(list, more);
        }
    }
}
