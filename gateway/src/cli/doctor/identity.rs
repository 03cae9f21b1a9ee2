//! Checks the identity that AWS sees and the age of a user's access keys.
//!
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html>
//! <https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListAccessKeys.html>

use std::time::{Duration, SystemTime};

use api::{Partition, Region, RoleArn};
use bytes::Bytes;
use credentials::{ActiveCredentials, Handle};
use http::Method;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::finding::Finding;
use crate::cli::aws::{
    Service,
    client::{AwsClient, Call, CallError, element},
    iam_region,
};

const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";
/// Age, in days, above which a key must be rotated, as the CIS AWS benchmark recommends.
const MAX_KEY_AGE_DAYS: u64 = 90;
const SECONDS_PER_DAY: u64 = 86_400;

/// Calls `GetCallerIdentity`. Also returns the ARN of the caller and the `Date` of the response.
pub(super) async fn caller(
    client: &AwsClient,
    handle: &Handle,
    credentials: &ActiveCredentials,
    base: &str,
    region: &Region,
) -> (Finding, Option<String>, Option<String>) {
    let call = query(
        Service::Sts,
        base,
        region.as_str(),
        "Action=GetCallerIdentity&Version=2011-06-15",
    );
    match client.send(call, handle, credentials).await {
        Ok(response) => {
            let date = response.date().map(str::to_owned);
            let text = String::from_utf8_lossy(&response.body);
            let Some(arn) = element(&text, "Arn")
                .map(str::to_owned)
                .or_else(|| arn_in_json(&text))
            else {
                let finding = Finding::error(
                    "caller",
                    "the response of STS contains no identity",
                    "check that AWS_ENDPOINT_URL_STS (or endpoints.sts) is the URL of STS",
                );
                return (finding, None, date);
            };
            (Finding::ok("caller", arn.clone()), Some(arn), date)
        }
        Err(error) => {
            let date = error.date().map(str::to_owned);
            (call_failed(&error), None, date)
        }
    }
}

fn call_failed(error: &CallError) -> Finding {
    let fix = match error.service() {
        Some(service) => crate::http::hints::hint(&service.name, &service.message)
            .unwrap_or("check that these credentials are active and belong to this partition"),
        None => {
            "check the finding endpoint:sts; if it is ok, STS responds too slowly: run doctor again with a longer --timeout"
        }
    };
    Finding::error("caller", format!("sts:GetCallerIdentity: {error}"), fix)
}

/// STS returns JSON to clients that accept it.
fn arn_in_json(text: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    let result = value.pointer("/GetCallerIdentityResponse/GetCallerIdentityResult/Arn");
    result?.as_str().map(str::to_owned)
}

/// Checks whether the caller is a session of the expected role.
pub(super) fn role(expected: &RoleArn, caller: &str) -> Finding {
    let session = format!(
        "arn:{}:sts::{}:assumed-role/{}/",
        expected.arn().partition(),
        expected.arn().account(),
        expected.role_name()
    );
    if caller.starts_with(&session) {
        Finding::ok("role", format!("the caller is a session of {expected}"))
    } else {
        Finding::warning(
            "role",
            format!("the caller is not a session of the expected role {expected}"),
            "see the finding source: another setting takes precedence over the role; unset it",
        )
    }
}

/// Checks the age of a user's access keys. None for roles, whose keys are short-lived.
pub(super) async fn key_age(
    client: &AwsClient,
    handle: &Handle,
    credentials: &ActiveCredentials,
    base: &str,
    caller_arn: &str,
    now: SystemTime,
) -> Option<Finding> {
    let arn: api::Arn = caller_arn.parse().ok()?;
    let user = arn.resource().strip_prefix("user/")?;
    let user = user.rsplit('/').next().unwrap_or(user);
    let region = Partition::ALL
        .into_iter()
        .find(|partition| partition.id() == arn.partition())
        .and_then(iam_region)?;
    let call = query(
        Service::Iam,
        base,
        region,
        "Action=ListAccessKeys&Version=2010-05-08",
    );
    Some(match client.send(call, handle, credentials).await {
        Ok(response) => oldest_key(user, &String::from_utf8_lossy(&response.body), now),
        // Information: the least policy of a gateway does not permit it.
        Err(error) if error.is_denied() => Finding::ok(
            "key-age",
            format!(
                "unknown: to check the age of the access keys, allow the user iam:ListAccessKeys on arn:{}:iam::{}:user/{user}",
                arn.partition(),
                arn.account()
            ),
        ),
        Err(error) => Finding::warning(
            "key-age",
            format!("the age of the access keys of {user} is unknown: {error}"),
            "allow egress to IAM, or run doctor on a network that can reach IAM",
        ),
    })
}

fn oldest_key(user: &str, response: &str, now: SystemTime) -> Finding {
    let keys = response.split("<member>").skip(1).filter_map(|member| {
        let id = element(member, "AccessKeyId")?;
        let created = OffsetDateTime::parse(element(member, "CreateDate")?, &Rfc3339).ok()?;
        let active = element(member, "Status") != Some("Inactive");
        let age = now.duration_since(created.into()).unwrap_or(Duration::ZERO);
        active.then(|| (redacted(id), age.as_secs() / SECONDS_PER_DAY))
    });
    let oldest = keys.max_by_key(|(_, days)| *days);
    match oldest {
        None => Finding::ok("key-age", format!("{user} has no active access keys")),
        Some((id, days)) if days > MAX_KEY_AGE_DAYS => Finding::warning(
            "key-age",
            format!("access key {id} of {user} is {days} days old"),
            "rotate the key: create a second key, use it, deactivate the old key and delete it later; or use a role, which has no long-term keys",
        ),
        Some((id, days)) => Finding::ok(
            "key-age",
            format!("the oldest access key of {user}, {id}, is {days} days old"),
        ),
    }
}

/// The last four characters of a key ID, which identify the key but cannot be used.
fn redacted(id: &str) -> String {
    let skip = id.chars().count().saturating_sub(4);
    let tail: String = id.chars().skip(skip).collect();
    format!("…{tail}")
}

fn query(service: Service, base: &str, region: &str, form: &'static str) -> Call {
    Call {
        method: Method::POST,
        url: format!("{base}/"),
        service: service.signing_name(),
        region: region.to_owned(),
        content_type: Some(FORM),
        headers: http::HeaderMap::new(),
        body: Bytes::from_static(form.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Level;

    fn keys(created: &str, status: &str) -> String {
        format!(
            "<ListAccessKeysResponse><member><UserName>u</UserName><AccessKeyId>AKIAIOSFODNN7EXAMPLE</AccessKeyId>\
             <Status>{status}</Status><CreateDate>{created}</CreateDate></member></ListAccessKeysResponse>"
        )
    }

    #[test]
    fn keys_older_than_90_days_are_a_warning_without_their_full_id() {
        let now: SystemTime = OffsetDateTime::parse("2026-06-30T00:00:00Z", &Rfc3339)
            .unwrap()
            .into();
        for (created, status, level) in [
            ("2026-06-29T00:00:00Z", "Active", Level::Ok),
            ("2026-04-01T00:00:00Z", "Active", Level::Ok),
            ("2026-03-31T00:00:00Z", "Active", Level::Warning),
            ("2020-01-01T00:00:00Z", "Inactive", Level::Ok),
        ] {
            let finding = oldest_key("u", &keys(created, status), now);
            assert_eq!(finding.level, level, "{created}: {finding:?}");
            assert!(!finding.message.contains("AKIAIOSF"), "{finding:?}");
        }
    }

    #[test]
    fn session_of_another_role_is_a_warning() {
        let expected: RoleArn = "arn:aws:iam::123456789012:role/path/Bedrock"
            .parse()
            .unwrap();
        let right = "arn:aws:sts::123456789012:assumed-role/Bedrock/pod";
        assert_eq!(role(&expected, right).level, Level::Ok);
        for other in [
            "arn:aws:sts::123456789012:assumed-role/Bedrock2/pod",
            "arn:aws:sts::210987654321:assumed-role/Bedrock/pod",
            "arn:aws:iam::123456789012:user/me",
        ] {
            assert_eq!(role(&expected, other).level, Level::Warning, "{other}");
        }
    }
}
