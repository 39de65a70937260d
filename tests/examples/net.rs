//! The examples with sockets, as processes, and clients that are none of ours: std's sockets, and
//! the tools that people try a server with.
//!
//! A server ends when its input does, which is a pipe that this process holds: so none outlives its
//! test, also if that fails. A tool that is not on the path is named aloud, and a client of the own
//! asks in its place.
#![forbid(unsafe_code)]

mod chat;
mod echo;
mod proxy;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use crate::{MAPPINGS, Run, Said, example};

/// A server that runs.
struct Server {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// Where it said that it listens.
    place: String,
}

impl Server {
    fn start(name: &str, mapping: &str, arguments: &[&str]) -> Server {
        let mut command = Command::new("timeout");
        command.arg("60").arg(example(name)).args(arguments);
        command.env("SYLVAN_MAPPING", mapping).env_remove("SYLVAN_WORKERS");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let place = line.trim_end().strip_prefix("listening on ").map(str::to_owned);
        let place = place.unwrap_or_else(|| panic!("{name} under {mapping} said {line:?}"));
        Server { child, input, output, place }
    }

    fn address(&self) -> SocketAddr {
        self.place.parse().unwrap()
    }

    fn connect(&self) -> TcpStream {
        connect(self.address())
    }

    /// Ends its input, and gives what it has said after its first line.
    #[track_caller]
    fn end(self) -> Said {
        let Server { mut child, input, mut output, .. } = self;
        drop(input);
        let (mut stdout, mut stderr) = (String::new(), String::new());
        output.read_to_string(&mut stdout).unwrap();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        let status = child.wait().unwrap();
        assert!(status.success(), "{status}: {stdout}{stderr}");
        Said { stdout, stderr }
    }
}

/// A connection on which a test that gets no answer fails, and does not hang.
fn connect(address: SocketAddr) -> TcpStream {
    patient(TcpStream::connect(address).unwrap())
}

fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends all at once, closes that half, and gives what comes back until the other one is closed.
fn ask(stream: &TcpStream, question: &[u8]) -> Vec<u8> {
    let (mut reader, mut writer) = (stream, stream);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            writer.write_all(question).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut answer = Vec::new();
        reader.read_to_end(&mut answer).unwrap();
        answer
    })
}

/// Asks by the tools, each in the way in which people use it. `question` is a line.
fn ask_with_tools(address: SocketAddr, question: &str, answer: &str) {
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let mut asked = false;
    for (tool, arguments) in [
        ("nc", vec!["-N", &host, &port]),
        ("python3", vec!["-c", PYTHON, &host, &port]),
        ("bash", vec!["-c", BASH, &host, &port]),
    ] {
        match output_of(tool, &arguments, question) {
            Some(said) => {
                assert_eq!(said, answer, "{tool}");
                asked = true;
            }
            None => eprintln!("NOT TESTED: {tool} is not to be had; an own client asks instead"),
        }
    }
    if !asked {
        assert_eq!(ask(&connect(address), question.as_bytes()), answer.as_bytes());
    }
}

/// What a tool says when it is given `input`; nothing if there is no such tool.
fn output_of(tool: &str, arguments: &[&str], input: &str) -> Option<String> {
    let mut command = Command::new("timeout");
    command.arg("20").arg(tool).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A tool that is not there reads nothing.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let (stdout, stderr) =
        [output.stdout, output.stderr].map(|t| String::from_utf8(t).unwrap()).into();
    // 127: `timeout` has not found it. And some kinds of nc do not know their half-close.
    let is_there = output.status.code() != Some(127) && !stderr.contains("invalid option");
    assert!(!is_there || output.status.success(), "{tool}: {}: {stderr}", output.status);
    is_there.then_some(stdout)
}

/// Sends its input, closes that half, and prints what comes back.
const PYTHON: &str = "
import shutil, socket, sys
stream = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
stream.sendall(sys.stdin.buffer.read())
stream.shutdown(socket.SHUT_WR)
shutil.copyfileobj(stream.makefile('rb'), sys.stdout.buffer)
";

/// Sends a line, and prints the line that comes back.
const BASH: &str = "
exec 3<>/dev/tcp/$0/$1 && read -r line && printf '%s\\n' \"$line\" >&3 && read -r line <&3 &&
printf '%s\\n' \"$line\"
";

/// Long enough for any machine, and no test takes it.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn examples_of_sockets_with_wrong_arguments_name_them_and_end_with_status_2() {
    let address = "is not possible; accepted: HOST:PORT, for example 127.0.0.1:0";
    let here = env!("CARGO_MANIFEST_DIR");
    for (example, arguments, message) in [
        ("echo", &["--fast"][..], "unknown option \"--fast\"; accepted: --udp, --unix PATH"),
        ("echo", &["127.0.0.1"], &format!("ADDRESS \"127.0.0.1\" {address}")),
        ("echo", &["127.0.0.1:port"], &format!("ADDRESS \"127.0.0.1:port\" {address}")),
        ("echo", &["127.0.0.1:65536"], &format!("ADDRESS \"127.0.0.1:65536\" {address}")),
        ("echo", &["a:1", "b:2"], "one ADDRESS is accepted, and \"b:2\" is the second"),
        ("echo", &["--unix"], "--unix needs a value; accepted: a new path"),
        ("echo", &["--unix", here], "is not possible; accepted: a path that does not exist"),
        ("echo", &["--unix", "new", "--udp"], "of --udp and --unix one is accepted"),
        ("echo", &["--unix", "new", "a:1"], "with --unix no ADDRESS is accepted, and \"a:1\" is"),
        ("chat", &["--fast"], &format!("ADDRESS \"--fast\" {address}")),
        ("chat", &["a:1", "b:2"], "one ADDRESS is accepted, and \"b:2\" is the second"),
        ("proxy", &["a:1"], "two addresses are needed, and 1 given"),
        ("proxy", &[], "two addresses are needed, and 0 given"),
        ("proxy", &["a:1", "b:2", "c:3"], "two addresses are accepted, and \"c:3\" is the third"),
        ("proxy", &[":1", "b:2"], &format!("LISTEN \":1\" {address}")),
        ("proxy", &["a:1", "b"], &format!("TARGET \"b\" {address}")),
    ] {
        let said = Run::of(example).arguments(arguments).ends_with(2);
        assert!(said.stderr.contains(message), "{arguments:?}: {}", said.stderr);
        assert!(said.stderr.contains(&format!("usage: {example}")), "{}", said.stderr);
        assert_eq!(said.stdout, "");
    }
}

#[test]
fn examples_of_sockets_where_the_port_is_taken_say_so_and_end_with_status_1() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    // Datagrams have ports of their own.
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let taken_by_datagrams = socket.local_addr().unwrap().to_string();
    for mapping in MAPPINGS {
        for (example, arguments, address) in [
            ("echo", &[&*taken][..], &taken),
            ("echo", &["--udp", &taken_by_datagrams], &taken_by_datagrams),
            ("chat", &[&taken], &taken),
            ("proxy", &[&taken, "127.0.0.1:1"], &taken),
        ] {
            let run = Run::of(example).variable("SYLVAN_MAPPING", mapping);
            let said = run.arguments(arguments).ends_with(1);
            let message = format!("{address}: Address already in use");
            assert!(said.stderr.contains(&message), "{example}: {}", said.stderr);
        }
    }
}
