//! The format of metrics that a scraper asks for in its `Accept` header.
//!
//! Prometheus' text format is the default. OpenMetrics, which has exemplars, is for scrapers that ask for it.
//! <https://prometheus.io/docs/instrumenting/content_negotiation/>

use std::fmt;

use http::{HeaderMap, header};
use prometheus_client::{
    encoding::{prometheus_text, text},
    registry::Registry,
};

/// Media type of OpenMetrics without parameters.
const OPEN_METRICS: &str = "application/openmetrics-text";
/// The version of OpenMetrics that is written.
const OPEN_METRICS_VERSION: &str = "1.0.0";

/// A format of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// The format that the `Accept` headers prefer; text if they name none.
    pub fn negotiate(headers: &HeaderMap) -> Self {
        let accepted = headers.get_all(header::ACCEPT).iter();
        let accepted = accepted.filter_map(|value| value.to_str().ok());
        let (mut text, mut open_metrics) = (0.0_f32, 0.0_f32);
        for range in accepted.flat_map(|value| value.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let media_type = parts.next().unwrap_or_default();
            let (mut quality, mut version) = (1.0, None);
            for (name, value) in parts.filter_map(|part| part.split_once('=')) {
                let value = value.trim().trim_matches('"');
                match name.trim().to_ascii_lowercase().as_str() {
                    "q" => quality = value.parse().unwrap_or(0.0),
                    "version" => version = Some(value),
                    _ => {}
                }
            }
            if media_type.eq_ignore_ascii_case("text/plain") || media_type == "text/*" {
                text = text.max(quality);
            } else if media_type.eq_ignore_ascii_case(OPEN_METRICS)
                && version.is_none_or(|version| version == OPEN_METRICS_VERSION)
            {
                open_metrics = open_metrics.max(quality);
            }
        }
        if open_metrics > 0.0 && open_metrics >= text {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    /// Value of the `Content-Type` header.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => prometheus_text::CONTENT_TYPE,
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// All metrics of a registry in this format.
    ///
    /// # Errors
    /// When a collector of the registry fails.
    pub fn encode(self, registry: &Registry) -> Result<String, fmt::Error> {
        let mut page = String::new();
        match self {
            Self::Text => prometheus_text::encode(&mut page, registry)?,
            Self::OpenMetrics => text::encode(&mut page, registry)?,
        }
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[track_caller]
    fn check(accept: &[&'static str], expected: Format) {
        let mut headers = HeaderMap::new();
        for value in accept {
            headers.append(header::ACCEPT, HeaderValue::from_static(value));
        }
        assert_eq!(Format::negotiate(&headers), expected, "{accept:?}");
    }

    #[test]
    fn text_is_the_default() {
        check(&[], Format::Text);
        check(&["*/*"], Format::Text);
        check(&["text/plain"], Format::Text);
        check(&["text/html,application/xhtml+xml,*/*;q=0.8"], Format::Text);
        check(&["not a media type;;q=;,"], Format::Text);
    }

    #[test]
    fn scrapers_get_open_metrics_if_they_prefer_a_version_that_is_written() {
        // Prometheus 2.42 and 3.0.
        check(
            &[
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            ],
            Format::OpenMetrics,
        );
        check(
            &[
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
            ],
            Format::OpenMetrics,
        );
        check(
            &["text/plain;q=0.5", "application/openmetrics-text"],
            Format::OpenMetrics,
        );
        check(
            &["text/plain, application/openmetrics-text;q=0.5"],
            Format::Text,
        );
        check(
            &["application/openmetrics-text;version=0.0.1"],
            Format::Text,
        );
        check(
            &["application/openmetrics-text;version=2.0.0"],
            Format::Text,
        );
        check(&["application/openmetrics-text;q=0"], Format::Text);
    }
}
