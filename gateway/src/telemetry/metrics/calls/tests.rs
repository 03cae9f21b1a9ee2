use exposition::Format;

use super::*;

const CALL: FinishedCall<'static> = FinishedCall {
    operation: "chat",
    model: "fast",
    client: "a",
    status: 200,
    took: Duration::from_millis(2500),
    first_byte: Some(Duration::from_millis(500)),
    usage: None,
    cost: None,
    unpriced: 0,
    trace_id: None,
};
const LABELS: &str = "gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"aws.bedrock\",gen_ai_request_model=\"fast\"";

fn usage() -> TokenUsage {
    TokenUsage {
        input_tokens: 10,
        output_tokens: 21,
        cache_read_input_tokens: 100,
        cache_write_input_tokens: 1000,
        reasoning_tokens: Some(5),
        ..TokenUsage::default()
    }
}

fn page(conventions: Conventions, format: Format, calls: &[FinishedCall<'_>]) -> String {
    let metrics = CallMetrics::new(conventions);
    let mut registry = Registry::default();
    metrics.register(&mut registry);
    for call in calls {
        metrics.record(call);
    }
    format.encode(&registry).unwrap()
}

#[track_caller]
fn has(page: &str, lines: &[String]) {
    for line in lines {
        assert!(page.lines().any(|one| one == line), "{line} in {page}");
    }
}

#[test]
fn cache_tokens_have_counters_of_their_own_and_are_part_of_the_input() {
    let call = FinishedCall {
        usage: Some(usage()),
        ..CALL
    };
    let page = page(Conventions::default(), Format::Text, &[call, call]);
    let of_client = "client=\"a\",model=\"fast\"";
    has(
        &page,
        &[
            format!("bedrock_gateway_tokens_total{{{of_client},type=\"input\"}} 2220"),
            format!("bedrock_gateway_tokens_total{{{of_client},type=\"output\"}} 42"),
            format!("bedrock_gateway_cache_read_tokens_total{{{of_client}}} 200"),
            format!("bedrock_gateway_cache_write_tokens_total{{{of_client}}} 2000"),
            "bedrock_gateway_client_requests_total{client=\"a\"} 2".to_owned(),
            format!("gen_ai_client_token_usage_count{{{LABELS},gen_ai_token_type=\"input\"}} 2"),
            // 2 seconds for the 20 tokens after the first one.
            format!("gen_ai_server_time_per_output_token_seconds_sum{{{LABELS}}} 0.2"),
        ],
    );
    assert!(!page.contains("inference"), "{page}");
    assert!(!page.contains("token_type=\"input_cache"), "{page}");
}

#[test]
fn cost_is_in_dollars_and_tokens_without_a_price_have_a_counter_of_their_own() {
    let priced = FinishedCall {
        cost: Some(0.25),
        ..CALL
    };
    let unpriced = FinishedCall {
        unpriced: 31,
        ..CALL
    };
    let of_client = "client=\"a\",model=\"fast\"";
    let page = page(
        Conventions::default(),
        Format::Text,
        &[priced, priced, unpriced],
    );
    has(
        &page,
        &[
            "bedrock_gateway_cost_dollars_total{client=\"a\"} 0.5".to_owned(),
            "bedrock_gateway_model_cost_dollars_total{model=\"fast\"} 0.5".to_owned(),
            format!("bedrock_gateway_unpriced_tokens_total{{{of_client}}} 31"),
        ],
    );
}

#[test]
fn only_success_and_server_errors_are_timed() {
    let status = |status| FinishedCall { status, ..CALL };
    let calls = [
        status(200),
        status(429),
        status(499),
        status(500),
        status(503),
    ];
    let page = page(Conventions::default(), Format::Text, &calls);
    let name = "gen_ai_server_request_duration_seconds_count";
    has(
        &page,
        &[
            format!("{name}{{{LABELS},error_type=\"\"}} 1"),
            format!("{name}{{{LABELS},error_type=\"5xx\"}} 2"),
            "bedrock_gateway_client_requests_total{client=\"a\"} 5".to_owned(),
        ],
    );
}

#[test]
fn latest_conventions_replace_the_former_ones_or_stand_beside_them() {
    let call = FinishedCall {
        usage: Some(usage()),
        ..CALL
    };
    for former in [false, true] {
        let conventions = Conventions {
            former,
            latest: true,
        };
        let page = page(conventions, Format::Text, &[call]);
        has(
            &page,
            &[
                format!(
                    "gen_ai_client_inference_duration_seconds_count{{{LABELS},error_type=\"\"}} 1"
                ),
                format!("gen_ai_client_inference_time_to_first_chunk_seconds_count{{{LABELS}}} 1"),
                format!(
                    "gen_ai_client_inference_usage_input_tokens_total{{{LABELS},client=\"a\"}} 1110"
                ),
                format!(
                    "gen_ai_client_inference_usage_output_tokens_total{{{LABELS},client=\"a\"}} 21"
                ),
                format!(
                    "gen_ai_client_inference_usage_cache_read_input_tokens_total{{{LABELS},client=\"a\"}} 100"
                ),
                format!(
                    "gen_ai_client_inference_usage_cache_write_input_tokens_total{{{LABELS},client=\"a\"}} 1000"
                ),
                format!(
                    "gen_ai_client_inference_usage_reasoning_output_tokens_total{{{LABELS},client=\"a\"}} 5"
                ),
            ],
        );
        assert_eq!(page.contains("gen_ai_server_"), former, "{page}");
        assert_eq!(page.contains("gen_ai_client_token_usage"), former, "{page}");
    }
}

#[test]
fn sampled_requests_are_exemplars_of_open_metrics() {
    let call = FinishedCall {
        trace_id: Some(TraceId::from(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c)),
        ..CALL
    };
    let exemplar = "# {trace_id=\"0af7651916cd43dd8448eb211c80319c\"} 2.5";
    let conventions = Conventions::default();
    assert!(page(conventions, Format::OpenMetrics, &[call]).contains(exemplar));
    assert!(!page(conventions, Format::OpenMetrics, &[CALL]).contains("trace_id"));
    assert!(!page(conventions, Format::Text, &[call]).contains("trace_id"));
}
