//! The table as a picture: numbers as in the text, and below each a bar, in SVG.
//!
//! A bar is as long as its number is large, compared with the largest of its column; so columns
//! are not compared with each other, and nothing is logarithmic. Text does not wrap in SVG: notes
//! are broken into lines here.

use crate::parent::{Measured, Row};
use crate::report;

pub fn svg(measured: &Measured) -> String {
    let mut body = String::new();
    text(&mut body, "title", LEFT, 48, "One program, three mappings");
    let subtitle = "User threads on kernel threads: cost side by side. A shorter bar is better.";
    text(&mut body, "note", LEFT, 72, subtitle);
    for (index, (head, unit)) in HEADS.iter().enumerate() {
        text(&mut body, "head", column(index), 112, head);
        text(&mut body, "note", column(index), 129, unit);
    }
    for (index, row) in measured.rows.iter().enumerate() {
        draw_row(&mut body, measured, row, ROWS_TOP + index as u32 * ROW_HEIGHT, COLOURS[index]);
    }
    let mut y = ROWS_TOP + measured.rows.len() as u32 * ROW_HEIGHT + 24;
    let sentences = report::sentences(measured).join(" ");
    y = paragraph(&mut body, "body", y, &sentences) + 8;
    for line in report::notes(measured).iter().chain(&measured.reasons) {
        y = paragraph(&mut body, "note", y, line);
    }
    let height = y + 8;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"{WIDTH}\" \
         height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"system-ui, 'DejaVu Sans', sans-serif\">\n\
         <title>One program, three mappings</title>\n<style>\n{STYLE}</style>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n{body}</svg>\n"
    )
}

fn draw_row(body: &mut String, measured: &Measured, row: &Row, y: u32, colour: &str) {
    line(body, y);
    text(body, "mapping", LEFT, y + 38, &row.mapping.to_string());
    let cells = report::cells(row);
    for (index, (cell, value)) in SHOWN.iter().enumerate() {
        let x = column(index);
        let mut label = cells[*cell].clone();
        if let (RESIDENT, Some(_)) = (*cell, &row.waiting) {
            // The one number that depends on how many there were.
            label += &format!(" × {}", cells[WAITING]);
        }
        text(body, "number", x, y + 30, &label);
        let largest = measured.rows.iter().filter_map(value).fold(0.0, f64::max);
        let length =
            value(row).map(|value| f64::from(BAR) * value / largest.max(f64::MIN_POSITIVE));
        if let Some(length) = length {
            // What is too short to see is still there.
            let length = length.max(1.5);
            *body += &format!(
                "<rect x=\"{x}\" y=\"{}\" width=\"{BAR}\" height=\"8\" rx=\"2\" \
                 fill=\"#eef0f3\"/>\n\
                 <rect x=\"{x}\" y=\"{}\" width=\"{length:.1}\" height=\"8\" rx=\"2\" \
                 fill=\"{colour}\"/>\n",
                y + 40,
                y + 40
            );
        }
    }
}

/// Writes `content` in lines, and returns where the next may start.
fn paragraph(body: &mut String, class: &str, mut y: u32, content: &str) -> u32 {
    let (characters, height) = if class == "body" { (118, 21) } else { (140, 17) };
    let mut line = String::new();
    for word in content.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > characters {
            text(body, class, LEFT, y, &line);
            y += height;
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += word;
    }
    text(body, class, LEFT, y, &line);
    y + height
}

fn text(body: &mut String, class: &str, x: u32, y: u32, content: &str) {
    let content = content.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    *body += &format!("<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{content}</text>\n");
}

fn line(body: &mut String, y: u32) {
    let right = WIDTH - LEFT;
    *body +=
        &format!("<line x1=\"{LEFT}\" y1=\"{y}\" x2=\"{right}\" y2=\"{y}\" stroke=\"#d5d9e0\"/>\n");
}

fn column(index: usize) -> u32 {
    LEFT + MAPPING_WIDTH + index as u32 * COLUMN_WIDTH
}

type Value = fn(&Row) -> Option<f64>;

/// Which cells of a row are shown, by their place in the text's table, and what their bars show.
const SHOWN: [(usize, Value); 5] = [
    (1, |row| row.waiting.as_ref().map(|waiting| waiting.kernel_threads as f64)),
    (2, |row| row.spawn_ns),
    (3, |row| row.yield_ns),
    (RESIDENT, |row| row.waiting.as_ref().map(|waiting| waiting.bytes_per_thread)),
    (6, |row| row.words_ms),
];
const RESIDENT: usize = 4;
const WAITING: usize = 5;

/// The heads of the columns, and the line below each.
const HEADS: [(&str, &str); 5] = [
    ("Kernel threads", "while threads wait"),
    ("Spawn + join", "per thread"),
    ("Yield", "per call"),
    ("Resident", "per waiting thread"),
    ("Word count", "wall time"),
];

/// One per mapping; they differ for the colour-blind too.
const COLOURS: [&str; 3] = ["#d55e00", "#0072b2", "#009e73"];

const STYLE: &str = "\
.title { font-size: 24px; font-weight: 600; fill: #14181f; }
.head { font-size: 14px; font-weight: 600; fill: #14181f; }
.mapping { font-size: 20px; font-weight: 600; fill: #14181f; }
.number { font-size: 14px; fill: #14181f; }
.body { font-size: 14px; fill: #14181f; }
.note { font-size: 12px; fill: #5a6372; }
";

const WIDTH: u32 = 1000;
const LEFT: u32 = 40;
const MAPPING_WIDTH: u32 = 80;
const COLUMN_WIDTH: u32 = 168;
const BAR: u32 = 136;
const ROWS_TOP: u32 = 144;
const ROW_HEIGHT: u32 = 66;
