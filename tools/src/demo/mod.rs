//! `overlane demo`: a small cluster on this machine, to play with.
//!
//! The nodes are processes of their own, as a user would start them. What runs and what is on disk belongs to this
//! process, and goes with it.

mod child;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use overlane::OverlayKind;
use overlane::admin::{Answer, Client, Request};
use overlane::config::Printable;
use serde_json::json;

use crate::ending::{Ending, Failure, complain, print, told};
use crate::interrupt::interrupts;
use crate::json;
use child::{Child, Place};

/// How long the cluster may take to form, on a busy machine.
const FORMED_WITHIN: Duration = Duration::from_secs(60);

/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Starts a cluster of nodes on this machine to play with, and ends it by Ctrl-C.
///
/// The nodes are called demo-1, demo-2 and so on, and listen on free ports of 127.0.0.1; all join through the first.
/// Prints what comes to their mailboxes `inbox`. Exits with 0 once all have ended in order, with 1 if one ended by itself.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How many nodes
    #[arg(long, value_name = "NODES", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=100))]
    nodes: u64,
    /// The overlay that they begin with: full_mesh, hyparview or pub_sub
    #[arg(long, default_value_t = OverlayKind::FullMesh, value_parser = without_servers)]
    overlay: OverlayKind,
    /// Print JSON, an object a line
    #[arg(long)]
    json: bool,
}

/// An overlay that a cluster can begin with before it has members.
fn without_servers(name: &str) -> Result<OverlayKind, String> {
    match name.parse() {
        Ok(OverlayKind::ClientServer) => {
            Err("it needs servers: begin with another, and switch to it".to_owned())
        }
        Ok(kind) => Ok(kind),
        Err(unknown) => Err(unknown.to_string()),
    }
}

/// What the demo waits for.
#[derive(Debug)]
enum Happened {
    Interrupted,
    /// A node printed a line: its name, and the line.
    Said(String, String),
    /// The output of a node has ended, and so will the node.
    Ended(String),
}

/// Runs it.
pub(crate) fn run(arguments: &Arguments) -> Ending {
    told("demo", demo(arguments))
}

fn demo(arguments: &Arguments) -> Result<Ending, Failure> {
    let (tell, happened) = channel();
    interrupts(tell.clone(), || Happened::Interrupted)?;
    let folder = Folder::new()?;
    let mut children: Vec<Child> = Vec::new();
    for number in 1..=arguments.nodes {
        // All join through the first.
        let seed = children.first().map(Child::wait_up).transpose()?;
        let place = Place {
            folder: &folder.0,
            overlay: arguments.overlay,
            seed,
        };
        let name = format!("demo-{number}");
        children.push(Child::start(&name, &place, tell.clone())?);
    }
    wait_formed(&children)?;
    introduce(arguments.json, arguments.overlay, &children)?;
    let ending = follow(arguments.json, &happened)?;
    for child in &mut children {
        child.ask_to_end();
    }
    let mut orderly = true;
    for child in &mut children {
        // Each is waited for, whatever became of those before it.
        orderly &= child.end();
    }
    Ok(if orderly { ending } else { Ending::CheckFailed })
}

/// Waits until each knows all others.
fn wait_formed(children: &[Child]) -> Result<(), Failure> {
    let deadline = Instant::now() + FORMED_WITHIN;
    let all = children.len();
    for child in children {
        child.wait_up()?;
        while live_members(child)? < all {
            if Instant::now() > deadline {
                let what = format!("{} does not know all others in time", child.name);
                return Err(Failure::new(Ending::CheckFailed, what));
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
    Ok(())
}

fn live_members(child: &Child) -> Result<usize, Failure> {
    match Client::ask_once(&child.socket, &Request::Overlay {})? {
        Answer::Overlay(overlay) => Ok(overlay.members),
        other => Err(Failure::new(Ending::CheckFailed, format_args!("{other:?}"))),
    }
}

/// What runs, and what to try next.
fn introduce(json: bool, overlay: OverlayKind, children: &[Child]) -> Result<(), Failure> {
    let [first, _, ..] = children else {
        let what = "one node runs, and is alone: try --nodes 5";
        return say(
            json,
            &json!({"up": true, "nodes": of_all(children), "try": []}),
            what,
        );
    };
    let socket = first.socket.to_string_lossy();
    let commands = [
        format!("overlane members --admin {socket}"),
        format!(
            "overlane topology switch {} --admin {socket}",
            other(overlay)
        ),
        format!("overlane broadcast inbox hello --admin {socket}"),
    ];
    let text = format!(
        "{} nodes are up and know one another; overlay {overlay}. Try in another terminal:\n\n    {}\n\nCtrl-C ends them.",
        children.len(),
        commands.join("\n    ")
    );
    say(
        json,
        &json!({"up": true, "nodes": of_all(children), "try": commands}),
        &text,
    )
}

/// One to switch to.
const fn other(overlay: OverlayKind) -> OverlayKind {
    match overlay {
        OverlayKind::HyParView => OverlayKind::FullMesh,
        _ => OverlayKind::HyParView,
    }
}

fn of_all(children: &[Child]) -> Vec<serde_json::Value> {
    let one =
        |child: &Child| json!({"node": child.name, "pid": child.pid(), "admin": child.socket});
    children.iter().map(one).collect()
}

fn say(json: bool, object: &serde_json::Value, text: &str) -> Result<(), Failure> {
    if json {
        print(&json::line(object))?;
    } else {
        print(&format!("{text}\n"))?;
    }
    Ok(())
}

/// Passes on what nodes say until it is time.
fn follow(json: bool, happened: &Receiver<Happened>) -> Result<Ending, Failure> {
    while let Ok(happened) = happened.recv() {
        match happened {
            Happened::Interrupted => return Ok(Ending::Done),
            Happened::Said(node, line) if json => {
                let said: Option<serde_json::Value> = serde_json::from_str(&line).ok();
                say(json, &json!({"node": node, "said": said}), "")?;
            }
            Happened::Said(node, line) => {
                if let Some(text) = child::shown(&node, &line) {
                    print(&text)?;
                }
            }
            Happened::Ended(node) => {
                complain(format_args!(
                    "overlane demo: {} has ended",
                    Printable(&node)
                ));
                return Ok(Ending::CheckFailed);
            }
        }
    }
    Ok(Ending::Done)
}

/// The folder of the admin sockets. Short, as addresses of sockets are.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, Failure> {
        use std::os::unix::fs::DirBuilderExt;
        let path = Path::new("/tmp").join(format!("overlane-demo-{}", std::process::id()));
        let made = fs::DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|error| {
            let what = format!("{} cannot be made: {error}; remove it", path.display());
            Failure::new(Ending::MachineLacks, what)
        })?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left then is empty.
        let _ = fs::remove_dir_all(&self.0);
    }
}
