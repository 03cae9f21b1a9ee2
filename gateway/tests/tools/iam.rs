//! Checks the policies that `bedrock-gateway iam` prints with the policy evaluator of the double: they allow the
//! intended calls and deny all others.

mod models;
mod output;
mod permissions;
mod trust;

use std::collections::BTreeMap;

use awsdouble::policy::{Context, Policy, Principal, Request, evaluate};
use clap::Parser;

const HAIKU: &str = "anthropic.claude-3-haiku-20240307-v1:0";
const SONNET: &str = "anthropic.claude-sonnet-4-5-20250929-v1:0";
const ACCOUNT: &str = "123456789012";
const ROLE: &str = "arn:aws:iam::123456789012:role/BedrockRole";

#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    args: gateway::cli::iam::Args,
}

/// Runs the command with arguments separated by white space. Returns its output and its notes.
fn run(arguments: &str) -> Result<(String, String), String> {
    let line = ["iam"].into_iter().chain(arguments.split_whitespace());
    let line = CommandLine::try_parse_from(line).map_err(|error| error.to_string())?;
    let (mut out, mut notes) = (Vec::new(), Vec::new());
    let environment: BTreeMap<String, String> = BTreeMap::new();
    gateway::cli::iam::run(&line.args, &environment, &mut out, &mut notes)
        .map_err(|error| error.to_string())?;
    Ok((
        String::from_utf8(out).unwrap(),
        String::from_utf8(notes).unwrap(),
    ))
}

/// Runs the command with a file as the value of `option`.
fn run_with_file(option: &str, content: &str, arguments: &str) -> Result<(String, String), String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), content).unwrap();
    run(&format!("{option} {} {arguments}", file.path().display()))
}

/// The policy that the command prints.
#[track_caller]
fn policy(arguments: &str) -> Evaluator {
    Evaluator::of(&run(arguments).unwrap().0)
}

/// A policy to evaluate requests against.
struct Evaluator(Policy);

impl Evaluator {
    #[track_caller]
    fn of(text: &str) -> Self {
        Self(Policy::from_json(text).unwrap_or_else(|error| panic!("{error}: {text}")))
    }

    fn allows(&self, action: &str, resource: &str, context: &Context) -> bool {
        let request = Request {
            principal: None,
            action,
            resource,
            context,
        };
        evaluate(std::slice::from_ref(&self.0), request).is_allowed()
    }

    /// Whether the policy allows a call by model ID, as IAM evaluates it.
    fn model(&self, region: &str, model: &str) -> bool {
        self.model_with(&Context::new(), region, model)
    }

    fn model_with(&self, context: &Context, region: &str, model: &str) -> bool {
        let context = context.clone().with("aws:RequestedRegion", region);
        let arn = format!("arn:aws:bedrock:{region}::foundation-model/{model}");
        let both = [
            "bedrock:InvokeModel",
            "bedrock:InvokeModelWithResponseStream",
        ]
        .map(|action| self.allows(action, &arn, &context));
        assert_eq!(both[0], both[1], "the same for both actions");
        both[0]
    }

    /// Whether the policy allows a call by inference profile. IAM evaluates the profile in the region of the call, and
    /// the model in the region where it runs.
    fn profile(&self, source: &str, profile: &str, runs_in: &str) -> bool {
        let model = profile.split_once('.').unwrap().1;
        let arn = format!("arn:aws:bedrock:{source}:{ACCOUNT}:inference-profile/{profile}");
        let at_source = Context::new().with("aws:RequestedRegion", source);
        let through = |region: &str| {
            Context::new()
                .with("aws:RequestedRegion", region)
                .with("bedrock:InferenceProfileArn", arn.as_str())
        };
        let running = if runs_in == "unspecified" {
            let model = format!("arn:aws:bedrock:::foundation-model/{model}");
            self.allows("bedrock:InvokeModel", &model, &through("unspecified"))
        } else {
            let model = format!("arn:aws:bedrock:{runs_in}::foundation-model/{model}");
            self.allows("bedrock:InvokeModel", &model, &through(runs_in))
        };
        self.allows("bedrock:InvokeModel", &arn, &at_source) && running
    }
}

/// Whether a trust policy of [`ROLE`] allows the action to the principal.
fn trusts(policy: &Evaluator, principal: &Principal, action: &str, context: &Context) -> bool {
    let request = Request {
        principal: Some(principal),
        action,
        resource: ROLE,
        context,
    };
    evaluate(std::slice::from_ref(&policy.0), request).is_allowed()
}

/// A session of a role in [`ACCOUNT`].
fn role_session(name: &str) -> Principal {
    Principal::Aws {
        arn: format!("arn:aws:sts::{ACCOUNT}:assumed-role/{name}/s"),
        role_arn: Some(format!("arn:aws:iam::{ACCOUNT}:role/{name}")),
        account: ACCOUNT.to_owned(),
    }
}
