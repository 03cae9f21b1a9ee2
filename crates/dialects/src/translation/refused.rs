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

/// A field of another endpoint or service that changes the meaning or the shape of the response: its name, its values
/// without effect as compact JSON, and what to do.
type Misplaced = (&'static str, &'static [&'static str], &'static str);

const ONE_CHOICE: &str = "Bedrock returns one choice per request; send several requests";
const NO_TOKENS: &str =
    "Bedrock returns text, without its tokens and their probabilities; remove the field";
const FORMAT: &str = "is not supported, and the response would have another format; use response_format with a JSON schema (text.format \
     in POST /v1/responses, output_config.format in POST /v1/messages)";
const LIMIT: &str = "is the token limit of another endpoint; see the fields of this endpoint";
const GUARDRAIL: &str = "is not supported; use guardrailConfig";
const SEARCH: &str = "web search is not supported by Bedrock; remove the field";
const GEMINI: &str = "is a field of Gemini's API; see the fields of this endpoint";
const COMPLETION: &str = "is a field of completions without messages; remove the field";

/// These fields, for the endpoints that do not have them.
const MISPLACED: &[Misplaced] = &[
    (
        "system",
        &[],
        "is a field of POST /v1/messages; this endpoint has messages of role system",
    ),
    (
        "stop_sequences",
        &["[]"],
        "is a field of POST /v1/messages; see the fields of this endpoint",
    ),
    (
        "stop",
        &["[]"],
        "is a field of POST /v1/chat/completions; see the fields of this endpoint",
    ),
    (
        "response_format",
        &[r#"{"type":"text"}"#],
        "is a field of POST /v1/chat/completions; see the fields of this endpoint",
    ),
    (
        "text",
        &["{}", r#"{"format":{"type":"text"}}"#],
        "is a field of POST /v1/responses; see the fields of this endpoint",
    ),
    (
        "instructions",
        &[],
        "is a field of POST /v1/responses; use a system prompt",
    ),
    (
        "input",
        &[],
        "is a field of POST /v1/responses; use messages",
    ),
    (
        "messages",
        &[],
        "is a field of POST /v1/chat/completions and /v1/messages; use input",
    ),
    (
        "documents",
        &["[]"],
        "is not supported, and the response would lack them; send their text in the messages",
    ),
    (
        "chat_history",
        &["[]"],
        "is not supported; send the conversation in messages",
    ),
    ("preamble", &[], "is not supported; use a system prompt"),
    (
        "prompt",
        &[],
        "is not supported; send the conversation in messages",
    ),
    (
        "compaction",
        &[],
        "is not supported by Bedrock, and the response would lack the summary; shorten the conversation in the client",
    ),
    ("functions", &["[]"], "is deprecated; use tools"),
    (
        "function_call",
        &["\"none\""],
        "is deprecated; use tools and tool_choice",
    ),
    ("web_search_options", &[], SEARCH),
    ("enable_search", &["false"], SEARCH),
    ("max_tokens", &[], LIMIT),
    ("max_completion_tokens", &[], LIMIT),
    ("max_output_tokens", &[], LIMIT),
    ("n", &["1"], ONE_CHOICE),
    ("best_of", &["1"], ONE_CHOICE),
    ("use_beam_search", &["false"], ONE_CHOICE),
    ("echo", &["false"], COMPLETION),
    ("suffix", &["\"\""], COMPLETION),
    ("logprobs", &["false", "0"], NO_TOKENS),
    ("top_logprobs", &["0"], NO_TOKENS),
    ("prompt_logprobs", &["false", "0"], NO_TOKENS),
    ("n_probs", &["0"], NO_TOKENS),
    ("return_token_ids", &["false"], NO_TOKENS),
    ("return_tokens_as_token_ids", &["false"], NO_TOKENS),
    (
        "modalities",
        &[r#"["text"]"#],
        "Bedrock returns text only; remove the field",
    ),
    ("audio", &[], "Bedrock returns text only; remove the field"),
    ("output_config", &["{}"], FORMAT),
    ("output_format", &[], FORMAT),
    ("format", &["\"\""], FORMAT),
    ("json_schema", &[], FORMAT),
    ("response_schema", &[], FORMAT),
    ("response_mime_type", &["\"text/plain\""], FORMAT),
    ("structured_outputs", &["{}"], FORMAT),
    ("guided_json", &[], FORMAT),
    ("guided_regex", &[], FORMAT),
    ("guided_choice", &[], FORMAT),
    ("guided_grammar", &[], FORMAT),
    ("grammar", &["\"\""], FORMAT),
    ("regex", &["\"\""], FORMAT),
    ("ebnf", &["\"\""], FORMAT),
    ("moderation", &["{}"], GUARDRAIL),
    ("guardrails", &["[]"], GUARDRAIL),
    ("guardrail_config", &["{}"], GUARDRAIL),
    ("safety_settings", &["[]"], GUARDRAIL),
    ("safe_prompt", &["false"], GUARDRAIL),
    ("contents", &[], GEMINI),
    ("generationConfig", &["{}"], GEMINI),
    ("systemInstruction", &[], GEMINI),
    (
        "embedding_types",
        &[r#"["float"]"#],
        "Bedrock's vectors are returned as numbers or base64; use encoding_format",
    ),
    (
        "embedding_type",
        &["\"float\""],
        "Bedrock's vectors are returned as numbers or base64; use encoding_format",
    ),
    (
        "output_dtype",
        &["\"float\""],
        "Bedrock's vectors are returned as numbers or base64; use encoding_format",
    ),
];

/// Checks a field that an endpoint does not have; `value` is its compact JSON. Whether it is one that has no effect with
/// this value.
///
/// # Errors
/// 400, if the response would be another one without the field.
pub(crate) fn is_harmless(name: &str, value: &str) -> Result<bool, RequestError> {
    match MISPLACED.iter().find(|(known, ..)| *known == name) {
        Some((_, harmless, _)) if harmless.contains(&value) => Ok(true),
        Some((name, _, why)) => Err(RequestError::unsupported(*name, *why)),
        None => Ok(false),
    }
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
    fn fields_of_other_endpoints_are_rejected_unless_they_have_no_effect() {
        for (name, harmless, _) in MISPLACED {
            let error = is_harmless(name, r#"{"any":"value"}"#).unwrap_err();
            assert_eq!(error.param.as_deref(), Some(*name));
            for value in *harmless {
                assert!(is_harmless(name, value).unwrap(), "{name}: {value}");
            }
        }
        assert!(!is_harmless("min_p", "0.1").unwrap());
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
