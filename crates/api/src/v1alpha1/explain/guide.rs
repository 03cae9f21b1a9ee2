//! Reads the troubleshooting guide, which is compiled in: the table of gateway reasons, and its sections as plain text.

const TEXT: &str = include_str!("../../../../../docs/guide/troubleshooting.md");
const TABLE: &str = "## Gateway reasons";

/// The troubleshooting guide.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guide {
    text: &'static str,
}

impl Guide {
    pub(super) fn builtin() -> Self {
        Self { text: TEXT }
    }

    /// The rows of the table of gateway reasons: each name, its fix, and the anchors of the sections that the fix links to.
    pub(super) fn reasons(self) -> Vec<(String, String, Vec<String>)> {
        let after = self.text.split(TABLE).nth(1).unwrap_or_default();
        let table = after.lines().skip_while(|line| !line.starts_with('|'));
        let rows = table.take_while(|line| line.starts_with('|')).skip(2);
        let mut reasons = Vec::new();
        for row in rows {
            let mut cells = row.trim_matches('|').split(" | ");
            let (Some(names), Some(fix)) = (cells.next(), cells.next()) else {
                continue;
            };
            let (fix, anchors) = without_links(fix.trim());
            for name in names.split(',') {
                let name = name.trim().trim_matches('`').to_owned();
                reasons.push((name, fix.clone(), anchors.clone()));
            }
        }
        reasons
    }

    /// A section with its heading, without links and comments.
    pub(super) fn section(self, anchor: &str) -> Option<String> {
        let mut lines = self
            .text
            .lines()
            .skip_while(|line| heading(line).is_none_or(|heading| slug(heading) != anchor));
        let title = heading(lines.next()?)?;
        let body = lines.take_while(|line| heading(line).is_none());
        let body = body.filter(|line| !line.starts_with("<!--") && !line.starts_with("```"));
        let body: Vec<String> = body.map(|line| without_links(line).0).collect();
        let body = body.join("\n");
        Some(format!("{title}\n{}", indented(body.trim())))
    }
}

fn heading(line: &str) -> Option<&str> {
    line.strip_prefix("## ")
}

/// The anchor of a heading, as web pages of repositories make it.
fn slug(heading: &str) -> String {
    let lower = heading.to_lowercase();
    let kept = lower
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn indented(text: &str) -> String {
    let lines = text.lines().map(|line| {
        if line.is_empty() {
            String::new()
        } else {
            format!("  {line}")
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A Markdown text with the text of each link in place of the link, and the anchors in this page that it links to.
fn without_links(text: &str) -> (String, Vec<String>) {
    let mut plain = String::new();
    let mut anchors = Vec::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once('[') {
        let Some((label, (target, after))) = link
            .split_once("](")
            .and_then(|(label, target)| Some((label, target.split_once(')')?)))
        else {
            break;
        };
        plain.push_str(before);
        plain.push_str(label);
        anchors.extend(target.strip_prefix('#').map(str::to_owned));
        rest = after;
    }
    plain.push_str(rest);
    (plain, anchors)
}
