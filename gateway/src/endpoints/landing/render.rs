//! The landing page as text and as HTML, from the same sections.

use std::fmt::Write as _;

/// The only style of the page; the policy of the response contains its hash.
pub(super) const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;\
color:#222;background:#fff}h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:1.5rem}table{border-collapse:collapse}\
td{padding:.15rem 1.5rem .15rem 0;vertical-align:top}code{font-family:ui-monospace,monospace;font-size:.9em}\
input,textarea,button{font:inherit;color:inherit;background:inherit;border:1px solid #767676;border-radius:.25rem;\
padding:.25rem .5rem;max-width:100%;box-sizing:border-box}textarea{width:100%}input{width:30rem}label{display:block}\
#chat-log{border:1px solid #767676;border-radius:.25rem;padding:0 1rem;max-height:30rem;overflow:auto;white-space:pre-wrap;\
overflow-wrap:anywhere}#chat-log:empty{display:none}#chat-log b{display:block}#chat-log .failed{color:#b3141d}\
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}#chat-log .failed{color:#ff7b72}}";
/// The chat of the page, and its only script; the policy of the response contains its hash.
const CHAT: &str = include_str!("chat.html");
pub(super) const SCRIPT: &str = include_str!("chat.js");

/// The content of the page.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) title: String,
    pub(super) notes: Vec<String>,
    pub(super) sections: Vec<Section>,
}

/// A heading with rows of a term and, if not empty, its description.
#[derive(Debug)]
pub(super) struct Section {
    heading: String,
    rows: Vec<(String, String)>,
}

impl Section {
    pub(super) fn new(heading: &str, rows: Vec<(String, String)>) -> Self {
        Self {
            heading: heading.to_owned(),
            rows,
        }
    }

    /// Whether its terms are names to copy, in contrast to sentences.
    fn has_descriptions(&self) -> bool {
        self.rows
            .iter()
            .any(|(_, description)| !description.is_empty())
    }
}

impl Page {
    pub(super) fn text(&self) -> String {
        let mut out = format!("{}\n", self.title);
        for note in &self.notes {
            push(&mut out, format_args!("{note}\n"));
        }
        for section in &self.sections {
            push(&mut out, format_args!("\n{}\n", section.heading));
            let width = section
                .rows
                .iter()
                .filter(|(_, description)| !description.is_empty())
                .map(|(term, _)| term.chars().count())
                .max()
                .unwrap_or_default();
            for (term, description) in &section.rows {
                let row = format!("  {term:width$}  {description}");
                push(&mut out, format_args!("{}\n", row.trim_end()));
            }
        }
        out
    }

    pub(super) fn html(&self) -> String {
        let title = escaped(&self.title);
        let mut out = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
            content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style></head>\n<body><main>\n\
            <h1>{title}</h1>\n"
        );
        for note in &self.notes {
            push(&mut out, format_args!("<p>{}</p>\n", escaped(note)));
        }
        for section in &self.sections {
            push(
                &mut out,
                format_args!("<h2>{}</h2>\n", escaped(&section.heading)),
            );
            if section.has_descriptions() || section.rows.len() > 1 {
                out.push_str("<table>\n");
                for (term, description) in &section.rows {
                    push(
                        &mut out,
                        format_args!(
                            "<tr><td><code>{}</code></td><td>{}</td></tr>\n",
                            escaped(term),
                            escaped(description)
                        ),
                    );
                }
                out.push_str("</table>\n");
            } else {
                for (term, _) in &section.rows {
                    push(&mut out, format_args!("<p>{}</p>\n", escaped(term)));
                }
            }
        }
        push(
            &mut out,
            format_args!("{CHAT}</main><script>{SCRIPT}</script></body></html>\n"),
        );
        out
    }
}

/// Text for the content of an element.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _: std::fmt::Result = text.write_fmt(arguments);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Page {
        let rows = vec![
            ("short".to_owned(), "one".to_owned()),
            ("much longer".to_owned(), "<two> & \"three\"".to_owned()),
        ];
        Page {
            title: "name 1".to_owned(),
            notes: vec!["A note.".to_owned()],
            sections: vec![Section::new("Rows", rows)],
        }
    }

    #[test]
    fn text_aligns_the_descriptions() {
        assert_eq!(
            page().text(),
            "name 1\nA note.\n\nRows\n  short        one\n  much longer  <two> & \"three\"\n"
        );
    }

    #[test]
    fn html_escapes_all_values() {
        let html = page().html();
        assert!(
            html.contains("<td>&lt;two&gt; &amp; &quot;three&quot;</td>"),
            "{html}"
        );
    }
}
