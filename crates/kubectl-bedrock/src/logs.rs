//! `kubectl bedrock logs`: the log lines of all gateways of a BedrockAccess, as text or unchanged.

use std::{io::Write, process::ExitCode};

use api::names;
use futures::{AsyncBufReadExt, StreamExt, stream};
use gateway::cli::output::{DIM, ERROR, Output, WARNING};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt, api::LogParams};
use serde_json::{Map, Value};

use crate::{
    cluster::{Cluster, api_error},
    read,
    state::one_line,
};

/// Print the log lines of the gateways of a BedrockAccess.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(crate) struct Args {
    /// Name of the BedrockAccess.
    #[arg(value_name = "NAME")]
    name: String,
    /// Also print the log lines of sidecars.
    #[arg(long)]
    sidecars: bool,
    /// Print only requests with a status of 400 or above, and warnings and errors.
    #[arg(long)]
    errors: bool,
    /// Print new lines as they are written.
    #[arg(short, long, conflicts_with = "previous")]
    follow: bool,
    /// Print the lines of the previous containers, which have exited.
    #[arg(short, long)]
    previous: bool,
    /// Only lines of the last SECONDS.
    #[arg(long, value_name = "SECONDS")]
    since: Option<u32>,
    /// Number of lines of each pod, from the end.
    #[arg(long, value_name = "NUMBER", default_value_t = 200)]
    tail: u32,
    /// Output format; json prints one document for each line.
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = Output::Text)]
    output: Output,
}

const EXAMPLES: &str = "Examples:
  kubectl bedrock logs chat -n team-a --errors
  kubectl bedrock logs chat -f
  kubectl bedrock logs chat -o json | jq 'select(.status >= 500)'";

/// A log line and the pod that wrote it.
#[derive(Clone, Debug)]
struct Entry {
    pod: String,
    line: String,
}

/// Writes the lines to `out`.
///
/// # Errors
/// The pods cannot be listed, no log can be read, or the output is closed.
pub(crate) async fn run(
    args: &Args,
    cluster: &Cluster,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let access = read::access(cluster, &args.name).await?;
    let namespace = access.namespace().unwrap_or_default();
    let mut notes = Vec::new();
    let mut pods = Vec::new();
    for (label, wanted) in [
        (names::ACCESS_LABEL, true),
        (names::INJECT_LABEL, args.sidecars),
    ] {
        if wanted {
            let selector = format!("{label}={}", args.name);
            pods.extend(read::pods(cluster, &namespace, &selector, &mut notes).await);
        }
    }
    if let Some(note) = notes.first() {
        anyhow::bail!("failed to list {note}");
    }
    if pods.is_empty() {
        anyhow::bail!("{namespace}/{} has no gateway pods", args.name);
    }
    let parameters = LogParams {
        container: Some(names::GATEWAY_NAME.to_owned()),
        follow: args.follow,
        previous: args.previous,
        since_seconds: args.since.map(i64::from),
        tail_lines: Some(i64::from(args.tail)),
        ..LogParams::default()
    };
    let api = Api::<Pod>::namespaced(cluster.client.clone(), &namespace);
    let mut problems = Vec::new();
    let mut streams = Vec::new();
    for pod in &pods {
        let pod = pod.name_any();
        match api.log_stream(&pod, &parameters).await {
            Ok(lines) => {
                let lines = lines.lines().filter_map(move |line| {
                    let entry = line.ok().map(|line| Entry {
                        pod: pod.clone(),
                        line,
                    });
                    std::future::ready(entry)
                });
                streams.push(lines.boxed());
            }
            Err(error) => problems.push(format!("{pod}: {}", api_error(&error))),
        }
    }
    if streams.is_empty() {
        anyhow::bail!("failed to read the logs: {}", problems.join("; "));
    }
    for problem in &problems {
        writeln!(out, "{WARNING}!{WARNING:#} {problem}")?;
    }
    if args.follow {
        let mut merged = stream::select_all(streams);
        while let Some(entry) = merged.next().await {
            write_entry(&entry, args, out)?;
            out.flush()?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut entries: Vec<Entry> = Vec::new();
    for lines in streams {
        entries.extend(lines.collect::<Vec<_>>().await);
    }
    // Lines begin with their time; the sort keeps the order of lines without one.
    entries.sort_by_cached_key(|entry| time(&entry.line));
    for entry in &entries {
        write_entry(entry, args, out)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn parse(line: &str) -> Option<Map<String, Value>> {
    serde_json::from_str(line).ok()
}

fn time(line: &str) -> Option<String> {
    let fields = parse(line)?;
    fields.get("timestamp")?.as_str().map(str::to_owned)
}

/// Whether a line is about a problem. A line in an unknown form is.
fn is_problem(fields: &Map<String, Value>) -> bool {
    let level = fields.get("level").and_then(Value::as_str);
    let status = fields.get("status").and_then(Value::as_u64);
    matches!(level, Some("WARN" | "ERROR")) || status.is_some_and(|status| status >= 400)
}

fn write_entry(entry: &Entry, args: &Args, out: &mut dyn Write) -> anyhow::Result<()> {
    let fields = parse(&entry.line);
    if args.errors && fields.as_ref().is_some_and(|fields| !is_problem(fields)) {
        return Ok(());
    }
    if args.output == Output::Text {
        let text = match &fields {
            Some(fields) => text(fields),
            None => one_line(&entry.line),
        };
        writeln!(out, "{DIM}{}{DIM:#} {text}", entry.pod)?;
        return Ok(());
    }
    let mut document = fields.unwrap_or_else(|| {
        let line = Value::from(entry.line.as_str());
        [("message".to_owned(), line)].into_iter().collect()
    });
    document.insert("pod".to_owned(), Value::from(entry.pod.as_str()));
    if args.output == Output::Json {
        writeln!(out, "{}", Value::Object(document))?;
    } else {
        writeln!(out, "---")?;
        args.output.write(&document, out)?;
    }
    Ok(())
}

/// A line for people: time, level, message, and the fields with a value.
fn text(fields: &Map<String, Value>) -> String {
    let string = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
    let level = string("level");
    let style = match level {
        "ERROR" => ERROR,
        "WARN" => WARNING,
        _ => DIM,
    };
    let mut line = format!(
        "{} {style}{level:5}{style:#} {}",
        string("timestamp"),
        string("message")
    );
    for (name, value) in fields {
        let shown = match value {
            Value::Null => continue,
            Value::String(text) if text.is_empty() => continue,
            Value::String(text) => one_line(text),
            other => other.to_string(),
        };
        if !["timestamp", "level", "message", "target"].contains(&name.as_str()) {
            line = format!("{line} {DIM}{name}={DIM:#}{shown}");
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(line: &str, errors: bool, output: Output) -> String {
        let args = Args {
            name: "chat".to_owned(),
            sidecars: false,
            errors,
            follow: false,
            previous: false,
            since: None,
            tail: 1,
            output,
        };
        let entry = Entry {
            pod: "chat-gateway-1".to_owned(),
            line: line.to_owned(),
        };
        let mut out = anstream::StripStream::new(Vec::new());
        write_entry(&entry, &args, &mut out).unwrap();
        String::from_utf8(out.into_inner()).unwrap()
    }

    const REQUEST: &str = r#"{"timestamp":"2026-01-01T00:00:00Z","level":"INFO","message":"request","target":"gateway::record","request_id":"req_1","status":200,"reason":"","trace_id":null}"#;

    #[test]
    fn line_is_text_with_the_fields_that_have_a_value() {
        assert_eq!(
            written(REQUEST, false, Output::Text),
            "chat-gateway-1 2026-01-01T00:00:00Z INFO  request request_id=req_1 status=200\n"
        );
        assert_eq!(
            written("panic\u{1b}[2J", false, Output::Text),
            "chat-gateway-1 panic[2J\n"
        );
    }

    #[test]
    fn errors_are_failed_requests_warnings_and_lines_in_another_form() {
        assert_eq!(written(REQUEST, true, Output::Text), "");
        for line in [
            REQUEST.replace("200", "429"),
            REQUEST.replace("INFO", "WARN"),
            "not JSON".to_owned(),
        ] {
            assert_ne!(written(&line, true, Output::Text), "", "{line}");
        }
    }

    #[test]
    fn json_lines_keep_their_fields_and_name_the_pod() {
        let line: Value = serde_json::from_str(&written(REQUEST, false, Output::Json)).unwrap();
        assert_eq!(line["pod"], "chat-gateway-1");
        assert_eq!(line["trace_id"], Value::Null);
        let line: Value = serde_json::from_str(&written("not JSON", false, Output::Json)).unwrap();
        assert_eq!(line["message"], "not JSON");
    }
}
