//! The trust policy of a role: the principals that can assume it.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_create_for-idp_oidc.html>
//! <https://docs.aws.amazon.com/eks/latest/userguide/pod-id-role.html>

use super::document::{Document, Statement};
use crate::{
    arn::{Arn, RoleArn},
    names,
    region::Partition,
};

const GITHUB_ISSUER: &str = "token.actions.githubusercontent.com";
const ASSUME: &str = "sts:AssumeRole";

/// Principals that can assume a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Tokens of an OpenID Connect provider, such as ServiceAccount tokens of a cluster (IRSA).
    WebIdentity {
        /// ARN of the provider in IAM.
        provider_arn: String,
        /// Issuer without scheme: the prefix of condition keys.
        issuer: String,
        /// Required `aud` of a token.
        audience: String,
        /// Allowed values of `sub` of a token. `*` is a wildcard.
        subjects: Vec<String>,
    },
    /// EKS Pod Identity, restricted to ServiceAccounts of a namespace by the session tags that EKS sets.
    PodIdentity {
        /// Namespace of the ServiceAccounts.
        namespace: String,
        /// Names of the ServiceAccounts, at least one.
        service_accounts: Vec<String>,
        /// ARN of the cluster. If set, other clusters of the account are excluded.
        cluster_arn: Option<String>,
    },
    /// Roles, users or accounts, for role chains and cross-account access.
    CrossAccount {
        /// ARNs of roles, users or accounts (`arn:aws:iam::123456789012:root`).
        principals: Vec<String>,
        /// External id that the caller must send, which prevents the confused deputy problem.
        external_id: Option<String>,
    },
    /// An AWS service that provides the role to its workloads.
    Service {
        /// The service.
        service: Service,
        /// Partition, which determines the name of the service principal.
        partition: Partition,
        /// Account whose tasks can use the role. For ECS only.
        account: Option<String>,
    },
}

/// AWS services that run gateways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Instances (instance profile).
    Ec2,
    /// ECS and Fargate tasks (task role).
    EcsTasks,
    /// Lambda functions (execution role).
    Lambda,
}

/// Workflow runs of a GitHub repository that can assume a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GitHubFilter {
    /// Runs on a Git reference, such as `refs/heads/main`.
    Ref(String),
    /// Jobs of a deployment environment, such as `production`.
    Environment(String),
    /// Runs for pull requests.
    PullRequest,
    /// All runs of the repository.
    Any,
}

/// No trust policy can be created.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// A required value is empty.
    #[error("{field}: must not be empty")]
    Missing {
        /// Name of the value.
        field: &'static str,
    },
    /// A value does not have the form that AWS requires.
    #[error("{field}: {value:?} is not {expected}")]
    Malformed {
        /// Name of the value.
        field: &'static str,
        /// The value.
        value: String,
        /// The expected form.
        expected: &'static str,
    },
    /// A subject matches tokens of any owner.
    #[error("subject {0:?} has a wildcard in the owner: it would trust tokens of any owner")]
    TooWide(String),
    /// The service principal is unknown for the partition.
    #[error(
        "the service principal of EC2 in partition {0} is unknown: \
         look it up in the IAM documentation of the partition and write the Principal by hand"
    )]
    UnknownService(&'static str),
}

impl Trust {
    /// IRSA: projected tokens of ServiceAccounts (namespace and name) of a cluster.
    ///
    /// `issuer` is the token issuer of the cluster, with or without `https://`. The identity provider must exist in the
    /// account of the role.
    pub fn irsa(role: &RoleArn, issuer: &str, audience: &str, accounts: &[(&str, &str)]) -> Self {
        let subjects = accounts
            .iter()
            .map(|(namespace, name)| format!("system:serviceaccount:{namespace}:{name}"))
            .collect();
        Self::web_identity(
            role.arn().partition(),
            role.arn().account(),
            issuer,
            audience,
            subjects,
        )
    }

    /// GitHub Actions: workflow runs of a repository `OWNER/NAME`.
    pub fn github(
        partition: Partition,
        account: &str,
        repository: &str,
        filter: &[GitHubFilter],
    ) -> Self {
        let subjects = filter
            .iter()
            .map(|filter| match filter {
                GitHubFilter::Ref(name) => format!("repo:{repository}:ref:{name}"),
                GitHubFilter::Environment(name) => format!("repo:{repository}:environment:{name}"),
                GitHubFilter::PullRequest => format!("repo:{repository}:pull_request"),
                GitHubFilter::Any => format!("repo:{repository}:*"),
            })
            .collect();
        Self::web_identity(
            partition.id(),
            account,
            GITHUB_ISSUER,
            names::STS_AUDIENCE,
            subjects,
        )
    }

    /// Tokens of an OpenID Connect provider.
    pub fn web_identity(
        partition: &str,
        account: &str,
        issuer: &str,
        audience: &str,
        subjects: Vec<String>,
    ) -> Self {
        let issuer = issuer.trim_start_matches("https://").trim_end_matches('/');
        Self::WebIdentity {
            provider_arn: format!("arn:{partition}:iam::{account}:oidc-provider/{issuer}"),
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            subjects,
        }
    }
}

/// The trust policy of a role.
///
/// # Errors
/// A value is empty or malformed, or a subject matches any owner.
pub fn trust_document(trust: &Trust) -> Result<Document, TrustError> {
    let statement = match trust {
        Trust::WebIdentity {
            provider_arn,
            issuer,
            audience,
            subjects,
        } => web_identity(provider_arn, issuer, audience, subjects)?,
        Trust::PodIdentity {
            namespace,
            service_accounts,
            cluster_arn,
        } => {
            let tag = |name: &str| format!("aws:RequestTag/{name}");
            present("namespace", namespace)?;
            present(
                "service account",
                service_accounts.first().map_or("", String::as_str),
            )?;
            let statement = Statement::allow("EksPodIdentity", &[ASSUME, "sts:TagSession"], [])
                .principal("Service", ["pods.eks.amazonaws.com".to_owned()])
                .when_text(&tag("kubernetes-namespace"), [namespace.clone()])
                .when_text(
                    &tag("kubernetes-service-account"),
                    service_accounts.iter().cloned(),
                );
            match cluster_arn {
                Some(arn) => {
                    well_formed("cluster", arn)?;
                    statement.when_text(&tag("eks-cluster-arn"), [arn.clone()])
                }
                None => statement,
            }
        }
        Trust::CrossAccount {
            principals,
            external_id,
        } => {
            if principals.is_empty() {
                return Err(TrustError::Missing {
                    field: "trusted principals",
                });
            }
            for principal in principals {
                well_formed("trusted principal", principal)?;
            }
            Statement::allow("AssumeFromPrincipals", &[ASSUME], [])
                .principal("AWS", principals.iter().cloned())
                .when(
                    "StringEquals",
                    "sts:ExternalId",
                    external_id.iter().cloned(),
                )
        }
        Trust::Service {
            service,
            partition,
            account,
        } => {
            let statement = Statement::allow(service.sid(), &[ASSUME], [])
                .principal("Service", [service.principal(*partition)?]);
            match service {
                Service::EcsTasks => {
                    statement.when("StringEquals", "aws:SourceAccount", account.iter().cloned())
                }
                Service::Ec2 | Service::Lambda => statement,
            }
        }
    };
    Ok(Document::new(vec![statement]))
}

impl Service {
    fn sid(self) -> &'static str {
        match self {
            Self::Ec2 => "Ec2Instances",
            Self::EcsTasks => "EcsTasks",
            Self::Lambda => "LambdaFunctions",
        }
    }

    /// The principal of EC2 has the DNS suffix of the partition. The other principals are the same in all partitions.
    fn principal(self, partition: Partition) -> Result<String, TrustError> {
        match (self, partition) {
            (Self::EcsTasks, _) => Ok("ecs-tasks.amazonaws.com".to_owned()),
            (Self::Lambda, _) => Ok("lambda.amazonaws.com".to_owned()),
            (
                Self::Ec2,
                Partition::Aws
                | Partition::GovCloud
                | Partition::China
                | Partition::Iso
                | Partition::IsoB,
            ) => Ok(format!("ec2.{}", partition.dns_suffix())),
            (Self::Ec2, other) => Err(TrustError::UnknownService(other.id())),
        }
    }
}

fn web_identity(
    provider_arn: &str,
    issuer: &str,
    audience: &str,
    subjects: &[String],
) -> Result<Statement, TrustError> {
    present("issuer", issuer)?;
    present("audience", audience)?;
    let provider = well_formed("OIDC provider", provider_arn)?;
    account(provider.account())?;
    if subjects.is_empty() {
        return Err(TrustError::Missing { field: "subjects" });
    }
    for subject in subjects {
        check_subject(subject)?;
    }
    Ok(
        Statement::allow("WebIdentity", &["sts:AssumeRoleWithWebIdentity"], [])
            .principal("Federated", [provider_arn.to_owned()])
            .when(
                "StringEquals",
                &format!("{issuer}:aud"),
                [audience.to_owned()],
            )
            .when_text(&format!("{issuer}:sub"), subjects.iter().cloned()),
    )
}

/// Rejects a wildcard in the owner of a token: the GitHub owner or the namespace of the ServiceAccount.
fn check_subject(subject: &str) -> Result<(), TrustError> {
    let owner = if let Some(rest) = subject.strip_prefix("repo:") {
        let repository = rest.split(':').next().unwrap_or_default();
        match repository.split_once('/') {
            Some((owner, name)) if !owner.is_empty() && !name.is_empty() => owner,
            _ => {
                return Err(TrustError::Malformed {
                    field: "repository",
                    value: repository.to_owned(),
                    expected: "OWNER/NAME",
                });
            }
        }
    } else if let Some(rest) = subject.strip_prefix("system:serviceaccount:") {
        match rest.split_once(':') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => namespace,
            _ => {
                return Err(TrustError::Malformed {
                    field: "subject",
                    value: subject.to_owned(),
                    expected: "system:serviceaccount:NAMESPACE:NAME",
                });
            }
        }
    } else {
        present("subject", subject)?;
        subject
    };
    if owner.contains(['*', '?']) {
        return Err(TrustError::TooWide(subject.to_owned()));
    }
    Ok(())
}

fn present(field: &'static str, text: &str) -> Result<(), TrustError> {
    if text.trim().is_empty() {
        return Err(TrustError::Missing { field });
    }
    Ok(())
}

fn well_formed(field: &'static str, text: &str) -> Result<Arn, TrustError> {
    text.parse().map_err(|_| TrustError::Malformed {
        field,
        value: text.to_owned(),
        expected: "an ARN such as arn:PARTITION:iam::123456789012:role/NAME",
    })
}

fn account(text: &str) -> Result<(), TrustError> {
    if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(());
    }
    Err(TrustError::Malformed {
        field: "account",
        value: text.to_owned(),
        expected: "an AWS account id of 12 digits",
    })
}
