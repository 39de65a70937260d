//! A process that was forked off shares the kernel's side of all sockets and of what watches them:
//! what it does at its end must not reach the parent's.
#![forbid(unsafe_code)]

use std::io::{Read, Write};

use sylvan::net::unix::UnixStream;
use sylvan_workspace::{Shape, Watchdog};

use super::{kernel, ping, with_std_unix_peer};

const SHAPES: [Shape; 4] =
    [Shape::OneToOne, Shape::ManyToOne, Shape::ManyToMany(1), Shape::ManyToMany(4)];

/// A socket that a worker watches, with a peer that nobody does.
fn watched(runtime: &sylvan::Runtime) -> (UnixStream, std::os::unix::net::UnixStream) {
    let (near, far) = with_std_unix_peer();
    std::thread::scope(|scope| {
        // By waits it comes to be watched.
        scope.spawn(|| ping(&far, 200));
        runtime.run(|| {
            for _ in 0..200 {
                let mut byte = [0];
                (&near).read_exact(&mut byte).unwrap();
                (&near).write_all(&byte).unwrap();
            }
        });
    });
    (near, far)
}

/// The parent's worker still hears of the socket that a child has dropped.
fn expect_heard(runtime: &sylvan::Runtime, near: UnixStream, far: std::os::unix::net::UnixStream) {
    std::thread::scope(|scope| {
        scope.spawn(move || ping(far, 200));
        runtime.run(|| {
            let mut room = [0; 16];
            loop {
                match (&near).read(&mut room).unwrap() {
                    0 => break,
                    count => (&near).write_all(&room[..count]).unwrap(),
                }
            }
        });
    });
}

#[test]
fn forked_child_that_drops_a_socket_leaves_it_to_the_parents_worker() {
    for shape in SHAPES {
        let _watchdog = Watchdog::new(format!("under {shape}"));
        let runtime = shape.build();
        let (near, far) = watched(&runtime);
        let mut near = Some(near);
        // In the child it is the child's copy that goes.
        let code = kernel::in_fork(|| {
            drop(near.take());
            7
        });
        assert_eq!(code, 7, "under {shape}");
        expect_heard(&runtime, near.take().expect("it is the parent's"), far);
    }
}

#[test]
fn forked_child_that_just_ends_leaves_the_parents_waits_alone() {
    for shape in SHAPES {
        let _watchdog = Watchdog::new(format!("under {shape}"));
        let runtime = shape.build();
        let (near, far) = UnixStream::pair().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let far = std::os::unix::net::UnixStream::from(far);
                for _ in 0..5 {
                    ping(&far, 20);
                    // Somebody waits in the meantime, and is none of the child's.
                    assert_eq!(kernel::in_fork(|| 3), 3);
                }
                ping(&far, 20);
            });
            runtime.run(|| {
                let mut byte = [0];
                while (&near).read(&mut byte).unwrap() == 1 {
                    (&near).write_all(&byte).unwrap();
                }
            });
        });
    }
}

/// Calls that need no wait work in a child, on a socket of the parent's.
#[test]
fn forked_child_that_uses_a_socket_at_once_is_heard_by_its_peer() {
    for shape in SHAPES {
        let _watchdog = Watchdog::new(format!("under {shape}"));
        let runtime = shape.build();
        let (near, far) = watched(&runtime);
        let code = kernel::in_fork(|| {
            let written = (&near).write_all(&[42]).is_ok();
            i32::from(!written)
        });
        assert_eq!(code, 0, "under {shape}");
        let mut byte = [0];
        (&far).read_exact(&mut byte).unwrap();
        assert_eq!(byte, [42]);
        expect_heard(&runtime, near, far);
    }
}
