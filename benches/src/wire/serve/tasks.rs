//! The server whose tasks are futures: tokio's, on several kernel threads or on one.
//!
//! The task that accepts is one of the runtime's, as everywhere in the suite: the kernel thread
//! that waits in `block_on` would have to wake a worker for each connection.
#![forbid(unsafe_code)]

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{ACCEPTED, BOUND, Manner, OPTION, PORT, announce};
use crate::measure::kernel_thread;
use crate::peers::tasks::tokio_builder;
use crate::wire::BUFFER;

pub(super) fn tokio(multi: bool, workers: usize, manner: Manner) {
    let runtime = tokio_builder(multi, workers).enable_io().build();
    let runtime = runtime.expect("the system grants kernel threads");
    runtime.block_on(async {
        let accepting = match manner {
            Manner::Echo => ::tokio::spawn(accept(|stream| echo(stream, |_| ()))),
            Manner::Named => ::tokio::spawn(accept(|stream| echo(stream, sign))),
            Manner::Once => ::tokio::spawn(accept(once)),
        };
        accepting.await.expect("no connection panics");
    });
}

async fn accept<F: Future<Output = ()> + Send + 'static>(attend: fn(TcpStream) -> F) {
    let listener = TcpListener::bind(PORT).await.expect(BOUND);
    announce(listener.local_addr());
    loop {
        let (stream, _) = listener.accept().await.expect(ACCEPTED);
        ::tokio::spawn(async move {
            stream.set_nodelay(true).expect(OPTION);
            attend(stream).await;
        });
    }
}

fn sign(message: &mut [u8]) {
    if let Some(word) = message.first_chunk_mut() {
        *word = kernel_thread().to_le_bytes();
    }
}

/// A client that has gone is no error.
async fn echo(mut stream: TcpStream, sign: fn(&mut [u8])) {
    let mut buffer = [0; BUFFER];
    loop {
        let Ok(bytes @ 1..) = stream.read(&mut buffer).await else { return };
        sign(&mut buffer[..bytes]);
        if stream.write_all(&buffer[..bytes]).await.is_err() {
            return;
        }
    }
}

async fn once(mut stream: TcpStream) {
    let mut buffer = [0; BUFFER];
    let Ok(bytes) = stream.read(&mut buffer).await else { return };
    // A client that has gone is no error.
    let _ = stream.write_all(&buffer[..bytes]).await;
}
