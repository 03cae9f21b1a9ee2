//! The command line of `bedrock-gateway iam`. What is made of it is not decided here.

use std::path::PathBuf;

use api::{Region, RoleArn};
use clap::ValueEnum;

/// Print the IAM policies that a configuration needs.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
pub struct Args {
    /// Configuration document of a gateway.
    #[arg(long, value_name = "FILE", env = crate::config::CONFIG_VARIABLE)]
    pub config: Option<PathBuf>,
    /// BedrockAccess manifest; `-` reads standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "model")]
    pub access: Option<PathBuf>,
    /// Model or inference profile, instead of a configuration; may be repeated.
    #[arg(long, value_name = "ID")]
    pub model: Vec<String>,
    /// What to print.
    #[arg(long, value_enum, default_value_t = Kind::Permission)]
    pub kind: Kind,
    /// In which form.
    #[arg(long, value_enum, default_value_t = OutputFormat::Json)]
    pub format: OutputFormat,
    /// Region of targets that name none [default: the configuration's, then AWS_REGION].
    #[arg(long)]
    pub region: Option<Region>,
    /// The role: its account, partition and name are taken from here.
    #[arg(long, value_name = "ARN")]
    pub role_arn: Option<RoleArn>,
    /// Account that owns the role [default: the role's].
    #[arg(long, value_name = "ID", value_parser = account_id)]
    pub account: Option<String>,
    /// Name of the role [default: the role ARN's, else BedrockRole].
    #[arg(long, value_name = "NAME")]
    pub role_name: Option<String>,
    /// Also allow listing models and profiles (for /v1/models, `models` and `doctor`).
    #[arg(long)]
    pub with_listing: bool,
    /// Also allow counting tokens.
    #[arg(long)]
    pub with_count_tokens: bool,
    /// Also allow Bedrock API keys (AWS_BEARER_TOKEN_BEDROCK).
    #[arg(long)]
    pub with_bearer: bool,
    /// Bind every statement to its regions by aws:RequestedRegion.
    #[arg(long)]
    pub restrict_region: bool,
    /// Who takes on the role [default: what the BedrockAccess says].
    #[arg(long, value_enum, help_heading = "Trust")]
    pub principal: Option<PrincipalKind>,
    /// Issuer of the cluster's tokens (irsa).
    #[arg(long, value_name = "URL", help_heading = "Trust")]
    pub issuer: Option<String>,
    /// Audience a token must have (irsa).
    #[arg(long, value_name = "TEXT", help_heading = "Trust")]
    pub audience: Option<String>,
    /// ServiceAccount (irsa, pod-identity); may be repeated for irsa.
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = service_account, help_heading = "Trust")]
    pub service_account: Vec<(String, String)>,
    /// Name of the EKS cluster, to write an association (pod-identity).
    #[arg(long, value_name = "NAME", help_heading = "Trust")]
    pub cluster: Option<String>,
    /// ARN of the EKS cluster, to keep other clusters out (pod-identity).
    #[arg(long, value_name = "ARN", help_heading = "Trust")]
    pub cluster_arn: Option<String>,
    /// GitHub repository (github).
    #[arg(long, value_name = "OWNER/NAME", help_heading = "Trust")]
    pub repository: Option<String>,
    /// Git reference whose runs are trusted, such as refs/heads/main (github); may be repeated.
    #[arg(long = "ref", value_name = "REF", help_heading = "Trust")]
    pub reference: Vec<String>,
    /// Deployment environment whose jobs are trusted (github); may be repeated.
    #[arg(long, value_name = "NAME", help_heading = "Trust")]
    pub environment: Vec<String>,
    /// Role, user or account that may take on the role (cross-account); may be repeated.
    #[arg(long, value_name = "ARN", help_heading = "Trust")]
    pub trusted_arn: Vec<String>,
    /// Value the caller has to know (cross-account).
    #[arg(long, value_name = "TEXT", help_heading = "Trust")]
    pub external_id: Option<String>,
}

const EXAMPLES: &str = "Examples:
  bedrock-gateway iam --model eu.amazon.nova-lite-v1:0 --region eu-central-1
  bedrock-gateway iam --access chat.yaml --kind role --issuer https://oidc.example/id/1 --format terraform
  bedrock-gateway iam --config gateway.yaml --with-listing --restrict-region
  bedrock-gateway iam --kind trust --principal github --account 123456789012 --repository octo/site --ref refs/heads/main";

/// Which document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// What the role that signs may do.
    Permission,
    /// Who may take on the role.
    Trust,
    /// Both, as a role.
    Role,
    /// What an identity needs to take on the first of assumeRoles.
    Chain,
}

/// Which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// The policy itself.
    Json,
    /// HCL for the aws provider.
    Terraform,
    /// A template in YAML.
    Cloudformation,
    /// Manifests for the ACK controllers of IAM and EKS.
    Ack,
}

/// Who takes on the role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PrincipalKind {
    /// Kubernetes ServiceAccounts by their tokens.
    Irsa,
    /// A Kubernetes ServiceAccount by EKS Pod Identity.
    PodIdentity,
    /// Workflow runs of GitHub Actions.
    Github,
    /// Roles, users or accounts.
    CrossAccount,
    /// EC2 instances.
    Ec2,
    /// ECS and Fargate tasks.
    Ecs,
    /// Lambda functions.
    Lambda,
}

fn account_id(text: &str) -> Result<String, String> {
    if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(text.to_owned())
    } else {
        Err("an AWS account has 12 digits".to_owned())
    }
}

fn service_account(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
            Ok((namespace.to_owned(), name.to_owned()))
        }
        _ => Err("expected NAMESPACE/NAME".to_owned()),
    }
}
