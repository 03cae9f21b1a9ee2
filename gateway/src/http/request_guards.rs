//! Guards of a request: its size, the time to send it, and the number of open requests.

use std::{
    error::Error,
    io::{self, ErrorKind},
    iter::successors,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{
    body_budget::BodyBudget,
    error::{GatewayError, Result},
};

/// Time in which a client must send its body.
const BODY_TIMEOUT: Duration = Duration::from_mins(2);

/// Memory that a body of unknown length begins with.
const FIRST_BYTES: usize = 16 * 1024;

/// Time in which a client without proof must send its body.
const UNPROVEN_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes that bodies of clients without proof may occupy together: one of the largest that Bedrock accepts.
pub(crate) const UNPROVEN_BYTES: usize = 32 * 1024 * 1024;

/// Counts open requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct InFlight(Arc<AtomicU64>);

/// One open request; dropping it lowers the count.
#[derive(Debug)]
pub(crate) struct InFlightGuard(Arc<AtomicU64>);

impl InFlight {
    /// Counts a request, unless `limit` requests are open.
    pub(crate) fn enter(&self, limit: Option<u64>) -> Option<InFlightGuard> {
        let before = self.0.fetch_add(1, Ordering::AcqRel);
        let guard = InFlightGuard(Arc::clone(&self.0));
        limit.is_none_or(|limit| before < limit).then_some(guard)
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Reads a whole body, as soon as `budget` has the memory for it. Rejects a body over `limit` bytes before reading if the
/// client announces its length.
///
/// # Errors
/// 413 over the limit or over the whole budget; 503 while the budget is used up; 408 when the body does not arrive in
/// time; 400 when its chunks are malformed.
pub(crate) async fn read_body(body: Body, limit: u64, budget: &BodyBudget) -> Result<Bytes> {
    let check = |length: usize| {
        if u64::try_from(length).is_ok_and(|length| length > limit) {
            Err(GatewayError::BodyTooLarge { limit })
        } else {
            budget.check(length)
        }
    };
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    check(announced)?;
    let first = if announced == 0 {
        FIRST_BYTES
    } else {
        announced
    };
    let mut reserved = budget.reserve(first).await?;
    let mut read = Vec::with_capacity(announced);
    let mut body = body;
    // Pinned here, since a timeout would move it.
    let reading = pin!(async {
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| broken(&error))?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            let length = read.len().saturating_add(data.len());
            check(length)?;
            reserved.grow(length).await?;
            read.extend_from_slice(&data);
        }
        Ok(reserved.own(read))
    });
    match tokio::time::timeout(BODY_TIMEOUT, reading).await {
        Ok(result) => result,
        Err(_elapsed) => Err(too_slow(BODY_TIMEOUT)),
    }
}

/// Reads a whole body before the client has proved who it is. All such bodies share `budget`, in bytes.
///
/// # Errors
/// As [`read_body`]; 503 while the budget is used up.
pub(crate) async fn read_unproven(body: Body, limit: u64, budget: &Semaphore) -> Result<Bytes> {
    if body.size_hint().lower() > limit {
        return Err(GatewayError::BodyTooLarge { limit });
    }
    let limit_bytes = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut body = Limited::new(body, limit_bytes);
    let reading = async {
        let mut held: Option<SemaphorePermit<'_>> = None;
        // Pieces are joined once, at the end, so that the body occupies no more than the budget until then.
        let mut pieces = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| unreadable(&error, limit))?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            let bytes = u32::try_from(data.len()).unwrap_or(u32::MAX);
            let permit = budget
                .try_acquire_many(bytes)
                .map_err(|_| GatewayError::UnprovenBusy)?;
            match &mut held {
                Some(held) => held.merge(permit),
                None => held = Some(permit),
            }
            pieces.push(data);
        }
        Ok(Bytes::from(pieces.concat()))
    };
    match tokio::time::timeout(UNPROVEN_TIMEOUT, reading).await {
        Ok(result) => result,
        Err(_elapsed) => Err(too_slow(UNPROVEN_TIMEOUT)),
    }
}

fn unreadable(error: &axum::BoxError, limit: u64) -> GatewayError {
    if error.is::<LengthLimitError>() {
        GatewayError::BodyTooLarge { limit }
    } else {
        broken(error.as_ref())
    }
}

/// The error of a body that ends too early, or whose chunks are malformed.
fn broken(error: &(dyn Error + 'static)) -> GatewayError {
    let malformed = successors(Some(error), |&error| error.source())
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .find(|error| {
            matches!(
                error.kind(),
                ErrorKind::InvalidInput | ErrorKind::InvalidData
            )
        });
    match malformed {
        Some(error) => GatewayError::BodyMalformed(error.to_string()),
        None => GatewayError::BodyUnreadable("the client closed the connection".to_owned()),
    }
}

fn too_slow(timeout: Duration) -> GatewayError {
    GatewayError::BodyUnreadable(format!(
        "no complete body within {} seconds",
        timeout.as_secs()
    ))
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    #[test]
    fn guard_lowers_the_count_also_after_a_rejection() {
        let in_flight = InFlight::default();
        let first = in_flight.enter(Some(1)).unwrap();
        assert!(in_flight.enter(Some(1)).is_none());
        assert_eq!(in_flight.count(), 1);
        drop(first);
        assert!(in_flight.enter(Some(1)).is_some());
        assert!(in_flight.enter(None).is_some());
        assert_eq!(in_flight.count(), 0);
    }

    #[tokio::test]
    async fn malformed_chunks_differ_from_a_closed_connection() {
        let budget = BodyBudget::new(None);
        for (kind, status) in [
            (ErrorKind::InvalidInput, 400),
            (ErrorKind::InvalidData, 400),
            (ErrorKind::UnexpectedEof, 408),
            (ErrorKind::ConnectionReset, 408),
        ] {
            let pieces = || {
                let error = io::Error::new(kind, "Invalid chunk size line");
                Body::from_stream(stream::iter([Ok(Bytes::from_static(b"x")), Err(error)]))
            };
            let proven = read_body(pieces(), 10, &budget).await.unwrap_err();
            assert_eq!(proven.status(), status, "{kind:?}");
            let semaphore = Semaphore::new(UNPROVEN_BYTES);
            let unproven = read_unproven(pieces(), 10, &semaphore).await.unwrap_err();
            assert_eq!(unproven.status(), status, "{kind:?}");
        }
    }

    #[tokio::test]
    async fn rejects_a_body_over_the_limit_with_and_without_a_length() {
        let budget = BodyBudget::new(None);
        let announced = Body::from(vec![b'x'; 11]);
        assert!(matches!(
            read_body(announced, 10, &budget).await,
            Err(GatewayError::BodyTooLarge { limit: 10 })
        ));
        let chunks =
            stream::iter((0..11).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(b"x"))));
        assert!(matches!(
            read_body(Body::from_stream(chunks), 10, &budget).await,
            Err(GatewayError::BodyTooLarge { limit: 10 })
        ));
        let fits = Body::from(vec![b'x'; 10]);
        assert_eq!(read_body(fits, 10, &budget).await.unwrap().len(), 10);
    }

    #[tokio::test]
    async fn bodies_without_proof_share_a_budget_that_comes_back() {
        let budget = Semaphore::new(10);
        let silent = || {
            let first = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"12345678"))]);
            Body::from_stream(futures::StreamExt::chain(first, stream::pending()))
        };
        {
            let mut holding = std::pin::pin!(read_unproven(silent(), 100, &budget));
            assert!(futures::poll!(&mut holding).is_pending());
            assert_eq!(budget.available_permits(), 2);
            let small = read_unproven(Body::from("12"), 100, &budget).await;
            assert_eq!(small.unwrap(), "12");
            let error = read_unproven(Body::from("123"), 100, &budget).await;
            assert!(
                matches!(error, Err(GatewayError::UnprovenBusy)),
                "{error:?}"
            );
        }
        assert_eq!(budget.available_permits(), 10);
        let large = read_unproven(Body::from("12345"), 4, &budget).await;
        assert!(matches!(
            large,
            Err(GatewayError::BodyTooLarge { limit: 4 })
        ));
    }
}
