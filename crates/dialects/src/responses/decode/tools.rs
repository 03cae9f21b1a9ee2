//! Reads tools. Custom tools become functions with one string argument, functions in namespaces get one name each, and
//! tools in items of `input` are declared like all others.

mod choice;

use std::borrow::Cow;

use bedrock::converse::{InputSchema, Tool, ToolSpec};

use super::{super::names, echo::Echo, reply::CallForms};
use crate::translation::{
    RequestError, cache,
    context::Context,
    json::{FieldPath, Json, Object},
    openai_shapes::tools::{chosen, read_function},
    schema,
    tools::{Tools, read_name},
};

/// The argument of a custom tool.
pub(in super::super) const INPUT: &str = "input";
/// The name of a client's search for tools.
pub(in super::super) const TOOL_SEARCH: &str = "tool_search";
/// Tools on which the response depends. Neither the client nor Bedrock runs them.
const REJECTED: [&str; 7] = [
    "apply_patch",
    "computer",
    "computer_use_preview",
    "file_search",
    "local_shell",
    "mcp",
    "shell",
];
/// The warning about a grammar.
pub(in super::super) const GRAMMAR: &str =
    "the grammar was added to the description; Bedrock does not enforce it";
const ALL_DECLARED: &str = "Bedrock gets all tools at once, so the model does not search for them";
/// The schema of that function.
pub(in super::super) const INPUT_SCHEMA: &str = r#"{"type":"object","properties":{"input":{"type":"string","description":"The whole input of the tool, as text."}},"required":["input"]}"#;

/// The client's tools, and how calls of them are returned.
#[derive(Debug)]
pub(super) struct DecodedTools<'a> {
    pub(super) tools: Tools<'a>,
    pub(super) calls: CallForms,
}

/// Where a list of tools is.
#[derive(Clone, Copy)]
enum List<'p> {
    /// `tools`, in which names are unique.
    Tools,
    /// An item of `input`, which may repeat tools.
    Item,
    /// A namespace, in one of the two.
    Namespace(&'p str, &'p Self),
}

impl List<'_> {
    const fn may_repeat(self) -> bool {
        match self {
            Self::Tools => false,
            Self::Item => true,
            Self::Namespace(_, list) => list.may_repeat(),
        }
    }

    const fn namespace(&self) -> Option<&str> {
        match self {
            Self::Namespace(name, _) => Some(name),
            _ => None,
        }
    }
}

/// The tools that were read.
#[derive(Default)]
struct Reader<'a> {
    tools: Vec<Tool<'a>>,
    calls: CallForms,
}

/// Reads `tools`, the tools in items of `input`, `tool_choice` and `parallel_tool_calls`.
pub(super) fn decode<'a>(
    body: &mut Object<'a>,
    input: Option<&Json<'a>>,
    echo: &mut Echo,
    context: &mut Context<'_>,
) -> Result<DecodedTools<'a>, RequestError> {
    let root = FieldPath::Root;
    let (tools_at, input_at) = (root.key("tools"), root.key("input"));
    let tools = match body.take("tools") {
        Some(list) => list.array(&tools_at)?,
        None => Vec::new(),
    };
    let in_items = tools_in_items(input, &input_at)?;
    for tool in tools
        .iter()
        .chain(in_items.iter().flat_map(|(_, list)| list))
    {
        if let Some(name) = tool.text_at(&["name"]) {
            context.names.reserve(&name);
        }
    }
    let mut reader = Reader::default();
    for tool in &tools {
        if let Some("function" | "custom" | "namespace" | "tool_search") =
            tool.text_at(&["type"]).as_deref()
        {
            echo.tool(tool);
        }
    }
    reader.list(tools, &tools_at, &List::Tools, context)?;
    for (index, list) in in_items {
        let item_at = input_at.index(index);
        reader.list(list, &item_at.key("tools"), &List::Item, context)?;
    }
    choice::resolve(body, &reader.tools, context)?;
    Ok(DecodedTools {
        tools: chosen(reader.tools, body, context)?,
        calls: reader.calls,
    })
}

/// The tools of the items that add tools, with the index of each item.
fn tools_in_items<'a>(
    input: Option<&Json<'a>>,
    at: &FieldPath<'_>,
) -> Result<Vec<(usize, Vec<Json<'a>>)>, RequestError> {
    let Some(Json::Array(items)) = input else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for (index, item) in items.iter().enumerate() {
        if !matches!(
            item.text_at(&["type"]).as_deref(),
            Some("additional_tools" | "tool_search_output")
        ) {
            continue;
        }
        let Json::Object(item) = item else { continue };
        if let Some(tools) = item.get("tools").cloned() {
            let item_at = at.index(index);
            found.push((index, tools.array(&item_at.key("tools"))?));
        }
    }
    Ok(found)
}

impl<'a> Reader<'a> {
    fn list(
        &mut self,
        tools: Vec<Json<'a>>,
        at: &FieldPath<'_>,
        list: &List<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), RequestError> {
        for (index, tool) in tools.into_iter().enumerate() {
            self.tool(tool, &at.index(index), list, context)?;
        }
        Ok(())
    }

    fn tool(
        &mut self,
        tool: Json<'a>,
        at: &FieldPath<'_>,
        list: &List<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), RequestError> {
        let mut tool = tool.object(at)?;
        let Some(kind) = tool.string("type", at)? else {
            return Err(RequestError::missing(
                at.key("type").to_string(),
                "is required: \"function\", \"custom\" or \"namespace\"",
            ));
        };
        let read = match kind.as_ref() {
            "function" => read_function,
            "custom" => free_text,
            "namespace" if list.namespace().is_none() => {
                return self.namespace(tool, at, list, context);
            }
            "tool_search" => {
                if tool.string("execution", at)?.as_deref() != Some("client") {
                    context.warnings.info("tools[]", ALL_DECLARED);
                    return Ok(());
                }
                tool.set("name", Json::String(TOOL_SEARCH.into()));
                read_function
            }
            other if REJECTED.contains(&other) => {
                return Err(RequestError::unsupported(
                    at.key("type").to_string(),
                    format!(
                        "Bedrock does not support tools of type {other:?}; remove the tool, or declare a function \
                         that the client runs"
                    ),
                ));
            }
            other => {
                let why = format!("{other} is not a tool that Bedrock supports");
                return context.warnings.dropped("tools[]", &why);
            }
        };
        if let Some(name) = tool.string("name", at)? {
            let name = if name.trim().is_empty() {
                name
            } else {
                names::join(list.namespace(), name)
            };
            if list.may_repeat()
                && context
                    .declared
                    .contains(context.names.upstream(name.clone()).as_ref())
            {
                return Ok(());
            }
            tool.set("name", Json::String(name.into()));
        }
        if tool.boolean("defer_loading", at)? == Some(true) {
            context.warnings.info("tools[].defer_loading", ALL_DECLARED);
        }
        let point = cache::point(&mut tool, at, context.capabilities.cache.tools, context)?;
        let spec = read(&mut tool, at, context)?;
        context.drop_unknown(tool, at)?;
        let name = || spec.name.clone().into_owned();
        match kind.as_ref() {
            "custom" => {
                self.calls.custom.insert(name());
            }
            "tool_search" => self.calls.search = Some(name()),
            _ => {}
        }
        self.tools.push(Tool::ToolSpec(spec));
        self.tools.extend(point.map(Tool::CachePoint));
        Ok(())
    }

    /// The tools of a namespace; the first one gets the description of the namespace.
    fn namespace(
        &mut self,
        mut tool: Object<'a>,
        at: &FieldPath<'_>,
        list: &List<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), RequestError> {
        let name = tool.required_string("name", at)?;
        let description = tool.string("description", at)?;
        let tools = tool.take("tools").unwrap_or(Json::Array(Vec::new()));
        context.drop_unknown(tool, at)?;
        let first = self.tools.len();
        let at = at.key("tools");
        self.list(
            tools.array(&at)?,
            &at,
            &List::Namespace(&name, list),
            context,
        )?;
        if let Some(text) = description.filter(|text| !text.trim().is_empty())
            && let Some(Tool::ToolSpec(spec)) = self.tools.get_mut(first)
        {
            let own = spec.description.take().unwrap_or_default();
            let both = format!("{own}\n\nAbout all tools of {name}: {text}");
            spec.description = Some(Cow::Owned(both.trim_start().to_owned()));
        }
        Ok(())
    }
}

/// A description with a grammar.
pub(in super::super) fn with_grammar(description: &str, syntax: &str, definition: &str) -> String {
    let both = format!("{description}\n\nThe input follows this {syntax} grammar:\n{definition}");
    both.trim_start().to_owned()
}

/// A custom tool. Its grammar becomes part of the description, because Bedrock does not enforce grammars.
fn free_text<'a>(
    tool: &mut Object<'a>,
    at: &FieldPath<'_>,
    context: &mut Context<'_>,
) -> Result<ToolSpec<'a>, RequestError> {
    let name = read_name(tool, at, context)?;
    let mut description = tool
        .string("description", at)?
        .filter(|text| !text.trim().is_empty());
    if let Some(mut format) = tool.object("format", at)? {
        let at = at.key("format");
        match format.required_string("type", &at)?.as_ref() {
            "text" => {}
            "grammar" => {
                let syntax = format.string("syntax", &at)?.unwrap_or_default();
                let definition = format.required_string("definition", &at)?;
                let before = description.unwrap_or_default();
                description = Some(Cow::Owned(with_grammar(&before, &syntax, &definition)));
                context.warnings.changed("tools[].format", GRAMMAR)?;
            }
            other => {
                return Err(RequestError::unsupported(
                    at.key("type").to_string(),
                    format!("{other:?} is not supported; use text or grammar"),
                ));
            }
        }
        context.drop_unknown(format, &at)?;
    }
    Ok(ToolSpec {
        name,
        description,
        input_schema: InputSchema {
            json: schema::owned(INPUT_SCHEMA.to_owned())?,
        },
        strict: None,
    })
}
