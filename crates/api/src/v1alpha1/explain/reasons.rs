//! Conditions and reasons of a BedrockAccess: what each means and what to do. Reasons of gateways, which concern AWS
//! credentials, are in the troubleshooting guide.

use super::Kind;
use crate::v1alpha1::condition as c;

/// A condition, or a reason of conditions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) meaning: &'static str,
    /// What to do if a condition is false, or at a reason; empty if nothing.
    pub(super) fix: &'static str,
    /// Page of the documentation.
    pub(super) guide: &'static str,
}

const TROUBLESHOOTING: &str = "docs/guide/troubleshooting.md";
const OPERATIONS: &str = "docs/guide/operations.md";
const POLICIES: &str = "docs/guide/policies.md";
const SIDECAR: &str = "docs/guide/sidecar.md";
const REACH: &str = "docs/guide/reach.md";
const MODELS: &str = "docs/guide/operations.md#models";
const TARGETS: &str = "docs/guide/targets.md#ejection";

const fn condition(
    name: &'static str,
    meaning: &'static str,
    fix: &'static str,
    guide: &'static str,
) -> Row {
    Row {
        name,
        kind: Kind::Condition,
        meaning,
        fix,
        guide,
    }
}

const fn reason(
    name: &'static str,
    meaning: &'static str,
    fix: &'static str,
    guide: &'static str,
) -> Row {
    Row {
        kind: Kind::Reason,
        ..condition(name, meaning, fix, guide)
    }
}

/// All rows.
pub(super) const ROWS: &[Row] = &[
    condition(
        c::READY,
        "The endpoint serves, and the cluster matches the spec.",
        "Read the reason and the message: they name what prevents it. `kubectl bedrock explain REASON` has the fix.",
        OPERATIONS,
    ),
    condition(
        c::RECONCILING,
        "True while the cluster does not match the spec yet, for example during a rollout.",
        "No action needed, unless it stays true for more than ten minutes: then read the reason of Ready.",
        OPERATIONS,
    ),
    condition(
        c::STALLED,
        "True if the operator is blocked until a user changes the spec, a policy or another object.",
        "Change what the message of Ready names; the operator continues by itself.",
        OPERATIONS,
    ),
    condition(
        c::GATEWAY_AVAILABLE,
        "At least one gateway pod is available.",
        "Check the pods: `kubectl bedrock status NAME` shows why each one does not run.",
        TROUBLESHOOTING,
    ),
    condition(
        c::CREDENTIALS_READY,
        "The gateway pods hold AWS credentials for signing.",
        "Run `kubectl bedrock doctor NAME`, which checks token, role and network from inside a gateway pod, and `kubectl bedrock iam NAME` for the policies that the role needs.",
        "docs/guide/troubleshooting.md#gateway-reasons",
    ),
    condition(
        c::TARGET_ROLES_READY,
        "The gateway pods hold credentials for the role of each target. Ready does not depend on it: requests use the other targets.",
        "The message names the role. Print its policies with `kubectl bedrock iam NAME --role-arn ARN`.",
        "docs/guide/troubleshooting.md#not-authorized-to-assume-a-role",
    ),
    condition(
        c::MODELS_READY,
        "Every model can be called from its region, according to the table of models in the operator. Ready does not depend on it.",
        "The message names the model and the ids that work. Correct modelId or region in spec.models.",
        MODELS,
    ),
    condition(
        c::TARGETS_HEALTHY,
        "No gateway pod has left out a target for a minute or longer because it fails. Ready does not depend on it.",
        "The message names the target and the error. Requests go to the other targets of the model meanwhile.",
        TARGETS,
    ),
    condition(
        c::SIDECARS_UP_TO_DATE,
        "All sidecars match the current spec.",
        "Replace the pods that the message names, for example with `kubectl rollout restart deployment NAME`.",
        SIDECAR,
    ),
    condition(
        c::MONITORED,
        "The PodMonitor exists.",
        "Install the Prometheus operator, or remove spec.gateway.podMonitor.",
        OPERATIONS,
    ),
    condition(
        c::ENCRYPTED,
        "The gateway pods serve TLS.",
        "The message names the certificate or the Secret that is missing.",
        REACH,
    ),
    condition(
        c::ROUTED,
        "The Gateways of the HTTPRoute accept it.",
        "The message has the reason of the Gateway. Check spec.gateway.httpRoute and the listeners of the Gateway.",
        REACH,
    ),
    condition(
        c::ACCEPTED,
        "A BedrockAccessPolicy allows the object, and its author has the permissions that its spec requires.",
        "The message names the field and the values that a policy allows. Change the spec, or ask for a change of the policy. Until then the endpoint is revoked.",
        POLICIES,
    ),
    reason(c::REASON_READY, "The condition is met.", "", OPERATIONS),
    reason(
        c::REASON_SCALED_TO_ZERO,
        "The spec sets zero gateway pods.",
        "Set spec.gateway.replicas to 1 or more to serve again.",
        OPERATIONS,
    ),
    reason(
        c::REASON_SUSPENDED,
        "spec.suspend is true: the operator changes no managed object, and gateway pods continue to serve.",
        "Set spec.suspend to false to resume.",
        "docs/guide/operations.md#suspend-a-bedrockaccess",
    ),
    reason(
        c::REASON_INVALID_SPEC,
        "The spec is invalid. The gateways keep the last valid configuration.",
        "Correct the field that the message names.",
        "docs/reference/bedrockaccess.md",
    ),
    reason(
        c::REASON_REFERENCE_NOT_FOUND,
        "An object that the spec refers to does not exist.",
        "Create the object that the message names, or correct its name in the spec.",
        "docs/reference/bedrockaccess.md",
    ),
    reason(
        c::REASON_NAME_CONFLICT,
        "An object with the name of a managed object exists and has another owner. The operator does not adopt it.",
        "Rename or delete that object, or create the BedrockAccess with another name.",
        OPERATIONS,
    ),
    reason(
        c::REASON_CHILD_REFUSED,
        "The API server rejects the content of a managed object, for example because of an admission policy or a quota.",
        "The message has the text of the API server. Change the spec, or the policy or quota that it names.",
        OPERATIONS,
    ),
    reason(
        c::REASON_ALLOWED,
        "A BedrockAccessPolicy allows the object.",
        "",
        POLICIES,
    ),
    reason(
        c::REASON_NOT_ALLOWED,
        "No BedrockAccessPolicy allows the object, so its endpoint is revoked: no role, no gateway pods, and sidecars respond with status 403.",
        "The message names the field and the values that a policy allows. Change the spec, or ask for a change of the policy.",
        POLICIES,
    ),
    reason(
        c::REASON_AUTHOR_NOT_VERIFIED,
        "The spec has values that require permissions of its author, and no admission request has shown who set them. The endpoint is revoked.",
        "Enable the validation webhook (chart value admission.enabled) and apply the object again, or add rules for these values to a BedrockAccessPolicy.",
        "docs/guide/policies.md#permissions-of-the-author",
    ),
    reason(
        c::REASON_ACCEPTED_EARLIER,
        "The spec has values that require permissions of its author. They were accepted before the operator verified authors.",
        "Enable the validation webhook (chart value admission.enabled), or add rules for these values to a BedrockAccessPolicy, before the spec changes.",
        "docs/guide/policies.md#permissions-of-the-author",
    ),
    reason(
        c::REASON_RETRYING,
        "A transient error occurred; the operator retries.",
        "No action needed. If it persists, the message names the request that fails: see `kubectl bedrock check`.",
        OPERATIONS,
    ),
    reason(
        c::REASON_CLUSTER_KEYS_UNAVAILABLE,
        "The operator has not read the token signing keys of the cluster yet, with which gateways verify clients.",
        "No action needed for a minute. If it persists, the operator may not read /openid/v1/jwks: see `kubectl bedrock check`.",
        OPERATIONS,
    ),
    reason(
        c::REASON_ROLLING_OUT,
        "Gateway pods are starting or being replaced.",
        "No action needed. If it persists, `kubectl bedrock status NAME` shows why pods do not start.",
        OPERATIONS,
    ),
    reason(
        c::REASON_UNAVAILABLE,
        "Gateway pods do not become ready.",
        "`kubectl bedrock status NAME` shows the state of each pod, `kubectl bedrock logs NAME` its log, `kubectl bedrock doctor NAME` the cause of missing credentials.",
        TROUBLESHOOTING,
    ),
    reason(
        c::REASON_TARGET_EJECTED,
        "Gateway pods leave out a target because its calls fail, and try it again later.",
        "The message names the error: raise the quota for throttling, correct the role or the model for refusals, otherwise wait for AWS.",
        TARGETS,
    ),
    reason(
        c::REASON_NO_PODS,
        "No gateway pod is running.",
        "See GatewayAvailable. Nodes may lack room: `kubectl get events` in the namespace shows why pods are not scheduled.",
        OPERATIONS,
    ),
    reason(
        c::REASON_PENDING,
        "Gateway pods have not reported yet: the first exchange of credentials is in progress.",
        "No action needed.",
        "docs/guide/troubleshooting.md#gateway-reasons",
    ),
    reason(
        c::REASON_UP_TO_DATE,
        "The cluster matches the current spec.",
        "",
        OPERATIONS,
    ),
    reason(
        c::REASON_OUTDATED,
        "Some sidecars differ from what new pods get. They continue to run unchanged.",
        "Replace their pods, for example with `kubectl rollout restart deployment NAME`.",
        SIDECAR,
    ),
    reason(
        c::REASON_NOT_INJECTED,
        "Some labelled pods have no sidecar: they were created before they had the label, or the webhook does not apply to them.",
        "Replace the pods. If new pods have no sidecar either, run `kubectl bedrock check`.",
        SIDECAR,
    ),
    reason(
        c::REASON_LEGACY_MODEL,
        "A model is legacy: AWS has announced its end of life. The condition is true.",
        "Change modelId to a newer model, and keep the name, so that clients need no change.",
        "docs/guide/troubleshooting.md#model-is-legacy-or-retired",
    ),
    reason(
        c::REASON_UNKNOWN_MODEL,
        "A model is not in the table of models: a spelling mistake, or newer than the table.",
        "Check the spelling: `bedrock-gateway models --model TEXT` lists ids. A new model works although it is not in the table.",
        MODELS,
    ),
    reason(
        c::REASON_NOT_IN_REGION,
        "A model or inference profile cannot be called from its region.",
        "The message names the ids of the region. Change modelId, or the region of the target.",
        "docs/guide/troubleshooting.md#model-identifier-invalid-or-not-in-the-region",
    ),
    reason(
        c::REASON_RETIRED_MODEL,
        "A model is retired: no region offers it.",
        "Change modelId to a current model, and keep the name, so that clients need no change.",
        "docs/guide/troubleshooting.md#model-is-legacy-or-retired",
    ),
    reason(
        c::REASON_API_NOT_SERVED,
        "The cluster does not serve the API of an object that the spec requests.",
        "Install the CRDs that the message names, or remove the field from the spec.",
        REACH,
    ),
    reason(
        "ImagePullBackOff",
        "The kubelet cannot pull the image of the gateway.",
        "Check spec.gateway.image or the chart's image.gateway, and imagePullSecrets.",
        OPERATIONS,
    ),
    reason(
        "ErrImagePull",
        "The kubelet cannot pull the image of the gateway.",
        "Check spec.gateway.image or the chart's image.gateway, and imagePullSecrets.",
        OPERATIONS,
    ),
    reason(
        "CrashLoopBackOff",
        "A gateway exits soon after it starts.",
        "`kubectl bedrock logs NAME --previous` shows its last log lines.",
        TROUBLESHOOTING,
    ),
    reason(
        "CreateContainerConfigError",
        "A Secret or ConfigMap that the pod refers to does not exist or lacks a key.",
        "Create the object that the message names.",
        TROUBLESHOOTING,
    ),
];
