//! The memory that request bodies may occupy together, from the memory limit of the process.
//!
//! A body waits for its bytes before it is read, so that large requests that arrive together are served in turn. Small
//! bodies have a share of their own and do not wait for large ones.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::{GatewayError, Result};

/// Largest body of the small share.
const SMALL_BYTES: usize = 256 * 1024;
/// Memory of the process without bodies: code, connections, credentials.
const BASE_BYTES: u64 = 48 * 1024 * 1024;
/// Memory of a request for each byte of its body, at most: the body, the translated body, and the tree of the former
/// while it is decoded. Measured: docs/measurements.md.
const BYTES_PER_BODY_BYTE: u64 = 3;
/// Memory for each request in progress: its connections and buffers.
const BYTES_PER_REQUEST: u64 = 128 * 1024;
/// The budget if the limit is not known.
const UNKNOWN_BYTES: u64 = 1 << 30;
/// Time that a request waits for memory.
const WAIT: Duration = Duration::from_secs(30);

/// The memory that request bodies may occupy together.
#[derive(Debug)]
pub(crate) struct BodyBudget {
    small: Share,
    large: Share,
    /// Requests in progress that fit into the memory; 0 if unknown.
    requests: u32,
}

#[derive(Debug)]
struct Share {
    free: Arc<Semaphore>,
    bytes: usize,
}

/// Bytes of the budget, given back when dropped.
#[derive(Debug)]
pub(super) struct Reserved<'b> {
    budget: &'b BodyBudget,
    permit: OwnedSemaphorePermit,
    bytes: usize,
}

/// A body with its part of the budget.
struct Budgeted {
    body: Vec<u8>,
    _permit: OwnedSemaphorePermit,
}

impl BodyBudget {
    /// The budget of a process with this memory limit, in bytes.
    pub(crate) fn new(memory: Option<u64>) -> Self {
        let bodies = memory.map_or(UNKNOWN_BYTES, |memory| {
            memory.saturating_sub(BASE_BYTES).max(memory / 4) / BYTES_PER_BODY_BYTE
        });
        let small = bodies / 4;
        Self {
            small: Share::new(small),
            large: Share::new(bodies.saturating_sub(small)),
            requests: memory.map_or(0, |memory| {
                u32::try_from(memory / BYTES_PER_REQUEST).unwrap_or(u32::MAX)
            }),
        }
    }

    /// Requests in progress that fit into the memory; 0 if unknown.
    pub(crate) fn requests(&self) -> u32 {
        self.requests
    }

    /// Largest possible body in bytes.
    fn largest(&self) -> usize {
        self.large.bytes.max(SMALL_BYTES.min(self.small.bytes))
    }

    /// Checks that a body fits into the budget at all.
    ///
    /// # Errors
    /// 413 if it does not.
    pub(super) fn check(&self, bytes: usize) -> Result<()> {
        let largest = self.largest();
        if bytes > largest {
            return Err(GatewayError::BodyOverMemory { largest });
        }
        Ok(())
    }

    /// A body that is in memory already.
    ///
    /// # Errors
    /// 413 if it is larger than the budget; 503 if other bodies occupy the memory.
    pub(crate) async fn hold(&self, body: Bytes) -> Result<Bytes> {
        self.check(body.len())?;
        let reserved = self.reserve(body.len()).await?;
        Ok(reserved.own(body.into()))
    }

    /// Waits for memory.
    ///
    /// # Errors
    /// 503 if other bodies occupy the memory.
    pub(super) async fn reserve(&self, bytes: usize) -> Result<Reserved<'_>> {
        Ok(Reserved {
            permit: self.share(bytes).take(bytes).await?,
            budget: self,
            bytes,
        })
    }

    fn share(&self, bytes: usize) -> &Share {
        if bytes <= SMALL_BYTES.min(self.small.bytes) {
            &self.small
        } else {
            &self.large
        }
    }
}

impl Share {
    fn new(bytes: u64) -> Self {
        let bytes = usize::try_from(bytes)
            .unwrap_or(usize::MAX)
            .min(Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(bytes)),
            bytes,
        }
    }

    async fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit> {
        let busy = || GatewayError::MemoryBusy { budget: self.bytes };
        let permits = u32::try_from(bytes).map_err(|_| busy())?;
        let free = Arc::clone(&self.free);
        match tokio::time::timeout(WAIT, free.acquire_many_owned(permits)).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(busy()),
        }
    }
}

impl Reserved<'_> {
    /// Reserves at least `bytes`. A body of unknown length grows by doubling.
    ///
    /// # Errors
    /// 503 if other bodies occupy the memory.
    pub(super) async fn grow(&mut self, bytes: usize) -> Result<()> {
        if bytes <= self.bytes {
            return Ok(());
        }
        let doubled = self.bytes.saturating_mul(2).min(self.budget.largest());
        let wanted = bytes.max(doubled);
        let share = self.budget.share(wanted);
        if std::ptr::eq(share, self.budget.share(self.bytes)) {
            let more = share.take(wanted.saturating_sub(self.bytes)).await?;
            self.permit.merge(more);
        } else {
            self.permit = share.take(wanted).await?;
        }
        self.bytes = wanted;
        Ok(())
    }

    /// The body, which keeps its part of the budget until its last copy is dropped.
    pub(super) fn own(self, body: Vec<u8>) -> Bytes {
        Bytes::from_owner(Budgeted {
            body,
            _permit: self.permit,
        })
    }
}

impl AsRef<[u8]> for Budgeted {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn budget_fits_the_memory_of_pods_and_sidecars() {
        for (memory, largest, requests) in [(512, 116, 4096), (256, 52, 2048), (64, 4, 512)] {
            let budget = BodyBudget::new(Some(memory * MIB));
            assert_eq!(budget.largest() / (1024 * 1024), largest, "{memory}");
            assert_eq!(budget.requests(), requests);
        }
        assert_eq!(BodyBudget::new(None).requests(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn large_bodies_wait_and_small_ones_pass_them() {
        let budget = BodyBudget::new(Some(256 * MIB));
        let body = Bytes::from(vec![b'x'; 32 * 1024 * 1024]);
        let first = budget.hold(body.clone()).await.unwrap();
        let second = budget.hold(body.clone());
        let mut second = std::pin::pin!(second);
        assert!(futures::poll!(&mut second).is_pending());
        assert_eq!(
            budget.hold(Bytes::from_static(b"small")).await.unwrap(),
            "small"
        );
        let copy = first.slice(1..);
        drop(first);
        assert!(futures::poll!(&mut second).is_pending());
        drop(copy);
        assert_eq!(second.await.unwrap().len(), body.len());
        let _held = budget.hold(body.clone()).await.unwrap();
        let error = budget.hold(body).await.unwrap_err();
        assert!(matches!(error, GatewayError::MemoryBusy { .. }), "{error}");
        let too_large = Bytes::from(vec![b'x'; 64 * 1024 * 1024]);
        let error = budget.hold(too_large).await.unwrap_err();
        assert!(
            matches!(error, GatewayError::BodyOverMemory { .. }),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_body_of_unknown_length_grows_from_the_small_to_the_large_share() {
        let budget = BodyBudget::new(Some(256 * MIB));
        let free = |share: &Share| share.bytes - share.free.available_permits();
        let mut reserved = budget.reserve(1000).await.unwrap();
        assert_eq!((free(&budget.small), free(&budget.large)), (1000, 0));
        reserved.grow(1500).await.unwrap();
        assert_eq!((free(&budget.small), free(&budget.large)), (2000, 0));
        reserved.grow(SMALL_BYTES + 1).await.unwrap();
        assert_eq!(
            (free(&budget.small), free(&budget.large)),
            (0, SMALL_BYTES + 1)
        );
        drop(reserved.own(vec![1]));
        assert_eq!((free(&budget.small), free(&budget.large)), (0, 0));
    }
}
