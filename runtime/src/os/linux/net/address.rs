//! Socket addresses as the kernel has them.
//!
//! An address is written into, and read out of, a plain array of bytes, at the offsets that the
//! kernel's ABI fixes. So no conversion needs a cast of pointers, nor `unsafe`.
//!
//! What the kernel has filled in must be believed only as far as the length goes that came with it.
#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::io;
use std::mem::offset_of;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::path::Path;

/// As many bytes as the longest of the addresses has: a family and a path of 108 bytes, rounded up
/// to the array's alignment.
const ROOM: usize = size_of::<libc::sockaddr_un>().next_multiple_of(8);

/// Where the name of a Unix address begins.
const NAME: usize = offset_of!(libc::sockaddr_un, sun_path);

/// How long a path may be, in bytes, so that a zero byte has room behind it.
const LONGEST_PATH: usize = size_of::<libc::sockaddr_un>() - NAME - 1;

/// An address as the kernel has it.
#[repr(C, align(8))]
pub(super) struct Raw {
    pub(super) bytes: [u8; ROOM],
    pub(super) length: libc::socklen_t,
}

impl Raw {
    fn empty() -> Raw {
        Raw { bytes: [0; ROOM], length: 0 }
    }

    /// To be filled in by the kernel.
    pub(super) fn with_room() -> Raw {
        Raw { bytes: [0; ROOM], length: ROOM as libc::socklen_t }
    }

    fn put<const N: usize>(&mut self, at: usize, field: [u8; N]) {
        self.bytes[at..at + N].copy_from_slice(&field);
    }

    fn field<const N: usize>(&self, at: usize) -> [u8; N] {
        self.bytes[at..at + N].try_into().expect("the range has N bytes")
    }

    /// The family stands at the beginning of every address, as two bytes.
    fn set_family(&mut self, family: libc::c_int) {
        self.put(0, (family as libc::sa_family_t).to_ne_bytes());
    }

    pub(super) fn of_inet(address: &SocketAddr) -> Raw {
        let mut raw = Raw::empty();
        match address {
            SocketAddr::V4(address) => {
                raw.set_family(libc::AF_INET);
                raw.put(offset_of!(libc::sockaddr_in, sin_port), address.port().to_be_bytes());
                raw.put(offset_of!(libc::sockaddr_in, sin_addr), address.ip().octets());
                raw.length = size_of::<libc::sockaddr_in>() as libc::socklen_t;
            }
            SocketAddr::V6(address) => {
                raw.set_family(libc::AF_INET6);
                raw.put(offset_of!(libc::sockaddr_in6, sin6_port), address.port().to_be_bytes());
                // Flow label and scope are as they are, which is what std passes too.
                let flow = address.flowinfo().to_ne_bytes();
                raw.put(offset_of!(libc::sockaddr_in6, sin6_flowinfo), flow);
                raw.put(offset_of!(libc::sockaddr_in6, sin6_addr), address.ip().octets());
                let scope = address.scope_id().to_ne_bytes();
                raw.put(offset_of!(libc::sockaddr_in6, sin6_scope_id), scope);
                raw.length = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
            }
        }
        raw
    }

    pub(super) fn to_inet(&self) -> io::Result<SocketAddr> {
        match libc::c_int::from(libc::sa_family_t::from_ne_bytes(self.field(0))) {
            libc::AF_INET => {
                let port = self.field(offset_of!(libc::sockaddr_in, sin_port));
                let ip: [u8; 4] = self.field(offset_of!(libc::sockaddr_in, sin_addr));
                let port = u16::from_be_bytes(port);
                Ok(SocketAddrV4::new(Ipv4Addr::from(ip), port).into())
            }
            libc::AF_INET6 => {
                let port = self.field(offset_of!(libc::sockaddr_in6, sin6_port));
                let flow = self.field(offset_of!(libc::sockaddr_in6, sin6_flowinfo));
                let ip: [u8; 16] = self.field(offset_of!(libc::sockaddr_in6, sin6_addr));
                let scope = self.field(offset_of!(libc::sockaddr_in6, sin6_scope_id));
                let (port, flow) = (u16::from_be_bytes(port), u32::from_ne_bytes(flow));
                let scope = u32::from_ne_bytes(scope);
                Ok(SocketAddrV6::new(Ipv6Addr::from(ip), port, flow, scope).into())
            }
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "no address of the internet")),
        }
    }

    /// A path ends in a NUL that is counted; an abstract name begins with one and is as long as the
    /// address says; who has no name has an address of a family alone.
    pub(super) fn of_unix(address: &UnixAddr) -> Raw {
        let mut raw = Raw::empty();
        raw.set_family(libc::AF_UNIX);
        let length = if let Some(path) = address.as_pathname() {
            let path = path.as_os_str().as_bytes();
            raw.bytes[NAME..NAME + path.len()].copy_from_slice(path);
            NAME + path.len() + 1
        } else if let Some(name) = address.as_abstract_name() {
            raw.bytes[NAME + 1..NAME + 1 + name.len()].copy_from_slice(name);
            NAME + 1 + name.len()
        } else {
            NAME
        };
        raw.length = length as libc::socklen_t;
        raw
    }

    pub(super) fn to_unix(&self) -> io::Result<UnixAddr> {
        // Where the kernel had more to write than there was room for, it says so by the length.
        let length = usize::min(self.length as usize, ROOM);
        match self.bytes.get(NAME..length) {
            None | Some([]) => UnixAddr::from_pathname(""),
            Some([0, name @ ..]) => UnixAddr::from_abstract_name(name),
            Some(path) => {
                // A path that fills its field, so that no zero byte has room, can be bound to, but
                // std lets nobody make such an address. Shorter by its last byte it is good for
                // showing, and a datagram from there is not lost over it.
                let end = path.iter().position(|&byte| byte == 0).unwrap_or(path.len());
                let path = OsStr::from_bytes(&path[..end.min(LONGEST_PATH)]);
                UnixAddr::from_pathname(Path::new(path))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(address: &str) {
        let address: SocketAddr = address.parse().unwrap();
        assert_eq!(Raw::of_inet(&address).to_inet().unwrap(), address);
    }

    #[test]
    fn an_internet_address_comes_back_as_it_was_put_in() {
        for address in ["127.0.0.1:80", "255.254.253.252:65535", "0.0.0.0:0", "[::]:0"] {
            there_and_back(address);
        }
        there_and_back("[1:2:3:4:5:6:7:8]:443");
        let ip = Ipv6Addr::new(0xfe80, 0, 0, 0, 1, 2, 3, 0xfffe);
        let address = SocketAddr::from(SocketAddrV6::new(ip, 258, 0x01_02_03, 7));
        assert_eq!(Raw::of_inet(&address).to_inet().unwrap(), address);
        let SocketAddr::V6(address) = Raw::of_inet(&address).to_inet().unwrap() else { panic!() };
        assert_eq!((address.flowinfo(), address.scope_id()), (0x01_02_03, 7));
    }

    #[test]
    fn an_address_of_another_family_is_refused() {
        let error = Raw::of_unix(&UnixAddr::from_pathname("").unwrap()).to_inet().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn a_unix_address_of_each_kind_comes_back_as_it_was_put_in() {
        let back = |address: &UnixAddr| Raw::of_unix(address).to_unix().unwrap();
        assert!(back(&UnixAddr::from_pathname("").unwrap()).is_unnamed());
        for path in ["/a", "relative", &"x".repeat(107)] {
            let address = back(&UnixAddr::from_pathname(path).unwrap());
            assert_eq!(address.as_pathname(), Some(Path::new(path)));
        }
        for name in [&b""[..], b"name", b"\0a\0b\0", &[b'y'; 107]] {
            let address = back(&UnixAddr::from_abstract_name(name).unwrap());
            assert_eq!(address.as_abstract_name(), Some(name));
        }
    }

    #[test]
    fn a_path_that_fills_its_field_is_shortened() {
        for beyond in [0, 1] {
            let mut raw = Raw::empty();
            raw.set_family(libc::AF_UNIX);
            raw.bytes[NAME..NAME + 108].fill(b'z');
            // The kernel counts a zero byte for which the field has no room.
            raw.length = (NAME + 108 + beyond) as libc::socklen_t;
            let path = "z".repeat(107);
            assert_eq!(raw.to_unix().unwrap().as_pathname(), Some(Path::new(&path)));
        }
    }
}
