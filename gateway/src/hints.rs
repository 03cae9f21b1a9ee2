//! Ways out of the errors that Bedrock users meet most, recognised by AWS's own texts.
//!
//! A table, first match wins: the name of the error where it matters, parts of the text, one sentence
//! a person can act on. What is not recognised gets no hint rather than a wrong one.
//! Texts as in <https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html>
//! and as AWS's services answer.

/// A row of the table.
#[derive(Debug)]
struct Rule {
    /// Names of errors it holds for; empty: any.
    names: &'static [&'static str],
    /// Parts of the text in lower case, all of which must be there.
    says: &'static [&'static str],
    /// What to do about it.
    hint: &'static str,
}

const RULES: &[Rule] = &[
    // Inference profiles.
    Rule {
        names: &[],
        says: &["on-demand throughput"],
        hint: "This model is only served through an inference profile: ask for its profile id, which is the model id with a prefix such as us., eu., apac. or global. (`bedrock-gateway models` lists them), or the profile's ARN.",
    },
    // Access to models, before the general AccessDenied.
    Rule {
        names: &[],
        says: &["use case details have not been submitted"],
        hint: "Anthropic models want a use case form once per account: open the model in the Bedrock console's model catalog and submit it; access follows within minutes.",
    },
    Rule {
        names: &[],
        says: &["aws-marketplace"],
        hint: "The first call to a third-party model subscribes the account to it: let the role do aws-marketplace:Subscribe and aws-marketplace:ViewSubscriptions, or have an administrator call the model once.",
    },
    Rule {
        names: &[],
        says: &["don't have access to the model"],
        hint: "Model access is not granted: request it for this account and region in the Bedrock console under Model access.",
    },
    Rule {
        names: &[],
        says: &["access to the model with the specified model id"],
        hint: "Model access is not granted: request it for this account and region in the Bedrock console under Model access.",
    },
    Rule {
        names: &[],
        says: &["marked by provider as legacy"],
        hint: "The model is at the end of its life and closed to new users: choose a newer model.",
    },
    Rule {
        names: &[],
        says: &["end of its life"],
        hint: "The model has been retired: choose a newer model.",
    },
    // Roles and web identity, before the general AccessDenied.
    Rule {
        names: &[],
        says: &["sts:assumerolewithwebidentity"],
        hint: "The role's trust policy does not let this token in: it needs the cluster's OIDC provider as principal and conditions that match the token's aud (sts.amazonaws.com) and sub (system:serviceaccount:NAMESPACE:NAME). `bedrock-gateway iam` prints the right one.",
    },
    Rule {
        names: &[],
        says: &["not authorized to perform: sts:assumerole"],
        hint: "Both sides must agree: the caller needs permission for sts:AssumeRole on the role, and the role's trust policy must name the caller. If that policy asks for sts:ExternalId, set AWS_EXTERNAL_ID or externalId to the same value.",
    },
    Rule {
        names: &[],
        says: &["no openidconnect provider found"],
        hint: "The account has no IAM OIDC provider for the cluster's issuer: create it once per cluster (for EKS: `eksctl utils associate-iam-oidc-provider`).",
    },
    Rule {
        names: &[],
        says: &["incorrect token audience"],
        hint: "The token's audience is not registered at the IAM OIDC provider: use sts.amazonaws.com on both sides.",
    },
    Rule {
        names: &[],
        says: &["couldn't retrieve verification key"],
        hint: "STS could not fetch the cluster's signing keys: the issuer's /.well-known/openid-configuration and its key set must be reachable from the internet, with a valid certificate.",
    },
    Rule {
        names: &[],
        says: &["external id"],
        hint: "The role's trust policy asks for sts:ExternalId: set AWS_EXTERNAL_ID or externalId to the value its owner gave you.",
    },
    Rule {
        names: &[],
        says: &["sts is not activated in this region"],
        hint: "Activate STS for this region in IAM's account settings, or choose another region.",
    },
    // Permissions.
    Rule {
        names: &[],
        says: &["service control policy"],
        hint: "A service control policy of the organization denies this: only its administrators can change that. Cross-region inference needs every region of the profile to be allowed.",
    },
    Rule {
        names: &[],
        says: &["not authorized to perform", "bedrock:callwithbearertoken"],
        hint: "The user behind the Bedrock API key may not use it: allow bedrock:CallWithBearerToken.",
    },
    Rule {
        names: &[],
        says: &["not authorized to perform", "inference-profile"],
        hint: "An inference profile needs permission on two kinds of resources: the profile's ARN and the foundation model's in each region it routes to. `bedrock-gateway iam` prints that policy.",
    },
    Rule {
        names: &[],
        says: &["not authorized to perform"],
        hint: "The role lacks this permission on this resource: add it to the role's policy (`bedrock-gateway iam` prints the least one).",
    },
    // Credentials.
    Rule {
        names: &[],
        says: &["security token included in the request is expired"],
        hint: "The credentials have expired: with static keys that carry a session token, get new ones; with a role this heals itself, or see `bedrock-gateway doctor`.",
    },
    Rule {
        names: &["UnrecognizedClientException", "InvalidClientTokenId"],
        says: &[],
        hint: "AWS does not know these credentials: check that the access key exists and is active, belongs to this partition (aws, aws-cn, aws-us-gov), and that a session token is set with temporary keys.",
    },
    Rule {
        names: &[],
        says: &["security token included in the request is invalid"],
        hint: "AWS does not know these credentials: check that the access key exists and is active, belongs to this partition (aws, aws-cn, aws-us-gov), and that a session token is set with temporary keys.",
    },
    Rule {
        names: &[],
        says: &["signature expired"],
        hint: "The clock of this machine is off by more than five minutes: set it by NTP.",
    },
    Rule {
        names: &[],
        says: &["signature not yet current"],
        hint: "The clock of this machine is off by more than five minutes: set it by NTP.",
    },
    Rule {
        names: &[],
        says: &["credential should be scoped to"],
        hint: "The request was signed for another region or service than the endpoint's: make region and endpoint fit.",
    },
    Rule {
        names: &["InvalidSignatureException", "SignatureDoesNotMatch"],
        says: &[],
        hint: "The secret key does not belong to the access key, or something on the way changed the request.",
    },
    Rule {
        names: &[],
        says: &["make sure your api key is valid"],
        hint: "The Bedrock API key is wrong or was revoked: make a new one and set AWS_BEARER_TOKEN_BEDROCK.",
    },
    Rule {
        names: &[],
        says: &["bearer token has expired"],
        hint: "The Bedrock API key has expired: make a new one and set AWS_BEARER_TOKEN_BEDROCK.",
    },
    // Models and regions.
    Rule {
        names: &[],
        says: &["model identifier is invalid"],
        hint: "This region does not know the model: check the id for typing errors and the region it is offered in (`bedrock-gateway models`).",
    },
    Rule {
        names: &[],
        says: &["could not resolve the foundation model"],
        hint: "This region does not know the model: check the id for typing errors and the region it is offered in (`bedrock-gateway models`).",
    },
    Rule {
        names: &[],
        says: &["not supported in your region"],
        hint: "The model is not offered in this region: choose another region or a cross-region inference profile (`bedrock-gateway models` says where it is).",
    },
    Rule {
        names: &[],
        says: &["model is not supported in this region"],
        hint: "The model is not offered in this region: choose another region or a cross-region inference profile (`bedrock-gateway models` says where it is).",
    },
    Rule {
        names: &[],
        says: &["guardrail", "does not exist"],
        hint: "The guardrail's id or version is wrong, or it lives in another region than the request's.",
    },
    // Quotas and sizes.
    Rule {
        names: &[],
        says: &["too many tokens per day"],
        hint: "The account's daily token quota for this model is used up: ask for more in Service Quotas, or use a cross-region inference profile.",
    },
    Rule {
        names: &["ThrottlingException", "ServiceQuotaExceededException"],
        says: &[],
        hint: "The account's quota for this model and region is used up for now: slow down, ask for more in Service Quotas, or use a cross-region inference profile.",
    },
    Rule {
        names: &[],
        says: &["input is too long"],
        hint: "The request is longer than the model's context: shorten the conversation or choose a model with a larger one.",
    },
    Rule {
        names: &["ModelNotReadyException"],
        says: &[],
        hint: "The model is being loaded: try again in a minute.",
    },
    Rule {
        names: &["ModelTimeoutException"],
        says: &[],
        hint: "The model took too long: ask for fewer tokens or stream the answer.",
    },
];

/// Parts of hints that are about where a model is offered, and by which id.
const ABOUT_MODEL: [&str; 3] = [
    "This model is only served",
    "This region does not know",
    "The model is not offered",
];

/// What to do about an error of AWS's, when it is a known one. `name` may be empty.
pub(crate) fn hint(name: &str, message: &str) -> Option<&'static str> {
    // AWS writes both the straight and the typographic apostrophe.
    let message = message.to_lowercase().replace('\u{2019}', "'");
    RULES
        .iter()
        .find(|rule| {
            (rule.names.is_empty() || rule.names.contains(&name))
                && rule.says.iter().all(|part| message.contains(part))
        })
        .map(|rule| rule.hint)
}

/// Whether it helps to say, beside this hint, where the model is offered.
pub(crate) fn is_about_model(hint: &str) -> bool {
    ABOUT_MODEL.iter().any(|start| hint.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, message: &str, expected: &str) {
        let hint = hint(name, message).unwrap_or_else(|| panic!("no hint for {message}"));
        assert!(hint.contains(expected), "{message}: {hint}");
    }

    #[test]
    fn real_texts_of_aws_lead_to_the_right_way_out() {
        check(
            "AccessDeniedException",
            "User: arn:aws:sts::123456789012:assumed-role/BedrockRole/chat is not authorized to perform: bedrock:InvokeModel on resource: arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0 because no identity-based policy allows the bedrock:InvokeModel action",
            "bedrock-gateway iam",
        );
        check(
            "AccessDeniedException",
            "User: arn:aws:sts::123456789012:assumed-role/R/s is not authorized to perform: bedrock:InvokeModel on resource: arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0 because no identity-based policy allows the bedrock:InvokeModel action",
            "two kinds of resources",
        );
        check(
            "AccessDeniedException",
            "User: arn:aws:iam::1:user/a is not authorized to perform: bedrock:InvokeModel on resource: arn:aws:bedrock:eu-west-3::foundation-model/x with an explicit deny in a service control policy",
            "service control policy",
        );
        check(
            "AccessDeniedException",
            "You don't have access to the model with the specified model ID.",
            "Model access",
        );
        check(
            "AccessDeniedException",
            "Model access is denied due to IAM user or service role is not authorized to perform the required AWS Marketplace actions (aws-marketplace:ViewSubscriptions, aws-marketplace:Subscribe) to enable access to this model.",
            "aws-marketplace:Subscribe",
        );
        check(
            "ResourceNotFoundException",
            "Model use case details have not been submitted for this account. Fill out the Anthropic use case details form before using the model.",
            "use case form",
        );
        check(
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
            "access key exists",
        );
        check(
            "ExpiredTokenException",
            "The security token included in the request is expired",
            "expired",
        );
        check(
            "ValidationException",
            "Invocation of model ID anthropic.claude-3-7-sonnet-20250219-v1:0 with on-demand throughput isn\u{2019}t supported. Retry your request with the ID or ARN of an inference profile that contains this model.",
            "inference profile",
        );
        check(
            "ValidationException",
            "The provided model identifier is invalid.",
            "region",
        );
        check(
            "ResourceNotFoundException",
            "Could not resolve the foundation model from the provided model identifier.",
            "region",
        );
        check(
            "",
            "User: arn:aws:iam::1:user/a is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::2:role/B",
            "externalId",
        );
        check(
            "",
            "Not authorized to perform sts:AssumeRoleWithWebIdentity",
            "trust policy",
        );
        check(
            "",
            "No OpenIDConnect provider found in your account for https://oidc.eks.us-east-1.amazonaws.com/id/ABC",
            "OIDC provider",
        );
        check(
            "InvalidIdentityToken",
            "Incorrect token audience",
            "sts.amazonaws.com",
        );
        check(
            "ThrottlingException",
            "Too many requests, please wait before trying again.",
            "Service Quotas",
        );
        check(
            "InvalidSignatureException",
            "Signature expired: 20240101T000000Z is now earlier than 20240101T001000Z",
            "clock",
        );
        check(
            "InvalidSignatureException",
            "Credential should be scoped to a valid region.",
            "region",
        );
    }

    #[test]
    fn unknown_text_gets_no_hint_rather_than_a_wrong_one() {
        assert_eq!(hint("ValidationException", "messages.0: bad"), None);
    }

    #[test]
    fn advice_where_a_model_is_goes_with_some_hint() {
        for start in ABOUT_MODEL {
            assert!(
                RULES.iter().any(|rule| rule.hint.starts_with(start)),
                "{start}"
            );
        }
    }

    #[test]
    fn parts_are_lower_case_or_they_could_never_match() {
        for rule in RULES {
            assert!(!rule.names.is_empty() || !rule.says.is_empty());
            for part in rule.says {
                assert_eq!(*part, part.to_lowercase());
            }
        }
    }
}
