//! Signing keys, which are derived once for each session, day, region and service on a thread.

use std::{cell::RefCell, time::SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::sign::v4::generate_signing_key;
use aws_smithy_runtime_api::client::identity::Identity;

/// Keys of a thread: each of them is small, and gateways have few accounts and regions.
const MOST: usize = 16;
const SECONDS_PER_DAY: u64 = 24 * 60 * 60;

struct Derived {
    /// Kept, so that no other session gets its address.
    identity: Identity,
    day: u64,
    region: String,
    service: String,
    key: Vec<u8>,
}

thread_local! {
    static KEYS: RefCell<Vec<Derived>> = const { RefCell::new(Vec::new()) };
}

/// Calls `use_key` with the signing key of an identity.
pub(super) fn signing_key<T>(
    identity: &Identity,
    time: SystemTime,
    region: &str,
    service: &str,
    use_key: impl FnOnce(&[u8]) -> T,
) -> T {
    let day = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs() / SECONDS_PER_DAY);
    KEYS.with_borrow_mut(|keys| {
        let is_same = |one: &Derived| {
            is_same_session(&one.identity, identity)
                && one.day == day
                && one.region == region
                && one.service == service
        };
        if let Some(known) = keys.iter().find(|one| is_same(one)) {
            return use_key(&known.key);
        }
        let secret = identity
            .data::<Credentials>()
            .map_or("", Credentials::secret_access_key);
        let key = generate_signing_key(secret, time, region, service)
            .as_ref()
            .to_vec();
        let result = use_key(&key);
        if keys.len() >= MOST {
            keys.remove(0);
        }
        keys.push(Derived {
            identity: identity.clone(),
            day,
            region: region.to_owned(),
            service: service.to_owned(),
            key,
        });
        result
    })
}

/// Whether both are the same credentials in memory.
fn is_same_session(one: &Identity, other: &Identity) -> bool {
    match (one.data::<Credentials>(), other.data::<Credentials>()) {
        (Some(one), Some(other)) => std::ptr::eq(one, other),
        _ => false,
    }
}
