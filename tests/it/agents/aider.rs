//! aider, with one message, by Chat Completions and by Messages.

use super::{Rig, rig};
use crate::support::{
    agents::{Printed, Workspace},
    clients::python_programs,
    gateway::KEY,
    lane,
};

async fn ask(place: &Workspace, rig: &Rig, model: &str, prompt: &str) -> Printed {
    let program = tokio::task::spawn_blocking(|| python_programs("aider").join("aider"));
    let (openai, anthropic) = (rig.gateway.openai_url(), rig.gateway.url());
    let environment = [
        ("OPENAI_API_BASE", openai.as_str()),
        ("OPENAI_API_KEY", KEY),
        ("ANTHROPIC_API_BASE", anthropic.as_str()),
        ("ANTHROPIC_API_KEY", KEY),
        ("LITELLM_LOCAL_MODEL_COST_MAP", "True"),
    ];
    let mut arguments = vec![
        "--model",
        model,
        "--edit-format",
        "whole",
        "--message",
        prompt,
    ];
    arguments.extend([
        "--no-git",
        "--no-pretty",
        "--yes-always",
        "--no-check-update",
    ]);
    arguments.extend(["--no-analytics", "--no-show-model-warnings", "note.txt"]);
    place
        .run(&program.await.unwrap(), &arguments, &environment)
        .await
}

#[tokio::test]
async fn aider_edits_a_file_waits_and_reports_a_full_context() {
    if lane::is_left_to_full() {
        return;
    }
    let rig = rig().await;
    for (model, stream) in [
        ("openai/nova", "ConverseStream"),
        (
            "anthropic/claude-sonnet-4-5",
            "InvokeModelWithResponseStream",
        ),
    ] {
        let place = Workspace::new();
        let printed = ask(&place, &rig, model, r"@say note.txt\n```\nchanged\n```").await;
        assert_eq!(
            place.read("work/note.txt"),
            "changed\n",
            "{model}: {printed:?}"
        );
        assert!(
            printed.output.contains("Applied edit to note.txt"),
            "{printed:?}"
        );

        rig.throttle(stream);
        let printed = ask(&place, &rig, model, "@say after all").await;
        assert!(printed.output.contains("after all"), "{model}: {printed:?}");

        rig.refuse_as_too_long(stream);
        let printed = ask(&place, &rig, model, "@say nothing").await;
        assert!(
            printed.output.contains("has hit a token limit"),
            "{model}: {printed:?}"
        );
    }
}
