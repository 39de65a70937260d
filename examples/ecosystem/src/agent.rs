//! `ureq` over sylvan's sockets: a transport for it, so that its calls wait as green threads do.
//!
//! `ureq` takes a connector, which opens connections, and a resolver, which finds addresses. Ours
//! are sylvan's: a name is looked up where that holds up no green thread, and a socket waits with
//! its thread. The timeouts that `ureq` asks for become those of the socket, as with its own
//! transport over std's.
#![forbid(unsafe_code)]

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;

use sylvan::net::{Shutdown, TcpStream, ToSocketAddrs};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, ShutdownHandle, Transport,
};
use ureq::{Agent, Error};

use crate::{Result, converse, expect, http};

/// Returns an agent whose connections are sylvan's.
pub fn agent(config: Config) -> Agent {
    Agent::with_parts(config, Connect, Resolve)
}

#[derive(Debug)]
struct Resolve;

impl Resolver for Resolve {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        _: NextTimeout,
    ) -> std::result::Result<ResolvedSocketAddrs, Error> {
        let parts = uri.scheme().zip(uri.authority());
        let name =
            parts.and_then(|(scheme, authority)| DefaultResolver::host_and_port(scheme, authority));
        let name = name.ok_or_else(|| Error::BadUri(format!("{uri} has no host")))?;
        let mut found = self.empty();
        for address in config.ip_family().keep_wanted(name.to_socket_addrs()?).take(ADDRESSES_MAX) {
            found.push(address);
        }
        Ok(found)
    }
}

#[derive(Debug)]
struct Connect;

impl Connector for Connect {
    type Out = Connection;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> std::result::Result<Option<Connection>, Error> {
        let timeout = details.timeout;
        let mut last = ErrorKind::AddrNotAvailable.into();
        for address in &details.addrs {
            let attempt = match timeout.not_zero() {
                Some(after) => TcpStream::connect_timeout(address, *after),
                None => TcpStream::connect(address),
            };
            match attempt {
                Ok(stream) => {
                    stream.set_nodelay(details.config.no_delay())?;
                    let stream = Arc::new(Stream(stream));
                    let weak = Arc::downgrade(&stream);
                    (details.register_shutdown)(weak)?;
                    let input = details.config.input_buffer_size();
                    let buffers = LazyBuffers::new(input, details.config.output_buffer_size());
                    return Ok(Some(Connection { stream, buffers }));
                }
                Err(error) => last = error,
            }
        }
        Err(in_time(last, timeout))
    }
}

/// An error of a socket's timeout is one of the timeout that `ureq` has asked for.
fn in_time(error: std::io::Error, timeout: NextTimeout) -> Error {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Error::Timeout(timeout.reason),
        _ => Error::Io(error),
    }
}

#[derive(Debug)]
struct Stream(TcpStream);

impl ShutdownHandle for Stream {
    fn shutdown(&self) {
        // It may be closed already.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// A connection of an agent.
#[derive(Debug)]
struct Connection {
    stream: Arc<Stream>,
    buffers: LazyBuffers,
}

impl Transport for Connection {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(
        &mut self,
        amount: usize,
        timeout: NextTimeout,
    ) -> std::result::Result<(), Error> {
        let timeout = timeout.for_write();
        let mut stream = &self.stream.0;
        stream.set_write_timeout(timeout.not_zero().map(|after| *after))?;
        let outcome = stream.write_all(&self.buffers.output()[..amount]);
        outcome.map_err(|error| in_time(error, timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> std::result::Result<bool, Error> {
        let timeout = timeout.for_read();
        let mut stream = &self.stream.0;
        stream.set_read_timeout(timeout.not_zero().map(|after| *after))?;
        let outcome = stream.read(self.buffers.input_append_buf());
        let amount = outcome.map_err(|error| in_time(error, timeout))?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    /// Whether the server has neither closed it nor sent what nobody has asked for.
    ///
    /// `ureq` asks this under a lock of std's, so it must not switch to another green thread, which
    /// might want the same lock. A call of sylvan's socket might; one of std's, on the same
    /// connection, does not, and cannot wait either: below, the socket is non-blocking.
    fn is_open(&mut self) -> bool {
        let clone = self.stream.0.as_fd().try_clone_to_owned();
        let seen = clone.and_then(|clone| std::net::TcpStream::from(clone).peek(&mut [0]));
        seen.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }
}

/// Sends so many requests by an agent, and returns how many were answered.
///
/// # Blocking
///
/// Waits for the server, at each request.
///
/// # Errors
///
/// A broken connection, or a wrong answer.
pub fn ask(agent: &Agent, address: SocketAddr, name: usize, requests: usize) -> Result<usize> {
    for number in 0..requests {
        let body = format!("request {number} of {name}{}", "!".repeat(number * 10_000));
        let mut answer = agent.post(format!("http://{address}/echo")).send(&body)?;
        expect(answer.body_mut().read_to_string()?, body)?;
    }
    Ok(requests)
}

/// Lets so many clients send so many requests each, to the server of [`http`]; see [`converse`].
///
/// # Blocking
///
/// As [`converse`].
///
/// # Errors
///
/// As [`converse`].
pub fn all(clients: usize, requests: usize) -> Result<usize> {
    converse(
        clients,
        |stream| http::serve(&stream),
        |number, address| ask(&agent(Config::default()), address, number, requests),
    )
}

/// `ResolvedSocketAddrs` has room for so many.
const ADDRESSES_MAX: usize = 16;
