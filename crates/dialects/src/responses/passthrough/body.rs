//! A request whose tools and items keep their text unless they are adapted: Bedrock's cache compares what the model
//! reads, and a number in a schema that becomes another text (`1.00` and `1.0`) is another prefix.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

use crate::translation::write::quoted;

/// The members of a request, in order.
pub(super) struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Body;

        impl<'de> Visitor<'de> for Body {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                /// A name that borrows from the body if it has no escapes.
                #[derive(Deserialize)]
                struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

                let mut members = Vec::new();
                while let Some((Name(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Body)
    }
}

/// A tool or an item.
pub(super) struct Element<'a> {
    /// The client's text, unless it is adapted.
    text: Option<&'a RawValue>,
    pub(super) value: Value,
}

impl<'a> Element<'a> {
    /// An element that the client has at another place.
    pub(super) const fn new(value: Value) -> Self {
        Self { text: None, value }
    }

    fn read(text: &'a RawValue) -> Option<Self> {
        let value = serde_json::from_str(text.get()).ok()?;
        Some(Self {
            text: Some(text),
            value,
        })
    }

    /// Marks the element as adapted.
    pub(super) const fn changed(&mut self) {
        self.text = None;
    }

    fn json(&self) -> String {
        match self.text {
            Some(text) => text.get().to_owned(),
            None => self.value.to_string(),
        }
    }
}

/// The members that are adapted.
#[derive(Default)]
pub(super) struct Parts<'a> {
    /// Absent if the request has no list of tools.
    pub(super) tools: Option<Vec<Element<'a>>>,
    pub(super) items: Option<Vec<Element<'a>>>,
    pub(super) choice: Option<Value>,
}

impl<'a> Members<'a> {
    /// The last member of this name, as JSON keeps it.
    fn get(&self, name: &str) -> Option<&'a RawValue> {
        let found = self.0.iter().rfind(|(known, _)| known == name);
        found.map(|(_, value)| *value)
    }

    fn elements(&self, name: &str) -> Option<Vec<Element<'a>>> {
        let list: Vec<&'a RawValue> = serde_json::from_str(self.get(name)?.get()).ok()?;
        list.into_iter().map(Element::read).collect()
    }

    pub(super) fn parts(&self) -> Parts<'a> {
        let choice = self.get("tool_choice");
        Parts {
            tools: self.elements("tools"),
            items: self.elements("input"),
            choice: choice.and_then(|choice| serde_json::from_str(choice.get()).ok()),
        }
    }

    /// The body with adapted parts, for `model`.
    pub(super) fn with(&self, parts: &Parts<'_>, model: &str) -> String {
        let lists = [("tools", &parts.tools), ("input", &parts.items)];
        let list = |name: &str| {
            let found = lists.iter().find(|(known, _)| *known == name);
            let elements = found.and_then(|(_, elements)| elements.as_ref())?;
            let texts: Vec<String> = elements.iter().map(Element::json).collect();
            Some(format!("[{}]", texts.join(",")))
        };
        let mut members = Vec::with_capacity(self.0.len().saturating_add(1));
        for (name, value) in &self.0 {
            let text = match name.as_ref() {
                "model" => quoted(model),
                "tool_choice" => match &parts.choice {
                    Some(choice) => choice.to_string(),
                    None => value.get().to_owned(),
                },
                name => list(name).unwrap_or_else(|| value.get().to_owned()),
            };
            members.push(format!("{}:{text}", quoted(name)));
        }
        if self.get("tools").is_none()
            && let Some(tools) = list("tools")
        {
            members.push(format!("\"tools\":{tools}"));
        }
        format!("{{{}}}", members.join(","))
    }
}
