//! The record of calls that tests read: what came in, who it was, what went out. Never a secret.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::HeaderMap;
use serde::{Deserialize, Serialize};

use crate::encoding::sha256_hex;

/// One request to the double and what became of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Counts from 1 in order of arrival.
    pub sequence: u64,
    /// Arrival by the machine's clock, RFC 3339 with milliseconds.
    pub at: String,
    /// `sts`, `iam`, `bedrock-runtime`, `bedrock-mantle`, `bedrock`, `container`, `imds`, `github`, `sso` or `unknown`.
    pub service: String,
    /// For example `AssumeRoleWithWebIdentity` or `ConverseStream`.
    pub operation: String,
    /// HTTP method.
    pub method: String,
    /// Path as received, not decoded.
    pub path: String,
    /// Query as received, without secrets.
    pub query: String,
    /// Headers with lower-case names; secret ones show only their kind and a fingerprint.
    pub headers: BTreeMap<String, String>,
    /// Body as text; forms without their secret fields.
    pub body: String,
    /// SHA-256 of the body as received.
    pub body_sha256: String,
    /// The model id of the path, decoded, or of the body.
    pub model: Option<String>,
    /// Region by the signature's scope.
    pub region: Option<String>,
    /// The verified caller.
    pub identity: Option<Identity>,
    /// Parameters of a query-protocol call, without secrets.
    pub parameters: BTreeMap<String, String>,
    /// What was in the web identity token, if one came.
    pub token: Option<TokenFacts>,
    /// The session that this call created.
    pub issued: Option<Identity>,
    /// The fault that was played, by its kind.
    pub fault: Option<String>,
    /// HTTP status; absent while the call is being answered.
    pub status: Option<u16>,
    /// Name of the error.
    pub error: Option<String>,
    /// Text of the error, or why a signature differed.
    pub message: Option<String>,
    /// AWS request id of the reply.
    pub request_id: String,
    /// How a streamed reply went.
    pub stream: Option<StreamOutcome>,
}

/// A verified caller or an issued session.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// How it authenticated: `session`, `user` or `bearer`.
    pub kind: String,
    /// ARN of the caller.
    pub arn: String,
    /// Access-key id (bearer keys: a fingerprint).
    pub access_key_id: String,
    /// The role of a session.
    pub role_arn: Option<String>,
    /// The session's name.
    pub session_name: Option<String>,
    /// Which session this is, counted from 1 over the double's life; 0 for users and keys.
    pub generation: u64,
}

/// Claims of a presented token and a fingerprint of its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenFacts {
    /// First 16 hex digits of the token's SHA-256.
    pub fingerprint: String,
    /// `iss`.
    pub issuer: Option<String>,
    /// `sub`.
    pub subject: Option<String>,
    /// `aud`, as a list.
    pub audiences: Vec<String>,
    /// `exp` in seconds since 1970.
    pub expires_at: Option<u64>,
}

/// How far a streamed reply came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamOutcome {
    /// Events handed to the connection.
    pub events: usize,
    /// Bytes handed to the connection.
    pub bytes: usize,
    /// `open`, `complete`, `cancelled` (the client left), `cut` or `stalled`.
    pub ended: String,
}

impl Call {
    /// The body as JSON.
    ///
    /// # Errors
    /// When it is not JSON.
    pub fn json(&self) -> Result<serde_json::Value, serde_json::Error> {
        serde_json::from_str(&self.body)
    }
}

#[derive(Debug, Default)]
struct Inner {
    calls: VecDeque<Call>,
    first: u64,
    next: u64,
    keep: usize,
    counts: BTreeMap<String, u64>,
    file: Option<File>,
}

/// Holds the last calls and writes finished ones to a file.
#[derive(Debug, Default)]
pub(crate) struct Recorder(Mutex<Inner>);

impl Recorder {
    pub(crate) fn new(keep: usize) -> Self {
        Self(Mutex::new(Inner {
            first: 1,
            next: 1,
            keep,
            ..Inner::default()
        }))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends finished calls to a file, one JSON document a line.
    pub(crate) fn write_to(&self, path: &Path) -> std::io::Result<()> {
        let file = File::options().create(true).append(true).open(path)?;
        self.inner().file = Some(file);
        Ok(())
    }

    /// Takes a call in and gives it its number.
    pub(crate) fn begin(&self, call: &mut Call) {
        let mut inner = self.inner();
        call.sequence = inner.next;
        inner.next += 1;
        *inner.counts.entry(call.operation.clone()).or_default() += 1;
        inner.calls.push_back(call.clone());
        while inner.calls.len() > inner.keep {
            inner.calls.pop_front();
            inner.first += 1;
        }
    }

    /// Replaces the call by what is known of it now; a finished one goes to the file.
    pub(crate) fn update(&self, call: &Call, finished: bool) {
        let mut inner = self.inner();
        let index = call
            .sequence
            .checked_sub(inner.first)
            .and_then(|i| usize::try_from(i).ok());
        if let Some(slot) = index.and_then(|index| inner.calls.get_mut(index)) {
            slot.clone_from(call);
        }
        if finished
            && let Some(file) = &mut inner.file
            && let Ok(mut line) = serde_json::to_vec(call)
        {
            line.push(b'\n');
            if let Err(error) = file.write_all(&line) {
                tracing::error!(%error, "unable to write the record of calls");
            }
        }
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.inner().calls.iter().cloned().collect()
    }

    /// Calls by operation since the start or the last clearing, also those no longer kept.
    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        self.inner().counts.clone()
    }

    pub(crate) fn clear(&self) {
        let mut inner = self.inner();
        inner.first = inner.next;
        inner.calls.clear();
        inner.counts.clear();
    }
}

/// A short name for a secret: enough to tell two apart, too little to use.
pub(crate) fn fingerprint(secret: &str) -> String {
    sha256_hex(secret.as_bytes()).chars().take(16).collect()
}

/// Headers for the record: secrets become fingerprints.
pub(crate) fn safe_headers(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut safe: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        let text = String::from_utf8_lossy(value.as_bytes());
        let text = match name.as_str() {
            "authorization" => match text.split_once(' ') {
                // Scope and signed headers are not secret; the signature proves nothing later.
                Some(("AWS4-HMAC-SHA256", rest)) => {
                    let rest = rest.split("Signature=").next().unwrap_or_default();
                    format!("AWS4-HMAC-SHA256 {rest}Signature=…")
                }
                Some((scheme, secret)) => format!("{scheme} …{}", fingerprint(secret)),
                None => format!("…{}", fingerprint(&text)),
            },
            "x-amz-security-token"
            | "x-api-key"
            | "cookie"
            | "x-aws-ec2-metadata-token"
            | "x-amz-sso_bearer_token" => format!("…{}", fingerprint(&text)),
            _ => text.into_owned(),
        };
        safe.entry(name.as_str().to_owned())
            .and_modify(|before| {
                before.push_str(", ");
                before.push_str(&text);
            })
            .or_insert(text);
    }
    safe
}
