//! Signs requests as AWS's SDKs do, with code of its own: the gateway's would hide its faults.

use std::{fmt::Write, time::SystemTime};

use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ring::hmac;
use sha2::{Digest, Sha256};
use time::{OffsetDateTime, macros::format_description};

use crate::rig::{Response, Rig};

/// What is not encoded in the path of a canonical request.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// A client that signs.
pub(crate) struct Signer {
    pub(crate) id: &'static str,
    pub(crate) secret: &'static str,
    pub(crate) region: &'static str,
    pub(crate) service: &'static str,
    /// Whether `x-amz-content-sha256` states the hash of the body.
    pub(crate) states_hash: bool,
    pub(crate) time: SystemTime,
}

impl Signer {
    pub(crate) fn new(id: &'static str, secret: &'static str) -> Self {
        let clock = ::credentials::SharedTimeSource::default();
        Self {
            id,
            secret,
            region: "us-east-1",
            service: "bedrock",
            states_hash: false,
            time: clock.now(),
        }
    }

    /// The headers of a signed request.
    pub(crate) fn headers(
        &self,
        (method, host, path): (&Method, &str, &str),
        body: &[u8],
    ) -> Vec<(&'static str, String)> {
        let format = format_description!("[year][month][day]T[hour][minute][second]Z");
        let time = OffsetDateTime::from(self.time).format(&format).unwrap();
        let (date, _) = time.split_at(8);
        let hash = hex(&Sha256::digest(body));
        let mut signed = vec![("host", host.to_owned())];
        if self.states_hash {
            signed.push(("x-amz-content-sha256", hash.clone()));
        }
        signed.push(("x-amz-date", time.clone()));
        let names: Vec<&str> = signed.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let path = utf8_percent_encode(path, PATH);
        let mut canonical = format!("{method}\n{path}\n\n");
        for (name, value) in &signed {
            writeln!(canonical, "{name}:{value}").unwrap();
        }
        write!(canonical, "\n{names}\n{hash}").unwrap();
        let scope = format!("{date}/{}/{}/aws4_request", self.region, self.service);
        let canonical = hex(&Sha256::digest(canonical.as_bytes()));
        let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{canonical}");
        let mut key = format!("AWS4{}", self.secret).into_bytes();
        for part in [date, self.region, self.service, "aws4_request"] {
            key = hmac(&key, part);
        }
        let signature = hex(&hmac(&key, &text));
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            self.id
        );
        signed.retain(|(name, _)| *name != "host");
        signed.push(("authorization", authorization));
        signed
    }

    /// Sends a signed request.
    pub(crate) async fn call(&self, rig: &Rig, method: Method, path: &str, body: &str) -> Response {
        let host = rig.address.to_string();
        let headers = self.headers((&method, &host, path), body.as_bytes());
        let headers: Vec<(&str, &str)> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        rig.call(method, path, &headers, body.to_owned()).await
    }
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}
