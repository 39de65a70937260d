//! A peer's server, as a process of its own, and what can be seen of it from outside.
//!
//! It ends with the one who holds it: killed, and waited for, so that its time is known to have
//! been ours, not load from elsewhere; and by itself if its stdin ends, for a generator that an
//! alarm ends can no longer kill anybody.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::serve::{Manner, Peer};
use crate::load::CpuClock;
use crate::{elsewhere, measure, process};

/// Which server is wanted.
#[derive(Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) peer: Peer,
    pub(crate) manner: Manner,
    pub(crate) workers: usize,
    /// Whether server and generator have processors of their own, where there are enough: as many
    /// as workers for the server, the next one for the generator. Else all are for both.
    pub(crate) apart: bool,
}

/// A server that runs.
pub(crate) struct Server {
    child: Child,
    clock: CpuClock,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts it and waits until it listens.
    pub(crate) fn start(wanted: Wanted) -> Result<Server, String> {
        let mut command = command(wanted)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let all = measure::processors();
        let for_server = wanted.workers.min(all.len().saturating_sub(1).max(1));
        if wanted.apart {
            measure::stay_on(&all[..for_server]);
        }
        let child = command.spawn().map_err(|error| format!("no server: {error}"));
        if wanted.apart {
            let own = for_server.min(all.len() - 1);
            measure::stay_on(&all[own..=own]);
        }
        let mut child = child?;
        let clock = CpuClock::of(child.id());
        let mut line = String::new();
        let output = child.stdout.take().expect("it was asked for");
        // What it says later has no reader, and a peer that says much must not wait for one.
        let read = BufReader::new(output).read_line(&mut line);
        let port = line.strip_prefix("listening ").and_then(|word| word.trim().parse().ok());
        // From here on its end is certain, whatever comes.
        let mut server =
            Server { child, clock, address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)) };
        read.map_err(|error| format!("fails: the server says nothing: {error}"))?;
        server.address.set_port(port.ok_or("fails: the server does not listen")?);
        Ok(server)
    }

    /// Processor time of the whole process up to now, also of kernel threads that have ended.
    pub(crate) fn cpu_time(&self) -> Duration {
        self.clock.now()
    }

    /// Processor time of each kernel thread that lives.
    pub(crate) fn cpu_time_by_thread(&self) -> BTreeMap<u64, Duration> {
        process::cpu_time_by_thread(self.child.id())
    }

    /// Bytes of resident memory and of the page tables below it.
    pub(crate) fn resident_bytes(&self) -> u64 {
        process::resident_bytes_of(&self.child.id().to_string())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already if either fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(wanted: Wanted) -> Result<Command, String> {
    let Wanted { peer, manner, workers, .. } = wanted;
    let own = || std::env::current_exe().map_err(|error| error.to_string());
    let program: PathBuf = if peer == Peer::Go { elsewhere::go_server()? } else { own()? };
    let mut command = Command::new(program);
    command.args(["serve", peer.word(), manner.word(), &workers.to_string()]);
    // Settings for programs must not move a server away from what the row says.
    for variable in ["GOGC", "GOMEMLIMIT", "GODEBUG"] {
        command.env_remove(variable);
    }
    command.env("GOMAXPROCS", workers.to_string());
    Ok(command)
}
