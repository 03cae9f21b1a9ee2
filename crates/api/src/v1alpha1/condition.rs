//! Types and reasons of the conditions of a `BedrockAccess`.
//!
//! `Ready`, `Reconciling` and `Stalled` have the meaning that kstatus defines
//! (<https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md>), so that
//! `helm --wait`, Flux and Argo CD report the correct health.

/// The endpoint serves, and the cluster matches the spec.
pub const READY: &str = "Ready";
/// The cluster does not match the spec yet.
pub const RECONCILING: &str = "Reconciling";
/// Blocked until a user changes the spec, a policy or another object.
pub const STALLED: &str = "Stalled";
/// At least one gateway pod is available.
pub const GATEWAY_AVAILABLE: &str = "GatewayAvailable";
/// The gateway pods hold AWS credentials for signing.
pub const CREDENTIALS_READY: &str = "CredentialsReady";
/// The gateway pods hold credentials for the role of each target. Not set if no target names a role. `Ready` does not
/// depend on it.
pub const TARGET_ROLES_READY: &str = "TargetRolesReady";
/// No gateway pod has ejected a target for a minute or longer. Not set if no model has several targets. `Ready` does not
/// depend on it.
pub const TARGETS_HEALTHY: &str = "TargetsHealthy";
/// Every model can be called from its region, according to the table of models that is built into the operator. Not set if
/// the table cannot judge any of them (patterns, other ARNs, other partitions). `Ready` does not depend on it: the table can
/// be older or newer than what AWS offers.
pub const MODELS_READY: &str = "ModelsReady";
/// All sidecars match the current spec. Not set without `spec.sidecar`.
pub const SIDECARS_UP_TO_DATE: &str = "SidecarsUpToDate";
/// The PodMonitor exists. Not set without `spec.gateway.podMonitor` or a default of the platform for it.
pub const MONITORED: &str = "Monitored";
/// The gateway pods serve TLS. Not set without `spec.gateway.tls`.
pub const ENCRYPTED: &str = "Encrypted";
/// The Gateways of the HTTPRoute accept it. Not set without `spec.gateway.httpRoute`.
pub const ROUTED: &str = "Routed";
/// A `BedrockAccessPolicy` allows the object, and its author has the permissions that its spec requires. Not set if no
/// policy exists, none is required and the author is verified at admission.
pub const ACCEPTED: &str = "Accepted";

/// The condition is met.
pub const REASON_READY: &str = "Ready";
/// The spec sets zero gateway pods.
pub const REASON_SCALED_TO_ZERO: &str = "ScaledToZero";
/// `spec.suspend` is true, so the operator changes no managed object.
pub const REASON_SUSPENDED: &str = "Suspended";
/// The spec is invalid; the message names the field.
pub const REASON_INVALID_SPEC: &str = "InvalidSpec";
/// An object that the spec refers to does not exist.
pub const REASON_REFERENCE_NOT_FOUND: &str = "ReferenceNotFound";
/// An object with the name of a managed object exists and has another owner.
pub const REASON_NAME_CONFLICT: &str = "NameConflict";
/// The API server rejects the content of a managed object.
pub const REASON_CHILD_REFUSED: &str = "ChildRefused";
/// A `BedrockAccessPolicy` allows the object.
pub const REASON_ALLOWED: &str = "Allowed";
/// No `BedrockAccessPolicy` allows the object, so its endpoint is revoked.
pub const REASON_NOT_ALLOWED: &str = "NotAllowed";
/// The spec has values that require permissions of its author, whom no admission request has shown. The endpoint is
/// revoked.
pub const REASON_AUTHOR_NOT_VERIFIED: &str = "AuthorNotVerified";
/// The spec has values that require permissions of its author. They were accepted before the operator verified authors.
pub const REASON_ACCEPTED_EARLIER: &str = "AcceptedEarlier";
/// A transient error occurred; the operator retries.
pub const REASON_RETRYING: &str = "Retrying";
/// The token signing keys of the cluster have not been read yet.
pub const REASON_CLUSTER_KEYS_UNAVAILABLE: &str = "ClusterKeysUnavailable";
/// Gateway pods are starting or being replaced.
pub const REASON_ROLLING_OUT: &str = "RollingOut";
/// Gateway pods do not become ready.
pub const REASON_UNAVAILABLE: &str = "GatewayUnavailable";
/// No gateway pod is running.
pub const REASON_NO_PODS: &str = "NoPods";
/// Gateway pods have ejected a target because it fails.
pub const REASON_TARGET_EJECTED: &str = "TargetEjected";
/// Gateway pods have not reported yet.
pub const REASON_PENDING: &str = "Pending";
/// The cluster matches the current spec.
pub const REASON_UP_TO_DATE: &str = "UpToDate";
/// Some sidecars differ from what new pods get.
pub const REASON_OUTDATED: &str = "Outdated";
/// Some labelled pods have no sidecar.
pub const REASON_NOT_INJECTED: &str = "NotInjected";
/// A model is legacy: AWS has announced its end of life. The condition is true.
pub const REASON_LEGACY_MODEL: &str = "LegacyModel";
/// A model is not in the table: a spelling mistake, or newer than the table.
pub const REASON_UNKNOWN_MODEL: &str = "UnknownModel";
/// A model or inference profile cannot be called from its region.
pub const REASON_NOT_IN_REGION: &str = "NotInRegion";
/// A model is retired: no region offers it.
pub const REASON_RETIRED_MODEL: &str = "RetiredModel";
/// The cluster does not serve the API of an object that the spec requests.
pub const REASON_API_NOT_SERVED: &str = "ApiNotServed";
