//! Texts of errors that depend on the reader or on the configuration.

use super::GatewayError;

/// Maximum number of model names in an error.
const MAX_NAMES: usize = 20;

pub(super) fn unknown_model(model: &str, allowed: &[String]) -> String {
    if allowed.is_empty() {
        return format!(
            "the model {model:?} does not exist or you do not have access to it; no models are configured for you"
        );
    }
    let mut names: Vec<&str> = allowed.iter().map(String::as_str).take(MAX_NAMES).collect();
    if allowed.len() > MAX_NAMES {
        names.push("…");
    }
    format!(
        "the model {model:?} does not exist or you do not have access to it; you may use: {}",
        names.join(", ")
    )
}

impl GatewayError {
    /// The message for a client. [`ToString`] has details for the log.
    pub(crate) fn client_message(&self) -> String {
        match self {
            Self::Credentials(unavailable) => format!(
                "no AWS credentials: {}: {}",
                unavailable.reason,
                unavailable.for_clients()
            ),
            other => other.to_string(),
        }
    }
}
