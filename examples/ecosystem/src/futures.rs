//! `hyper` over sylvan's sockets: a server and a client that are futures, driven by green threads.
//!
//! `hyper` asks for a stream that can be polled, and sylvan's sockets wait. So each connection has
//! two more green threads, one that reads and one that writes, and between them and `hyper` lie
//! channels, whose ends can be polled: [`over`] is all of that, and [`Io`] what `hyper` is given.
//! Backpressure stays: a channel holds one piece, so who does not read is not read for, either.
//! [`GreenThreads`] spawns what `hyper` wants to have run beside it.
//!
//! It must never wait within a poll: other parts of the same future may have something to do.
#![forbid(unsafe_code)]

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::rt::{Executor, Read, ReadBufCursor, Write};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use sylvan::channel::{Receiver, Sender, bounded};
use sylvan::net::{Shutdown, TcpStream};
use sylvan::{block_on, thread};

use crate::http::GREETING;
use crate::{Result, converse, expect};

type Piece = Vec<u8>;
type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A stream for `hyper`; see [`over`].
pub struct Io {
    received: Receiver<io::Result<Piece>>,
    /// The next piece, asked for and not there yet. `None` in it is the end.
    receiving: Option<Pending<Option<io::Result<Piece>>>>,
    /// What has come, and how much of it has been read.
    piece: Piece,
    read: usize,
    /// `None`: it has been shut down.
    to_send: Option<Sender<Piece>>,
    /// The last piece, which the writer has no room for yet. False: the writer has failed.
    sending: Option<Pending<bool>>,
}

impl fmt::Debug for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Io").finish_non_exhaustive()
    }
}

/// Gives `f` a stream that can be polled, over one that waits.
///
/// # Blocking
///
/// Returns when `f` has, the stream has been dropped, and what was written to it has been sent.
///
/// # Errors
///
/// One that the writer has met. An error of the reader is one of the stream's.
pub fn over<R>(stream: &TcpStream, f: impl FnOnce(Io) -> Result<R>) -> Result<R> {
    let ((sender, received), (to_send, pieces)) = (bounded(1), bounded(1));
    let (receiving, sending) = (None, None);
    let (piece, read) = (Piece::new(), 0);
    let io = Io { received, receiving, piece, read, to_send: Some(to_send), sending };
    thread::scope(|scope| {
        let reader = scope.spawn(move || read_all(stream, &sender));
        let writer = scope.spawn(move || write_all(stream, &pieces));
        let outcome = f(io);
        let written = writer.join().expect("it does not panic");
        // Nobody is interested any more in what it may wait for.
        reader.cancel().expect("this program unwinds");
        let result = outcome?;
        written?;
        Ok(result)
    })
}

fn read_all(mut stream: &TcpStream, sender: &Sender<io::Result<Piece>>) {
    loop {
        let mut piece = vec![0; PIECE_BYTES];
        let outcome = stream.read(&mut piece);
        let is_last = !matches!(outcome, Ok(1..));
        let outcome = outcome.map(|length| {
            piece.truncate(length);
            piece
        });
        // The end needs no message: it is that of the sender.
        let is_end = matches!(&outcome, Ok(piece) if piece.is_empty());
        if is_end || sender.send(outcome).is_err() || is_last {
            return;
        }
    }
}

fn write_all(mut stream: &TcpStream, pieces: &Receiver<Piece>) -> io::Result<()> {
    for piece in pieces {
        stream.write_all(&piece)?;
    }
    match stream.shutdown(Shutdown::Write) {
        // The other side has gone, and has told us nothing else before: that is an end, too.
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
        outcome => outcome,
    }
}

impl Io {
    /// Waits until the writer has taken the last piece.
    fn poll_sent(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(sending) = &mut self.sending {
            let is_sent = ready!(sending.as_mut().poll(context));
            self.sending = None;
            if !is_sent {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Read for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read == self.piece.len() {
            let received = self.received.clone();
            let next = async move { received.recv_async().await.ok() };
            let receiving = self.receiving.get_or_insert_with(|| Box::pin(next));
            let piece = ready!(receiving.as_mut().poll(context));
            self.receiving = None;
            match piece {
                None => return Poll::Ready(Ok(())),
                Some(piece) => self.piece = piece?,
            }
            self.read = 0;
        }
        let rest = &self.piece[self.read..];
        let length = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..length]);
        self.read += length;
        Poll::Ready(Ok(()))
    }
}

impl Write for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_sent(context))?;
        let Some(to_send) = self.to_send.clone() else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        let piece = bytes[..bytes.len().min(PIECE_BYTES)].to_vec();
        let length = piece.len();
        let mut sending: Pending<bool> =
            Box::pin(async move { to_send.send_async(piece).await.is_ok() });
        // Taken or waiting, it is on its way.
        match sending.as_mut().poll(context) {
            Poll::Ready(false) => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Poll::Ready(true) => (),
            Poll::Pending => self.sending = Some(sending),
        }
        Poll::Ready(Ok(length))
    }

    /// What has been taken is on its way, and nothing need be done for it. Waiting here until it
    /// has gone would be wrong: the other side may have it, and hang up, before this side knows,
    /// and `hyper` would take that for the end of an exchange that it believes unfinished.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_sent(context))?;
        // The writer sees the end of its channel, behind what is still in it.
        self.to_send = None;
        Poll::Ready(Ok(()))
    }
}

/// An executor whose tasks are green threads.
#[derive(Debug, Clone, Copy)]
pub struct GreenThreads;

impl<F> Executor<F> for GreenThreads
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, future: F) {
        thread::spawn(move || block_on(future));
    }
}

/// What the server gives; the same as that of [`crate::http`].
async fn answer(
    request: Request<Incoming>,
) -> std::result::Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let mut response = Response::new(Full::default());
    match (head.method, head.uri.path()) {
        (Method::GET, "/") => *response.body_mut() = Full::from(GREETING),
        (Method::POST, "/echo") => {
            *response.body_mut() = Full::from(body.collect().await?.to_bytes())
        }
        _ => *response.status_mut() = StatusCode::NOT_FOUND,
    }
    Ok(response)
}

/// Answers the requests of a connection, until either side has enough.
///
/// # Blocking
///
/// Waits for the client, at each read and write.
///
/// # Errors
///
/// A broken connection, or a client that does not keep to the protocol.
pub fn serve(stream: &TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    over(stream, |io| {
        let server = hyper::server::conn::http1::Builder::new();
        Ok(block_on(server.serve_connection(io, service_fn(answer)))?)
    })
}

/// Sends so many requests over one connection, and returns how many were answered.
///
/// # Blocking
///
/// Waits for the server, at each read and write.
///
/// # Errors
///
/// A broken connection, or a wrong answer.
pub fn ask(address: SocketAddr, name: usize, requests: usize) -> Result<usize> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    over(&stream, |io| {
        let handshake = hyper::client::conn::http1::handshake::<_, Full<Bytes>>(io);
        let (mut requester, connection) = block_on(handshake)?;
        thread::scope(|scope| {
            let connection = scope.spawn(move || block_on(connection));
            for number in 0..requests {
                let text = format!("request {number} of {name}{}", "!".repeat(number * 10_000));
                let body = block_on(async {
                    let request = Request::post("/echo").header("host", "localhost");
                    let request = request.body(Full::from(text.clone()))?;
                    requester.ready().await?;
                    let response = requester.send_request(request).await?;
                    expect(response.status(), StatusCode::OK)?;
                    Result::Ok(response.into_body().collect().await?.to_bytes())
                })?;
                expect(&body[..], text.as_bytes())?;
            }
            drop(requester);
            connection.join().expect("it does not panic")?;
            Ok(requests)
        })
    })
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

const PIECE_BYTES: usize = 16 << 10;
