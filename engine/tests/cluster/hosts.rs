//! Hosts of a test's own on one machine: network namespaces at one switch, each with an interface `eth0` and an address of
//! either version.
//!
//! They are held by descriptors of this process: the kernel removes them with it, whatever happens to the test. It takes root,
//! or the right to make namespaces, and `ip`; where one of these lacks, the test says so and ends.

use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::thread;

/// A network namespace.
#[derive(Debug)]
struct Namespace(File);

impl Namespace {
    /// One that nobody had before.
    fn new() -> Result<Self, String> {
        thread::scope(|scope| {
            let made = scope.spawn(|| {
                // SAFETY: it changes the namespace of this thread alone, which ends at once.
                if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
                    return Err(format!(
                        "no network namespace: {}",
                        io::Error::last_os_error()
                    ));
                }
                let path = "/proc/thread-self/ns/net";
                let own = File::open(path).map_err(|error| format!("{path}: {error}"))?;
                Ok(Self(own))
            });
            made.join().expect("it does not panic")
        })
    }

    /// Does that on a thread within it; threads and sockets that are made there stay there.
    fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let working = scope.spawn(|| {
                // SAFETY: the descriptor is open, and it changes the namespace of this thread alone.
                let entered = unsafe { libc::setns(self.0.as_raw_fd(), libc::CLONE_NEWNET) };
                assert_eq!(entered, 0, "{}", io::Error::last_os_error());
                work()
            });
            working
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// How other programs can name it while this process lives.
    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }

    fn ip(&self, arguments: &str) -> Result<(), String> {
        self.within(|| {
            let output = Command::new("ip").args(arguments.split(' ')).output();
            let output = output.map_err(|error| format!("ip: {error}"))?;
            let said = String::from_utf8_lossy(&output.stderr);
            let is_done = output.status.success();
            is_done
                .then_some(())
                .ok_or_else(|| format!("ip {arguments}: {}", said.trim()))
        })
    }
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Hosts {
    switch: Namespace,
    hosts: Vec<Namespace>,
}

impl Hosts {
    /// So many. None, and the reason is printed, where that is not possible.
    pub(crate) fn new(count: usize) -> Option<Self> {
        match Self::made(count) {
            Ok(hosts) => Some(hosts),
            Err(why) => {
                println!("skipped: this machine lets no test have networks of its own: {why}");
                None
            }
        }
    }

    fn made(count: usize) -> Result<Self, String> {
        let switch = Namespace::new()?;
        switch.ip("link add switch type bridge")?;
        switch.ip("link set switch up")?;
        let mut this = Self {
            switch,
            hosts: Vec::new(),
        };
        for number in 0..count {
            this.hosts.push(Namespace::new()?);
            this.hosts[number].ip("link set lo up")?;
            this.plug(number, "eth0")?;
            let host = &this.hosts[number];
            host.ip(&format!("addr add {}/24 dev eth0", this.address(number)))?;
            host.ip(&format!(
                "addr add {}/64 dev eth0 nodad",
                this.address_6(number)
            ))?;
            let local = this.link_local(number, 0).ip();
            host.ip(&format!("addr add {local}/64 dev eth0 nodad"))?;
        }
        Ok(this)
    }

    /// Connects a host to the switch with an interface of that name.
    fn plug(&self, number: usize, interface: &str) -> Result<(), String> {
        let port = format!("p{number}-{interface}");
        let host = &self.hosts[number];
        let path = host.path();
        self.switch.ip(&format!(
            "link add {port} type veth peer name {interface} netns {path}"
        ))?;
        self.switch
            .ip(&format!("link set {port} master switch up"))?;
        host.ip(&format!("link set {interface} up"))
    }

    /// A second network between two of the hosts, by interfaces of that name; the first has this address there, the
    /// other the next.
    pub(crate) fn wire(&self, [a, b]: [usize; 2], interface: &str, first: Ipv4Addr) {
        let (a, b) = (&self.hosts[a], &self.hosts[b]);
        let second = Ipv4Addr::from(u32::from(first) + 1);
        let path = b.path();
        let wired = a
            .ip(&format!(
                "link add {interface} type veth peer name {interface} netns {path}"
            ))
            .and_then(|()| a.ip(&format!("addr add {first}/24 dev {interface}")))
            .and_then(|()| b.ip(&format!("addr add {second}/24 dev {interface}")))
            .and_then(|()| a.ip(&format!("link set {interface} up")))
            .and_then(|()| b.ip(&format!("link set {interface} up")));
        wired.unwrap_or_else(|why| panic!("{why}"));
    }

    pub(crate) fn address(&self, number: usize) -> IpAddr {
        Ipv4Addr::new(10, 77, 0, last(number)).into()
    }

    pub(crate) fn address_6(&self, number: usize) -> IpAddr {
        Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, last(number).into()).into()
    }

    /// An address that is its own on `eth0` alone.
    pub(crate) fn link_local(&self, number: usize, port: u16) -> SocketAddr {
        let ip = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0x77, last(number).into());
        // SAFETY: the name ends with a zero, and is read during the call alone.
        let interface = || unsafe { libc::if_nametoindex(c"eth0".as_ptr()) };
        SocketAddrV6::new(ip, port, 0, self.on(number, interface)).into()
    }

    /// Does that on a host.
    pub(crate) fn on<T: Send>(&self, number: usize, work: impl FnOnce() -> T + Send) -> T {
        self.hosts[number].within(work)
    }
}

fn last(number: usize) -> u8 {
    u8::try_from(number + 1).expect("a few hosts")
}
