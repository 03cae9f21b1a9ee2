//! Text tables with one line per scenario.

use std::fmt::Write as _;

use crate::{
    report::{Measured, Report, ScenarioResult, Spread, difference, float, ratio},
    run::{GATEWAY, OPEN, OTHER, PROXY},
};

/// The gateway beside the proxy, with nothing and with everything on.
pub(crate) fn ratios(report: &Report) -> String {
    let mut text = format!(
        "{:<29}{:^31}   {:^39}   {:^19}   {:^19}\n{:<29}{:>9}{:>7}{:>15}   {:>9}{:>9}{:>21}   {:>9}{:>10}   {:>9}{:>10}\n",
        "",
        "requests per second",
        "CPU time for each",
        "everything on adds",
        "memory",
        "",
        "proxy",
        "open",
        "everything on",
        "proxy",
        "open",
        "everything on",
        "p50",
        "p99",
        "proxy",
        "gateway",
    );
    for one in &report.scenarios {
        let rate = |target| middle(one.spread(target, |round| Some(round.per_second)), 0);
        let added = |figure: fn(&Measured) -> Option<f64>| {
            microseconds(one.joined(GATEWAY, PROXY, figure, difference))
        };
        let memory = |target| {
            let bytes = one.spread(target, |round| Some(float(round.memory_bytes)));
            bytes.map_or_else(
                || "-".to_owned(),
                |bytes| format!("{:.1} MB", bytes.median / 1e6),
            )
        };
        // Seconds for a thousand are milliseconds for one.
        let cpu = one.spread(PROXY, |round| Some(round.cpu_seconds_per_1000? / 1e3));
        line(
            &mut text,
            format_args!(
                "{:<29}{:>9}{:>7}{:>15}   {:>9}{:>9}{:>21}   {:>9}{:>10}   {:>9}{:>10}",
                one.name,
                rate(PROXY),
                middle(one.rate_ratio(OPEN), 2),
                middle(one.rate_ratio(GATEWAY), 2),
                microseconds(cpu),
                middle(one.cpu_ratio(OPEN), 2),
                spread(one.cpu_ratio(GATEWAY)),
                added(|round| round.p50_seconds),
                added(|round| round.p99_seconds),
                memory(PROXY),
                memory(GATEWAY),
            ),
        );
    }
    let at_rest = |target: &str| {
        let bytes = report.at_rest.get(target).copied().unwrap_or_default();
        float(bytes) / 1e6
    };
    line(
        &mut text,
        format_args!(
            "memory at rest: proxy {:.1} MB, gateway {:.1} MB (without the program itself)",
            at_rest(PROXY),
            at_rest(GATEWAY)
        ),
    );
    line(
        &mut text,
        format_args!(
            "{} responses checked; {} cores for all processes; {} rounds of {} s a target; open: nothing on; open and everything on in \
             units of the proxy; medians (least–most of the rounds); slow streams: events instead of requests; p50 and p99: until the \
             response is complete, of streams until their first text",
            report.responses(),
            report.cores,
            report.rounds,
            report.seconds
        ),
    );
    text
}

/// The gateway beside another build of it.
pub(crate) fn against(report: &Report) -> String {
    let mut text = format!(
        "{:<27}{:>22}{:>26}\n",
        "gateway / other build", "per second", "CPU per 1,000"
    );
    for one in &report.scenarios {
        let joined = |figure: fn(&Measured) -> Option<f64>| {
            spread(one.joined(GATEWAY, OTHER, figure, ratio))
        };
        line(
            &mut text,
            format_args!(
                "{:<27}{:>22}{:>26}",
                one.name,
                joined(|round| Some(round.per_second)),
                joined(|round| round.cpu_seconds_per_1000),
            ),
        );
    }
    text
}

/// All targets side by side, as Markdown.
pub(crate) fn peers(report: &Report, names: &[&str]) -> String {
    let mut text = String::from(
        "| Scenario | Target | Requests per second | CPU time | In units of the proxy | p50 | p99 | Memory |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for one in &report.scenarios {
        for &name in names {
            let seconds =
                |figure: fn(&Measured) -> Option<f64>| milliseconds(one.spread(name, figure));
            let memory = one.spread(name, |round| Some(float(round.memory_bytes) / 1e6));
            line(
                &mut text,
                format_args!(
                    "| {} | {name} | {} | {} | {} | {} | {} | {} MB |",
                    one.name,
                    middle(one.spread(name, |round| Some(round.per_second)), 0),
                    microseconds(one.spread(name, |round| Some(round.cpu_seconds_per_1000? / 1e3))),
                    spread(one.cpu_ratio(name)),
                    seconds(|round| round.p50_seconds),
                    seconds(|round| round.p99_seconds),
                    middle(memory, 1),
                ),
            );
        }
    }
    for (name, bytes) in &report.at_rest {
        let megabytes = float(*bytes) / 1e6;
        line(
            &mut text,
            format_args!("\nMemory at rest, {name}: {megabytes:.1} MB"),
        );
    }
    for (scenario, target, reason) in &report.failed {
        line(
            &mut text,
            format_args!("\nNo result for {target}, {scenario}: {reason}"),
        );
    }
    text
}

/// CPU time with options, compared with the first of them, as Markdown.
pub(crate) fn options(report: &Report, names: &[&str]) -> String {
    let [base, options @ ..] = names else {
        return String::new();
    };
    let mut text = format!("| CPU time | {base} | {} |\n", options.join(" | "));
    text.push_str(&"|---".repeat(names.len().saturating_add(1)));
    text.push_str("|\n");
    for one in &report.scenarios {
        let cpu = one.spread(base, |round| Some(round.cpu_seconds_per_1000? / 1e3));
        let cpu = cpu.map_or_else(
            || "-".to_owned(),
            |cpu| format!("{:.1} µs", cpu.median * 1e6),
        );
        let more = options.iter().map(|name| {
            let ratios = one.joined(name, base, |round| round.cpu_seconds_per_1000, ratio);
            ratios.map_or_else(
                || "-".to_owned(),
                |ratios| {
                    let percent = |ratio: f64| (ratio - 1.0) * 100.0;
                    let [median, least, most] =
                        [ratios.median, ratios.least, ratios.most].map(percent);
                    format!("{median:+.1} % ({least:+.1} to {most:+.1})")
                },
            )
        });
        let more: Vec<String> = more.collect();
        line(
            &mut text,
            format_args!("| {} | {cpu} | {} |", one.name, more.join(" | ")),
        );
    }
    line(
        &mut text,
        format_args!(
            "\n{} responses checked; {} cores for all processes; {} rounds of {} s an option; medians, and least to most of the \
             rounds; {base}: keys, metrics, log lines",
            report.responses(),
            report.cores,
            report.rounds,
            report.seconds
        ),
    );
    text
}

/// How the ratios to the proxy changed.
pub(crate) fn change(before: &Report, now: &Report) -> String {
    let mut text = format!(
        "{:<27}{:>26}{:>28}\n",
        "ratio to the proxy", "per second", "CPU per 1,000"
    );
    for one in &now.scenarios {
        let Some(earlier) = before.scenario(&one.name) else {
            line(&mut text, format_args!("{:<27}{:>26}", one.name, "new"));
            continue;
        };
        let changed = |figure: fn(&ScenarioResult) -> Option<Spread>| {
            let (was, is) = (figure(earlier), figure(one));
            let percent = was
                .zip(is)
                .map(|(was, is)| ratio(is.median, was.median))
                .map_or_else(
                    || "?".to_owned(),
                    |by| format!("{:+.1} %", (by - 1.0) * 100.0),
                );
            format!("{} → {} {percent:>9}", middle(was, 2), middle(is, 2))
        };
        line(
            &mut text,
            format_args!(
                "{:<27}{:>26}{:>28}",
                one.name,
                changed(|one| one.rate_ratio(GATEWAY)),
                changed(|one| one.cpu_ratio(GATEWAY))
            ),
        );
    }
    text
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _: std::fmt::Result = writeln!(text, "{line}");
}

fn middle(figures: Option<Spread>, decimals: usize) -> String {
    figures.map_or_else(
        || "-".to_owned(),
        |figures| format!("{:.decimals$}", figures.median),
    )
}

fn spread(figures: Option<Spread>) -> String {
    figures.map_or_else(
        || "-".to_owned(),
        |figures| {
            format!(
                "{:.2} ({:.2}–{:.2})",
                figures.median, figures.least, figures.most
            )
        },
    )
}

fn milliseconds(seconds: Option<Spread>) -> String {
    seconds.map_or_else(
        || "-".to_owned(),
        |seconds| format!("{:.1} ms", seconds.median * 1e3),
    )
}

fn microseconds(seconds: Option<Spread>) -> String {
    seconds.map_or_else(
        || "-".to_owned(),
        |seconds| format!("{:.0} µs", seconds.median * 1e6),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{load::Window, scenario::ALL};

    fn report(gateway: u64) -> Report {
        let mut report = Report::new(1, Duration::from_secs(1));
        for (target, responses, cpu_seconds) in [
            (PROXY, 1000, 0.1),
            (GATEWAY, gateway, 0.2),
            (OPEN, 800, 0.2),
            (OTHER, 500, 0.2),
        ] {
            let window = Window {
                seconds: 1.0,
                responses,
                cpu_seconds,
                latencies: vec![Duration::from_micros(responses)],
                ..Window::default()
            };
            report.add(&ALL[0], target, Measured::new(&ALL[0], &window));
        }
        report
    }

    #[test]
    fn table_shows_rates_ratios_and_what_is_added() {
        let text = ratios(&report(600));
        let row = text
            .lines()
            .find(|line| line.starts_with(ALL[0].name))
            .unwrap();
        for part in [
            " 1000 ",
            " 0.80 ",
            " 0.60 ",
            " 100 µs ",
            " 2.50 ",
            "3.33 (3.33–3.33)",
            " -400 µs ",
        ] {
            assert!(row.contains(part), "{part:?} in {row}");
        }
    }

    #[test]
    fn options_are_shown_in_percent_of_the_first() {
        let text = options(&report(1000), &[PROXY, GATEWAY, OPEN]);
        let row = format!(
            "| {} | 100.0 µs | +100.0 % (+100.0 to +100.0) | +150.0 %",
            ALL[0].name
        );
        assert!(text.contains(&row), "{text}");
    }

    #[test]
    fn change_and_other_build_are_shown_as_ratios() {
        let text = change(&report(600), &report(660));
        assert!(text.contains("0.60 → 0.66"), "{text}");
        assert!(text.contains("+10.0 %"), "{text}");
        let text = against(&report(600));
        assert!(text.contains("1.20 (1.20–1.20)"), "{text}");
    }
}
