//! The simulated account at run time: parsed roles, users and keys, and the sessions that STS issued.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::config::{BearerKey, Config};
use crate::encoding::{iam_id, random_base64};
use crate::policy::{Policy, PolicyError};
use crate::record::Identity;

/// A role with its policies parsed.
#[derive(Debug, Clone)]
pub(crate) struct Role {
    pub(crate) arn: String,
    pub(crate) name: String,
    pub(crate) account: String,
    pub(crate) unique_id: String,
    pub(crate) trust: Policy,
    pub(crate) policies: Arc<Vec<Policy>>,
    pub(crate) max_session_seconds: u64,
}

/// A user with its policies parsed.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) arn: String,
    pub(crate) access_key_id: String,
    pub(crate) secret: String,
    pub(crate) key_created: String,
    pub(crate) policies: Arc<Vec<Policy>>,
}

/// Issued temporary credentials.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) access_key_id: String,
    pub(crate) secret: String,
    pub(crate) token: String,
    pub(crate) role: Arc<Role>,
    pub(crate) name: String,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) generation: u64,
    pub(crate) expires_at: SystemTime,
    pub(crate) revoked: bool,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Session")
            .field("access_key_id", &self.access_key_id)
            .field("role", &self.role.arn)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// `arn:aws:sts::123456789012:assumed-role/Role/session`.
    pub(crate) fn arn(&self) -> String {
        let partition = self.role.arn.split(':').nth(1).unwrap_or("aws");
        format!(
            "arn:{partition}:sts::{}:assumed-role/{}/{}",
            self.role.account, self.role.name, self.name
        )
    }

    pub(crate) fn identity(&self) -> Identity {
        Identity {
            kind: "session".to_owned(),
            arn: self.arn(),
            access_key_id: self.access_key_id.clone(),
            role_arn: Some(self.role.arn.clone()),
            session_name: Some(self.name.clone()),
            generation: self.generation,
        }
    }
}

/// A policy in the configuration that does not parse.
#[derive(Debug, thiserror::Error)]
#[error("{owner}: {source}")]
pub struct AccountError {
    /// The owner of the policy.
    pub owner: String,
    /// The error in the policy.
    pub source: PolicyError,
}

/// The account's configuration and its state while the double runs.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) config: Config,
    roles: BTreeMap<String, Arc<Role>>,
    users: Vec<Arc<User>>,
    bearer: Vec<(BearerKey, Arc<Vec<Policy>>)>,
    sessions: Mutex<BTreeMap<String, Session>>,
    generation: AtomicU64,
    /// Lifetime of issued sessions; 0 for AWS's rules.
    lifetime_seconds: AtomicU64,
}

impl Account {
    pub(crate) fn new(config: Config) -> Result<Self, AccountError> {
        let parse = |owner: &str, values: &[serde_json::Value]| {
            values
                .iter()
                .map(Policy::from_value)
                .collect::<Result<Vec<_>, _>>()
                .map(Arc::new)
                .map_err(|source| AccountError {
                    owner: owner.to_owned(),
                    source,
                })
        };
        let mut roles = BTreeMap::new();
        for role in &config.roles {
            let trust = Policy::from_value(&role.trust_policy).map_err(|source| AccountError {
                owner: format!("trust policy of {}", role.arn),
                source,
            })?;
            let parsed = Role {
                arn: role.arn.clone(),
                name: role.arn.rsplit('/').next().unwrap_or_default().to_owned(),
                account: role
                    .arn
                    .split(':')
                    .nth(4)
                    .unwrap_or(&config.account)
                    .to_owned(),
                unique_id: iam_id("AROA", 21),
                trust,
                policies: parse(&format!("policies of {}", role.arn), &role.policies)?,
                max_session_seconds: role.max_session_seconds,
            };
            roles.insert(role.arn.clone(), Arc::new(parsed));
        }
        let mut users = Vec::new();
        for user in &config.users {
            users.push(Arc::new(User {
                name: user.name.clone(),
                arn: format!(
                    "arn:{}:iam::{}:user/{}",
                    config.partition, config.account, user.name
                ),
                access_key_id: user.access_key_id.clone(),
                secret: user.secret_access_key.clone(),
                key_created: user.key_created.clone(),
                policies: parse(&format!("policies of user {}", user.name), &user.policies)?,
            }));
        }
        let mut bearer = Vec::new();
        for key in &config.bearer_keys {
            let policies = parse(
                &format!("policies of bearer key {}", key.name),
                &key.policies,
            )?;
            bearer.push((key.clone(), policies));
        }
        let lifetime_seconds = AtomicU64::new(config.credential_lifetime_seconds.unwrap_or(0));
        Ok(Self {
            config,
            roles,
            users,
            bearer,
            sessions: Mutex::new(BTreeMap::new()),
            generation: AtomicU64::new(0),
            lifetime_seconds,
        })
    }

    pub(crate) fn role(&self, arn: &str) -> Option<&Arc<Role>> {
        self.roles.get(arn)
    }

    pub(crate) fn user(&self, access_key_id: &str) -> Option<&Arc<User>> {
        self.users
            .iter()
            .find(|user| user.access_key_id == access_key_id)
    }

    pub(crate) fn users_named(&self, name: &str) -> Vec<&Arc<User>> {
        self.users.iter().filter(|user| user.name == name).collect()
    }

    pub(crate) fn bearer(&self, key: &str) -> Option<&(BearerKey, Arc<Vec<Policy>>)> {
        self.bearer.iter().find(|(one, _)| one.key == key)
    }

    fn sessions(&self) -> MutexGuard<'_, BTreeMap<String, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Issues temporary credentials for a role.
    pub(crate) fn issue(
        &self,
        role: &Arc<Role>,
        name: &str,
        tags: BTreeMap<String, String>,
        requested_seconds: u64,
        now: SystemTime,
    ) -> Session {
        let seconds = match self.lifetime_seconds.load(Ordering::Relaxed) {
            0 => requested_seconds,
            fixed => fixed,
        };
        let session = Session {
            access_key_id: iam_id("ASIA", 20),
            secret: random_base64::<30>(),
            token: format!("IQoJb3JpZ2luX2VjE{}", random_base64::<96>()),
            role: Arc::clone(role),
            name: name.to_owned(),
            tags,
            generation: self.generation.fetch_add(1, Ordering::Relaxed) + 1,
            expires_at: now + Duration::from_secs(seconds),
            revoked: false,
        };
        self.sessions()
            .insert(session.access_key_id.clone(), session.clone());
        session
    }

    pub(crate) fn session(&self, access_key_id: &str) -> Option<Session> {
        self.sessions().get(access_key_id).cloned()
    }

    /// Marks all issued sessions as expired.
    pub(crate) fn revoke_sessions(&self) -> usize {
        let mut sessions = self.sessions();
        for session in sessions.values_mut() {
            session.revoked = true;
        }
        sessions.len()
    }

    /// Deletes all issued sessions.
    pub(crate) fn forget_sessions(&self) -> usize {
        let mut sessions = self.sessions();
        let count = sessions.len();
        sessions.clear();
        count
    }

    /// Sets the lifetime of sessions that are issued later; `None` for AWS's rules.
    pub(crate) fn set_lifetime(&self, seconds: Option<u64>) {
        self.lifetime_seconds
            .store(seconds.unwrap_or(0), Ordering::Relaxed);
    }
}
