//! Where the time of a request went, in the response header `Server-Timing`, if the client asks for it.
//! <https://www.w3.org/TR/server-timing/>

use std::{
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;

/// Header with which a client asks for the times.
const REQUEST: HeaderName = HeaderName::from_static("x-bedrock-gateway-timing");
/// Header with the times.
const RESPONSE: HeaderName = HeaderName::from_static("server-timing");
/// Of a step that was not reached.
const NOT_REACHED: u64 = u64::MAX;

/// A step of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Authentication of the client.
    Auth,
    /// Reading the body.
    Body,
    /// Rate limits, with their store.
    Limit,
    /// Choice of the target, and the request for it.
    Decode,
    /// Everything up to the first event of Bedrock's stream, or up to its complete response: signing, retries, failover.
    Upstream,
}

impl Step {
    const ALL: [Self; 5] = [
        Self::Auth,
        Self::Body,
        Self::Limit,
        Self::Decode,
        Self::Upstream,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Body => "body",
            Self::Limit => "limit",
            Self::Decode => "decode",
            Self::Upstream => "upstream",
        }
    }
}

/// The times of one request, in microseconds.
#[derive(Debug)]
pub(crate) struct Timing {
    started: Instant,
    /// End of the last step, since the start.
    last: AtomicU64,
    steps: [(Step, AtomicU64); 5],
}

impl Timing {
    /// The times of a request that begins now, if its client asks for them.
    pub(crate) fn requested(headers: &HeaderMap) -> Option<Arc<Self>> {
        headers
            .contains_key(REQUEST)
            .then(|| Arc::new(Self::new(Instant::now())))
    }

    fn new(started: Instant) -> Self {
        Self {
            started,
            last: AtomicU64::new(0),
            steps: Step::ALL.map(|step| (step, AtomicU64::new(NOT_REACHED))),
        }
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(NOT_REACHED)
    }

    /// A step ends now; it began when the last one ended.
    pub(crate) fn end(&self, step: Step) {
        let now = self.elapsed();
        let took = now.saturating_sub(self.last.swap(now, Ordering::Relaxed));
        if let Some((_, total)) = self.steps.iter().find(|(one, _)| *one == step) {
            total.store(took, Ordering::Relaxed);
        }
    }

    /// Writes the header: the steps that ended, and the time until now.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        if let Ok(value) = HeaderValue::try_from(self.value()) {
            headers.insert(RESPONSE, value);
        }
    }

    fn value(&self) -> String {
        let mut text = String::new();
        for (step, took) in &self.steps {
            let took = took.load(Ordering::Relaxed);
            if took != NOT_REACHED {
                push(&mut text, step.name(), took);
                text.push_str(", ");
            }
        }
        push(&mut text, "total", self.elapsed());
        text
    }
}

fn push(text: &mut String, name: &str, micros: u64) {
    let (whole, rest) = (micros / 1000, micros % 1000);
    // Writing to a String cannot fail.
    let _: std::fmt::Result = write!(text, "{name};dur={whole}.{rest:03}");
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_step_has_the_time_since_the_last_one() {
        let timing = Timing::new(Instant::now());
        timing.end(Step::Auth);
        tokio::time::advance(Duration::from_micros(1_250)).await;
        timing.end(Step::Limit);
        tokio::time::advance(Duration::from_millis(300)).await;
        timing.end(Step::Upstream);
        tokio::time::advance(Duration::from_millis(2)).await;
        assert_eq!(
            timing.value(),
            "auth;dur=0.000, limit;dur=1.250, upstream;dur=300.000, total;dur=303.250"
        );
    }

    #[test]
    fn only_clients_that_ask_get_times() {
        let mut headers = HeaderMap::new();
        assert!(Timing::requested(&headers).is_none());
        headers.insert(REQUEST, HeaderValue::from_static("1"));
        let timing = Timing::requested(&headers).unwrap();
        let mut response = HeaderMap::new();
        timing.write(&mut response);
        let value = response[RESPONSE].to_str().unwrap();
        assert!(value.starts_with("total;dur="), "{value}");
    }
}
