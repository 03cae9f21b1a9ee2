use std::time::Duration;

use exposition::Format;
use prometheus_client::{
    metrics::{
        counter::Counter, exemplar::HistogramWithExemplars, family::Family as Labelled,
        gauge::Gauge, info::Info,
    },
    registry::{Registry, Unit},
};
use proptest::prelude::*;

use super::*;

type Label = [(&'static str, String); 1];

fn page(registry: &Registry) -> String {
    Format::OpenMetrics.encode(registry).unwrap()
}

fn metrics(page: &str) -> Vec<Metric> {
    let seconds = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let mut request = to_otlp(page, Resource::default(), [seconds(1), seconds(2)]);
    request
        .resource_metrics
        .remove(0)
        .scope_metrics
        .remove(0)
        .metrics
}

fn attributes(list: &[KeyValue]) -> Vec<(String, String)> {
    let text = |pair: &KeyValue| match pair.value.clone().unwrap().value.unwrap() {
        any_value::Value::StringValue(text) => (pair.key.clone(), text),
        other => panic!("{other:?}"),
    };
    list.iter().map(text).collect()
}

#[test]
fn each_kind_of_metric_has_its_form_in_otlp() {
    let mut registry = Registry::default();
    let counter: Labelled<Label, Counter> = Labelled::default();
    counter
        .get_or_create(&[("client", "a \"b\"\\\n# {} c".to_owned())])
        .inc_by(7);
    counter.get_or_create(&[("client", String::new())]).inc();
    registry.register("requests", "Requests by client", counter);
    let gauge = Gauge::<i64>::default();
    gauge.set(-3);
    registry.register("open", "Open", gauge);
    let ratio = Gauge::<f64, std::sync::atomic::AtomicU64>::default();
    ratio.set(0.5);
    registry.register_with_unit("age", "Age", Unit::Seconds, ratio);
    registry.register("build", "Version", Info::new(vec![("version", "1.2")]));
    let empty: Labelled<Label, Counter> = Labelled::default();
    registry.register("empty", "No series", empty);
    let metrics = metrics(&page(&registry));
    let names: Vec<_> = metrics.iter().map(|metric| metric.name.as_str()).collect();
    assert_eq!(names, ["requests", "open", "age_seconds", "build_info"]);
    assert_eq!(metrics[0].description, "Requests by client");
    assert_eq!(metrics[2].unit, "s");
    let Some(Data::Sum(sum)) = &metrics[0].data else {
        panic!("{metrics:?}");
    };
    assert!(sum.is_monotonic);
    assert_eq!(
        sum.aggregation_temporality(),
        AggregationTemporality::Cumulative
    );
    let mut points: Vec<_> = sum
        .data_points
        .iter()
        .map(|point| (attributes(&point.attributes), point.value))
        .collect();
    points.sort_by_key(|(attributes, _)| attributes.len());
    let of_client = vec![("client".to_owned(), "a \"b\"\\\n# {} c".to_owned())];
    assert_eq!(
        points,
        [
            (vec![], Some(number_data_point::Value::AsInt(1))),
            (of_client, Some(number_data_point::Value::AsInt(7))),
        ]
    );
    let point = &sum.data_points[0];
    assert_eq!(point.start_time_unix_nano, 1_000_000_000);
    assert_eq!(point.time_unix_nano, 2_000_000_000);
    let gauge = |metric: &Metric| match &metric.data {
        Some(Data::Gauge(gauge)) => gauge.data_points[0].value.unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!(gauge(&metrics[1]), number_data_point::Value::AsInt(-3));
    assert_eq!(gauge(&metrics[2]), number_data_point::Value::AsDouble(0.5));
    assert_eq!(gauge(&metrics[3]), number_data_point::Value::AsInt(1));
}

#[test]
fn metrics_of_the_conventions_have_opentelemetrys_names() {
    type Labels = [(&'static str, &'static str); 4];
    type Traced = HistogramWithExemplars<[(&'static str, &'static str); 1]>;
    let mut registry = Registry::default();
    let new: fn() -> Traced = || Traced::new([0.5, 2.0].into_iter());
    let family: Labelled<Labels, Traced, fn() -> Traced> = Labelled::new_with_constructor(new);
    let labels = [
        ("gen_ai_operation_name", "chat"),
        ("gen_ai_provider_name", "aws.bedrock"),
        ("gen_ai_request_model", "m"),
        ("error_type", ""),
    ];
    let histogram = family.get_or_create_owned(&labels);
    for seconds in [0.1, 0.2, 1.0, 9.0] {
        histogram.observe(seconds, Some([("trace_id", "0af")]), None);
    }
    let name = "gen_ai_server_request_duration";
    registry.register_with_unit(name, "Time", Unit::Seconds, family);
    let metrics = metrics(&page(&registry));
    assert_eq!(metrics[0].name, "gen_ai.server.request.duration");
    assert_eq!(metrics[0].unit, "s");
    let Some(Data::Histogram(histogram)) = &metrics[0].data else {
        panic!("{metrics:?}");
    };
    let point = &histogram.data_points[0];
    assert_eq!((point.count, point.sum), (4, Some(10.3)));
    assert_eq!(point.explicit_bounds, [0.5, 2.0]);
    assert_eq!(point.bucket_counts, [2, 1, 1]);
    let names: Vec<_> = attributes(&point.attributes)
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(
        names,
        [
            "gen_ai.operation.name",
            "gen_ai.provider.name",
            "gen_ai.request.model"
        ]
    );
}

proptest! {
    #[test]
    fn a_label_with_any_value_is_read_as_it_was_written(value in ".{1,40}") {
        let mut registry = Registry::default();
        let counter: Labelled<Label, Counter> = Labelled::default();
        counter.get_or_create(&[("client", value.clone())]).inc();
        registry.register("requests", "Requests", counter);
        let metrics = metrics(&page(&registry));
        let Some(Data::Sum(sum)) = &metrics[0].data else {
            panic!("{metrics:?}");
        };
        let found = attributes(&sum.data_points[0].attributes);
        prop_assert_eq!(found, vec![("client".to_owned(), value)]);
    }

    #[test]
    fn no_page_panics(page in "(# (HELP|TYPE|UNIT) [a-z_]{1,8} [a-z]{1,9}\n|[a-z_]{1,8}(\\{[a-z\"=\\\\,]{0,12}\\}?)? ?[0-9.+-]{0,5}\n){0,8}") {
        metrics(&page);
    }
}
