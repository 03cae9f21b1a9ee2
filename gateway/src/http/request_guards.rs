//! What one request may take: its size, its time to arrive, a place among those in flight. Step 1.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::http::error::GatewayError;

/// How long a client may take to send its body.
const BODY_TIMEOUT: Duration = Duration::from_mins(2);

/// Counts requests in flight.
#[derive(Clone, Debug, Default)]
pub(crate) struct InFlight(Arc<AtomicU32>);

/// A place among the requests in flight, given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit(Arc<AtomicU32>);

impl InFlight {
    /// Takes a place; `limit` 0 means that there is always one.
    pub(crate) fn enter(&self, limit: u32) -> Result<Permit, GatewayError> {
        let before = self.0.fetch_add(1, Ordering::AcqRel);
        let permit = Permit(Arc::clone(&self.0));
        if limit > 0 && before >= limit {
            return Err(GatewayError::Busy { limit });
        }
        Ok(permit)
    }

    pub(crate) fn count(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Reads a whole body, refusing it at its announced length where it announces one.
pub(crate) async fn read_body(body: Body, limit: u64) -> Result<Bytes, GatewayError> {
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
            "the client stopped sending".to_owned(),
        )),
        Err(_elapsed) => Err(GatewayError::BodyUnreadable(format!(
            "not within {} seconds",
            BODY_TIMEOUT.as_secs()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    #[test]
    fn place_is_given_back_also_after_a_refusal() {
        let in_flight = InFlight::default();
        let first = in_flight.enter(1).unwrap();
        assert!(matches!(
            in_flight.enter(1),
            Err(GatewayError::Busy { limit: 1 })
        ));
        assert_eq!(in_flight.count(), 1);
        drop(first);
        assert!(in_flight.enter(1).is_ok());
        assert!(in_flight.enter(0).is_ok());
        assert_eq!(in_flight.count(), 0);
    }

    #[tokio::test]
    async fn body_over_the_limit_is_refused_announced_or_not() {
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
