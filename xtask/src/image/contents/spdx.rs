//! SPDX 2.3 as JSON: <https://spdx.github.io/spdx-spec/v2.3/>.

use serde_json::{Value, json};

use super::{Component, Contents};
use crate::image::VERSION;

/// The identifier of the document itself.
const DOCUMENT: &str = "SPDXRef-DOCUMENT";
/// "Not known", where a field is required.
const UNKNOWN: &str = "NOASSERTION";

/// The SBOM.
pub(super) fn document(contents: &Contents) -> Value {
    let parts = || [&contents.program].into_iter().chain(&contents.components);
    let root = identifier(&contents.program.purl);
    let mut relationships = vec![relationship(DOCUMENT, "DESCRIBES", &root)];
    for part in parts() {
        let this = identifier(&part.purl);
        if !part.shipped {
            relationships.push(relationship(&this, "BUILD_TOOL_OF", &root));
        }
        let uses = contents.uses.get(&part.purl).into_iter().flatten();
        relationships.extend(uses.map(|used| relationship(&this, "DEPENDS_ON", &identifier(used))));
    }
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": DOCUMENT,
        "name": format!("{}-{}", contents.program.name, contents.program.version),
        "documentNamespace": contents.urn(),
        "creationInfo": {
            "created": contents.created,
            "creators": [
                "Organization: Bedrock Access",
                format!("Tool: bedrock-access-xtask-{VERSION}"),
            ],
        },
        "packages": parts().map(package).collect::<Vec<_>>(),
        "relationships": relationships,
    })
}

fn package(part: &Component) -> Value {
    let supplier = part.supplier.map(|name| format!("Organization: {name}"));
    let checksums: Vec<Value> = part
        .checksum
        .iter()
        .map(|value| json!({ "algorithm": "SHA256", "checksumValue": value }))
        .collect();
    json!({
        "SPDXID": identifier(&part.purl),
        "name": part.name,
        "versionInfo": part.version,
        "supplier": supplier.as_deref().unwrap_or(UNKNOWN),
        "downloadLocation": UNKNOWN,
        "filesAnalyzed": false,
        "licenseConcluded": UNKNOWN,
        "licenseDeclared": part.licence.as_deref().unwrap_or(UNKNOWN),
        "copyrightText": UNKNOWN,
        "checksums": checksums,
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": part.purl,
        }],
    })
}

fn relationship(from: &str, kind: &str, to: &str) -> Value {
    json!({ "spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to })
}

/// An identifier of letters, digits, dots and hyphens; different package URLs of an image give different identifiers.
fn identifier(purl: &str) -> String {
    let purl = purl.strip_prefix("pkg:").unwrap_or(purl);
    let allowed = |letter: char| {
        if letter.is_ascii_alphanumeric() || letter == '.' {
            letter
        } else {
            '-'
        }
    };
    format!("SPDXRef-{}", purl.chars().map(allowed).collect::<String>())
}
