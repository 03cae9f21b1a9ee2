//! Authorization of Bedrock actions by the caller's policies, like AWS: an inference profile also requires permission
//! for the model in each destination region.
//! See <https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-prereq.html>.

use super::catalog::Target;
use crate::auth::Caller;
use crate::error::AwsError;
use crate::policy::{Context, Decision, Request, evaluate};

/// Checks the permission for an action on a resource.
pub(crate) fn allow(
    caller: &Caller,
    action: &str,
    resource: &str,
    context: &Context,
) -> Result<(), AwsError> {
    let request = Request {
        principal: None,
        action,
        resource,
        context,
    };
    let why = match evaluate(&caller.policies, request) {
        Decision::Allowed => return Ok(()),
        Decision::ImplicitDeny => {
            format!("because no identity-based policy allows the {action} action")
        }
        Decision::ExplicitDeny => "with an explicit deny in an identity-based policy".to_owned(),
    };
    Err(AwsError::access_denied(format!(
        "User: {} is not authorized to perform: {action} on resource: {resource} {why}",
        caller.identity.arn
    )))
}

/// Checks that a caller with an API key may use API keys; returns the context for further checks.
pub(super) fn bearer(caller: &Caller) -> Result<Context, AwsError> {
    let mut context = caller.context();
    if caller.identity.kind == "bearer" {
        context.set("bedrock:bearerTokenType", "LONG_TERM");
        allow(caller, "bedrock:CallWithBearerToken", "*", &context)?;
    }
    Ok(context)
}

/// Checks the permission for an inference action on all resources of a target.
pub(super) fn invoke(
    caller: &Caller,
    action: &str,
    target: &Target,
    guardrail: Option<&str>,
) -> Result<(), AwsError> {
    let mut context = bearer(caller)?;
    if let Some(arn) = guardrail {
        context.set("bedrock:GuardrailIdentifier", arn);
    }
    let Some(profile) = &target.profile else {
        return allow(caller, action, &target.model_arn, &context);
    };
    allow(caller, action, &profile.arn, &context)?;
    context.set("bedrock:InferenceProfileArn", &profile.arn);
    let arn_in = |region: &str| {
        target
            .model_arn
            .replacen(&format!(":{}::", caller.region), &format!(":{region}::"), 1)
    };
    if profile.global {
        allow(caller, action, &target.model_arn, &context)?;
        context.set("aws:RequestedRegion", "unspecified");
        return allow(caller, action, &arn_in(""), &context);
    }
    for region in &profile.destinations {
        context.set("aws:RequestedRegion", region);
        allow(caller, action, &arn_in(region), &context)?;
    }
    Ok(())
}

/// The value of `bedrock:GuardrailIdentifier`: the ARN, followed by the version unless it is `DRAFT`.
pub(super) fn guardrail_arn(
    partition: &str,
    caller: &Caller,
    identifier: &str,
    version: &str,
) -> String {
    let arn = if identifier.starts_with("arn:") {
        identifier.to_owned()
    } else {
        format!(
            "arn:{partition}:bedrock:{}:{}:guardrail/{identifier}",
            caller.region, caller.account
        )
    };
    if version.is_empty() || version == "DRAFT" {
        arn
    } else {
        format!("{arn}:{version}")
    }
}
