//! One request, from its log lines.

use api::v1alpha1::explain;
use serde::Serialize;
use serde_json::{Map, Value};

use super::Found;
use crate::{state::State, tree::Tree};

/// Message of the line that ends a request.
const REQUEST: &str = "request";

/// A request.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RequestReport {
    request_id: String,
    /// Namespace and name of the BedrockAccess.
    access: String,
    pod: String,
    state: State,
    /// HTTP status; none while the request is in progress.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u64>,
    /// Calls to Bedrock that failed.
    failed_attempts: Vec<Attempt>,
    /// The last line, without the fields above.
    #[serde(skip_serializing_if = "Map::is_empty")]
    fields: Map<String, Value>,
}

/// A line about a call that failed.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Attempt {
    time: String,
    message: String,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

impl RequestReport {
    /// The request with this id; `None` if no line is about it.
    pub(super) fn new(id: &str, found: &[Found]) -> Option<Self> {
        let own = |one: &&Found| text(&one.fields, "request_id") == id;
        let mut lines: Vec<&Found> = found.iter().filter(own).collect();
        lines.sort_by_key(|one| text(&one.fields, "timestamp").to_owned());
        let last = lines.last()?;
        let is_end = |one: &&&Found| text(&one.fields, "message") == REQUEST;
        let end = lines.iter().rfind(is_end);
        let attempts = lines.iter().filter(|one| !is_end(one)).map(|one| Attempt {
            time: text(&one.fields, "timestamp").to_owned(),
            message: text(&one.fields, "message").to_owned(),
            fields: without(
                &one.fields,
                &["timestamp", "message", "level", "target", "request_id"],
            ),
        });
        let status = end.and_then(|end| end.fields.get("status").and_then(Value::as_u64));
        let fields = end.map(|end| {
            without(
                &end.fields,
                &["message", "level", "target", "request_id", "status"],
            )
        });
        Some(Self {
            request_id: id.to_owned(),
            access: last.access.clone(),
            pod: last.pod.clone(),
            state: match status {
                Some(0..400) => State::Ok,
                Some(_) => State::Error,
                None => State::Warning,
            },
            status,
            failed_attempts: attempts.collect(),
            fields: fields.unwrap_or_default(),
        })
    }

    /// The request for people.
    pub(super) fn tree(&self) -> Tree {
        let fields = &self.fields;
        let reason = text(fields, "reason");
        let outcome = match self.status {
            Some(499) => "499, the client disconnected".to_owned(),
            Some(status) if reason.is_empty() => status.to_string(),
            Some(status) => format!("{status} {reason}"),
            None => "in progress: the line that ends a request is missing".to_owned(),
        };
        let route = text(fields, "route");
        let mut root = Tree::of(
            self.state,
            format!("Request {}", self.request_id),
            format!("{outcome}  {route}"),
        );
        root.add(Tree::new(
            "Gateway",
            format!("{}, pod {}", self.access, self.pod),
        ));
        line(&mut root, "Ended", text(fields, "timestamp"));
        line(&mut root, "Client", text(fields, "client"));
        let stream = fields.get("stream").and_then(Value::as_bool) == Some(true);
        let model = text(fields, "model");
        let streamed = if stream && !model.is_empty() {
            ", streamed"
        } else {
            ""
        };
        line(&mut root, "Model", &format!("{model}{streamed}"));
        let attempts = number(fields, "attempts");
        let mut calls = Tree::new(
            "Calls to Bedrock",
            attempts.map_or_else(String::new, |count| count.to_string()),
        );
        for attempt in &self.failed_attempts {
            calls.add(attempt.tree());
        }
        let target = text(fields, "target_model");
        if !target.is_empty() {
            let text = format!("{target} in {}", text(fields, "region"));
            calls.add(Tree::of(self.state, "Last target", text));
        }
        root.add(calls);
        if let Some(took) = number(fields, "duration_ms") {
            let first = number(fields, "first_byte_ms");
            let first = first.map_or_else(String::new, |first| {
                format!(", first byte after {first} ms")
            });
            root.add(Tree::new("Duration", format!("{took} ms{first}")));
        }
        let tokens = ["input", "output", "cache_read", "cache_write"].map(|kind| {
            let count = number(fields, &format!("{kind}_tokens")).filter(|count| *count > 0)?;
            Some(format!("{count} {}", kind.replace('_', " ")))
        });
        let tokens: Vec<String> = tokens.into_iter().flatten().collect();
        line(&mut root, "Tokens", &tokens.join(", "));
        line(&mut root, "Dropped fields", text(fields, "dropped_fields"));
        line(&mut root, "Changed fields", text(fields, "changed_fields"));
        line(&mut root, "AWS request id", text(fields, "aws_request_id"));
        line(&mut root, "Trace id", text(fields, "trace_id"));
        let name = self.access.rsplit('/').next().unwrap_or_default();
        if let Some(fix) = explain::fix(reason, name).filter(|_| self.state != State::Ok) {
            line(&mut root, "Fix:", &fix);
        }
        root
    }
}

impl Attempt {
    fn tree(&self) -> Tree {
        let fields = self.fields.iter().filter(|(_, value)| !value.is_null());
        let fields: Vec<String> = fields
            .map(|(name, value)| match value {
                Value::String(text) => format!("{name}={text}"),
                other => format!("{name}={other}"),
            })
            .collect();
        Tree::of(
            State::Warning,
            &self.time,
            format!("{}: {}", self.message, fields.join(" ")),
        )
    }
}

/// Adds a line, unless it has no text.
fn line(root: &mut Tree, title: &str, text: &str) {
    if !text.is_empty() {
        root.add(Tree::new(title, text));
    }
}

fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> &'a str {
    fields.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn number(fields: &Map<String, Value>, name: &str) -> Option<u64> {
    fields.get(name).and_then(Value::as_u64)
}

fn without(fields: &Map<String, Value>, names: &[&str]) -> Map<String, Value> {
    let kept = fields
        .iter()
        .filter(|(name, value)| !names.contains(&name.as_str()) && !value.is_null());
    kept.map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
