//! Fixes for common errors of AWS, which are recognized by name and message.
//!
//! The rules are a table, and the first match applies. An error without a match has no hint.
//! The messages are those of <https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html>
//! and of responses from AWS services.

mod credentials;

pub(crate) use self::credentials::for_credentials;

/// One rule of the table.
#[derive(Debug)]
struct Rule {
    /// Error names that the rule applies to; empty means any.
    names: &'static [&'static str],
    /// Substrings in lower case, all of which the message must contain.
    says: &'static [&'static str],
    /// How to fix the error.
    hint: &'static str,
}

// Hints of more than one rule or reason.
const MODEL_ACCESS: &str = "The account has no access to this model: open the model in the model catalog of the Bedrock console, in the region that you call, and complete the steps shown.";
const UNKNOWN_KEY: &str = "AWS does not recognize these credentials: check that the access key exists and is active, belongs to this partition (aws, aws-cn, aws-us-gov), and that a session token is set with temporary keys.";
const CLOCK: &str =
    "The clock of this machine is wrong by more than five minutes: synchronize it with NTP.";
const SECRET_KEY: &str =
    "The secret key does not belong to the access key, or a proxy changed the request: check both.";
const UNKNOWN_MODEL: &str = "The model does not exist in this region: check the spelling of the model ID and the regions of the model (`bedrock-gateway models` lists them).";
const OTHER_REGION: &str = "The model is not offered in this region: use another region or a cross-region inference profile (`bedrock-gateway models` lists the regions).";
const PROVIDER_UNREACHABLE: &str = "STS cannot reach the token's identity provider: the gateway tries again. If the error persists, check that the issuer's /.well-known/openid-configuration and JWKS are reachable from the internet.";
const STS_THROTTLED: &str = "STS throttles calls of this account: the gateway tries again, and uses its current credentials until they expire.";
const STS_REGION: &str =
    "Activate STS for this region in the account settings of IAM, or use another region.";

const RULES: &[Rule] = &[
    // Inference profiles.
    Rule {
        names: &[],
        says: &["on-demand throughput"],
        hint: "This model requires an inference profile: use the profile ID, which is the model ID with a prefix such as us., eu., apac. or global. (`bedrock-gateway models` lists the IDs), or the ARN of the profile.",
    },
    // Access to models, before the general AccessDenied.
    Rule {
        names: &[],
        says: &["use case details have not been submitted"],
        hint: "Anthropic models require a use case form once per account: open the model in the model catalog of the Bedrock console and submit the form; AWS grants access within minutes.",
    },
    Rule {
        names: &[],
        says: &["aws-marketplace"],
        hint: "The first call to a third-party model subscribes the account to it: allow the role aws-marketplace:Subscribe and aws-marketplace:ViewSubscriptions, or have an administrator call the model once.",
    },
    Rule {
        names: &[],
        says: &["don't have access to the model"],
        hint: MODEL_ACCESS,
    },
    Rule {
        names: &[],
        says: &["access to the model with the specified model id"],
        hint: MODEL_ACCESS,
    },
    Rule {
        names: &[],
        says: &["marked by provider as legacy"],
        hint: "The model is legacy and closed to new users: use a newer model.",
    },
    Rule {
        names: &[],
        says: &["end of its life"],
        hint: "The model is retired: use a newer model.",
    },
    // Roles and web identity, before the general AccessDenied.
    Rule {
        names: &[],
        says: &["api key cannot assume roles"],
        hint: "A Bedrock API key cannot assume roles: use another source of credentials, or remove the role of the target.",
    },
    Rule {
        names: &[],
        says: &["not authorized to perform", "sts:assumerolewithwebidentity"],
        hint: "The role's trust policy does not admit this token: it needs the token's OIDC provider as principal and conditions that match the token's aud (sts.amazonaws.com) and sub (such as system:serviceaccount:NAMESPACE:NAME or repo:OWNER/NAME:ref:REF). `bedrock-gateway doctor` prints a matching policy.",
    },
    Rule {
        names: &[],
        says: &["not authorized to perform: sts:assumerole"],
        hint: "The caller needs permission for sts:AssumeRole on the role, and the role's trust policy must name the caller. If that policy requires sts:ExternalId, set AWS_EXTERNAL_ID or externalId to the same value.",
    },
    Rule {
        names: &[],
        says: &["no openidconnect provider found"],
        hint: "The account has no IAM OIDC provider for the token's issuer: create it once, for a cluster once per cluster (for EKS: `eksctl utils associate-iam-oidc-provider`).",
    },
    Rule {
        names: &[],
        says: &["sts:assumerolewithwebidentity", "token expired"],
        hint: "The web identity token has expired: check that the kubelet, or the process that writes the token file, still renews it, and that this machine's clock is right.",
    },
    Rule {
        names: &[],
        says: &["id token provided is not a valid jwt"],
        hint: "The token file contains no JSON Web Token: mount a projected ServiceAccount token with the audience sts.amazonaws.com, and set AWS_WEB_IDENTITY_TOKEN_FILE to its path.",
    },
    Rule {
        names: &[],
        says: &["error calling the identity provider"],
        hint: PROVIDER_UNREACHABLE,
    },
    Rule {
        names: &[],
        says: &["sts:assumerole", "rate exceeded"],
        hint: STS_THROTTLED,
    },
    Rule {
        names: &[],
        says: &["durationseconds exceeds"],
        hint: "The role does not allow sessions of this duration: lower AWS_ROLE_DURATION_SECONDS or durationSeconds, or raise the role's maximum session duration. A role that another role assumes has at most one hour.",
    },
    Rule {
        names: &[],
        says: &["incorrect token audience"],
        hint: "The token's audience is not registered at the IAM OIDC provider: use sts.amazonaws.com in the token and at the provider.",
    },
    Rule {
        names: &[],
        says: &["couldn't retrieve verification key"],
        hint: "STS cannot fetch the cluster's signing keys: the issuer's /.well-known/openid-configuration and JWKS must be reachable from the internet with a valid certificate.",
    },
    Rule {
        names: &[],
        says: &["external id"],
        hint: "The role's trust policy requires sts:ExternalId: set AWS_EXTERNAL_ID or externalId to the value from the owner of the role.",
    },
    Rule {
        names: &[],
        says: &["sts is not activated in this region"],
        hint: STS_REGION,
    },
    // Permissions.
    Rule {
        names: &[],
        says: &["service control policy"],
        hint: "A service control policy of the organization denies this action: ask its administrators to allow it. Cross-region inference requires that all regions of the profile are allowed.",
    },
    Rule {
        names: &[],
        says: &["not authorized to perform", "bedrock:callwithbearertoken"],
        hint: "The IAM user of the Bedrock API key lacks a permission: allow bedrock:CallWithBearerToken.",
    },
    Rule {
        names: &[],
        says: &["not authorized to perform", "inference-profile"],
        hint: "An inference profile needs permission on two kinds of resources: the ARN of the profile, and the ARN of the foundation model in each region of the profile. `bedrock-gateway iam` prints the policy.",
    },
    Rule {
        names: &[],
        says: &["not authorized to perform"],
        hint: "The role lacks this permission on this resource: add it to the role's policy (`bedrock-gateway iam` prints a least-privilege policy).",
    },
    // Credentials.
    Rule {
        names: &[],
        says: &["security token included in the request is expired"],
        hint: "The credentials have expired. Replace static keys that have a session token. The gateway renews credentials of a role; if the error persists, run `bedrock-gateway doctor`.",
    },
    Rule {
        names: &["UnrecognizedClientException", "InvalidClientTokenId"],
        says: &[],
        hint: UNKNOWN_KEY,
    },
    Rule {
        names: &[],
        says: &["security token included in the request is invalid"],
        hint: UNKNOWN_KEY,
    },
    Rule {
        names: &[],
        says: &["signature expired"],
        hint: CLOCK,
    },
    Rule {
        names: &[],
        says: &["signature not yet current"],
        hint: CLOCK,
    },
    Rule {
        names: &[],
        says: &["credential should be scoped to"],
        hint: "The signature is for another region or service than the endpoint: use the region of the endpoint.",
    },
    Rule {
        names: &["InvalidSignatureException", "SignatureDoesNotMatch"],
        says: &[],
        hint: SECRET_KEY,
    },
    Rule {
        names: &[],
        says: &["request signature we calculated does not match"],
        hint: SECRET_KEY,
    },
    Rule {
        names: &[],
        says: &["make sure your api key is valid"],
        hint: "The Bedrock API key is wrong or revoked: create a new key and set AWS_BEARER_TOKEN_BEDROCK.",
    },
    Rule {
        names: &[],
        says: &["bearer token has expired"],
        hint: "The Bedrock API key has expired: create a new key and set AWS_BEARER_TOKEN_BEDROCK.",
    },
    // Models and regions.
    Rule {
        names: &[],
        says: &["model identifier is invalid"],
        hint: UNKNOWN_MODEL,
    },
    Rule {
        names: &[],
        says: &["could not resolve the foundation model"],
        hint: UNKNOWN_MODEL,
    },
    Rule {
        names: &[],
        says: &["not supported in your region"],
        hint: OTHER_REGION,
    },
    Rule {
        names: &[],
        says: &["model is not supported in this region"],
        hint: OTHER_REGION,
    },
    Rule {
        names: &[],
        says: &["guardrail", "does not exist"],
        hint: "The guardrail's ID or version is wrong, or the guardrail is in another region than the request.",
    },
    // Quotas and sizes.
    Rule {
        names: &[],
        says: &["too many tokens per day"],
        hint: "The account's daily token quota for this model is exhausted: request an increase in Service Quotas, or use a cross-region inference profile.",
    },
    Rule {
        names: &["ThrottlingException", "ServiceQuotaExceededException"],
        says: &[],
        hint: "The account's quota for this model and region is exhausted: reduce the request rate, request an increase in Service Quotas, or use a cross-region inference profile.",
    },
    Rule {
        names: &[],
        says: &["input is too long"],
        // LiteLLM recognizes "is longer than the model's context length".
        hint: "The request is longer than the model's context length: shorten the conversation or use a model with a larger context window.",
    },
    Rule {
        names: &["ModelNotReadyException"],
        says: &[],
        hint: "The model is loading: try again in a minute.",
    },
    Rule {
        names: &["ModelTimeoutException"],
        says: &[],
        hint: "The model took too long: request fewer tokens or stream the response.",
    },
];

/// Beginnings of hints about the regions and IDs of a model.
const ABOUT_MODEL: [&str; 3] = [
    "This model requires an inference profile",
    "The model does not exist in this region",
    "The model is not offered",
];

/// How to fix an error of AWS, if it is a known error. `name` can be empty.
pub(crate) fn hint(name: &str, message: &str) -> Option<&'static str> {
    // AWS uses both the straight and the typographic apostrophe.
    let message = message.to_lowercase().replace('\u{2019}', "'");
    RULES
        .iter()
        .find(|rule| {
            (rule.names.is_empty() || rule.names.contains(&name))
                && rule.says.iter().all(|part| message.contains(part))
        })
        .map(|rule| rule.hint)
}

/// Whether the regions and IDs of the model complement this hint.
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
    fn messages_of_aws_get_the_matching_hint() {
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
            "model catalog",
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

    /// The text of the credentials crate around a message of STS.
    fn web_identity(detail: &str) -> String {
        format!(
            "sts:AssumeRoleWithWebIdentity for arn:aws:iam::123456789012:role/R at https://sts.us-east-1.amazonaws.com: {detail}"
        )
    }

    #[test]
    fn failures_of_web_identity_get_their_own_hint() {
        for (detail, expected) in [
            (
                "AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity",
                "trust policy does not admit",
            ),
            (
                "ExpiredTokenException: Token expired: current date/time 1800000000 must be before the expiration date/time 1799999000",
                "token has expired",
            ),
            (
                "InvalidIdentityToken: Incorrect token audience",
                "audience is not registered",
            ),
            (
                "InvalidIdentityToken: No OpenIDConnect provider found in your account for https://issuer.example",
                "no IAM OIDC provider",
            ),
            (
                "InvalidIdentityToken: The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)",
                "no JSON Web Token",
            ),
            (
                "IDPCommunicationError: There was an error calling the identity provider's keys endpoint",
                "cannot reach the token's identity provider",
            ),
            ("Throttling: Rate exceeded", "STS throttles"),
            (
                "RegionDisabledException: STS is not activated in this region for account:123456789012.",
                "Activate STS",
            ),
        ] {
            check("", &web_identity(detail), expected);
        }
        for detail in [
            "InternalFailure: We encountered an internal error",
            "HTTP status 503, not a valid STS response",
            "timeout",
        ] {
            assert_eq!(hint("", &web_identity(detail)), None, "{detail}");
        }
    }

    #[test]
    fn unknown_message_gets_no_hint() {
        assert_eq!(hint("ValidationException", "messages.0: bad"), None);
    }

    #[test]
    fn each_beginning_matches_a_hint() {
        for start in ABOUT_MODEL {
            assert!(
                RULES.iter().any(|rule| rule.hint.starts_with(start)),
                "{start}"
            );
        }
    }

    #[test]
    fn substrings_are_in_lower_case() {
        for rule in RULES {
            assert!(!rule.names.is_empty() || !rule.says.is_empty());
            for part in rule.says {
                assert_eq!(*part, part.to_lowercase());
            }
        }
    }
}
