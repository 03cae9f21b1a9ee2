//! Recorded calls, for tests: request, caller and response, without secrets.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::HeaderMap;
use serde::{Deserialize, Serialize};

use crate::encoding::sha256_hex;

/// A request to the double and its result.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Number of the call in order of arrival, from 1.
    pub sequence: u64,
    /// Arrival time by the machine's clock, RFC 3339 with milliseconds.
    pub at: String,
    /// `sts`, `iam`, `bedrock-runtime`, `bedrock-mantle`, `bedrock`, `container`, `imds`, `github`, `sso` or `unknown`.
    pub service: String,
    /// Operation, for example `AssumeRoleWithWebIdentity` or `ConverseStream`.
    pub operation: String,
    /// HTTP method.
    pub method: String,
    /// Path as received (not decoded).
    pub path: String,
    /// Query as received, without secrets.
    pub query: String,
    /// Headers with lower-case names; secret values are replaced by a fingerprint.
    pub headers: BTreeMap<String, String>,
    /// Body as text; forms without secret fields.
    pub body: String,
    /// SHA-256 of the body as received.
    pub body_sha256: String,
    /// Model id from the path (decoded) or the body.
    pub model: Option<String>,
    /// Region of the signature scope.
    pub region: Option<String>,
    /// The authenticated caller.
    pub identity: Option<Identity>,
    /// Parameters of a query-protocol call, without secrets.
    pub parameters: BTreeMap<String, String>,
    /// Claims of the web identity token, if any.
    pub token: Option<TokenClaims>,
    /// The session that this call issued.
    pub issued: Option<Identity>,
    /// Kind of the injected fault.
    pub fault: Option<String>,
    /// HTTP status; absent until the response.
    pub status: Option<u16>,
    /// Error code.
    pub error: Option<String>,
    /// Error message.
    pub message: Option<String>,
    /// AWS request id of the response.
    pub request_id: String,
    /// Result of a streamed response.
    pub stream: Option<StreamOutcome>,
}

/// An authenticated caller or an issued session.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Kind of credentials: `session`, `user` or `bearer`.
    pub kind: String,
    /// ARN of the caller.
    pub arn: String,
    /// Access key id (API keys: a fingerprint).
    pub access_key_id: String,
    /// Role of the session.
    pub role_arn: Option<String>,
    /// Name of the session.
    pub session_name: Option<String>,
    /// Number of the session, from 1 in order of issue; 0 for users and API keys.
    pub generation: u64,
}

/// Claims and fingerprint of a web identity token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenClaims {
    /// First 16 hex digits of the token's SHA-256.
    pub fingerprint: String,
    /// `iss`.
    pub issuer: Option<String>,
    /// `sub`.
    pub subject: Option<String>,
    /// `aud`, as a list.
    pub audiences: Vec<String>,
    /// `exp`, in seconds since 1970.
    pub expires_at: Option<u64>,
}

/// The result of a streamed response.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamOutcome {
    /// Number of events sent.
    pub events: usize,
    /// Number of bytes sent.
    pub bytes: usize,
    /// `open`, `complete`, `cancelled` (the client disconnected), `cut` or `stalled`.
    pub ended: String,
}

impl Call {
    /// The body as JSON.
    ///
    /// # Errors
    /// If the body is not JSON.
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

/// Keeps the last calls and appends finished calls to a file.
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

    /// Appends finished calls to a file, one JSON document per line.
    pub(crate) fn write_to(&self, path: &Path) -> std::io::Result<()> {
        let file = File::options().create(true).append(true).open(path)?;
        self.inner().file = Some(file);
        Ok(())
    }

    /// Records a new call and assigns its number.
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

    /// Updates a recorded call; appends it to the file if it is finished.
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
                tracing::error!(%error, "unable to write the record file");
            }
        }
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.inner().calls.iter().cloned().collect()
    }

    /// Number of calls by operation since the start or the last `clear`, including calls that are no longer kept.
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

/// A short hash that identifies a secret without revealing it.
pub(crate) fn fingerprint(secret: &str) -> String {
    sha256_hex(secret.as_bytes()).chars().take(16).collect()
}

/// Headers for the record, with secrets replaced by fingerprints.
pub(crate) fn safe_headers(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut safe: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        let text = String::from_utf8_lossy(value.as_bytes());
        let text = match name.as_str() {
            "authorization" => match text.split_once(' ') {
                // Scope and signed headers are not secret; the signature is removed.
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
