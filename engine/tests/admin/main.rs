//! How a node is looked at and administered from outside: the admin socket and HTTP, what they answer, who may ask, and clients
//! that break their rules.

mod answers;
mod cluster;
mod hostile;
mod http;
mod path;
mod reloading;
mod roles;
#[path = "../support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};

use overlane::admin::{Answer, Client, ClientError, Refusal, Request};
use overlane::config::{Admin, ChannelConfig};
use overlane::{Node, NodeBuilder};

/// A folder of this test, empty.
fn folder() -> PathBuf {
    let name = format!("admin-{}-{}", std::process::id(), support::cluster());
    // Paths of sockets are short, those of build directories may not be.
    let folder = std::env::temp_dir().join(name);
    drop(std::fs::remove_dir_all(&folder));
    std::fs::create_dir_all(&folder).expect("it can be made");
    folder
}

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        Self(folder())
    }

    fn socket(&self, node: &str) -> PathBuf {
        self.0.join(format!("{node}.sock"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn builder(name: &str, socket: &Path, channels: &[ChannelConfig]) -> NodeBuilder {
    let config = support::config(name).admin(Admin::At(socket.to_owned()));
    let config = channels
        .iter()
        .fold(config, |config, channel| config.channel(channel.clone()));
    Node::builder(config.build().expect("a valid configuration"))
}

fn start(name: &str, socket: &Path, channels: &[ChannelConfig]) -> Node {
    builder(name, socket, channels).start().expect("it starts")
}

fn ask(socket: &Path, request: &Request) -> Answer {
    Client::ask_once(socket, request).unwrap_or_else(|error| panic!("{request:?}: {error}"))
}

fn refused(socket: &Path, request: &Request) -> Refusal {
    match Client::ask_once(socket, request) {
        Err(ClientError::Refused(refusal)) => refusal,
        other => panic!("{request:?} was not refused: {other:?}"),
    }
}
