//! The parent: plays rows in rounds, each measurement in a child process.
//!
//! Peers alternate within a round, so that a disturbance meets all of them, and the order turns
//! from round to round, so that none is always first. A measurement that was disturbed by load from
//! elsewhere is repeated at once; if the second is disturbed, too, its round is left out of the
//! figures and counted. A cell that has failed once is not played again.
#![forbid(unsafe_code)]

use std::io::{IsTerminal, Write};
use std::path::Path;

use crate::child::{self, Child};
use crate::command::Options;
use crate::report::{self, table};
use crate::results::{self, Played, Round, Run};
use crate::row::{Does, Limit, Row};
use crate::{elsewhere, machine, suites};

/// The cell of the program that was built without LTO, and how much slower it may be.
const PLAIN: &str = "sylvan, plain release";
const PLAIN_LIMIT: Limit = Limit { at_most: 1.3, of: &["sylvan"] };

/// One of a row's turns: whose cell, measured by which program, or why not.
struct Seat {
    /// The name in the table.
    peer: String,
    /// The name of the cell.
    cell: &'static str,
    program: Result<String, String>,
}

/// Plays what was asked for; prints tables and writes files.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let own = own.to_string_lossy().into_owned();
    let plain = options.plain.then(elsewhere::build_plain).transpose()?;
    let programs = Programs { own, plain, other: other(options) };
    let folder = options.out.clone().map_or_else(report::folder, Ok)?;
    let mut run = Run {
        command: format!("cargo bench -p sylvan-bench -- {}", options.words),
        date: machine::date(),
        quick: options.scale.quick,
        rounds: options.rounds,
        base: if options.plain { PLAIN } else { "sylvan" }.to_owned(),
        machine: machine::description(),
        versions: machine::versions(),
        rows: Vec::new(),
    };
    if wants_net(options) {
        match elsewhere::build_go() {
            Ok(version) => drop(run.versions.insert("go".to_owned(), version)),
            Err(reason) => eprintln!("The server in Go is LEFT OUT of the suite net: {reason}"),
        }
    }
    print!("{}", table::header(&run));
    for mut row in suites::all(options.scale, &options.workers) {
        if !wanted(&row, options) {
            continue;
        }
        let seats = seats(&row, &programs);
        if options.plain && row.suite != "floors" {
            if !seats.iter().any(|seat| seat.peer == PLAIN) {
                continue;
            }
            for metric in &mut row.metrics {
                metric.limits = vec![PLAIN_LIMIT];
            }
        }
        let played = play(&row, &seats, options);
        let tables = results::tables(&row, &played, &run.base, &run.rows);
        for table in &tables {
            print!("{}", table::text(table, &run.base));
        }
        run.rows.extend(tables);
        // After each row, so that a run that is cut short leaves what it has.
        write_files(&folder, &run)?;
    }
    print!("\n{}", report::summary::text(&run));
    println!("\nFigures and chart lie in {}.", folder.display());
    Ok(())
}

/// Floors always are: they stand beside figures of all suites, and take a few seconds.
fn wanted(row: &Row, options: &Options) -> bool {
    let named = options.suites.iter().any(|suite| suite == row.suite);
    named || options.suites.is_empty() || row.suite == "floors"
}

/// Whether servers of other peers than sylvan are measured.
fn wants_net(options: &Options) -> bool {
    !options.plain && (options.suites.is_empty() || options.suites.iter().any(|s| s == "net"))
}

fn write_files(folder: &Path, run: &Run) -> Result<(), String> {
    std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
    };
    write("figures.json", report::to_json(run)?)?;
    write("chart.svg", report::chart::svg(run))
}

/// Who measures.
struct Programs {
    own: String,
    plain: Option<String>,
    /// The one that has open-coroutine, or why there is none.
    other: Result<String, String>,
}

fn other(options: &Options) -> Result<String, String> {
    if options.open_coroutine && !options.plain {
        elsewhere::build_open_coroutine()
    } else {
        Err("left out: not asked for by --open-coroutine".to_owned())
    }
}

/// Who has a turn in this row.
fn seats(row: &Row, programs: &Programs) -> Vec<Seat> {
    let mut seats = Vec::new();
    for cell in &row.cells {
        let sylvan = cell.peer == "sylvan";
        if programs.plain.is_some() && !sylvan && row.suite != "floors" {
            continue;
        }
        let program = match &cell.does {
            Does::Work(_) => Ok(programs.own.clone()),
            Does::Elsewhere => programs.other.clone(),
            Does::Nothing(reason) => Err((*reason).to_owned()),
        };
        if let Some(plain) = programs.plain.clone().filter(|_| sylvan) {
            seats.push(Seat { peer: PLAIN.to_owned(), cell: cell.peer, program: Ok(plain) });
        }
        seats.push(Seat { peer: cell.peer.to_owned(), cell: cell.peer, program });
    }
    seats
}

/// All rounds of one row.
fn play(row: &Row, seats: &[Seat], options: &Options) -> Vec<Played> {
    let mut played: Vec<Played> = seats
        .iter()
        .map(|seat| Played {
            peer: seat.peer.clone(),
            rounds: seat.program.clone().map(|_| Vec::new()),
        })
        .collect();
    for round in 0..options.rounds {
        for turn in 0..seats.len() {
            let at = (turn + round) % seats.len();
            let seat = &seats[at];
            let (Ok(rounds), Ok(program)) = (&mut played[at].rounds, &seat.program) else {
                continue;
            };
            progress(&format!("{}, round {}: {}", row.name(), round + 1, seat.peer));
            let (scale, workers) = (options.scale, &options.workers[..]);
            match measure(&Child { program, row, peer: seat.cell, scale, workers }) {
                Ok(round) => rounds.push(round),
                Err(reason) => played[at].rounds = Err(reason),
            }
        }
    }
    progress("");
    played
}

/// One measurement; a disturbed one is repeated once.
fn measure(child: &Child) -> Result<Round, String> {
    let (outcome, disturbed) = child::measure(child);
    if !disturbed {
        return outcome.map(|figures| Round { figures, disturbed });
    }
    let (outcome, disturbed) = child::measure(child);
    outcome.map(|figures| Round { figures, disturbed })
}

/// Shows what is being measured, where somebody looks.
fn progress(what: &str) {
    let mut stderr = std::io::stderr();
    if stderr.is_terminal() {
        // A terminal that is gone does not matter: the figures go elsewhere.
        let _ = write!(stderr, "\r\x1b[K{what}");
        let _ = stderr.flush();
    }
}
