//! A run with its far processes on a server's host: over loopback, and between network namespaces.

mod children;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};

use children::{children_of, wait_until};

const BIN: &str = env!("CARGO_BIN_EXE_overlane-bench");
const SHORT: [&str; 5] = ["--json", "--seconds", "0.05", "--warm-up-seconds", "0.05"];
/// What a client of this version says first.
const HELLO: &str = concat!(
    "{\"magic\":\"overlane-bench\",\"version\":\"",
    env!("CARGO_PKG_VERSION"),
    "\",\"protocol\":1}\n"
);

/// A server that ends with the test.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start() -> Self {
        Self::of(Command::new(BIN).args(["serve", "--listen", "127.0.0.1:0"]))
    }

    fn of(command: &mut Command) -> Self {
        let command = command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().expect("it starts");
        let output = process.stdout.take().expect("it was asked to be a pipe");
        let mut line = String::new();
        let read = BufReader::new(output).read_line(&mut line);
        read.expect("messages are text");
        let mut words = line.split_whitespace();
        let address = words.find(|word| word.contains(':')).expect("an address");
        let address = address.trim_end_matches(';').to_owned();
        Self { process, address }
    }

    fn id(&self) -> u32 {
        self.process.id()
    }

    fn signal(&self, name: &str) {
        signal(self.id(), name);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn signal(id: u32, name: &str) {
    let sent = Command::new("kill").args([name, &id.to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()));
}

/// A run against `address`.
fn run(address: &str, arguments: &[&str]) -> Output {
    client(address, arguments).output().expect("it starts")
}

fn client(address: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(BIN);
    command.args(arguments).args(SHORT);
    command.args(["--remote", address]);
    command
}

fn result(output: &Output) -> serde_json::Value {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout.clone()).expect("JSON is text");
    let first = text.lines().next().expect("a result");
    serde_json::from_str(first).expect("one object a line")
}

fn has_figures(result: &serde_json::Value, keys: &[&str]) {
    for key in keys {
        let figure = result[key].as_f64();
        assert!(figure.is_some_and(|value| value > 0.0), "{key}: {result}");
    }
    // A process that only waits in a short window may have used no time that is counted.
    for key in [
        "near_user_percent",
        "near_system_percent",
        "far_user_percent",
        "far_system_percent",
    ] {
        let share = result[key].as_f64();
        assert!(share.is_some_and(|value| value >= 0.0), "{key}: {result}");
    }
}

fn refused(output: &Output, code: i32) -> String {
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{message}");
    assert!(output.stdout.is_empty(), "{output:?}");
    message
}

const INBOX: [&str; 5] = ["throughput", "--producer", "app", "--consumer", "inbox"];
const THREADS: [&str; 3] = ["isolation", "--producer", "app"];

#[test]
fn each_measurement_has_both_ends_in_its_report() {
    let server = Server::start();
    let result = |arguments: &[&str]| result(&run(&server.address, arguments));
    let rates = ["messages_per_s", "raw_messages_per_s", "ratio_to_raw"];
    for arguments in [&["throughput"][..], &INBOX] {
        let result = result(arguments);
        has_figures(&result, &rates);
        assert_eq!(result["accepted"], result["acknowledged"], "{result}");
        assert_eq!(result["accepted"], result["delivered"], "{result}");
    }
    has_figures(&result(&["latency"]), &["p50_us", "raw_p50_us"]);
    has_figures(&result(&["raw"]), &["messages_per_s"]);
    let loaded = ["loaded_p99_us", "bulk_mib_per_s"];
    has_figures(&result(&["isolation", "--heartbeat-hz", "200"]), &loaded);
    let beside_raw = ["loaded_p99_us", "raw_loaded_p99_us", "raw_bulk_mib_per_s"];
    has_figures(&result(&THREADS), &beside_raw);
    wait_until("the end of the far processes", || {
        children_of(server.id()).is_empty()
    });
}

#[test]
fn a_report_for_people_names_the_far_host() {
    let server = Server::start();
    let arguments = [&["raw", "--seconds", "0.05"][..], &["--remote"]].concat();
    let output = Command::new(BIN)
        .args(arguments)
        .arg(&server.address)
        .output();
    let output = output.expect("it starts");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("far ") && text.contains("(on Linux "),
        "{text}"
    );
}

#[test]
fn who_is_not_a_free_server_of_this_version_is_told_by_its_kind() {
    let taken = || TcpListener::bind("127.0.0.1:0").expect("loopback works");
    let nobody = taken().local_addr().expect("it listens").to_string();
    let message = refused(&run(&nobody, &["raw"]), 3);
    assert!(message.contains("no server at"), "{message}");
    assert!(message.contains("overlane-bench serve"), "{message}");
    let message = refused(&run("no-port", &["raw"]), 2);
    assert!(message.contains("--remote no-port"), "{message}");
    let other = "{\"magic\":\"overlane-bench\",\"version\":\"9.9.9\",\"protocol\":7,\
                 \"answer\":\"OtherVersion\"}\n";
    for (said, told) in [
        ("SSH-2.0-OpenSSH_9.2\r\n", "is not `overlane-bench serve`"),
        ("", "closed the connection"),
        (other, "overlane-bench 9.9.9 (protocol 7)"),
    ] {
        let listener = taken();
        let address = listener.local_addr().expect("it listens").to_string();
        let answering = std::thread::spawn(move || {
            let (stream, _) = listener.accept().expect("a client comes");
            let mut reader = BufReader::new(&stream);
            reader.read_line(&mut String::new()).expect("a greeting");
            (&stream).write_all(said.as_bytes()).expect("it listens");
            drop(stream.shutdown(Shutdown::Write));
        });
        let message = refused(&run(&address, &["raw"]), 3);
        assert!(message.contains(told), "{said}: {message}");
        answering.join().expect("the stand-in answers");
    }
}

#[test]
fn a_second_run_is_told_that_the_server_is_busy() {
    let server = Server::start();
    let first = greeted(&server.address, HELLO);
    assert!(first.1.contains("Ready"), "{}", first.1);
    let message = refused(&run(&server.address, &["raw"]), 3);
    assert!(message.contains("busy with another run"), "{message}");
    drop(first);
    wait_until("the server's next turn", || {
        run(&server.address, &["raw"]).status.success()
    });
}

/// A connection that has greeted, and what it was answered.
fn greeted(address: &str, hello: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    stream.write_all(hello.as_bytes()).expect("it reads");
    let mut answer = String::new();
    let mut reader = BufReader::new(stream.try_clone().expect("a descriptor"));
    reader.read_line(&mut answer).expect("answers are text");
    (stream, answer)
}

#[test]
fn strangers_are_refused_and_keep_nobody_out() {
    let server = Server::start();
    let silent = || TcpStream::connect(&server.address).expect("the server listens");
    let strangers: Vec<TcpStream> = (0..40).map(|_| silent()).collect();
    let other = HELLO.replace("\"protocol\":1", "\"protocol\":0");
    let (_, answer) = greeted(&server.address, &other);
    assert!(answer.contains("OtherVersion"), "{answer}");
    for said in ["GET / HTTP/1.1\r\n\r\n".to_owned(), "x".repeat(1 << 20)] {
        let mut stranger = silent();
        // The server may have closed before all of it was written.
        drop(stranger.write_all(said.as_bytes()));
        let mut answer = Vec::new();
        drop(stranger.read_to_end(&mut answer));
        assert_eq!(answer, b"");
    }
    result(&run(&server.address, &["raw"]));
    drop(strangers);
}

#[test]
fn a_session_cannot_make_the_server_send_elsewhere() {
    let server = Server::start();
    let (mut stream, _) = greeted(&server.address, HELLO);
    let mut reader = BufReader::new(stream.try_clone().expect("a descriptor"));
    let mut ask = |request: &str| {
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        reader.read_line(&mut answer).expect("answers are text");
        answer
    };
    let started = ask("{\"StartRaw\":{\"core\":null}}\n");
    assert!(started.contains("Listening"), "{started}");
    let elsewhere = ask(
        "{\"Raw\":{\"process\":0,\"command\":{\"StartSending\":{\"to\":\"192.0.2.1:9\",\
         \"payload_bytes\":64,\"batch_bytes\":null}}}}\n",
    );
    assert!(elsewhere.contains("Failed"), "{elsewhere}");
    assert!(elsewhere.contains("192.0.2.1:9"), "{elsewhere}");
}

/// Long enough to be ended in its middle.
const LONG: [&str; 3] = ["isolation", "--pairs", "1000"];

#[test]
fn a_server_that_dies_ends_the_run_with_a_reason() {
    let server = Server::start();
    let running = client(&server.address, &LONG)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let id = running.id();
    wait_until("the far process", || !children_of(server.id()).is_empty());
    wait_until("the near process", || !children_of(id).is_empty());
    server.signal("-KILL");
    let output = running.wait_with_output().expect("it ends");
    let message = refused(&output, 3);
    assert!(message.contains("is lost"), "{message}");
    wait_until("the end of all processes", || {
        children_of(server.id()).is_empty() && children_of(id).is_empty()
    });
}

#[test]
fn a_client_that_vanishes_ends_its_session_only() {
    let server = Server::start();
    let mut running = client(&server.address, &LONG)
        .stdout(Stdio::null())
        .spawn()
        .expect("it starts");
    wait_until("the far process", || !children_of(server.id()).is_empty());
    running.kill().expect("it runs");
    running.wait().expect("it ends");
    wait_until("the end of the far process", || {
        children_of(server.id()).is_empty()
    });
    wait_until("the server's next turn", || {
        run(&server.address, &["raw"]).status.success()
    });
}

#[test]
fn a_signal_ends_the_server_and_its_processes() {
    let mut server = Server::start();
    let mut running = client(&server.address, &LONG)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    wait_until("the far process", || !children_of(server.id()).is_empty());
    server.signal("-TERM");
    let ended = server.process.wait().expect("it ends");
    assert_eq!(ended.code(), Some(143));
    assert_eq!(children_of(server.id()), Vec::<String>::new());
    assert_eq!(running.wait().expect("it ends").code(), Some(3));
}

#[test]
fn an_address_that_is_taken_is_refused_with_its_cause() {
    let server = Server::start();
    let mut second = Command::new(BIN);
    second.args(["serve", "--listen", &server.address]);
    let output = second.output().expect("it starts");
    let message = refused(&output, 3);
    assert!(message.contains("in use"), "{message}");
    assert!(message.contains(&server.address), "{message}");
}

/// Two network namespaces with a wire between them, removed with the test.
struct Namespaces {
    names: [String; 2],
}

impl Namespaces {
    const ADDRESSES: [&str; 2] = ["10.231.7.1", "10.231.7.2"];

    fn make() -> Result<Self, String> {
        let names = ["near", "far"].map(|end| format!("overlane-{end}-{}", std::process::id()));
        let made = Self { names };
        let [near, far] = &made.names;
        for end in [near, far] {
            ip(&["netns", "add", end])?;
            ip(&["-n", end, "link", "set", "lo", "up"])?;
        }
        let wire = ["-n", near, "link", "add", "wire", "type", "veth", "peer"];
        ip(&[&wire[..], &["name", "wire", "netns", far]].concat())?;
        for (end, address) in made.names.iter().zip(Self::ADDRESSES) {
            let address = format!("{address}/24");
            ip(&["-n", end, "address", "add", &address, "dev", "wire"])?;
            ip(&["-n", end, "link", "set", "wire", "up"])?;
        }
        Ok(made)
    }

    /// The harness in one of them.
    fn command(&self, end: usize) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.names[end], BIN]);
        command
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for name in &self.names {
            drop(ip(&["netns", "delete", name]));
        }
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(arguments).output();
    let output = output.map_err(|error| format!("ip: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("ip {}: {}", arguments.join(" "), said.trim()))
}

#[test]
fn two_network_namespaces_are_two_hosts() {
    let namespaces = match Namespaces::make() {
        Ok(namespaces) => namespaces,
        Err(why) => {
            println!("skipped: this machine makes no network namespaces: {why}");
            return;
        }
    };
    let listen = format!("{}:7500", Namespaces::ADDRESSES[1]);
    let server = Server::of(namespaces.command(1).args(["serve", "--listen", &listen]));
    assert_eq!(server.address, listen);
    for arguments in [
        &["throughput"][..],
        &INBOX,
        &["latency"],
        &THREADS,
        &["raw"],
    ] {
        let output = namespaces
            .command(0)
            .args(arguments)
            .args(SHORT)
            .args(["--remote", &listen])
            .output()
            .expect("it starts");
        has_figures(&result(&output), &[]);
    }
}
