//! The examples of deadlines, cancellations and groups.
#![forbid(unsafe_code)]

use std::fs;

use crate::{MAPPINGS, Place, Run, allow, promised};

#[test]
fn deadline_and_supervise_say_what_their_headers_say_under_every_mapping() {
    for (example, source) in [
        ("deadline", include_str!("../../examples/deadline.rs")),
        ("supervise", include_str!("../../examples/supervise.rs")),
    ] {
        let expected = promised(source);
        for mapping in MAPPINGS {
            let said = Run::of(example).variable("SYLVAN_MAPPING", mapping).succeeds();
            assert_eq!(said.stdout, expected, "{example} under {mapping}");
        }
    }
}

#[test]
fn supervise_prints_panics_and_no_cancellation_on_stderr() {
    let said = Run::of("supervise").succeeds();
    assert_eq!(said.stderr.matches("panicked at").count(), 5, "{}", said.stderr);
    assert!(!said.stderr.to_lowercase().contains("cancel"), "{}", said.stderr);
}

#[test]
fn crawl_limit_counts_lines_within_its_limit_under_every_mapping() {
    let place = Place::new();
    let text = place.dir.join("text");
    fs::remove_file(text.join("latin-1.txt")).unwrap();
    for number in 0..100 {
        fs::write(text.join(format!("deeper/{number}")), "one\ntwo\nthree").unwrap();
    }
    std::os::unix::fs::symlink(&place.dir, text.join("deeper/link")).unwrap();
    for mapping in MAPPINGS {
        for limit in [1, 3, 10_000] {
            let arguments = [text.to_str().unwrap(), "--limit", &limit.to_string()];
            let run = Run::of("crawl_limit").variable("SYLVAN_MAPPING", mapping);
            let said = run.arguments(&arguments).succeeds();
            let lines: Vec<_> = said.stdout.lines().collect();
            // Three lines each, and those of `Place`: 1, 3, 1, 1 and 1.
            assert_eq!(lines[0], "105 files in 2 directories: 307 lines", "under {mapping}");
            let most = lines[1].strip_prefix("at most ").expect("the second line");
            let (most, allowed) = most.split_once(" threads at a time, of ").unwrap();
            assert!((1..=limit).contains(&most.parse().unwrap()), "{}", said.stdout);
            assert_eq!(allowed, format!("{limit} that were allowed"));
        }
    }
}

#[test]
fn crawl_limit_reads_the_library_where_nothing_is_named() {
    let said = Run::of("crawl_limit").succeeds();
    let (files, rest) = said.stdout.split_once(" files in ").expect("the first line");
    assert!(files.parse::<u32>().unwrap() > 150, "{}", said.stdout);
    assert!(rest.contains(" directories: "), "{}", said.stdout);
}

#[test]
fn crawl_limit_ends_with_the_first_file_that_it_cannot_read() {
    let place = Place::new();
    for mapping in MAPPINGS {
        let run = Run::of("crawl_limit").variable("SYLVAN_MAPPING", mapping);
        let said = run.arguments(&[place.dir.join("text").to_str().unwrap()]).ends_with(1);
        let error = "text/latin-1.txt\": stream did not contain valid UTF-8; ";
        assert!(said.stderr.contains(error), "under {mapping}: {}", said.stderr);
        assert_eq!(said.stdout, "", "under {mapping}");
    }
    // Of two errors it is one.
    let secret = place.dir.join("text/deeper/secret");
    fs::write(&secret, "nobody reads this").unwrap();
    allow(&secret, 0o000);
    let said = Run::of("crawl_limit").unprivileged(&place).arguments(&["text"]).ends_with(1);
    assert_eq!(said.stderr.lines().count(), 1, "{}", said.stderr);
    fs::remove_file(place.dir.join("text/latin-1.txt")).unwrap();
    let said = Run::of("crawl_limit").unprivileged(&place).arguments(&["text"]).ends_with(1);
    assert!(said.stderr.contains("deeper/secret\": Permission denied"), "{}", said.stderr);
}

#[test]
fn crawl_limit_with_wrong_arguments_names_them_and_ends_with_status_2() {
    for (arguments, message) in [
        (&["--limit", "0"][..], "--limit \"0\" is not possible; accepted: a whole number from 1"),
        (&["--limit"], "--limit needs a value; accepted: a whole number from 1 to 10000"),
        (&["--fast"], "unknown option \"--fast\"; accepted: --limit N"),
        (&[".", "docs"], "one DIR is accepted, and \"docs\" is the second"),
        (&["/not/there"], "\"/not/there\" is not a directory; accepted: a directory"),
    ] {
        let said = Run::of("crawl_limit").arguments(arguments).ends_with(2);
        assert!(said.stderr.contains(message), "{arguments:?}: {}", said.stderr);
        assert!(said.stderr.contains("usage: crawl_limit"), "{}", said.stderr);
    }
}
