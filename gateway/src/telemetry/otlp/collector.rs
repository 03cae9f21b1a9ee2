//! The collector of a signal: its URL and the headers of requests to it.

use bytes::Bytes;
use credentials::Environment;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, header};
use opentelemetry_http::{HttpClient, HttpError};
use percent_encoding::percent_decode_str;

use super::{
    sender::Sender,
    signal::{ENDPOINT, OtlpError, Protocol, Signal, first_of},
};

pub(super) const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
const CONTENT_TYPE: &str = "application/x-protobuf";

pub(super) struct Collector {
    sender: Sender,
    url: Uri,
    headers: HeaderMap,
}

impl Collector {
    /// That of the environment. Call it inside the runtime that sends.
    ///
    /// # Errors
    /// When a setting is missing or not supported.
    pub(super) fn new(
        signal: &'static Signal,
        protocol: Protocol,
        environment: &dyn Environment,
    ) -> Result<Self, OtlpError> {
        Ok(Self {
            url: url(signal, environment)?,
            headers: headers(signal, environment)?,
            sender: Sender::new(signal, protocol)?,
        })
    }

    /// Sends an encoded message. The log says when the collector becomes unavailable.
    ///
    /// # Errors
    /// When no response arrives.
    pub(super) async fn send(&self, message: Bytes) -> Result<Response<Bytes>, HttpError> {
        let mut request = Request::new(message);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.clone();
        request.headers_mut().clone_from(&self.headers);
        let content_type = HeaderValue::from_static(CONTENT_TYPE);
        request
            .headers_mut()
            .insert(header::CONTENT_TYPE, content_type);
        self.sender.send_bytes(request).await
    }

    /// [`Self::send`] for a thread without a runtime.
    ///
    /// # Errors
    /// When no response arrives.
    pub(super) fn send_from_thread(&self, message: Bytes) -> Result<Response<Bytes>, HttpError> {
        self.sender.wait(self.send(message))
    }
}

/// The URL of the collector: that for the signal, or the base URL with the path of OTLP.
fn url(signal: &Signal, environment: &dyn Environment) -> Result<Uri, OtlpError> {
    let set = first_of(environment, [signal.endpoint, ENDPOINT]);
    let (variable, url) = set.ok_or(OtlpError::EndpointMissing {
        exporter: signal.exporter,
    })?;
    let url = if variable == ENDPOINT {
        format!("{}{}", url.trim_end_matches('/'), signal.path)
    } else {
        url
    };
    let parsed: Uri = url.parse().map_err(|_| OtlpError::Endpoint { variable })?;
    match (parsed.scheme_str(), parsed.host()) {
        (Some("http" | "https"), Some(_)) => Ok(parsed),
        _ => Err(OtlpError::Endpoint { variable }),
    }
}

/// Headers such as `name=value,other=value`, with percent-encoded values.
fn headers(signal: &Signal, environment: &dyn Environment) -> Result<HeaderMap, OtlpError> {
    let Some((variable, list)) = first_of(environment, [signal.headers, HEADERS]) else {
        return Ok(HeaderMap::new());
    };
    let pairs = list.split(',').filter(|pair| !pair.trim().is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=')?;
            let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
            let mut value = HeaderValue::from_str(&value).ok()?;
            value.set_sensitive(true);
            Some((name.trim().parse::<HeaderName>().ok()?, value))
        })
        .collect::<Option<_>>()
        .ok_or(OtlpError::Headers { variable })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{super::signal::METRICS, *};

    fn environment(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        variables.iter().map(owned).collect()
    }

    #[test]
    fn the_variables_for_metrics_take_precedence() {
        let both = [
            (ENDPOINT, "http://all:4318/otlp/"),
            (METRICS.endpoint, "https://metrics/exactly"),
            (HEADERS, "a=1"),
            (METRICS.headers, "authorization=Basic%20abc, x-org = team ,"),
        ];
        let all = environment(&both[..1]);
        assert_eq!(
            url(&METRICS, &all).unwrap(),
            "http://all:4318/otlp/v1/metrics"
        );
        let environment = environment(&both);
        assert_eq!(
            url(&METRICS, &environment).unwrap(),
            "https://metrics/exactly"
        );
        let headers = headers(&METRICS, &environment).unwrap();
        assert_eq!(headers.len(), 2);
        assert_eq!(headers["authorization"], "Basic abc");
        assert_eq!(headers["x-org"], "team");
        assert!(!format!("{headers:?}").contains("abc"));
    }
}
