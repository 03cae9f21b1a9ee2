//! The console and the page of the gateway in headless Chromium. The full lane runs it.
//!
//! Each scenario saves an image in `target/tmp/screenshots`; those of the guide are in `docs/images`.

use futures::future::join_all;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{Api, api::DeleteParams};
use serde_json::{Value, json};

use super::{
    super::rig::TEAM,
    world::{Gateways, Spent, World, spec},
};
use crate::{
    support::{
        browser::{Browser, Page},
        gateway::KEY,
        lane,
    },
    token_exchange::expired_copy,
};

/// Objects of the scenario with many.
const MANY: usize = 200;
const MARKUP: &str = "<img src=x onerror=alert(1)>";
/// The lowest contrast between text and background that WCAG accepts (level AA).
const LEAST_CONTRAST: f64 = 4.5;

/// The lowest contrast of the visible texts of the page.
const CONTRAST: &str = r"(() => {
  const light = (color) => {
    const parts = color.match(/[\d.]+/g).map(Number).slice(0, 3).map((part) => {
      const value = part / 255;
      return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  const behind = (node) => {
    for (let one = node; one; one = one.parentElement) {
      const color = getComputedStyle(one).backgroundColor;
      if (!/, 0\)$/.test(color)) return color;
    }
    return 'rgb(255, 255, 255)';
  };
  let least = 21;
  for (const node of document.querySelectorAll('body *')) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim() !== '');
    if (!own || !node.checkVisibility()) continue;
    const [one, other] = [light(getComputedStyle(node).color), light(behind(node))];
    least = Math.min(least, (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05));
  }
  return least;
})()";

/// A page of the console whose user has signed in.
async fn signed_in(world: &World, browser: &Browser, token: &str) -> Page {
    let page = browser.page(1200, 800).await;
    page.open(&format!("{}/", world.url)).await;
    sign_in(&page, token).await;
    page.until("!document.getElementById('overview').hidden")
        .await;
    page
}

async fn sign_in(page: &Page, token: &str) {
    page.value("document.getElementById('token').focus()").await;
    page.insert(token).await;
    page.press("Enter").await;
}

async fn focused(page: &Page) -> String {
    let id = "document.activeElement.id || document.activeElement.textContent";
    page.value(id).await.as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn console_works_in_a_browser() {
    if lane::is_left_to_full() {
        return;
    }
    let mut world = World::start().await;
    let browser = Browser::start().await;
    let gateways = world.gateways().await;
    empty(&world, &browser).await;
    no_permission(&world, &browser).await;
    expired_and_revoked_token(&world, &browser).await;

    prepare(&world, &gateways).await;
    failing_credentials(&world, &browser).await;
    denied_by_policy_with_hostile_texts(&world, &browser).await;
    usage(&world, &browser).await;
    keyboard_and_screen_reader(&world, &browser).await;
    narrow_and_dark(&world, &browser).await;
    many_objects(&world, &browser).await;
    operator_restart(&mut world, &browser).await;
    gateway_page_chat(&gateways, &browser).await;
}

async fn empty(world: &World, browser: &Browser) {
    let page = signed_in(world, browser, &world.reader().await).await;
    page.until_text("No BedrockAccess exists yet").await;
    page.until_text("0 endpoints").await;
    page.screenshot("empty").await;
    page.assert_contained(&world.url);
}

async fn no_permission(world: &World, browser: &Browser) {
    world.apply("team-b", "forecasts").await;
    let page = signed_in(world, browser, &world.token(TEAM, "outsider").await).await;
    page.until_text("No BedrockAccess that you can list").await;
    page.screenshot("no-permission").await;
    page.open(&format!("{}/#/team-b/forecasts", world.url))
        .await;
    page.until_text("you may not list objects in its namespace")
        .await;
    let text = page.text().await;
    assert!(!text.contains("Conditions"), "{text}");
    page.assert_contained(&world.url);
}

async fn expired_and_revoked_token(world: &World, browser: &Browser) {
    let good = world.token(TEAM, "member").await;
    let key = world.rig.cluster().service_account_signing_key().unwrap();
    let page = browser.page(1200, 800).await;
    page.open(&format!("{}/", world.url)).await;
    sign_in(&page, &expired_copy(&good, &key)).await;
    page.until_text("The token has expired").await;
    assert_eq!(focused(&page).await, "token");
    page.screenshot("expired").await;
    sign_in(&page, &good).await;
    page.until("!document.getElementById('overview').hidden")
        .await;

    // The token of a deleted ServiceAccount is no longer accepted.
    let accounts = Api::<ServiceAccount>::namespaced(world.rig.client.clone(), TEAM);
    accounts
        .delete("member", &DeleteParams::default())
        .await
        .unwrap();
    page.until_text("does not accept the token").await;
    page.until("document.getElementById('objects').textContent === ''")
        .await;
    page.assert_contained(&world.url);
}

const SONNET: &str = "us.anthropic.claude-sonnet-5";
const OWN_PROFILE: &str =
    "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/k3v9x1c7q2m8";

/// Objects with gateways and usage, and a policy that denies one of them.
async fn prepare(world: &World, gateways: &Gateways) {
    let policy = json!({
        "apiVersion": "bedrockaccess.dev/v1alpha1", "kind": "BedrockAccessPolicy",
        "metadata": {"name": "approved-models"},
        "spec": {
            "namespaces": {"names": ["*"]},
            "models": ["us.amazon.*", "us.anthropic.*", "arn:aws:bedrock:*:application-inference-profile/*"],
        },
    });
    world.rig.kubectl_apply("test", &policy.to_string());
    let fast = json!({"name": "fast", "modelId": "us.amazon.nova-2-lite-v1:0"});
    let with = |models: Value| {
        let mut spec = spec();
        spec["models"] = models;
        spec
    };
    let mut chat = with(json!([fast, {"name": "smart", "modelId": SONNET}]));
    chat["limits"] = json!({"requestsPerMinute": 600, "tokensPerMinute": 400_000});
    chat["clients"] = json!({"serviceAccounts": [
        {"name": "web"},
        {"name": "reports", "models": ["fast"], "limits": {"tokensPerDay": 2_000_000}},
    ]});
    world.apply_spec(TEAM, "chat", &chat).await;
    let tickets = with(json!([fast, {"name": "classify", "modelId": OWN_PROFILE}]));
    world.apply_spec(TEAM, "tickets", &tickets).await;
    let documents = with(json!([fast]));
    world.apply_spec(TEAM, "documents", &documents).await;
    let assistant = with(json!([{"name": "open", "modelId": "openai.gpt-oss-120b-1:0"}]));
    world.apply_spec(TEAM, "assistant", &assistant).await;
    world.run_pods("chat", Gateways::well_ip(), true).await;
    world
        .run_pods("tickets", Gateways::tickets_ip(), true)
        .await;
    world
        .run_pods("documents", Gateways::failing_ip(), false)
        .await;
    gateways.chat(5).await;
    let spent = Spent {
        model: SONNET,
        requests: 1_284,
        input: 1_193_400,
        cached: 4_218_900,
        output: 486_200,
    };
    world.spent(TEAM, "chat", spent).await;
    let spent = Spent {
        model: "us.amazon.nova-2-lite-v1:0",
        requests: 412,
        input: 388_100,
        cached: 0,
        output: 61_300,
    };
    world.spent(TEAM, "documents", spent).await;
    let spent = Spent {
        model: OWN_PROFILE,
        requests: 96,
        input: 71_200,
        cached: 0,
        output: 4_100,
    };
    world.spent(TEAM, "tickets", spent).await;
    world
        .rig
        .condition("documents", "CredentialsReady", "False")
        .await;
    world.rig.condition("assistant", "Accepted", "False").await;
    world.rig.condition("chat", "Ready", "True").await;
}

async fn failing_credentials(world: &World, browser: &Browser) {
    let page = signed_in(world, browser, &world.reader().await).await;
    page.until_text("cannot get AWS credentials").await;
    page.until_text("75,300 tokens without a price").await;
    let text = page.text().await;
    assert!(
        text.contains("Cost of all endpoints: today $9.20 (+ 75,300 tokens without a price)"),
        "{text}"
    );
    page.screenshot("overview").await;
    page.open(&format!("{}/#/team-a/documents", world.url))
        .await;
    page.until_text("CredentialsReady=False").await;
    page.until_text("AccessDenied").await;
    let text = page.text().await;
    let finding = "document.querySelector('[aria-label=Findings] tbody tr').textContent";
    let finding = page.value(finding).await;
    let finding = finding.as_str().unwrap();
    for part in [
        "CredentialsReady (AccessDenied)",
        "kubectl bedrock doctor documents -n team-a",
    ] {
        assert!(finding.contains(part), "{finding}: {text}");
    }
    page.screenshot("failing-credentials").await;
    page.assert_contained(&world.url);
}

async fn denied_by_policy_with_hostile_texts(world: &World, browser: &Browser) {
    let mut hostile = spec();
    hostile["allow"] = json!([MARKUP]);
    world.apply_spec(TEAM, "hostile", &hostile).await;
    world.rig.condition("hostile", "Accepted", "False").await;
    let page = signed_in(world, browser, &world.reader().await).await;
    page.until_text("hostile").await;
    page.open(&format!("{}/#/team-a/hostile", world.url)).await;
    page.until_text("Accepted=False").await;
    let text = page.text().await;
    assert!(
        text.contains("approved-models") && text.contains(MARKUP),
        "{text}"
    );
    let markup = page.value("document.querySelectorAll('img').length").await;
    assert_eq!(markup, 0);
    page.screenshot("denied").await;
    // A name in the URL is text, too.
    page.open(&format!(
        "{}/#/team-a/%3Cimg%20src=x%20onerror=alert(1)%3E",
        world.url
    ))
    .await;
    page.until_text("does not exist").await;
    assert_eq!(
        page.value("document.querySelectorAll('img').length").await,
        0
    );
    page.assert_contained(&world.url);
}

async fn usage(world: &World, browser: &Browser) {
    let page = signed_in(world, browser, &world.reader().await).await;
    page.open(&format!("{}/#/team-a/chat", world.url)).await;
    page.until_text("1 of 1 gateways").await;
    let first = async |table: &str| {
        let cells = format!(
            "[...document.querySelectorAll('[aria-label=\"{table}\"] tbody tr:first-child td')].map((cell) => cell.textContent)"
        );
        page.value(&cells).await
    };
    let cells = first("Usage by client").await;
    assert_eq!(cells[1], "5", "{cells}");
    assert_eq!(cells[2], "0", "{cells}");
    assert!(cells[7].as_str().unwrap().starts_with("$0.0"), "{cells}");
    let today = first("Usage").await;
    assert!(today[0].as_str().unwrap().starts_with("Today, "), "{today}");
    // The amounts of gateways that have ended, and five requests more.
    assert_eq!(today[3], "77 %", "{today}");
    assert!(today[5].as_str().unwrap().starts_with("$8.9"), "{today}");
    let expires = page
        .value("document.querySelector('[aria-label=Gateways] time').textContent")
        .await;
    assert!(expires.as_str().unwrap().starts_with("in "), "{expires}");
    page.resize(1200, 1250).await;
    page.screenshot("detail").await;
    page.open(&format!("{}/#/team-a/tickets", world.url)).await;
    page.until_text("no price of arn:aws:bedrock").await;
    let cost = first("Usage").await;
    assert_eq!(cost[5], "75,300 tokens without a price", "{cost}");
    page.screenshot("no-price").await;
    page.assert_contained(&world.url);
}

async fn keyboard_and_screen_reader(world: &World, browser: &Browser) {
    let page = browser.page(1200, 800).await;
    page.open(&format!("{}/", world.url)).await;
    // The field has the focus when the page opens.
    assert_eq!(focused(&page).await, "token");
    let has = |nodes: &[String], expected: &str| {
        assert!(
            nodes.iter().any(|node| node == expected),
            "{expected}: {nodes:#?}"
        );
    };
    let nodes = page.accessible().await;
    has(&nodes, "textbox: Token for the Kubernetes API");
    has(&nodes, "button: Sign in");
    page.insert(&world.reader().await).await;
    page.press("Enter").await;
    page.until("document.activeElement.id === 'overview-title'")
        .await;
    let nodes = page.accessible().await;
    for expected in [
        "heading: Bedrock Access",
        "heading: Endpoints",
        "searchbox: Filter",
        "checkbox: Only with problems",
        "table: Endpoints",
        "columnheader: Namespace",
        "link: chat",
        "button: Sign out",
    ] {
        has(&nodes, expected);
    }
    assert!(
        nodes.iter().any(|node| node.starts_with("status:")),
        "{nodes:#?}"
    );

    page.press("Tab").await;
    assert_eq!(focused(&page).await, "filter");
    page.insert("chat").await;
    page.press("Tab").await;
    assert_eq!(focused(&page).await, "problems");
    page.press("Tab").await;
    assert_eq!(focused(&page).await, "chat");
    let outline = "getComputedStyle(document.activeElement).outlineStyle";
    assert_eq!(page.value(outline).await, "solid", "the focus is visible");
    page.press("Enter").await;
    page.until("document.activeElement.id === 'detail-title'")
        .await;
    page.press("Shift+Tab").await;
    assert_eq!(focused(&page).await, "All endpoints");
    page.press("Enter").await;
    page.until("document.activeElement.id === 'overview-title'")
        .await;
    page.press("Shift+Tab").await;
    assert_eq!(focused(&page).await, "sign-out");
    page.press("Space").await;
    page.until("document.activeElement.id === 'token'").await;
    let left = page.value(
        "document.getElementById('objects').textContent + document.getElementById('token').value",
    );
    assert_eq!(left.await, "", "nothing is left after signing out");
    page.assert_contained(&world.url);
}

async fn narrow_and_dark(world: &World, browser: &Browser) {
    let page = signed_in(world, browser, &world.reader().await).await;
    let dark = "getComputedStyle(document.body).backgroundColor === 'rgb(13, 17, 23)'";
    for (name, path) in [
        ("overview", "#/"),
        ("chat", "#/team-a/chat"),
        ("documents", "#/team-a/documents"),
    ] {
        page.open(&format!("{}/{path}", world.url)).await;
        page.until("document.querySelectorAll('table').length > 0")
            .await;
        for scheme in ["light", "dark"] {
            page.prefer(scheme).await;
            assert_eq!(page.value(dark).await, scheme == "dark", "{scheme}");
            let contrast = page.value(CONTRAST).await.as_f64().unwrap();
            assert!(contrast >= LEAST_CONTRAST, "{path} {scheme}: {contrast}");
            page.resize(360, 720).await;
            let width = page.value("document.documentElement.scrollWidth").await;
            assert!(width.as_u64().unwrap() <= 360, "{path}: {width}");
            page.screenshot(&format!("narrow-{scheme}-{name}")).await;
            page.resize(1200, 900).await;
        }
        page.screenshot(&format!("dark-{name}")).await;
    }
    page.assert_contained(&world.url);
}

async fn many_objects(world: &World, browser: &Browser) {
    let names: Vec<String> = (0..MANY).map(|at| format!("endpoint-{at:03}")).collect();
    join_all(names.iter().map(|name| world.apply("many", name))).await;
    let page = signed_in(world, browser, &world.reader().await).await;
    let rows = "document.querySelectorAll('[aria-label=Endpoints] tbody tr').length";
    page.until(&format!("{rows} === {}", MANY + 6)).await;
    let first = page
        .value("document.querySelector('tbody tr').textContent")
        .await;
    assert!(
        first.as_str().unwrap().contains("Problem"),
        "problems are first: {first}"
    );
    page.value("document.getElementById('filter').focus()")
        .await;
    page.insert("endpoint-19").await;
    page.until(&format!("{rows} === 10")).await;
    page.until_text("10 match the filter").await;
    page.screenshot("many").await;
    page.assert_contained(&world.url);
}

async fn operator_restart(world: &mut World, browser: &Browser) {
    let page = signed_in(world, browser, &world.reader().await).await;
    page.until_text("chat").await;
    world.rig.stop_operator().await;
    page.until_text("The operator does not respond").await;
    page.until_text("chat").await;
    page.screenshot("restart").await;
    world.start_operator().await;
    page.until("document.getElementById('notice').hidden").await;
    page.until("!document.getElementById('overview').hidden")
        .await;
    page.assert_contained(&world.url);
}

async fn gateway_page_chat(gateways: &Gateways, browser: &Browser) {
    let page = browser.page(1000, 900).await;
    let origin = gateways.url();
    page.open(&format!("{origin}/")).await;
    page.value("document.getElementById('chat-key').focus()")
        .await;
    page.insert("sk-wrong").await;
    page.value("document.getElementById('chat-model').focus()")
        .await;
    page.insert("fast").await;
    page.value("document.getElementById('chat-text').focus()")
        .await;
    page.insert(MARKUP).await;
    page.value("document.getElementById('chat-send').click()")
        .await;
    page.until("/invalid api key/i.test(document.body.innerText)")
        .await;
    page.value("(() => { const key = document.getElementById('chat-key'); key.value = ''; key.focus(); })()")
        .await;
    page.insert(KEY).await;
    page.value("document.getElementById('chat-send').click()")
        .await;
    let log = "document.getElementById('chat-log').textContent";
    page.until("document.querySelectorAll('#chat-log .assistant').length === 1 && document.getElementById('chat-stop').disabled")
        .await;
    let text = page.value(log).await;
    assert!(text.as_str().unwrap().contains(MARKUP), "{text}");
    assert_eq!(
        page.value("document.querySelectorAll('img').length").await,
        0
    );
    page.until("[...document.querySelectorAll('#chat-models option')].map((one) => one.value).join() === 'fast'")
        .await;
    let nodes = page.accessible().await;
    assert!(
        nodes.iter().any(|node| node.starts_with("log:")),
        "{nodes:#?}"
    );
    let contrast: Value = page.value(CONTRAST).await;
    assert!(contrast.as_f64().unwrap() >= LEAST_CONTRAST, "{contrast}");
    page.screenshot("chat").await;
    page.assert_contained(&origin);
}
