//! Verification of AWS Signature Version 4, written from AWS's published description.
//!
//! Parses the `Authorization` header and recomputes the signature from the request as received. `auth.rs` looks up
//! the key and checks its state.
//! See <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>.

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, Method};
use sha2::Sha256;

use crate::encoding::{hex, percent_decode, percent_encode, sha256_hex};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// A parsed `Authorization` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) access_key_id: String,
    /// Date of the scope, `YYYYMMDD`.
    pub(crate) date: String,
    pub(crate) region: String,
    pub(crate) service: String,
    pub(crate) terminator: String,
    pub(crate) signed_headers: Vec<String>,
    pub(crate) signature: String,
}

impl Claim {
    /// Parses the header's value; `Err` is AWS's message for `IncompleteSignature`.
    pub(crate) fn parse(header: &str) -> Result<Self, String> {
        let rest = header.strip_prefix(ALGORITHM).ok_or_else(|| {
            "Unsupported AWS 'algorithm': it must be 'AWS4-HMAC-SHA256'.".to_owned()
        })?;
        let mut credential = None;
        let mut signed_headers = None;
        let mut signature = None;
        for part in rest.split(',') {
            match part.trim().split_once('=') {
                Some(("Credential", value)) => credential = Some(value),
                Some(("SignedHeaders", value)) => signed_headers = Some(value),
                Some(("Signature", value)) => signature = Some(value),
                _ => {
                    return Err(format!(
                        "'{}' not a valid key=value pair (missing equal-sign) in Authorization header.",
                        part.trim()
                    ));
                }
            }
        }
        let missing = |name: &str| {
            format!("Authorization header requires '{name}' parameter. Authorization={ALGORITHM}")
        };
        let credential = credential.ok_or_else(|| missing("Credential"))?;
        let signed_headers = signed_headers.ok_or_else(|| missing("SignedHeaders"))?;
        let signature = signature.ok_or_else(|| missing("Signature"))?;
        let mut parts = credential.split('/').map(str::to_owned);
        let (Some(access_key_id), Some(date), Some(region), Some(service), Some(terminator), None) = (
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
        ) else {
            return Err(format!(
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '{credential}'"
            ));
        };
        Ok(Self {
            access_key_id,
            date,
            region,
            service,
            terminator,
            signed_headers: signed_headers.split(';').map(str::to_owned).collect(),
            signature: signature.to_owned(),
        })
    }

    fn scope(&self) -> String {
        format!(
            "{}/{}/{}/{}",
            self.date, self.region, self.service, self.terminator
        )
    }

    /// Computes the expected signature, with the canonical request.
    pub(crate) fn expected(&self, secret: &str, amz_date: &str, parts: &Parts<'_>) -> Computed {
        let canonical_request = parts.canonical_request(&self.signed_headers);
        let string_to_sign = format!(
            "{ALGORITHM}\n{amz_date}\n{}\n{}",
            self.scope(),
            sha256_hex(canonical_request.as_bytes())
        );
        let key = [&self.date, &self.region, &self.service, &self.terminator]
            .iter()
            .fold(format!("AWS4{secret}").into_bytes(), |key, part| {
                hmac(&key, part.as_bytes())
            });
        let signature = hex(&hmac(&key, string_to_sign.as_bytes()));
        Computed {
            signature,
            canonical_request,
            string_to_sign,
        }
    }
}

/// The result of recomputing a signature.
#[derive(Debug, Clone)]
pub(crate) struct Computed {
    pub(crate) signature: String,
    pub(crate) canonical_request: String,
    pub(crate) string_to_sign: String,
}

/// The signed parts of a request, as received.
#[derive(Debug, Clone)]
pub(crate) struct Parts<'a> {
    pub(crate) method: &'a Method,
    pub(crate) raw_path: &'a str,
    pub(crate) raw_query: &'a str,
    pub(crate) headers: &'a HeaderMap,
    /// Host of the request (`:authority` in HTTP/2).
    pub(crate) host: &'a str,
    pub(crate) payload_hash: String,
}

impl Parts<'_> {
    fn canonical_request(&self, signed_headers: &[String]) -> String {
        let mut text = format!(
            "{}\n{}\n{}\n",
            self.method,
            canonical_path(self.raw_path),
            canonical_query(self.raw_query)
        );
        for name in signed_headers {
            text.push_str(name);
            text.push(':');
            text.push_str(&self.canonical_value(name));
            text.push('\n');
        }
        text.push('\n');
        text.push_str(&signed_headers.join(";"));
        text.push('\n');
        text.push_str(&self.payload_hash);
        text
    }

    fn canonical_value(&self, name: &str) -> String {
        if matches!(name, "host" | ":authority") {
            return self.host.to_owned();
        }
        let values: Vec<String> = self
            .headers
            .get_all(name)
            .iter()
            .map(|value| {
                let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
                text.split_whitespace().collect::<Vec<_>>().join(" ")
            })
            .collect();
        values.join(",")
    }
}

/// Normalizes dot segments and encodes the received path once more, as for all services except S3.
fn canonical_path(raw: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in raw.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    let mut path = format!("/{}", segments.join("/"));
    let ends_open = raw.ends_with('/') || raw.ends_with("/.") || raw.ends_with("/..");
    if ends_open && path != "/" {
        path.push('/');
    }
    percent_encode(path.as_bytes(), true)
}

fn canonical_query(raw: &str) -> String {
    let mut pairs: Vec<(String, String)> = raw
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let encode = |text: &str| percent_encode(percent_decode(text).as_bytes(), false);
            (encode(name), encode(value))
        })
        .collect();
    pairs.sort();
    let pairs: Vec<String> = pairs
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("&")
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any key length");
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests;
