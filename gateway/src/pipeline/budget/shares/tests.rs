use std::sync::Arc;

use api::{GatewayConfig, shares::Grant};
use credentials::SharedTimeSource;
use ring::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair},
};
use serde_json::json;

use super::{
    super::{Budgets, Need, Spent},
    *,
};
use crate::{
    http::error::GatewayError,
    telemetry::metrics::{Conventions, Metrics},
};

const BUDGET: &str = "access:month:UTC:tokens";

/// A gateway and the key of its operator.
struct Rig {
    key: Ed25519KeyPair,
    budgets: Arc<Budgets>,
    revision: u64,
}

fn compile(key: &Ed25519KeyPair, limit: u64, previous: Option<&Budgets>) -> Budgets {
    let public = hex::encode(key.public_key().as_ref());
    let text = format!(
        "{{access: {{namespace: team-a, name: chat}}, limits: {{budgets: [{{period: Month, tokens: {limit}}}], shares: {{publicKey: '{public}'}}}}}}"
    );
    let config = GatewayConfig::from_yaml(&text).unwrap();
    let metrics = Metrics::new(Conventions::default());
    let budgets = Budgets::compile(&config, std::iter::empty(), &metrics, previous);
    budgets.unwrap().unwrap()
}

fn key() -> Ed25519KeyPair {
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap()
}

fn tokens(tokens: u64) -> Spent {
    Spent {
        tokens,
        nanodollars: 0,
    }
}

impl Rig {
    fn new() -> Self {
        let key = key();
        let budgets = Arc::new(compile(&key, 1000, None));
        Self {
            key,
            budgets,
            revision: 0,
        }
    }

    fn report(&self, draining: bool) -> ShareReport {
        self.budgets.share_report(draining).unwrap()
    }

    /// The start of the current month.
    fn start(&self) -> u64 {
        let now = crate::http::time::millis(SharedTimeSource::default().now());
        self.budgets.all().next().unwrap().window(now).start
    }

    fn grants(&self, revision: u64, share: u64, elsewhere: u64) -> Grants {
        Grants {
            process: self.report(false).process,
            accounts: vec![Grant {
                budget: BUDGET.to_owned(),
                start: self.start(),
                revision,
                share,
                elsewhere,
            }],
        }
    }

    fn send(&self, grants: &Grants) -> Option<Result<(), GrantError>> {
        let body = json!(grants).to_string().into_bytes();
        let signature = hex::encode(self.key.sign(&body).as_ref());
        self.budgets.grant(&body, &signature)
    }

    fn grant(&mut self, share: u64, elsewhere: u64) {
        self.revision += 1;
        let sent = self.send(&self.grants(self.revision, share, elsewhere));
        assert_eq!(sent, Some(Ok(())));
    }

    /// A request that holds and spends this; the error if it is refused.
    async fn spend(&self, amount: u64) -> Result<(), String> {
        let need = Need::between(tokens(1), tokens(amount));
        let clock = SharedTimeSource::default();
        match self.budgets.reserve("anonymous", need, &clock).await {
            Ok(reservation) => {
                reservation.settle(tokens(amount));
                Ok(())
            }
            Err(GatewayError::OverLimit(over)) => Err(over.to_string()),
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn a_process_spends_its_share_and_no_more() {
    let mut rig = Rig::new();
    let refused = rig.spend(1).await.unwrap_err();
    assert!(
        refused.contains("the rest is held at the moment"),
        "{refused}"
    );
    rig.grant(100, 0);
    rig.spend(60).await.unwrap();
    rig.spend(41).await.unwrap_err();
    let report = rig.report(false);
    let account = &report.accounts[0];
    assert_eq!(
        (
            account.share,
            account.used,
            account.wanted,
            account.revision
        ),
        (100, 60, 41, 1)
    );
    rig.grant(200, 0);
    rig.spend(41).await.unwrap();
    assert_eq!(rig.report(false).accounts[0].wanted, 0);
}

#[tokio::test]
async fn what_others_have_spent_counts_for_messages_and_metrics() {
    let mut rig = Rig::new();
    rig.grant(10, 990);
    rig.spend(10).await.unwrap();
    let used = rig.budgets.used(&SharedTimeSource::default());
    assert!((used[0].1 - 1.0).abs() < 1e-9, "{used:?}");
    let refused = rig.spend(1).await.unwrap_err();
    assert!(
        refused.contains("has spent its budget of 1000 tokens per month"),
        "{refused}"
    );
    assert_eq!(rig.budgets.store_is_up(), None);
}

#[test]
fn only_the_operator_can_grant_and_only_to_this_process() {
    let rig = Rig::new();
    let grants = rig.grants(1, 100, 0);
    let body = serde_json::to_vec(&grants).unwrap();
    let forged = hex::encode(key().sign(&body).as_ref());
    for signature in ["", "zz", forged.as_str()] {
        let result = rig.budgets.grant(&body, signature);
        assert_eq!(result, Some(Err(GrantError::Signature)), "{signature:?}");
    }
    let other = Grants {
        process: "0123456789abcdef".to_owned(),
        ..grants
    };
    assert_eq!(rig.send(&other), Some(Err(GrantError::OtherProcess)));
    let body = b"{}";
    let signature = hex::encode(rig.key.sign(body).as_ref());
    let malformed = rig.budgets.grant(body, &signature);
    assert_eq!(malformed, Some(Err(GrantError::Malformed)));
    assert!(rig.report(false).accounts.is_empty());
}

#[tokio::test]
async fn an_earlier_grant_that_arrives_late_changes_nothing() {
    let mut rig = Rig::new();
    rig.grant(500, 0);
    rig.spend(300).await.unwrap();
    // The operator asks for a part; what is used cannot be given back.
    rig.grant(200, 7);
    assert_eq!(rig.report(false).accounts[0].share, 300);
    assert_eq!(rig.send(&rig.grants(1, 500, 0)), Some(Ok(())));
    assert_eq!(rig.report(false).accounts[0].share, 300);
    rig.spend(1).await.unwrap_err();
}

#[tokio::test]
async fn a_reload_keeps_shares_and_a_new_process_has_none() {
    let mut rig = Rig::new();
    rig.grant(500, 0);
    rig.spend(100).await.unwrap();
    let before = rig.report(false);
    rig.budgets = Arc::new(compile(&rig.key, 2000, Some(&rig.budgets)));
    assert_eq!(rig.report(false), before);
    let restarted = compile(&rig.key, 2000, None).share_report(false).unwrap();
    assert_ne!(restarted.process, before.process);
    assert!(restarted.accounts.is_empty());
}

#[tokio::test]
async fn a_draining_process_gives_most_of_its_share_back() {
    let mut rig = Rig::new();
    rig.grant(500, 0);
    rig.spend(100).await.unwrap();
    let account = rig.report(true).accounts.remove(0);
    assert_eq!(
        (account.share, account.used, account.revision),
        (150, 100, 1)
    );
    rig.spend(51).await.unwrap_err();
    rig.spend(50).await.unwrap();
}
