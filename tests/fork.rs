//! A forked child has one kernel thread, and copies of queues that nobody serves: in it every
//! call that needs a runtime says so, and `exec` works.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use sylvan::net::ToSocketAddrs;
use sylvan::{Mapping, Runtime};

#[test]
fn spawn_in_a_forked_child_is_an_error_and_exec_works() {
    for mapping in [Mapping::OneToOne, Mapping::ManyToOne, Mapping::ManyToMany] {
        let runtime = Runtime::builder().mapping(mapping).workers(2).build().unwrap();
        let handle = runtime.handle();
        assert_eq!(runtime.run(|| 1), 1);
        let mut command = Command::new("true");
        let in_child = move || match handle.try_spawn(|| ()) {
            Ok(_) => Err(io::Error::other("a thread was spawned in a forked child")),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
            Err(error) => Err(error),
        };
        // SAFETY: the closure runs in the child, between fork and exec. It allocates a message,
        // which the C library allows there, and touches nothing that another thread may hold.
        unsafe { command.pre_exec(in_child) };
        assert!(command.status().expect("the child was started").success(), "under {mapping}");
        // The parent goes on as before.
        assert_eq!(runtime.run(|| sylvan::thread::spawn(|| 2).join().unwrap()), 2);
    }
}

#[test]
fn name_in_a_forked_child_is_an_error_and_numbers_are_read() {
    // Before any runtime, and with the pool in use: what forks are told to is there by then.
    assert!("localhost:80".to_socket_addrs().is_ok());
    let mut command = Command::new("true");
    let in_child = || {
        "127.0.0.1:80".to_socket_addrs()?;
        match "localhost:80".to_socket_addrs() {
            Ok(_) => Err(io::Error::other("a name was resolved in a forked child")),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
            Err(error) => Err(error),
        }
    };
    // SAFETY: as above.
    unsafe { command.pre_exec(in_child) };
    assert!(command.status().expect("the child was started").success());
    assert!("localhost:80".to_socket_addrs().is_ok(), "the parent goes on as before");
}
