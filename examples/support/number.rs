//! The number that follows an option on the command line of an example.
#![forbid(unsafe_code)]

use std::ffi::OsString;

/// Reads the value of `option`, from `min` to `max`. The error names what was given and what is
/// accepted.
pub fn number(option: &str, given: Option<OsString>, min: u64, max: u64) -> Result<u64, String> {
    let accepted = format!("accepted: a whole number from {min} to {max}");
    let given = given.ok_or_else(|| format!("{option} needs a value; {accepted}"))?;
    let number = given.to_str().and_then(|text| text.parse().ok());
    number
        .filter(|number| (min..=max).contains(number))
        .ok_or_else(|| format!("{option} {given:?} is not possible; {accepted}"))
}
