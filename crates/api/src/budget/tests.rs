use super::*;

#[track_caller]
fn check(period: Period, zone: &str, now: &str, expected: (&str, &str)) {
    let seconds = |text: &str| {
        let time: Timestamp = text.parse().unwrap();
        u64::try_from(time.as_second()).unwrap()
    };
    let window = period.window(&zone.parse().unwrap(), seconds(now));
    let expected = Window {
        start: seconds(expected.0),
        end: seconds(expected.1),
    };
    assert_eq!(window, expected, "{period:?} {zone} {now}");
}

#[test]
fn windows_start_at_midnight_of_the_time_zone() {
    check(
        Period::Day,
        "UTC",
        "2026-11-29T23:59:59Z",
        ("2026-11-29T00:00:00Z", "2026-11-30T00:00:00Z"),
    );
    check(
        Period::Day,
        "Asia/Kolkata",
        "2026-11-29T18:29:59Z",
        ("2026-11-28T18:30:00Z", "2026-11-29T18:30:00Z"),
    );
    // Sunday in UTC is Monday in Tokyo.
    check(
        Period::Week,
        "Asia/Tokyo",
        "2026-11-29T15:00:00Z",
        ("2026-11-29T15:00:00Z", "2026-12-06T15:00:00Z"),
    );
    check(
        Period::Month,
        "America/New_York",
        "2026-03-01T04:59:59Z",
        ("2026-02-01T05:00:00Z", "2026-03-01T05:00:00Z"),
    );
    check(
        Period::Month,
        "UTC",
        "2024-02-29T12:00:00Z",
        ("2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"),
    );
}

#[test]
fn windows_follow_changes_of_the_clock() {
    // 23 and 25 hours.
    check(
        Period::Day,
        "Europe/Berlin",
        "2026-03-29T12:00:00Z",
        ("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
    );
    check(
        Period::Day,
        "Europe/Berlin",
        "2026-10-25T12:00:00Z",
        ("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
    );
    // Midnight happens twice; the second one starts nothing.
    for now in ["2010-11-07T02:30:00Z", "2010-11-07T02:45:00Z"] {
        check(
            Period::Day,
            "America/St_Johns",
            now,
            ("2010-11-07T02:30:00Z", "2010-11-08T03:30:00Z"),
        );
    }
    // Beirut skips midnight.
    check(
        Period::Day,
        "Asia/Beirut",
        "2026-03-29T12:00:00Z",
        ("2026-03-28T22:00:00Z", "2026-03-29T21:00:00Z"),
    );
}

#[test]
fn every_time_is_in_its_window_and_windows_leave_no_gap() {
    for zone in [
        "UTC",
        "America/St_Johns",
        "Pacific/Apia",
        "Asia/Beirut",
        "Africa/Cairo",
    ] {
        let zone: TimeZone = zone.parse().unwrap();
        for period in [Period::Day, Period::Week, Period::Month] {
            let mut window = period.window(&zone, 1_300_000_000);
            for _ in 0..400 {
                assert!(window.start < window.end);
                assert_eq!(period.window(&zone, window.start), window);
                assert_eq!(period.window(&zone, window.end - 1), window);
                let next = period.window(&zone, window.end);
                assert_eq!(next.start, window.end, "{period:?} {zone:?}");
                window = next;
            }
        }
    }
}

#[test]
fn times_beyond_the_calendar_have_one_window() {
    let zone = TimeZone::default();
    for seconds in [u64::MAX, u64::MAX / 2] {
        let window = Period::Month.window(&zone, seconds);
        assert_eq!((window.start, window.end), (0, u64::MAX));
    }
}

#[test]
fn unknown_time_zones_are_rejected_with_an_example() {
    for name in ["", "Mars/Olympus", "CEST", "../etc/passwd"] {
        let error = name.parse::<TimeZone>().unwrap_err().to_string();
        assert!(error.contains("Europe/Berlin"), "{error}");
    }
    // The name of the database, so that two spellings are one budget.
    assert_eq!(
        "europe/berlin".parse::<TimeZone>().unwrap().as_str(),
        "Europe/Berlin"
    );
}

#[test]
fn largest_amounts_are_counted_exactly_by_doubles() {
    assert!(Amount::Usd(MAX_USD).count() < MAX_AMOUNT);
    assert_eq!(Amount::Usd(MAX_USD).count(), MAX_USD * 1_000_000_000);
    assert_eq!(Amount::Tokens(MAX_TOKENS).count(), MAX_TOKENS);
}
