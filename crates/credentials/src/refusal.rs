//! A refusal of credentials by AWS: which generation, for which requests, and until when.

use std::time::Duration;

use tokio::time::Instant;

use crate::unavailable::Unavailable;

/// Time for which a refusal of Bedrock counts that STS does not confirm. Afterwards requests try the credentials again,
/// so that a gateway recovers that receives no requests while it is not ready.
const HOLD: Duration = Duration::from_mins(1);

/// The requests that a refusal concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    /// Those to another region, which the account may not have enabled.
    Elsewhere,
    /// All, unless the source has newer credentials, for which it is asked.
    Renewing,
    /// All.
    Everywhere,
}

/// AWS refused one generation of credentials.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    generation: u64,
    pub(crate) error: Unavailable,
    pub(crate) scope: Scope,
    /// Whether the source provides no other credentials.
    without_others: bool,
    /// When the refusal ends; `None` if STS confirmed it.
    until: Option<Instant>,
}

impl Refusal {
    pub(crate) fn new(generation: u64, error: Unavailable, scope: Scope) -> Self {
        Self {
            generation,
            error,
            scope,
            without_others: false,
            until: Instant::now().checked_add(HOLD),
        }
    }

    /// A refusal by STS, which lasts until STS or Bedrock accepts the credentials.
    pub(crate) fn confirmed(generation: u64, error: Unavailable) -> Self {
        Self {
            generation,
            error,
            scope: Scope::Everywhere,
            without_others: true,
            until: None,
        }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn is_confirmed(&self) -> bool {
        self.until.is_none()
    }

    /// Whether it is a refusal of this generation that has not ended.
    pub(crate) fn applies_to(&self, generation: u64) -> bool {
        self.generation == generation && self.until.is_none_or(|until| until > Instant::now())
    }

    /// The same refusal after another refused request.
    pub(crate) fn extended(&self) -> Self {
        let until = self.until.and_then(|_| Instant::now().checked_add(HOLD));
        Self {
            until,
            ..self.clone()
        }
    }

    /// The same refusal after the source was asked for other credentials; `tried` if it returned the refused ones.
    pub(crate) fn without_others(&self, tried: bool) -> Self {
        Self {
            scope: Scope::Everywhere,
            without_others: self.without_others || tried,
            ..self.clone()
        }
    }

    /// The error, if the source provides no other credentials.
    pub(crate) fn is_final(&self) -> Option<Unavailable> {
        (self.without_others && self.scope == Scope::Everywhere).then(|| self.error.clone())
    }
}
