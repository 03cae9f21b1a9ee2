//! `retry-after` of errors of AWS. Bedrock rarely sends it, and some clients do not try again without it.

use std::time::Duration;

use bedrock::Class;
use http::{HeaderValue, header};

use super::Refusal;

/// The wait, in seconds; spread so that clients do not come back at the same moment.
const SECONDS: std::ops::RangeInclusive<u32> = 1..=5;
/// A part of messages about a quota that is not renewed within seconds.
const PER_DAY: &str = "per day";

/// The wait that AWS asks for, if in seconds.
pub(super) fn asked(refusal: &Refusal) -> Option<Duration> {
    let original = refusal.original.as_ref()?;
    let value = original.headers.get(header::RETRY_AFTER)?;
    let seconds = value.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// AWS's own value; otherwise a wait if the error is likely to pass within seconds.
pub(super) fn of(refusal: &Refusal) -> Option<HeaderValue> {
    let original = refusal.original.as_ref();
    if let Some(value) = original.and_then(|original| original.headers.get(header::RETRY_AFTER)) {
        return Some(value.clone());
    }
    let error = &refusal.error;
    let passes = matches!(
        error.class(),
        Class::Throttled | Class::NotReady | Class::Unavailable
    );
    (passes && !error.message.contains(PER_DAY)).then(|| fastrand::u32(SECONDS).into())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};

    use super::{
        super::{GatewayError, Original, tests::service},
        *,
    };

    fn wait(error: &GatewayError) -> Option<String> {
        let mut headers = HeaderMap::new();
        error.set_headers(&mut headers);
        let value = headers.get(header::RETRY_AFTER)?;
        Some(value.to_str().unwrap().to_owned())
    }

    #[test]
    fn errors_that_pass_get_a_wait_of_one_to_five_seconds() {
        for (name, status) in [
            ("ThrottlingException", 429),
            ("ModelNotReadyException", 429),
            ("ServiceUnavailableException", 503),
        ] {
            let seen: std::collections::BTreeSet<u32> = (0..200)
                .map(|_| {
                    wait(&service(name, status, "Busy"))
                        .unwrap()
                        .parse()
                        .unwrap()
                })
                .collect();
            assert!(
                seen.iter().all(|seconds| SECONDS.contains(seconds)),
                "{seen:?}"
            );
            assert!(seen.len() > 1, "{name} has no spread");
        }
    }

    #[test]
    fn other_errors_get_none() {
        for (name, status, text) in [
            ("ValidationException", 400, "Bad"),
            ("InternalServerException", 500, "Failed"),
            ("ServiceQuotaExceededException", 400, "Exceeded"),
            (
                "ThrottlingException",
                429,
                "Too many tokens per day, please wait before trying again.",
            ),
        ] {
            assert_eq!(wait(&service(name, status, text)), None, "{name} {text}");
        }
    }

    #[test]
    fn awss_own_value_is_kept() {
        let GatewayError::Service(mut refusal) = service("ThrottlingException", 429, "Busy") else {
            panic!("not a refusal")
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("17"));
        refusal.original = Some(Original {
            status: StatusCode::TOO_MANY_REQUESTS,
            headers,
            body: Bytes::new(),
        });
        assert_eq!(wait(&GatewayError::Service(refusal)).as_deref(), Some("17"));
    }
}
