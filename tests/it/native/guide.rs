//! The commands of `docs/guide/bedrock-clients.md`, run as they stand there but for address, key and model.

use super::{KEY, MODEL, rig, url};
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
