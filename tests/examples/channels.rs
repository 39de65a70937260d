//! The examples of channels.
#![forbid(unsafe_code)]

use std::fs;

use crate::{MAPPINGS, Place, Run, promised};

#[test]
fn chat_rooms_and_prime_sieve_say_what_their_headers_say_under_every_mapping() {
    for (example, source) in [
        ("chat_rooms", include_str!("../../examples/chat_rooms.rs")),
        ("prime_sieve", include_str!("../../examples/prime_sieve.rs")),
    ] {
        let expected = promised(source);
        for mapping in MAPPINGS {
            let said = Run::of(example).variable("SYLVAN_MAPPING", mapping).succeeds();
            assert_eq!(said.stdout, expected, "{example} under {mapping}");
        }
    }
}

#[test]
fn prime_sieve_finds_one_prime_and_a_thousand() {
    let said = Run::of("prime_sieve").arguments(&["1"]).succeeds();
    assert_eq!(said.stdout, "    2\n1 primes by 2 threads: one for each, and one that counts\n");
    // 7919 is the thousandth.
    let said = Run::of("prime_sieve").arguments(&["1000"]).succeeds();
    assert!(said.stdout.contains(" 7907  7919\n1000 primes by 1001 threads"), "{}", said.stdout);
}

#[test]
fn pipeline_counts_text_and_overfills_no_channel_under_every_mapping() {
    let place = Place::new();
    let text = place.dir.join("text");
    fs::write(text.join("deeper/a.rs"), "fn the() {}\n\n".repeat(300)).unwrap();
    fs::write(text.join("b.md"), "The end of\nTHE-end: a").unwrap();
    for mapping in MAPPINGS {
        let run = Run::of("pipeline").variable("SYLVAN_MAPPING", mapping);
        let said = run.arguments(&[text.to_str().unwrap()]).succeeds();
        let (words, figures) = said.stdout.split_once("\nin this run:\n").expect("figures");
        let words: Vec<_> = words.lines().map(str::trim).collect();
        let expected = ["the  302", "fn  300", "end  2", "a  1", "of  1"];
        assert_eq!(words[..5], expected, "{}", said.stdout);
        assert_eq!(words[5], "2 files, 602 lines, 606 words, 5 different");
        assert_eq!(words[6], "one thread alone counts the same");
        let [lines, words, tables] = figures_of_pipeline(figures, mapping);
        assert_eq!([lines, words], [602; 2], "{}", said.stdout);
        // One from each counter that has had anything to count.
        assert!(tables == 1 || tables == 2, "{}", said.stdout);
    }
}

#[test]
fn pipeline_reads_this_repository_where_nothing_is_named() {
    let said = Run::of("pipeline").variable("SYLVAN_MAPPING", "n:1").succeeds();
    let (words, figures) = said.stdout.split_once("\nin this run:\n").expect("figures");
    // Of English and of Rust; which of the two comes first changes with what is written.
    for word in ["the", "let"] {
        assert!(words.contains(&format!(" {word}  ")), "{}", said.stdout);
    }
    assert!(words.contains("\none thread alone counts the same\n"), "{}", said.stdout);
    let [lines, words, tables] = figures_of_pipeline(figures, "n:1");
    assert!(lines == words && lines > 50_000 && tables > 200, "{}", said.stdout);
}

#[test]
fn pipeline_ends_with_status_1_at_a_file_that_is_not_text() {
    let place = Place::new();
    let text = place.dir.join("text");
    fs::write(text.join("latin-1.md"), b"caf\xe9 the the").unwrap();
    let said = Run::of("pipeline").arguments(&[text.to_str().unwrap()]).ends_with(1);
    assert!(said.stderr.contains("text/latin-1.md: "), "{}", said.stderr);
    assert_eq!(said.stdout, "");
}

#[test]
fn examples_of_channels_with_wrong_arguments_name_them_and_end_with_status_2() {
    for (example, arguments, message) in [
        ("prime_sieve", &["0"][..], "N \"0\" is not possible; accepted: a whole number from 1 to"),
        ("prime_sieve", &["10001"], "accepted: a whole number from 1 to 10000"),
        ("prime_sieve", &["--fast"], "N \"--fast\" is not possible; accepted: a whole"),
        ("prime_sieve", &["5", "6"], "one N is accepted, and \"6\" is the second"),
        ("pipeline", &["/not/there"], "\"/not/there\" is not a directory; accepted: a directory"),
        ("pipeline", &["/proc/self/status"], "is not a directory; accepted: a directory"),
        ("pipeline", &[".", "docs"], "one DIR is accepted, and \"docs\" is the second"),
    ] {
        let said = Run::of(example).arguments(arguments).ends_with(2);
        assert!(said.stderr.contains(message), "{arguments:?}: {}", said.stderr);
        assert!(said.stderr.contains(&format!("usage: {example}")), "{}", said.stderr);
    }
}

/// Returns how many messages went through each channel, after a look at the rest of the table.
fn figures_of_pipeline(table: &str, mapping: &str) -> [u64; 3] {
    let rows: Vec<Vec<_>> =
        table.lines().skip(1).map(|row| row.split_whitespace().collect()).collect();
    let messages = [("lines", 64), ("words", 16), ("tables", 2)].map(|(name, capacity)| {
        let row = rows.iter().find(|row| row[0] == name).expect("a row for each channel");
        let [is_for, messages, most, full] =
            [1, 2, 3, 4].map(|column| row[column].parse::<u64>().unwrap());
        assert_eq!(is_for, capacity, "{table}");
        assert!(most <= capacity, "{table}");
        // With one worker, who has room goes on, and comes to the end of it.
        if mapping == "n:1" && name == "lines" {
            assert!(most == capacity && full > 0, "{table}");
        }
        messages
    });
    let last: Vec<_> = rows.last().unwrap().clone();
    assert_eq!(last[..2], ["at", "most"], "{table}");
    // As many as the channel holds, one with the reader, and one with each of two splitters.
    assert!(last[2].parse::<u64>().unwrap() <= 64 + 1 + 2, "{table}");
    messages
}
