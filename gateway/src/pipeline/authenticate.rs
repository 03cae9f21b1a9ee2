//! Who calls: step 2 of a request.
//!
//! A client proves itself by an API key or, in a cluster, by the token of its ServiceAccount, in
//! `Authorization: Bearer` or `x-api-key`. What it brought never goes upstream or into a log.

mod api_keys;
mod service_account;
mod signature;
mod signature_check;

use std::time::SystemTime;

use api::config::ServiceAccountClients;
use http::{HeaderMap, header};

pub use api_keys::KeyFileError;
pub(crate) use api_keys::{ApiKeys, key_files};
pub use service_account::KeySetError;
use service_account::ServiceAccounts;
pub(crate) use signature::Proof;

use crate::http::error::GatewayError;

const X_API_KEY: &str = "x-api-key";

/// Somebody whom this gateway lets in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// For logs and metrics, such as `anonymous`, `key:ci` or `team-a/app`.
    pub(crate) name: String,
    /// Names or patterns of models it may use; empty: all.
    pub(crate) models: Vec<String>,
}

/// Everything needed to tell who calls.
#[derive(Debug, Default)]
pub(crate) struct Authenticator {
    keys: ApiKeys,
    service_accounts: Option<ServiceAccounts>,
    /// Nobody needs to prove anything.
    open: bool,
    /// Why nobody is served any more.
    revoked: Option<String>,
}

impl Caller {
    fn anonymous() -> Self {
        Self {
            name: "anonymous".to_owned(),
            models: Vec::new(),
        }
    }
}

impl Caller {
    /// Name of the client that an API key belongs to.
    pub(crate) fn name_of_key(client: &str) -> String {
        format!("key:{client}")
    }

    /// Name of a ServiceAccount as a client.
    pub(crate) fn name_of_account(namespace: &str, name: &str) -> String {
        format!("{namespace}/{name}")
    }

    /// The client that an API key belongs to.
    fn of_key(client: &str) -> Self {
        Self {
            name: Self::name_of_key(client),
            models: Vec::new(),
        }
    }
}

impl Authenticator {
    /// `open` lets everybody in, whatever they bring along.
    ///
    /// # Errors
    /// When the key set of the ServiceAccounts is not usable.
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
        })
    }

    /// The same, but nobody is served any more: whoever would be let in is told why.
    pub(crate) fn revoked(self, why: Option<String>) -> Self {
        Self {
            revoked: why,
            ..self
        }
    }

    /// Whether anybody is let in.
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    /// Names of the clients that have a key.
    pub(crate) fn key_clients(&self) -> impl Iterator<Item = &str> {
        self.keys.names()
    }

    /// Finds out who calls.
    ///
    /// # Errors
    /// 401 that names what is missing or wrong; 403 for an account that is not on the list.
    pub(crate) fn authenticate(
        &self,
        headers: &HeaderMap,
        now: SystemTime,
    ) -> Result<Caller, GatewayError> {
        if self.open {
            return self.served(Caller::anonymous());
        }
        let presented = presented(headers)?.ok_or_else(|| GatewayError::Unauthenticated {
            message: format!("no credentials: send {}", self.wanted()),
            code: "missing_api_key",
        })?;
        self.recognise(presented, now)
    }

    /// What a client can sign with instead of showing its key: the key's name and the key. `None` where nobody
    /// has to prove anything.
    ///
    /// # Errors
    /// 401 where no key of this gateway is shown; a token cannot sign.
    pub(crate) fn signing_pair(
        &self,
        headers: &HeaderMap,
    ) -> Result<Option<(&str, &str)>, GatewayError> {
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

    /// Whose key or token this is.
    fn recognise(&self, presented: &str, now: SystemTime) -> Result<Caller, GatewayError> {
        let caller = match &self.service_accounts {
            Some(accounts) if service_account::looks_like_a_token(presented) => {
                accounts.verify(presented, now)?
            }
            _ => self
                .keys
                .find(presented)
                .map(Caller::of_key)
                .ok_or_else(|| GatewayError::Unauthenticated {
                    message: format!("this key is not known here: send {}", self.wanted()),
                    code: "invalid_api_key",
                })?,
        };
        self.served(caller)
    }

    /// Strangers are not told, so this comes last.
    fn served(&self, caller: Caller) -> Result<Caller, GatewayError> {
        match &self.revoked {
            Some(message) => Err(GatewayError::Forbidden {
                message: message.clone(),
            }),
            None => Ok(caller),
        }
    }

    fn wanted(&self) -> String {
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

/// What the client brought, in either header.
fn presented(headers: &HeaderMap) -> Result<Option<&str>, GatewayError> {
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
    fn key_is_taken_from_either_header() {
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
    fn whoever_has_no_right_key_is_told_what_is_missing() {
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
    fn open_gateway_takes_whatever_key_a_client_library_insists_on() {
        let open = Authenticator::try_new(true, ApiKeys::default(), None).unwrap();
        let caller =
            open.authenticate(&headers("authorization", "Basic x"), SystemTime::UNIX_EPOCH);
        assert_eq!(caller.unwrap().name, "anonymous");
    }

    #[test]
    fn revoked_gateway_tells_its_clients_why_and_strangers_nothing() {
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
    fn closed_gateway_without_any_key_lets_nobody_in() {
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
