//! dnsmasq and unbound as processes of a test, with names that come and go.
//!
//! Nothing is installed here: a test for which there is no server says so and ends.

use std::cell::Cell;
use std::fmt::Write;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take to listen on a loaded machine.
const GENEROUS: Duration = Duration::from_secs(60);

/// Where Debian has its servers.
const FOLDERS: [&str; 2] = ["/usr/sbin", "/usr/bin"];

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Its addresses change while it runs, its services are those it was started with.
    Dnsmasq,
    /// All its records change while it runs.
    Unbound,
}

/// What a name of the zone `example` stands for, for a second at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    Address(String, IpAddr),
    /// Name, port and host.
    Service(String, u16, String),
}

impl Record {
    pub fn address(name: &str, ip: IpAddr) -> Self {
        Self::Address(name.to_owned(), ip)
    }

    pub fn service(name: &str, port: u16, host: &str) -> Self {
        Self::Service(name.to_owned(), port, host.to_owned())
    }
}

/// Ends when it is dropped.
#[derive(Debug)]
pub struct RealServer {
    kind: Kind,
    process: Child,
    /// Its own, with its configuration.
    folder: PathBuf,
    /// How often its records were set: the last bytes of the address of `mark.example`, by which a read of them is known.
    mark: Cell<u16>,
    pub address: SocketAddr,
}

impl RealServer {
    /// With these services. None, and a word about it, where it is not installed.
    pub fn start(kind: Kind, services: &[Record]) -> Option<Self> {
        let name = match kind {
            Kind::Dnsmasq => "dnsmasq",
            Kind::Unbound => "unbound",
        };
        let paths = FOLDERS.map(|folder| PathBuf::from(folder).join(name));
        let Some(program) = paths.into_iter().find(|path| path.exists()) else {
            println!("skipped: {name} is not installed, so that no real server was asked");
            return None;
        };
        let address = free_address();
        let folder = format!("{name}-{}-{}", std::process::id(), address.port());
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(folder);
        fs::create_dir_all(&folder).expect("the temporary folder can be written");
        let mut command = Command::new(program);
        match kind {
            Kind::Dnsmasq => {
                fs::write(folder.join("hosts"), "").expect("its folder can be written");
                command.args(dnsmasq(&folder, address, services));
            }
            Kind::Unbound => {
                let path = folder.join("unbound.conf");
                fs::write(&path, unbound(&folder, address, services)).expect("a file");
                command.arg("-d").arg("-c").arg(path);
            }
        }
        let command = command.stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().expect("it is there");
        let this = Self {
            kind,
            process,
            folder,
            address,
            mark: Cell::new(0),
        };
        // A signal that comes before it is ready ends it.
        this.await_answer("it does not answer", |_| true);
        Some(this)
    }

    /// Asks for the address of `mark.example` until the answer is the one that is waited for.
    fn await_answer(&self, why: &str, is_it: impl Fn(&[u8]) -> bool) {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.connect(self.address).expect("loopback");
        let patience = Some(Duration::from_millis(20));
        socket.set_read_timeout(patience).expect("a socket");
        // Number 1, one question.
        let question = b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\x04mark\x07example\0\0\x01\0\x01";
        let deadline = Instant::now() + GENEROUS;
        let mut answer = [0; 512];
        loop {
            // While nobody listens, the kernel says so at once.
            let asked = socket.send(question).and_then(|_| socket.recv(&mut answer));
            if asked.is_ok_and(|bytes| is_it(&answer[..bytes])) {
                return;
            }
            assert!(Instant::now() < deadline, "{:?}: {why}", self.kind);
        }
    }

    /// These are its records from now on: it has read them when this returns. While unbound reads, it does not listen.
    pub fn set(&self, records: &[Record]) {
        self.mark.set(self.mark.get() + 1);
        let [high, low] = self.mark.get().to_be_bytes();
        let mark = Ipv4Addr::new(127, 99, high, low);
        let mut records = records.to_vec();
        records.push(Record::address("mark.example", mark.into()));
        let (file, text) = match self.kind {
            Kind::Dnsmasq => ("hosts", hosts(&records)),
            Kind::Unbound => {
                let text = unbound(&self.folder, self.address, &records);
                ("unbound.conf", text)
            }
        };
        fs::write(self.folder.join(file), text).expect("its folder can be written");
        let process = self.process.id().to_string();
        let told = Command::new("kill").args(["-HUP", &process]).status();
        assert!(told.expect("kill is there").success(), "it runs");
        self.await_answer("it did not read its records anew", |answer| {
            answer.ends_with(&mark.octets())
        });
    }
}

impl Drop for RealServer {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A port of loopback that is free for both protocols.
fn free_address() -> SocketAddr {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let address = udp.local_addr().expect("it is bound");
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

fn dnsmasq(folder: &std::path::Path, address: SocketAddr, services: &[Record]) -> Vec<String> {
    let fixed = [
        "--keep-in-foreground",
        "--no-resolv",
        "--no-hosts",
        "--conf-file=/dev/null",
        "--pid-file=",
        "--listen-address=127.0.0.1",
        "--bind-interfaces",
        "--user=root",
        "--local-ttl=1",
        "--local=/example/",
    ];
    let mut arguments: Vec<_> = fixed.map(str::to_owned).into();
    arguments.push(format!("--port={}", address.port()));
    arguments.push(format!("--addn-hosts={}", folder.join("hosts").display()));
    for record in services {
        if let Record::Service(name, port, host) = record {
            arguments.push(format!("--srv-host={name},{host},{port}"));
        }
    }
    arguments
}

/// Its addresses, as a file of hosts.
fn hosts(records: &[Record]) -> String {
    let mut text = String::new();
    for record in records {
        if let Record::Address(name, ip) = record {
            writeln!(text, "{ip} {name}").expect("a text takes it");
        }
    }
    text
}

/// A configuration that asks nobody else.
fn unbound(folder: &std::path::Path, address: SocketAddr, records: &[Record]) -> String {
    let mut text = format!(
        "server:\n interface: {}\n port: {}\n do-daemonize: no\n username: \"\"\n chroot: \"\"\n directory: \"{}\"\n \
         pidfile: \"\"\n use-syslog: no\n module-config: \"iterator\"\n num-threads: 1\n local-zone: \"example.\" static\n",
        address.ip(),
        address.port(),
        folder.display()
    );
    for record in records {
        let record = match record {
            Record::Address(name, ip) if ip.is_ipv4() => format!("{name}. 1 IN A {ip}"),
            Record::Address(name, ip) => format!("{name}. 1 IN AAAA {ip}"),
            Record::Service(name, port, host) => format!("{name}. 1 IN SRV 0 0 {port} {host}."),
        };
        writeln!(text, " local-data: \"{record}\"").expect("a text takes it");
    }
    text.push_str("remote-control:\n control-enable: no\n");
    text
}
