//! A place for nodes in containers: an image of the command as it is built here, and a network of their own.
//!
//! Nothing is pulled: the image has the program, the libraries that it is linked with, and the folder of its admin socket.
//! Called by the tests of `containers.rs`. All that it makes ends with it, whatever becomes of the test.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use serde_json::Value;

use crate::support::{GENEROUS, text};

/// Networks are tried one after the other, as one of them may be in use.
const SUBNETS: u32 = 16;

/// What is as under the profiles of newer engines: io_uring is forbidden.
const WITHOUT_IO_URING: &str = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"action": "SCMP_ACT_ERRNO",
    "names": ["io_uring_setup", "io_uring_enter", "io_uring_register"]}]}"#;

/// Which system calls a container may make.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Profile {
    /// What the engine gives where nobody says otherwise.
    Default,
    /// No io_uring.
    WithoutIoUring,
}

/// See the module's text.
pub(crate) struct Site {
    name: String,
    /// The first three numbers of its addresses.
    subnet: String,
    folder: PathBuf,
    containers: Vec<String>,
}

impl Site {
    /// The image and the network; a sentence if no container engine answers here.
    pub(crate) fn new(test: &str) -> Result<Self, String> {
        let version = Command::new("docker")
            .args(["version", "--format", "{{.Server.Version}}"])
            .output();
        match version {
            Err(error) => return Err(format!("`docker` does not run: {error}")),
            Ok(asked) if !asked.status.success() => {
                return Err(format!("no engine answers: {}", text(&asked.stderr).trim()));
            }
            Ok(asked) => println!("engine {}", text(&asked.stdout).trim()),
        }
        let name = format!("overlane-{test}-{}", std::process::id());
        let folder = std::env::temp_dir().join(&name);
        let mut site = Self {
            subnet: String::new(),
            folder,
            containers: Vec::new(),
            name,
        };
        site.make_image();
        site.make_network();
        let profile = fs::write(site.profile(), WITHOUT_IO_URING);
        profile.expect("it can be written");
        Ok(site)
    }

    fn profile(&self) -> PathBuf {
        self.folder.join("seccomp.json")
    }

    fn make_image(&self) {
        let root = self.folder.join("root");
        let program = Path::new(env!("CARGO_BIN_EXE_overlane"));
        put(program, &root.join("usr/bin/overlane"));
        let linked = Command::new("ldd").arg(program).output().expect("it runs");
        let linked = text(&linked.stdout);
        let words = linked.split_whitespace();
        for library in words.filter(|word| word.starts_with('/')) {
            put(Path::new(library), &root.join(&library[1..]));
        }
        fs::create_dir_all(root.join("run/overlane")).expect("it can be made");
        let mut tar = Command::new("tar")
            .arg("-C")
            .args([&root, Path::new("-c"), Path::new(".")])
            .stdout(Stdio::piped())
            .spawn()
            .expect("tar runs");
        let packed = tar.stdout.take().expect("it is a pipe");
        let mut import = Command::new("docker");
        import.args(["import", "--change", "ENV XDG_RUNTIME_DIR=/run/overlane"]);
        import.args(["--change", r#"ENTRYPOINT ["/usr/bin/overlane"]"#, "-"]);
        let imported = import.arg(&self.name).stdin(packed).output();
        succeeded(&imported.expect("it runs"));
        assert!(tar.wait().is_ok_and(|status| status.success()), "tar");
    }

    fn make_network(&mut self) {
        let first = std::process::id() % 200;
        let mut last = String::new();
        for number in first..first + SUBNETS {
            let subnet = format!("10.231.{number}");
            let range = format!("{subnet}.0/24");
            let made = docker(&["network", "create", "--subnet", &range, &self.name]);
            if made.status.success() {
                self.subnet = subnet;
                return;
            }
            last = text(&made.stderr);
        }
        panic!("no network could be made: {last}");
    }

    /// The address of a node.
    pub(crate) fn address(&self, host: u32) -> String {
        format!("{}.{host}", self.subnet)
    }

    fn container(&self, node: &str) -> String {
        format!("{}-{node}", self.name)
    }

    /// Starts a node in a container of that address.
    pub(crate) fn run(&mut self, node: &str, host: u32, profile: Profile, more: &[&str]) {
        let (container, address) = (self.container(node), self.address(host));
        let mut run = vec!["run", "--detach", "--name", &container, "--hostname", node];
        run.extend(["--network", &self.name, "--ip", &address]);
        let option = format!("seccomp={}", self.profile().display());
        if matches!(profile, Profile::WithoutIoUring) {
            run.extend(["--security-opt", &option]);
        }
        let advertised = format!("{address}:7400");
        run.extend([&*self.name, "node", "--json", "--node-name", node]);
        run.extend(["--cluster", &self.name, "--listen", "0.0.0.0:7400"]);
        run.extend(["--advertise", &advertised, "--insecure", "true"]);
        run.extend(["--shards", "1"].iter().chain(more));
        succeeded(&docker(&run));
        self.containers.push(container.clone());
    }

    /// Removes the container of a node, as it is.
    pub(crate) fn remove(&self, node: &str) {
        succeeded(&docker(&["rm", "--force", &self.container(node)]));
    }

    /// Has the engine do that with the container of a node: `kill`, `pause`, `unpause`, `start`.
    pub(crate) fn order(&self, what: &str, node: &str) {
        succeeded(&docker(&[what, &self.container(node)]));
    }

    /// Takes the network from a node.
    pub(crate) fn disconnect(&self, node: &str) {
        let container = self.container(node);
        succeeded(&docker(&["network", "disconnect", &self.name, &container]));
    }

    /// Gives it back, with that address.
    pub(crate) fn connect(&self, node: &str, host: u32) {
        let (container, address) = (self.container(node), self.address(host));
        let connect = ["network", "connect", "--ip", &address, &self.name];
        succeeded(&docker(&[&connect[..], &[&container]].concat()));
    }

    /// What a command prints in the container of a node, as JSON; nothing while it fails.
    pub(crate) fn ask(&self, node: &str, arguments: &[&str]) -> Value {
        let container = self.container(node);
        let exec = ["exec", &container, "/usr/bin/overlane"];
        let said = docker(&[&exec[..], arguments, &["--json"]].concat());
        serde_json::from_slice(&said.stdout).unwrap_or_default()
    }

    /// Lines that a node has printed.
    pub(crate) fn said(&self, node: &str) -> Vec<Value> {
        let said = docker(&["logs", &self.container(node)]);
        let lines = text(&said.stdout);
        let lines = lines.lines().map(serde_json::from_str);
        lines.collect::<Result<_, _>>().expect("JSON on each line")
    }

    /// What a node tells from now on.
    pub(crate) fn events(&self, node: &str) -> Told {
        let mut follow = Command::new("docker");
        follow.args(["exec", &self.container(node), "/usr/bin/overlane"]);
        follow.args(["events", "--follow", "--json"]);
        let follow = follow.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = follow.spawn().expect("it starts");
        let said = process.stderr.take().expect("it is a pipe");
        let mut begun = String::new();
        let read = BufReader::new(said).read_line(&mut begun);
        read.expect("text");
        assert!(begun.contains("from now on"), "{begun}");
        let output = process.stdout.take().expect("it is a pipe");
        let (tell, told) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let event = serde_json::from_str(&line).expect("an object on each line");
                if tell.send(event).is_err() {
                    return;
                }
            }
        });
        Told { process, told }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for container in &self.containers {
            drop(docker(&["rm", "--force", container]));
        }
        drop(docker(&["network", "rm", &self.name]));
        drop(docker(&["rmi", "--force", &self.name]));
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// The events of a node, in order.
pub(crate) struct Told {
    process: Child,
    told: Receiver<Value>,
}

impl Told {
    /// Waits until this is told of a member; what was told of members until then, with it: `down n3`.
    pub(crate) fn until(&self, event: &str, member: &str) -> Vec<String> {
        let wanted = format!("{event} {member}");
        let mut told = Vec::new();
        while told.last() != Some(&wanted) {
            let next = self.told.recv_timeout(GENEROUS);
            let next = next.unwrap_or_else(|_| panic!("{wanted} is not told, only {told:?}"));
            let kind = next["event"].as_str().unwrap_or_default();
            if let Some(kind) = kind.strip_prefix("member_") {
                told.push(format!("{kind} {}", next["member"].as_str().unwrap_or("?")));
            }
        }
        println!("{told:?}");
        told
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn put(file: &Path, at: &Path) {
    let folder = at.parent().expect("it has one");
    fs::create_dir_all(folder).expect("it can be made");
    fs::copy(file, at).expect("it can be copied");
}

fn docker(arguments: &[&str]) -> Output {
    let docker = Command::new("docker").args(arguments).output();
    docker.expect("it ran before")
}

fn succeeded(output: &Output) {
    assert!(output.status.success(), "{}", text(&output.stderr));
}
