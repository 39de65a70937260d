//! The memory of headers: it is used again, whoever frees it, and comes back after a burst.
#![forbid(unsafe_code)]

use sylvan::thread::{self, JoinHandle};
use sylvan::{Mapping, Runtime};
use sylvan_workspace::{in_child, process, until};

fn runtime() -> Runtime {
    let builder = Runtime::builder().mapping(Mapping::ManyToMany).workers(4);
    builder.build().expect("four kernel threads can be had")
}

/// Threads whose handles are joined by another thread than the one that has spawned them, mostly
/// on another worker.
fn spawn_here_and_join_there(spawners: usize, each: usize) {
    let spawn = move || (0..each).map(|n| thread::spawn(move || n)).collect::<Vec<_>>();
    let spawners: Vec<JoinHandle<_>> = (0..spawners).map(|_| thread::spawn(spawn)).collect();
    for spawner in spawners {
        for (n, thread) in spawner.join().unwrap().into_iter().enumerate() {
            assert_eq!(thread.join().unwrap(), n);
        }
    }
}

#[test]
fn headers_freed_on_other_workers_in_a_loop_are_used_again() {
    in_child("memory::headers_freed_on_other_workers_in_a_loop_are_used_again", &[], || {
        let runtime = runtime();
        runtime.run(|| spawn_here_and_join_there(4, 1000));
        let resident = process::resident_bytes();
        for _ in 0..50 {
            runtime.run(|| spawn_here_and_join_there(4, 1000));
        }
        let grown = process::resident_bytes().saturating_sub(resident);
        // 200,000 headers are 40 MiB.
        assert!(grown < 8 << 20, "{grown} bytes more after 200,000 threads");
    })
    .expect_success();
}

#[test]
#[cfg_attr(feature = "sanitizer", ignore = "AddressSanitizer holds memory back")]
fn burst_of_threads_gives_its_memory_back_when_the_workers_sleep() {
    in_child("memory::burst_of_threads_gives_its_memory_back_when_the_workers_sleep", &[], || {
        let runtime = runtime();
        let before = process::resident_bytes();
        // Held back by the spawner, which keeps its worker, while the others finish some of them.
        let most = runtime.run(|| {
            let threads: Vec<_> = (0..200_000).map(|n| thread::spawn(move || n)).collect();
            let most = process::resident_bytes();
            threads.into_iter().for_each(|thread| drop(thread.join()));
            most
        });
        // 200,000 headers are 40 MiB; what is kept of them is 4 MiB, and others keep some, too.
        assert!(most - before > 40 << 20, "the burst took {} bytes", most - before);
        until(|| process::resident_bytes().saturating_sub(before) < 20 << 20);
    })
    .expect_success();
}
