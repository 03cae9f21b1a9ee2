//! Signing keys, which are derived once for each session, day, region and service on a thread.

use std::{cell::RefCell, rc::Rc, time::SystemTime};

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
    key: Rc<[u8]>,
}

thread_local! {
    static KEYS: RefCell<Vec<Derived>> = const { RefCell::new(Vec::new()) };
}

/// The signing key of an identity with these credentials.
pub(super) fn signing_key(
    identity: &Identity,
    credentials: &Credentials,
    time: SystemTime,
    region: &str,
    service: &str,
) -> Rc<[u8]> {
    let day = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs() / SECONDS_PER_DAY);
    let is_same = |one: &&Derived| {
        let kept = one.identity.data::<Credentials>();
        kept.is_some_and(|kept| std::ptr::eq(kept, credentials))
            && one.day == day
            && one.region == region
            && one.service == service
    };
    KEYS.with_borrow_mut(|keys| {
        if let Some(known) = keys.iter().find(is_same) {
            return Rc::clone(&known.key);
        }
        let secret = credentials.secret_access_key();
        let key: Rc<[u8]> = generate_signing_key(secret, time, region, service)
            .as_ref()
            .into();
        if keys.len() >= MOST {
            keys.remove(0);
        }
        keys.push(Derived {
            identity: identity.clone(),
            day,
            region: region.to_owned(),
            service: service.to_owned(),
            key: Rc::clone(&key),
        });
        key
    })
}
