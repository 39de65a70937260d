//! `tungstenite` over sylvan's sockets: a server that sends back every message, and its client.
//!
//! The crate takes any stream that blocks. Which messages go together, how they are masked and how
//! a connection is ended in order is its business; a thread is a loop over messages.
#![forbid(unsafe_code)]

use std::net::SocketAddr;

use sylvan::net::TcpStream;
use tungstenite::Message;
use tungstenite::error::Error::ConnectionClosed;

use crate::{Result, converse, expect};

/// Sends back each message, until the client closes.
///
/// # Blocking
///
/// Waits for the client, at each message.
///
/// # Errors
///
/// A broken connection, or a client that does not keep to the protocol.
pub fn serve(stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut socket = tungstenite::accept(stream)?;
    loop {
        match socket.read() {
            Ok(message) if message.is_text() || message.is_binary() => socket.send(message)?,
            // Pings are answered, and a close is returned, by the crate.
            Ok(_) => (),
            Err(ConnectionClosed) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Sends so many messages over one connection, and returns how many came back.
///
/// # Blocking
///
/// Waits for the server, at each message.
///
/// # Errors
///
/// A broken connection, or a wrong answer.
pub fn ask(address: SocketAddr, name: usize, messages: usize) -> Result<usize> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let (mut socket, _) = tungstenite::client(format!("ws://{address}/"), stream)?;
    for number in 0..messages {
        let message = match number % 2 {
            0 => Message::text(format!("message {number} of {name}")),
            // Longer than what fits into 16 bits.
            _ => Message::binary(vec![name as u8; number * 10_000]),
        };
        socket.send(message.clone())?;
        expect(socket.read()?, message)?;
    }
    socket.send(Message::Ping("are you there?".into()))?;
    expect(socket.read()?, Message::Pong("are you there?".into()))?;
    socket.close(None)?;
    loop {
        match socket.read() {
            Ok(_) => (),
            Err(ConnectionClosed) => return Ok(messages),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Lets so many clients send so many messages each; see [`converse`].
///
/// # Blocking
///
/// As [`converse`].
///
/// # Errors
///
/// As [`converse`].
pub fn all(clients: usize, messages: usize) -> Result<usize> {
    converse(clients, serve, |number, address| ask(address, number, messages))
}
