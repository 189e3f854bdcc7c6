//! Which file of a crate names which other: read from the syntax, so that comments and texts do not
//! count. What is built for tests or models only is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree};

/// The modules of a crate by path from its root ("shard::turn"; the root itself is "lib").
pub(crate) struct Imports {
    pub(crate) modules: BTreeSet<String>,
    /// For each module, those it uses. A module that uses an item of one of its parents is left out:
    /// a folder's `mod.rs` holds what its files share, and its files are parts of it.
    pub(crate) uses: BTreeMap<String, BTreeSet<String>>,
    /// For each module, the first names of the paths that lead out of the crate.
    pub(crate) crates: BTreeMap<String, BTreeSet<String>>,
}

impl Imports {
    /// Follows the `mod` lines from `lib.rs` in `folder`.
    pub(crate) fn read(folder: &Path) -> Self {
        let mut sources = BTreeMap::new();
        collect(&folder.join("lib.rs"), folder, &[], &mut sources);
        let modules: BTreeSet<String> = sources.keys().map(|path| name(path)).collect();
        let mut imports = Self {
            modules,
            uses: BTreeMap::new(),
            crates: BTreeMap::new(),
        };
        for (module, source) in &sources {
            imports.note(module, source);
        }
        imports
    }

    fn note(&mut self, module: &[String], source: &syn::File) {
        let mut found = Paths::default();
        found.visit_file(source);
        let from = name(module);
        for path in &found.paths {
            let Some(absolute) = self.absolute(module, path) else {
                let crates = self.crates.entry(from.clone()).or_default();
                crates.extend(path.first().cloned());
                continue;
            };
            let mut target = absolute.as_slice();
            while !target.is_empty() && !self.modules.contains(&name(target)) {
                target = &target[..target.len() - 1];
            }
            if !module.starts_with(target) {
                let uses = self.uses.entry(from.clone()).or_default();
                uses.insert(name(target));
            }
        }
    }

    /// The path from the crate's root, if it is within the crate.
    fn absolute(&self, module: &[String], path: &[String]) -> Option<Vec<String>> {
        let supers = path.iter().take_while(|part| *part == "super").count();
        let first = path.first()?;
        if first == "crate" {
            return Some(path[1..].to_vec());
        }
        if first == "self" {
            return Some([module, &path[1..]].concat());
        }
        if supers > 0 {
            let base = &module[..module.len().checked_sub(supers)?];
            return Some([base, &path[supers..]].concat());
        }
        let child = [module, std::slice::from_ref(first)].concat();
        let is_child = self.modules.contains(&name(&child));
        is_child.then(|| [module, path].concat())
    }
}

fn name(module: &[String]) -> String {
    if module.is_empty() {
        "lib".to_owned()
    } else {
        module.join("::")
    }
}

fn collect(
    file: &Path,
    folder: &Path,
    module: &[String],
    sources: &mut BTreeMap<Vec<String>, syn::File>,
) {
    let text = std::fs::read_to_string(file)
        .unwrap_or_else(|error| panic!("{} cannot be read: {error}", file.display()));
    let source = syn::parse_file(&text)
        .unwrap_or_else(|error| panic!("{} cannot be parsed: {error}", file.display()));
    for item in &source.items {
        if let Item::Mod(child) = item
            && child.content.is_none()
            && !is_for_tests(&child.attrs)
        {
            let child = child.ident.to_string();
            let path = [module, std::slice::from_ref(&child)].concat();
            collect(
                &file_of(folder, &child),
                &folder.join(&child),
                &path,
                sources,
            );
        }
    }
    sources.insert(module.to_vec(), source);
}

fn file_of(folder: &Path, module: &str) -> PathBuf {
    let file = folder.join(format!("{module}.rs"));
    if file.exists() {
        file
    } else {
        folder.join(module).join("mod.rs")
    }
}

/// Built for tests, or for the models of the rings, only.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let condition = match &attribute.meta {
            syn::Meta::List(list) if list.path.is_ident("cfg") => list.tokens.to_string(),
            _ => return false,
        };
        !condition.starts_with("not")
            && !condition.contains("feature")
            && (condition.contains("test") || condition.contains("overlane_loom"))
    })
}

/// Every path that a file names.
#[derive(Default)]
struct Paths {
    paths: Vec<Vec<String>>,
}

impl Paths {
    fn note_tree(&mut self, tree: &UseTree, before: &[String]) {
        let with = |ident: &syn::Ident| [before, &[ident.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.note_tree(&path.tree, &with(&path.ident)),
            UseTree::Name(name) => self.paths.push(with(&name.ident)),
            UseTree::Rename(rename) => self.paths.push(with(&rename.ident)),
            UseTree::Glob(_) => self.paths.push(before.to_vec()),
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.note_tree(tree, before);
                }
            }
        }
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if !is_for_tests(&item.attrs) {
            self.note_tree(&item.tree, &[]);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_for_tests(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            let parts = path.segments.iter();
            self.paths
                .push(parts.map(|part| part.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }
}
