//! `bedrock-gateway chat`: sends one prompt to a gateway and prints the response.
//!
//! A small client of the OpenAI API, for trials and for the demo's app pod: no history, no tools. It reads its
//! token file again for each attempt, because the kubelet replaces a projected token in place.

use std::{io::Write, path::PathBuf, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    config::ApiKey,
    http::{client, error::causes},
};

/// Delay between attempts while the gateway is not ready.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// Send a prompt to a gateway and print the response.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Base URL of the gateway, including /v1.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8000/v1")]
    pub base_url: String,
    /// Model alias of the gateway, or Bedrock model ID.
    #[arg(long, value_name = "NAME")]
    pub model: String,
    /// API key of the gateway.
    #[arg(long, value_name = "KEY", env = crate::config::API_KEY_VARIABLE, hide_env_values = true, conflicts_with = "token_file")]
    pub api_key: Option<String>,
    /// File with a bearer token to send instead of an API key, such as a projected ServiceAccount token.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Print the response as it arrives.
    #[arg(long)]
    pub stream: bool,
    /// System prompt.
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,
    /// Maximum output tokens.
    #[arg(long, value_name = "NUMBER")]
    pub max_tokens: Option<u32>,
    /// Seconds to keep retrying while the gateway is unreachable or not ready.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub wait: u64,
    /// Prompt; read from standard input if omitted.
    #[arg(value_name = "PROMPT")]
    pub prompt: Option<String>,
}

/// Why the command printed no response, or only part of one.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    /// `--base-url` is not an absolute URL.
    #[error("invalid --base-url {0:?}: expected a URL such as http://127.0.0.1:8000/v1")]
    BaseUrl(String),
    /// The token file cannot be read.
    #[error("failed to read the token file {path}")]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The API key or token cannot be sent in a header.
    #[error("the API key or token is not a valid HTTP header value")]
    Key,
    /// No gateway accepts connections at the URL.
    #[error("unable to reach the gateway at {url}: {cause}")]
    Unreachable {
        /// The URL of the request.
        url: String,
        /// The chain of causes.
        cause: String,
    },
    /// The gateway returned an error.
    #[error("the gateway returned {status}: {message}")]
    Rejected {
        /// HTTP status.
        status: u16,
        /// The gateway's message and hint.
        message: String,
    },
    /// The response ended early or cannot be parsed.
    #[error("failed to read the response: {0}")]
    Response(String),
    /// TLS cannot be used on this machine.
    #[error("failed to set up TLS")]
    Tls(#[from] rustls::Error),
    /// Standard input cannot be read.
    #[error("failed to read the prompt from standard input")]
    Input(#[source] std::io::Error),
    /// Standard output is closed.
    #[error("failed to write the response")]
    Output(#[from] std::io::Error),
}

impl ChatError {
    /// Whether a gateway that is starting can cause this error.
    fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Rejected { status, .. } => matches!(status, 502..=504),
            _ => false,
        }
    }
}

/// Sends the prompt and writes the response and a line feed to `out`.
///
/// # Errors
/// See [`ChatError`].
pub async fn run(args: &Args, out: &mut dyn Write) -> Result<(), ChatError> {
    let prompt = match &args.prompt {
        Some(prompt) => prompt.clone(),
        None => std::io::read_to_string(std::io::stdin()).map_err(ChatError::Input)?,
    };
    let client = client::connect(client::tls()?);
    let url: Uri = format!("{}/chat/completions", args.base_url.trim_end_matches('/'))
        .parse()
        .ok()
        .filter(|url: &Uri| url.authority().is_some() && url.scheme().is_some())
        .ok_or_else(|| ChatError::BaseUrl(args.base_url.clone()))?;
    let body = Bytes::from(body(args, &prompt).to_string());
    let started = Instant::now();
    let response = loop {
        match send(&client, args, &url, body.clone()).await {
            Ok(response) => break response,
            Err(error)
                if error.is_transient() && started.elapsed() < Duration::from_secs(args.wait) =>
            {
                tokio::time::sleep(RETRY_DELAY).await;
            }
            Err(error) => return Err(error),
        }
    };
    if args.stream {
        print_stream(response, out).await?;
    } else {
        let body = response
            .into_body()
            .collect()
            .await
            .map_err(|error| interrupted(&error))?;
        let response: Value = serde_json::from_slice(&body.to_bytes())
            .map_err(|error| ChatError::Response(error.to_string()))?;
        let content = response.pointer("/choices/0/message/content");
        out.write_all(
            content
                .and_then(Value::as_str)
                .unwrap_or_default()
                .as_bytes(),
        )?;
    }
    out.write_all(b"\n")?;
    out.flush()?;
    Ok(())
}

fn body(args: &Args, prompt: &str) -> Value {
    let mut messages = Vec::new();
    if let Some(system) = &args.system {
        messages.push(json!({ "role": "system", "content": system }));
    }
    messages.push(json!({ "role": "user", "content": prompt }));
    let mut body = json!({ "model": args.model, "messages": messages });
    if let Some(object) = body.as_object_mut() {
        if args.stream {
            object.insert("stream".to_owned(), Value::from(true));
        }
        if let Some(max_tokens) = args.max_tokens {
            object.insert("max_tokens".to_owned(), Value::from(max_tokens));
        }
    }
    body
}

async fn send(
    client: &client::Client,
    args: &Args,
    url: &Uri,
    body: Bytes,
) -> Result<Response<Incoming>, ChatError> {
    let mut request = Request::post(url.clone())
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(body))
        .map_err(|_| ChatError::BaseUrl(args.base_url.clone()))?;
    if let Some(key) = key(args)? {
        let mut value = HeaderValue::try_from(format!("Bearer {}", key.expose()))
            .map_err(|_| ChatError::Key)?;
        value.set_sensitive(true);
        request.headers_mut().insert(header::AUTHORIZATION, value);
    }
    let response = client
        .request(request)
        .await
        .map_err(|error| ChatError::Unreachable {
            url: url.to_string(),
            cause: causes(&error),
        })?;
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status().as_u16();
    let body = response
        .into_body()
        .collect()
        .await
        .map_err(|error| interrupted(&error))?;
    Err(ChatError::Rejected {
        status,
        message: message(&body.to_bytes()),
    })
}

fn key(args: &Args) -> Result<Option<ApiKey>, ChatError> {
    match (&args.token_file, &args.api_key) {
        (Some(path), _) => std::fs::read_to_string(path)
            .map(|text| Some(ApiKey::new(text)))
            .map_err(|source| ChatError::TokenFile {
                path: path.clone(),
                source,
            }),
        (None, key) => Ok(key.as_ref().map(ApiKey::new)),
    }
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
        (Some(message), Some(hint)) => format!("{message} ({hint})"),
        (Some(message), None) => message.to_owned(),
        _ => document.to_string(),
    }
}

/// Prints deltas as they arrive, until `[DONE]`.
async fn print_stream(response: Response<Incoming>, out: &mut dyn Write) -> Result<(), ChatError> {
    let mut body = response.into_body();
    let mut buffer = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(|error| interrupted(&error))?.into_data() {
            buffer.extend_from_slice(&data);
        }
        while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let line = buffer.split_to(end.saturating_add(1));
            let Some(data) = line.strip_prefix(b"data: ") else {
                continue;
            };
            if data.trim_ascii() == b"[DONE]" {
                return Ok(());
            }
            let event: Value = serde_json::from_slice(data)
                .map_err(|error| ChatError::Response(error.to_string()))?;
            if event.get("error").is_some() {
                return Err(ChatError::Response(message(data)));
            }
            if let Some(text) = event
                .pointer("/choices/0/delta/content")
                .and_then(Value::as_str)
            {
                out.write_all(text.as_bytes())?;
                out.flush()?;
            }
        }
    }
    Err(ChatError::Response(
        "the stream ended without [DONE]".to_owned(),
    ))
}

fn interrupted(error: &hyper::Error) -> ChatError {
    ChatError::Response(causes(error))
}
