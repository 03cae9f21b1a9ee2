//! Single signed calls to AWS for `models` and `doctor`: control plane, STS, IAM, and one Converse.
//!
//! One connection pool, one timeout for a whole call, a maximum response size, no retries. Requests of clients
//! use another client, which is in `upstream`.

use std::time::Duration;

use bedrock::{error::ServiceError, sigv4};
use bytes::Bytes;
use credentials::{ActiveCredentials, Environment, Handle, Proxies};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{HttpConnector, dns::GaiResolver},
    },
    rt::TokioExecutor,
};

use crate::http::{error::causes, proxied::Proxied};

/// Maximum size of a response; a list of all models has a few hundred kilobytes.
const MAX_RESPONSE_BYTES: usize = 8 * 1024 * 1024;

/// Calls AWS with the credentials of a handle.
#[derive(Debug)]
pub(crate) struct AwsClient {
    client: Client<HttpsConnector<Proxied<GaiResolver>>, Full<Bytes>>,
    timeout: Duration,
}

/// One call.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Scheme, host, path and query.
    pub(crate) url: String,
    /// Service name in the signature, such as `bedrock`.
    pub(crate) service: &'static str,
    /// Region in the signature.
    pub(crate) region: String,
    pub(crate) content_type: Option<&'static str>,
    /// Additional headers.
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// A successful response.
#[derive(Debug)]
pub(crate) struct AwsResponse {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The URL cannot be parsed or has no host.
    #[error("{0:?} is not a valid URL")]
    Address(String),
    /// TLS cannot be used without CA certificates.
    #[error("failed to read the CA certificates of the system: {0}")]
    Certificates(String),
    /// The connection failed.
    #[error("no response from {host}: {message}")]
    Unreachable {
        /// The host of the URL.
        host: String,
        /// The chain of causes.
        message: String,
    },
    /// The timeout expired.
    #[error("no response from {host} within {} s", timeout.as_secs())]
    TimedOut {
        /// The host of the URL.
        host: String,
        /// The timeout.
        timeout: Duration,
    },
    /// The service does not accept Bedrock API keys.
    #[error("a Bedrock API key is valid only for Bedrock, not for {0}")]
    BearerOnly(&'static str),
    /// The request could not be signed.
    #[error("failed to sign the request")]
    Sign(#[source] sigv4::SignError),
    /// AWS returned an error.
    #[error("{error}{}", request_id(error))]
    Service {
        /// The error of AWS.
        error: Box<ServiceError>,
        /// `Date` of the response.
        date: Option<String>,
    },
    /// The response ended early or cannot be parsed.
    #[error("{0}")]
    Malformed(String),
}

fn request_id(error: &ServiceError) -> String {
    let id = error.request_id.as_ref();
    id.map_or_else(String::new, |id| format!(" (request id {id})"))
}

impl AwsResponse {
    /// `Date` of the response.
    /// The `Date` header.
    pub(crate) fn date(&self) -> Option<&str> {
        date(&self.headers)
    }
}

impl CallError {
    /// The error that AWS returned, if any.
    pub(crate) fn service(&self) -> Option<&ServiceError> {
        match self {
            Self::Service { error, .. } => Some(error),
            _ => None,
        }
    }

    /// Whether AWS authenticated the caller and denied the call.
    pub(crate) fn is_denied(&self) -> bool {
        self.service()
            .is_some_and(|error| error.class() == bedrock::error::Class::AccessDenied)
    }

    /// `Date` of an error response.
    /// The `Date` header.
    pub(crate) fn date(&self) -> Option<&str> {
        match self {
            Self::Service { date, .. } => date.as_deref(),
            _ => None,
        }
    }
}

impl AwsClient {
    /// A client whose calls take at most `timeout`.
    ///
    /// # Errors
    /// The CA certificates of the system cannot be read.
    pub(crate) fn try_new(
        environment: &dyn Environment,
        timeout: Duration,
    ) -> Result<Self, CallError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        let provider = rustls::crypto::ring::default_provider();
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(provider)
            .map_err(|error| CallError::Certificates(error.to_string()))?
            .https_or_http()
            .enable_http1()
            .wrap_connector(Proxied::new(tcp, &Proxies::from_env(environment)));
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            timeout,
        })
    }

    /// Sends a request without credentials and returns the headers of the response, whatever its status.
    ///
    /// # Errors
    /// The connection failed or the timeout expired.
    pub(crate) async fn probe(&self, url: &str) -> Result<HeaderMap, CallError> {
        let request = Request::get(url).body(Full::default());
        let request = request.map_err(|_| CallError::Address(url.to_owned()))?;
        let host = request.uri().host().unwrap_or_default().to_owned();
        let response = tokio::time::timeout(self.timeout, self.client.request(request)).await;
        match response {
            Ok(Ok(response)) => Ok(response.into_parts().0.headers),
            Ok(Err(error)) => Err(CallError::Unreachable {
                host,
                message: causes(&error),
            }),
            Err(_elapsed) => Err(CallError::TimedOut {
                host,
                timeout: self.timeout,
            }),
        }
    }

    /// Signs a call with the active credentials and sends it.
    ///
    /// # Errors
    /// See [`CallError`].
    pub(crate) async fn send(
        &self,
        call: Call,
        credentials: &Handle,
        active: &ActiveCredentials,
    ) -> Result<AwsResponse, CallError> {
        let request = build(&call, credentials, active)?;
        let host = request.uri().host().unwrap_or_default().to_owned();
        let exchange = async {
            let response =
                self.client
                    .request(request)
                    .await
                    .map_err(|error| CallError::Unreachable {
                        host: host.clone(),
                        message: causes(&error),
                    })?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, MAX_RESPONSE_BYTES).collect().await;
            let body = body.map_err(|error| {
                CallError::Malformed(format!("the response of {host} is incomplete: {error}"))
            })?;
            Ok::<_, CallError>((head, body.to_bytes()))
        };
        let (head, body) = tokio::time::timeout(self.timeout, exchange)
            .await
            .map_err(|_elapsed| CallError::TimedOut {
                host: host.clone(),
                timeout: self.timeout,
            })??;
        if head.status.is_success() {
            return Ok(AwsResponse {
                headers: head.headers,
                body,
            });
        }
        Err(CallError::Service {
            date: date(&head.headers).map(str::to_owned),
            error: Box::new(parse_error(head.status, &head.headers, &body)),
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
    head.headers.extend(call.headers.clone());
    if let Some(bearer) = active.bearer() {
        if !matches!(call.service, "bedrock" | "bedrock-mantle") {
            return Err(CallError::BearerOnly(call.service));
        }
        let mut value =
            HeaderValue::from_str(&format!("Bearer {}", bearer.token())).map_err(|_| {
                CallError::Malformed("the API key is not a valid HTTP header value".to_owned())
            })?;
        value.set_sensitive(true);
        head.headers.insert(header::AUTHORIZATION, value);
    } else {
        sigv4::sign(
            &mut head,
            std::iter::once(&call.body[..]),
            active.identity(),
            &call.region,
            call.service,
            credentials.now(),
        )
        .map_err(CallError::Sign)?;
    }
    Ok(Request::from_parts(head, Full::new(call.body.clone())))
}

/// Parses an error response: STS and IAM return XML, Bedrock returns JSON.
fn parse_error(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> ServiceError {
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

/// Content of the first element with a name, in XML without attributes as AWS's query services return it.
pub(crate) fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (content, _) = rest.split_once(&format!("</{name}>"))?;
    Some(content.trim())
}

/// The `Date` header.
pub(crate) fn date(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(header::DATE)
        .and_then(|date| date.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_errors_of_query_services() {
        let text = "<R><Error><Code>AccessDenied</Code><Message> not you </Message></Error><RequestId>id-1</RequestId></R>";
        let error = parse_error(StatusCode::FORBIDDEN, &HeaderMap::new(), text.as_bytes());
        assert_eq!(error.name, "AccessDenied");
        assert_eq!(error.message, "not you");
        assert_eq!(error.request_id.as_deref(), Some("id-1"));
        assert_eq!(element("<a>1</a><a>2</a>", "a"), Some("1"));
        assert_eq!(element("<a>1", "a"), None);
    }

    #[test]
    fn parses_errors_of_json_services() {
        let mut headers = HeaderMap::new();
        headers.insert("x-amzn-errortype", "AccessDeniedException".parse().unwrap());
        let error = parse_error(StatusCode::FORBIDDEN, &headers, br#"{"message":"no"}"#);
        assert_eq!(
            (error.name.as_str(), error.message.as_str()),
            ("AccessDeniedException", "no")
        );
    }
}
