//! Topologies in the syntax of an Elixir file: wherever a key has a list with a `strategy:` that is a module.
//!
//! So they are found in `config :libcluster, topologies: [...]`, in a variable, in a function, or behind a condition. Parsed
//! by tree-sitter; nothing is evaluated but literals, `System.get_env`, and conversions between texts. Depth and number of
//! what is read are bounded.

use overlane::config::LibclusterValue;
use tree_sitter::{Node, Parser};

/// Nodes of the syntax that are looked at: a configuration has some thousands.
const NODES_MAX: usize = 1_000_000;
/// How deep values are read.
const DEPTH_MAX: usize = 16;

/// What a file has.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) topologies: Vec<Topology>,
    /// Lines that are no Elixir.
    pub(super) broken: Vec<usize>,
    /// Lines with a strategy that belongs to no topology, as the first version of libcluster had it.
    pub(super) bare: Vec<usize>,
}

/// A topology of libcluster.
#[derive(Debug)]
pub(super) struct Topology {
    pub(super) name: String,
    /// Counted from 1.
    pub(super) line: usize,
    pub(super) strategy: String,
    /// Keys beside strategy and config, and their lines.
    pub(super) others: Vec<(String, usize)>,
    pub(super) settings: Vec<Setting>,
}

/// A key of a topology's config.
#[derive(Debug)]
pub(super) struct Setting {
    pub(super) key: String,
    pub(super) line: usize,
    pub(super) value: Value,
}

/// What can be known of a value without running the file.
#[derive(Debug)]
pub(super) enum Value {
    /// A value; if it is of an environment variable, which.
    Known(LibclusterValue, Option<String>),
    /// As it is written.
    Unknown(String),
}

/// What variables of the environment have.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The topologies of a file.
///
/// # Errors
/// It cannot be parsed at all.
pub(super) fn topologies(text: &str, environment: Environment<'_>) -> Result<Found, String> {
    let mut parser = Parser::new();
    let language = tree_sitter_elixir::LANGUAGE.into();
    let unusable = "the parser of Elixir cannot be used; this program was built wrongly";
    parser
        .set_language(&language)
        .map_err(|_| unusable.to_owned())?;
    let tree = parser
        .parse(text, None)
        .ok_or("it cannot be parsed; expected a file of Elixir")?;
    let file = File { text, environment };
    let mut found = Found::default();
    let mut cursor = tree.walk();
    let mut looked = 0;
    // In the order of the file, without recursion: what is nested deeply is no reason to fail.
    loop {
        let node = cursor.node();
        looked += 1;
        if looked > NODES_MAX {
            return Err("it is larger than any configuration".to_owned());
        }
        if node.is_error() || node.is_missing() {
            found.broken.push(line(node));
        }
        let topology = file.topology(node);
        let is_topology = topology.is_some();
        if !is_topology && file.is_bare_strategy(node) {
            found.bare.push(line(node));
        }
        found.topologies.extend(topology);
        if !is_topology && cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return Ok(found);
            }
        }
    }
}

fn line(node: Node<'_>) -> usize {
    node.start_position().row + 1
}

struct File<'t> {
    text: &'t str,
    environment: Environment<'t>,
}

/// A key and its value.
struct Pair<'t> {
    key: String,
    line: usize,
    value: Node<'t>,
}

impl<'t> File<'t> {
    fn text(&self, node: Node<'_>) -> &'t str {
        self.text.get(node.byte_range()).unwrap_or_default()
    }

    /// Whether that node is a strategy of libcluster by itself. Those of topologies are not come by.
    fn is_bare_strategy(&self, node: Node<'_>) -> bool {
        let Some(pair) = self.pair(node) else {
            return false;
        };
        let module = self.text(pair.value);
        let module = module.strip_prefix("Elixir.").unwrap_or(module);
        pair.key == "strategy" && module.starts_with("Cluster.Strategy.")
    }

    /// A topology, if that node is a key with one.
    fn topology(&self, node: Node<'_>) -> Option<Topology> {
        let Pair {
            key: name,
            line,
            value,
        } = self.pair(node)?;
        let pairs = self.pairs(value)?;
        let strategy = pairs.iter().find(|pair| pair.key == "strategy")?;
        if strategy.value.kind() != "alias" {
            return None;
        }
        let config = pairs.iter().find(|pair| pair.key == "config");
        let settings = config
            .and_then(|config| self.pairs(config.value))
            .unwrap_or_default();
        let others = pairs
            .iter()
            .filter(|pair| !matches!(pair.key.as_str(), "strategy" | "config"));
        let mut topology = Topology {
            name,
            line,
            strategy: self.text(strategy.value).to_owned(),
            others: others.map(|pair| (pair.key.clone(), pair.line)).collect(),
            settings: Vec::new(),
        };
        if let Some(config) = config
            && self.pairs(config.value).is_none()
        {
            // Something that only running the file would tell.
            topology.others.push(("config".to_owned(), config.line));
        }
        topology.settings = settings
            .into_iter()
            .map(|pair| Setting {
                value: self.value(pair.value, 0),
                key: pair.key,
                line: pair.line,
            })
            .collect();
        Some(topology)
    }

    /// The pairs of a keyword list, a list of pairs, or a map.
    fn pairs<'n>(&self, node: Node<'n>) -> Option<Vec<Pair<'n>>> {
        if !matches!(node.kind(), "list" | "map" | "keywords" | "map_content") {
            return None;
        }
        let mut pairs = Vec::new();
        for child in named_children(node) {
            match child.kind() {
                "keywords" | "map_content" => pairs.extend(self.pairs(child)?),
                "pair" | "tuple" | "binary_operator" => pairs.push(self.pair(child)?),
                "comment" => {}
                _ => return None,
            }
        }
        Some(pairs)
    }

    /// A key with its value: `key: value`, `{:key, value}`, or in a map `:key => value`.
    fn pair<'n>(&self, node: Node<'n>) -> Option<Pair<'n>> {
        let (key, value) = match node.kind() {
            "pair" => {
                let key = self.text(node.child_by_field_name("key")?);
                let key = key.trim().trim_end_matches(':').trim_matches('"');
                (key.to_owned(), node.child_by_field_name("value")?)
            }
            "tuple" | "binary_operator" => match named_children(node)[..] {
                [key, value] => (self.single(key, 0)?, value),
                _ => return None,
            },
            _ => return None,
        };
        Some(Pair {
            key,
            line: line(node),
            value,
        })
    }

    fn value(&self, node: Node<'_>, depth: usize) -> Value {
        let unknown = || {
            let text: String = self
                .text(node)
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ");
            Value::Unknown(text.chars().take(80).collect())
        };
        if depth > DEPTH_MAX {
            return unknown();
        }
        if node.kind() == "list" {
            let entries = named_children(node).into_iter();
            let entries = entries.filter(|entry| entry.kind() != "comment");
            let entries: Option<Vec<_>> =
                entries.map(|entry| self.single(entry, depth + 1)).collect();
            return entries.map_or_else(unknown, |entries| {
                Value::Known(LibclusterValue::List(entries), None)
            });
        }
        match self.single(node, depth) {
            Some(text) => Value::Known(LibclusterValue::Text(text), self.variable(node, depth)),
            None => unknown(),
        }
    }

    /// A single value as text, if it can be known.
    fn single(&self, node: Node<'_>, depth: usize) -> Option<String> {
        if depth > DEPTH_MAX {
            return None;
        }
        match node.kind() {
            "atom" => Some(self.text(node).trim_start_matches(':').to_owned()),
            "alias" | "boolean" => Some(self.text(node).to_owned()),
            "integer" => Some(self.text(node).replace('_', "")),
            "string" | "charlist" | "quoted_atom" | "sigil" => self.quoted(node, depth),
            "call" => self.call(node, depth),
            "binary_operator" => self.operation(node, depth),
            "block" => self.single(only(node)?, depth + 1),
            _ => None,
        }
    }

    /// A text in quotes, with what is interpolated.
    fn quoted(&self, node: Node<'_>, depth: usize) -> Option<String> {
        let mut text = String::new();
        for child in named_children(node) {
            match child.kind() {
                "quoted_content" => text += self.text(child),
                "interpolation" => text += &self.single(only(child)?, depth + 1)?,
                "escape_sequence" => text += self.text(child).strip_prefix('\\')?,
                "sigil_name" if matches!(self.text(child), "c" | "C" | "s" | "S") => {}
                _ => return None,
            }
        }
        Some(text)
    }

    /// `a || b` and `a <> b`.
    fn operation(&self, node: Node<'_>, depth: usize) -> Option<String> {
        let operator = self.text(node.child_by_field_name("operator")?);
        let side = |name| self.single(node.child_by_field_name(name)?, depth + 1);
        match operator {
            "||" => side("left").or_else(|| side("right")),
            "<>" => Some(side("left")? + &side("right")?),
            _ => None,
        }
    }

    /// `System.get_env`, `System.fetch_env!`, and conversions of one text to another kind.
    fn call(&self, node: Node<'_>, depth: usize) -> Option<String> {
        let target = self.text(node.child_by_field_name("target")?);
        let arguments = arguments(node);
        let argument = |index: usize| self.single(*arguments.get(index)?, depth + 1);
        match target {
            "System.get_env" => (self.environment)(&argument(0)?).or_else(|| argument(1)),
            "System.fetch_env!" => (self.environment)(&argument(0)?),
            "String.to_atom" | "String.to_charlist" | "String.to_integer" | "to_charlist"
            | "to_string" => argument(0),
            _ => None,
        }
    }

    /// The variable of the environment that a value is of.
    fn variable(&self, node: Node<'_>, depth: usize) -> Option<String> {
        if depth > DEPTH_MAX {
            return None;
        }
        if node.kind() == "call" {
            let target = self.text(node.child_by_field_name("target")?);
            if matches!(target, "System.get_env" | "System.fetch_env!") {
                return self.single(*arguments(node).first()?, depth + 1);
            }
        }
        let mut children = named_children(node).into_iter();
        children.find_map(|child| self.variable(child, depth + 1))
    }
}

/// What a call is given.
fn arguments(call: Node<'_>) -> Vec<Node<'_>> {
    let mut children = named_children(call).into_iter();
    let arguments = children.find(|child| child.kind() == "arguments");
    arguments.map(named_children).unwrap_or_default()
}

fn named_children(node: Node<'_>) -> Vec<Node<'_>> {
    node.named_children(&mut node.walk()).collect()
}

/// The only thing in brackets.
fn only(node: Node<'_>) -> Option<Node<'_>> {
    match named_children(node)[..] {
        [child] => Some(child),
        _ => None,
    }
}
