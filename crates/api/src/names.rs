//! Names that several components share: labels, annotations, ports, paths and environment variables.
//!
//! Names defined by AWS come from the EKS pod identity webhook and the AWS SDK reference guide.

/// API group of the custom resources.
pub const GROUP: &str = "bedrockaccess.dev";
/// Served and stored version of the custom resources, also the version of the configuration document.
pub const VERSION: &str = "v1alpha1";
/// Field manager of each server-side apply, and `reportingController` of each Event.
pub const FIELD_MANAGER: &str = "bedrock-access-operator";

/// Label of a pod that requests a sidecar: the name of a `BedrockAccess`, or `false`.
pub const INJECT_LABEL: &str = "bedrockaccess.dev/inject";
/// Label of every managed object: the name of its `BedrockAccess`.
pub const ACCESS_LABEL: &str = "bedrockaccess.dev/access";
/// Annotation of a pod with a sidecar: hash of the injected parts. The operator uses it to detect outdated sidecars.
pub const SIDECAR_HASH_ANNOTATION: &str = "bedrockaccess.dev/sidecar-hash";
/// Annotation of the gateway pods: hash of the settings that require a restart (role, ServiceAccount, token, region).
pub const RESTART_HASH_ANNOTATION: &str = "bedrockaccess.dev/restart-hash";

/// Recommended labels, <https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/>.
pub const APP_NAME_LABEL: &str = "app.kubernetes.io/name";
/// See [`APP_NAME_LABEL`].
pub const APP_INSTANCE_LABEL: &str = "app.kubernetes.io/instance";
/// See [`APP_NAME_LABEL`].
pub const APP_COMPONENT_LABEL: &str = "app.kubernetes.io/component";
/// See [`APP_NAME_LABEL`].
pub const APP_MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// Value of [`APP_NAME_LABEL`] of the managed objects, and name of the gateway container.
pub const GATEWAY_NAME: &str = "bedrock-gateway";

/// Annotation of a ServiceAccount with the ARN of its IAM role, which the EKS webhook reads.
pub const ROLE_ARN_ANNOTATION: &str = "eks.amazonaws.com/role-arn";
/// Annotation with the audience of the projected token.
pub const AUDIENCE_ANNOTATION: &str = "eks.amazonaws.com/audience";
/// Annotation with the lifetime of the projected token in seconds.
pub const TOKEN_EXPIRATION_ANNOTATION: &str = "eks.amazonaws.com/token-expiration";
/// Annotation that selects the regional STS endpoint.
pub const REGIONAL_STS_ANNOTATION: &str = "eks.amazonaws.com/sts-regional-endpoints";

/// Annotation of a pod: names of containers that the EKS webhook skips, separated by commas.
pub const SKIP_CONTAINERS_ANNOTATION: &str = "eks.amazonaws.com/skip-containers";

/// Name of the projected volume with the web-identity token.
pub const TOKEN_VOLUME: &str = "aws-iam-token";
/// Directory where the token volume is mounted.
pub const TOKEN_DIRECTORY: &str = "/var/run/secrets/eks.amazonaws.com/serviceaccount";
/// File name of the token in its volume.
pub const TOKEN_FILE_NAME: &str = "token";
/// Audience that STS expects in a web-identity token.
pub const STS_AUDIENCE: &str = "sts.amazonaws.com";

/// Port of the gateway's API.
pub const GATEWAY_PORT: u16 = 8000;
/// Port of the gateway's health, readiness and metrics.
pub const GATEWAY_ADMIN_PORT: u16 = 9090;
/// Path of the gateway API that serves credentials to AWS SDKs, in the form of a container credential endpoint.
pub const CLIENT_CREDENTIALS_PATH: &str = "/aws/credentials";
/// Path of the metrics on the admin port of a gateway.
pub const GATEWAY_METRICS_PATH: &str = "/metrics";
/// Port of the operator's metrics.
pub const OPERATOR_METRICS_PORT: u16 = 8080;
/// Port of the operator's health and readiness.
pub const OPERATOR_HEALTH_PORT: u16 = 8081;
/// Port of the operator's console, on loopback.
pub const OPERATOR_CONSOLE_PORT: u16 = 8083;
/// Port of the operator's webhooks.
pub const OPERATOR_WEBHOOK_PORT: u16 = 9443;

/// Prefix of the names below that an installation can change: Lease, webhook configurations, Service and Secret.
pub const INSTALLATION: &str = "bedrock-access";
/// Name of the Lease for leader election among the replicas of the operator.
pub const LEASE: &str = "bedrock-access-operator";

/// Name of the sidecar webhook in its configuration.
pub const SIDECAR_WEBHOOK: &str = "sidecar.bedrockaccess.dev";
/// Name of the `MutatingWebhookConfiguration` of the sidecar webhook.
pub const WEBHOOK_CONFIGURATION: &str = "bedrock-access-sidecar";
/// Name of the Service of the webhooks.
pub const WEBHOOK_SERVICE: &str = "bedrock-access-webhook";
/// Name of the Secret with the certificate of the webhooks.
pub const WEBHOOK_SECRET: &str = "bedrock-access-webhook";
/// Name of the webhook that validates `BedrockAccess` objects, in its configuration.
pub const VALIDATION_WEBHOOK: &str = "validate.bedrockaccess.dev";
/// Name of the same webhook for authors without permission to create the objects of a gateway; it fails closed.
pub const AUTHORIZATION_WEBHOOK: &str = "authorize.bedrockaccess.dev";
/// Name of their `ValidatingWebhookConfiguration`.
pub const VALIDATION_CONFIGURATION: &str = "bedrock-access-validation";
/// Path of the webhook that validates `BedrockAccess` objects.
pub const VALIDATION_WEBHOOK_PATH: &str = "/validate";
/// Directory of the Unix socket of a sidecar, which the other containers of the pod mount.
pub const SOCKET_DIRECTORY: &str = "/var/run/bedrock-gateway";
/// File name of the socket in [`SOCKET_DIRECTORY`].
pub const SOCKET_FILE: &str = "gateway.sock";
/// Environment variable of the other containers with the path of the socket.
pub const SOCKET_VARIABLE: &str = "BEDROCK_GATEWAY_SOCKET";
/// Path of the webhook that injects the sidecar.
pub const SIDECAR_WEBHOOK_PATH: &str = "/inject";

/// Directory where the ConfigMap with the configuration of the gateway is mounted.
pub const CONFIG_DIRECTORY: &str = "/etc/bedrock-gateway/config";
/// Key of the configuration document of gateway pods in the ConfigMap.
pub const CONFIG_KEY: &str = "gateway.yaml";
/// Key of the configuration document of sidecars in the same ConfigMap.
pub const SIDECAR_CONFIG_KEY: &str = "sidecar.yaml";
/// Directory where the Secret with API keys is mounted: one file per client, whose name is the name of the client.
pub const API_KEYS_DIRECTORY: &str = "/etc/bedrock-gateway/api-keys";
/// Directory where the certificate of the gateway pods is mounted, as `tls.crt` and `tls.key`.
pub const TLS_DIRECTORY: &str = "/etc/bedrock-gateway/tls";
/// Name of the Secret, in each namespace, with the certificates that the operator creates for gateways there.
pub const TLS_SECRET: &str = "bedrock-gateway-tls";
/// Directory where the Secret of the rate-limit store is mounted.
pub const LIMIT_STORE_DIRECTORY: &str = "/etc/bedrock-gateway/limit-store";
/// Directory where the Secret of `identity.secret` is mounted if it contains shared config files.
pub const IDENTITY_DIRECTORY: &str = "/etc/bedrock-gateway/identity";
