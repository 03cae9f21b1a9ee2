//! Shares of budgets without a store: what the operator sends to a gateway process, and what the process reports.
//!
//! Both are on the admin port of the gateway. Amounts are nanodollars or tokens; an account is a budget in one period. See
//! `docs/decisions/0032-budgets.md`.

use serde::{Deserialize, Serialize};

/// Path on the admin port to which the operator sends [`Grants`].
pub const PATH: &str = "/budgets";
/// Header with the Ed25519 signature of the body, in hexadecimal.
pub const SIGNATURE: &str = "x-bedrock-access-signature";

/// What a process reports about its shares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShareReport {
    /// Random name of the process. A process that restarts has another one.
    pub process: String,
    /// Its accounts with a share.
    #[serde(default)]
    pub accounts: Vec<AccountReport>,
}

/// The state of one account in a process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountReport {
    /// The name of the budget.
    pub budget: String,
    /// Start of the period, in seconds since 1970.
    pub start: u64,
    /// The number of the grant that the process has adopted.
    pub revision: u64,
    /// The most that the process may spend in the period.
    pub share: u64,
    /// What it has spent, and what its requests in progress hold.
    pub used: u64,
    /// The largest request that did not fit since the grant; 0 if all did.
    #[serde(default)]
    pub wanted: u64,
}

/// The shares of one process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Grants {
    /// The process; no other one may use them.
    pub process: String,
    /// The shares.
    pub accounts: Vec<Grant>,
}

/// The share of a process in one account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    /// The name of the budget.
    pub budget: String,
    /// Start of the period, in seconds since 1970.
    pub start: u64,
    /// Number of the grant. A process ignores earlier ones.
    pub revision: u64,
    /// The most that the process may spend in the period.
    pub share: u64,
    /// What all other processes have spent.
    pub elsewhere: u64,
}
