//! The members of a request that its response repeats, as JSON text.

use std::fmt::Write as _;

use crate::translation::json::{Json, Object};

/// Repeated members with OpenAI's defaults.
const REPEATED: [(&str, &str); 16] = [
    ("instructions", "null"),
    ("max_output_tokens", "null"),
    ("max_tool_calls", "null"),
    ("metadata", "{}"),
    ("parallel_tool_calls", "true"),
    ("prompt_cache_key", "null"),
    ("reasoning", r#"{"effort":null,"summary":null}"#),
    ("safety_identifier", "null"),
    ("temperature", "null"),
    ("text", r#"{"format":{"type":"text"}}"#),
    ("tool_choice", "\"auto\""),
    ("top_logprobs", "0"),
    ("top_p", "null"),
    ("user", "null"),
    // These are rejected in requests.
    ("previous_response_id", "null"),
    ("background", "false"),
];

/// The members of the response that are known from the request.
#[derive(Debug)]
pub(super) struct Echo {
    members: String,
    tools: Vec<String>,
}

impl Echo {
    pub(super) fn new(body: &Object<'_>) -> Self {
        let mut members = String::from("\"store\":false,\"truncation\":\"disabled\",");
        for (name, default) in REPEATED {
            let given = body
                .get(name)
                .and_then(|value| serde_json::to_string(value).ok());
            // Writing to a String cannot fail.
            let _: std::fmt::Result = write!(
                members,
                "\"{name}\":{},",
                given.as_deref().unwrap_or(default)
            );
        }
        Self {
            members,
            tools: Vec::new(),
        }
    }

    /// Adds a tool that is sent to the model.
    pub(super) fn tool(&mut self, tool: &Json<'_>) {
        self.tools.extend(serde_json::to_string(tool).ok());
    }

    pub(super) fn into_json(mut self) -> String {
        let tools = self.tools.join(",");
        let _: std::fmt::Result = write!(self.members, "\"tools\":[{tools}],");
        self.members
    }
}
