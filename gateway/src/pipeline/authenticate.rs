//! Authentication of clients.
//!
//! A client sends an API key or, in a cluster, the token of its ServiceAccount, in `Authorization: Bearer` or
//! `x-api-key`. Neither is forwarded or logged.

mod api_keys;
mod caller;
mod service_account;
mod signature;
mod signature_check;

use std::{collections::BTreeSet, time::SystemTime};

use api::config::ServiceAccountClients;
use http::{HeaderMap, header};

pub(crate) use api_keys::ApiKeys;
pub(crate) use caller::Caller;
pub use service_account::KeySetError;
use service_account::ServiceAccounts;
pub(crate) use signature::Identity;

use crate::http::error::{GatewayError, Result};

const X_API_KEY: &str = "x-api-key";

/// Authenticates clients.
#[derive(Debug, Default)]
pub(crate) struct Authenticator {
    keys: ApiKeys,
    service_accounts: Option<ServiceAccounts>,
    /// Whether clients need no credentials.
    open: bool,
    /// Why all clients are rejected, if they are.
    revoked: Option<String>,
    /// Regions for which clients may sign; empty for any.
    regions: BTreeSet<String>,
}

impl Authenticator {
    /// `open` admits every client, with any credentials.
    ///
    /// # Errors
    /// When the key set of the ServiceAccounts is invalid.
    pub(crate) fn try_new(
        open: bool,
        keys: ApiKeys,
        service_accounts: Option<&ServiceAccountClients>,
    ) -> Result<Self, KeySetError> {
        Ok(Self {
            keys,
            service_accounts: service_accounts.map(ServiceAccounts::try_new).transpose()?,
            open,
            revoked: None,
            regions: BTreeSet::new(),
        })
    }

    /// Accepts signatures for these regions only.
    pub(crate) fn in_regions(self, regions: BTreeSet<String>) -> Self {
        Self { regions, ..self }
    }

    /// Rejects all clients; those with valid credentials receive the reason.
    pub(crate) fn revoked(self, why: Option<String>) -> Self {
        Self {
            revoked: why,
            ..self
        }
    }

    /// Whether clients need no credentials.
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    /// Names of the clients with an API key.
    pub(crate) fn key_clients(&self) -> impl Iterator<Item = &str> {
        self.keys.names()
    }

    /// Authenticates a request by its headers.
    ///
    /// # Errors
    /// 401 that names the problem; 403 for a ServiceAccount that is not on the list.
    pub(crate) fn authenticate(&self, headers: &HeaderMap, now: SystemTime) -> Result<Caller> {
        if self.open {
            return self.unless_revoked(Caller::anonymous());
        }
        let presented = presented(headers)?.ok_or_else(|| GatewayError::Unauthenticated {
            message: format!("missing credentials: send {}", self.accepted()),
            code: "missing_api_key",
        })?;
        self.identify(presented, now)
    }

    /// Name and secret with which a client can sign instead of sending its key. `None` if clients need no
    /// credentials.
    ///
    /// # Errors
    /// 401 without an API key of this gateway; tokens cannot sign.
    pub(crate) fn signing_pair(&self, headers: &HeaderMap) -> Result<Option<(&str, &str)>> {
        if self.open {
            return Ok(None);
        }
        let name = presented(headers)?.and_then(|key| self.keys.find(key));
        let pair = name.and_then(|name| Some((name, self.keys.secret_of(name)?)));
        pair.map(Some).ok_or_else(|| GatewayError::Unauthenticated {
            message: "send an API key of this gateway as `Authorization: Bearer …`".to_owned(),
            code: "invalid_api_key",
        })
    }

    /// The client with this key or token.
    fn identify(&self, presented: &str, now: SystemTime) -> Result<Caller> {
        let caller = match &self.service_accounts {
            Some(accounts) if service_account::looks_like_a_token(presented) => {
                accounts.verify(presented, now)?
            }
            _ => self
                .keys
                .find(presented)
                .map(Caller::with_key)
                .ok_or_else(|| GatewayError::Unauthenticated {
                    message: format!("invalid API key: send {}", self.accepted()),
                    code: "invalid_api_key",
                })?,
        };
        self.unless_revoked(caller)
    }

    /// Rejects revoked clients. The last step, so that unknown clients do not receive the reason.
    fn unless_revoked(&self, caller: Caller) -> Result<Caller> {
        match &self.revoked {
            Some(message) => Err(GatewayError::Forbidden {
                message: message.clone(),
            }),
            None => Ok(caller),
        }
    }

    fn accepted(&self) -> String {
        let token = self.service_accounts.as_ref().map(|accounts| {
            format!(
                "the token of a ServiceAccount with audience {:?}",
                accounts.audience()
            )
        });
        let what = match (self.keys.is_empty(), token) {
            (_, None) => "an API key of this gateway".to_owned(),
            (true, Some(token)) => token,
            (false, Some(token)) => format!("an API key of this gateway or {token}"),
        };
        format!("{what} as `Authorization: Bearer …` or `x-api-key: …`")
    }
}

/// The key or token of a request.
fn presented(headers: &HeaderMap) -> Result<Option<&str>> {
    let unreadable = || GatewayError::Unauthenticated {
        message: "the Authorization header must be `Bearer` and a key or token".to_owned(),
        code: "invalid_authorization_header",
    };
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let text = value.to_str().map_err(|_| unreadable())?;
        let (scheme, rest) = text.split_once(' ').ok_or_else(unreadable)?;
        if !scheme.eq_ignore_ascii_case("bearer") || rest.trim().is_empty() {
            return Err(unreadable());
        }
        return Ok(Some(rest.trim()));
    }
    headers
        .get(X_API_KEY)
        .map(|value| value.to_str().map(str::trim).map_err(|_| unreadable()))
        .transpose()
        .map(|found| found.filter(|text| !text.is_empty()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn with_key() -> Authenticator {
        let mut keys = ApiKeys::default();
        keys.insert("ci", "sk-right");
        Authenticator::try_new(false, keys, None).unwrap()
    }

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static(value));
        headers
    }

    #[test]
    fn accepts_a_key_in_either_header() {
        for headers in [
            headers("authorization", "Bearer sk-right"),
            headers("authorization", "bearer  sk-right "),
            headers("x-api-key", "sk-right"),
        ] {
            let caller = with_key()
                .authenticate(&headers, SystemTime::UNIX_EPOCH)
                .unwrap();
            assert_eq!(caller.name, "key:ci");
        }
    }

    #[test]
    fn rejects_missing_and_invalid_keys_with_the_cause() {
        for (headers, expected) in [
            (HeaderMap::new(), "missing_api_key"),
            (
                headers("authorization", "Bearer sk-wrong"),
                "invalid_api_key",
            ),
            (headers("x-api-key", "sk-righ"), "invalid_api_key"),
            (headers("x-api-key", ""), "missing_api_key"),
            (
                headers("authorization", "Bearer "),
                "invalid_authorization_header",
            ),
            (
                headers("authorization", "Basic abc"),
                "invalid_authorization_header",
            ),
        ] {
            let error = with_key()
                .authenticate(&headers, SystemTime::UNIX_EPOCH)
                .unwrap_err();
            assert_eq!(error.reason(), expected, "{headers:?}");
            assert_eq!(error.status().as_u16(), 401);
            assert!(error.to_string().contains("Bearer"), "{error}");
        }
    }

    #[test]
    fn open_gateway_accepts_any_key() {
        let open = Authenticator::try_new(true, ApiKeys::default(), None).unwrap();
        let caller =
            open.authenticate(&headers("authorization", "Basic x"), SystemTime::UNIX_EPOCH);
        assert_eq!(caller.unwrap().name, "anonymous");
    }

    #[test]
    fn revoked_gateway_gives_the_reason_to_its_clients_only() {
        let why = || Some("BedrockAccess team-a/chat is not accepted".to_owned());
        let revoked = with_key().revoked(why());
        let ask = |gateway: &Authenticator, key: &'static str| {
            let error = gateway
                .authenticate(&headers("x-api-key", key), SystemTime::UNIX_EPOCH)
                .unwrap_err();
            (error.status().as_u16(), error.to_string())
        };
        let (status, message) = ask(&revoked, "sk-right");
        assert_eq!(status, 403);
        assert!(message.contains("team-a/chat"), "{message}");
        let (status, message) = ask(&revoked, "sk-wrong");
        assert_eq!(status, 401);
        assert!(!message.contains("team-a/chat"), "{message}");
        let open = Authenticator::try_new(true, ApiKeys::default(), None).unwrap();
        assert_eq!(ask(&open.revoked(why()), "").0, 403);
    }

    #[test]
    fn gateway_without_keys_rejects_all_clients() {
        let closed = Authenticator::default();
        for headers in [HeaderMap::new(), headers("x-api-key", "anything")] {
            assert!(
                closed
                    .authenticate(&headers, SystemTime::UNIX_EPOCH)
                    .is_err()
            );
        }
    }
}
