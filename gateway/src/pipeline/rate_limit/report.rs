//! How the limits stand, in the headers that a client's dialect has for it, on answers and on refusals.
//!
//! Of several limits on requests, or on tokens, the one with the least room is shown, as Anthropic does. Bedrock's
//! own API has no such headers. OpenAI: <https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers>,
//! Anthropic: <https://docs.claude.com/en/api/rate-limits#response-headers>.

use std::{
    fmt::{self, Write},
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use axum::{
    extract::{Request, State as FromState},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::counts::Standing;
use crate::{
    endpoints::{bedrock_api as native, messages},
    server::router::State,
};

const MINUTE_MILLIS: u128 = 60_000;
const HOUR_MILLIS: u128 = 60 * MINUTE_MILLIS;

/// How the limits stood when a request was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    at: SystemTime,
    requests: Option<Standing>,
    tokens: Option<Standing>,
}

/// Where a request's report goes, an extension of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slot(Arc<OnceLock<Report>>);

/// Names of a dialect's headers: limit, what is left of it, and when it is as good as new.
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
    pub(super) fn new(at: SystemTime) -> Self {
        Self {
            at,
            requests: None,
            tokens: None,
        }
    }

    /// Adds limits; of those on the same thing the one with the least room stays.
    pub(super) fn add(&mut self, standings: impl Iterator<Item = Standing>) {
        for standing in standings {
            let shown = if standing.kind.is_of_tokens() {
                &mut self.tokens
            } else {
                &mut self.requests
            };
            if shown.is_none_or(|shown| standing.remaining() < shown.remaining()) {
                *shown = Some(standing);
            }
        }
    }

    fn openai(&self, headers: &mut HeaderMap) {
        let reset = |in_time: Duration| GoDuration(in_time).to_string();
        write_all(self.requests, &OPENAI_REQUESTS, reset, headers);
        write_all(self.tokens, &OPENAI_TOKENS, reset, headers);
    }

    fn anthropic(&self, headers: &mut HeaderMap) {
        let reset = |in_time: Duration| rfc3339(self.at, in_time);
        write_all(self.requests, &ANTHROPIC_REQUESTS, reset, headers);
        write_all(self.tokens, &ANTHROPIC_TOKENS, reset, headers);
    }
}

impl Slot {
    pub(crate) fn fill(&self, report: Report) {
        // A request is judged once.
        let _ = self.0.set(report);
    }
}

/// Puts the headers on every answer to a request that was judged.
pub(crate) async fn write(
    FromState(state): FromState<State>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    if state.live().allotments.is_empty() || native::is_spoken(path) {
        return next.run(request).await;
    }
    let anthropic = messages::is_spoken(path, request.headers());
    let slot = Slot::default();
    request.extensions_mut().insert(slot.clone());
    let mut response = next.run(request).await;
    if let Some(report) = slot.0.get() {
        if anthropic {
            report.anthropic(response.headers_mut());
        } else {
            report.openai(response.headers_mut());
        }
    }
    response
}

fn write_all(
    standing: Option<Standing>,
    names: &Names,
    reset: impl Fn(Duration) -> String,
    headers: &mut HeaderMap,
) {
    let Some(standing) = standing else { return };
    headers.insert(names.limit.clone(), HeaderValue::from(standing.limit));
    headers.insert(names.remaining.clone(), standing.remaining().into());
    if let Ok(value) = HeaderValue::try_from(reset(standing.resets_in)) {
        headers.insert(names.reset.clone(), value);
    }
}

/// A time as OpenAI writes it, which is Go's way: `12ms`, `1.5s`, `6m0s`, `23h59m1s`.
struct GoDuration(Duration);

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        if millis == 0 {
            return f.write_str("0s");
        }
        if millis < 1000 {
            return write!(f, "{millis}ms");
        }
        let (hours, rest) = (millis / HOUR_MILLIS, millis % HOUR_MILLIS);
        let (minutes, rest) = (rest / MINUTE_MILLIS, rest % MINUTE_MILLIS);
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if hours > 0 || minutes > 0 {
            write!(f, "{minutes}m")?;
        }
        write!(f, "{}", rest / 1000)?;
        let fraction = format!("{:03}", rest % 1000);
        let fraction = fraction.trim_end_matches('0');
        if !fraction.is_empty() {
            write!(f, ".{fraction}")?;
        }
        f.write_char('s')
    }
}

/// A moment in whole seconds, rounded up.
fn rfc3339(at: SystemTime, in_time: Duration) -> String {
    let moment =
        OffsetDateTime::from(at).checked_add(time::Duration::try_from(in_time).unwrap_or_default());
    let moment = moment.unwrap_or_else(|| at.into());
    let whole = moment.replace_nanosecond(0).unwrap_or(moment);
    let rounded = if whole < moment {
        whole.checked_add(time::Duration::SECOND).unwrap_or(whole)
    } else {
        whole
    };
    rounded.format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::rate_limit::counts::Kind;

    #[test]
    fn time_is_written_as_openai_writes_it() {
        for (millis, expected) in [
            (0, "0s"),
            (12, "12ms"),
            (1_000, "1s"),
            (8_640, "8.64s"),
            (60_000, "1m0s"),
            (119_050, "1m59.05s"),
            (3_600_000, "1h0m0s"),
            (86_341_000, "23h59m1s"),
        ] {
            let text = GoDuration(Duration::from_millis(millis)).to_string();
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn moment_is_in_whole_seconds_and_not_before_the_time() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_250);
        for (millis, expected) in [
            (0, "2023-11-14T22:13:21Z"),
            (750, "2023-11-14T22:13:21Z"),
            (60_000, "2023-11-14T22:14:21Z"),
        ] {
            assert_eq!(rfc3339(at, Duration::from_millis(millis)), expected);
        }
    }

    #[test]
    fn of_limits_on_the_same_the_one_with_the_least_room_is_shown() {
        let standing = |kind, limit, used| Standing {
            kind,
            limit,
            used,
            frees_in: Duration::ZERO,
            resets_in: Duration::from_secs(5),
        };
        let mut report = Report::new(SystemTime::UNIX_EPOCH);
        report.add(
            [
                standing(Kind::TokensPerMinute, 1_000, 100),
                standing(Kind::TokensPerDay, 5_000, 4_950),
                standing(Kind::RequestsPerMinute, 60, 0),
            ]
            .into_iter(),
        );
        report.add([standing(Kind::RequestsPerMinute, 100, 90)].into_iter());
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
