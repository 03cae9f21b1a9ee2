//! Every name that two parts must agree on: labels, annotations, ports, paths, environment variables.
//!
//! Names of Amazon's come from the EKS pod identity webhook and the AWS SDK reference guide.

/// API group of the custom resources.
pub const GROUP: &str = "bedrockaccess.dev";
/// Served and stored version of the custom resources.
pub const VERSION: &str = "v1alpha1";
/// Field manager of every server-side apply, and `reportingController` of every Event.
pub const FIELD_MANAGER: &str = "bedrock-access-operator";

/// Label on a pod that asks for the gateway as a sidecar: the name of a `BedrockAccess`, or `false`.
pub const INJECT_LABEL: &str = "bedrockaccess.dev/inject";
/// Label on every child: the name of the `BedrockAccess` it belongs to.
pub const ACCESS_LABEL: &str = "bedrockaccess.dev/access";
/// Annotation on a pod with a sidecar: hash of what was injected, by which the operator counts the outdated.
pub const SIDECAR_HASH_ANNOTATION: &str = "bedrockaccess.dev/sidecar-hash";
/// Annotation on the gateway's pods: hash of what makes a restart necessary (role, account, token).
pub const RESTART_HASH_ANNOTATION: &str = "bedrockaccess.dev/restart-hash";

/// Recommended labels, <https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/>.
pub const APP_NAME_LABEL: &str = "app.kubernetes.io/name";
/// See [`APP_NAME_LABEL`].
pub const APP_INSTANCE_LABEL: &str = "app.kubernetes.io/instance";
/// See [`APP_NAME_LABEL`].
pub const APP_COMPONENT_LABEL: &str = "app.kubernetes.io/component";
/// See [`APP_NAME_LABEL`].
pub const APP_MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// Value of [`APP_NAME_LABEL`] on the gateway's objects, and name of its container.
pub const GATEWAY_NAME: &str = "bedrock-gateway";

/// Annotation by which EKS knows the role of a ServiceAccount.
pub const ROLE_ARN_ANNOTATION: &str = "eks.amazonaws.com/role-arn";
/// Annotation with the audience of the projected token.
pub const AUDIENCE_ANNOTATION: &str = "eks.amazonaws.com/audience";
/// Annotation with the lifetime of the projected token in seconds.
pub const TOKEN_EXPIRATION_ANNOTATION: &str = "eks.amazonaws.com/token-expiration";
/// Annotation that asks for the regional STS endpoint.
pub const REGIONAL_STS_ANNOTATION: &str = "eks.amazonaws.com/sts-regional-endpoints";

/// Annotation on a pod: the containers that the EKS webhook leaves alone, separated by commas.
pub const SKIP_CONTAINERS_ANNOTATION: &str = "eks.amazonaws.com/skip-containers";

/// Name of the projected volume with the web-identity token.
pub const TOKEN_VOLUME: &str = "aws-iam-token";
/// Folder where the token volume is mounted.
pub const TOKEN_DIRECTORY: &str = "/var/run/secrets/eks.amazonaws.com/serviceaccount";
/// File name of the token in its volume.
pub const TOKEN_FILE_NAME: &str = "token";
/// Audience STS expects in a web-identity token.
pub const STS_AUDIENCE: &str = "sts.amazonaws.com";

/// Port of the gateway's API.
pub const GATEWAY_PORT: u16 = 8000;
/// Port of the gateway's health, readiness and metrics.
pub const GATEWAY_ADMIN_PORT: u16 = 9090;
/// Where a gateway's API serves what AWS SDKs sign with, in the form of a container credential endpoint.
pub const CLIENT_CREDENTIALS_PATH: &str = "/aws/credentials";
/// Where a gateway serves its metrics, on its admin port.
pub const GATEWAY_METRICS_PATH: &str = "/metrics";
/// Port of the operator's metrics.
pub const OPERATOR_METRICS_PORT: u16 = 8080;
/// Port of the operator's health and readiness.
pub const OPERATOR_HEALTH_PORT: u16 = 8081;
/// Port of the operator's webhooks.
pub const OPERATOR_WEBHOOK_PORT: u16 = 9443;

/// Name of the Lease by which replicas of the operator agree who writes.
pub const LEASE: &str = "bedrock-access-operator";

/// Name of the webhook in its configuration.
pub const SIDECAR_WEBHOOK: &str = "sidecar.bedrockaccess.dev";
/// Name of the `MutatingWebhookConfiguration`.
pub const WEBHOOK_CONFIGURATION: &str = "bedrock-access-sidecar";
/// Name of the Service in front of the webhook.
pub const WEBHOOK_SERVICE: &str = "bedrock-access-webhook";
/// Name of the Secret with the webhook's certificate.
pub const WEBHOOK_SECRET: &str = "bedrock-access-webhook";
/// Name of the webhook that reviews accesses, in its configuration.
pub const VALIDATION_WEBHOOK: &str = "validate.bedrockaccess.dev";
/// Name of its `ValidatingWebhookConfiguration`.
pub const VALIDATION_CONFIGURATION: &str = "bedrock-access-validation";
/// Path of the webhook that reviews accesses.
pub const VALIDATION_WEBHOOK_PATH: &str = "/validate";
/// Folder that a sidecar shares with the pod's other containers, for its socket.
pub const SOCKET_DIRECTORY: &str = "/var/run/bedrock-gateway";
/// The socket in [`SOCKET_DIRECTORY`].
pub const SOCKET_FILE: &str = "gateway.sock";
/// The variable that tells the other containers the socket's path.
pub const SOCKET_VARIABLE: &str = "BEDROCK_GATEWAY_SOCKET";
/// Path of the webhook that puts the sidecar into pods.
pub const SIDECAR_WEBHOOK_PATH: &str = "/inject";

/// Folder where the ConfigMap with the gateway's configuration is mounted.
pub const CONFIG_DIRECTORY: &str = "/etc/bedrock-gateway/config";
/// Key of the configuration document in its ConfigMap.
pub const CONFIG_KEY: &str = "gateway.yaml";
/// Key of the sidecars' configuration document in the same ConfigMap.
pub const SIDECAR_CONFIG_KEY: &str = "sidecar.yaml";
/// Folder where the Secret with client API keys is mounted: one file a client, named as the client.
pub const API_KEYS_DIRECTORY: &str = "/etc/bedrock-gateway/api-keys";
/// Folder where the Secret of the limits' store is mounted.
pub const LIMIT_STORE_DIRECTORY: &str = "/etc/bedrock-gateway/limit-store";
/// Folder where the Secret of `identity.secret` is mounted when it holds shared config files.
pub const IDENTITY_DIRECTORY: &str = "/etc/bedrock-gateway/identity";
