use exposition::Sample;

use super::{Sampled, TopReport, write_text};

/// Of version 0.2.
const HISTOGRAMS: &str = r#"# HELP gen_ai_server_request_duration_seconds Time.
# TYPE gen_ai_server_request_duration_seconds histogram
gen_ai_server_request_duration_seconds_sum{gen_ai_request_model="fast",client="team-a/app",error_type=""} 8.5
gen_ai_server_request_duration_seconds_count{gen_ai_request_model="fast",client="team-a/app",error_type=""} 3
gen_ai_server_request_duration_seconds_count{gen_ai_request_model="fast",client="team-a/app",error_type="throttled"} 1
gen_ai_server_request_duration_seconds_bucket{le="0.1",gen_ai_request_model="fast",client="team-a/app",error_type=""} 3
gen_ai_client_token_usage_sum{gen_ai_request_model="fast",client="team-a/app",gen_ai_token_type="input"} 120.0
gen_ai_client_token_usage_sum{gen_ai_request_model="fast",client="team-a/app",gen_ai_token_type="output"} 40.0
gen_ai_client_token_usage_sum{gen_ai_request_model="fast",client="team-a/app",gen_ai_token_type="input_cache_read"} 1e2
bedrock_gateway_limit_refusals_total{limit="requestsPerMinute",scope="client",client="team-a/app"} 2
bedrock_gateway_in_flight_requests 0
# EOF
"#;

const COUNTERS: &str = r#"gen_ai_server_request_duration_seconds_count{gen_ai_request_model="fast",error_type=""} 9
bedrock_gateway_client_requests_total{client="team-a/app"} 4
bedrock_gateway_client_requests_total{client="a \"quoted\" key"} 1
bedrock_gateway_tokens_total{client="team-a/app",model="fast",type="input"} 120
bedrock_gateway_tokens_total{client="team-a/app",model="smart",type="input"} 1
bedrock_gateway_tokens_total{client="team-a/app",model="fast",type="output"} 40
bedrock_gateway_cache_read_tokens_total{client="team-a/app",model="fast"} 100 1735689600
bedrock_gateway_limit_refusals_total{limit="requestsPerMinute",scope="client",client="team-a/app"} 2
bedrock_gateway_cost_dollars_total{client="team-a/app"} 1.250045e0
bedrock_gateway_unpriced_tokens_total{client="a \"quoted\" key",model="other"} 12
"#;

fn text(reports: &[TopReport]) -> String {
    let mut out = anstream::StripStream::new(Vec::new());
    write_text(reports, &mut out).unwrap();
    String::from_utf8(out.into_inner()).unwrap()
}

fn sampled(pages: &[(&str, &str)]) -> Sampled {
    Sampled {
        namespace: "team-a".to_owned(),
        name: "chat".to_owned(),
        running: pages.len(),
        pods: pages
            .iter()
            .map(|(pod, page)| ((*pod).to_owned(), Sample::parse(page)))
            .collect(),
        problems: Vec::new(),
    }
}

#[test]
fn sums_the_usage_of_a_client_over_gateways_of_both_releases() {
    let report = sampled(&[("one", HISTOGRAMS), ("two", COUNTERS)]).report();
    insta::assert_snapshot!(text(&[report]), @r#"
    NAMESPACE  NAME  CLIENT          REQUESTS  INPUT  OUTPUT  CACHE-READ  CACHE-WRITE  REFUSED  COST-USD
    team-a     chat  team-a/app             8    241      80         200            0        4      1.25
    team-a     chat  a "quoted" key         1      0       0           0            0        0    0.00+?
    "#);
}

#[test]
fn usage_of_a_period_is_the_difference_of_two_samples() {
    let mut later = sampled(&[
        ("one", &COUNTERS.replace("} 4\n", "} 10\n")),
        ("new", COUNTERS),
    ]);
    later.subtract(&sampled(&[("one", COUNTERS)]));
    let report = later.report();
    assert_eq!(report.clients[0].usage.requests, 6 + 4);
    assert_eq!(report.clients[0].usage.output_tokens, 40);
}

#[test]
fn gateways_that_do_not_run_or_cannot_be_read_are_named() {
    let mut silent = sampled(&[]);
    silent.running = 1;
    silent.problems.push("chat-gateway-1: forbidden".to_owned());
    let reports = [
        sampled(&[]).report(),
        silent.report(),
        sampled(&[("one", "")]).report(),
    ];
    insta::assert_snapshot!(text(&reports), @r"
    ! team-a/chat: no gateway runs
    ! team-a/chat: not read: chat-gateway-1: forbidden
    team-a/chat: no requests
    ");
}

#[test]
fn json_has_the_usage_of_each_client_as_numbers() {
    let report = sampled(&[("one", COUNTERS)]).report();
    let value = serde_json::to_value(&report).unwrap();
    assert_eq!(value["clients"][0]["client"], "team-a/app");
    assert_eq!(value["clients"][0]["inputTokens"], 121);
    assert_eq!(value["clients"][0]["refused"], 2);
    assert_eq!(value["clients"][0]["costUsd"], 1.250_045);
}
