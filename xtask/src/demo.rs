//! `cargo xtask demo`: installation and use on a real cluster, up to a streamed response.
//!
//! It runs what a user would run: `helm install`, `kubectl apply`, an application in a Deployment of its own. Only AWS
//! is simulated. A failed step is reported with the state of the cluster.

mod account;
mod cluster;
mod console;
mod logs;
mod plugin;
mod random_user;
mod release;
mod sidecar;
mod trust;

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use serde_json::Value;

use self::cluster::Cluster;
use crate::{
    build::{self, Profile},
    checks::{CHART, NAMESPACE},
    console::{Console, Step},
    debian,
    image::{self, REGISTRY, VERSION, Written},
    interrupt, process, repository,
};

/// The namespaces of the demo, and the BedrockAccess in the second.
const AWS: &str = "aws";
const TEAM: &str = "team-a";
const ACCESS: &str = "chat";
const MODEL: &str = "fast";
/// Path of the app's token.
const TOKEN: &str = "/var/run/secrets/bedrockaccess.dev/token";
/// Longest time in seconds until the gateway is ready.
const READY_SECONDS: u32 = 120;

/// Longest time until a cluster is stopped.
const END: Duration = Duration::from_mins(1);

/// Cluster to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ClusterKind {
    /// A new cluster on this machine, stopped at the end. Needs Linux and root.
    Local,
    /// The cluster of the current kube context; the demo uninstalls everything at the end.
    Current,
    /// A kind cluster, which is kept.
    Kind,
}

/// Runs the demo; without `once`, until Ctrl-C.
pub(crate) fn demo(
    console: &Console,
    once: bool,
    with_sidecars: bool,
    kind: ClusterKind,
    registry: Option<&str>,
) -> Result<()> {
    interrupt::note_signals()?;
    console.heading("Programs and images");
    debian::ensure(console)?;
    build::programs(console, Profile::Dev)?;
    let mut images = image::write_all(console, Profile::Dev, &[release::NEXT])?;
    images.push(image::write_demo_app(console)?);
    if with_sidecars {
        images.push(image::write_python(console)?);
    }
    console.heading("Cluster");
    // A registry already has the images.
    let load: &[Written] = if registry.is_some() { &[] } else { &images };
    let cluster = console.step(&format!("start ({kind:?})").to_lowercase(), |step| {
        Cluster::start(step, kind, load)
    })?;
    let story = Story {
        console,
        cluster: &cluster,
        registry: registry.unwrap_or(REGISTRY),
        with_sidecars,
    };
    let result = story.run(once);
    if let Err(error) = &result
        && !interrupt::interrupted()
    {
        story.diagnose(&format!("{error:#}"));
    }
    let ended = console
        .step("clean up", |step| story.clean_up(step))
        .and_then(|()| cluster.end(console));
    if interrupt::interrupted() && !once {
        return ended;
    }
    result.and(ended)
}

struct Story<'a> {
    console: &'a Console,
    cluster: &'a Cluster,
    registry: &'a str,
    with_sidecars: bool,
}

impl Story<'_> {
    fn run(&self, once: bool) -> Result<()> {
        let console = self.console;
        console.heading("Installation");
        console.step(
            "install a simulated AWS that trusts this cluster's signing keys",
            |step| self.install_aws(step),
        )?;
        console.step("helm install bedrock-access", |step| {
            self.install_operator(step)
        })?;
        console.heading("BedrockAccess");
        console.step("apply a BedrockAccess and an app", |step| self.apply(step))?;
        console.step("wait until the BedrockAccess is Ready", |step| {
            self.wait(step)
        })?;
        let table = console.step("kubectl get bedrockaccess", |step| {
            self.kubectl(step, &["--namespace", TEAM, "get", "bedrockaccess", ACCESS])
        })?;
        console.note(&table);
        if self.with_sidecars {
            self.start_sidecars()?;
            // Before the other steps: its stream is long, but ends.
            self.evict_a_sidecar()?;
        }
        console.heading("Chat");
        let endpoint = console.step("read the endpoint from the status", |step| {
            self.kubectl(
                step,
                &[
                    "--namespace",
                    TEAM,
                    "get",
                    "bedrockaccess",
                    ACCESS,
                    "--output",
                    "jsonpath={.status.endpoint}",
                ],
            )
        })?;
        ensure!(
            endpoint.starts_with(&format!("http://{ACCESS}-gateway.{TEAM}.svc")),
            "status.endpoint is {endpoint:?}"
        );
        for stream in [false, true] {
            self.chat(&format!("{endpoint}/v1"), stream)?;
        }
        console.step("check the source of the AWS credentials", |step| {
            self.check_credentials(step)
        })?;
        console.step(
            &format!("run the gateway's image as user {}", random_user::USER),
            |step| self.chat_as_random_user(step),
        )?;
        console.step("helm test", |step| self.test_release(step))?;
        if once {
            self.run_doctor()?;
            self.try_plugin()?;
            self.try_console()?;
            self.break_and_fix()?;
        }
        if self.with_sidecars {
            self.check_sidecars()?;
        }
        if once {
            console.step("read the logs", |step| self.read_logs(step))?;
            // With the sidecars only, because it takes minutes.
            if self.with_sidecars {
                self.change_release(&format!("{endpoint}/v1"))?;
            }
            return Ok(());
        }
        self.print_next_steps(&endpoint);
        self.cluster.wait()
    }

    fn install_aws(&self, step: &Step) -> Result<()> {
        let issuer = self.kubectl(step, &["get", "--raw", "/.well-known/openid-configuration"])?;
        let issuer: Value = serde_json::from_str(&issuer)
            .context("the cluster's OpenID configuration is not JSON")?;
        let issuer = issuer
            .get("issuer")
            .and_then(Value::as_str)
            .context("the cluster's OpenID configuration has no issuer")?;
        let keys = self.kubectl(step, &["get", "--raw", "/openid/v1/jwks"])?;
        let keys: Value =
            serde_json::from_str(&keys).context("the cluster's signing keys are not JSON")?;
        self.apply_text(step, &account::manifest(issuer, &keys))?;
        self.apply_file(step, "aws.yaml", &[("AWSDOUBLE_IMAGE", "awsdouble")])?;
        self.kubectl(
            step,
            &[
                "--namespace",
                AWS,
                "rollout",
                "status",
                "deployment/awsdouble",
                "--timeout=90s",
            ],
        )?;
        Ok(())
    }

    fn install_operator(&self, step: &Step) -> Result<()> {
        let mut helm = self.cluster.tool("helm")?;
        helm.args([
            "install",
            "bedrock-access",
            CHART,
            "--namespace",
            NAMESPACE,
            "--create-namespace",
        ]);
        helm.args(["--wait", "--timeout", "90s"]);
        helm.args([Self::test_values(), Self::user_values()]);
        if self.registry != REGISTRY {
            for (name, image) in [
                ("operator", "bedrock-access-operator"),
                ("gateway", "bedrock-gateway"),
            ] {
                let repository = format!("image.{name}.repository={}/{image}", self.registry);
                helm.arg("--set").arg(repository);
            }
        }
        process::quiet(step, &mut helm)
    }

    fn apply(&self, step: &Step) -> Result<()> {
        self.apply_text(step, &account::access())?;
        self.apply_file(
            step,
            "app.yaml",
            &[("APP_IMAGE", "bedrock-access-demo-app")],
        )
    }

    fn wait(&self, step: &Step) -> Result<()> {
        let timeout = format!("--timeout={READY_SECONDS}s");
        let object = format!("bedrockaccess/{ACCESS}");
        self.kubectl(
            step,
            &[
                "--namespace",
                TEAM,
                "wait",
                "--for=condition=Ready",
                &object,
                &timeout,
            ],
        )?;
        self.kubectl(
            step,
            &[
                "--namespace",
                TEAM,
                "rollout",
                "status",
                "deployment/app",
                &timeout,
            ],
        )?;
        Ok(())
    }

    /// Sends a unique question. The simulated model repeats it, so the response proves that the question reached the
    /// model.
    fn chat(&self, endpoint: &str, stream: bool) -> Result<()> {
        let how = if stream { "streamed" } else { "plain" };
        let question = format!(
            "This is question {} of the demo, {how}.",
            std::process::id()
        );
        let mut arguments = vec!["--namespace", TEAM, "exec", "deployment/app", "--"];
        arguments.extend([
            "bedrock-gateway",
            "chat",
            "--base-url",
            endpoint,
            "--token-file",
            TOKEN,
        ]);
        arguments.extend(["--model", MODEL, "--wait", "30"]);
        if stream {
            arguments.push("--stream");
        }
        arguments.push(&question);
        let answer = self
            .console
            .step(&format!("chat from the app's pod, {how}"), |step| {
                self.kubectl(step, &arguments)
            })?;
        self.console
            .note(&format!("> {question}\n< {}", answer.trim_end()));
        ensure!(
            answer.trim_end() == question,
            "the simulated model repeats the question, but the response is {answer:?}"
        );
        Ok(())
    }

    /// Checks the calls that the simulated AWS recorded: the subject of the exchanged token, and signed requests.
    fn check_credentials(&self, step: &Step) -> Result<()> {
        let path = format!("/api/v1/namespaces/{AWS}/services/awsdouble:http/proxy/_double/calls");
        let calls = self.kubectl(step, &["get", "--raw", &path])?;
        let calls: Vec<Value> =
            serde_json::from_str(&calls).context("the record of the simulated AWS is not JSON")?;
        let done = |operation: &str| {
            calls.iter().any(|call| {
                call.get("operation").and_then(Value::as_str) == Some(operation)
                    && call.get("status").and_then(Value::as_u64) == Some(200)
            })
        };
        for operation in ["AssumeRoleWithWebIdentity", "Converse", "ConverseStream"] {
            ensure!(
                done(operation),
                "the simulated AWS saw no successful {operation}"
            );
        }
        let subject = format!("system:serviceaccount:{TEAM}:{ACCESS}-gateway");
        let exchange = calls
            .iter()
            .find(|call| {
                call.get("operation").and_then(Value::as_str) == Some("AssumeRoleWithWebIdentity")
            })
            .map(ToString::to_string)
            .unwrap_or_default();
        ensure!(
            exchange.contains(&subject),
            "the exchanged token does not belong to {subject}: {exchange}"
        );
        Ok(())
    }

    fn print_next_steps(&self, endpoint: &str) {
        let console = self.console;
        console.heading("The demo is running. Try in another terminal:");
        if let Some(kubeconfig) = self.cluster.kubeconfig() {
            println!("  export KUBECONFIG={kubeconfig}");
        }
        let tool = "target/debug/localcluster";
        println!("  {tool} kubectl -n {TEAM} describe bedrockaccess {ACCESS}");
        println!("  {tool} kubectl -n {TEAM} get bedrockaccess {ACCESS} -o yaml");
        println!("  {tool} kubectl -n {TEAM} exec deploy/app -- bedrock-gateway chat --stream \\");
        println!("    --base-url {endpoint}/v1 --token-file {TOKEN} --model {MODEL} 'Hello'");
        println!("  {tool} kubectl -n {TEAM} logs deploy/{ACCESS}-gateway");
        println!("  {tool} kubectl -n {TEAM} patch bedrockaccess {ACCESS} --type merge \\");
        println!(
            "    -p '{{\"spec\":{{\"identity\":{{\"irsa\":{{\"roleArn\":\"{}\"}}}}}}}}'",
            account::STRANGER
        );
        println!("\n  Press Ctrl-C to stop it.");
    }

    /// Uninstalls everything from a cluster that is not stopped with the demo.
    fn clean_up(&self, step: &Step) -> Result<()> {
        if self.cluster.is_local() {
            return Ok(());
        }
        self.kubectl(
            step,
            &[
                "delete",
                "namespace",
                TEAM,
                AWS,
                "--ignore-not-found",
                "--timeout=90s",
            ],
        )?;
        let mut helm = self.cluster.tool("helm")?;
        process::quiet(
            step,
            helm.args([
                "uninstall",
                "bedrock-access",
                "--namespace",
                NAMESPACE,
                "--ignore-not-found",
                "--wait",
            ]),
        )?;
        self.kubectl(
            step,
            &["delete", "--filename", "crds", "--ignore-not-found"],
        )?;
        self.kubectl(
            step,
            &[
                "delete",
                "namespace",
                NAMESPACE,
                "--ignore-not-found",
                "--timeout=60s",
            ],
        )?;
        Ok(())
    }

    fn kubectl(&self, step: &Step, arguments: &[&str]) -> Result<String> {
        if interrupt::interrupted() {
            bail!("interrupted");
        }
        process::capture(step, self.cluster.tool("kubectl")?.args(arguments))
    }

    /// Applies a file of `manifests/demo` with placeholders replaced by images.
    fn apply_file(&self, step: &Step, name: &str, images: &[(&str, &str)]) -> Result<()> {
        self.apply_file_with(step, name, images, &[])
    }

    /// Applies a file with placeholders replaced by images and by other words.
    fn apply_file_with(
        &self,
        step: &Step,
        name: &str,
        images: &[(&str, &str)],
        words: &[(&str, &str)],
    ) -> Result<()> {
        let path = repository::root().join("manifests/demo").join(name);
        let mut text = repository::read(&path)?;
        for (place, image) in images {
            text = text.replace(place, &format!("{}/{image}:{VERSION}", self.registry));
        }
        for (place, word) in words {
            text = text.replace(place, word);
        }
        self.apply_text(step, &text)
    }

    fn apply_text(&self, step: &Step, text: &str) -> Result<()> {
        let path = repository::scratch("demo")?.join("applied.yaml");
        repository::write(&path, text)?;
        let path = path.display().to_string();
        self.kubectl(step, &["apply", "--server-side", "--filename", &path])
            .map(drop)
    }
}
