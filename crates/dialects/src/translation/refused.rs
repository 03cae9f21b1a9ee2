//! Fields that no endpoint of the gateway honours and that change the meaning of the response: state and retrieval of
//! other services, and bodies in the format of Bedrock's own API. They are rejected by name on every endpoint and for
//! every model, because a response without them is a wrong response.

use serde_json::value::RawValue;

use super::error::RequestError;

/// Code of the error for a new thread. Anthropic's SDKs then send the whole conversation themselves.
pub const THREAD_UNSUPPORTED: &str = "thread_unsupported_request";
/// Code of the error for a thread to continue. Anthropic's SDKs then send the whole conversation themselves.
pub const THREAD_NOT_FOUND: &str = "thread_not_found";
/// Anthropic's field for a conversation that its service stores.
pub(super) const THREAD: &str = "thread";
/// Why `thread` is rejected.
pub(crate) const THREAD_NOTE: &str =
    "nothing is stored, so the thread is unknown; send the whole conversation in messages";

const RETRIEVAL: &str = "retrieval is not supported, and the response would lack it; retrieve the \
    documents in the client and send their text in the messages";
const STORED: &str =
    "nothing is stored, so the earlier conversation is unknown; send the whole conversation";
const INVOKE: &str =
    "is a field of Bedrock's InvokeModel; send this body to POST /model/{id}/invoke";
const CONVERSE: &str =
    "is a field of Bedrock's Converse; send this body to POST /model/{id}/converse";

/// Rejected fields, and query parameters, with the reason and the fix.
const REFUSED: &[(&str, &str)] = &[
    (THREAD, THREAD_NOTE),
    ("previous_message_id", STORED),
    ("previous_response_id", STORED),
    ("conversation", STORED),
    ("assistant_id", STORED),
    ("file_ids", RETRIEVAL),
    ("knowledge_base_id", RETRIEVAL),
    ("knowledge_base_ids", RETRIEVAL),
    ("knowledgeBaseId", RETRIEVAL),
    ("auto_kb", RETRIEVAL),
    ("vector_store_ids", RETRIEVAL),
    ("data_sources", RETRIEVAL),
    ("tool_resources", RETRIEVAL),
    (
        "search_parameters",
        "web search is not supported by Bedrock; remove the field",
    ),
    (
        "plugins",
        "plugins are not supported by Bedrock; remove the field",
    ),
    (
        "mcp_servers",
        "MCP servers are not supported by Bedrock; connect to them in the client and send their tools in tools",
    ),
    (
        "target_format",
        "the path determines the format of the response: POST /v1/chat/completions, /v1/responses, /v1/messages, or /model/{id}/converse",
    ),
    ("inputText", INVOKE),
    ("textGenerationConfig", INVOKE),
    ("amazon-bedrock-guardrailConfig", INVOKE),
    ("inferenceConfig", CONVERSE),
    ("toolConfig", CONVERSE),
];

/// Fields of one endpoint that change the meaning of the response, for the other endpoints.
const MISPLACED: &[(&str, &str)] = &[
    (
        "system",
        "is a field of POST /v1/messages; this endpoint has messages of role system",
    ),
    (
        "stop_sequences",
        "is a field of POST /v1/messages; see the fields of this endpoint",
    ),
    (
        "stop",
        "is a field of POST /v1/chat/completions; see the fields of this endpoint",
    ),
    (
        "response_format",
        "is a field of POST /v1/chat/completions; see the fields of this endpoint",
    ),
    (
        "instructions",
        "is a field of POST /v1/responses; use a system prompt",
    ),
    ("input", "is a field of POST /v1/responses; use messages"),
    (
        "documents",
        "is not supported, and the response would lack them; send their text in the messages",
    ),
    (
        "chat_history",
        "is not supported; send the conversation in messages",
    ),
    ("preamble", "is not supported; use a system prompt"),
];

/// Why a field that an endpoint does not have must not be dropped, if so.
pub(crate) fn misplaced(name: &str) -> Option<&'static str> {
    let (_, why) = MISPLACED.iter().find(|(known, _)| *known == name)?;
    Some(why)
}

/// The name of a rejected field, if `name` is one.
pub(super) fn name(name: &str) -> Option<&'static str> {
    let (name, _) = REFUSED.iter().find(|(refused, _)| *refused == name)?;
    Some(name)
}

/// Checks the value of a field of [`name`].
///
/// # Errors
/// 400, unless the value is empty.
pub(super) fn check(name: &'static str, value: &RawValue) -> Result<(), RequestError> {
    if matches!(value.get(), "null" | "false" | "[]" | "{}" | "\"\"") {
        return Ok(());
    }
    Err(error(name, value.get()))
}

/// Checks the query of a request.
///
/// # Errors
/// A 400 that names the parameter.
pub fn check_query(query: &str) -> Result<(), RequestError> {
    for pair in query.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if let Some(name) = name(key)
            && !matches!(value, "" | "false")
        {
            return Err(error(name, ""));
        }
    }
    Ok(())
}

fn error(name: &'static str, value: &str) -> RequestError {
    let why = REFUSED
        .iter()
        .find_map(|(refused, why)| (*refused == name).then_some(*why))
        .unwrap_or_default();
    let error = RequestError::unsupported(name, why);
    if name != THREAD {
        return error;
    }
    let thread: serde_json::Value = serde_json::from_str(value).unwrap_or_default();
    let code = match thread.get("type").and_then(serde_json::Value::as_str) {
        Some("continue") => THREAD_NOT_FOUND,
        _ => THREAD_UNSUPPORTED,
    };
    RequestError { code, ..error }
}

#[cfg(test)]
mod tests {
    use super::super::head;
    use super::*;

    #[test]
    fn rejects_state_and_retrieval_by_name_unless_the_value_is_empty() {
        for (name, _) in REFUSED {
            let body = |value: &str| format!(r#"{{"{name}":{value},"model":"m"}}"#);
            let error = head(body(r#""x""#).as_bytes()).unwrap_err();
            assert_eq!(error.param.as_deref(), Some(*name));
            assert!(error.message.starts_with(name), "{error}");
            for empty in ["null", "false", "[]", "{}", "\"\""] {
                assert!(head(body(empty).as_bytes()).is_ok(), "{name}: {empty}");
            }
            assert!(check_query(&format!("a=b&{name}=x")).is_err());
        }
        assert!(head(br#"{"model":"m","messages":[{"file_ids":["nested"]}]}"#).is_ok());
        assert!(check_query("beta=true&auto_kb=false").is_ok());
    }

    #[test]
    fn codes_of_threads_are_those_that_make_the_sdks_send_the_whole_conversation() {
        for (thread, code) in [
            (r#"{"type":"create"}"#, THREAD_UNSUPPORTED),
            (
                r#"{"type":"continue","previous_message_id":"msg_1"}"#,
                THREAD_NOT_FOUND,
            ),
            (r#"{"type":"new"}"#, THREAD_UNSUPPORTED),
            ("\"t\"", THREAD_UNSUPPORTED),
        ] {
            let body = format!(r#"{{"model":"m","thread":{thread}}}"#);
            let error = head(body.as_bytes()).unwrap_err();
            assert_eq!((error.code, error.param.as_deref()), (code, Some(THREAD)));
        }
    }
}
