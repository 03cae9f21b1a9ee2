//! Arguments of `bedrock-gateway iam`.

use std::path::PathBuf;

use api::{Region, RoleArn};
use clap::ValueEnum;

use crate::cli::output::Output;

/// Print the IAM policies that a gateway needs.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub struct Args {
    /// Configuration file of a gateway.
    #[arg(long, value_name = "FILE", env = crate::config::CONFIG_VARIABLE)]
    pub config: Option<PathBuf>,
    /// BedrockAccess manifest; `-` for standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "model")]
    pub access: Option<PathBuf>,
    /// Model ID or inference profile ID, or a pattern such as 'anthropic.claude-*', which includes inference profiles of
    /// these models; instead of a configuration; may be repeated.
    #[arg(long, value_name = "ID")]
    pub model: Vec<String>,
    /// Document to print.
    #[arg(long, value_enum, default_value_t = Kind::Permission)]
    pub kind: Kind,
    /// Language of the document.
    #[arg(long, value_enum, default_value_t = OutputFormat::Json)]
    pub format: OutputFormat,
    /// Output format, as in the other commands, instead of --format [default: json].
    #[arg(
        short,
        long,
        value_enum,
        value_name = "FORMAT",
        conflicts_with = "format"
    )]
    pub output: Option<Output>,
    /// Default region of targets [default: region of the configuration, then AWS_REGION].
    #[arg(long)]
    pub region: Option<Region>,
    /// ARN of the role; sets its account, partition and name.
    #[arg(long, value_name = "ARN")]
    pub role_arn: Option<RoleArn>,
    /// Account ID of the role [default: account in --role-arn].
    #[arg(long, value_name = "ID", value_parser = account_id)]
    pub account: Option<String>,
    /// Name of the role [default: name in --role-arn, then BedrockRole].
    #[arg(long, value_name = "NAME")]
    pub role_name: Option<String>,
    /// Also allow listing models and inference profiles (for /v1/models, `models` and `doctor`).
    #[arg(long)]
    pub with_listing: bool,
    /// Also allow counting tokens.
    #[arg(long)]
    pub with_count_tokens: bool,
    /// Also allow Bedrock API keys (AWS_BEARER_TOKEN_BEDROCK).
    #[arg(long)]
    pub with_bearer: bool,
    /// Restrict each statement to its regions with aws:RequestedRegion.
    #[arg(long)]
    pub restrict_region: bool,
    /// Principal that assumes the role [default: identity of the BedrockAccess].
    #[arg(long, value_enum, help_heading = "Trust policy")]
    pub principal: Option<PrincipalKind>,
    /// Issuer of the cluster's tokens (irsa).
    #[arg(long, value_name = "URL", help_heading = "Trust policy")]
    pub issuer: Option<String>,
    /// Audience of the tokens (irsa) [default: audience of the BedrockAccess, then sts.amazonaws.com].
    #[arg(long, value_name = "TEXT", help_heading = "Trust policy")]
    pub audience: Option<String>,
    /// ServiceAccount (irsa, pod-identity); may be repeated for irsa.
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = service_account, help_heading = "Trust policy")]
    pub service_account: Vec<(String, String)>,
    /// Name of the EKS cluster; also print a pod identity association (pod-identity).
    #[arg(long, value_name = "NAME", help_heading = "Trust policy")]
    pub cluster: Option<String>,
    /// ARN of the EKS cluster; admit only this cluster (pod-identity).
    #[arg(long, value_name = "ARN", help_heading = "Trust policy")]
    pub cluster_arn: Option<String>,
    /// GitHub repository (github).
    #[arg(long, value_name = "OWNER/NAME", help_heading = "Trust policy")]
    pub repository: Option<String>,
    /// Git ref whose workflow runs are trusted, such as refs/heads/main (github); may be repeated.
    #[arg(long = "ref", value_name = "REF", help_heading = "Trust policy")]
    pub reference: Vec<String>,
    /// Deployment environment whose jobs are trusted (github); may be repeated.
    #[arg(long, value_name = "NAME", help_heading = "Trust policy")]
    pub environment: Vec<String>,
    /// ARN of a role, user or account that can assume the role (cross-account); may be repeated.
    #[arg(long, value_name = "ARN", help_heading = "Trust policy")]
    pub trusted_arn: Vec<String>,
    /// External ID that the caller must send (cross-account).
    #[arg(long, value_name = "TEXT", help_heading = "Trust policy")]
    pub external_id: Option<String>,
}

const EXAMPLES: &str = "Examples:
  bedrock-gateway iam --model eu.amazon.nova-lite-v1:0 --region eu-central-1
  bedrock-gateway iam --access chat.yaml --kind role --issuer https://oidc.example/id/1 --format terraform
  bedrock-gateway iam --config gateway.yaml --with-listing --restrict-region
  bedrock-gateway iam --kind trust --principal github --account 123456789012 --repository octo/site --ref refs/heads/main";

/// Documents to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Permission policy of the role that signs requests.
    Permission,
    /// Trust policy of the role.
    Trust,
    /// Role with both policies.
    Role,
    /// Permission policy of the identity that assumes the first role of assumeRoles.
    Chain,
}

/// Output formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// JSON policy.
    Json,
    /// HCL for the AWS provider of Terraform.
    Terraform,
    /// CloudFormation template in YAML.
    Cloudformation,
    /// Manifests for the ACK controllers of IAM and EKS.
    Ack,
}

/// Principals that can assume the role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PrincipalKind {
    /// Kubernetes ServiceAccounts with IAM roles for service accounts (IRSA).
    Irsa,
    /// Kubernetes ServiceAccount with EKS Pod Identity.
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
        Err("an AWS account ID has 12 digits".to_owned())
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
