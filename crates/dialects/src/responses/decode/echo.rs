//! What a response repeats of its request, as JSON ready to be written.

use std::fmt::Write as _;

use crate::translation::json::{Json, Object};

/// Members as the client sent them, with OpenAI's default where it sent none.
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
    // Not the client's to choose.
    ("previous_response_id", "null"),
    ("background", "false"),
];

/// Members of the response that are known before there is an answer.
#[derive(Debug)]
pub(super) struct Echo {
    members: String,
    tools: Vec<String>,
}

impl Echo {
    pub(super) fn of(body: &Object<'_>) -> Self {
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

    /// A tool that the model was given.
    pub(super) fn tool(&mut self, tool: &Json<'_>) {
        self.tools.extend(serde_json::to_string(tool).ok());
    }

    pub(super) fn into_json(mut self) -> String {
        let tools = self.tools.join(",");
        let _: std::fmt::Result = write!(self.members, "\"tools\":[{tools}],");
        self.members
    }
}
