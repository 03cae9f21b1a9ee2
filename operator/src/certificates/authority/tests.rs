use super::*;

const NAME: &str = "bedrock-access-webhook.bedrock-access-system.svc";

fn names() -> Vec<String> {
    vec![NAME.to_owned(), "127.0.0.1".to_owned()]
}

fn subject(names: &[String]) -> Subject<'_> {
    Subject {
        authority: "authority",
        server: "webhook",
        names,
    }
}

fn start() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn is_trusted(certificate: &Bundle, by: &Bundle, at: Timestamp) -> bool {
    names()
        .iter()
        .all(|name| trusted(&certificate.certificate, &by.authorities, name, at))
}

#[test]
fn new_certificate_is_trusted_for_its_names_only() {
    let bundle = fresh(subject(&names()), &Rotation::default(), start()).unwrap();
    assert!(is_trusted(&bundle, &bundle, start()));
    assert!(!trusted(
        &bundle.certificate,
        &bundle.authorities,
        "elsewhere.svc",
        start()
    ));
    let other = fresh(subject(&names()), &Rotation::default(), start()).unwrap();
    assert!(!is_trusted(&bundle, &other, start()));
    let end = start() + Rotation::default().certificate;
    assert!(!is_trusted(&bundle, &bundle, end + Duration::from_secs(1)));
}

/// Two years in steps of one day: a client with the bundle of the previous step trusts the current certificate, and a
/// client with the current bundle trusts the previous certificate.
#[test]
fn every_step_of_two_years_is_trusted() {
    let rotation = Rotation::default();
    let mut now = start();
    let mut before = fresh(subject(&names()), &rotation, now).unwrap();
    let (mut authorities, mut certificates) = (0, 0);
    for _ in 0..(2 * 365) {
        now += Duration::from_hours(24);
        let Some(after) = next(&before, subject(&names()), &rotation, true, now).unwrap() else {
            continue;
        };
        assert!(
            is_trusted(&after, &before, now),
            "at {now}: an API server with the previous bundle"
        );
        assert!(
            is_trusted(&before, &after, now),
            "at {now}: a replica with the previous certificate"
        );
        authorities += i32::from(after.authority_key != before.authority_key);
        certificates += i32::from(after.key != before.key);
        assert!(
            (after.authority_key != before.authority_key) != (after.key != before.key),
            "one change at a time"
        );
        before = after;
    }
    assert_eq!(authorities, 2, "every eight months");
    assert!(
        (12..=16).contains(&certificates),
        "{certificates}: every two months, and with each CA"
    );
}

#[test]
fn unpublished_authority_issues_no_certificate() {
    let rotation = Rotation::default();
    let old = fresh(subject(&names()), &rotation, start()).unwrap();
    let now = start() + Duration::from_hours(24 * 250);
    // The certificate itself was renewed in the meantime.
    let (certificate, key) =
        certificate(&old.authority_key, subject(&names()), &rotation, now).unwrap();
    let old = Bundle {
        certificate,
        key,
        ..old
    };
    let announced = next(&old, subject(&names()), &rotation, true, now)
        .unwrap()
        .unwrap();
    assert_eq!(announced.certificate, old.certificate);
    assert_eq!(announced.authorities.matches(END).count(), 2);
    let later = now + rotation.overlap;
    assert_eq!(
        next(&announced, subject(&names()), &rotation, false, later).unwrap(),
        None
    );
    let too_early = now + rotation.overlap / 2;
    assert_eq!(
        next(&announced, subject(&names()), &rotation, true, too_early).unwrap(),
        None
    );
    let used = next(&announced, subject(&names()), &rotation, true, later)
        .unwrap()
        .unwrap();
    assert_ne!(used.certificate, old.certificate);
    let newest = Bundle {
        authorities: newest(&used.authorities).unwrap().to_owned(),
        ..used.clone()
    };
    assert!(is_trusted(&used, &newest, later), "issued by the new CA");
}

#[test]
fn damaged_bundle_and_changed_names_lead_to_a_new_bundle() {
    let rotation = Rotation::default();
    let good = fresh(subject(&names()), &rotation, start()).unwrap();
    let moved = ["other.svc".to_owned()];
    for (bundle, names) in [
        (
            Bundle {
                certificate: "junk".to_owned(),
                ..good.clone()
            },
            names(),
        ),
        (
            Bundle {
                authorities: String::new(),
                ..good.clone()
            },
            names(),
        ),
        (good.clone(), moved.to_vec()),
    ] {
        let made = next(&bundle, subject(&names), &rotation, true, start())
            .unwrap()
            .unwrap();
        assert!(names.iter().all(|name| trusted(
            &made.certificate,
            &made.authorities,
            name,
            start()
        )));
    }
    let long_ago = start() + Duration::from_hours(24 * 1000);
    let made = next(&good, subject(&names()), &rotation, true, long_ago)
        .unwrap()
        .unwrap();
    assert!(is_trusted(&made, &made, long_ago), "after a long downtime");
}

#[test]
fn certificate_for_a_further_server_is_of_the_existing_authority() {
    let rotation = Rotation::default();
    let good = fresh(subject(&names()), &rotation, start()).unwrap();
    let first = Bundle {
        certificate: String::new(),
        key: String::new(),
        ..good.clone()
    };
    let other = ["other.svc".to_owned()];
    let made = next(&first, subject(&other), &rotation, true, start())
        .unwrap()
        .unwrap();
    assert_eq!(made.authorities, good.authorities);
    assert_eq!(made.authority_key, good.authority_key);
    assert!(trusted(
        &made.certificate,
        &good.authorities,
        "other.svc",
        start()
    ));
    // A key of another authority would issue a certificate that no client trusts.
    let mixed = Bundle {
        authority_key: fresh(subject(&other), &rotation, start())
            .unwrap()
            .authority_key,
        ..first
    };
    let made = next(&mixed, subject(&other), &rotation, true, start())
        .unwrap()
        .unwrap();
    assert_ne!(made.authorities, good.authorities);
    assert!(made.is_trusted(subject(&other), &made.authorities, start()));
}

#[test]
fn debug_output_contains_no_keys() {
    let bundle = fresh(subject(&names()), &Rotation::default(), start()).unwrap();
    assert!(!format!("{bundle:?}").contains("PRIVATE KEY"));
}
