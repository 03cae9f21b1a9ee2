//! Reads the request types of a generated Python SDK: typed dictionaries, unions of them, and lists of literals.
//!
//! The SDKs are generated, so their files have one layout; this is no parser for Python.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::repository;

/// A module of the SDK.
struct Module {
    path: PathBuf,
    text: String,
}

impl Module {
    fn read(path: &Path) -> Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            text: repository::read(path)?,
        })
    }

    /// The lines of a class, without documentation.
    fn class(&self, name: &str) -> Option<Vec<&str>> {
        let start = format!("class {name}(");
        let mut lines = self
            .text
            .lines()
            .skip_while(|line| !line.starts_with(&start));
        lines.next()?;
        let mut documentation = false;
        let mut body = Vec::new();
        for line in lines.take_while(|line| line.is_empty() || line.starts_with(' ')) {
            let marks = line.matches("\"\"\"").count();
            if !documentation && marks == 0 {
                body.push(line);
            }
            documentation ^= marks == 1;
        }
        Some(body)
    }

    /// The right side of `Name: TypeAlias = …`.
    fn alias(&self, name: &str) -> Option<&str> {
        let start = format!("\n{name}: TypeAlias = ");
        let (_, rest) = self.text.split_once(&start)?;
        let end = rest.find("\n\n").unwrap_or(rest.len());
        rest.get(..end)
    }

    /// The module and the original name of an imported name.
    fn import(&self, name: &str) -> Option<(PathBuf, String)> {
        for statement in self.text.split("\nfrom ").skip(1) {
            let (module, rest) = statement.split_once(" import ")?;
            let names = match rest.strip_prefix('(') {
                Some(list) => list.split(')').next(),
                None => rest.lines().next(),
            };
            for one in names?.split(',') {
                let mut words = one.split_whitespace();
                let original = words.next().unwrap_or_default();
                if words.next_back().unwrap_or(original) == name {
                    return Some((self.file_of(module)?, original.to_owned()));
                }
            }
        }
        None
    }

    /// The file of a relative module name such as `..chat.message`.
    fn file_of(&self, module: &str) -> Option<PathBuf> {
        let path = module.trim_start_matches('.');
        let dots = module.len() - path.len();
        let mut file = self.path.ancestors().nth(dots)?.to_owned();
        file.extend(path.split('.'));
        file.set_extension("py");
        (dots > 0).then_some(file)
    }
}

/// The fields of a typed dictionary.
pub(super) fn fields(file: &Path, class: &str) -> Result<Vec<String>> {
    let module = Module::read(file)?;
    let body = module
        .class(class)
        .with_context(|| format!("{} has no class {class}", file.display()))?;
    Ok(body
        .into_iter()
        .filter_map(field)
        .map(str::to_owned)
        .collect())
}

fn field(line: &str) -> Option<&str> {
    let name = line.strip_prefix("    ")?.split_once(':')?.0;
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (!name.is_empty() && name.chars().all(is_name)).then_some(name)
}

/// The values of `type` in all members of a union.
pub(super) fn types(file: &Path, union: &str) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let mut seen = BTreeSet::new();
    resolve(file, union, &mut seen, &mut found)?;
    Ok(found)
}

fn resolve(
    file: &Path,
    name: &str,
    seen: &mut BTreeSet<(PathBuf, String)>,
    found: &mut BTreeSet<String>,
) -> Result<()> {
    if !seen.insert((file.to_owned(), name.to_owned())) {
        return Ok(());
    }
    let module = Module::read(file)?;
    if let Some(body) = module.class(name) {
        let text = body.join("\n");
        if let Some((_, rest)) = text.split_once("    type: ") {
            found.extend(literals(first_statement(rest)));
        }
        return Ok(());
    }
    if let Some(right) = module.alias(name) {
        let words = right.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for word in words.filter(|word| word.starts_with(char::is_uppercase)) {
            resolve(file, word, seen, found)?;
        }
        return Ok(());
    }
    match module.import(name) {
        Some((file, original)) if file.is_file() => resolve(&file, &original, seen, found),
        _ => Ok(()),
    }
}

/// The text up to the end of the line on which all brackets are closed.
fn first_statement(text: &str) -> &str {
    let mut open = 0_i32;
    for (index, character) in text.char_indices() {
        match character {
            '[' | '(' => open += 1,
            ']' | ')' => open -= 1,
            '\n' if open <= 0 => return text.get(..index).unwrap_or(text),
            _ => {}
        }
    }
    text
}

fn literals(text: &str) -> Vec<String> {
    text.split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// All literals of an alias.
pub(super) fn values(file: &Path, alias: &str) -> Result<Vec<String>> {
    let module = Module::read(file)?;
    let right = module
        .alias(alias)
        .with_context(|| format!("{} has no alias {alias}", file.display()))?;
    // A documentation text may follow directly.
    let code = right.split("\n\"\"\"").next().unwrap_or(right);
    Ok(literals(code))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn reads_fields_unions_and_literals_of_generated_modules() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = directory.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        write(
            "text_param.py",
            "from x import y\n\n\nclass TextParam(TypedDict, total=False):\n    text: Required[str]\n\n    type: Required[Literal[\"text\"]]\n",
        );
        let file = write(
            "item.py",
            "import os\n\nfrom .text_param import TextParam as Words\nfrom .none import (\n    Absent,\n)\n\n\
             class Call(TypedDict, total=False):\n    \"\"\"A call.\n\n    note: not a field\n    \"\"\"\n\n    id: str\n    \"\"\"Its id.\"\"\"\n\n    \
             type: Literal[\n        \"call\", \"other_call\"\n    ]\n\n\nItem: TypeAlias = Union[\n    Words,\n    Call,\n    Absent,\n]\n\n\
             Flag: TypeAlias = Union[\n    str,\n    Literal[\n        \"a-2026-01-01\",\n    ],\n]\n\"\"\"Its `b` and \"c\".\"\"\"\n",
        );
        assert_eq!(fields(&file, "Call").unwrap(), ["id", "type"]);
        let types: Vec<String> = types(&file, "Item").unwrap().into_iter().collect();
        assert_eq!(types, ["call", "other_call", "text"]);
        assert_eq!(values(&file, "Flag").unwrap(), ["a-2026-01-01"]);
    }
}
