//! What the operator does for budgets without a store: it grants a gateway a share, with its signature.

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, anyhow, ensure};
use api::{
    config::Budget,
    shares::{Grant, Grants, PATH, SIGNATURE, ShareReport},
};
use bytes::Bytes;
use http::Request;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use crate::admin;

/// Seed of the operator's key.
const SEED: [u8; 32] = [7; 32];
/// Longest time until the gateway has its configuration.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What is read of `/readyz`.
#[derive(Deserialize)]
struct Readiness {
    shares: Option<ShareReport>,
}

/// The public key of grants, in hexadecimal.
///
/// # Errors
/// When the key cannot be made.
pub(crate) fn public_key() -> Result<String> {
    Ok(hex::encode(key()?.public_key().as_ref()))
}

fn key() -> Result<Ed25519KeyPair> {
    Ed25519KeyPair::from_seed_unchecked(&SEED).map_err(|error| anyhow!("no key: {error}"))
}

/// Grants the gateway with this admin port all of a budget.
///
/// # Errors
/// When the gateway does not adopt it.
#[expect(
    clippy::disallowed_methods,
    reason = "the gateway has the time of the system"
)]
pub(crate) async fn grant(admin: SocketAddr, budget: &Budget) -> Result<()> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let amount = budget.amount().context("the budget has no amount")?;
    let grants = Grants {
        process: process(admin).await?,
        accounts: vec![Grant {
            budget: budget.name(None),
            start: budget.period.window(&budget.time_zone, now.as_secs()).start,
            revision: 1,
            share: amount.count(),
            elsewhere: 0,
        }],
    };
    let body = serde_json::to_vec(&grants).context("failed to write the grant")?;
    let signature = hex::encode(key()?.sign(&body).as_ref());
    let request = Request::post(PATH).header(SIGNATURE, signature);
    let (status, text) = admin::send(admin, request, Bytes::from(body)).await?;
    ensure!(
        status.is_success(),
        "the gateway refused its share: {status} {}",
        String::from_utf8_lossy(&text)
    );
    Ok(())
}

/// The name of the process, once it has its budgets.
async fn process(admin: SocketAddr) -> Result<String> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let (_, body) = admin::get(admin, "/readyz").await?;
        let readiness = serde_json::from_slice::<Readiness>(&body);
        if let Ok(Readiness {
            shares: Some(report),
        }) = readiness
        {
            return Ok(report.process);
        }
        ensure!(Instant::now() < deadline, "the gateway reports no shares");
        sleep(Duration::from_millis(20)).await;
    }
}
