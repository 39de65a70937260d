//! The traits of sylvan's sockets are those of std's, looked up for both and compared.
#![forbid(unsafe_code)]

use std::io::{Read, Write};
use std::net as stds;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::net as stds_unix;

use sylvan::net as ours;
use sylvan::net::unix as ours_unix;
use sylvan_workspace::{implements, traits_of};

/// Those that only sockets have.
macro_rules! traits_of_sockets {
    ($subject:ty) => {{
        let mut all = traits_of!($subject);
        all.extend(
            [
                ("Read", implements!($subject: Read)),
                ("Write", implements!($subject: Write)),
                ("AsFd", implements!($subject: AsFd)),
                ("AsRawFd", implements!($subject: AsRawFd)),
                ("FromRawFd", implements!($subject: FromRawFd)),
                ("IntoRawFd", implements!($subject: IntoRawFd)),
                ("From<OwnedFd>", implements!($subject: From<OwnedFd>)),
                ("Into<OwnedFd>", implements!($subject: Into<OwnedFd>)),
            ]
            .into_iter()
            .filter(|(_, has)| *has)
            .map(|(name, _)| name),
        );
        all
    }};
}

macro_rules! expect_the_same {
    ($stds:ident and $ours:ident: $($name:ident)+) => {
        $(
            let (of_std, of_ours) =
                (traits_of_sockets!($stds::$name), traits_of_sockets!($ours::$name));
            let name = stringify!($name);
            assert_eq!(of_ours, of_std, "left: what sylvan's {name} has; right: what std's has");
            let (of_std, of_ours) = (
                traits_of_sockets!(&'static $stds::$name),
                traits_of_sockets!(&'static $ours::$name),
            );
            assert_eq!(of_ours, of_std, "left: what sylvan's &{name} has; right: what std's has");
        )+
    };
}

#[test]
fn sockets_have_stds_traits() {
    expect_the_same!(stds and ours: TcpListener TcpStream UdpSocket);
    expect_the_same!(stds_unix and ours_unix: UnixListener UnixStream UnixDatagram);
}

#[test]
fn iterators_have_stds_traits() {
    let of_std = traits_of!(stds::Incoming<'static>);
    assert_eq!(traits_of!(ours::Incoming<'static>), of_std);
    let of_std = traits_of!(stds_unix::Incoming<'static>);
    let mut of_ours = traits_of!(ours_unix::Incoming<'static>);
    // std has promised that for the other one alone.
    of_ours.retain(|name| *name != "FusedIterator");
    assert_eq!(of_ours, of_std);
    assert!(implements!(ours::Incoming<'static>: std::iter::FusedIterator));
}

#[test]
fn sockets_come_from_stds_and_go_there() {
    macro_rules! expect {
        ($stds:ident and $ours:ident: $($name:ident)+) => {
            $(
                assert!(implements!($ours::$name: From<$stds::$name>));
                assert!(implements!($ours::$name: Into<$stds::$name>));
            )+
        };
    }
    expect!(stds and ours: TcpListener TcpStream UdpSocket);
    expect!(stds_unix and ours_unix: UnixListener UnixStream UnixDatagram);
}

#[test]
fn what_names_addresses_for_std_does_so_here() {
    macro_rules! expect {
        ($($subject:ty)+) => {
            $(
                assert!(implements!($subject: stds::ToSocketAddrs));
                assert!(implements!($subject: ours::ToSocketAddrs), "{}", stringify!($subject));
            )+
        };
    }
    expect!((&'static str, u16) (String, u16) str &'static str String &'static String);
    expect!((stds::IpAddr, u16)(stds::Ipv4Addr, u16)(stds::Ipv6Addr, u16));
    expect!(stds::SocketAddr stds::SocketAddrV4 stds::SocketAddrV6 &'static [stds::SocketAddr]);
}
