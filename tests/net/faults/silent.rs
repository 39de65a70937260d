//! Ten thousand clients that connect and say nothing: they cost no turn and no processor time, and
//! whoever comes after them is served.
#![forbid(unsafe_code)]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream as StdStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sylvan::net::{TcpListener, TcpStream};
use sylvan::thread;
use sylvan_workspace::{Shape, in_child};

use super::{allowance, kernel, ping};

const NAME: &str =
    "faults::silent::ten_thousand_silent_clients_cost_nothing_and_the_next_one_is_served";

/// Under AddressSanitizer fewer, for it marks each stack at each switch: that took a minute.
const WANTED: usize = if cfg!(feature = "sanitizer") { 1_000 } else { 10_000 };
/// Kernel threads are dear, and it is not them that this is about.
const WANTED_OF_KERNEL_THREADS: usize = 500;

/// How often the last one asks.
const ASKS: usize = 10;

const SCALED: &str = "SCALED DOWN";
const CLIENTS: &str = "SYLVAN_TEST_SILENT_CLIENTS";

/// The other process: connects so often and says nothing, then asks once, and waits for the end.
fn be_silent() {
    let text = std::env::var(CLIENTS).expect("the server says where it is");
    let (port, count) = text.split_once(' ').expect("a port and a count");
    let (port, count): (u16, usize) = (port.parse().unwrap(), count.parse().unwrap());
    raise_the_limit();
    let connect = || StdStream::connect(("127.0.0.1", port)).unwrap();
    let silent: Vec<_> = (0..count).map(|_| connect()).collect();
    let asks = connect();
    ping(&asks, ASKS);
    // The server closes it when it has seen enough.
    assert_eq!((&asks).read(&mut [0]).unwrap(), 0);
    drop(silent);
}

fn raise_the_limit() {
    allowance::limit(allowance::limits().1);
}

/// How many connections this process may have, some descriptors for others left aside.
fn scaled(wanted: usize) -> usize {
    let (_, most) = allowance::limits();
    let count = wanted.min(usize::try_from(most).unwrap_or(usize::MAX).saturating_sub(200));
    if count < wanted {
        println!("{SCALED}: {count} silent clients and not {wanted}: the limit is {most}");
    }
    count
}

/// What the one who asks leaves to the one who looks.
#[derive(Default)]
struct Asks {
    count: AtomicUsize,
    stream: Mutex<Option<Arc<TcpStream>>>,
}

/// Serves until all have gone.
fn serve(listener: &TcpListener, clients: usize, asks: &Asks) {
    thread::scope(|scope| {
        for _ in 0..clients {
            let (stream, _) = listener.accept().unwrap();
            let stream = Arc::new(stream);
            scope.spawn(move || {
                let mut byte = [0];
                while (&*stream).read(&mut byte).unwrap() == 1 {
                    (&*stream).write_all(&byte).unwrap();
                    asks.stream.lock().unwrap().get_or_insert_with(|| stream.clone());
                    asks.count.fetch_add(1, SeqCst);
                }
            });
        }
    });
}

/// In a second nobody else than the caller is switched to; more chances are for what has begun
/// before, such as threads that come to their waits.
fn expect_quiet() {
    let mut woken = Vec::new();
    for _ in 0..5 {
        let before = kernel::switches_of_others();
        std::thread::sleep(Duration::from_secs(1));
        woken.push(kernel::switches_of_others() - before);
        if woken.last() == Some(&0) {
            return;
        }
    }
    panic!("kernel threads are woken for nothing, each second so often: {woken:?}");
}

/// The kernel thread that starts the clients, and looks at the server when all are there.
fn look(port: u16, silent: usize, asks: &Asks) {
    let mut clients = Command::new(std::env::current_exe().unwrap());
    clients.args([NAME, "--exact", "--nocapture", "--test-threads=1"]);
    clients.env(CLIENTS, format!("{port} {silent}")).stdin(Stdio::null());
    let mut clients = clients.spawn().expect("the test binary can be started");
    while asks.count.load(SeqCst) < ASKS {
        std::thread::sleep(Duration::from_millis(1));
        assert!(clients.try_wait().unwrap().is_none(), "the clients have ended");
    }
    expect_quiet();
    let stream = asks.stream.lock().unwrap().take().expect("somebody asked");
    stream.shutdown(Shutdown::Both).unwrap();
    drop(stream);
    assert!(clients.wait().unwrap().success());
}

#[test]
fn ten_thousand_silent_clients_cost_nothing_and_the_next_one_is_served() {
    if std::env::var_os(CLIENTS).is_some() {
        be_silent();
        return;
    }
    let child = in_child(NAME, &[], || {
        raise_the_limit();
        for shape in [Shape::OneToOne, Shape::ManyToOne, Shape::ManyToMany(4)] {
            let silent = scaled(if shape.is_green() { WANTED } else { WANTED_OF_KERNEL_THREADS });
            let runtime = shape.build();
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let (port, asks) = (listener.local_addr().unwrap().port(), Asks::default());
            std::thread::scope(|scope| {
                scope.spawn(|| look(port, silent, &asks));
                runtime.run(|| serve(&listener, silent + 1, &asks));
            });
        }
    });
    child.expect_success();
    child.stdout.lines().filter(|line| line.starts_with(SCALED)).for_each(|line| {
        // Past the capture of the harness: who reads the log is to know.
        let _ = writeln!(std::io::stderr(), "{line}");
    });
}
