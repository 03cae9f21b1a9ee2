//! Types and reasons of the conditions of a `BedrockAccess`.
//!
//! `Ready`, `Reconciling` and `Stalled` mean what kstatus takes them to mean
//! (<https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md>), so that
//! `helm --wait`, Flux and Argo CD see health rightly.

/// The endpoint answers, and all that the spec asks for is in place.
pub const READY: &str = "Ready";
/// The operator or the cluster is on the way to what the spec asks for.
pub const RECONCILING: &str = "Reconciling";
/// No way forward without a change by somebody.
pub const STALLED: &str = "Stalled";
/// Enough gateway pods serve.
pub const GATEWAY_AVAILABLE: &str = "GatewayAvailable";
/// The gateway pods hold AWS credentials they can sign with.
pub const CREDENTIALS_READY: &str = "CredentialsReady";
/// The gateway pods hold credentials for each role that a target names; not set where none names one. The endpoint is
/// ready without them.
pub const TARGET_ROLES_READY: &str = "TargetRolesReady";
/// Every sidecar is what a new pod would get; not set where the spec asks for no sidecars.
pub const SIDECARS_UP_TO_DATE: &str = "SidecarsUpToDate";
/// The PodMonitor that was asked for is there; not set where none is asked for.
pub const MONITORED: &str = "Monitored";
/// A `BedrockAccessPolicy` allows the access; not set while no policy exists and none is required.
pub const ACCEPTED: &str = "Accepted";

/// All is in place.
pub const REASON_READY: &str = "Ready";
/// The spec asks for no gateway pod.
pub const REASON_SCALED_TO_ZERO: &str = "ScaledToZero";
/// The object cannot be used as it stands; the message names the field.
pub const REASON_INVALID_SPEC: &str = "InvalidSpec";
/// An object that the spec refers to is not there.
pub const REASON_REFERENCE_NOT_FOUND: &str = "ReferenceNotFound";
/// An object of a child's name exists and belongs to somebody else.
pub const REASON_NAME_CONFLICT: &str = "NameConflict";
/// The API server refuses a child for what it holds.
pub const REASON_CHILD_REFUSED: &str = "ChildRefused";
/// A `BedrockAccessPolicy` allows the access.
pub const REASON_ALLOWED: &str = "Allowed";
/// No `BedrockAccessPolicy` allows the access, so it was revoked.
pub const REASON_NOT_ALLOWED: &str = "NotAllowed";
/// Something failed that may pass by itself: it is tried again.
pub const REASON_RETRYING: &str = "Retrying";
/// The cluster's token signing keys could not be read yet.
pub const REASON_CLUSTER_KEYS_UNAVAILABLE: &str = "ClusterKeysUnavailable";
/// Gateway pods are being replaced or started.
pub const REASON_ROLLING_OUT: &str = "RollingOut";
/// Gateway pods do not become ready.
pub const REASON_UNAVAILABLE: &str = "GatewayUnavailable";
/// There is no gateway pod that could tell.
pub const REASON_NO_PODS: &str = "NoPods";
/// Gateway pods have not said yet.
pub const REASON_PENDING: &str = "Pending";
/// Nothing left to do for the current spec.
pub const REASON_UP_TO_DATE: &str = "UpToDate";
/// Sidecars run that a new pod would not get.
pub const REASON_OUTDATED: &str = "Outdated";
/// Pods wear the label and have no sidecar.
pub const REASON_NOT_INJECTED: &str = "NotInjected";
/// The cluster does not serve the API of an object that the spec asks for.
pub const REASON_API_NOT_SERVED: &str = "ApiNotServed";
