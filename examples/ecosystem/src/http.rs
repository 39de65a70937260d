//! `httparse` over sylvan's sockets: a small server for HTTP/1.1 that keeps connections alive.
//!
//! The crate only parses; the loop around it is what a green thread is for: read until a head is
//! there, read the body that it announces, answer, and look at what is left, which may be the next
//! request already. `GET /` gives a greeting and `POST /echo` the body; all else is not found.
//! Bodies have a `Content-Length`; chunks are refused.
//!
//! It must never believe a client: heads and bodies have limits, and what cannot be parsed is
//! answered by an error and closed.
#![forbid(unsafe_code)]

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use httparse::{EMPTY_HEADER, Status};
use sylvan::net::{Shutdown, TcpStream};
use sylvan::time::{self, Duration};

use crate::{Result, converse, expect};

/// A request, as far as this server looks at it.
struct Request {
    method: String,
    path: String,
    keep_alive: bool,
    body: Vec<u8>,
}

/// The head of a request, and what follows from it.
struct Head {
    request: Request,
    head_bytes: usize,
    body_bytes: usize,
}

/// What a client is told that is not answered: a status and its name.
type Refusal = (u16, &'static str);

/// Why there is no next request.
enum End {
    /// The client has gone, between two requests or within one.
    Gone,
    Refused(Refusal),
    Failed(io::Error),
}

/// Parses a head, if it is there in full.
fn parse(bytes: &[u8]) -> std::result::Result<Option<Head>, Refusal> {
    const BAD: Refusal = (400, "Bad Request");
    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    let Status::Complete(head_bytes) = parsed.parse(bytes).map_err(|_| BAD)? else {
        return match bytes.len() {
            HEAD_BYTES_MAX.. => Err((431, "Request Header Fields Too Large")),
            _ => Ok(None),
        };
    };
    let (method, path) = parsed.method.zip(parsed.path).ok_or(BAD)?;
    let mut keep_alive = parsed.version == Some(1);
    let mut body_bytes = None;
    for header in parsed.headers.iter() {
        let value = str::from_utf8(header.value).map_err(|_| BAD)?;
        match &*header.name.to_ascii_lowercase() {
            // Two of them might be read differently by somebody between the client and here.
            "content-length" if body_bytes.is_some() => return Err(BAD),
            "content-length" if !value.bytes().all(|byte| byte.is_ascii_digit()) => {
                return Err(BAD);
            }
            "content-length" => body_bytes = Some(value.parse().map_err(|_| BAD)?),
            "transfer-encoding" => return Err((501, "Not Implemented")),
            "connection" if value.eq_ignore_ascii_case("close") => keep_alive = false,
            "connection" if value.eq_ignore_ascii_case("keep-alive") => keep_alive = true,
            _ => (),
        }
    }
    let body_bytes = body_bytes.unwrap_or(0);
    if body_bytes > BODY_BYTES_MAX {
        return Err((413, "Content Too Large"));
    }
    let (method, path) = (method.to_owned(), path.to_owned());
    let request = Request { method, path, keep_alive, body: Vec::new() };
    Ok(Some(Head { request, head_bytes, body_bytes }))
}

/// Reads on until `bytes` holds a whole request, and takes that out.
fn next(mut stream: &TcpStream, bytes: &mut Vec<u8>) -> std::result::Result<Request, End> {
    let mut piece = [0; 4096];
    let mut head = None;
    loop {
        if head.is_none() {
            head = parse(bytes).map_err(End::Refused)?;
        }
        if let Some(Head { head_bytes, body_bytes, .. }) = head
            && bytes.len() >= head_bytes + body_bytes
        {
            let mut request = head.expect("it is there").request;
            request.body = bytes[head_bytes..head_bytes + body_bytes].to_vec();
            bytes.drain(..head_bytes + body_bytes);
            return Ok(request);
        }
        match stream.read(&mut piece) {
            Ok(0) => return Err(End::Gone),
            Ok(length) => bytes.extend_from_slice(&piece[..length]),
            Err(error) => return Err(End::Failed(error)),
        }
    }
}

fn answer(
    mut stream: &TcpStream,
    (status, name): Refusal,
    keep_alive: bool,
    body: &[u8],
) -> io::Result<()> {
    let connection = if keep_alive { "keep-alive" } else { "close" };
    let length = body.len();
    let mut bytes = format!(
        "HTTP/1.1 {status} {name}\r\nContent-Length: {length}\r\nConnection: {connection}\r\n\r\n"
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    stream.write_all(&bytes)
}

/// Has the client see the answer: if something of it were left unread, the kernel would reset the
/// connection, and the answer might be lost.
fn part(mut stream: &TcpStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    // Not for ever: it might go on sending.
    let rest = time::timeout(PATIENCE, || io::copy(&mut stream, &mut io::sink()));
    rest.map_or(Ok(()), |copied| copied.map(|_| ()))
}

/// Answers the requests of a connection, until either side has enough.
///
/// # Blocking
///
/// Waits for the client, at each read and write.
///
/// # Errors
///
/// A broken connection. A bad request is none: the client is told.
pub fn serve(stream: &TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut bytes = Vec::new();
    loop {
        let request = match next(stream, &mut bytes) {
            Ok(request) => request,
            Err(End::Gone) => return Ok(()),
            Err(End::Refused(refusal)) => {
                answer(stream, refusal, false, b"")?;
                return Ok(part(stream)?);
            }
            Err(End::Failed(error)) => return Err(error.into()),
        };
        let keep_alive = request.keep_alive;
        match (&*request.method, &*request.path) {
            ("GET", "/") => answer(stream, OK, keep_alive, GREETING)?,
            ("POST", "/echo") => answer(stream, OK, keep_alive, &request.body)?,
            _ => answer(stream, (404, "Not Found"), keep_alive, b"")?,
        }
        if !keep_alive {
            return Ok(());
        }
    }
}

/// Asks by hand, all in one piece, and returns how many requests were answered.
///
/// # Blocking
///
/// Waits for the server, at each read and write.
///
/// # Errors
///
/// A broken connection, or a wrong answer.
pub fn ask(address: SocketAddr, name: usize, requests: usize) -> Result<usize> {
    let mut stream = TcpStream::connect(address)?;
    let (mut asked, mut expected) = (String::new(), String::new());
    for number in 0..requests {
        let body = format!("request {number} of {name}");
        let length = body.len();
        let connection = if number + 1 == requests { "close" } else { "keep-alive" };
        asked += &format!("POST /echo HTTP/1.1\r\nContent-Length: {length}\r\n");
        asked += &format!("Connection: {connection}\r\n\r\n{body}");
        expected += &format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n");
        expected += &format!("Connection: {connection}\r\n\r\n{body}");
    }
    stream.write_all(asked.as_bytes())?;
    let mut answers = String::new();
    stream.read_to_string(&mut answers)?;
    expect(answers, expected)?;
    Ok(requests)
}

/// Lets so many clients send so many requests each; see [`converse`].
///
/// # Blocking
///
/// As [`converse`].
///
/// # Errors
///
/// As [`converse`].
pub fn all(clients: usize, requests: usize) -> Result<usize> {
    let serve = |stream: TcpStream| serve(&stream);
    converse(clients, serve, |number, address| ask(address, number, requests))
}

/// What `GET /` gives.
pub const GREETING: &[u8] = b"hello";
const OK: Refusal = (200, "OK");
const PATIENCE: Duration = Duration::from_secs(1);
const HEADERS_MAX: usize = 64;
const HEAD_BYTES_MAX: usize = 16 << 10;
const BODY_BYTES_MAX: usize = 1 << 20;
