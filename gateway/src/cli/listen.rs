//! Addresses of `--listen` and `--admin-listen`: an IP address or a host name, a port, or both.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

/// Host and port of a socket; a missing part has the default of its flag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListenAddress {
    /// IP address or host name.
    pub(crate) host: Option<String>,
    /// Port; 0 selects a free port.
    pub(crate) port: Option<u16>,
}

/// A text is not an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The port is not a number from 0 to 65535.
    #[error("{0:?} is not a port: expected a number from 0 to 65535")]
    Port(String),
    /// The text has no host and no port.
    #[error("expected HOST:PORT, HOST or :PORT, such as 127.0.0.1:8000, 0.0.0.0 or :8000")]
    Empty,
    /// Only a number.
    #[error("expected HOST:PORT; for a port alone, use :{0}")]
    OnlyPort(u16),
    /// An address of IPv6 needs brackets if a port follows, and a URL is no address.
    #[error("expected HOST:PORT, such as 127.0.0.1:8000, localhost:8000 or [::1]:8000")]
    Form,
}

/// A host name has no address.
#[derive(Debug, thiserror::Error)]
#[error("failed to resolve {host}: use an IP address or a host name of this machine")]
pub struct ResolveError {
    host: String,
    source: std::io::Error,
}

impl FromStr for ListenAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        if let Ok(port) = text.parse() {
            return Err(AddressError::OnlyPort(port));
        }
        if text.contains("://") {
            return Err(AddressError::Form);
        }
        let bare = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        if let Ok(ip) = bare.unwrap_or(text).parse::<IpAddr>() {
            return Ok(Self {
                host: Some(ip.to_string()),
                port: None,
            });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => {
                let port = port
                    .parse()
                    .map_err(|_| AddressError::Port(port.to_owned()))?;
                (host, Some(port))
            }
            None => (text, None),
        };
        let host = match host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
        {
            Some(ip) => ip
                .parse::<Ipv6Addr>()
                .map_err(|_| AddressError::Form)?
                .to_string(),
            None => host.to_owned(),
        };
        let is_name = |host: &str| {
            host.chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
        };
        if host.parse::<IpAddr>().is_err() && !is_name(&host) {
            return Err(AddressError::Form);
        }
        // As in other servers, a port alone means all addresses of the machine.
        let host = if host.is_empty() {
            Ipv4Addr::UNSPECIFIED.to_string()
        } else {
            host
        };
        Ok(Self {
            host: Some(host),
            port,
        })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.host.as_deref().unwrap_or_default();
        if host.contains(':') {
            write!(f, "[{host}]")?;
        } else {
            f.write_str(host)?;
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl ListenAddress {
    /// The address with the missing parts from `default`. A host name is resolved; IPv4 is preferred, because clients
    /// on this machine use 127.0.0.1.
    ///
    /// # Errors
    /// The host name cannot be resolved.
    pub(crate) async fn resolve(&self, default: SocketAddr) -> Result<SocketAddr, ResolveError> {
        let port = self.port.unwrap_or_else(|| default.port());
        let Some(host) = &self.host else {
            return Ok(SocketAddr::new(default.ip(), port));
        };
        if let Ok(ip) = host.parse() {
            return Ok(SocketAddr::new(ip, port));
        }
        let failed = |source| ResolveError {
            host: host.clone(),
            source,
        };
        let found = tokio::net::lookup_host((host.as_str(), port)).await;
        let found: Vec<SocketAddr> = found.map_err(failed)?.collect();
        let first = found
            .iter()
            .find(|address| address.is_ipv4())
            .or(found.first());
        first
            .copied()
            .ok_or_else(|| failed(std::io::Error::other("the name has no address")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn accepts_hosts_ports_and_names() {
        let default = "127.0.0.1:8000".parse().unwrap();
        for (text, expected) in [
            ("127.0.0.1:9000", "127.0.0.1:9000"),
            ("0.0.0.0", "0.0.0.0:8000"),
            (":9000", "0.0.0.0:9000"),
            ("localhost:9000", "127.0.0.1:9000"),
            ("localhost", "127.0.0.1:8000"),
            ("[::1]:9000", "[::1]:9000"),
            ("[::1]", "[::1]:8000"),
            ("::1", "[::1]:8000"),
            (" 127.0.0.1:0 ", "127.0.0.1:0"),
        ] {
            let address: ListenAddress = text.parse().unwrap();
            let resolved = address.resolve(default).await.unwrap();
            assert_eq!(resolved.to_string(), expected, "{text}");
        }
        let none = ListenAddress::default().resolve(default).await.unwrap();
        assert_eq!(none, default);
    }

    #[test]
    fn errors_name_the_part_and_an_example() {
        for (text, expected) in [
            ("", "127.0.0.1:8000"),
            ("8000", "use :8000"),
            ("localhost:http", "\"http\" is not a port"),
            ("127.0.0.1:99999", "\"99999\" is not a port"),
            ("127.0.0.1:", "\"\" is not a port"),
            ("http://localhost:8000", "HOST:PORT"),
            ("http://localhost", "HOST:PORT"),
            ("[::1:8000", "[::1]:8000"),
            ("a b:8000", "HOST:PORT"),
        ] {
            let error = text.parse::<ListenAddress>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }
}
