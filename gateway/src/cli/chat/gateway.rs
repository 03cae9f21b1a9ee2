//! The client of `chat`: sends requests to a gateway and reads responses, complete or as a stream.

use std::{path::PathBuf, time::Duration};

use bedrock::sse;
use bytes::Bytes;
use credentials::Proxies;
use http::{HeaderValue, Method, Request, Response, Uri, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::time::Instant;

use super::ChatError;
use crate::{
    config::ApiKey,
    http::{client, error::causes, payload::Payload},
};

/// Delay between attempts while the gateway is not ready.
const RETRY_DELAY: Duration = Duration::from_millis(500);
/// Largest event of a stream.
const MAX_EVENT_BYTES: usize = 16 * 1024 * 1024;
/// Path of the API, which a base URL without a path lacks.
const API_PATH: &str = "/v1";

/// A gateway, and how to authenticate to it.
#[derive(Debug)]
pub(super) struct Gateway {
    client: client::Client,
    base_url: String,
    api_key: Option<ApiKey>,
    /// Read for each attempt, because the kubelet replaces a projected token in place.
    token_file: Option<PathBuf>,
    /// How long to retry while the gateway is unreachable or not ready.
    wait: Duration,
}

/// The text of a response, and why it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) text: String,
    pub(super) finish_reason: Option<String>,
}

impl Gateway {
    /// # Errors
    /// The base URL is not absolute, or TLS cannot be set up.
    pub(super) fn try_new(
        base_url: &str,
        api_key: Option<ApiKey>,
        token_file: Option<PathBuf>,
        wait: Duration,
    ) -> Result<Self, ChatError> {
        let invalid = || ChatError::BaseUrl(base_url.to_owned());
        let url: Uri = base_url.parse().map_err(|_| invalid())?;
        if url.authority().is_none() || !matches!(url.scheme_str(), Some("http" | "https")) {
            return Err(invalid());
        }
        let mut base_url = base_url.trim_end_matches('/').to_owned();
        if url.path() == "/" {
            base_url.push_str(API_PATH);
        }
        Ok(Self {
            client: client::connect(client::tls()?, &Proxies::default()),
            base_url,
            api_key,
            token_file,
            wait,
        })
    }

    /// The base URL, with the path of the API.
    pub(super) fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Names of the models that the gateway lists.
    pub(super) async fn models(&self) -> Result<Vec<String>, ChatError> {
        let response = self.send(Method::GET, "/models", Bytes::new()).await?;
        let list = document(response).await?;
        let data = list.get("data").and_then(Value::as_array);
        let ids = data.into_iter().flatten().filter_map(|model| {
            let id = model.get("id").and_then(Value::as_str);
            id.map(str::to_owned)
        });
        Ok(ids.collect())
    }

    /// Sends a request of the chat completions API.
    pub(super) async fn complete(&self, body: &Value) -> Result<Response<Incoming>, ChatError> {
        let body = Bytes::from(body.to_string());
        let started = Instant::now();
        loop {
            let sent = self.send(Method::POST, "/chat/completions", body.clone());
            match sent.await {
                Err(error) if error.is_transient() && started.elapsed() < self.wait => {
                    tokio::time::sleep(RETRY_DELAY).await;
                }
                result => return result,
            }
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, ChatError> {
        let url = format!("{}{path}", self.base_url);
        let mut request = Request::builder()
            .method(method)
            .uri(&url)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Payload::from(body))
            .map_err(|_| ChatError::BaseUrl(self.base_url.clone()))?;
        if let Some(key) = self.key()? {
            let mut value = HeaderValue::try_from(format!("Bearer {}", key.expose()))
                .map_err(|_| ChatError::Key)?;
            value.set_sensitive(true);
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        let response = self.client.request(request).await;
        let response = response.map_err(|error| ChatError::Unreachable {
            url,
            cause: causes(&error),
        })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let body = response.into_body().collect().await;
        let body = body.map_err(|error| interrupted(&error))?;
        Err(ChatError::Rejected {
            status,
            message: message(&body.to_bytes()),
        })
    }

    fn key(&self) -> Result<Option<ApiKey>, ChatError> {
        let Some(path) = &self.token_file else {
            return Ok(self.api_key.clone());
        };
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(Some(ApiKey::new(text))),
            Err(source) => Err(ChatError::TokenFile {
                path: path.clone(),
                source,
            }),
        }
    }
}

/// The body of a complete response.
///
/// # Errors
/// The response ended early or is not JSON.
pub(super) async fn document(response: Response<Incoming>) -> Result<Value, ChatError> {
    let body = response.into_body().collect().await;
    let body = body.map_err(|error| interrupted(&error))?;
    serde_json::from_slice(&body.to_bytes()).map_err(|error| ChatError::Response(error.to_string()))
}

/// The reply in a complete response.
pub(super) fn reply(response: &Value) -> Reply {
    let text = |path| response.pointer(path).and_then(Value::as_str);
    Reply {
        text: text("/choices/0/message/content")
            .unwrap_or_default()
            .to_owned(),
        finish_reason: text("/choices/0/finish_reason").map(str::to_owned),
    }
}

/// Reads a stream until `[DONE]` and passes each piece of text to `show`.
///
/// # Errors
/// The stream contains an error or ended early, or `show` failed.
pub(super) async fn stream(
    response: Response<Incoming>,
    mut show: impl FnMut(&str) -> std::io::Result<()>,
) -> Result<Reply, ChatError> {
    let mut body = response.into_body();
    let mut decoder = sse::Decoder::new(MAX_EVENT_BYTES);
    let mut reply = Reply::default();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(|error| interrupted(&error))?.into_data() {
            decoder.push(data);
        }
        let invalid = |error: &dyn std::fmt::Display| ChatError::Response(error.to_string());
        while let Some(event) = decoder.next_event().map_err(|error| invalid(&error))? {
            if event.data.is_empty() {
                continue;
            }
            if event.data.trim_ascii() == b"[DONE]" {
                return Ok(reply);
            }
            let document: Value =
                serde_json::from_slice(&event.data).map_err(|error| invalid(&error))?;
            if document.get("error").is_some() {
                return Err(ChatError::Response(message(&event.data)));
            }
            let text = |path| document.pointer(path).and_then(Value::as_str);
            if let Some(reason) = text("/choices/0/finish_reason") {
                reply.finish_reason = Some(reason.to_owned());
            }
            if let Some(text) = text("/choices/0/delta/content") {
                show(text)?;
                reply.text.push_str(text);
            }
        }
    }
    Err(ChatError::Response(
        "the stream ended without [DONE]".to_owned(),
    ))
}

/// Message and hint of an error body, or its text.
fn message(body: &[u8]) -> String {
    let Ok(document) = serde_json::from_slice::<Value>(body) else {
        return String::from_utf8_lossy(body).trim().to_owned();
    };
    let member = |name: &str| {
        document
            .pointer(&format!("/error/{name}"))
            .and_then(Value::as_str)
    };
    match (member("message"), member("hint")) {
        (Some(message), Some(hint)) if !message.contains(hint) => format!("{message} ({hint})"),
        (Some(message), _) => message.to_owned(),
        _ => document.to_string(),
    }
}

fn interrupted(error: &hyper::Error) -> ChatError {
    ChatError::Response(causes(error))
}
