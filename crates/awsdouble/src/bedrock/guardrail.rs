//! Guardrails, which search for blocked words in input and output, and ApplyGuardrail.
//!
//! Assessments, traces and usage follow
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ApplyGuardrail.html>.

use axum::response::Response;
use serde_json::{Value, json};

use super::authorize;
use super::json::{list, text};
use super::reply::{Block, Reply};
use crate::auth::Caller;
use crate::config::Guardrail;
use crate::error::AwsError;
use crate::record::Call;
use crate::server::{Incoming, Shared};
use crate::service_model;

const UNKNOWN: &str = "The guardrail identifier or version provided in the request does not exist.";
/// Characters of one text unit, the billing unit of guardrails.
const UNIT: usize = 1000;

/// The guardrail of a call.
#[derive(Debug)]
pub(super) struct ActiveGuardrail<'a> {
    guardrail: &'a Guardrail,
    /// Whether the response includes a trace.
    trace: bool,
    /// Only input between the tags with this suffix is assessed, if there are such tags.
    tag_suffix: Option<String>,
    /// Whether output is sent before it is assessed.
    asynchronous: bool,
}

/// Member of the bodies of InvokeModel and of Bedrock's OpenAI endpoint with the options of a guardrail.
/// <https://docs.aws.amazon.com/bedrock/latest/userguide/guardrails-input-tagging-base-inference.html>,
/// <https://docs.aws.amazon.com/bedrock/latest/userguide/guardrails-streaming.html>
const OPTIONS: &str = "amazon-bedrock-guardrailConfig";

/// Removes the options from a body; models do not see them.
pub(super) fn take_options(body: &mut Value) -> Option<Value> {
    body.as_object_mut()?.remove(OPTIONS)
}

/// The result of a guardrail.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Finding {
    /// The guardrail blocked the input, so the model is not called.
    pub(super) on_input: bool,
    on_output: bool,
    /// The message that replaces the reply.
    pub(super) message: String,
    /// Converse's `trace.guardrail`, if requested.
    pub(super) trace: Option<Value>,
}

impl Finding {
    pub(super) fn intervened(&self) -> bool {
        self.on_input || self.on_output
    }
}

/// Finds a guardrail by id or ARN and version.
pub(super) fn find<'a>(
    shared: &'a Shared,
    identifier: &str,
    version: &str,
) -> Option<&'a Guardrail> {
    let id = identifier
        .rsplit_once("guardrail/")
        .map_or(identifier, |(_, id)| id);
    let mut known = shared.account.config.guardrails.iter();
    known.find(|one| one.id == id && one.version == version)
}

/// Resolves the guardrail of a call to a model.
pub(super) fn active<'a>(
    shared: &'a Shared,
    named: Option<&GuardrailReference>,
) -> Result<Option<ActiveGuardrail<'a>>, AwsError> {
    let Some(named) = named else {
        return Ok(None);
    };
    let guardrail = find(shared, &named.identifier, &named.version)
        .ok_or_else(|| AwsError::validation(UNKNOWN))?;
    Ok(Some(ActiveGuardrail {
        guardrail,
        trace: named.trace,
        tag_suffix: None,
        asynchronous: named.asynchronous,
    }))
}

/// A reference to a guardrail in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GuardrailReference {
    pub(super) identifier: String,
    pub(super) version: String,
    pub(super) trace: bool,
    asynchronous: bool,
}

impl GuardrailReference {
    /// Reads the headers of InvokeModel and of Bedrock's OpenAI and Anthropic endpoints.
    pub(super) fn from_headers(incoming: &Incoming) -> Option<Self> {
        let header = |name: &str| {
            let value = incoming.headers.get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        Some(Self {
            identifier: header("x-amzn-bedrock-guardrailidentifier")?,
            version: header("x-amzn-bedrock-guardrailversion").unwrap_or_default(),
            trace: header("x-amzn-bedrock-trace").is_some_and(|trace| trace != "DISABLED"),
            asynchronous: false,
        })
    }

    /// Reads the body of Converse, or the headers of InvokeModel. Neither operation reads the other.
    pub(super) fn from_request(incoming: &Incoming, operation: &str) -> Option<Self> {
        if !operation.starts_with("Converse") {
            return Self::from_headers(incoming);
        }
        let body: Value = serde_json::from_slice(&incoming.body).ok()?;
        let config = body.get("guardrailConfig")?;
        let field = |name: &str| text(config, name).map(str::to_owned);
        Some(Self {
            identifier: field("guardrailIdentifier")?,
            version: field("guardrailVersion").unwrap_or_default(),
            trace: field("trace").is_some_and(|trace| trace != "disabled"),
            asynchronous: operation == "ConverseStream"
                && field("streamProcessingMode").is_some_and(|mode| mode == "async"),
        })
    }
}

impl ActiveGuardrail<'_> {
    /// The guardrail with the options of a body.
    pub(super) fn with_options(self, options: Option<&Value>, streamed: bool) -> Self {
        let option = |name: &str| options.and_then(|options| text(options, name));
        let mode = option("streamProcessingMode");
        Self {
            tag_suffix: option("tagSuffix").map(str::to_owned),
            asynchronous: self.asynchronous || (streamed && mode == Some("ASYNCHRONOUS")),
            ..self
        }
    }

    /// The message if the guardrail blocks a request without a conversation, such as one for an image.
    pub(super) fn blocks(&self, body: &Value) -> Option<&str> {
        let found = matches(self.guardrail, &[body.to_string()]);
        (!found.is_empty()).then_some(self.guardrail.message.as_str())
    }

    /// Assesses the input, then the output.
    pub(super) fn assess(&self, conversation: &Value, reply: &Reply) -> Finding {
        let input = self.tagged(guarded_texts(conversation));
        let output: Vec<String> = reply
            .blocks
            .iter()
            .filter_map(|block| match block {
                Block::Text(text) => Some(text.clone()),
                _ => None,
            })
            .collect();
        let id = self.guardrail.id.as_str();
        let found_in_input = matches(self.guardrail, &input);
        let on_input = !found_in_input.is_empty();
        let found_in_output = matches(self.guardrail, &output);
        let on_output = !on_input && !found_in_output.is_empty() && !self.asynchronous;
        let trace = self.trace.then(|| {
            let mut guardrail = json!({
                "inputAssessment": { id: assessment(&found_in_input, &input) },
                "actionReason": if on_input || on_output { "Guardrail blocked." } else { "No action." },
            });
            if !on_input && let Some(object) = guardrail.as_object_mut() {
                object.insert("modelOutput".to_owned(), json!(output));
                object.insert(
                    "outputAssessments".to_owned(),
                    json!({ id: [assessment(&found_in_output, &output)] }),
                );
            }
            json!({ "guardrail": guardrail })
        });
        Finding {
            on_input,
            on_output,
            message: self.guardrail.message.clone(),
            trace,
        }
    }
}

impl ActiveGuardrail<'_> {
    /// The parts of the texts between tags, if any text has tags; all of them otherwise.
    fn tagged(&self, texts: Vec<String>) -> Vec<String> {
        let Some(suffix) = &self.tag_suffix else {
            return texts;
        };
        let name = format!("amazon-bedrock-guardrails-guardContent_{suffix}");
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        let parts = texts.iter().flat_map(|text| text.split(&open).skip(1));
        let inner: Vec<String> = parts
            .filter_map(|part| Some(part.split_once(&close)?.0.to_owned()))
            .collect();
        if inner.is_empty() { texts } else { inner }
    }
}

/// The texts to assess: the `guardContent` blocks, or else all texts of the messages.
fn guarded_texts(conversation: &Value) -> Vec<String> {
    let blocks = || {
        list(conversation, "system").iter().chain(
            list(conversation, "messages")
                .iter()
                .flat_map(|message| list(message, "content")),
        )
    };
    let marked: Vec<String> = blocks()
        .filter_map(|block| block.pointer("/guardContent/text/text")?.as_str())
        .map(str::to_owned)
        .collect();
    if !marked.is_empty() {
        return marked;
    }
    list(conversation, "messages")
        .iter()
        .flat_map(|message| list(message, "content"))
        .filter_map(|block| text(block, "text"))
        .map(str::to_owned)
        .collect()
}

/// The blocked words in the texts, each once.
fn matches<'a>(guardrail: &'a Guardrail, texts: &[String]) -> Vec<&'a str> {
    let texts: Vec<String> = texts.iter().map(|text| text.to_lowercase()).collect();
    guardrail
        .blocked_words
        .iter()
        .map(String::as_str)
        .filter(|word| {
            let word = word.to_lowercase();
            texts.iter().any(|text| text.contains(&word))
        })
        .collect()
}

fn characters(texts: &[String]) -> usize {
    texts.iter().map(|text| text.chars().count()).sum()
}

fn usage(texts: &[String]) -> Value {
    json!({
        "topicPolicyUnits": 0, "contentPolicyUnits": 0,
        "wordPolicyUnits": characters(texts).div_ceil(UNIT),
        "sensitiveInformationPolicyUnits": 0, "sensitiveInformationPolicyFreeUnits": 0,
        "contextualGroundingPolicyUnits": 0,
    })
}

fn coverage(texts: &[String]) -> Value {
    let count = characters(texts);
    json!({ "textCharacters": { "guarded": count, "total": count } })
}

fn assessment(found: &[&str], texts: &[String]) -> Value {
    let metrics = json!({ "guardrailProcessingLatency": 7, "usage": usage(texts),
        "guardrailCoverage": coverage(texts) });
    if found.is_empty() {
        return json!({ "invocationMetrics": metrics });
    }
    let words: Vec<Value> = found
        .iter()
        .map(|word| json!({ "match": word, "action": "BLOCKED", "detected": true }))
        .collect();
    json!({ "wordPolicy": { "customWords": words, "managedWordLists": [] },
        "invocationMetrics": metrics })
}

/// Handles ApplyGuardrail.
pub(super) fn apply(
    shared: &Shared,
    incoming: &Incoming,
    call: &Call,
    caller: &Caller,
) -> Result<Response, AwsError> {
    let path = call.model.clone().unwrap_or_default();
    let (identifier, version) = path.split_once(' ').unwrap_or((&path, ""));
    let partition = &shared.account.config.partition;
    let arn = authorize::guardrail_arn(partition, caller, identifier, "");
    authorize::bearer(caller)?;
    authorize::allow(caller, "bedrock:ApplyGuardrail", &arn, &caller.context())?;
    let guardrail = find(shared, identifier, version)
        .ok_or_else(|| AwsError::named("ResourceNotFoundException", UNKNOWN))?;
    let request = super::converse::parse(&incoming.body)?;
    service_model::check("bedrock-runtime", "ApplyGuardrail", &request)?;
    let texts: Vec<String> = list(&request, "content")
        .iter()
        .filter_map(|block| block.pointer("/text/text")?.as_str())
        .map(str::to_owned)
        .collect();
    let found = matches(guardrail, &texts);
    let intervened = !found.is_empty();
    let full = text(&request, "outputScope") == Some("FULL");
    let outputs = if intervened {
        json!([{ "text": guardrail.message }])
    } else {
        json!([])
    };
    let assessments = if intervened || full {
        json!([assessment(&found, &texts)])
    } else {
        json!([])
    };
    let reply = json!({
        "action": if intervened { "GUARDRAIL_INTERVENED" } else { "NONE" },
        "actionReason": if intervened { "Guardrail blocked." } else { "No action." },
        "assessments": assessments,
        "guardrailCoverage": coverage(&texts),
        "outputs": outputs,
        "usage": usage(&texts),
    });
    Ok(super::converse::json_reply(&reply))
}
