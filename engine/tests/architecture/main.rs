//! The order in which the engine's files may use one another (`docs/architecture.md`), held against
//! the `use` lines and paths of every file. A circle of files, or a file that uses what stands above
//! it, fails with the files named.

mod imports;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use imports::Imports;

/// From the top down: a file may use its own folder's files and those of lower rows. An entry is a
/// file or a folder of `engine/src`; of several that fit a file, the longest counts.
const ORDER: &[&[&str]] = &[
    &["lib"],
    &["prelude"],
    &["testing"],
    &["typed"],
    &["node"],
    &["http"],
    &["discovery", "otlp"],
    &["admin"],
    &["cluster"],
    &["metrics", "inbox"],
    &["receiving"],
    &["shard"],
    &["router"],
    &["receipt"],
    &["request", "capacity", "stream", "steering"],
    &["channel"],
    &["admission"],
    &["control"],
    &["fabric"],
    &["channel_table", "rules"],
    &[
        "channel_plan",
        "request_book",
        "receipt_book",
        "stream_book",
        "relay_book",
        "faults::book",
        "recorder",
    ],
    &["control::routes"],
    &["control::wishes"],
    &["extended"],
    &["envelope"],
    &["message", "events"],
    &["payload", "spans"],
    &["mailboxes", "rates", "restraint", "causal", "faults"],
    &["session"],
    &[
        "peer",
        "error",
        "delivery",
        "awaited",
        "io::preflight",
        "recording",
    ],
    &["attributes"],
    &["config"],
    &["wire"],
    &[
        "ring",
        "io",
        "serving",
        "deadline",
        "detour",
        "threads",
        "waiter",
        "codec",
        "fnv",
        "order_tag",
    ],
];

/// Where the kernel's and the executor's interfaces may be known.
const KNOWS_THE_KERNEL: [&str; 2] = ["io", "shard"];

fn engine() -> Imports {
    Imports::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
}

/// The row of a module, counted from the top, and its entry there.
fn place(module: &str) -> (usize, &'static str) {
    ORDER
        .iter()
        .enumerate()
        .flat_map(|(row, entries)| entries.iter().map(move |entry| (row, *entry)))
        .filter(|(_, entry)| is_within(module, entry))
        .max_by_key(|(_, entry)| entry.len())
        .unwrap_or_else(|| panic!("{module} has no place in the order: give it one"))
}

fn is_within(module: &str, entry: &str) -> bool {
    module
        .strip_prefix(entry)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Files that import one another in a circle, if there are any: each imports the next, the last the
/// first.
fn circle(uses: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<&str>> {
    let mut done = BTreeSet::new();
    uses.keys()
        .find_map(|from| circle_from(from, uses, &mut Vec::new(), &mut done))
}

fn circle_from<'a>(
    module: &'a str,
    uses: &'a BTreeMap<String, BTreeSet<String>>,
    path: &mut Vec<&'a str>,
    done: &mut BTreeSet<&'a str>,
) -> Option<Vec<&'a str>> {
    if let Some(start) = path.iter().position(|seen| *seen == module) {
        return Some(path[start..].to_vec());
    }
    if !done.contains(module) {
        path.push(module);
        for next in uses.get(module).into_iter().flatten() {
            if let Some(found) = circle_from(next, uses, path, done) {
                return Some(found);
            }
        }
        path.pop();
        done.insert(module);
    }
    None
}

#[test]
fn files_do_not_import_one_another_in_a_circle() {
    let engine = engine();
    if let Some(circle) = circle(&engine.uses) {
        panic!("these files import one another: {}", circle.join(" -> "));
    }
}

#[test]
fn files_use_only_what_stands_below_them() {
    let engine = engine();
    let mut wrong = Vec::new();
    for (from, targets) in &engine.uses {
        let (row, entry) = place(from);
        for to in targets {
            let (row_of_target, entry_of_target) = place(to);
            if entry != entry_of_target && row_of_target <= row {
                wrong.push(format!("{from} uses {to}, which is not below it"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_entry_of_the_order_stands_for_a_file() {
    let engine = engine();
    for entry in ORDER.iter().copied().flatten() {
        let used = engine
            .modules
            .iter()
            .any(|module| place(module).1 == *entry);
        assert!(used, "{entry} stands for no file");
    }
}

#[test]
fn only_io_and_shards_know_the_ring_of_the_kernel_and_the_executor() {
    for (module, crates) in &engine().crates {
        let knows = crates.contains("io_uring") || crates.contains("glommio");
        let may = KNOWS_THE_KERNEL
            .iter()
            .any(|entry| is_within(module, entry));
        assert!(!knows || may, "{module} uses io_uring or glommio");
    }
}

#[test]
fn a_circle_is_found_and_a_tree_has_none() {
    let graph = |edges: &[(&str, &str)]| {
        let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (from, to) in edges {
            uses.entry((*from).to_owned())
                .or_default()
                .insert((*to).to_owned());
        }
        uses
    };
    let tree = graph(&[("a", "b"), ("a", "c"), ("b", "c"), ("c", "d")]);
    assert_eq!(circle(&tree), None);
    let ring = graph(&[("a", "b"), ("b", "c"), ("c", "d"), ("d", "b")]);
    assert_eq!(circle(&ring), Some(vec!["b", "c", "d"]));
}
