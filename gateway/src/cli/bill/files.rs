//! Files with JSON or CSV, possibly compressed.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read as _},
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;

use super::error::Error;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const PARQUET: &[u8] = b"PAR1";

/// Opens a file, and decompresses it if it is compressed.
pub(super) fn open(path: &Path) -> Result<Box<dyn BufRead>, Error> {
    let failed = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let mut file = BufReader::new(File::open(path).map_err(failed)?);
    let start = file.fill_buf().map_err(failed)?;
    if start.starts_with(PARQUET) {
        return Err(Error::Format {
            path: path.to_owned(),
            problem: "Parquet is not supported. Fix: select text/csv as the format of the export, or convert the file, \
                such as with DuckDB: COPY (SELECT * FROM 'report.parquet') TO 'report.csv' (HEADER)"
                .to_owned(),
        });
    }
    if start.starts_with(&GZIP) {
        return Ok(Box::new(BufReader::new(MultiGzDecoder::new(file))));
    }
    Ok(Box::new(file))
}

/// The text of a file. Bytes that are not UTF-8 are replaced.
pub(super) fn text(path: &Path) -> Result<String, Error> {
    let mut bytes = Vec::new();
    let read = open(path)?.read_to_end(&mut bytes);
    read.map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The files in a directory and below, sorted; a file itself.
pub(super) fn below(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    if !fs::metadata(path).map_err(failed)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut entries = fs::read_dir(path)
        .map_err(failed)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;
    entries.sort();
    let mut files = Vec::new();
    for entry in entries {
        files.extend(below(&entry)?);
    }
    Ok(files)
}
