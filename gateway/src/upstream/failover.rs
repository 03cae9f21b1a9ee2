//! Failover: one attempt after the other, on the targets that the plan selects, until one responds. Hedging: a second
//! request while the first has no response.
//!
//! An attempt ends with the first event of a stream, so all attempts precede the first byte to the client.

use std::{pin::pin, sync::Arc, time::Duration};

use futures::future::{Either, select};
use tokio::time::{Instant, sleep, timeout};

use super::{
    health::Failure,
    retry::{Next, Plan, RetryBudget},
    target::{Target, Targets},
};
use crate::http::error::{GatewayError, Result};

/// A request that can be sent to each of its targets.
pub(crate) trait Attempt {
    type Response;

    /// Sends the request to a target.
    async fn send(&mut self, target: &Arc<Target>) -> Result<Self::Response>;

    /// Prepares the request for another target.
    fn prepare(&mut self, target: &Target) -> Result<()>;

    /// The last attempt failed.
    fn failed(&mut self, target: &Target, error: &GatewayError);
}

/// A response with its target.
#[derive(Debug)]
pub(crate) struct Responded<R> {
    pub(crate) response: R,
    pub(crate) target: Arc<Target>,
    /// When the attempt began.
    pub(crate) began: Instant,
}

/// Sends a request to its targets in turn. `first_event_timeout`: the longest time until the first event while another target is
/// left.
///
/// # Errors
/// The error of the last attempt.
pub(crate) async fn fail_over<A: Attempt>(
    (targets, retries): (&Targets, &RetryBudget),
    first_event_timeout: Option<Duration>,
    request_id: &str,
    attempt: &mut A,
) -> Result<Responded<A::Response>> {
    retries.deposit();
    let mut plan = Plan::new(targets.count());
    let mut index = 0;
    loop {
        let target = targets.get(index);
        let began = Instant::now();
        let result = match first_event_timeout.filter(|_| plan.has_later()) {
            None => attempt.send(target).await,
            Some(first_event_timeout) => timeout(first_event_timeout, attempt.send(target))
                .await
                .unwrap_or(Err(GatewayError::Timeout {
                    seconds: first_event_timeout.as_secs(),
                })),
        };
        let error = match result {
            Ok(response) => {
                return Ok(Responded {
                    response,
                    target: Arc::clone(target),
                    began,
                });
            }
            Err(error) => error,
        };
        attempt.failed(target, &error);
        target.failed(&error, Failure::Hidden, began);
        match plan.after(&error, fastrand::f64()) {
            Next::GiveUp => return Err(error),
            // A pause precedes a second attempt on a target; the budget is for those.
            Next::Try { wait, .. } if !wait.is_zero() && !retries.withdraw() => {
                tracing::warn!(
                    request_id,
                    reason = error.reason(),
                    "Bedrock call failed; not retried because too many calls fail"
                );
                return Err(error);
            }
            Next::Try { target: next, wait } => {
                tracing::warn!(
                    request_id,
                    model = target.model_id,
                    region = target.region.as_str(),
                    reason = error.reason(),
                    wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                    failover = next != index,
                    "Bedrock call failed; retrying"
                );
                sleep(wait).await;
                if next != index {
                    attempt.prepare(targets.get(next))?;
                }
                index = next;
            }
        }
    }
}

/// Awaits `first`, and also `second` if `first` is not complete after this time and `is_allowed`. Returns the first success,
/// else the error of `first`; and whether it is that of `second`. The other one is dropped.
pub(crate) async fn hedged<T>(
    after: Duration,
    first: impl Future<Output = Result<T>>,
    is_allowed: impl FnOnce() -> bool,
    second: impl Future<Output = Result<T>>,
) -> (Result<T>, bool) {
    let mut first = pin!(first);
    if let Ok(result) = timeout(after, &mut first).await {
        return (result, false);
    }
    if !is_allowed() {
        return (first.await, false);
    }
    match select(first, pin!(second)).await {
        Either::Left((Ok(response), _)) => (Ok(response), false),
        Either::Left((Err(error), second)) => match second.await {
            Ok(response) => (Ok(response), true),
            Err(_) => (Err(error), false),
        },
        Either::Right((Ok(response), _)) => (Ok(response), true),
        Either::Right((Err(_), first)) => (first.await, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn after(seconds: u64, result: Result<&'static str>) -> Result<&'static str> {
        sleep(Duration::from_secs(seconds)).await;
        result
    }

    fn error() -> GatewayError {
        GatewayError::StreamUnstarted
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_success_wins_and_a_quick_response_starts_no_second_request() {
        let (one, two) = (|| Ok("one"), || Ok("two"));
        for (first, is_allowed, second, expected, seconds) in [
            // The second request starts after two seconds.
            (after(1, one()), true, after(1, two()), Ok("one"), 1),
            (after(9, one()), true, after(1, two()), Ok("two"), 3),
            (after(9, one()), true, after(8, two()), Ok("one"), 9),
            (after(9, one()), false, after(1, two()), Ok("one"), 9),
            (after(3, Err(error())), true, after(4, two()), Ok("two"), 6),
            (after(9, one()), true, after(1, Err(error())), Ok("one"), 9),
            (after(1, Err(error())), true, after(1, two()), Err(()), 1),
            (
                after(9, Err(error())),
                true,
                after(1, Err(error())),
                Err(()),
                9,
            ),
        ] {
            let started = Instant::now();
            let hedge = Duration::from_secs(2);
            let (result, is_second) = hedged(hedge, first, || is_allowed, second).await;
            assert_eq!(started.elapsed(), Duration::from_secs(seconds));
            assert_eq!(is_second, expected == Ok("two"));
            assert_eq!(result.map_err(|_| ()), expected);
        }
    }
}
