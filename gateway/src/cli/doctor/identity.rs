//! Who AWS takes the gateway for, and how old a user's access keys are.
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
    client::{Call, CallError, Caller, element},
    iam_region,
};

const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";
/// Keys older than this are due, as the usual benchmarks have it.
const OLD_KEY_DAYS: u64 = 90;
const SECONDS_A_DAY: u64 = 86_400;

/// Asks STS. Also returns the caller's ARN and the `Date` of the answer.
pub(super) async fn caller(
    caller: &Caller,
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
    match caller.send(call, handle, credentials).await {
        Ok(answer) => {
            let date = answer.date().map(str::to_owned);
            let text = String::from_utf8_lossy(&answer.body);
            let Some(arn) = element(&text, "Arn")
                .map(str::to_owned)
                .or_else(|| in_json(&text))
            else {
                let finding = Finding::error(
                    "caller",
                    "STS answered something that is no identity",
                    "check that AWS_ENDPOINT_URL_STS (or endpoints.sts) leads to STS",
                );
                return (finding, None, date);
            };
            (Finding::ok("caller", arn.clone()), Some(arn), date)
        }
        Err(error) => {
            let date = error.date().map(str::to_owned);
            (refused(&error), None, date)
        }
    }
}

fn refused(error: &CallError) -> Finding {
    let way_out = match error.service() {
        Some(service) => crate::hints::hint(&service.name, &service.message).unwrap_or(
            "make sure that these credentials belong to this partition and are still active",
        ),
        None => "see the finding on the endpoint of sts",
    };
    Finding::error("caller", format!("sts:GetCallerIdentity: {error}"), way_out)
}

/// STS answers in JSON to those who accept it.
fn in_json(text: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    let result = value.pointer("/GetCallerIdentityResponse/GetCallerIdentityResult/Arn");
    result?.as_str().map(str::to_owned)
}

/// Whether the caller is a session of the role that was meant.
pub(super) fn role(expected: &RoleArn, caller: &str) -> Finding {
    let session = format!(
        "arn:{}:sts::{}:assumed-role/{}/",
        expected.arn().partition(),
        expected.arn().account(),
        expected.role_name()
    );
    if caller.starts_with(&session) {
        Finding::ok("role", format!("this is a session of {expected}"))
    } else {
        Finding::warning(
            "role",
            format!("the role that is meant is {expected}, the caller is another"),
            "see the finding on the source: something else won over the role; unset it",
        )
    }
}

/// Looks at the age of a user's access keys; nothing for roles, whose keys are short-lived.
pub(super) async fn key_age(
    caller: &Caller,
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
    Some(match caller.send(call, handle, credentials).await {
        Ok(answer) => judge(user, &String::from_utf8_lossy(&answer.body), now),
        Err(error) if error.is_denied() => Finding::warning(
            "key-age",
            format!("not permitted to look at the age of {user}'s access keys"),
            format!(
                "allow iam:ListAccessKeys on arn:{}:iam::{}:user/{user} to the user",
                arn.partition(),
                arn.account()
            ),
        ),
        Err(error) => Finding::warning(
            "key-age",
            format!("the age of {user}'s access keys is not known: {error}"),
            "allow egress to IAM from here, or run this where IAM can be reached",
        ),
    })
}

fn judge(user: &str, answer: &str, now: SystemTime) -> Finding {
    let keys = answer.split("<member>").skip(1).filter_map(|member| {
        let id = element(member, "AccessKeyId")?;
        let created = OffsetDateTime::parse(element(member, "CreateDate")?, &Rfc3339).ok()?;
        let active = element(member, "Status") != Some("Inactive");
        let age = now.duration_since(created.into()).unwrap_or(Duration::ZERO);
        active.then(|| (ending(id), age.as_secs() / SECONDS_A_DAY))
    });
    let oldest = keys.max_by_key(|(_, days)| *days);
    match oldest {
        None => Finding::ok("key-age", format!("{user} has no active access keys")),
        Some((id, days)) if days > OLD_KEY_DAYS => Finding::warning(
            "key-age",
            format!("access key {id} of {user} is {days} days old"),
            "make a second key, put it in place, deactivate the old one and delete it later; or use a role, which needs no keys",
        ),
        Some((id, days)) => Finding::ok(
            "key-age",
            format!("the oldest access key of {user}, {id}, is {days} days old"),
        ),
    }
}

/// The end of a key's id: enough to find it, too little to be of use.
fn ending(id: &str) -> String {
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
    fn keys_over_ninety_days_are_worth_a_warning_and_ids_are_not_shown() {
        let now: SystemTime = OffsetDateTime::parse("2026-06-30T00:00:00Z", &Rfc3339)
            .unwrap()
            .into();
        for (created, status, level) in [
            ("2026-06-29T00:00:00Z", "Active", Level::Ok),
            ("2026-04-01T00:00:00Z", "Active", Level::Ok),
            ("2026-03-31T00:00:00Z", "Active", Level::Warning),
            ("2020-01-01T00:00:00Z", "Inactive", Level::Ok),
        ] {
            let finding = judge("u", &keys(created, status), now);
            assert_eq!(finding.level, level, "{created}: {finding:?}");
            assert!(!finding.message.contains("AKIAIOSF"), "{finding:?}");
        }
    }

    #[test]
    fn a_session_of_another_role_is_noticed() {
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
