//! Where and with what was measured: machine, compiler, versions, date.
//!
//! A figure without these is worth nothing a year later. Versions come from the lock file that this
//! program was built with, so they cannot differ from what was measured.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::load;

/// Of the workspace, and of the program that has open-coroutine.
const LOCKS: [&str; 2] =
    [include_str!("../../Cargo.lock"), include_str!("../open-coroutine/Cargo.lock")];
const PEERS: [&str; 14] = [
    "async-channel",
    "async-executor",
    "async-lock",
    "corosensei",
    "crossbeam-channel",
    "flume",
    "may",
    "open-coroutine",
    "parking_lot",
    "rayon",
    "rayon-core",
    "smol",
    "sylvan",
    "tokio",
];

/// Versions of sylvan and of its peers.
pub(crate) fn versions() -> BTreeMap<String, String> {
    let mut versions = BTreeMap::new();
    let mut lines = LOCKS.into_iter().flat_map(str::lines);
    while let Some(line) = lines.next() {
        let name = line.strip_prefix("name = ").map(|name| name.trim_matches('"'));
        let Some(name) = name.filter(|name| PEERS.contains(name)) else { continue };
        let version = lines.next().and_then(|line| line.strip_prefix("version = "));
        let version = version.unwrap_or("unknown").trim_matches('"');
        // The second lock has a corosensei of its own, which is not the peer.
        versions.entry(name.to_owned()).or_insert_with(|| version.to_owned());
    }
    versions
}

/// Processor, kernel, compiler.
pub(crate) fn description() -> BTreeMap<String, String> {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = kernel.trim().split('-').next().unwrap_or("").to_owned();
    let rustc = Command::new("rustc").arg("--version").output();
    let rustc = rustc.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    BTreeMap::from([
        ("processor".to_owned(), model.unwrap_or("unknown").to_owned()),
        ("processors".to_owned(), load::processors().to_string()),
        ("kernel".to_owned(), release),
        ("compiler".to_owned(), rustc.unwrap_or_else(|_| "unknown".to_owned())),
    ])
}

/// Today, in UTC, as year-month-day.
pub(crate) fn date() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    civil((since.as_secs() / 86_400) as i64)
}

/// The date of a day counted from 1 January 1970, in the Gregorian calendar: years are counted
/// from March, so that the leap day is a year's last.
fn civil(day: i64) -> String {
    // 719,468 days lie between 1 March of the year 0 and 1 January 1970.
    let day = day + 719_468;
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let date = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year}-{month:02}-{date:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn civil_date_of_known_days() {
        assert_eq!(civil(0), "1970-01-01");
        assert_eq!(civil(19_782), "2024-02-29");
        assert_eq!(civil(19_783), "2024-03-01");
        assert_eq!(civil(20_088), "2024-12-31");
    }

    #[test]
    fn versions_name_every_peer_that_is_always_built() {
        let versions = versions();
        for peer in ["corosensei", "may", "parking_lot", "rayon", "smol", "sylvan", "tokio"] {
            assert!(versions.contains_key(peer), "{peer}");
        }
    }
}
