//! What comes out: tables for people, JSON for programs, a chart, a summary, a comparison.
#![forbid(unsafe_code)]

pub(crate) mod chart;
pub(crate) mod compare;
mod curves;
pub(crate) mod summary;
mod svg;
pub(crate) mod table;

use std::path::PathBuf;

use crate::results::Run;

/// The run as JSON.
pub(crate) fn to_json(run: &Run) -> Result<String, String> {
    serde_json::to_string_pretty(run).map(|text| text + "\n").map_err(|error| error.to_string())
}

/// A run out of a file.
fn read(file: &str) -> Result<Run, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
    serde_json::from_str(&text).map_err(|error| format!("{file}: {error}"))
}

/// The folder `sylvan-bench` in Cargo's target folder, in which this program lies.
pub(crate) fn folder() -> Result<PathBuf, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut folders = program.ancestors();
    let target = folders.find(|folder| folder.join("CACHEDIR.TAG").is_file());
    let target = target.ok_or("this program does not lie in a target folder; say --out=FOLDER")?;
    Ok(target.join("sylvan-bench"))
}

/// Three significant digits, or whole numbers with their thousands apart.
fn number(value: f64) -> String {
    let size = value.abs();
    match () {
        () if value == 0.0 => "0".to_owned(),
        () if size < 0.1 => format!("{value:.4}"),
        () if size < 10.0 => format!("{value:.2}"),
        () if size < 100.0 => format!("{value:.1}"),
        () => thousands(value.round() as i64),
    }
}

fn thousands(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut text = if value < 0 { String::from("-") } else { String::new() };
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_keeps_three_digits_and_parts_thousands() {
        assert_eq!(number(0.0), "0");
        assert_eq!(number(0.0123), "0.0123");
        assert_eq!(number(1.234), "1.23");
        assert_eq!(number(56.78), "56.8");
        assert_eq!(number(999.6), "1,000");
        assert_eq!(number(1_234_567.0), "1,234,567");
    }
}
