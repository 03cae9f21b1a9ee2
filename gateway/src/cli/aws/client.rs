//! Single signed calls to AWS for `models` and `doctor`: control plane, STS, IAM, and one Converse.
//!
//! Small and patient with nothing: one connection pool, one time limit for a whole call, a cap on the
//! answer, no retries. The data path has its own client; nothing here is on it.

use std::time::Duration;

use bedrock::{error::ServiceError, sigv4};
use bytes::Bytes;
use credentials::{ActiveCredentials, Handle};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

/// Largest answer taken: a list of all models has some hundred kilobytes.
const MAX_ANSWER_BYTES: usize = 8 * 1024 * 1024;

/// Makes calls with the credentials of a handle.
#[derive(Debug)]
pub(crate) struct Caller {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    time_limit: Duration,
}

/// One call.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Scheme, host, path and query.
    pub(crate) url: String,
    /// Name the signature is for, such as `bedrock`.
    pub(crate) service: &'static str,
    /// Region the signature is for.
    pub(crate) region: String,
    pub(crate) content_type: Option<&'static str>,
    pub(crate) body: Bytes,
}

/// A successful answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Why there is no successful answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The address makes no URL.
    #[error("{0:?} is not a usable URL")]
    Address(String),
    /// No certificates to trust, so no TLS.
    #[error("the system's certificates cannot be read: {0}")]
    Certificates(String),
    /// No answer.
    #[error("no answer from {host}: {message}")]
    Unreachable {
        /// The host asked.
        host: String,
        /// What went wrong.
        message: String,
    },
    /// No answer in time.
    #[error("no answer from {host} within {} s", limit.as_secs())]
    TimedOut {
        /// The host asked.
        host: String,
        /// The limit.
        limit: Duration,
    },
    /// An API key where a signature is needed, or the other way round.
    #[error("a Bedrock API key is good for Bedrock only, not for {0}")]
    BearerOnly(&'static str),
    /// The request could not be signed.
    #[error("failed to sign the request")]
    Sign(#[source] sigv4::SignError),
    /// AWS refused.
    #[error("{error}{}", request_id(error))]
    Refused {
        /// AWS's words.
        error: Box<ServiceError>,
        /// Its `Date`.
        date: Option<String>,
    },
    /// The answer is not what it should be.
    #[error("{0}")]
    Malformed(String),
}

fn request_id(error: &ServiceError) -> String {
    let id = error.request_id.as_ref();
    id.map_or_else(String::new, |id| format!(" (request id {id})"))
}

impl Answer {
    /// `Date` of the answer.
    pub(crate) fn date(&self) -> Option<&str> {
        date(&self.headers)
    }
}

impl CallError {
    /// AWS's words, where AWS said something.
    pub(crate) fn service(&self) -> Option<&ServiceError> {
        match self {
            Self::Refused { error, .. } => Some(error),
            _ => None,
        }
    }

    /// Whether AWS knows the caller and does not permit the call.
    pub(crate) fn is_denied(&self) -> bool {
        self.service()
            .is_some_and(|error| error.class() == bedrock::error::Class::AccessDenied)
    }

    /// `Date` of a refusal: also a refusal tells the time.
    pub(crate) fn date(&self) -> Option<&str> {
        match self {
            Self::Refused { date, .. } => date.as_deref(),
            _ => None,
        }
    }
}

impl Caller {
    /// # Errors
    /// The system's certificates cannot be read.
    pub(crate) fn try_new(time_limit: Duration) -> Result<Self, CallError> {
        let provider = rustls::crypto::ring::default_provider();
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(provider)
            .map_err(|error| CallError::Certificates(error.to_string()))?
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            time_limit,
        })
    }

    /// Asks without credentials, to see whether anybody answers: any answer will do.
    ///
    /// # Errors
    /// Nobody answers, or not in time.
    pub(crate) async fn probe(&self, url: &str) -> Result<HeaderMap, CallError> {
        let request = Request::get(url).body(Full::default());
        let request = request.map_err(|_| CallError::Address(url.to_owned()))?;
        let host = request.uri().host().unwrap_or_default().to_owned();
        let answer = tokio::time::timeout(self.time_limit, self.client.request(request)).await;
        match answer {
            Ok(Ok(response)) => Ok(response.into_parts().0.headers),
            Ok(Err(error)) => Err(CallError::Unreachable {
                host,
                message: chain(&error),
            }),
            Err(_elapsed) => Err(CallError::TimedOut {
                host,
                limit: self.time_limit,
            }),
        }
    }

    /// Signs with what the handle has and sends.
    ///
    /// # Errors
    /// See [`CallError`].
    pub(crate) async fn send(
        &self,
        call: Call,
        credentials: &Handle,
        active: &ActiveCredentials,
    ) -> Result<Answer, CallError> {
        let request = build(&call, credentials, active)?;
        let host = request.uri().host().unwrap_or_default().to_owned();
        let exchange = async {
            let response =
                self.client
                    .request(request)
                    .await
                    .map_err(|error| CallError::Unreachable {
                        host: host.clone(),
                        message: chain(&error),
                    })?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
            let body = body.map_err(|error| {
                CallError::Malformed(format!("the answer of {host} broke off: {error}"))
            })?;
            Ok((head, body.to_bytes()))
        };
        let (head, body) = tokio::time::timeout(self.time_limit, exchange)
            .await
            .map_err(|_elapsed| CallError::TimedOut {
                host: host.clone(),
                limit: self.time_limit,
            })??;
        if head.status.is_success() {
            return Ok(Answer {
                headers: head.headers,
                body,
            });
        }
        Err(CallError::Refused {
            date: date(&head.headers).map(str::to_owned),
            error: Box::new(refusal(head.status, &head.headers, &body)),
        })
    }
}

fn build(
    call: &Call,
    credentials: &Handle,
    active: &ActiveCredentials,
) -> Result<Request<Full<Bytes>>, CallError> {
    let address = || CallError::Address(call.url.clone());
    let mut builder = Request::builder()
        .method(call.method.clone())
        .uri(&call.url)
        .header(header::ACCEPT, "application/json");
    if let Some(kind) = call.content_type {
        builder = builder.header(header::CONTENT_TYPE, kind);
    }
    let request = builder.body(()).map_err(|_| address())?;
    if request.uri().host().is_none() {
        return Err(address());
    }
    let (mut head, ()) = request.into_parts();
    if let Some(bearer) = active.bearer() {
        if call.service != "bedrock" {
            return Err(CallError::BearerOnly(call.service));
        }
        let mut value = HeaderValue::from_str(&format!("Bearer {}", bearer.token()))
            .map_err(|_| CallError::Malformed("the API key is no header value".to_owned()))?;
        value.set_sensitive(true);
        head.headers.insert(header::AUTHORIZATION, value);
    } else {
        sigv4::sign(
            &mut head,
            &call.body,
            active.identity(),
            &call.region,
            call.service,
            credentials.now(),
        )
        .map_err(CallError::Sign)?;
    }
    Ok(Request::from_parts(head, Full::new(call.body.clone())))
}

/// STS and IAM answer in XML, Bedrock in JSON.
fn refusal(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> ServiceError {
    let text = String::from_utf8_lossy(body);
    match (element(&text, "Code"), element(&text, "Message")) {
        (Some(name), Some(message)) => ServiceError {
            status: status.as_u16(),
            name: name.to_owned(),
            message: message.to_owned(),
            request_id: element(&text, "RequestId").map(str::to_owned),
        },
        _ => ServiceError::from_http(status, headers, body),
    }
}

/// Content of the first element of a name in a small XML text without attributes, as AWS's query
/// services write it.
pub(crate) fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (content, _) = rest.split_once(&format!("</{name}>"))?;
    Some(content.trim())
}

pub(crate) fn date(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(header::DATE)
        .and_then(|date| date.to_str().ok())
}

/// An error with its causes; clients hide the telling one at the end.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.ends_with(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_query_services_are_read() {
        let text = "<R><Error><Code>AccessDenied</Code><Message> not you </Message></Error><RequestId>id-1</RequestId></R>";
        let error = refusal(StatusCode::FORBIDDEN, &HeaderMap::new(), text.as_bytes());
        assert_eq!(error.name, "AccessDenied");
        assert_eq!(error.message, "not you");
        assert_eq!(error.request_id.as_deref(), Some("id-1"));
        assert_eq!(element("<a>1</a><a>2</a>", "a"), Some("1"));
        assert_eq!(element("<a>1", "a"), None);
    }

    #[test]
    fn answers_of_json_services_are_read() {
        let mut headers = HeaderMap::new();
        headers.insert("x-amzn-errortype", "AccessDeniedException".parse().unwrap());
        let error = refusal(StatusCode::FORBIDDEN, &headers, br#"{"message":"no"}"#);
        assert_eq!(
            (error.name.as_str(), error.message.as_str()),
            ("AccessDeniedException", "no")
        );
    }
}
