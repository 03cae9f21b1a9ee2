//! Guards of a request: its size, the time to send it, and the number of open requests.

use std::{
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

use super::error::{GatewayError, Result};

/// Time in which a client must send its body.
const BODY_TIMEOUT: Duration = Duration::from_mins(2);

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

/// Reads a whole body. Rejects a body over `limit` bytes before reading if the client announces its length.
///
/// # Errors
/// 413 over the limit; 408 when the body does not arrive in time.
pub(crate) async fn read_body(body: Body, limit: u64) -> Result<Bytes> {
    if body.size_hint().lower() > limit {
        return Err(GatewayError::BodyTooLarge { limit });
    }
    let limited = Limited::new(body, usize::try_from(limit).unwrap_or(usize::MAX));
    match tokio::time::timeout(BODY_TIMEOUT, limited.collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(GatewayError::BodyTooLarge { limit })
        }
        Ok(Err(_)) => Err(GatewayError::BodyUnreadable(
            "the client closed the connection".to_owned(),
        )),
        Err(_elapsed) => Err(GatewayError::BodyUnreadable(format!(
            "no complete body within {} seconds",
            BODY_TIMEOUT.as_secs()
        ))),
    }
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
    async fn rejects_a_body_over_the_limit_with_and_without_a_length() {
        let announced = Body::from(vec![b'x'; 11]);
        assert!(matches!(
            read_body(announced, 10).await,
            Err(GatewayError::BodyTooLarge { limit: 10 })
        ));
        let chunks =
            stream::iter((0..11).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(b"x"))));
        assert!(matches!(
            read_body(Body::from_stream(chunks), 10).await,
            Err(GatewayError::BodyTooLarge { limit: 10 })
        ));
        let fits = Body::from(vec![b'x'; 10]);
        assert_eq!(read_body(fits, 10).await.unwrap().len(), 10);
    }
}
