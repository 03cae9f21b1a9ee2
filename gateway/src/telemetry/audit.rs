//! The audit stream: one JSON line for each request, apart from the log.
//!
//! A record says who called from where, which model was asked and used, tokens, AWS's request id of each attempt, the
//! decision, and the hash of the body. Prompts are in it only if the configuration says so. Records have a number within
//! their process, so that a reader notices what is missing. Writing never delays a request (`writer`).

mod attempts;
mod redaction;
mod writer;

use std::{
    net::IpAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use api::{GatewayConfig, config::AccessReference};
use bedrock::converse::TokenUsage;
use bytes::Bytes;
use ring::digest::{Digest, SHA256, digest};
use serde_json::Value;

pub(crate) use self::attempts::{Attempt, AttemptLog};
use self::{
    redaction::Redaction,
    writer::{Output, Writer},
};
use super::{
    json_line::{Line, name},
    otlp::LogsExport,
};

pub(crate) use self::writer::{dropped, written};

/// Largest body of a request that is recorded.
const MAX_PROMPT_BYTES: usize = 256 * 1024;

/// The audit stream of a configuration.
#[derive(Debug)]
pub(crate) struct Audit {
    settings: api::config::Audit,
    access: Option<AccessReference>,
    redaction: Redaction,
    stream: Arc<Stream>,
}

/// An output with the numbers of its records.
#[derive(Debug)]
struct Stream {
    writer: Writer,
    /// Distinguishes this process from others that write to the same place.
    instance: String,
    next: AtomicU64,
}

/// The audit stream cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// A regular expression is invalid.
    #[error("audit.redact[{index}]: {source}")]
    Pattern {
        /// Index of the expression.
        index: usize,
        /// The problem.
        source: regex::Error,
    },
    /// The file cannot be opened.
    #[error("audit.output: failed to open {path} for appending")]
    Open {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The system has no thread left.
    #[error("failed to start the thread of the audit stream")]
    Thread(#[source] std::io::Error),
}

/// What is known of a request before it ends.
#[derive(Debug)]
pub(crate) struct Entry {
    audit: Arc<Audit>,
    peer: Option<IpAddr>,
    body: Option<Body>,
    attempts: AttemptLog,
}

#[derive(Debug)]
struct Body {
    sha256: Digest,
    bytes: usize,
    /// Only if prompts are recorded.
    prompt: Option<Bytes>,
}

/// What became of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) route: &'static str,
    pub(crate) client: &'a str,
    pub(crate) model: &'a str,
    pub(crate) stream: bool,
    pub(crate) status: u16,
    /// Empty after success.
    pub(crate) reason: &'a str,
    /// Whether the client left before the end.
    pub(crate) cancelled: bool,
    pub(crate) duration_ms: u64,
    pub(crate) usage: Option<TokenUsage>,
    /// None if the price is unknown.
    pub(crate) cost_nanodollars: Option<u64>,
}

/// Tokens by kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tokens {
    /// Neither read from the cache nor written to it.
    input: u64,
    output: u64,
    cache_read: u64,
    /// Written to the cache, for any time.
    cache_write: u64,
    /// Part of `cache_write`.
    cache_write_1h: u64,
}

impl From<TokenUsage> for Tokens {
    fn from(usage: TokenUsage) -> Self {
        Self {
            input: usage.input_tokens,
            output: usage.output_tokens,
            cache_read: usage.cache_read_input_tokens,
            cache_write: usage.cache_write_input_tokens,
            cache_write_1h: usage.cache_write_1h_input_tokens,
        }
    }
}

impl Tokens {
    fn write(self, line: &mut Line) {
        line.number(name!("input"), self.input);
        line.number(name!("output"), self.output);
        line.number(name!("cache_read"), self.cache_read);
        line.number(name!("cache_write"), self.cache_write);
        line.number(name!("cache_write_1h"), self.cache_write_1h);
    }
}

impl Audit {
    /// The audit stream of a configuration, if it has one. Keeps the output of `previous` if it is the same.
    ///
    /// # Errors
    /// When the file cannot be opened, or a regular expression is invalid.
    pub(crate) fn open(
        config: &GatewayConfig,
        collector: Option<&LogsExport>,
        previous: Option<&Arc<Self>>,
    ) -> Result<Option<Arc<Self>>, AuditError> {
        let Some(settings) = &config.audit else {
            return Ok(None);
        };
        let redaction = Redaction::new(&settings.redact)?;
        let kept = previous.filter(|previous| previous.settings.output == settings.output);
        let stream = match kept {
            Some(kept) => Arc::clone(&kept.stream),
            None => Arc::new(Stream {
                writer: Writer::start(Output::open(&settings.output, collector)?)
                    .map_err(AuditError::Thread)?,
                instance: format!("{:016x}", fastrand::u64(..)),
                next: AtomicU64::new(1),
            }),
        };
        Ok(Some(Arc::new(Self {
            settings: settings.clone(),
            access: config.access.clone(),
            redaction,
            stream,
        })))
    }

    /// Waits until the records so far are written, for a while.
    pub(crate) async fn flush(&self) {
        self.stream.writer.flush().await;
    }
}

impl Entry {
    pub(crate) fn new(audit: Arc<Audit>, peer: Option<IpAddr>) -> Self {
        Self {
            audit,
            peer,
            body: None,
            attempts: AttemptLog::default(),
        }
    }

    /// The attempts of the request, to be filled.
    pub(crate) fn attempts(&self) -> &AttemptLog {
        &self.attempts
    }

    /// Hashes the body of the request.
    pub(crate) fn set_body(&mut self, body: &Bytes) {
        self.body = Some(Body {
            sha256: digest(&SHA256, body),
            bytes: body.len(),
            prompt: self.audit.settings.prompts.then(|| body.clone()),
        });
    }

    /// Queues the record of the request, or counts it as dropped.
    pub(crate) fn write(self, outcome: &Outcome<'_>, now: SystemTime) {
        let Audit {
            access,
            redaction,
            stream,
            ..
        } = self.audit.as_ref();
        let attempts = self.attempts.take();
        let dropped = stream.writer.take_dropped();
        let mut line = Line::new();
        line.time(name!("time"), now.into());
        line.text(name!("instance"), &stream.instance);
        let sequence = stream.next.fetch_add(1, Ordering::Relaxed);
        line.number(name!("sequence"), sequence);
        // Records that could not be written before this one.
        line.some_number(name!("dropped"), (dropped > 0).then_some(dropped));
        line.text(name!("request_id"), outcome.request_id);
        line.word(name!("decision"), decision(outcome, !attempts.is_empty()));
        line.number(name!("status"), outcome.status.into());
        line.some_text(
            name!("reason"),
            Some(outcome.reason).filter(|text| !text.is_empty()),
        );
        line.text(name!("client"), outcome.client);
        line.word(name!("client_kind"), client_kind(outcome.client));
        if let Some(peer) = self.peer {
            line.address(name!("peer"), peer);
        }
        if let Some(access) = access {
            line.text(name!("namespace"), &access.namespace);
            line.text(name!("bedrock_access"), &access.name);
        }
        line.word(name!("route"), outcome.route);
        line.text(name!("model"), outcome.model);
        line.flag(name!("stream"), outcome.stream);
        match outcome.usage.map(Tokens::from) {
            Some(tokens) => line.object(name!("tokens"), |line| tokens.write(line)),
            // Bedrock did not say.
            None => line.null(name!("tokens")),
        }
        line.some_number(name!("cost_nanodollars"), outcome.cost_nanodollars);
        line.objects(name!("attempts"), &attempts, Attempt::write_to);
        line.number(name!("duration_ms"), outcome.duration_ms);
        if let Some(body) = &self.body {
            line.hex(name!("body_sha256"), body.sha256.as_ref());
            line.some_number(name!("body_bytes"), u64::try_from(body.bytes).ok());
            if let Some(prompt) = &body.prompt {
                line.value(name!("body"), &recorded(prompt, redaction));
            }
        }
        stream.writer.send(line.end(), dropped);
    }
}

/// The body as it is recorded.
fn recorded(prompt: &[u8], redaction: &Redaction) -> Value {
    if prompt.len() > MAX_PROMPT_BYTES {
        return Value::from(format!(
            "not recorded: {} bytes are more than {MAX_PROMPT_BYTES}",
            prompt.len()
        ));
    }
    redaction.apply(prompt)
}

fn decision(outcome: &Outcome<'_>, was_sent: bool) -> &'static str {
    if outcome.reason.is_empty() {
        "allowed"
    } else if outcome.cancelled {
        "cancelled"
    } else if outcome.status < 500 && !was_sent {
        "refused"
    } else {
        "failed"
    }
}

/// The kind of credentials behind the name of a client.
fn client_kind(client: &str) -> &'static str {
    match client {
        "" => "unauthenticated",
        "anonymous" => "anonymous",
        _ if client.starts_with("key:") => "api_key",
        _ => "service_account",
    }
}

#[cfg(test)]
mod tests;
