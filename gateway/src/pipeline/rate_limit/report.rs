//! Rate-limit headers of responses and errors, in the format of the client's dialect.
//!
//! Of several limits on requests, or on tokens, the one with the least remaining is reported, as Anthropic does.
//! Bedrock's own API has no such headers. OpenAI: <https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers>,
//! Anthropic: <https://docs.claude.com/en/api/rate-limits#response-headers>.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{BufMut, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::counts::Usage;
use crate::http::{dialect::Dialect, time::rfc3339};

const MINUTE_MILLIS: u64 = 60_000;
const HOUR_MILLIS: u64 = 60 * MINUTE_MILLIS;
/// Bytes of usual values of all headers.
const USUAL_BYTES: usize = 96;

/// Usage of the limits when a request was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    /// In milliseconds since 1970.
    at: u64,
    requests: Option<Usage>,
    tokens: Option<Usage>,
}

/// Header with a budget that has reached its warning.
const BUDGET: HeaderName = HeaderName::from_static("x-bedrock-gateway-budget");

/// Place for the report of a request, and for the warning of a budget.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slot(Arc<Mutex<Reports>>);

#[derive(Debug, Default)]
struct Reports {
    limits: Option<Report>,
    budget: Option<String>,
}

/// Header names of a dialect: limit, remaining, and time until the usage is zero.
#[derive(Debug)]
struct Names {
    limit: HeaderName,
    remaining: HeaderName,
    reset: HeaderName,
}

const OPENAI_REQUESTS: Names = Names {
    limit: HeaderName::from_static("x-ratelimit-limit-requests"),
    remaining: HeaderName::from_static("x-ratelimit-remaining-requests"),
    reset: HeaderName::from_static("x-ratelimit-reset-requests"),
};
const OPENAI_TOKENS: Names = Names {
    limit: HeaderName::from_static("x-ratelimit-limit-tokens"),
    remaining: HeaderName::from_static("x-ratelimit-remaining-tokens"),
    reset: HeaderName::from_static("x-ratelimit-reset-tokens"),
};
const ANTHROPIC_REQUESTS: Names = Names {
    limit: HeaderName::from_static("anthropic-ratelimit-requests-limit"),
    remaining: HeaderName::from_static("anthropic-ratelimit-requests-remaining"),
    reset: HeaderName::from_static("anthropic-ratelimit-requests-reset"),
};
const ANTHROPIC_TOKENS: Names = Names {
    limit: HeaderName::from_static("anthropic-ratelimit-tokens-limit"),
    remaining: HeaderName::from_static("anthropic-ratelimit-tokens-remaining"),
    reset: HeaderName::from_static("anthropic-ratelimit-tokens-reset"),
};

impl Report {
    pub(super) fn new(at: u64) -> Self {
        Self {
            at,
            requests: None,
            tokens: None,
        }
    }

    /// Adds limits; of several on requests or tokens, keeps the one with the least remaining.
    pub(super) fn add(&mut self, usage: impl Iterator<Item = Usage>) {
        for usage in usage {
            let shown = if usage.kind.counts_tokens() {
                &mut self.tokens
            } else {
                &mut self.requests
            };
            if shown.is_none_or(|shown| usage.remaining() < shown.remaining()) {
                *shown = Some(usage);
            }
        }
    }

    /// Sets the headers of a dialect.
    fn write(&self, dialect: Dialect, headers: &mut HeaderMap) {
        match dialect {
            Dialect::OpenAi => self.openai(headers),
            Dialect::Anthropic => self.anthropic(headers),
            Dialect::Bedrock => {}
        }
    }

    fn openai(&self, headers: &mut HeaderMap) {
        let mut text = BytesMut::with_capacity(USUAL_BYTES);
        write_all(
            self.requests,
            &OPENAI_REQUESTS,
            go_duration,
            &mut text,
            headers,
        );
        write_all(self.tokens, &OPENAI_TOKENS, go_duration, &mut text, headers);
    }

    fn anthropic(&self, headers: &mut HeaderMap) {
        let reset = |in_time: u64, text: &mut BytesMut| {
            text.put_slice(reset_time(self.at, in_time).as_bytes());
        };
        let mut text = BytesMut::with_capacity(USUAL_BYTES);
        write_all(
            self.requests,
            &ANTHROPIC_REQUESTS,
            reset,
            &mut text,
            headers,
        );
        write_all(self.tokens, &ANTHROPIC_TOKENS, reset, &mut text, headers);
    }
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Reports> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the headers of a dialect.
    pub(crate) fn write(&self, dialect: Dialect, headers: &mut HeaderMap) {
        let reports = self.lock();
        if let Some(report) = &reports.limits {
            report.write(dialect, headers);
        }
        let warning = reports.budget.as_ref();
        if let Some(value) = warning.and_then(|text| HeaderValue::try_from(text).ok()) {
            headers.insert(BUDGET, value);
        }
    }

    /// The usage of limits.
    pub(crate) fn fill(&self, report: Report) {
        self.lock().limits = Some(report);
    }

    /// The warning of a budget.
    pub(crate) fn warn(&self, warning: String) {
        self.lock().budget = Some(warning);
    }
}

/// Sets the three headers of a limit. Their values are parts of one allocation.
fn write_all(
    usage: Option<Usage>,
    names: &Names,
    reset: impl Fn(u64, &mut BytesMut),
    text: &mut BytesMut,
    headers: &mut HeaderMap,
) {
    let Some(usage) = usage else { return };
    let mut set = |name: &HeaderName, write: &dyn Fn(&mut BytesMut)| {
        write(text);
        if let Ok(value) = HeaderValue::from_maybe_shared(text.split().freeze()) {
            headers.insert(name.clone(), value);
        }
    };
    set(&names.limit, &|text| add_number(usage.limit, text));
    set(&names.remaining, &|text| {
        add_number(usage.remaining(), text);
    });
    set(&names.reset, &|text| reset(usage.resets_in, text));
}

fn add_number(number: u64, text: &mut BytesMut) {
    text.put_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Adds a duration in milliseconds, in OpenAI's format, which is Go's: `12ms`, `1.5s`, `6m0s`, `23h59m1s`.
fn go_duration(millis: u64, text: &mut BytesMut) {
    // A formatter takes several times as long.
    let mut add = |number: u64, unit: &str| {
        add_number(number, text);
        text.put_slice(unit.as_bytes());
    };
    if (1..1000).contains(&millis) {
        return add(millis, "ms");
    }
    let (hours, rest) = (millis / HOUR_MILLIS, millis % HOUR_MILLIS);
    let (minutes, rest) = (rest / MINUTE_MILLIS, rest % MINUTE_MILLIS);
    if hours > 0 {
        add(hours, "h");
    }
    if hours > 0 || minutes > 0 {
        add(minutes, "m");
    }
    let (seconds, fraction) = (rest / 1000, rest % 1000);
    // The fraction has no zeros at its end.
    let (point, digits) = match fraction {
        0 => ("", None),
        _ if fraction % 100 == 0 => (".", Some(fraction / 100)),
        _ if fraction < 100 && fraction % 10 == 0 => (".0", Some(fraction / 10)),
        _ if fraction % 10 == 0 => (".", Some(fraction / 10)),
        _ if fraction < 10 => (".00", Some(fraction)),
        _ if fraction < 100 => (".0", Some(fraction)),
        _ => (".", Some(fraction)),
    };
    add(seconds, point);
    if let Some(digits) = digits {
        add(digits, "");
    }
    text.put_u8(b's');
}

/// A time in whole seconds, rounded up.
fn reset_time(at: u64, in_time: u64) -> String {
    rfc3339(at.saturating_add(in_time).div_ceil(1000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::over_limit::Kind;

    #[test]
    fn writes_durations_in_openais_format() {
        for (millis, expected) in [
            (0, "0s"),
            (12, "12ms"),
            (1_000, "1s"),
            (999, "999ms"),
            (1_001, "1.001s"),
            (1_010, "1.01s"),
            (1_120, "1.12s"),
            (1_123, "1.123s"),
            (1_500, "1.5s"),
            (8_640, "8.64s"),
            (60_000, "1m0s"),
            (119_050, "1m59.05s"),
            (3_600_000, "1h0m0s"),
            (86_341_000, "23h59m1s"),
        ] {
            let mut text = BytesMut::new();
            go_duration(millis, &mut text);
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn rounds_times_up_to_whole_seconds() {
        let at = 1_700_000_000_250;
        for (millis, expected) in [
            (0, "2023-11-14T22:13:21Z"),
            (750, "2023-11-14T22:13:21Z"),
            (60_000, "2023-11-14T22:14:21Z"),
        ] {
            assert_eq!(reset_time(at, millis), expected);
        }
    }

    #[test]
    fn reports_the_limit_with_the_least_remaining() {
        let usage = |kind, limit, used| Usage {
            kind,
            limit,
            used,
            frees_in: 0,
            resets_in: 5_000,
        };
        let mut report = Report::new(0);
        report.add(
            [
                usage(Kind::TokensPerMinute, 1_000, 100),
                usage(Kind::TokensPerDay, 5_000, 4_950),
                usage(Kind::RequestsPerMinute, 60, 0),
            ]
            .into_iter(),
        );
        report.add([usage(Kind::RequestsPerMinute, 100, 90)].into_iter());
        let mut headers = HeaderMap::new();
        report.openai(&mut headers);
        let found: Vec<(&str, &str)> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        assert_eq!(
            found,
            [
                ("x-ratelimit-limit-requests", "100"),
                ("x-ratelimit-remaining-requests", "10"),
                ("x-ratelimit-reset-requests", "5s"),
                ("x-ratelimit-limit-tokens", "5000"),
                ("x-ratelimit-remaining-tokens", "50"),
                ("x-ratelimit-reset-tokens", "5s"),
            ]
        );
        let mut headers = HeaderMap::new();
        report.anthropic(&mut headers);
        assert_eq!(headers["anthropic-ratelimit-requests-remaining"], "10");
        assert_eq!(
            headers["anthropic-ratelimit-tokens-reset"],
            "1970-01-01T00:00:05Z"
        );
    }
}
