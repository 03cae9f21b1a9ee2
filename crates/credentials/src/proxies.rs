//! The proxies of the environment: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, also in lower case.
//!
//! This machine and link-local addresses, where credential endpoints are, are never reached through a proxy.
//! A proxy's URL may contain credentials, so that it is never printed.

use std::fmt;

use crate::environment::Environment;

/// Destinations that are never reached through a proxy, in the format of `NO_PROXY`: this machine, the link-local
/// endpoints of EC2 and ECS, and those of EKS Pod Identity.
const DIRECT: &str = "localhost,127.0.0.0/8,::1,169.254.0.0/16,fe80::/10,fd00:ec2::/32";

/// The proxies of the environment.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Proxies {
    https: String,
    http: String,
    no: String,
}

impl Proxies {
    /// Reads the environment. A variable in upper case has precedence, an empty one is ignored.
    pub fn from_env(environment: &dyn Environment) -> Self {
        let read = |name: &str| {
            let names = [name.to_owned(), name.to_ascii_lowercase()];
            let values = names.iter().filter_map(|name| environment.get(name));
            let mut values = values.map(|value| value.trim().to_owned());
            values.find(|value| !value.is_empty())
        };
        let all = read("ALL_PROXY");
        let of = |name: &str| read(name).or_else(|| all.clone()).unwrap_or_default();
        Self {
            https: of("HTTPS_PROXY"),
            http: of("HTTP_PROXY"),
            no: read("NO_PROXY").unwrap_or_default(),
        }
    }

    /// The URL of the proxy for `https://` destinations; empty for none.
    pub fn https(&self) -> &str {
        &self.https
    }

    /// The URL of the proxy for `http://` destinations; empty for none.
    pub fn http(&self) -> &str {
        &self.http
    }

    /// Destinations without a proxy, in the format of `NO_PROXY`.
    pub fn direct(&self) -> String {
        match self.no.as_str() {
            "" => DIRECT.to_owned(),
            more => format!("{DIRECT},{more}"),
        }
    }

    /// Whether no proxy is set.
    pub fn is_empty(&self) -> bool {
        self.https.is_empty() && self.http.is_empty()
    }
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxies")
            .field("https", &!self.https.is_empty())
            .field("http", &!self.http.is_empty())
            .field("no", &self.no)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Proxies {
        let pairs = pairs.iter();
        let environment: BTreeMap<String, String> = pairs
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Proxies::from_env(&environment)
    }

    #[test]
    fn both_cases_are_read_and_empty_values_ignored() {
        let both = of(&[
            ("HTTPS_PROXY", "http://upper:1"),
            ("https_proxy", "http://lower:1"),
            ("http_proxy", "lower:2"),
            ("NO_PROXY", ""),
            ("no_proxy", "internal.example"),
        ]);
        assert_eq!((both.https(), both.http()), ("http://upper:1", "lower:2"));
        assert!(both.direct().ends_with(",internal.example"));
        let all = of(&[("all_proxy", "http://all:3"), ("HTTP_PROXY", " ")]);
        assert_eq!((all.https(), all.http()), ("http://all:3", "http://all:3"));
        assert!(of(&[]).is_empty() && !all.is_empty());
    }

    #[test]
    fn debug_output_has_no_credentials() {
        let proxies = of(&[("HTTPS_PROXY", "http://user:secret@proxy:1")]);
        assert!(!format!("{proxies:?}").contains("secret"));
    }
}
