//! CycloneDX 1.6 as JSON: <https://cyclonedx.org/docs/1.6/json/>.

use serde_json::{Value, json};

use super::{Component, Contents};
use crate::image::VERSION;

/// The SBOM.
pub(super) fn document(contents: &Contents) -> Value {
    let mut program = component(&contents.program, "application");
    insert(&mut program, "scope", None);
    let purls = [&contents.program]
        .into_iter()
        .chain(&contents.components)
        .map(|component| component.purl.as_str());
    let dependencies: Vec<Value> = purls
        .map(|purl| match contents.uses.get(purl) {
            Some(uses) => json!({ "ref": purl, "dependsOn": uses }),
            None => json!({ "ref": purl }),
        })
        .collect();
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": contents.urn(),
        "version": 1,
        "metadata": {
            "timestamp": contents.created,
            "tools": { "components": [
                { "type": "application", "name": "bedrock-access xtask", "version": VERSION },
            ] },
            "component": program,
            "supplier": { "name": "Bedrock Access" },
        },
        "components": contents.components.iter()
            .map(|part| component(part, "library"))
            .collect::<Vec<_>>(),
        "dependencies": dependencies,
    })
}

fn component(part: &Component, kind: &str) -> Value {
    let mut value = json!({
        "type": kind,
        "bom-ref": part.purl,
        "name": part.name,
        "version": part.version,
        "purl": part.purl,
    });
    // "excluded" means that the component is not in the product.
    let scope = if part.shipped { "required" } else { "excluded" };
    insert(&mut value, "scope", Some(json!(scope)));
    let licences = part.licence.as_ref();
    let licences = licences.map(|expression| json!([{ "expression": expression }]));
    insert(&mut value, "licenses", licences);
    let hashes = part.checksum.as_ref();
    let hashes = hashes.map(|checksum| json!([{ "alg": "SHA-256", "content": checksum }]));
    insert(&mut value, "hashes", hashes);
    let supplier = part.supplier.map(|name| json!({ "name": name }));
    insert(&mut value, "supplier", supplier);
    value
}

/// Sets a key, or removes it.
fn insert(object: &mut Value, key: &str, value: Option<Value>) {
    if let Some(object) = object.as_object_mut() {
        match value {
            Some(value) => object.insert(key.to_owned(), value),
            None => object.remove(key),
        };
    }
}
