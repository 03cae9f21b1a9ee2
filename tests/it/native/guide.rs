//! The commands of `docs/guide/bedrock-clients.md`, run as printed except for address, key and model.

use awsdouble::{Config, Double};
use serde_json::json;

use super::{KEY, MODEL, SECRET, rig, url};
use crate::support::{
    clients::{python_programs, shell},
    lane,
};

const GUIDE: &str = include_str!("../../../docs/guide/bedrock-clients.md");

/// Blocks of the guide in a language, made to fit the rig.
fn blocks(language: &str, url: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    GUIDE
        .split(&fence)
        .skip(1)
        .map(|rest| {
            let block = rest.split("```").next().unwrap();
            block
                .replace("http://chat-gateway.team-a.svc:8000", url)
                .replace("THE-GATEWAY-KEY", KEY)
                .replace("fast", MODEL)
        })
        .collect()
}

#[tokio::test]
async fn commands_of_the_guide_do_what_it_says() {
    if lane::is_left_to_full() {
        return;
    }
    let (_double, gateway) = rig().await;
    let url = url(&gateway);
    let settings = blocks("sh", &url).remove(0);
    let environment = [
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_CONFIG_FILE", "/dev/null"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
    ];
    let commands = blocks("bash", &url);
    assert_eq!(commands.len(), 2, "curl and AWS CLI");
    for command in commands {
        let printed = shell(
            format!("{settings}\n{command}"),
            python_programs("awscli"),
            &environment,
        )
        .await;
        assert!(printed.contains("Hello"), "{command}\nprinted {printed}");
    }
    let scripts = blocks("python", &url);
    assert_eq!(scripts.len(), 2, "boto3 and LangChain");
    for script in scripts {
        let command = format!("{settings}\npython - <<'END'\n{script}\nEND");
        let printed = shell(command, python_programs("aws"), &environment).await;
        assert!(printed.contains("Hello"), "{script}\nprinted {printed}");
    }
}

/// The AWS CLI's checks in `docs/guide/authentication.md`, against the simulated AWS itself.
#[tokio::test]
async fn checks_of_the_credentials_guide_run_with_the_aws_cli() {
    if lane::is_left_to_full() {
        return;
    }
    let page = include_str!("../../../docs/guide/authentication.md");
    let mut blocks = page.split("<!-- runs: clients -->\n```sh\n").skip(1);
    let block = blocks.next().unwrap().split("```").next().unwrap();
    assert!(blocks.next().is_none());
    let everything = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "*", "Resource": "*"}]});
    let config = Config::default().with_user("dev", "AKIAIOSFODNN7EXAMPLE", SECRET, everything);
    let double = Double::start(config).await.unwrap();
    let url = double.url();
    let environment = [
        ("AWS_ENDPOINT_URL", url.as_str()),
        ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_CONFIG_FILE", "/dev/null"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
    ];
    let printed = shell(block.to_owned(), python_programs("awscli"), &environment).await;
    for text in [
        "arn:aws:iam::123456789012:user/dev",
        "\"amazon.nova-lite-v1:0\"",
        "\"us.amazon.nova-lite-v1:0\"",
        "\"stopReason\"",
    ] {
        assert!(printed.contains(text), "{text} is not in {printed}");
    }
}
