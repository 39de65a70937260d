//! A client library that is written for tokio, used from plain blocking code.
//!
//! The library has `async` methods and needs tokio's sockets. Here green threads call it, each with
//! a connection of its own, and wait by `sylvan::block_on`; tokio runs beside them on a kernel
//! thread of its own. The service answers nobody's first question before all have asked it, so the
//! program ends only because a thread that waits lets the others go on, on one worker, too.
//!
//! ```text
//! $ cargo run --release --example futures
//! thread 1: 100 answers, the last one "QUESTION 100 OF THREAD 1"
//! thread 2: 100 answers, the last one "QUESTION 100 OF THREAD 2"
//! thread 3: 100 answers, the last one "QUESTION 100 OF THREAD 3"
//! thread 4: 100 answers, the last one "QUESTION 100 OF THREAD 4"
//! 400 questions were answered
//! a task of tokio's awaited a thread: 5050
//! ```
//!
//! # Where tokio is
//!
//! Futures of tokio look for its runtime in a variable of the kernel thread, and `Handle::enter`
//! sets it until its guard goes. The green threads of a worker share that variable and take turns
//! whenever one waits, so no guard may be held over a wait: they would be undone in the wrong
//! order. `within` enters for each poll, and a poll does not wait. Where the future may run on
//! tokio's own threads there is a shorter way: `block_on(tokio.spawn(future))`.
#![forbid(unsafe_code)]

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use sylvan::{block_on, thread};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Handle};
use tokio::sync::Barrier;

const THREADS: usize = 4;
const QUESTIONS: usize = 100;

/// The library: it knows nothing of threads.
struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    async fn connect(address: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Client { stream: BufReader::new(stream) })
    }

    async fn ask(&mut self, question: &str) -> io::Result<String> {
        self.stream.write_all(format!("{question}\n").as_bytes()).await?;
        let mut answer = String::new();
        self.stream.read_line(&mut answer).await?;
        Ok(answer.trim_end().to_owned())
    }
}

#[sylvan::main]
fn main() -> io::Result<()> {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_io().build()?;
    let tokio = runtime.handle();
    let listener = block_on(within(tokio, TcpListener::bind("127.0.0.1:0")))?;
    let address = listener.local_addr()?;
    let service = tokio.spawn(serve(listener));

    let threads = (1..=THREADS).map(|number| {
        let tokio = tokio.clone();
        thread::spawn(move || converse(&tokio, address, number))
    });
    for (index, thread) in threads.collect::<Vec<_>>().into_iter().enumerate() {
        let last = thread.join().expect("it does not panic")?;
        println!("thread {}: {QUESTIONS} answers, the last one {last:?}", index + 1);
    }
    let answered = block_on(service).expect("it does not panic")?;
    println!("{answered} questions were answered");

    // The other way round, a thread is awaited like anything else.
    let sum = thread::spawn(|| (1..=100).sum::<u32>());
    let task = tokio.spawn(async { sum.await.expect("it does not panic") });
    let sum = block_on(task).expect("it does not panic");
    println!("a task of tokio's awaited a thread: {sum}");
    runtime.shutdown_background();
    Ok(())
}

/// What a green thread does. Nothing here is `async`.
fn converse(tokio: &Handle, address: SocketAddr, number: usize) -> io::Result<String> {
    let mut client = block_on(within(tokio, Client::connect(address)))?;
    let mut answer = String::new();
    for question in 1..=QUESTIONS {
        let question = format!("question {question} of thread {number}");
        answer = block_on(within(tokio, client.ask(&question)))?;
        if answer != question.to_uppercase() {
            return Err(io::Error::other(format!("{question:?} was answered by {answer:?}")));
        }
    }
    Ok(answer)
}

/// The same future, which finds tokio whenever it is polled.
fn within<F: Future>(tokio: &Handle, future: F) -> impl Future<Output = F::Output> {
    let mut future: Pin<Box<F>> = Box::pin(future);
    poll_fn(move |context: &mut Context<'_>| -> Poll<F::Output> {
        let _entered = tokio.enter();
        future.as_mut().poll(context)
    })
}

/// The other side, which is all tokio's: says everything in capitals. Gives how much it was asked.
async fn serve(listener: TcpListener) -> io::Result<usize> {
    let all_have_asked = Arc::new(Barrier::new(THREADS));
    let mut connections = Vec::new();
    for _ in 0..THREADS {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        connections.push(tokio::spawn(answer(stream, all_have_asked.clone())));
    }
    let mut answered = 0;
    for connection in connections {
        answered += connection.await.expect("it does not panic")?;
    }
    Ok(answered)
}

async fn answer(stream: TcpStream, all_have_asked: Arc<Barrier>) -> io::Result<usize> {
    let mut stream = BufReader::new(stream);
    let (mut answered, mut line) = (0, String::new());
    while stream.read_line(&mut line).await? > 0 {
        if answered == 0 {
            all_have_asked.wait().await;
        }
        stream.write_all(line.to_uppercase().as_bytes()).await?;
        line.clear();
        answered += 1;
    }
    Ok(answered)
}
