//! Bedrock's media formats, and how clients name them.

use crate::families::MediaKind;

/// A format by Bedrock's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    pub(crate) kind: MediaKind,
    pub(crate) word: &'static str,
}

/// Kind, Bedrock's name, media types, and extensions other than the name.
type Row = (
    MediaKind,
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

const FORMATS: &[Row] = &[
    (MediaKind::Image, "png", &["image/png"], &[]),
    (
        MediaKind::Image,
        "jpeg",
        &["image/jpeg", "image/jpg"],
        &["jpg"],
    ),
    (MediaKind::Image, "gif", &["image/gif"], &[]),
    (MediaKind::Image, "webp", &["image/webp"], &[]),
    (MediaKind::Document, "pdf", &["application/pdf"], &[]),
    (
        MediaKind::TextDocument,
        "csv",
        &["text/csv", "application/csv"],
        &[],
    ),
    (MediaKind::Document, "doc", &["application/msword"], &[]),
    (
        MediaKind::Document,
        "docx",
        &["application/vnd.openxmlformats-officedocument.wordprocessingml.document"],
        &[],
    ),
    (
        MediaKind::Document,
        "xls",
        &["application/vnd.ms-excel"],
        &[],
    ),
    (
        MediaKind::Document,
        "xlsx",
        &["application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"],
        &[],
    ),
    (MediaKind::TextDocument, "html", &["text/html"], &["htm"]),
    (
        MediaKind::TextDocument,
        "md",
        &["text/markdown", "text/x-markdown"],
        &["markdown"],
    ),
    (
        MediaKind::TextDocument,
        "txt",
        &[
            "text/plain",
            "application/json",
            "application/xml",
            "application/yaml",
            "application/x-yaml",
            "application/javascript",
        ],
        &[
            "text", "json", "xml", "yaml", "yml", "log", "py", "js", "ts", "rs", "go", "java", "c",
            "sh", "toml", "sql",
        ],
    ),
    (MediaKind::Video, "mp4", &["video/mp4"], &[]),
    (
        MediaKind::Video,
        "mov",
        &["video/quicktime", "video/mov"],
        &[],
    ),
    (
        MediaKind::Video,
        "mkv",
        &["video/x-matroska", "video/mkv"],
        &[],
    ),
    (MediaKind::Video, "webm", &["video/webm"], &[]),
    (MediaKind::Video, "flv", &["video/x-flv", "video/flv"], &[]),
    (MediaKind::Video, "mpeg", &["video/mpeg"], &[]),
    (MediaKind::Video, "mpg", &["video/mpg"], &[]),
    (
        MediaKind::Video,
        "wmv",
        &["video/x-ms-wmv", "video/wmv"],
        &[],
    ),
    (MediaKind::Video, "three_gp", &["video/3gpp"], &["3gp"]),
    (MediaKind::Audio, "mp3", &["audio/mpeg", "audio/mp3"], &[]),
    (
        MediaKind::Audio,
        "wav",
        &["audio/wav", "audio/x-wav", "audio/wave"],
        &[],
    ),
    (MediaKind::Audio, "flac", &["audio/flac"], &[]),
    (MediaKind::Audio, "ogg", &["audio/ogg"], &[]),
    (MediaKind::Audio, "opus", &["audio/opus"], &[]),
    (MediaKind::Audio, "aac", &["audio/aac"], &[]),
    (
        MediaKind::Audio,
        "m4a",
        &["audio/mp4", "audio/m4a", "audio/x-m4a"],
        &[],
    ),
    (
        MediaKind::Audio,
        "pcm",
        &["audio/pcm", "audio/l16"],
        &["pcm16"],
    ),
    (MediaKind::Audio, "webm", &["audio/webm"], &[]),
];

fn format(row: &Row) -> Format {
    Format {
        kind: row.0,
        word: row.1,
    }
}

/// The format of a lower-case media type.
pub(crate) fn by_media_type(media_type: &str) -> Option<Format> {
    let text = || {
        media_type.starts_with("text/").then_some(Format {
            kind: MediaKind::TextDocument,
            word: "txt",
        })
    };
    FORMATS
        .iter()
        .find(|row| row.2.contains(&media_type))
        .map(format)
        .or_else(text)
}

/// The format of a file extension without the dot.
pub(crate) fn by_extension(extension: &str) -> Option<Format> {
    let extension = extension.to_ascii_lowercase();
    FORMATS
        .iter()
        .find(|row| row.1 == extension || row.3.contains(&extension.as_str()))
        .map(format)
}

/// The format of a media type or an extension.
pub(crate) fn by_word(word: &str) -> Option<Format> {
    by_media_type(&word.to_ascii_lowercase()).or_else(|| by_extension(word))
}

/// The format by a file's first bytes.
pub(crate) fn by_magic(magic: &[u8; 12]) -> Option<Format> {
    let word = match magic {
        [0x89, b'P', b'N', b'G', ..] => "png",
        [0xff, 0xd8, 0xff, ..] => "jpeg",
        [b'G', b'I', b'F', b'8', ..] => "gif",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P'] => "webp",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E'] => "wav",
        [b'%', b'P', b'D', b'F', b'-', ..] => "pdf",
        _ => return None,
    };
    by_extension(word)
}

/// The formats of a kind, for an error message.
pub(crate) fn supported(kind: Option<MediaKind>) -> String {
    let words: Vec<&str> = FORMATS
        .iter()
        .filter(|row| {
            kind.is_none_or(|kind| {
                kind == row.0 || (kind == MediaKind::Document && row.0 == MediaKind::TextDocument)
            })
        })
        .map(|row| row.1)
        .collect();
    format!("supported formats: {}", words.join(", "))
}
