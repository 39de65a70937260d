//! Servers whose threads block: sylvan's, may's and std's, which differ in their imports alone.
#![forbid(unsafe_code)]

use std::io::{Read, Write};

use super::{ACCEPTED, BOUND, Manner, OPTION, PORT, announce};
use crate::measure::kernel_thread;
use crate::peers::threads::{May, Std, Sylvan, Threads};
use crate::wire::BUFFER;

/// The server with the sockets of `$library` and the threads of `$peer`.
macro_rules! server {
    ($name:ident, $library:ident, $peer:ty) => {
        pub(super) fn $name(workers: usize, manner: Manner) {
            let runtime = <$peer>::start(workers);
            runtime.run(move || {
                let listener = $library::net::TcpListener::bind(PORT).expect(BOUND);
                announce(listener.local_addr());
                for stream in listener.incoming() {
                    let stream = stream.expect(ACCEPTED);
                    drop(<$peer>::spawn(move || {
                        stream.set_nodelay(true).expect(OPTION);
                        attend(stream, manner);
                    }));
                }
            });
        }
    };
}

server!(sylvan, sylvan, Sylvan);
server!(may, may, May);
server!(std, std, Std);

fn attend(stream: impl Read + Write, manner: Manner) {
    match manner {
        Manner::Echo => echo(stream, |_| ()),
        Manner::Named => echo(stream, |message| {
            if let Some(word) = message.first_chunk_mut() {
                *word = kernel_thread().to_le_bytes();
            }
        }),
        Manner::Once => once(stream),
    }
}

/// A client that has gone is no error.
fn echo(mut stream: impl Read + Write, sign: impl Fn(&mut [u8])) {
    let mut buffer = [0; BUFFER];
    loop {
        let Ok(bytes @ 1..) = stream.read(&mut buffer) else { return };
        sign(&mut buffer[..bytes]);
        if stream.write_all(&buffer[..bytes]).is_err() {
            return;
        }
    }
}

fn once(mut stream: impl Read + Write) {
    let mut buffer = [0; BUFFER];
    let Ok(bytes) = stream.read(&mut buffer) else { return };
    // A client that has gone is no error.
    let _ = stream.write_all(&buffer[..bytes]);
}
