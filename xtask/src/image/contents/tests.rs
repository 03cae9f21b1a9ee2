use std::collections::BTreeSet;

use super::*;
use crate::console::Console;

fn contents() -> Contents {
    let debian = [Package {
        name: "libc6".to_owned(),
        version: "2.36-9+deb12u10".to_owned(),
        architecture: "amd64".to_owned(),
        distribution: "debian-12".to_owned(),
    }];
    Console::new()
        .step("contents of an image", |step| {
            let created = "2026-01-01T00:00:00Z".to_owned();
            let program = "bedrock-access-operator";
            Contents::new(step, Profile::Published, program, &debian, created)
        })
        .unwrap()
}

#[test]
fn bills_list_crates_and_packages_and_not_what_tests_use() {
    let contents = contents();
    for (name, text) in contents.sboms() {
        for part in [
            "\"bedrock-access-operator\"",
            "\"pkg:cargo/kube-client@",
            "\"pkg:generic/bedrock-access/api@",
            "\"pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64&distro=debian-12\"",
            "\"pkg:generic/rust-std@",
        ] {
            assert!(text.contains(part), "{name} has no {part}");
        }
        // Used by tests of the operator only.
        for part in [
            "pkg:cargo/insta@",
            "pkg:generic/bedrock-access/localcluster@",
        ] {
            assert!(!text.contains(part), "{name} has {part}");
        }
    }
    let macros = contents.components.iter().find(|part| part.name == "syn");
    assert!(!macros.unwrap().shipped);
}

#[test]
fn every_crate_of_a_registry_has_a_licence_a_checksum_and_a_user() {
    let contents = contents();
    let used: BTreeSet<&String> = contents.uses.values().flatten().collect();
    for part in &contents.components {
        assert!(used.contains(&part.purl), "nothing uses {}", part.purl);
        if part.purl.starts_with("pkg:cargo/") {
            assert!(part.licence.is_some(), "{}", part.purl);
            assert!(part.checksum.is_some(), "{}", part.purl);
        }
    }
}

#[test]
fn every_crate_has_its_licence_in_the_text() {
    let contents = contents();
    let text = licences::text(&contents.program, &contents.components).unwrap();
    for part in &contents.components {
        if part.purl.starts_with("pkg:cargo/") {
            let heading = format!("\n{} {} (", part.name, part.version);
            assert!(text.contains(&heading), "{heading}");
        }
    }
    assert!(text.contains("Permission is hereby granted"));
}

#[test]
fn equal_sources_give_equal_bills() {
    assert_eq!(contents().sboms(), contents().sboms());
}
