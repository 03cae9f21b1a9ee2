//! Compares an object in the cluster with the desired object.
//!
//! An object is as desired if every desired field has the desired value, and we own no field that is no longer desired.
//! The owners of fields are in `metadata.managedFields`, which server-side apply maintains
//! (<https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management>). Fields that only others own
//! are ignored.

use api::names;
use kube::{ResourceExt, api::DynamicObject};
use serde_json::{Map, Value};

/// A field that is not as desired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Path of the field, such as `metadata.annotations.eks.amazonaws.com/role-arn`.
    pub(crate) path: String,
    /// Whether another field manager set it to another value and owns it now.
    pub(crate) taken_over: bool,
}

/// Fields of the document that identify the object.
const IDENTITY: [&str; 2] = ["apiVersion", "kind"];
/// Fields of the metadata that identify the object.
const METADATA_IDENTITY: [&str; 2] = ["name", "namespace"];

/// The differences between `desired` and `found`; empty if no write is needed.
pub(crate) fn compare(desired: &Value, found: &DynamicObject) -> Vec<Difference> {
    let owned = owned_fields(found);
    let mut differences = Vec::new();
    let Some(owned) = owned else {
        differences.push(Difference {
            path: "metadata.managedFields".to_owned(),
            taken_over: false,
        });
        return differences;
    };
    let metadata = serde_json::to_value(&found.metadata).unwrap_or_default();
    for (name, wanted) in desired.as_object().into_iter().flatten() {
        if IDENTITY.contains(&name.as_str()) {
            continue;
        }
        let present = if name == "metadata" {
            Some(&metadata)
        } else {
            found.data.get(name)
        };
        let mut walk = Walk {
            differences: &mut differences,
        };
        walk.value(name, wanted, present, owned.get(format!("f:{name}")));
    }
    for name in owned
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(key, _)| key.strip_prefix("f:"))
    {
        if desired.get(name).is_none() {
            differences.push(unwanted(name));
        }
    }
    differences
}

/// The fields we own, in the notation of managed fields.
pub(crate) fn owned_fields(found: &DynamicObject) -> Option<&Value> {
    found
        .managed_fields()
        .iter()
        .find(|entry| {
            entry.manager.as_deref() == Some(names::FIELD_MANAGER)
                && entry.operation.as_deref() == Some("Apply")
                && entry.subresource.as_deref().unwrap_or_default().is_empty()
        })
        .and_then(|entry| entry.fields_v1.as_ref())
        .map(|fields| &fields.0)
}

struct Walk<'a> {
    differences: &'a mut Vec<Difference>,
}

impl Walk<'_> {
    fn value(&mut self, path: &str, desired: &Value, found: Option<&Value>, owned: Option<&Value>) {
        match desired {
            Value::Null => {}
            Value::Object(fields) => self.object(path, fields, found, owned),
            Value::Array(items) => self.list(path, items, found, owned),
            scalar => {
                if !found.is_some_and(|found| same(path, scalar, found)) {
                    self.differences.push(Difference {
                        path: path.to_owned(),
                        taken_over: owned.is_none() && found.is_some(),
                    });
                }
            }
        }
    }

    fn object(
        &mut self,
        path: &str,
        desired: &Map<String, Value>,
        found: Option<&Value>,
        owned: Option<&Value>,
    ) {
        if desired.is_empty() && found.is_none() {
            self.differences.push(Difference {
                path: path.to_owned(),
                taken_over: false,
            });
        }
        for (name, wanted) in desired {
            if path == "metadata" && METADATA_IDENTITY.contains(&name.as_str()) {
                continue;
            }
            self.value(
                &format!("{path}.{name}"),
                wanted,
                found.and_then(|found| found.get(name)),
                within(owned, &format!("f:{name}")),
            );
        }
        let owned = owned.and_then(Value::as_object).into_iter().flatten();
        for name in owned.filter_map(|(key, _)| key.strip_prefix("f:")) {
            if !desired.contains_key(name) {
                self.differences.push(unwanted(&format!("{path}.{name}")));
            }
        }
    }

    fn list(
        &mut self,
        path: &str,
        desired: &[Value],
        found: Option<&Value>,
        owned: Option<&Value>,
    ) {
        let none = Vec::new();
        let found = found.and_then(Value::as_array).unwrap_or(&none);
        let keys = owned_keys(owned);
        if keys.is_empty() {
            self.whole_list(path, desired, found, owned);
            return;
        }
        for (index, wanted) in desired.iter().enumerate() {
            let of_owner = keys.iter().find(|(key, _)| has_key(wanted, key));
            // An element that we do not own yet is found by the same key fields as the other elements.
            let key = of_owner.map_or_else(
                || key_of(wanted, keys.first().map(|(key, _)| key)),
                |(key, _)| key.clone(),
            );
            let present = found.iter().find(|candidate| has_key(candidate, &key));
            self.value(
                &format!("{path}[{index}]"),
                wanted,
                present,
                of_owner.map(|(_, owned)| *owned),
            );
        }
        for (key, _) in &keys {
            if !desired.iter().any(|wanted| has_key(wanted, key)) {
                let key = Value::Object(key.clone());
                self.differences.push(unwanted(&format!("{path}[{key}]")));
            }
        }
    }

    /// An atomic list, which has one owner: compares length, elements and order. The API server may have added defaults
    /// to an element, so a field that another manager added shows only as a change of the list's owner.
    fn whole_list(
        &mut self,
        path: &str,
        desired: &[Value],
        found: &[Value],
        owned: Option<&Value>,
    ) {
        if desired.len() != found.len() || (owned.is_none() && !desired.is_empty()) {
            self.differences.push(Difference {
                path: path.to_owned(),
                taken_over: owned.is_none() && !found.is_empty(),
            });
            return;
        }
        for (index, (wanted, present)) in desired.iter().zip(found).enumerate() {
            self.value(&format!("{path}[{index}]"), wanted, Some(present), owned);
        }
    }
}

/// The ownership of a part: an owned field without parts is owned as a whole.
fn within<'a>(owned: Option<&'a Value>, part: &str) -> Option<&'a Value> {
    let parts = owned?.as_object()?;
    if parts.is_empty() {
        owned
    } else {
        parts.get(part)
    }
}

fn unwanted(path: &str) -> Difference {
    Difference {
        path: path.to_owned(),
        taken_over: false,
    }
}

/// The keys of the list elements that we own: `k:{"name":"x"}` in the notation of managed fields.
fn owned_keys(owned: Option<&Value>) -> Vec<(Map<String, Value>, &Value)> {
    owned
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(key, owned)| {
            let key = serde_json::from_str(key.strip_prefix("k:")?).ok()?;
            Some((key, owned))
        })
        .collect()
}

fn has_key(element: &Value, key: &Map<String, Value>) -> bool {
    !key.is_empty()
        && key
            .iter()
            .all(|(name, value)| element.get(name) == Some(value))
}

/// The key of an element, with the field names of another key.
fn key_of(element: &Value, like: Option<&Map<String, Value>>) -> Map<String, Value> {
    like.into_iter()
        .flat_map(Map::keys)
        .filter_map(|name| Some((name.clone(), element.get(name)?.clone())))
        .collect()
}

/// Whether the values are equal, or are the same quantity: the API server stores `0.5` as `500m`.
fn same(path: &str, desired: &Value, found: &Value) -> bool {
    if desired == found {
        return true;
    }
    let is_quantity = path.contains(".resources.");
    match (desired, found) {
        (Value::String(desired), Value::String(found)) if is_quantity => {
            quantity(desired).is_some_and(|one| quantity(found) == Some(one))
        }
        _ => false,
    }
}

/// A quantity in thousandths,
/// <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>.
fn quantity(text: &str) -> Option<i128> {
    let digits = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-' || c == '+'))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at_checked(digits)?;
    let factor: i128 = match suffix {
        "m" => 1,
        "" => 1_000,
        "k" => 1_000_000,
        "M" => 1_000_000_000,
        "G" => 1_000_000_000_000,
        "T" => 1_000_000_000_000_000,
        "Ki" => 1_000 << 10,
        "Mi" => 1_000 << 20,
        "Gi" => 1_000 << 30,
        "Ti" => 1_000 << 40,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let mantissa: i128 = format!("{whole}{fraction}").parse().ok()?;
    let product = mantissa.checked_mul(factor)?;
    (product % scale == 0).then_some(product / scale)
}

#[cfg(test)]
mod tests;
