//! The table as text, what its columns mean, and the two sentences on what one sees.

use sylvan::Mapping;

use crate::parent::{Measured, Row};

/// The heads of the columns; the first is the mapping.
pub const COLUMNS: [&str; 7] = [
    "mapping",
    "kernel threads",
    "spawn+join",
    "yield",
    "resident/thread",
    "waiting",
    "word count",
];

pub fn text(measured: &Measured) -> String {
    let mut lines: Vec<[String; 7]> = vec![COLUMNS.map(str::to_owned)];
    lines.extend(measured.rows.iter().map(cells));
    let widths: Vec<usize> = (0..COLUMNS.len())
        .map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for line in lines {
        let cells = line.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
            if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        text += &format!("{}\n", cells.collect::<Vec<_>>().join("  "));
    }
    text += "\n";
    for note in notes(measured) {
        text += &format!("{note}\n");
    }
    if !measured.reasons.is_empty() {
        text += "\nNot everything was possible here:\n";
        for reason in &measured.reasons {
            text += &format!("- {reason}\n");
        }
    }
    text += &format!("\n{}\n", sentences(measured).join("\n"));
    text
}

/// One row, formatted.
pub fn cells(row: &Row) -> [String; 7] {
    let waiting = row.waiting.as_ref();
    let shown = |value: Option<String>| value.unwrap_or_else(|| NOTHING.to_owned());
    [
        row.mapping.to_string(),
        shown(waiting.map(|waiting| grouped(waiting.kernel_threads))),
        shown(row.spawn_ns.map(nanoseconds)),
        shown(row.yield_ns.map(nanoseconds)),
        shown(waiting.map(|waiting| kibibytes(waiting.bytes_per_thread))),
        shown(waiting.map(|waiting| grouped(waiting.threads))),
        shown(row.words_ms.map(|ms| format!("{} ms", grouped(ms.round() as u64)))),
    ]
}

/// What the columns mean.
pub fn notes(measured: &Measured) -> Vec<String> {
    let mut notes = vec![
        "kernel threads: of the whole process, while the waiting threads wait".to_owned(),
        "resident/thread: pages and page tables (VmRSS, VmPTE) per waiting thread. The kernel's \
         own stack, 16 KiB per kernel thread, is in no process's account and comes on top"
            .to_owned(),
    ];
    notes.extend(measured.text.as_ref().map(|text| {
        let times = if text.passes == 1 { "once" } else { &format!("{} times", text.passes) };
        format!(
            "word count: one thread per file, {} files with {:.1} MB of text, counted {times}, \
             {:.1} MB in all",
            grouped(text.files),
            text.bytes as f64 / 1e6,
            (text.bytes * text.passes) as f64 / 1e6
        )
    }));
    if cfg!(debug_assertions) {
        notes.push("this is a build without optimisation: measure with --release".to_owned());
    }
    notes
}

/// What the reader sees, in two sentences: what waits on what, and what the work costs.
pub fn sentences(measured: &Measured) -> [String; 2] {
    let waits: Vec<String> = measured.rows.iter().filter_map(waits).collect();
    let first = match &waits[..] {
        [] => "No mapping could hold a waiting thread here.".to_owned(),
        some => format!("One program, three mappings: {}.", some.join("; ")),
    };
    let find = |mapping| measured.rows.iter().find(|row| row.mapping == mapping);
    let ratio = |verb: &str, value: fn(&Row) -> Option<f64>| {
        let (kernel, green) = (find(Mapping::OneToOne)?, find(Mapping::ManyToMany)?);
        Some(format!("{verb} {} times as fast", factor(value(kernel)? / value(green)?)))
    };
    let ratios =
        [ratio("is started and joined", |row| row.spawn_ns), ratio("yields", |row| row.yield_ns)];
    let ratios: Vec<String> = ratios.into_iter().flatten().collect();
    let processors = "1:1 and m:n use all processors for the word count, and n:1 uses one.";
    let second = match &ratios[..] {
        [] => processors.to_owned(),
        some => format!(
            "Compared with a kernel thread under 1:1, a green thread under m:n {}; {processors}",
            some.join(" and ")
        ),
    };
    [first, second]
}

fn waits(row: &Row) -> Option<String> {
    let waiting = row.waiting.as_ref()?;
    let s = if waiting.kernel_threads == 1 { "" } else { "s" };
    Some(format!(
        "{} held {} waiting threads on {} kernel thread{s} at {} each",
        row.mapping,
        grouped(waiting.threads),
        grouped(waiting.kernel_threads),
        kibibytes(waiting.bytes_per_thread)
    ))
}

fn factor(times: f64) -> String {
    if times < 10.0 { format!("{times:.1}") } else { grouped(times.round() as u64) }
}

/// With a comma after each third digit from the right.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn nanoseconds(time: f64) -> String {
    format!("{} ns", grouped(time.round() as u64))
}

fn kibibytes(bytes: f64) -> String {
    format!("{:.1} KiB", bytes / 1024.0)
}

/// What stands where nothing could be measured.
const NOTHING: &str = "–";
