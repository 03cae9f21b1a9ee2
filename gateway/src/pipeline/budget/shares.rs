//! Shares of budgets without a store: the operator sends them to the admin port, signed, and reads what is used.
//!
//! A process spends at most its share of each budget. A new process has none, so that nothing is spent twice after a
//! restart. The signature names the process: a grant of another process is of no use.

use api::{
    config,
    shares::{AccountReport, Grants, ShareReport},
};
use ring::signature::{ED25519, UnparsedPublicKey};

use super::holds::Budget;

/// The identity of this process, and the key of the operator.
#[derive(Debug)]
pub(super) struct Shares {
    process: String,
    settings: config::Shares,
}

/// Why grants are rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GrantError {
    /// The signature is missing, or not one of the operator.
    #[error("the signature is not valid for the public key in limits.shares")]
    Signature,
    /// The body is not a list of grants.
    #[error("the body is not a list of grants")]
    Malformed,
    /// They belong to another process.
    #[error("the grants belong to another process")]
    OtherProcess,
}

impl Shares {
    /// The identity stays the same in this process while it has budgets without a store.
    pub(super) fn new(settings: &config::Shares, previous: Option<&Self>) -> Self {
        let process = previous.map_or_else(
            || format!("{:016x}", fastrand::u64(..)),
            |previous| previous.process.clone(),
        );
        Self {
            process,
            settings: settings.clone(),
        }
    }

    /// The grants in a signed body.
    ///
    /// # Errors
    /// When they are not from the operator, or not for this process.
    pub(super) fn verified(&self, body: &[u8], signature: &str) -> Result<Grants, GrantError> {
        let bytes = |text: &str| hex::decode(text).map_err(|_| GrantError::Signature);
        let key = UnparsedPublicKey::new(&ED25519, bytes(&self.settings.public_key)?);
        key.verify(body, &bytes(signature)?)
            .map_err(|_| GrantError::Signature)?;
        let grants: Grants = serde_json::from_slice(body).map_err(|_| GrantError::Malformed)?;
        if grants.process == self.process {
            Ok(grants)
        } else {
            Err(GrantError::OtherProcess)
        }
    }

    /// What this process reports. While it is draining, it keeps little more than what it has used.
    pub(super) fn report<'a>(
        &self,
        budgets: impl Iterator<Item = &'a Budget>,
        draining: bool,
    ) -> ShareReport {
        let accounts = budgets.flat_map(|budget| {
            let shares = budget.local.shares(draining);
            shares
                .into_iter()
                .map(|(start, share, used)| AccountReport {
                    budget: budget.name.clone(),
                    start,
                    revision: share.revision,
                    share: share.most,
                    used,
                    wanted: share.wanted,
                })
        });
        ShareReport {
            process: self.process.clone(),
            accounts: accounts.collect(),
        }
    }
}

#[cfg(test)]
mod tests;
