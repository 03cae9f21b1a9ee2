//! What the signatures of a session have in common on a day: the key, the scope and the session token.

use std::{cell::RefCell, rc::Rc, time::SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::sign::v4::generate_signing_key;
use aws_smithy_runtime_api::client::identity::Identity;
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderValue;
use sha2::Sha256;

use super::{HexHash, SignError, TOKEN, timestamp};

/// Sessions of a thread: each of them is small, and gateways have few accounts and regions.
const MOST: usize = 16;
const SECONDS_PER_DAY: u64 = 24 * 60 * 60;

/// A session, a day, a region and a service.
pub(super) struct Session {
    /// Kept, so that no other session gets its address.
    identity: Identity,
    day: u64,
    region: String,
    service: String,
    /// Keyed with the signing key.
    mac: Hmac<Sha256>,
    /// Such as `20260102/us-east-1/bedrock/aws4_request`.
    pub(super) scope: String,
    pub(super) token: Option<HeaderValue>,
}

thread_local! {
    static SESSIONS: RefCell<Vec<Rc<Session>>> = const { RefCell::new(Vec::new()) };
}

impl Session {
    /// The signature of a text.
    pub(super) fn signature(&self, text: &str) -> HexHash {
        let mut mac = self.mac.clone();
        mac.update(text.as_bytes());
        HexHash::digits(&mac.finalize().into_bytes())
    }

    fn is_of(&self, credentials: &Credentials, day: u64, region: &str, service: &str) -> bool {
        let kept = self.identity.data::<Credentials>();
        kept.is_some_and(|kept| std::ptr::eq(kept, credentials))
            && self.day == day
            && self.region == region
            && self.service == service
    }
}

/// The session of an identity with these credentials; made once for each day, region and service on a thread.
///
/// # Errors
/// When the session token is not visible ASCII.
pub(super) fn session(
    identity: &Identity,
    credentials: &Credentials,
    time: SystemTime,
    region: &str,
    service: &str,
) -> Result<Rc<Session>, SignError> {
    let day = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs() / SECONDS_PER_DAY);
    SESSIONS.with_borrow_mut(|sessions| {
        let is_same = |one: &&Rc<Session>| one.is_of(credentials, day, region, service);
        if let Some(known) = sessions.iter().find(is_same) {
            return Ok(Rc::clone(known));
        }
        let secret = credentials.secret_access_key();
        let key = generate_signing_key(secret, time, region, service);
        let mac = Hmac::new_from_slice(key.as_ref()).map_err(|_| SignError::NoKeys)?;
        let token = credentials.session_token().map(|token| {
            let mut value = HeaderValue::from_str(token)?;
            value.set_sensitive(true);
            Ok(value)
        });
        let token = token
            .transpose()
            .map_err(|_: http::header::InvalidHeaderValue| SignError::HeaderValue(TOKEN))?;
        let date = timestamp(time);
        let date = date.get(..8).unwrap_or_default();
        let session = Rc::new(Session {
            identity: identity.clone(),
            day,
            region: region.to_owned(),
            service: service.to_owned(),
            mac,
            scope: [date, region, service, "aws4_request"].join("/"),
            token,
        });
        if sessions.len() >= MOST {
            sessions.remove(0);
        }
        sessions.push(Rc::clone(&session));
        Ok(session)
    })
}
